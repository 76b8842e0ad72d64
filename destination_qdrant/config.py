"""The user's configuration: its shape, what the form says about it, and which values it refuses.

`spec` makes the form out of these models. Titles, descriptions and examples are read by the person who fills it
in, the docstring of a model introduces that part of the form, and fields stand in the form as they stand here.

Names and meanings are those of Airbyte's destination-qdrant 0.1.41, so what was stored for it stays valid. That is
why several limits are checked here but are absent from the schema: a stricter schema would refuse what is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from . import config_problems, config_secrets
from .errors import ConfigError

#: Qdrant's own limit for the size of a dense vector.
MAX_DIMENSIONS = 65_536

#: Both rules are those of Qdrant's own check of a collection name, which counts bytes.
_REFUSED_IN_COLLECTION = re.compile(r'[/\\:*?"<>|\x00\x1f]')
_MAX_COLLECTION_NAME = 255

_T = TypeVar("_T", str, SecretStr)


# ----------------------------------------------------------------------------------------------------------
# Checks of single values. Their texts follow the name of the field, and never hold the value.


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError(config_problems.OWN_ERROR, "{text}", {"text": text})


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _filled(value: _T) -> _T:
    text = value if isinstance(value, str) else value.get_secret_value()
    if not text.strip():
        raise _problem("must not be empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _problem("holds a character that is not valid Unicode")
    return value


def _sendable(value: SecretStr) -> SecretStr:
    """A key travels in a header, which holds printable ASCII only."""
    if not re.fullmatch(r"[\x20-\x7e]*", value.get_secret_value()):
        raise _problem("holds a line break or another character that no key can have; copy the key again")
    return value


def _not_boolean(value: object) -> object:
    """Pydantic reads true as the number 1."""
    if isinstance(value, bool):
        raise _problem("must be a whole number, not true or false")
    return value


def _possible_dimensions(value: int) -> int:
    if not 1 <= value <= MAX_DIMENSIONS:
        raise _problem(f"must be between 1 and {MAX_DIMENSIONS}")
    return value


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _quoted_text(value: str) -> str:
    try:
        parsed = json.loads(value, strict=False)
    except (ValueError, RecursionError):  # the latter is said of brackets nested a hundred thousand deep
        parsed = None
    if not isinstance(parsed, str):
        raise _problem(r'must be a text in double quotes, such as "\n" or "."')
    return value


_WHOLE = BeforeValidator(_not_boolean)
_Integer = Annotated[int, _WHOLE]
_Dimensions = Annotated[_Integer, AfterValidator(_possible_dimensions)]
_ShownDimensions = Annotated[int, Field(ge=1, le=MAX_DIMENSIONS), _WHOLE]
_Text = Annotated[str, AfterValidator(_filled)]
_Url = Annotated[_Text, BeforeValidator(_stripped)]
_OptionalKey = Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_sendable)]
_Key = Annotated[_OptionalKey, AfterValidator(_filled)]
_Separator = Annotated[str, AfterValidator(_quoted_text)]

#: Shown at once, not folded away under "Optional fields".
_SHOWN: dict[str, Any] = {"always_show": True}

_SHORTER_VECTORS = (
    "Length of the vectors, for models that can shorten them. Leave empty for the model's own length. "
    "It has to equal the vector size of a collection that exists already."
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, raw: object) -> object:
        """A field set to null counts as not given."""
        return {key: value for key, value in raw.items() if value is not None} if isinstance(raw, dict) else raw


def _require_mode(schema: dict[str, Any]) -> None:
    schema["required"] = ["mode", *schema.get("required", [])]


class _Choice(_Part):
    model_config = ConfigDict(json_schema_extra=_require_mode)


# ----------------------------------------------------------------------------------------------------------
# Embedding


class OpenAI(_Choice):
    """Use OpenAI's embedding models. The text of your records is sent to OpenAI."""

    model_config = ConfigDict(title="OpenAI")
    mode: Literal["openai"] = "openai"
    openai_key: _Key = Field(title="API key", description="A secret key of your OpenAI project.", examples=["sk-..."])
    # None is the model of Airbyte's connector, for configurations stored before there was a choice.
    # The form suggests a current model instead.
    model_name: Annotated[str | None, BeforeValidator(_blank_is_none)] = Field(
        default=None,
        title="Model",
        description="Name of the embedding model. A configuration without a model uses text-embedding-ada-002. "
        "Vectors of different models cannot be compared, so keep the model for as long as you keep the collection.",
        examples=["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"],
        json_schema_extra={"default": "text-embedding-3-small", **_SHOWN},
    )
    dimensions: _ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[512, 1536]
    )


class AzureOpenAI(_Choice):
    """Use an OpenAI embedding model that you deployed in Azure."""

    model_config = ConfigDict(title="Azure OpenAI")
    mode: Literal["azure_openai"] = "azure_openai"
    openai_key: _Key = Field(
        title="API key", description="One of the two keys of your Azure OpenAI resource, under Keys and Endpoint."
    )
    api_base: _Url = Field(
        title="Endpoint",
        description="Address of your Azure OpenAI resource, shown next to its keys.",
        examples=["https://my-resource.openai.azure.com"],
    )
    deployment: _Text = Field(
        title="Deployment",
        description="The name you gave to the deployment of the embedding model (not the name of the model).",
        examples=["my-embeddings"],
    )
    dimensions: _ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[512, 1536]
    )
    api_version: _Text = Field(
        default="2024-10-21",
        title="API version",
        description="Version of the Azure OpenAI API to call. Change it only when your resource asks for another one.",
        examples=["2024-10-21"],
    )


class OpenAICompatible(_Choice):
    """Use any service with OpenAI's embeddings API, such as Ollama, vLLM, LM Studio or LiteLLM."""

    model_config = ConfigDict(title="OpenAI-compatible service")
    mode: Literal["openai_compatible"] = "openai_compatible"
    base_url: _Url = Field(
        title="Base URL",
        description="Address of the service up to the part before /embeddings.",
        examples=["https://embeddings.example.com/v1"],
    )
    api_key: _OptionalKey = Field(
        default=SecretStr(""),
        title="API key",
        description="Leave empty when the service needs none.",
        json_schema_extra=_SHOWN,
    )
    model_name: str = Field(
        default="text-embedding-ada-002",
        title="Model",
        description="Name of the embedding model, as the service knows it.",
        examples=["nomic-embed-text", "BAAI/bge-m3"],
        json_schema_extra=_SHOWN,
    )
    dimensions: _Dimensions = Field(
        title="Vector size",
        description="How many numbers the model returns for a text. The model's documentation gives it.",
        examples=[384, 768, 1536],
    )


class Cohere(_Choice):
    """Use Cohere's embedding models. The text of your records is sent to Cohere."""

    model_config = ConfigDict(title="Cohere")
    mode: Literal["cohere"] = "cohere"
    cohere_key: _Key = Field(title="API key", description="An API key from your Cohere dashboard.")
    model_name: _Text = Field(
        default="embed-v4.0",
        title="Model",
        description="Name of the embedding model. "
        "Vectors of different models cannot be compared, so keep the model for as long as you keep the collection.",
        examples=["embed-v4.0", "embed-multilingual-v3.0", "embed-english-v3.0"],
        json_schema_extra=_SHOWN,
    )
    dimensions: _ShownDimensions | None = Field(
        default=None, title="Vector size", description=_SHORTER_VECTORS, examples=[1024, 1536]
    )


class Local(_Choice):
    """Compute vectors inside the connector: no key, no cost, and no text leaves your machine."""

    model_config = ConfigDict(title="Local model")
    mode: Literal["local"] = "local"
    model_name: _Text = Field(
        default="all-MiniLM-L6-v2",
        title="Model",
        description="The default comes with the connector and makes 384 numbers for a text. "
        "Any other model that FastEmbed knows is downloaded at its first use.",
        examples=["all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5"],
        json_schema_extra=_SHOWN,
    )
    model_path: Annotated[str | None, BeforeValidator(_blank_is_none)] = Field(
        default=None,
        title="Model folder",
        description="Folder with the model's files, as the connector sees it. With it nothing is downloaded.",
        examples=["/models/all-MiniLM-L6-v2"],
    )


class FromField(_Choice):
    """Take vectors that your records already contain. A record becomes one point, its text is not split."""

    model_config = ConfigDict(title="Vectors from a record field")
    mode: Literal["from_field"] = "from_field"
    field_name: _Text = Field(
        title="Field name",
        description="The field of the record that holds the vector, as a list of numbers.",
        examples=["embedding", "vector"],
    )
    dimensions: _Dimensions = Field(
        title="Vector size", description="How many numbers each vector has.", examples=[384, 1536]
    )


class Fake(_Choice):
    """Make up 1536 numbers for each text. For trying out a connection: searches will find nothing useful."""

    model_config = ConfigDict(title="Fake (for tests)")
    mode: Literal["fake"] = "fake"


# ----------------------------------------------------------------------------------------------------------
# Processing


class SeparatorSplitter(_Choice):
    """Split at the first separator that makes the pieces small enough: paragraphs, then lines, then words."""

    model_config = ConfigDict(title="At separators")
    mode: Literal["separator"] = "separator"
    separators: tuple[_Separator, ...] = Field(
        default=(r'"\n\n"', r'"\n"', '" "', '""'),
        title="Separators",
        description="Tried in this order. Put each one in double quotes and write a line break as \\n; "
        "an empty pair of quotes allows a split anywhere.",
        examples=[r'"\n\n"', '". "'],
    )
    keep_separator: bool = Field(
        default=False,
        title="Keep separators",
        description="Leave the separators in the chunks instead of dropping them.",
    )

    @property
    def parsed(self) -> tuple[str, ...]:
        """The separators without their quotes; none at all means the default ones, as in Airbyte's connector."""
        quoted = self.separators or type(self).model_fields["separators"].default
        return tuple(json.loads(separator, strict=False) for separator in quoted)


class MarkdownSplitter(_Choice):
    """Split before Markdown headings. Short sections that follow each other share a chunk."""

    model_config = ConfigDict(title="At Markdown headings")
    mode: Literal["markdown"] = "markdown"
    split_level: Annotated[int, Field(ge=1, le=6), _WHOLE] = Field(
        default=1,
        title="Heading level",
        description="The deepest heading to split at: 1 splits at #, 2 at # and ##, and so on.",
        examples=[2],
    )


class CodeSplitter(_Choice):
    """Split source code between its functions and classes, or marked-up text between its sections."""

    model_config = ConfigDict(title="By programming language")
    mode: Literal["code"] = "code"
    language: Literal[
        "cpp", "go", "java", "js", "php", "proto", "python", "rst",
        "ruby", "rust", "scala", "swift", "markdown", "latex", "html", "sol",
    ] = Field(title="Language", description="The language that the text fields are written in.")  # fmt: skip


class FieldNameMapping(_Part):
    """One field and the name it gets."""

    model_config = ConfigDict(title="Renamed field")
    from_field: str = Field(title="Field in the record", description="Its name at the source.", examples=["body"])
    to_field: str = Field(title="Name in Qdrant", description="Its name in the payload.", examples=["content"])


class Processing(_Part):
    """Which fields of a record are embedded, which are stored beside the vector, and how text is split."""

    model_config = ConfigDict(title="Processing")
    chunk_size: Annotated[int, Field(ge=1, le=8191), _WHOLE] = Field(
        title="Chunk size",
        description="The longest piece of text that gets one vector, in tokens (a token is about four letters of "
        "English). Small chunks make search results precise, large ones keep more context.",
        examples=[512],
    )
    chunk_overlap: _Integer = Field(
        default=0,
        title="Chunk overlap",
        description="How many tokens a chunk repeats from the one before it, so that no sentence loses its context. "
        "At most the chunk size.",
        examples=[50],
        json_schema_extra=_SHOWN,
    )
    text_fields: tuple[str, ...] = Field(
        default=(),
        title="Text fields",
        description="Fields whose text is embedded; all fields when empty. Reach into objects with dots (user.name) "
        "and into lists with a star (comments.*.text). Used for all streams; fields that a stream lacks are ignored.",
        examples=["text", "user.name", "comments.*.text"],
        json_schema_extra=_SHOWN,
    )
    metadata_fields: tuple[str, ...] = Field(
        default=(),
        title="Metadata fields",
        description="Fields stored in the payload, for filters and for showing results; all fields when empty. Written "
        "like text fields. A path with a star stores the list of what it finds, under the path as its name.",
        examples=["category", "user.name", "tags.*.label"],
        json_schema_extra=_SHOWN,
    )
    text_splitter: Annotated[SeparatorSplitter | MarkdownSplitter | CodeSplitter, Field(discriminator="mode")] = Field(
        default=SeparatorSplitter(),
        title="Text splitter",
        description="Where to split text that is longer than the chunk size.",
    )
    field_name_mappings: tuple[FieldNameMapping, ...] = Field(
        default=(),
        title="Renamed fields",
        description="Gives payload fields another name than at the source. "
        "A nested field can be renamed when it is listed as a metadata field with its dotted path.",
    )
    max_payload_bytes: Annotated[int, Field(ge=1024, le=16 * 2**20), _WHOLE] = Field(
        default=2**20,
        title="Largest payload of a point, in bytes",
        description="When the stored fields of a record need more, its text fields leave the payload first, then the "
        "largest fields. The field _ab_meta of the point says which ones.",
        examples=[2**20],
    )

    @field_validator("chunk_overlap")
    @classmethod
    def _smaller_than_chunk(cls, overlap: int, info: ValidationInfo) -> int:
        if overlap < 0:
            raise _problem("must be 0 or more")
        size: int = info.data.get("chunk_size", overlap)
        if overlap > size:
            raise _problem("must not be larger than processing.chunk_size")
        # Airbyte's connector accepts an overlap as large as the chunk; a chunk still has to get one token further.
        return min(overlap, max(size - 1, 0))

    @field_validator("field_name_mappings")
    @classmethod
    def _one_source_per_target(cls, mappings: tuple[FieldNameMapping, ...]) -> tuple[FieldNameMapping, ...]:
        different = {(mapping.from_field, mapping.to_field) for mapping in mappings}
        if len({target for _, target in different}) < len(different):
            raise _problem("must not give two fields the same to_field, because one would replace the other")
        return mappings


# ----------------------------------------------------------------------------------------------------------
# Indexing


# The two ways to log in do not list `mode` as required: Airbyte's connector did not, and a list that grows
# refuses stored configurations.
class ApiKeyAuth(_Part):
    """Log in with an API key, as Qdrant Cloud and protected servers ask for."""

    model_config = ConfigDict(title="API key")
    mode: Literal["api_key_auth"] = "api_key_auth"
    # An empty key means none, as it did for Airbyte's connector.
    api_key: _OptionalKey = Field(title="API key", description="A key that may read and write the collection.")


class NoAuth(_Part):
    """For a server without access control, or for a folder."""

    model_config = ConfigDict(title="No authentication")
    mode: Literal["no_auth"] = "no_auth"


def _file_path(url: str) -> str | None:
    """The absolute path in a `file:` URL, '' if it names none; None for any other URL."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "file":
        return None
    if rest.startswith("//"):
        host, _, path = rest[2:].partition("/")
        rest = f"/{path}" if host.lower() in {"", "localhost"} else ""
    path = unquote(rest)
    usable = path.startswith("/") and path.strip("/") and "\0" not in path
    return "/" + path.strip("/") if usable else ""


class Indexing(_Part):
    """The Qdrant to write to."""

    model_config = ConfigDict(title="Qdrant")
    url: _Url = Field(
        title="Qdrant address",
        description="Address of the Qdrant server, with its port. From inside a container, localhost is the container "
        "itself: use the server's name or host.docker.internal. To run Qdrant embedded in the connector, without a "
        "server, give a folder: file:///some/folder (not on Airbyte Cloud).",
        examples=["https://my-cluster.cloud.qdrant.io:6333", "http://host.docker.internal:6333", "file:///data/qdrant"],
    )
    auth_method: Annotated[ApiKeyAuth | NoAuth, Field(discriminator="mode")] = Field(
        default=NoAuth(), title="Authentication", description="How the server lets you in."
    )
    collection: str = Field(
        title="Collection",
        description="Where all streams are stored. It is created by the first sync if it does not exist.",
        examples=["my_documents"],
    )
    distance_metric: Literal["cos", "dot", "euc"] = Field(
        default="cos",
        title="Distance",
        description="How vectors are compared: cos (cosine, right for nearly all text models), dot (dot product) or euc "
        "(Euclidean). Used when the collection is created; it has to equal that of an existing collection.",
        json_schema_extra=_SHOWN,
    )
    text_field: str = Field(
        default="text",
        title="Text field in Qdrant",
        description="The payload field that stores the text of a chunk.",
        examples=["text", "page_content"],
    )
    prefer_grpc: bool = Field(
        default=True,
        title="Prefer gRPC",
        description="Write over gRPC, which is faster. It needs the server's gRPC port (6334) to be reachable.",
        json_schema_extra=_SHOWN,
    )
    batch_size: Annotated[int, Field(ge=1, le=4096), _WHOLE] = Field(
        default=512,
        title="Points in one request",
        description="How many points one request may hold; a request also ends at some megabytes. Smaller requests are "
        "easier on a small server, and show progress sooner.",
    )
    requests_in_flight: Annotated[int, Field(ge=1, le=64), _WHOLE] = Field(
        default=4,
        title="Requests at once",
        description="How many batches are embedded and written at the same time.",
    )
    timeout: Annotated[int, Field(ge=1, le=3600), _WHOLE] = Field(
        default=60,
        title="Seconds for one request",
        description="How long the server may take to answer a request before the connection counts as lost.",
    )
    retry_seconds: Annotated[int, Field(ge=0, le=86400), _WHOLE] = Field(
        default=300,
        title="Seconds of retries",
        description="How long a request is repeated while the server is away, overloaded or limits the rate. "
        "After that the sync fails, and the next one goes on where it ended.",
    )

    @property
    def embedded_folder(self) -> Path | None:
        """The folder of an embedded Qdrant; None for a server."""
        path = _file_path(self.url)
        return None if path is None else Path(path)

    @field_validator("url")
    @classmethod
    def _usable_address(cls, url: str, info: ValidationInfo) -> str:
        path = _file_path(url)
        if path == "" or url.startswith("/"):
            raise _problem("must name a folder by its absolute path, as in file:///data/qdrant")
        if path is not None and (info.context or {}).get("cloud"):
            raise _problem("must be the address of a Qdrant server, because a folder cannot be used on Airbyte Cloud")
        return url

    @field_validator("auth_method", mode="before")
    @classmethod
    def _empty_is_absent(cls, raw: object) -> object:
        """The old schema takes an empty object for no_auth."""
        return NoAuth() if raw == {} else raw

    @field_validator("text_field")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name.startswith("_ab_"):
            raise _problem("must not begin with _ab_, which marks the connector's own fields")
        return name

    @field_validator("collection")
    @classmethod
    def _name_qdrant_takes(cls, name: str) -> str:
        _filled(name)
        if len(name.encode()) > _MAX_COLLECTION_NAME:
            raise _problem(f"must not be longer than {_MAX_COLLECTION_NAME} bytes (a letter with an accent takes two)")
        if name in {".", ".."} or _REFUSED_IN_COLLECTION.search(name):
            raise _problem('must be a name that Qdrant takes: without / \\ : * ? " < > | and not just dots')
        return name


# ----------------------------------------------------------------------------------------------------------
# The whole


Embedding = OpenAI | AzureOpenAI | OpenAICompatible | Cohere | Local | FromField | Fake


class Config(_Part):
    """Loads records into Qdrant: their text split into chunks, each chunk with its vector."""

    model_config = ConfigDict(title="Qdrant destination")
    processing: Processing = Field(title="Processing", json_schema_extra={"group": "processing"})
    embedding: Annotated[Embedding, Field(discriminator="mode")] = Field(
        title="Embedding",
        description="What turns text into vectors. Use the same model to embed your questions when you search.",
        json_schema_extra={"group": "embedding"},
    )
    indexing: Indexing = Field(title="Qdrant", json_schema_extra={"group": "indexing"})
    omit_raw_text: bool = Field(
        default=False,
        title="Do not store the text",
        description="Leaves the text of the chunks out. Text fields are still stored with the metadata, "
        "unless the metadata fields list others.",
        json_schema_extra={"group": "advanced", **_SHOWN},
    )


def parse_config(raw: object, *, deployment_mode: str = "") -> Config:
    """The typed configuration.

    Args:
        raw: the JSON value of the configuration.
        deployment_mode: where Airbyte runs; "cloud" refuses folders.

    Raises:
        ConfigError: one sentence that names fields and what is wrong with them, never a value.
    """
    try:
        return Config.model_validate(raw, context={"cloud": deployment_mode.lower() == "cloud"})
    except ValidationError as error:
        sentence = config_problems.sentence(error.errors(include_url=False), _MODES)
    # Raised outside the handler: pydantic's error carries the values, and must not ride along as the context.
    raise ConfigError(sentence)


def secrets(config: Config) -> tuple[str, ...]:
    """Every secret value of the configuration, passwords inside URLs included."""
    return config_secrets.distinct(_secrets_in_part(config))


def secrets_of_raw(raw: object) -> tuple[str, ...]:
    """The secrets of a configuration that may not parse: all text under a secret's name, at any depth.

    Names are compared without case, hyphens and underscores, because a misspelt name is a reason not to parse.
    """
    return config_secrets.distinct(config_secrets.in_json(raw, _SECRET_NAMES))


# ----------------------------------------------------------------------------------------------------------
# What only the models tell


def _modes(union: object) -> tuple[str, ...]:
    return tuple(get_args(part.model_fields["mode"].annotation)[0] for part in get_args(union))


#: Field -> the modes that choose its shape.
_MODES: Mapping[str, tuple[str, ...]] = {
    "embedding": _modes(Embedding),
    "text_splitter": _modes(Processing.model_fields["text_splitter"].annotation),
    "auth_method": _modes(Indexing.model_fields["auth_method"].annotation),
}


def _secrets_in_part(part: BaseModel) -> Iterator[str]:
    for _, value in part:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, str):
            yield from config_secrets.in_url(value)
        elif isinstance(value, BaseModel):
            yield from _secrets_in_part(value)


_SECRET_NAMES = frozenset(
    config_secrets.folded(name)
    for part in (*get_args(Embedding), ApiKeyAuth)
    for name, field in part.model_fields.items()
    if field.annotation is SecretStr
)
