"""How text becomes vectors: one form for each provider."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from .parts import SHOWN, Choice, Dimensions, Key, OptionalKey, ShownDimensions, Text, Url, blank_is_none

_SHORTER_VECTORS = (
    "Length of the vectors, for models that can shorten them. Leave empty for the model's own length. "
    "It has to equal the vector size of a collection that exists already."
)


class OpenAI(Choice):
    """Use OpenAI's embedding models. The text of your records is sent to OpenAI."""

    model_config = ConfigDict(title="OpenAI")
    mode: Literal["openai"] = "openai"
    openai_key: Key = Field(title="API key", description="A secret key of your OpenAI project.", examples=["sk-..."])
    # None is the model of Airbyte's connector, for configurations stored before there was a choice.
    # The form suggests a current model instead.
    model_name: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        title="Model",
        description="Name of the embedding model. A configuration without a model uses text-embedding-ada-002. "
        "Vectors of different models cannot be compared, so keep the model for as long as you keep the collection.",
        examples=["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"],
        json_schema_extra={"default": "text-embedding-3-small", **SHOWN},
    )
    dimensions: ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[512, 1536]
    )


class AzureOpenAI(Choice):
    """Use an OpenAI embedding model that you deployed in Azure."""

    model_config = ConfigDict(title="Azure OpenAI")
    mode: Literal["azure_openai"] = "azure_openai"
    openai_key: Key = Field(
        title="API key", description="One of the two keys of your Azure OpenAI resource, under Keys and Endpoint."
    )
    api_base: Url = Field(
        title="Endpoint",
        description="Address of your Azure OpenAI resource, shown next to its keys.",
        examples=["https://my-resource.openai.azure.com"],
    )
    deployment: Text = Field(
        title="Deployment",
        description="The name you gave to the deployment of the embedding model (not the name of the model).",
        examples=["my-embeddings"],
    )
    dimensions: ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[512, 1536]
    )
    api_version: Text = Field(
        default="2024-10-21",
        title="API version",
        description="Version of the Azure OpenAI API to call. Change it only when your resource asks for another one.",
        examples=["2024-10-21"],
    )


class OpenAICompatible(Choice):
    """Use any service with OpenAI's embeddings API, such as Ollama, vLLM, LM Studio or LiteLLM."""

    model_config = ConfigDict(title="OpenAI-compatible service")
    mode: Literal["openai_compatible"] = "openai_compatible"
    base_url: Url = Field(
        title="Base URL",
        description="Address of the service up to the part before /embeddings.",
        examples=["https://embeddings.example.com/v1"],
    )
    api_key: OptionalKey = Field(
        default=SecretStr(""),
        title="API key",
        description="Leave empty when the service needs none.",
        json_schema_extra=SHOWN,
    )
    model_name: str = Field(
        default="text-embedding-ada-002",
        title="Model",
        description="Name of the embedding model, as the service knows it.",
        examples=["nomic-embed-text", "BAAI/bge-m3"],
        json_schema_extra=SHOWN,
    )
    dimensions: Dimensions = Field(
        title="Vector size",
        description="How many numbers the model returns for a text. The model's documentation gives it.",
        examples=[384, 768, 1536],
    )


class Cohere(Choice):
    """Use Cohere's embedding models. The text of your records is sent to Cohere."""

    model_config = ConfigDict(title="Cohere")
    mode: Literal["cohere"] = "cohere"
    cohere_key: Key = Field(title="API key", description="An API key from your Cohere dashboard.")
    model_name: Text = Field(
        default="embed-v4.0",
        title="Model",
        description="Name of the embedding model. "
        "Vectors of different models cannot be compared, so keep the model for as long as you keep the collection.",
        examples=["embed-v4.0", "embed-multilingual-v3.0", "embed-english-v3.0"],
        json_schema_extra=SHOWN,
    )
    dimensions: ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[1024, 1536]
    )


class Local(Choice):
    """Compute vectors inside the connector: no key, no cost, and no text leaves your machine."""

    model_config = ConfigDict(title="Local model")
    mode: Literal["local"] = "local"
    model_name: Text = Field(
        default="all-MiniLM-L6-v2",
        title="Model",
        description="The default comes with the connector and makes 384 numbers for a text. "
        "Any other model that FastEmbed knows is downloaded at its first use.",
        examples=["all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5"],
        json_schema_extra=SHOWN,
    )
    model_path: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        title="Model folder",
        description="Folder with the model's files, as the connector sees it. With it nothing is downloaded.",
        examples=["/models/all-MiniLM-L6-v2"],
    )


class FromField(Choice):
    """Take vectors that your records already contain. A record becomes one point, its text is not split."""

    model_config = ConfigDict(title="Vectors from a record field")
    mode: Literal["from_field"] = "from_field"
    field_name: Text = Field(
        title="Field name",
        description="The field of the record that holds the vector, as a list of numbers.",
        examples=["embedding", "vector"],
    )
    dimensions: Dimensions = Field(
        title="Vector size", description="How many numbers each vector has.", examples=[384, 1536]
    )


class Fake(Choice):
    """Make up 1536 numbers for each text. For trying out a connection: searches will find nothing useful."""

    model_config = ConfigDict(title="Fake (for tests)")
    mode: Literal["fake"] = "fake"


Embedding = OpenAI | AzureOpenAI | OpenAICompatible | Cohere | Local | FromField | Fake
