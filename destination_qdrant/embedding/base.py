"""The one interface to an embedding provider.

A provider is one small file; its client is passed in.
`create_embedder` in the package's `__init__` picks one by the configuration and imports nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..vectors import Dense, ServerText

Tell = Callable[[Literal["INFO", "WARN"], str], object]
"""Takes a line for the log."""


def silent(_level: str, _message: str) -> None:
    """A log that nobody reads."""


@dataclass(frozen=True, slots=True)
class TextLimit:
    """The longest text a model takes, in tokens by the model's own tokenizer.

    `count` is None when the model's tokenizer is not at hand; the connector's own (cl100k_base) then stands in.
    """

    tokens: int
    count: Callable[[str], int] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider was asked so far.

    `throttled_seconds`: how long requests were held back by a rate limit, the user's or the provider's, added up.
    `in_flight` of `limit`: requests under way now, and how many may be.
    """

    requests: int = 0
    throttled_seconds: float = 0.0
    in_flight: int = 0
    limit: int = 0


class Embedder(Protocol):
    """Turns texts into vectors. Safe to call from several threads at once."""

    @property
    def model(self) -> str:
        """Provider and model, e.g. `openai/text-embedding-3-small`; equal names mean comparable vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Everything but the text that a vector depends on: the model, and what else is said to it in each request.

        With an equal fingerprint, an equal text has an equal vector, in this run and in any other.
        """
        ...

    @property
    def dimensions(self) -> int | None:
        """Length of the vectors; None when only an answer of the provider can tell."""
        ...

    @property
    def limit(self) -> TextLimit | None:
        """The longest text the model takes; None for no limit, or for one that nobody knows."""
        ...

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens of the provider's bill the text is, as well as it can be told here; 0 where nobody counts."""
        ...

    def embed_documents(
        self, texts: Sequence[str], tokens: Sequence[int] | None = None
    ) -> Sequence[Dense | ServerText]:
        """One vector per text, in order; every one of the same length and finite.

        Args:
            texts: what to embed, none of it empty.
            tokens: what `count_tokens` says of each, where that is known already.

        Raises:
            TextRefusedError: the provider does not take one of the texts at all.
            ConfigError: bad key, unknown model, exhausted quota, wrong dimensions.
            TransientError: the provider is away or over its limits.
            SystemFault: the provider broke its own contract.
        """
        ...

    def embed_query(self, text: str) -> Dense:
        """The vector to search with (some models embed questions unlike documents)."""
        ...

    def close(self) -> None:
        """Let go of connections and give up what is still being asked. The embedder is not used afterwards."""
        ...
