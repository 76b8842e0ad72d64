"""OpenAI, OpenAI models deployed in Azure, and everything else that speaks OpenAI's embeddings API.

Answers are read raw, not through the SDK's models: those take 3 ms for a vector of plain numbers, keep the server's
order, and turn a proxy's HTML page into an AttributeError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2
import orjson
from openai import APIConnectionError, APIError, APIStatusError, AzureOpenAI, OpenAI

from .. import config
from ..errors import ConfigError
from ..vectors import Dense
from . import connections
from .address import clean_address, has_version, unusable_address
from .answers import Unusable, in_order, vectors
from .base import Tell, TextLimit, Usage, silent
from .counting import count_cl100k
from .encoding import Encoding, Format
from .openai_targets import Target, check_model
from .rate_limits import asked_wait, hold
from .requests import Answer, Patience, Requests
from .service import (
    NotThereError,
    Refusal,
    Service,
    broken,
    check_dimensions,
    clean_key,
    misaddressed,
    refused,
    said,
    unreachable,
)

_ADDRESS: Final = "https://api.openai.com/v1"
_VERSION: Final = "v1"

#: The SDK refuses an empty key, and servers without keys do not look at it.
_NO_KEY: Final = "none"

#: What the HTTP library raises over an address, some of it not before it sends.
_UNUSABLE_ADDRESS: Final = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError)

_DEFAULTS: Final = config.Requests()
_PATIENCE: Final = Patience()

#: The statuses of refusals (RFC 9110).
_ERRORS: Final = range(400, 600)

_Client = TypeVar("_Client", bound=OpenAI)


# ----------------------------------------------------------------------------------------------------------
# The clients of the three kinds of service


def openai_client(
    key: str,
    base_url: str | None = None,
    *,
    options: config.Requests = _DEFAULTS,
    http_client: httpx2.Client | None = None,
) -> OpenAI:
    """OpenAI itself, at its usual address or that of a region."""
    return _made(
        OpenAI,
        "embedding.base_url" if base_url else "the address of OpenAI",
        options,
        http_client,
        api_key=clean_key(key, "embedding.openai_key"),
        base_url=clean_address(base_url, "embedding.base_url") if base_url else _ADDRESS,
    )


def azure_client(
    key: str,
    endpoint: str,
    deployment: str,
    api_version: str,
    *,
    options: config.Requests = _DEFAULTS,
    http_client: httpx2.Client | None = None,
) -> AzureOpenAI:
    """A resource in Azure."""
    return _made(
        AzureOpenAI,
        "embedding.api_base",
        options,
        http_client,
        api_key=clean_key(key, "embedding.openai_key"),
        azure_endpoint=clean_address(endpoint, "embedding.api_base"),
        azure_deployment=quote(deployment.strip(), safe=""),
        api_version=api_version.strip(),
    )


def compatible_client(
    key: str,
    base_url: str,
    *,
    options: config.Requests = _DEFAULTS,
    http_client: httpx2.Client | None = None,
) -> OpenAI:
    """Any other service; the key is optional."""
    return _made(
        OpenAI,
        "embedding.base_url",
        options,
        http_client,
        api_key=clean_key(key, "embedding.api_key") if key.strip() else _NO_KEY,
        base_url=clean_address(base_url, "embedding.base_url"),
    )


def _made(
    kind: type[_Client], address: str, options: config.Requests, http_client: httpx2.Client | None, **settings: Any
) -> _Client:
    """A client of the SDK.

    Args:
        kind: its class.
        address: the name of the field that holds the address.
        options: how long an answer may take, and how many connections are kept open.
        http_client: what to send with, in place of connections of its own.
        settings: the address and what goes there.

    Raises:
        ConfigError: the address cannot be used, or a proxy.
    """
    http_client = http_client or connections.http_client(httpx2, options)
    try:
        return _own(kind(**settings, timeout=options.timeout, max_retries=0, http_client=http_client))
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

    def __init__(
        self,
        client: OpenAI,
        target: Target,
        options: config.Requests = _DEFAULTS,
        *,
        patience: Patience = _PATIENCE,
        tell: Tell = silent,
    ) -> None:
        self._client = client
        self._target = target
        self._requests = Requests(
            target.service.name, target.bounds, options, count=self.count_tokens, patience=patience, tell=tell
        )
        self._dimensions = target.expected
        self._encoding = Encoding(has_base64=target.has_base64)

    @property
    def model(self) -> str:
        """Kind of service, model, and the dimensions where they are not the model's own."""
        return self._target.name

    @property
    def fingerprint(self) -> str:
        """The model, and what is said to it besides the text."""
        return self._target.fingerprint

    @property
    def dimensions(self) -> int | None:
        """As configured, as documented, or as the first answer had them."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """As configured or documented, without the prefix; None for models of unknown make."""
        return self._target.limit

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        return self._requests.usage

    def count_tokens(self, text: str) -> int:
        """With the prefix, which is paid for too."""
        return count_cl100k(self._target.prefix + text)

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """One vector a text."""
        return self._requests.vectors(texts, self._ask_for_documents, tokens)

    def embed_query(self, text: str) -> Dense:
        """Without the prefix of documents, and as a question where the service tells them apart."""
        return self._requests.vectors([text], lambda texts: self._ask(texts, self._target.questions))[0]

    def close(self) -> None:
        """Give up what waits, and then let go of the connections."""
        self._requests.close()
        self._client.close()

    def _ask_for_documents(self, texts: Sequence[str]) -> Answer:
        return self._ask([self._target.prefix + text for text in texts], self._target.documents)

    def _ask(self, texts: Sequence[str], extra: Mapping[str, Any]) -> Answer:
        ask_in = partial(self._ask_in, texts, extra)
        return self._encoding.ask(ask_in, length_is_known=self._dimensions is not None)

    def _ask_in(self, texts: Sequence[str], extra: Mapping[str, Any], encoding_format: Format) -> Answer:
        connections.expect(len(texts), self._dimensions)
        content, headers = self._sent(texts, encoding_format, extra)
        try:
            answer = _parsed(content)
            if (status := _hidden_status(answer)) is not None:
                raise _refused(status, answer.get("error"), headers, self._target.service)
            check_model(self._target, answer.get("model"))
            found = vectors(in_order(answer.get("data"), len(texts)), len(texts))
        except Unusable as problem:
            raise broken(self._target.service, problem) from None
        check_dimensions(found, self._dimensions, self._target.service)
        self._dimensions = found[0].dimensions
        return Answer(found, hold(headers))

    def _sent(
        self, texts: Sequence[str], encoding_format: Format, extra: Mapping[str, Any]
    ) -> tuple[bytes, Mapping[str, str]]:
        """What the address answers, or the one that was meant: many leave out the version in which most paths begin."""
        client = self._client
        try:
            return self._content(client, texts, encoding_format, extra)
        except NotThereError as missing:
            if self._target.has_own_path or has_version(str(client.base_url)):
                raise
            failure = missing
        other = _own(client.with_options(base_url=client.base_url.join(_VERSION)))
        try:
            answer = self._content(other, texts, encoding_format, extra)
        except NotThereError:
            raise failure from None
        except Exception:
            self._client = other  # something is there
            raise
        self._client = other
        return answer

    def _content(
        self, client: OpenAI, texts: Sequence[str], encoding_format: Format, extra: Mapping[str, Any]
    ) -> tuple[bytes, Mapping[str, str]]:
        # Not `embeddings.create`, which asks of every single text whether it has to be converted: 20 us each.
        body = {"input": texts, "model": self._target.model, "encoding_format": encoding_format, **extra}
        try:
            answer = client.post("/embeddings", cast_to=httpx2.Response, body=body)
        except APIError as error:
            failure = _translated(error, self._target.service)
        except Unusable as problem:
            failure = broken(self._target.service, problem)
        except _UNUSABLE_ADDRESS as error:  # the SDK wraps only some of them
            failure = _unusable(error, self._target.service)
        else:
            return answer.content, answer.headers
        # outside of the handler, so that the SDK's exception, which quotes key and input, is not chained
        raise failure


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Unusable("it is no JSON") from None
    return answer if isinstance(answer, dict) else {}


def _hidden_status(answer: Mapping[str, Any]) -> int | None:
    """Gateways such as OpenRouter answer 200 when they have to pass on a refusal, and put its status into the body."""
    error = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int and code in _ERRORS else None


def _unusable(error: Exception, service: Service) -> ConfigError:
    """What it means that nothing could be sent."""
    if isinstance(error, UnicodeEncodeError) and error.encoding == "utf-8":  # addresses are encoded otherwise
        return ConfigError(
            f"A request to {service.name} cannot be written: one of the texts in embedding holds half of a character (a "
            "lone surrogate, such as \\ud800); correct it."
        )
    return misaddressed(service)


def _refused(status: int, body: object, headers: Mapping[str, str], service: Service) -> Exception:
    code, kind = (body.get("code"), body.get("type")) if isinstance(body, Mapping) else (None, None)
    refusal = Refusal(
        status, code=str(code or ""), kind=str(kind or ""), text=said(body), retry_after=asked_wait(headers)
    )
    return refused(refusal, service)


def _translated(error: APIError, service: Service) -> Exception:
    if isinstance(error, APIStatusError):
        return _refused(error.status_code, error.body, error.response.headers, service)
    if isinstance(error.__cause__, _UNUSABLE_ADDRESS):
        return _unusable(error.__cause__, service)
    if isinstance(error, APIConnectionError):
        return unreachable(service, type(error.__cause__ or error).__name__)
    return broken(service, Unusable("the SDK cannot read it"))
