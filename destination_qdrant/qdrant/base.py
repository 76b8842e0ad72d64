"""The one interface to a Qdrant, in types that belong to no client.

Two adapters implement it: `server` (qdrant-client) and `embedded` (qdrant-edge-py).
Neither this module nor anything above it knows which one is at work.

Rules that every adapter keeps:

1.  A call that returns has taken effect: `upsert` and the deletes come back only after Qdrant said *completed*
    (`docs/delivery.md`). `flush` returns when everything before it survives a loss of power, as far as the
    adapter can tell.
2.  A refused `upsert` may have been stored in part; the whole batch then counts as unknown and is written again.
3.  Only `create`, `create_indexes` and `remember` change a collection itself; nothing ever recreates or deletes one.
4.  Foreign exceptions are translated here, once, into those of `errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ..vectors import Dense, ServerText, Vectors

PointId = int | str
"""An unsigned 64-bit integer, or a UUID in lower-case hyphenated form (the only ids Qdrant has)."""

Distance = Literal["cos", "dot", "euc", "manhattan"]
IndexType = Literal["keyword", "integer", "float", "bool", "datetime", "geo", "text", "uuid"]
VectorKind = Literal["dense", "sparse", "multi"]


@dataclass(frozen=True, slots=True)
class Point:
    """What is written: one point, whole (an upsert replaces vectors and payload)."""

    id: PointId
    vectors: Vectors
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """What was read: an id and the payload fields that were asked for."""

    id: PointId
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredVector:
    """A stored vector, and the payload fields that were asked for: one state of one point, from one read."""

    vector: Dense
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """One hit of a search, best first."""

    id: PointId
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VectorSchema:
    """One vector of a collection. `dimensions` and `distance` are None for sparse ones."""

    kind: VectorKind
    dimensions: int | None = None
    distance: Distance | None = None


@dataclass(frozen=True, slots=True)
class PayloadIndex:
    """An index over a payload field.

    `tenant`: most searches ask for one value of it. `filters_searches`: False for a field that only bookkeeping
    filters on, which needs no links of its own in the search graph.
    """

    type: IndexType
    tenant: bool = False
    on_disk: bool = False
    filters_searches: bool = True


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """The shape of a collection: vector name (`vectors.UNNAMED` for the unnamed one) -> schema; path -> index type.

    `replicas`: on how many nodes each point is to be.
    """

    vectors: Mapping[str, VectorSchema]
    indexes: Mapping[str, IndexType | str] = field(default_factory=dict)
    replicas: int = 1


# ----------------------------------------------------------------------------------------------------------
# Filters: a conjunction of conditions on top-level payload fields.


@dataclass(frozen=True, slots=True)
class Equals:
    """The field holds this keyword."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field holds one of these keywords."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """The field holds an integer smaller than this."""

    field: str
    bound: int


@dataclass(frozen=True, slots=True)
class Missing:
    """The field is absent, null or an empty list."""

    field: str


Condition = Equals | AnyOf | Below | Missing


@dataclass(frozen=True, slots=True)
class Where:
    """All of `must` hold and none of `must_not` does."""

    must: tuple[Condition, ...]
    must_not: tuple[Condition, ...] = ()


def nobody(_removed: int) -> None:
    """Who needs not be told."""


class Store(Protocol):
    """One collection in a Qdrant. Safe to call from several threads at once."""

    @property
    def engine(self) -> str:
        """What answers there: Qdrant, and its version if it is a server."""
        ...

    @property
    def place(self) -> str:
        """Where the collection is, for a log line: never a secret."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how it was reached: sentences for a warning."""
        ...

    def describe(self) -> CollectionInfo | None:
        """The collection's shape; None when it does not exist."""
        ...

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """Create the collection. Its having appeared meanwhile is not an error."""
        ...

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        """Create the payload indexes that are missing, by path; return when they serve filters."""
        ...

    def recall(self) -> Mapping[str, Any] | None:
        """What `remember` was given last; None when nothing was, or the collection does not exist."""
        ...

    def remember(self, note: Mapping[str, Any]) -> None:
        """Keep a note (a small JSON object) with the collection; it outlives every point of every stream."""
        ...

    def require_write_access(self) -> None:
        """Find out whether points may be written, without changing any.

        Raises:
            ConfigError: they may not.
        """
        ...

    def require_inference(self, text: ServerText, name: str) -> None:
        """Find out whether the server embeds such a text for the vector `name`, without writing any.

        The collection may be missing; it is then not found out how long the vectors are.

        Raises:
            ConfigError: it has nothing to embed with, does not know the model, or the model's vectors do not fit.
            TransientError: what it embeds with is away or over its limits.
        """
        ...

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points whole.

        Every point is checked before anything is sent: vector names, kinds, dimensions, finite as float32.

        Raises:
            PointRefusedError: Qdrant refuses one of them, and takes others.
            SystemFault: a point does not fit the collection (a bug above this layer).
            ConfigError: Qdrant refuses for good. TransientError: it may accept later.
        """
        ...

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points by id; ids that do not exist are no error."""
        ...

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:
        """Delete every point that matches.

        However many they are, no request takes long, and what a try before has removed is not looked at again.
        `on_progress` is told now and then how many are gone.
        """
        ...

    def keep_only(self, scope: Sequence[Condition], field: str, kept: Mapping[str, Sequence[PointId]]) -> None:
        """Of the points in `scope` whose `field` is one of the keywords, delete those that are not kept for it.

        For collections with replicas: unlike `delete`, which takes ids that were read from one replica, it reaches
        points that only another one still holds. Best effort, where the limits of the collection allow such filters.
        """
        ...

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        """Every point that matches, once, with these payload fields."""
        ...

    def retrieve_vectors(
        self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()
    ) -> Mapping[PointId, StoredVector]:
        """The vector `name` of these points with these payload fields, both as they are in the same state of the point.

        A vector is as it is stored: Qdrant normalizes those that are compared by cosine. Left out are points that do not
        exist or lack it, vectors that hold a number that is not finite, and all when the collection has no dense vector
        of that name.
        """
        ...

    def with_vector(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        """Those of these points that exist and have the dense vector `name`.

        One with a number that is not finite may count, as long as its numbers need not be read to find out.
        """
        ...

    def count(self, where: Where) -> int:
        """How many points match, exactly."""
        ...

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        """The points whose vector `name` is nearest, best first, with their whole payload."""
        ...

    def catch_up(self) -> None:
        """Return when everything that was sent to the collection before, by whomever, has been carried out.

        A server reads past its queue of writes: what a killed run has left in there is not seen until this has returned.
        """
        ...

    def flush(self) -> None:
        """Make everything written so far durable."""
        ...

    def close(self) -> None:
        """Let go of connections and locks. The store is not used afterwards."""
        ...
