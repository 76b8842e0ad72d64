"""Cohere's embedding models, through the second version of its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import cohere
import httpx
from cohere.core import ApiError

from .. import config
from ..vectors import Dense
from . import connections
from .address import clean_address, unusable_address
from .answers import Unusable, vectors
from .base import Tell, TextLimit, Usage, silent
from .counting import count_cl100k
from .encoding import Encoding, Format
from .models import known_model
from .rate_limits import asked_wait, hold
from .requests import Answer, Bounds, Patience, Requests
from .service import (
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

_ADDRESS: Final = "https://api.cohere.com"

#: The API takes 96 texts a request (https://docs.cohere.com/reference/embed); nothing is documented of the rest.
_BOUNDS: Final = Bounds(texts=96, text_bytes=1_000_000, tokens=100_000)

_DEFAULTS: Final = config.Requests()
_PATIENCE: Final = Patience()

InputType = Literal["search_document", "search_query"]


def cohere_client(
    key: str,
    base_url: str | None = None,
    *,
    options: config.Requests = _DEFAULTS,
    http_client: httpx.Client | None = None,
) -> cohere.ClientV2:
    """Cohere itself, or a deployment of its models: the address is passed, so that CO_API_URL redirects no key.

    Raises:
        ConfigError: the key, the address or a proxy cannot be used.
    """
    address = clean_address(base_url, "embedding.base_url").rstrip("/") if base_url else _ADDRESS
    key = clean_key(key, "embedding.cohere_key")
    try:
        httpx.URL(address)  # the SDK would find out with the first request
    except (httpx.InvalidURL, UnicodeError):
        failure = unusable_address("embedding.base_url")
    else:
        return cohere.ClientV2(
            key,
            base_url=address,
            timeout=options.timeout,
            max_retries=0,
            httpx_client=http_client or connections.http_client(httpx, options),
            log_warning_experimental_features=False,
        )
    # outside of the handler, so that the library's exception, which quotes the address, is not chained
    raise failure


class CohereEmbedder:
    """The embedder of mode `cohere`. A model that is not in the table is taken as new.

    Raises:
        ConfigError: the model cannot have these dimensions.
    """

    def __init__(
        self,
        client: cohere.ClientV2,
        settings: config.Cohere,
        *,
        patience: Patience = _PATIENCE,
        tell: Tell = silent,
    ) -> None:
        self._client = client
        self._service = Service(
            "Cohere",
            key="embedding.cohere_key",
            model="embedding.model_name",
            address="embedding.base_url" if settings.base_url else "",
        )
        self._model = settings.model_name.strip()
        known = known_model("cohere", self._model)
        if known is not None:
            known.check(self._model, settings.dimensions)
        default = known.default if known is not None else None
        # Models before v4 refuse the option, and a length of their own needs no asking.
        self._sent = None if settings.dimensions == default else settings.dimensions
        self._dimensions = settings.dimensions or default
        # counted by the connector's own tokenizer: Cohere's are only to be had by download
        self._limit = known.limit if known is not None else None
        self._requests = Requests(
            self._service.name, _BOUNDS, settings.requests, count=self.count_tokens, patience=patience, tell=tell
        )
        self._encoding = Encoding()

    @property
    def model(self) -> str:
        """The model, and the dimensions where they are not its own."""
        return f"cohere/{self._model}" if self._sent is None else f"cohere/{self._model}@{self._sent}"

    @property
    def fingerprint(self) -> str:
        """The model: all else that is said to it is the same for every document."""
        return self.model

    @property
    def dimensions(self) -> int | None:
        """As configured, as documented, or as the first answer had them."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """As documented; None for models that are not in the table."""
        return self._limit

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        return self._requests.usage

    def count_tokens(self, text: str) -> int:
        """By the connector's own tokenizer, which finds about as many as Cohere's."""
        return count_cl100k(text)

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """One vector a text."""
        return self._requests.vectors(texts, lambda part: self._ask(part, "search_document"), tokens)

    def embed_query(self, text: str) -> Dense:
        """The vector of a question, which Cohere's models embed unlike a document."""
        return self._requests.vectors([text], lambda part: self._ask(part, "search_query"))[0]

    def close(self) -> None:
        """Give up what waits, and then let go of the connections."""
        self._requests.close()
        with self._client:  # the SDK's only way to close it
            pass

    def _ask(self, texts: Sequence[str], input_type: InputType) -> Answer:
        return self._encoding.ask(partial(self._ask_for, texts, input_type))

    def _ask_for(self, texts: Sequence[str], input_type: InputType, embedding_type: Format) -> Answer:
        connections.expect(len(texts), self._dimensions)
        answer, headers = self._sent_for(texts, input_type, embedding_type)
        items = getattr(answer, "base64" if embedding_type == "base64" else "float_", None)
        try:
            found = vectors(items, len(texts))
        except Unusable as problem:
            raise broken(self._service, problem) from None
        check_dimensions(found, self._dimensions, self._service)
        self._dimensions = found[0].dimensions
        return Answer(found, hold(headers))

    def _sent_for(
        self, texts: Sequence[str], input_type: InputType, embedding_type: Format
    ) -> tuple[object, Mapping[str, str]]:
        wanted: dict[str, Any] = {} if self._sent is None else {"output_dimension": self._sent}
        try:
            answer = self._client.with_raw_response.embed(
                model=self._model,
                texts=list(texts),
                input_type=input_type,
                embedding_types=[embedding_type],
                truncate="NONE",
                **wanted,
            )
        except ApiError as error:
            failure = _translated(error, self._service)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            failure = misaddressed(self._service)
        except httpx.HTTPError as error:  # the SDK lets through what its HTTP library raises without an answer
            failure = unreachable(self._service, type(error).__name__)
        except Unusable as problem:
            failure = broken(self._service, problem)
        except (TypeError, ValueError, AttributeError, RecursionError):  # and its parser's over JSON of another shape
            failure = _unread(*connections.answered(), self._service)
        else:
            return getattr(answer.data, "embeddings", None), answer.headers
        # outside of the handler, so that the SDK's exception, which quotes key and input, is not chained
        raise failure


def _unread(status: int, headers: Mapping[str, str], service: Service) -> Exception:
    """What it means that the SDK stumbles over a body: if it is that of a refusal, the status says enough."""
    if status < 400:  # noqa: PLR2004 -- RFC 9110: a refusal
        return broken(service, Unusable("the SDK cannot read it"))
    return refused(Refusal(status, retry_after=asked_wait(headers)), service)


def _translated(error: ApiError, service: Service) -> Exception:
    if error.status_code is None:
        return broken(service, Unusable("the SDK cannot read it"))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return refused(Refusal(error.status_code, text=said(error.body), retry_after=asked_wait(headers)), service)
