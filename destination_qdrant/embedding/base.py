"""The one interface to an embedding provider.

A provider is one small file; its client is passed in.
`create_embedder` in the package's `__init__` picks one by the configuration and imports nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..vectors import Dense


@dataclass(frozen=True, slots=True)
class TextLimit:
    """The longest text a model takes, in tokens by the model's own tokenizer.

    `count` is None when the model's tokenizer is not at hand; the connector's own (cl100k_base) then stands in.
    """

    tokens: int
    count: Callable[[str], int] | None = None


class Embedder(Protocol):
    """Turns texts into dense vectors. Safe to call from several threads at once."""

    @property
    def model(self) -> str:
        """Provider and model, e.g. `openai/text-embedding-3-small`; equal names mean comparable vectors."""
        ...

    @property
    def dimensions(self) -> int | None:
        """Length of the vectors; None when only an answer of the provider can tell."""
        ...

    @property
    def limit(self) -> TextLimit | None:
        """The longest text the model takes; None for no limit."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> list[Dense]:
        """One vector per text, in order; every one of the same length and finite.

        Raises:
            ConfigError: bad key, unknown model, exhausted quota, wrong dimensions.
            TransientError: the provider is away or over its limits.
            SystemFault: the provider broke its own contract.
        """
        ...

    def embed_query(self, text: str) -> Dense:
        """The vector to search with (some models embed questions unlike documents)."""
        ...
