"""Cohere's embedding models, through the second version of its API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cohere
import httpx
from cohere.core import ApiError

from ..errors import ConfigError
from ..vectors import Dense
from .answers import Unusable, vectors
from .base import TextLimit
from .requests import CONNECT_TIMEOUT, TIMEOUT, Bounds, Patience, Requests
from .service import (
    BrokenAnswerError,
    InvalidRequestError,
    Refusal,
    Service,
    broken,
    check_dimensions,
    clean_key,
    misaddressed,
    refused,
    seconds,
    unreachable,
)

_ADDRESS: Final = "https://api.cohere.com"

#: The API takes 96 texts a request (https://docs.cohere.com/reference/embed).
_BOUNDS: Final = Bounds(texts=96, text_bytes=1_000_000)

_SERVICE: Final = Service("Cohere", key="embedding.cohere_key", model="embedding.model_name")

Format = Literal["base64", "float"]
InputType = Literal["search_document", "search_query"]


@dataclass(frozen=True, slots=True)
class Model:
    """What Cohere documents of a model. `dimensions` begins with the default, `tokens` is the longest text."""

    dimensions: tuple[int, ...]
    tokens: int


_V5: Final = Model((2048, 1536, 1024, 768, 512, 256), 128_000)
_V3: Final = Model((1024,), 512)
_V3_LIGHT: Final = Model((384,), 512)

#: https://docs.cohere.com/docs/cohere-embed
MODELS: Final = {
    "embed-v5.0-pro": _V5,
    "embed-v5.0-fast": _V5,
    "embed-v4.0": Model((1536, 1024, 512, 256), 128_000),
    "embed-english-v3.0": _V3,
    "embed-multilingual-v3.0": _V3,
    "embed-english-light-v3.0": _V3_LIGHT,
    "embed-multilingual-light-v3.0": _V3_LIGHT,
}


def cohere_client(key: str, *, http_client: httpx.Client | None = None) -> cohere.ClientV2:
    """Cohere itself: the address is passed, so that CO_API_URL redirects no key.

    Redirects are not followed: they would take the text of records to a host that nobody configured.
    """
    return cohere.ClientV2(
        clean_key(key, "embedding.cohere_key"),
        base_url=_ADDRESS,
        max_retries=0,
        httpx_client=http_client
        or httpx.Client(timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT), follow_redirects=False),
        log_warning_experimental_features=False,
    )


class CohereEmbedder:
    """The embedder of mode `cohere`. A model that is not in the table is taken as new.

    Raises:
        ConfigError: the model cannot have these dimensions.
    """

    def __init__(self, client: cohere.ClientV2, model_name: str, dimensions: int | None, patience: Patience) -> None:
        self._client = client
        self._model = model_name.strip()
        known = MODELS.get(self._model)
        if known is not None and dimensions is not None:
            _check_possible(self._model, known, dimensions)
        default = known.dimensions[0] if known is not None else None
        # Models before v4 refuse the option, and a length of their own needs no asking.
        self._sent = None if dimensions == default else dimensions
        self._dimensions = dimensions or default
        # counted by the connector's own tokenizer: Cohere's are only to be had by download
        self._limit = TextLimit(known.tokens) if known is not None else None
        self._requests = Requests(_BOUNDS, patience)
        self._format: Format = "base64"

    @property
    def model(self) -> str:
        """The model, and the dimensions where they are not its own."""
        return f"cohere/{self._model}" if self._sent is None else f"cohere/{self._model}@{self._sent}"

    @property
    def dimensions(self) -> int | None:
        """As configured, as documented, or as the first answer had them."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """As documented; None for models that are not in the table."""
        return self._limit

    def embed_documents(self, texts: Sequence[str]) -> list[Dense]:
        """One vector a text."""
        return self._requests.vectors(texts, lambda part: self._ask(part, "search_document"))

    def embed_query(self, text: str) -> Dense:
        """The vector of a question, which Cohere's models embed unlike a document."""
        return self._requests.vectors([text], lambda part: self._ask(part, "search_query"))[0]

    def _ask(self, texts: Sequence[str], input_type: InputType) -> list[Dense]:
        if self._format == "base64":
            try:
                return self._ask_for(texts, input_type, "base64")
            except (InvalidRequestError, BrokenAnswerError):
                # 50 times slower to read, but every model has it
                found = self._ask_for(texts, input_type, "float")
                self._format = "float"
                return found
        return self._ask_for(texts, input_type, self._format)

    def _ask_for(self, texts: Sequence[str], input_type: InputType, embedding_type: Format) -> list[Dense]:
        answer = self._answer(texts, input_type, embedding_type)
        items = getattr(answer, "base64" if embedding_type == "base64" else "float_", None)
        try:
            found = vectors(items, len(texts))
        except Unusable as problem:
            raise broken(_SERVICE, problem) from None
        check_dimensions(found, self._dimensions, _SERVICE)
        self._dimensions = found[0].dimensions
        return found

    def _answer(self, texts: Sequence[str], input_type: InputType, embedding_type: Format) -> object:
        wanted: dict[str, Any] = {} if self._sent is None else {"output_dimension": self._sent}
        try:
            answer = self._client.embed(
                model=self._model,
                texts=list(texts),
                input_type=input_type,
                embedding_types=[embedding_type],
                truncate="NONE",
                **wanted,
            )
        except ApiError as error:
            failure = _translated(error)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            failure = misaddressed(_SERVICE)
        except httpx.HTTPError as error:  # the SDK lets through what its HTTP library raises without an answer
            failure = unreachable(_SERVICE, type(error).__name__)
        except (TypeError, ValueError, AttributeError):  # and what its parser raises over JSON of another shape
            failure = broken(_SERVICE, Unusable("the SDK cannot read it"))
        else:
            return getattr(answer, "embeddings", None)
        # outside of the handler, so that the SDK's exception, which quotes key and input, is not chained
        raise failure


def _check_possible(model_name: str, known: Model, dimensions: int) -> None:
    if dimensions not in known.dimensions:
        raise ConfigError(
            f"The model {model_name} gives {' or '.join(map(str, known.dimensions))} dimensions, not {dimensions}; "
            "change embedding.dimensions, or leave it empty."
        )


def _translated(error: ApiError) -> Exception:
    if error.status_code is None:
        return broken(_SERVICE, Unusable("the SDK cannot read it"))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return refused(Refusal(error.status_code, text=str(error.body), retry_after=seconds(headers)), _SERVICE)
