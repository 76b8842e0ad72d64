"""A store that is a dict: the interface of `qdrant.base.Store`, kept to the letter, with faults on order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from destination_qdrant.errors import SystemFault
from destination_qdrant.qdrant.base import (
    AnyOf,
    Below,
    CollectionInfo,
    Condition,
    Equals,
    PayloadIndex,
    Point,
    PointId,
    ScoredPoint,
    StoredPoint,
    StoredVector,
    VectorSchema,
    Where,
    nobody,
)
from destination_qdrant.vectors import Dense, ServerText


class MemoryStore:
    """One collection in memory.

    `calls` has the name and the argument of every call, in order. `faults` maps the name of a method to what it raises
    from now on, before it does anything. `on_upsert` and `on_flush` run at the start of every such call, on its thread.
    """

    engine = "Qdrant"
    place = "memory"
    notes: tuple[str, ...] = ()

    def __init__(self, shape: Mapping[str, VectorSchema] | None = None) -> None:
        self.points: dict[PointId, Point] = {}
        self.calls: list[tuple[str, Any]] = []
        self.faults: dict[str, Exception] = {}
        self.on_upsert: Callable[[Sequence[Point]], None] = lambda points: None  # noqa: ARG005 -- a hook that does nothing
        self.on_flush: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._shape = shape
        self.indexes: dict[str, PayloadIndex] = {}
        self.note: Mapping[str, Any] | None = None
        self.replicas = 1
        self.queued: list[Callable[[], object]] = []  # writes that a killed run has sent and that wait for their turn
        self.unseen: set[PointId] = set()  # what the replica that is read has lost, and another one still holds

    # -- for tests -----------------------------------------------------------------------------------------

    def called(self, name: str) -> list[Any]:
        """The arguments of the calls of one method, in order."""
        return [argument for each, argument in self.calls if each == name]

    def put(self, point_id: PointId, **payload: Any) -> None:
        """Store a point behind everybody's back."""
        self.points[point_id] = Point(point_id, {}, payload)

    def payloads(self) -> list[Mapping[str, Any]]:
        """Every payload."""
        with self._lock:
            return [point.payload for point in self.points.values()]

    def _called(self, name: str, argument: Any = None) -> None:
        with self._lock:
            self.calls.append((name, argument))
        if name in self.faults:
            raise self.faults[name]

    # -- the interface -------------------------------------------------------------------------------------

    def describe(self) -> CollectionInfo | None:
        self._called("describe")
        return (
            None
            if self._shape is None
            else CollectionInfo(self._shape, {path: index.type for path, index in self.indexes.items()}, self.replicas)
        )

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        self._called("create", vectors)
        self._shape = vectors

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        self._called("create_indexes", indexes)
        self.indexes = {**indexes, **self.indexes}

    def recall(self) -> Mapping[str, Any] | None:
        self._called("recall")
        return self.note

    def remember(self, note: Mapping[str, Any]) -> None:
        self._called("remember", note)
        self.note = note

    def require_write_access(self) -> None:
        self._called("require_write_access")

    def require_inference(self, text: ServerText, name: str) -> None:
        self._called("require_inference", (text, name))

    def upsert(self, points: Sequence[Point]) -> None:
        self.on_upsert(points)
        self._called("upsert", [point.id for point in points])
        with self._lock:
            self.points.update({point.id: point for point in points})

    def delete(self, ids: Sequence[PointId]) -> None:
        self._called("delete", list(ids))
        with self._lock:
            for point_id in ids:
                self.points.pop(point_id, None)

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:
        self._called("delete_where", where)
        with self._lock:
            matching = self._matching(where)
            for point in matching:
                del self.points[point.id]
        on_progress(len(matching))

    def keep_only(self, scope: Sequence[Condition], field: str, kept: Mapping[str, Sequence[PointId]]) -> None:
        self._called("keep_only", {value: list(ids) for value, ids in kept.items()})
        with self._lock:
            for point in self._matching(Where((*scope, AnyOf(field, tuple(kept)))), unseen=True):
                if point.id not in kept[point.payload[field]]:
                    del self.points[point.id]

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        self._called("scroll", where)
        with self._lock:
            found = self._matching(where)
        for point in found:
            yield StoredPoint(point.id, _only(fields, point.payload))

    def retrieve_vectors(
        self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()
    ) -> Mapping[PointId, StoredVector]:
        self._called("retrieve_vectors", (list(ids), name))
        with self._lock:
            found = [self.points[each] for each in ids if each in self.points]
        return {
            point.id: StoredVector(vector, _only(fields, point.payload))
            for point in found
            if isinstance(vector := point.vectors.get(name), Dense)
        }

    def with_vector(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        self._called("with_vector", (list(ids), name))
        with self._lock:
            return frozenset(each for each in ids if each in self.points and name in self.points[each].vectors)

    def count(self, where: Where) -> int:
        self._called("count", where)
        with self._lock:
            return len(self._matching(where))

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        raise SystemFault(f"No test searches for the {limit} nearest of {vector} by {name!r} here.")

    def catch_up(self) -> None:
        self._called("catch_up")
        queued, self.queued = self.queued, []
        for write in queued:
            write()

    def flush(self) -> None:
        self.on_flush()
        self._called("flush")

    def close(self) -> None:
        self._called("close")

    def _matching(self, where: Where, *, unseen: bool = False) -> list[Point]:
        return [
            point
            for point in self.points.values()
            if (unseen or point.id not in self.unseen)
            and all(_holds(each, point.payload) for each in where.must)
            and not any(_holds(each, point.payload) for each in where.must_not)
        ]


def _only(fields: Sequence[str], payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: payload[name] for name in fields if name in payload}


def _holds(condition: Condition, payload: Mapping[str, Any]) -> bool:
    value = payload.get(condition.field)
    match condition:
        case Equals(value=wanted):
            return bool(value == wanted)
        case AnyOf(values=wanted):
            return value in wanted
        case Below(bound=bound):
            return isinstance(value, int) and value < bound
        case _:
            return value is None or value == []
