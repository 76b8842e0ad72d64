"""How text becomes vectors: one form for each provider."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from .parts import (
    SHOWN,
    WHOLE,
    Choice,
    Dimensions,
    Key,
    OptionalKey,
    OptionalText,
    OptionalUrl,
    Part,
    ShownDimensions,
    Text,
    Url,
    blank_is_none,
    problem,
)

_SHORTER_VECTORS = (
    "Length of the vectors, for models that can shorten them. Leave empty for the model's own length. "
    "It has to equal the vector size of a collection that exists already."
)

#: What the connector itself says in a request; `extra_body` cannot say it again.
_OWN_IN_BODY = frozenset({"input", "model", "encoding_format", "dimensions"})


class Requests(Part):
    """How the provider is asked. The defaults keep it busy within its limits, which are found out while a sync runs."""

    model_config = ConfigDict(title="Requests")
    in_flight: Annotated[int, Field(ge=1, le=64), WHOLE] = Field(
        default=8,
        title="Requests at once",
        description="How many requests may be under way at the same time. When the provider limits the rate, fewer are "
        "sent by themselves.",
    )
    batch_size: Annotated[int, Field(ge=1, le=2048), WHOLE] | None = Field(
        default=None,
        title="Texts in one request",
        description="The most texts in one request; never more than the points in one request under Qdrant. Empty: what "
        "suits the provider.",
        examples=[96],
    )
    batch_tokens: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = Field(
        default=None,
        title="Tokens in one request",
        description="The most tokens in one request, all texts together. Empty: what suits the provider.",
        examples=[16_000],
    )
    timeout: Annotated[int, Field(ge=1, le=3600), WHOLE] = Field(
        default=60,
        title="Seconds for one request",
        description="How long the provider may take to answer a request before the connection counts as lost.",
    )
    retry_seconds: Annotated[int, Field(ge=0, le=86_400), WHOLE] = Field(
        default=600,
        title="Seconds of retries",
        description="How long a request is repeated while the provider is away or overloaded, and how long all of them "
        "may be refused by a rate limit, before the sync fails. The next one goes on where it ended.",
    )
    requests_per_minute: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        default=None,
        title="Requests per minute",
        description="How many requests this connection may send in a minute. Empty: as fast as the provider allows.",
        examples=[500],
    )
    tokens_per_minute: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        default=None,
        title="Tokens per minute",
        description="How many tokens this connection may send in a minute. Empty: as fast as the provider allows.",
        examples=[1_000_000],
    )


def _requests() -> Any:
    return Field(default=Requests(), title="Requests")


class OpenAI(Choice):
    """Use OpenAI's embedding models. The text of your records is sent to OpenAI."""

    model_config = ConfigDict(title="OpenAI")
    mode: Literal["openai"] = "openai"
    openai_key: Key = Field(title="API key", description="A secret key of your OpenAI project.", examples=["sk-..."])
    # None lets the collection decide, for configurations stored before there was a choice of models.
    model_name: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        title="Model",
        description="Name of the embedding model. Left empty, a collection keeps the model that it was filled with "
        "(text-embedding-ada-002 if that was Airbyte's connector), and a new one gets text-embedding-3-small. "
        "Vectors of different models cannot be compared, so keep the model for as long as you keep the collection.",
        examples=["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"],
        json_schema_extra=SHOWN,
    )
    dimensions: ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[512, 1536]
    )
    base_url: OptionalUrl = Field(
        default=None,
        title="Address",
        description="For projects whose data stays in a region. Empty: https://api.openai.com/v1.",
        examples=["https://eu.api.openai.com/v1"],
    )
    requests: Requests = _requests()


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
    model_name: OptionalText = Field(
        default=None,
        title="Model",
        description="The model behind the deployment. With it, the vector size is known without asking, and all "
        "deployments of the model count as one. Set it before the first sync, or not at all.",
        examples=["text-embedding-3-small"],
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
    requests: Requests = _requests()


class OpenAICompatible(Choice):
    """Use any service with OpenAI's embeddings API, such as Voyage, Mistral, Gemini, Ollama, vLLM or LiteLLM."""

    model_config = ConfigDict(title="OpenAI-compatible service")
    mode: Literal["openai_compatible"] = "openai_compatible"
    preset: Literal[
        "custom", "voyage", "mistral", "gemini", "jina", "nvidia", "ollama", "tei", "openrouter"
    ] = Field(
        default="custom",
        title="Service",
        description="A known service fills in what is left empty here: its address, a model, and the limits of a "
        "request. What you enter wins. Ollama and TEI are looked for on the machine or in the container that the "
        "connector runs in: enter their address.",
        json_schema_extra=SHOWN,
    )  # fmt: skip
    base_url: OptionalUrl = Field(
        default=None,
        title="Base URL",
        description="Address of the service up to the part before /embeddings. Needed for a custom service.",
        examples=["https://embeddings.example.com/v1"],
        json_schema_extra=SHOWN,
    )
    api_key: OptionalKey = Field(
        default=SecretStr(""),
        title="API key",
        description="Leave empty when the service needs none.",
        json_schema_extra=SHOWN,
    )
    model_name: OptionalText = Field(
        default=None,
        title="Model",
        description="Name of the embedding model, as the service knows it. Empty: the usual one of the known service, "
        "or text-embedding-ada-002 for a custom one.",
        examples=["nomic-embed-text", "BAAI/bge-m3"],
        json_schema_extra=SHOWN,
    )
    dimensions: Dimensions | None = Field(
        default=None,
        title="Vector size",
        description="How many numbers the model returns for a text. Empty: found out by embedding a short text. To shorten "
        "vectors, also ask for the vector size.",
        examples=[384, 768, 1536],
        json_schema_extra=SHOWN,
    )
    send_dimensions: bool = Field(
        default=False,
        title="Ask for the vector size",
        description="Send the vector size with each request, for models that can shorten their vectors. Many services "
        "refuse it.",
    )
    document_prefix: str = Field(
        default="",
        title="Prefix of each text",
        description="Put before each text when it is embedded, and not stored; some models want to be told that a text is a "
        "document and not a question.",
        examples=["passage: ", "search_document: "],
    )
    extra_body: OptionalText = Field(
        default=None,
        title="More fields of a request",
        description="A JSON object whose fields are sent with each request. It is shown to whoever sees this form: no "
        "place for keys.",
        examples=['{"input_type": "document"}'],
    )
    max_text_tokens: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = Field(
        default=None,
        title="Tokens in one text",
        description="The longest text the model takes, counted as the chunk size is: leave a margin where the model counts "
        "otherwise. Empty: as known of the model, or else the chunk size.",
        examples=[512, 8192],
    )
    requests: Requests = _requests()

    @field_validator("extra_body")
    @classmethod
    def _fields_of_a_request(cls, text: str | None) -> str | None:
        try:
            parsed = {} if text is None else json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise problem('must be a JSON object, such as {"input_type": "document"}')
        own = sorted(_OWN_IN_BODY & parsed.keys())
        if own:
            raise problem(f"must not hold {' and '.join(own)}, which the connector itself sends")
        try:
            json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise problem("holds a number that is not finite, or a character that is not valid Unicode") from None
        return text

    @model_validator(mode="after")
    def _size_to_ask_for(self) -> OpenAICompatible:
        if self.send_dimensions and self.dimensions is None:
            raise problem("needs dimensions with send_dimensions: the vector size to ask for")
        return self

    @property
    def parsed_extra_body(self) -> dict[str, Any] | None:
        """The additional fields as an object; None to leave them to the preset."""
        parsed: dict[str, Any] | None = None if self.extra_body is None else json.loads(self.extra_body)
        return parsed


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
    base_url: OptionalUrl = Field(
        default=None,
        title="Address",
        description="For a private deployment of Cohere's models. Empty: https://api.cohere.com.",
        examples=["https://cohere.example.com"],
    )
    requests: Requests = _requests()


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

    @field_validator("model_path")
    @classmethod
    def _no_folder_on_cloud(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and (info.context or {}).get("cloud"):
            raise problem("must be empty, because a folder cannot be used on Airbyte Cloud")
        return path


class QdrantInference(Choice):
    """Let the Qdrant server embed the text (Qdrant Cloud Inference): no key and no provider is needed here."""

    model_config = ConfigDict(title="Qdrant's own inference")
    mode: Literal["qdrant"] = "qdrant"
    model_name: Text = Field(
        default="sentence-transformers/all-minilm-l6-v2",
        title="Model",
        description="Name of the model, as the cluster's page lists it under Inference. Models of other providers need "
        "their key in a header (see Headers under Qdrant).",
        examples=["sentence-transformers/all-minilm-l6-v2", "mixedbread-ai/mxbai-embed-large-v1"],
        json_schema_extra=SHOWN,
    )
    dimensions: ShownDimensions | None = Field(
        default=None,
        title="Vector size",
        description="How many numbers the model makes. Empty: as known of the model, or as the collection has it.",
        examples=[384, 1024],
    )
    document_prefix: str = Field(
        default="",
        title="Prefix of each text",
        description="Put before each text when it is embedded, and not stored.",
        examples=["passage: "],
    )


class FromField(Choice):
    """Take vectors that your records already contain. A record becomes one point, its text is not split."""

    model_config = ConfigDict(title="Vectors from a record field")
    mode: Literal["from_field"] = "from_field"
    field_name: Text = Field(
        title="Field name",
        description="The field of the record, not inside another one, that holds the vector as a list of numbers.",
        examples=["embedding", "vector"],
    )
    dimensions: Dimensions = Field(
        title="Vector size", description="How many numbers each vector has.", examples=[384, 1536]
    )


class Fake(Choice):
    """Make up 1536 numbers for each text. For trying out a connection: searches will find nothing useful."""

    model_config = ConfigDict(title="Fake (for tests)")
    mode: Literal["fake"] = "fake"


Embedding = OpenAI | AzureOpenAI | OpenAICompatible | Cohere | Local | QdrantInference | FromField | Fake
