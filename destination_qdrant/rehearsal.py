"""A collection that is read and never written, and a model that is never asked: what a dry run of a sync works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .embedding.base import Embedder, TextLimit, Usage
from .qdrant.base import (
    CollectionInfo,
    Condition,
    PayloadIndex,
    Point,
    PointId,
    ScoredPoint,
    Store,
    StoredPoint,
    StoredVector,
    VectorSchema,
    Where,
    nobody,
)
from .vectors import Dense, ServerText


def stand_in(dimensions: int) -> Dense:
    """What stands for every vector: a usable one of this length."""
    return Dense.of([1.0] + [0.0] * (dimensions - 1))


class UnaskedEmbedder:
    """An embedder that counts as the real one does, and answers every request itself."""

    usage = Usage()

    def __init__(self, embedder: Embedder, vector: Dense) -> None:
        """`vector` is every answer."""
        self._embedder = embedder
        self._vector = vector

    @property
    def model(self) -> str:
        """The real one's."""
        return self._embedder.model

    @property
    def fingerprint(self) -> str:
        """The real one's, or nothing stored would be found."""
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int | None:
        """Those of the answers."""
        return self._vector.dimensions

    @property
    def limit(self) -> TextLimit | None:
        """The real one's."""
        return self._embedder.limit

    def count_tokens(self, text: str) -> int:
        """As the real one counts."""
        return self._embedder.count_tokens(text)

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """The same vector for each."""
        del tokens
        return [self._vector] * len(texts)

    def embed_query(self, text: str) -> Dense:
        """The same vector again."""
        del text
        return self._vector

    def close(self) -> None:
        """Whoever made the real one closes it."""


class UnwrittenStore:
    """A store whose reads are the real one's, and whose writes do nothing.

    Args:
        store: the real one.
        vector: stands for every stored vector.
        is_empty: nothing of what is stored is of use, and nothing is looked for.
    """

    def __init__(self, store: Store, vector: Dense, *, is_empty: bool) -> None:
        """Read, or do not even read."""
        self._store = store
        self._vector = vector
        self._is_empty = is_empty

    @property
    def engine(self) -> str:
        """The real one's."""
        return self._store.engine

    @property
    def place(self) -> str:
        """The real one's."""
        return self._store.place

    @property
    def notes(self) -> tuple[str, ...]:
        """The real one's."""
        return self._store.notes

    def describe(self) -> CollectionInfo | None:
        """The real one's."""
        return self._store.describe()

    def recall(self) -> Mapping[str, Any] | None:
        """The real one's."""
        return self._store.recall()

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        """What is stored."""
        return iter(()) if self._is_empty else self._store.scroll(where, fields)

    def count(self, where: Where) -> int:
        """How much is stored."""
        return 0 if self._is_empty else self._store.count(where)

    def retrieve_vectors(
        self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()
    ) -> Mapping[PointId, StoredVector]:
        """A vector for each that has one; numbers are read only where fields are, which come with them."""
        if self._is_empty:
            return {}
        if not fields:
            return dict.fromkeys(self._store.with_vector(ids, name), StoredVector(self._vector, {}))
        found = self._store.retrieve_vectors(ids, name, fields)
        return {point_id: replace(stored, vector=self._vector) for point_id, stored in found.items()}

    def with_vector(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        """What is stored."""
        return frozenset() if self._is_empty else self._store.with_vector(ids, name)

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        """The real one's."""
        return self._store.search(name, vector, limit)

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """Nothing."""

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        """Nothing."""

    def remember(self, note: Mapping[str, Any]) -> None:
        """Nothing."""

    def require_write_access(self) -> None:
        """Nothing: none is needed."""

    def require_inference(self, text: ServerText, name: str) -> None:
        """Nothing: no text leaves."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Nothing."""

    def delete(self, ids: Sequence[PointId]) -> None:
        """Nothing."""

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:
        """Nothing."""

    def keep_only(self, scope: Sequence[Condition], field: str, kept: Mapping[str, Sequence[PointId]]) -> None:
        """Nothing."""

    def catch_up(self) -> None:
        """Nothing: that would be a write."""

    def flush(self) -> None:
        """Nothing is there to be made durable."""

    def close(self) -> None:
        """Whoever opened the real one closes it."""
