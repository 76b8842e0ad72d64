"""OpenAI, OpenAI models deployed in Azure, and everything else that speaks OpenAI's embeddings API.

Answers are read raw, not through the SDK's models: those take 3 ms for a vector of plain numbers, keep the server's
order, and turn a proxy's HTML page into an AttributeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import httpx2
import orjson
from openai import APIConnectionError, APIError, APIStatusError, AzureOpenAI, DefaultHttpxClient, OpenAI, Timeout, omit

from ..vectors import Dense
from .address import clean_address, unusable_address
from .answers import Unusable, in_order, vectors
from .base import TextLimit
from .openai_targets import Target
from .requests import CONNECT_TIMEOUT, TIMEOUT, Patience, Requests
from .service import (
    BrokenAnswerError,
    InvalidRequestError,
    Refusal,
    Service,
    WrongDimensionsError,
    broken,
    check_dimensions,
    clean_key,
    misaddressed,
    refused,
    seconds,
    unreachable,
)

_ADDRESS: Final = "https://api.openai.com/v1"
_TIMEOUT: Final = Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)

#: The SDK refuses an empty key, and servers without keys do not look at it.
_NO_KEY: Final = "none"

#: What the HTTP library raises over an address, some of it not before it sends.
_UNUSABLE_ADDRESS: Final = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError)

Format = Literal["base64", "float"]
_Client = TypeVar("_Client", bound=OpenAI)


# ----------------------------------------------------------------------------------------------------------
# The clients of the three kinds of service


def openai_client(key: str, *, http_client: httpx2.Client | None = None) -> OpenAI:
    """OpenAI itself."""
    return _made(
        OpenAI,
        "the address of OpenAI",
        http_client,
        api_key=clean_key(key, "embedding.openai_key"),
        base_url=_ADDRESS,
    )


def azure_client(
    key: str, endpoint: str, deployment: str, api_version: str, *, http_client: httpx2.Client | None = None
) -> AzureOpenAI:
    """A resource in Azure."""
    return _made(
        AzureOpenAI,
        "embedding.api_base",
        http_client,
        api_key=clean_key(key, "embedding.openai_key"),
        azure_endpoint=clean_address(endpoint, "embedding.api_base"),
        azure_deployment=quote(deployment.strip(), safe=""),
        api_version=api_version.strip(),
    )


def compatible_client(key: str, base_url: str, *, http_client: httpx2.Client | None = None) -> OpenAI:
    """Any other service; the key is optional."""
    return _made(
        OpenAI,
        "embedding.base_url",
        http_client,
        api_key=clean_key(key, "embedding.api_key") if key.strip() else _NO_KEY,
        base_url=clean_address(base_url, "embedding.base_url"),
    )


def _made(kind: type[_Client], address: str, http_client: httpx2.Client | None, **options: Any) -> _Client:
    """A client that follows no redirects: they would take the text of records to a host that nobody configured.

    Args:
        kind: its class.
        address: the name of the field that holds the address.
        http_client: what to send with, in place of the default.
        options: the address and what goes there.

    Raises:
        ConfigError: the address cannot be used.
    """
    http_client = http_client or DefaultHttpxClient(follow_redirects=False, timeout=_TIMEOUT)
    try:
        return _own(kind(**options, timeout=_TIMEOUT, max_retries=0, http_client=http_client))
    except _UNUSABLE_ADDRESS:
        failure = unusable_address(address)
    # outside of the handler, so that the library's exception, which quotes the address, is not chained
    raise failure


def _own(client: _Client) -> _Client:
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
        except _UNUSABLE_ADDRESS:  # the SDK wraps only some of them
            failure = misaddressed(self._target.service)
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
    if isinstance(error.__cause__, _UNUSABLE_ADDRESS):
        return misaddressed(service)
    if isinstance(error, APIConnectionError):
        return unreachable(service, type(error).__name__)
    return broken(service, Unusable("the SDK cannot read it"))
