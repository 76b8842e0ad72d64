"""OpenAI, OpenAI models deployed in Azure, and everything else that speaks OpenAI's embeddings API.

Answers are read raw, not through the SDK's models: those take 3 ms for a vector of plain numbers, keep the server's
order, and turn a proxy's HTML page into an AttributeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

import httpx2
import orjson
from openai import APIConnectionError, APIError, APIStatusError, AzureOpenAI, OpenAI, Timeout, omit

from ..errors import ConfigError
from ..vectors import Dense
from .answers import Unusable, in_order, vectors
from .base import TextLimit
from .requests import CONNECT_TIMEOUT, TIMEOUT, Bounds, Patience, Requests
from .service import (
    BrokenAnswerError,
    InvalidRequestError,
    Refusal,
    Service,
    WrongDimensionsError,
    broken,
    check_dimensions,
    clean_address,
    clean_key,
    refused,
    seconds,
    unreachable,
)

_ADDRESS: Final = "https://api.openai.com/v1"
_TIMEOUT: Final = Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)

#: The SDK refuses an empty key, and servers without keys do not look at it.
_NO_KEY: Final = "none"

#: The API takes 300,000 tokens a request. A token is at least one byte, so this many bytes never hold more.
#: It takes 2,048 texts too, but the answer for 512 is 8 MB already (3,072 numbers each, in base64).
_BOUNDS: Final = Bounds(texts=512, text_bytes=300_000)
#: Servers of unknown make: what most of them take at once. `Requests` finds out when it is too much.
_COMPATIBLE_BOUNDS: Final = Bounds(texts=256, text_bytes=300_000)

#: All of OpenAI's models; counted in cl100k_base, which is the connector's own tokenizer.
_LIMIT: Final = TextLimit(8191)

Format = Literal["base64", "float"]


@dataclass(frozen=True, slots=True)
class Model:
    """What OpenAI documents of a model."""

    dimensions: int
    can_shorten: bool


#: https://platform.openai.com/docs/guides/embeddings
MODELS: Final = {
    "text-embedding-3-small": Model(1536, can_shorten=True),
    "text-embedding-3-large": Model(3072, can_shorten=True),
    "text-embedding-ada-002": Model(1536, can_shorten=False),
}

#: What Airbyte's connector uses, for configurations from before there was a choice.
DEFAULT_MODEL: Final = "text-embedding-ada-002"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for. `expected` is the length of the vectors, `sent` the length that is asked for."""

    name: str
    service: Service
    model: str
    expected: int | None = None
    sent: int | None = None
    limit: TextLimit | None = None
    bounds: Bounds = _BOUNDS
    may_lack_base64: bool = False


# ----------------------------------------------------------------------------------------------------------
# The three kinds of service


def openai_client(key: str, *, http_client: httpx2.Client | None = None) -> OpenAI:
    """OpenAI itself."""
    return _own(
        OpenAI(
            api_key=clean_key(key, "embedding.openai_key"),
            base_url=_ADDRESS,
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=http_client,
        )
    )


def openai_target(model_name: str | None, dimensions: int | None) -> Target:
    """A model of OpenAI. One that is not in the table is taken as new, and is sent what the user has configured.

    Raises:
        ConfigError: the model cannot have these dimensions.
    """
    model_name = (model_name or "").strip() or DEFAULT_MODEL
    known = MODELS.get(model_name)
    if known is not None:
        _check_possible(model_name, known, dimensions)
    is_default = known is not None and dimensions in {None, known.dimensions}
    expected = known.dimensions if known is not None and dimensions is None else dimensions
    return Target(
        name=_name("openai", model_name, None if is_default else dimensions),
        service=Service("OpenAI", key="embedding.openai_key", model="embedding.model_name"),
        model=model_name,
        expected=expected,
        sent=dimensions if known is None or known.can_shorten else None,
        limit=_LIMIT if known is not None else None,
    )


def azure_client(
    key: str, endpoint: str, deployment: str, api_version: str, *, http_client: httpx2.Client | None = None
) -> AzureOpenAI:
    """A resource in Azure."""
    return _own(
        AzureOpenAI(
            api_key=clean_key(key, "embedding.openai_key"),
            azure_endpoint=clean_address(endpoint, "embedding.api_base"),
            azure_deployment=quote(deployment.strip(), safe=""),
            api_version=api_version.strip(),
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=http_client,
        )
    )


def azure_target(deployment: str, dimensions: int | None) -> Target:
    """A deployment. Its name says nothing about its model, so only an answer tells the dimensions."""
    deployment = deployment.strip()
    return Target(
        name=_name("azure_openai", deployment, dimensions),
        service=Service(
            "Azure OpenAI", key="embedding.openai_key", model="embedding.deployment", address="embedding.api_base"
        ),
        model=deployment,
        expected=dimensions,
        sent=dimensions,
        limit=_LIMIT,
    )


def compatible_client(key: str, base_url: str, *, http_client: httpx2.Client | None = None) -> OpenAI:
    """Any other service; the key is optional."""
    return _own(
        OpenAI(
            api_key=clean_key(key, "embedding.api_key") if key.strip() else _NO_KEY,
            base_url=clean_address(base_url, "embedding.base_url"),
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=http_client,
        )
    )


def compatible_target(model_name: str, dimensions: int) -> Target:
    """A model of any other service.

    `dimensions` is what to expect and is never sent: many servers refuse the option.
    """
    model_name = model_name.strip()
    return Target(
        name=_name("openai_compatible", model_name, None),
        service=Service(
            "The embedding service",
            key="embedding.api_key",
            model="embedding.model_name",
            address="embedding.base_url",
        ),
        model=model_name,
        expected=dimensions,
        bounds=_COMPATIBLE_BOUNDS,
        may_lack_base64=True,
    )


def _name(provider: str, model: str, dimensions: int | None) -> str:
    return f"{provider}/{model}" if dimensions is None else f"{provider}/{model}@{dimensions}"


def _check_possible(model_name: str, known: Model, dimensions: int | None) -> None:
    if dimensions is None or dimensions == known.dimensions:
        return
    if not known.can_shorten:
        raise ConfigError(
            f"The model {model_name} always gives {known.dimensions} dimensions, not {dimensions}; leave "
            "embedding.dimensions empty, or set embedding.model_name to one of the text-embedding-3 models."
        )
    if dimensions > known.dimensions:
        raise ConfigError(
            f"The model {model_name} gives at most {known.dimensions} dimensions, not {dimensions}; "
            "lower embedding.dimensions."
        )


def _own[ClientT: OpenAI](client: ClientT) -> ClientT:
    """Undo what the SDK takes from the environment: the configuration alone decides who is told what.

    The address is always passed, which shuts out OPENAI_BASE_URL; the others can only be taken back.
    """
    client.organization = None  # OPENAI_ORG_ID
    client.project = None  # OPENAI_PROJECT_ID
    client.admin_api_key = None  # OPENAI_ADMIN_KEY
    client._custom_headers = {}  # noqa: SLF001 -- OPENAI_CUSTOM_HEADERS; no public way, and a test watches over it
    return client


# ----------------------------------------------------------------------------------------------------------
# The embedder


class OpenAIEmbedder:
    """The embedder of modes `openai`, `azure_openai` and `openai_compatible`."""

    def __init__(self, client: OpenAI, target: Target, patience: Patience) -> None:
        self._client = client
        self._target = target
        self._requests = Requests(target.bounds, patience)
        self._dimensions = target.expected
        # None until an answer shows which one the server can; the race of two first answers ends the same way.
        self._format: Format | None = None if target.may_lack_base64 else "base64"

    @property
    def model(self) -> str:
        """Kind of service, model, and the dimensions where they are not the model's own."""
        return self._target.name

    @property
    def dimensions(self) -> int | None:
        """As configured, as documented, or as the first answer had them."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """As documented; None for models of unknown make."""
        return self._target.limit

    def embed_documents(self, texts: Sequence[str]) -> list[Dense]:
        """One vector a text."""
        return self._requests.vectors(texts, self._ask)

    def embed_query(self, text: str) -> Dense:
        """The same as for a document: these models do not tell questions apart."""
        return self.embed_documents([text])[0]

    def _ask(self, texts: Sequence[str]) -> list[Dense]:
        if self._format is not None:
            return self._ask_for(texts, self._format)
        try:
            found = self._ask_for(texts, "base64")
        except (InvalidRequestError, BrokenAnswerError, WrongDimensionsError):
            # older servers refuse base64, or answer with something else in it
            found = self._ask_for(texts, "float")
            self._format = "float"
        else:
            self._format = "base64"
        return found

    def _ask_for(self, texts: Sequence[str], encoding_format: Format) -> list[Dense]:
        content = self._content(texts, encoding_format)
        try:
            found = vectors(in_order(_data(content), len(texts)), len(texts))
        except Unusable as problem:
            raise broken(self._target.service, problem) from None
        check_dimensions(found, self._dimensions, self._target.service)
        self._dimensions = found[0].dimensions
        return found

    def _content(self, texts: Sequence[str], encoding_format: Format) -> bytes:
        try:
            answer = self._client.embeddings.with_raw_response.create(
                input=list(texts),
                model=self._target.model,
                encoding_format=encoding_format,
                dimensions=omit if self._target.sent is None else self._target.sent,
            )
        except APIError as error:
            failure = _translated(error, self._target.service)
        else:
            return answer.content
        # outside of the handler, so that the SDK's exception, which quotes key and input, is not chained
        raise failure


def _data(content: bytes) -> object:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Unusable("it is no JSON") from None
    return answer.get("data") if isinstance(answer, dict) else None


def _translated(error: APIError, service: Service) -> Exception:
    if isinstance(error, APIStatusError):
        refusal = Refusal(
            error.status_code,
            code=str(error.code or ""),
            kind=str(error.type or ""),
            text=str(error.body),
            retry_after=seconds(error.response.headers),
        )
        return refused(refusal, service)
    if isinstance(error, APIConnectionError):
        return unreachable(service, type(error).__name__)
    return broken(service, Unusable("the SDK cannot read it"))
