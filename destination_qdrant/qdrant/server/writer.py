"""Points to a server: upserts in batches, deletes by id, deletes by filter.

1.  Every write waits, and only the status *completed* counts; *acknowledged* and *wait_timeout* are tried again.
2.  A failed write is sent again whole: the server may have applied all, some or none of it, and ids make that safe.
3.  What is refused because of its size or its content is sent in halves, down to the one point that is at fault.
4.  Deletes carry no `timeout` of their own: over REST the client would use the same number as HTTP timeout.
5.  A proxy may carry a request out long after it was given up, and then a filter could match what later runs wrote. A
    removal goes by filter only where the filter has an upper bound (a generation, the time of a run); every other one
    goes by id: the ids were looked up before it was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from qdrant_client import QdrantClient, models

from ...errors import ConfigError, PointRefusedError
from ...vectors import ServerText
from ..base import Point, PointId
from ..validation import check_points
from .calls import Calls
from .client import completed
from .collection import ServerCollection
from .errors import ContentRefusedError, TooLargeError
from .upserts import in_parts

T = TypeVar("T")

Ordering = Literal["weak", "medium", "strong"]

_ORDERINGS: Final[dict[Ordering, models.WriteOrdering | None]] = {
    "weak": None,  # the server's default
    "medium": models.WriteOrdering.MEDIUM,
    "strong": models.WriteOrdering.STRONG,
}


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a cluster puts writes, and in which order."""

    ordering: Ordering = "weak"
    shard_key: str | None = None


#: Texts that one request has the server embed: it answers when all are embedded, and the client waits only so long.
_MOST_TEXTS: Final = 64


class Bulk(Protocol):
    """How points travel: encoded one by one, sent together."""

    @property
    def most_bytes(self) -> int:
        """How large a request should become."""
        ...

    def encode(self, point: Point) -> bytes:
        """One point."""
        ...

    def upsert(self, points: Sequence[bytes]) -> models.UpdateResult:
        """Send them; returns what became of them."""
        ...


class ServerWriter:
    """Writes the points of one collection; safe to call from several threads."""

    def __init__(
        self, client: QdrantClient, calls: Calls, collection: ServerCollection, bulk: Bulk, routing: Routing
    ) -> None:
        self._client = client
        self._calls = calls
        self._collection = collection
        self._bulk = bulk
        self._ordering = _ORDERINGS[routing.ordering]
        self._shard_key = routing.shard_key
        # Learned from refusals. They only ever change from one valid value to another: threads need no lock around them.
        self._most_points: int | None = None
        self._most_bytes = bulk.most_bytes
        self._turn = threading.Lock()

    def upsert(self, points: Sequence[Point]) -> None:
        """See `base.Store`."""
        check_points(points, self._collection.shape())
        allowed = self._points_allowed()
        if any(isinstance(vector, ServerText) for point in points for vector in point.vectors.values()):
            allowed = min(allowed, _MOST_TEXTS)
        sent = 0
        # Encoded as they go: of a large batch no more than a request's worth is there twice.
        for part in in_parts(map(self._bulk.encode, points), allowed, self._most_bytes):
            self._in_halves(part, self._upsert, sent)
            sent += len(part)

    def delete(self, ids: Sequence[PointId]) -> None:
        """See `base.Store`."""
        step = self._collection.limits.ids
        for start in range(0, len(ids), step):
            self._in_halves(ids[start : start + step], self._delete_ids, start)

    def delete_by_filter(self, condition: models.Filter) -> None:
        """Delete what matches in one request.

        Raises:
            TooLargeError: it would cost more than the rate limit allows at once.
        """
        self._delete(models.FilterSelector(filter=condition))

    def _points_allowed(self) -> int:
        allowed = self._collection.limits.points
        return min(allowed, self._most_points or allowed)

    def _upsert(self, points: Sequence[bytes]) -> None:
        call = self._calls.about("write points into", "write access")
        try:
            with self._in_turn():
                self._calls.run(call, lambda: completed(self._bulk.upsert(points), call))
        except TooLargeError as error:
            if error.allowed:
                self._most_points = error.allowed
            else:
                self._most_bytes = max(1, sum(map(len, points)) // 2)
            raise
        except (ConfigError, ContentRefusedError):
            self._collection.forget()  # someone may have changed it: look again before the next write
            raise

    def _delete_ids(self, ids: Sequence[PointId]) -> None:
        self._delete(models.PointIdsList(points=list(ids)))

    def _delete(self, selector: models.PointIdsList | models.FilterSelector) -> None:
        call = self._calls.about("delete points from", "write access")

        def delete() -> None:
            result = self._client.delete(
                self._calls.collection,
                selector,
                wait=True,
                ordering=self._ordering,
                shard_key_selector=self._shard_key,
            )
            completed(result, call)

        with self._in_turn():
            self._calls.run(call, delete)

    def _in_turn(self) -> AbstractContextManager[object]:
        """Under a rate limit one write at a time: of several, some would find the bucket empty again and again.

        The time that a call may be repeated for begins when it is its turn.
        """
        return self._turn if self._collection.limits.rated else nullcontext()

    def _in_halves(self, items: Sequence[T], send: Callable[[Sequence[T]], None], first: int) -> None:
        """Send them together, or in smaller parts for as long as the server refuses what they are together.

        `first` is the place of the first of them among all that were handed over.
        """
        try:
            send(items)
        except (TooLargeError, ContentRefusedError) as error:
            if len(items) == 1:
                raise PointRefusedError(error.message, detail=error.detail, index=first) from error
            for start, part in _halves(items, error.allowed if isinstance(error, TooLargeError) else None):
                self._in_halves(part, send, first + start)


def _halves(items: Sequence[T], allowed: int | None) -> Iterable[tuple[int, Sequence[T]]]:
    """Two halves, or parts as small as the server says it allows, each with the place of its first item."""
    step = min(allowed or len(items), (len(items) + 1) // 2)
    return ((start, items[start : start + step]) for start in range(0, len(items), step))
