"""The Qdrant to write to, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import category
from urllib.parse import unquote

import orjson
from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from . import headers
from .parts import SHOWN, WHOLE, OptionalKey, OptionalSecret, OptionalText, Part, Text, Url, filled, problem

#: Both rules are those of Qdrant's own check of a collection name, which counts bytes.
_REFUSED_IN_COLLECTION = re.compile(r'[/\\:*?"<>|\x00\x1f]')
_MAX_COLLECTION_NAME = 255

#: Lists and objects in each other, the metadata among them. Over gRPC, whose messages nest 100 deep, qdrant-client does
#: not read a collection at all that has 34 objects in each other there.
_MAX_LEVELS_OF_METADATA = 32

_Port = Annotated[int, Field(ge=1, le=65_535), WHOLE]


class ApiKeyAuth(Part):
    """Log in with an API key, as Qdrant Cloud and protected servers ask for."""

    model_config = ConfigDict(title="API key")
    mode: Literal["api_key_auth"] = "api_key_auth"
    # An empty key means none, as it did for Airbyte's connector.
    api_key: OptionalKey = Field(title="API key", description="A key that may read and write the collection.")


class NoAuth(Part):
    """For a server without access control, or for a folder."""

    model_config = ConfigDict(title="No authentication")
    mode: Literal["no_auth"] = "no_auth"


class Tls(Part):
    """Certificates for an https address that the usual authorities do not vouch for, or that asks who you are."""

    model_config = ConfigDict(title="TLS certificates")
    ca_certificate: OptionalText = Field(
        default=None,
        title="Certificate authority",
        description="The certificate (PEM) that signed the server's, when it is one of your own.",
        examples=["-----BEGIN CERTIFICATE-----\n..."],
        json_schema_extra={"multiline": True},
    )
    client_certificate: OptionalText = Field(
        default=None,
        title="Client certificate",
        description="The certificate (PEM) to show to a server that asks for one.",
        json_schema_extra={"multiline": True},
    )
    client_key: OptionalSecret = Field(
        default=None,
        title="Client key",
        description="The private key (PEM, without a password) of the client certificate.",
        json_schema_extra={"multiline": True},
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Tls:
        if (self.client_certificate is None) is not (self.client_key is None):
            raise problem("needs client_certificate and client_key together, or neither of them")
        return self


class NewCollection(Part):
    """How a collection is made that does not exist yet. An existing one is never changed. Empty: as the server does."""

    model_config = ConfigDict(title="New collection")
    datatype: Literal["float32", "float16", "uint8"] = Field(
        default="float32",
        title="Numbers of the vectors",
        description="How each number of a vector is stored: float16 takes half the room, uint8 a quarter "
        "(only for vectors of whole numbers from 0 to 255).",
    )
    vectors_on_disk: bool = Field(
        default=False,
        title="Vectors on disk",
        description="Keep vectors on disk and only cache them in memory: for collections larger than the memory.",
    )
    payload_on_disk: bool | None = Field(
        default=None, title="Payload on disk", description="Keep payloads on disk; the server's own default is yes."
    )
    hnsw_m: Annotated[int, Field(ge=0, le=1024), WHOLE] | None = Field(
        default=None,
        title="HNSW m",
        description="Links of each point in the search graph; more find better and take more memory. 0: no graph.",
        examples=[16],
    )
    hnsw_ef_construct: Annotated[int, Field(ge=4, le=10_000), WHOLE] | None = Field(
        default=None,
        title="HNSW ef_construct",
        description="How thoroughly the graph is built; more finds better and takes longer.",
        examples=[100],
    )
    quantization: Literal["none", "scalar", "binary", "product"] = Field(
        default="none",
        title="Quantization",
        description="Also keep small copies of the vectors in memory for a faster search: scalar (8 bits a number), "
        "binary (1 bit, for models of 1024 dimensions and more) or product (a sixteenth, slow to build).",
    )
    shard_number: Annotated[int, Field(ge=1, le=1024), WHOLE] | None = Field(
        default=None, title="Shards", description="Into how many shards a cluster divides the collection.", examples=[6]
    )
    replication_factor: Annotated[int, Field(ge=1, le=64), WHOLE] | None = Field(
        default=None, title="Replicas", description="On how many nodes of a cluster each shard is kept.", examples=[2]
    )
    write_consistency_factor: Annotated[int, Field(ge=1, le=64), WHOLE] | None = Field(
        default=None,
        title="Replicas that confirm a write",
        description="How many replicas must have a write before it counts. With all of them, syncs wait while a node "
        "is down.",
        examples=[1, 2],
    )
    metadata: OptionalText = Field(
        default=None,
        title="Metadata",
        description="A JSON object that is stored with the collection (Qdrant 1.16 and newer).",
        examples=['{"team": "search"}'],
    )

    @field_validator("metadata")
    @classmethod
    def _json_object(cls, text: str | None) -> str | None:
        try:
            parsed = {} if text is None else json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict) or not _is_storable(parsed):
            raise problem(
                'must be a JSON object, such as {"team": "search"}, with numbers of at most 64 bits and at most '
                f"{_MAX_LEVELS_OF_METADATA} levels"
            )
        return text

    @property
    def parsed_metadata(self) -> dict[str, Any]:
        """The metadata as an object."""
        parsed: dict[str, Any] = json.loads(self.metadata) if self.metadata else {}
        return parsed


class PayloadIndexOption(Part):
    """An index over a payload field, which makes filters on it fast (and allowed, in strict mode)."""

    model_config = ConfigDict(title="Payload index")
    field: Text = Field(
        title="Field",
        description="The field as it is called in the payload; reach into objects with dots, into lists of objects "
        "with [], as in Qdrant's filters.",
        examples=["category", "user.id", "comments[].author"],
    )
    type: Literal["keyword", "integer", "float", "bool", "datetime", "geo", "text", "uuid"] = Field(
        title="Type", description="What the field holds."
    )
    tenant: bool = Field(
        default=False,
        title="Tenant",
        description="The field tells tenants apart, and most searches filter on it (keyword and uuid only).",
    )
    on_disk: bool = Field(default=False, title="On disk", description="Keep the index on disk (not for bool).")

    @model_validator(mode="after")
    def _possible(self) -> PayloadIndexOption:
        if self.tenant and self.type not in {"keyword", "uuid"}:
            raise problem("can have tenant only with type keyword or uuid")
        if self.on_disk and self.type == "bool":
            raise problem("cannot have on_disk with type bool")
        return self


def _is_storable(value: dict[str, Any]) -> bool:
    """Whether Qdrant can hold it: integers of 64 bits, finite numbers, valid Unicode, few levels."""
    level: list[Any] = [value]
    for _ in range(_MAX_LEVELS_OF_METADATA):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
    if level:
        return False
    try:
        orjson.dumps(value)
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


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


class Indexing(Part):
    """The Qdrant to write to."""

    model_config = ConfigDict(title="Qdrant")
    url: Url = Field(
        title="Qdrant address",
        description="Address of the Qdrant server; without a port, 6333 and 443 are tried. From inside a container, "
        "localhost is the container itself: use the server's name or host.docker.internal. To run Qdrant embedded in the connector, without a "
        "server, give a folder: file:///some/folder (not on Airbyte Cloud).",
        examples=["https://my-cluster.cloud.qdrant.io:6333", "http://host.docker.internal:6333", "file:///data/qdrant"],
    )
    auth_method: Annotated[ApiKeyAuth | NoAuth, Field(discriminator="mode")] = Field(
        default=NoAuth(), title="Authentication", description="How the server lets you in."
    )
    collection: str = Field(
        title="Collection",
        description="Where all streams are stored, by its name or an alias. It is created by the first sync if it does "
        "not exist.",
        examples=["my_documents"],
    )
    collection_management: Literal["create_if_missing", "must_exist"] = Field(
        default="create_if_missing",
        title="Missing collection",
        description="Whether a collection that does not exist is created, or is an error.",
    )
    vector_name: str = Field(
        default="",
        title="Vector name",
        description="The named vector of the collection to write to. Empty: its unnamed vector.",
        examples=["text"],
    )
    distance_metric: Literal["cos", "dot", "euc", "manhattan"] = Field(
        default="cos",
        title="Distance",
        description="How vectors are compared: cos (cosine, right for nearly all text models), dot (dot product), euc (Euclidean) "
        "or manhattan. Used when the collection is created; it has to equal that of an existing collection.",
        json_schema_extra=SHOWN,
    )
    text_field: str = Field(
        default="text",
        title="Text field in Qdrant",
        description="The payload field that stores the text of a chunk; its name must not begin with _ab_.",
        examples=["text", "page_content"],
    )
    payload_indexes: tuple[PayloadIndexOption, ...] = Field(
        default=(),
        title="Payload indexes",
        description="Indexes over your own fields, made before data is written. An index that exists is left as it is.",
    )
    new_collection: NewCollection = Field(default=NewCollection(), title="New collection")
    prefer_grpc: bool = Field(
        default=True,
        title="Prefer gRPC",
        description="Write over gRPC, which is faster. It needs the server's gRPC port (6334) to be reachable.",
        json_schema_extra=SHOWN,
    )
    grpc_port: _Port | None = Field(
        default=None,
        title="gRPC port",
        description="Where the server's gRPC is, if not at 6334 (or the port after that of the address). When it does "
        "not answer, REST is used.",
        examples=[6334],
    )
    tls: Tls = Field(default=Tls(), title="TLS certificates")
    # One text and not a list: Airbyte restores secrets in objects only, and would store the asterisks it shows for one
    # in a list (`JsonSecretsProcessor.copySecrets` of airbyte-platform).
    headers: OptionalSecret = Field(
        default=None,
        title="Headers",
        description="Sent with every request, for a gateway that asks for them: one in a line, its name, a colon and "
        "its value. Kept as a secret.",
        examples=["X-Tenant: blue"],
        json_schema_extra={"multiline": True},
    )
    proxy: OptionalSecret = Field(
        default=None,
        title="Proxy",
        description="Address of an HTTP proxy that leads to the server. Empty: the one of the environment, if any.",
        examples=["http://proxy.example.com:3128"],
    )
    batch_size: Annotated[int, Field(ge=1, le=4096), WHOLE] = Field(
        default=512,
        title="Points in one request",
        description="How many points one request may hold; a request also ends at some megabytes. Smaller requests are "
        "easier on a small server, and show progress sooner; requests to the provider of embeddings hold no more texts.",
    )
    batch_megabytes: Annotated[int, Field(ge=1, le=64), WHOLE] | None = Field(
        default=None,
        title="Megabytes in one request",
        description="How large one request may become. Empty: 4 over REST and 16 over gRPC. A server takes no more "
        "than 32 over REST, unless it is set up to.",
        examples=[4],
    )
    requests_in_flight: Annotated[int, Field(ge=1, le=64), WHOLE] = Field(
        default=4,
        title="Requests at once",
        description="How many requests may write to Qdrant at the same time.",
    )
    timeout: Annotated[int, Field(ge=1, le=3600), WHOLE] = Field(
        default=60,
        title="Seconds for one request",
        description="How long the server may take to answer a request before the connection counts as lost.",
    )
    retry_seconds: Annotated[int, Field(ge=0, le=86400), WHOLE] = Field(
        default=300,
        title="Seconds of retries",
        description="How long a request is repeated while the server is away, overloaded or limits the rate. "
        "After that the sync fails, and the next one goes on where it ended.",
    )
    write_ordering: Literal["weak", "medium", "strong"] = Field(
        default="weak",
        title="Write ordering",
        description="How strictly a cluster orders writes to the same point. The connector never has two of them under "
        "way, so weak is enough unless others write to the same points.",
    )
    shard_key: OptionalText = Field(
        default=None,
        title="Shard key",
        description="The shard to write to in a collection that is divided by keys of your own (custom sharding).",
        examples=["europe"],
    )
    model_guard: bool = Field(
        default=True,
        title="Refuse another model",
        description="The model is noted with the collection, and a sync with another one is refused: vectors of "
        "different models cannot be compared. Switched off, the note is replaced.",
    )
    version_guard: bool = Field(
        default=True,
        title="Keep the newer version",
        description="In streams with a cursor, a record that is older than the stored one does not replace it. "
        "Switched off, the last one that arrives stays.",
    )
    reuse_vectors: bool = Field(
        default=True,
        title="Do not embed the same text again",
        description="Text that is stored already with a vector of the same model keeps it, and in deduplicated streams "
        "an unchanged record is not written again. Switched off, every record is embedded and written anew.",
    )

    @property
    def embedded_folder(self) -> Path | None:
        """The folder of an embedded Qdrant; None for a server."""
        path = _file_path(self.url)
        return None if path is None else Path(path)

    @property
    def parsed_headers(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each header."""
        return () if self.headers is None else headers.pairs(self.headers.get_secret_value())

    @field_validator("url")
    @classmethod
    def _usable_address(cls, url: str, info: ValidationInfo) -> str:
        path = _file_path(url)
        if path == "" or url.startswith("/"):
            raise problem("must name a folder by its absolute path, as in file:///data/qdrant")
        if path is not None and (info.context or {}).get("cloud"):
            raise problem("must be the address of a Qdrant server, because a folder cannot be used on Airbyte Cloud")
        return url

    @field_validator("auth_method", mode="before")
    @classmethod
    def _empty_is_absent(cls, raw: object) -> object:
        """The old schema takes an empty object for no_auth."""
        return NoAuth() if raw == {} else raw

    @field_validator("proxy")
    @classmethod
    def _proxy_address(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not re.fullmatch(r"https?://[^\s/]+/?", proxy.get_secret_value()):
            raise problem("must be an address such as http://proxy.example.com:3128")
        return proxy

    @field_validator("headers")
    @classmethod
    def _sendable_headers(cls, lines: SecretStr | None) -> SecretStr | None:
        if lines is not None and (wrong := headers.problem_of(lines.get_secret_value())):
            raise problem(wrong)
        return lines

    @field_validator("shard_key")
    @classmethod
    def _readable(cls, key: str | None) -> str | None:
        if key is not None and any(category(character) == "Cc" for character in filled(key)):
            raise problem("holds a line break or another control character")
        return key

    @field_validator("vector_name")
    @classmethod
    def _name_of_vector(cls, name: str) -> str:
        if name:
            filled(name)
        return name

    @field_validator("text_field")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name.startswith("_ab_"):
            raise problem("must not begin with _ab_, which marks the connector's own fields")
        return name

    @field_validator("collection")
    @classmethod
    def _name_qdrant_takes(cls, name: str) -> str:
        filled(name)
        if len(name.encode()) > _MAX_COLLECTION_NAME:
            raise problem(f"must not be longer than {_MAX_COLLECTION_NAME} bytes (a letter with an accent takes two)")
        if name in {".", ".."} or _REFUSED_IN_COLLECTION.search(name):
            raise problem('must be a name that Qdrant takes: without / \\ : * ? " < > | and not just dots')
        return name
