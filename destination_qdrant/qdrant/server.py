"""A collection on a Qdrant server, over REST or gRPC (`server_client` and `server_models` are its other parts).

Rules that make `base.Store`'s promises true here:

1.  Every write waits, and only the status *completed* counts; *acknowledged* and *wait_timeout* are tried again.
2.  A failed write is sent again whole: the server may have applied all, some or none of it, and ids make that safe.
3.  A failed creation is answered by looking whether it took effect, never by creating blindly.
4.  A request that is too large is sent in halves.
5.  Deletes carry no `timeout` of their own: over REST the client would use the same number as HTTP timeout.
6.  A filter that excludes what one run wrote also matches what later runs write, and a proxy may carry a request out long
    after it was given up. Such a removal goes by id: the ids were looked up before it was sent. A filter by generation
    matches old points only, whenever it is carried out.
7.  Once the server has answered, an answer that is not Qdrant's comes from something before it, and is tried again.
8.  Points are sent as bytes (`server_upserts`), everything else goes through qdrant-client's own calls.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from qdrant_client import QdrantClient, models

from ..errors import ConfigError, ConnectorError, SystemFault
from ..retry import Retryable, RetryPolicy
from ..retry import call as with_retries
from ..vectors import UNNAMED, Dense
from .address import Address, parse_address
from .base import (
    CollectionInfo,
    Equals,
    IndexType,
    Point,
    PointId,
    ScoredPoint,
    StoredPoint,
    VectorSchema,
    Where,
    nobody,
)
from .outage import Outage, Tell, silent
from .server_client import BulkOverGrpc, BulkOverRest, Connect, completed, headers, translated
from .server_errors import AlreadyExistsError, Call, CollectionMissingError, ExactCountError, TooLargeError
from .server_models import client_filter, collection_info, create_arguments, path, point_id
from .server_upserts import in_parts
from .validation import check_points

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take, how long it is repeated, and who is told when that takes long.

    Until something was answered, the address may be wrong or the server off: that is to be said within minutes.
    """

    timeout: int
    retry: RetryPolicy
    first_seconds: float = 60
    clock: Callable[[], float] = time.monotonic
    log: Tell = silent

    def policy(self, *, answered: bool) -> RetryPolicy:
        """How to repeat a call, once there has been an answer or before."""
        if answered:
            return self.retry
        return replace(self.retry, budget_seconds=min(self.first_seconds, self.retry.budget_seconds))


def writing(timeout: int, retry_seconds: float) -> Patience:
    """For a sync: a cluster with a hanging node answers after 10 s, a collection that waits for its optimizer after much more."""
    return Patience(timeout, RetryPolicy(retry_seconds, first_wait=0.5, longest_wait=30))


WRITE: Final = writing(60, 300)
CHECK: Final = Patience(10, RetryPolicy(10, first_wait=0.25, longest_wait=2))

#: As many as `indexing.batch_size` may ask for; whoever wants fewer hands over fewer.
_MOST_POINTS: Final = 4_096
_MOST_IDS: Final = 5_000
_PAGE: Final = 1_000
#: A filter delete of so many points takes a second or two; of a million it would outlast any timeout.
_MOST_BY_FILTER: Final = 20_000
_TELL_EVERY_PAGES: Final = 50
_LONGEST_NAME: Final = 255


def open_server(
    url: str,
    collection: str,
    *,
    api_key: str | None,
    prefer_grpc: bool,
    patience: Patience = WRITE,
    sleep: Callable[[float], object] = time.sleep,
    grpc_port: int | None = None,
) -> ServerStore:
    """The collection on the server at this URL; nothing but the gRPC port is asked for an answer yet.

    Args:
        url: http(s)://host[:port][/prefix]
        collection: its name, or that of an alias.
        api_key: None for no key.
        prefer_grpc: use gRPC when it answers within a few seconds.
        patience: how long calls may take and are repeated.
        sleep: waits between tries; it may raise to stop them.
        grpc_port: where gRPC is, when `Address.grpc_port` cannot know it.

    Raises:
        ConfigError: the URL, the name or the key cannot be used.
    """
    address = parse_address(url)
    _check_name(collection)
    connect = Connect(address, headers(api_key))
    port = grpc_port or address.grpc_port
    notes: list[str] = []
    if prefer_grpc and not connect.answers_grpc(port):
        notes.append(_no_grpc(address, port))
        prefer_grpc = False
    client = connect.client(patience.timeout, port if prefer_grpc else None)
    return ServerStore(
        client, address, collection, over_grpc=prefer_grpc, patience=patience, sleep=sleep, notes=tuple(notes)
    )


def _no_grpc(address: Address, port: int | None) -> str:
    if port is None:
        return f"indexing.prefer_grpc is on, but gRPC cannot go through the path in {address.url}: REST is used."
    return (
        f"indexing.prefer_grpc is on, but gRPC port {port} of {address.host} does not answer:"
        " REST is used, which is slower."
    )


def _matches_what_comes(where: Where) -> bool:
    """Whether points that are written later can match as well: those that are not of the run that the filter spares."""
    return any(isinstance(condition, Equals) for condition in where.must_not)


def _check_name(collection: str) -> None:
    if collection in {"", ".", ".."} or "/" in collection or "\0" in collection:
        raise ConfigError('indexing.collection must be a name without "/", and not empty.')


def _check_new_name(collection: str) -> None:
    """Checked for creation only: collections of old servers may still have such names."""
    if re.search(r'[<>:"/\\|?*\0\x1f]', collection) or len(collection.encode()) > _LONGEST_NAME:
        raise ConfigError(
            "indexing.collection names a collection that does not exist and cannot be created:"
            f' a name holds none of < > : " \\ | ? * and at most {_LONGEST_NAME} bytes.'
        )


class ServerStore:
    """`base.Store` on a server. `notes` are sentences for a warning log."""

    def __init__(
        self,
        client: QdrantClient,
        address: Address,
        collection: str,
        *,
        over_grpc: bool,
        patience: Patience,
        sleep: Callable[[float], object],
        notes: tuple[str, ...],
    ) -> None:
        self.notes = notes
        self._client = client
        self._address = address
        self._collection = collection
        self._over_grpc = over_grpc
        self._bulk = (
            BulkOverGrpc(client, collection, patience.timeout) if over_grpc else BulkOverRest(client, collection)
        )
        self._patience = patience
        self._sleep = sleep
        self._outage = Outage(address.url, patience.log, patience.clock)
        # These only ever change from one valid value to another, so threads need no lock around them.
        self._answered = False
        self._info: CollectionInfo | None = None
        self._most_points = _MOST_POINTS
        self._page_size = _PAGE

    @property
    def place(self) -> str:
        """URL, transport and collection."""
        return f'{self._address.url} ({"gRPC" if self._over_grpc else "REST"}), collection "{self._collection}"'

    # ------------------------------------------------------------------------------------------------------
    # The collection

    def describe(self) -> CollectionInfo | None:
        """See `base.Store`."""
        self._info = self._run(self._call("read", "read access"), self._read)
        return self._info

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """See `base.Store`."""
        _check_new_name(self._collection)
        call = self._call("create", "global manage rights, unless the collection is created beforehand")
        self._run(call, lambda: self._create_once(vectors, call))
        self._info = None

    def create_indexes(self, fields: Mapping[str, IndexType]) -> None:
        """See `base.Store`. An index of another type is left alone: creating it again would replace it."""
        existing = self._shape(fresh=True).indexes
        for field, kind in fields.items():
            if field not in existing:
                self._create_index(field, kind)
        self._info = None

    def _create_index(self, field: str, kind: IndexType) -> None:
        call = self._call("create an index in", "write access to the whole collection (not to points only)")
        try:
            self._run(call, lambda: self._create_index_once(field, kind, call))
        except ConnectorError:
            # another writer's, or that of a try whose answer was lost
            if field not in self._shape(fresh=True).indexes:
                raise

    def _create_index_once(self, field: str, kind: IndexType, call: Call) -> None:
        result = self._client.create_payload_index(
            self._collection, path(field), models.PayloadSchemaType(kind), wait=True
        )
        completed(result, call)

    def _create_once(self, vectors: Mapping[str, VectorSchema], call: Call) -> None:
        if self._read() is not None:
            return
        try:
            self._client.create_collection(self._collection, **create_arguments(vectors))
        except Exception as error:
            # Whatever went wrong: an answer that was lost on the way is no failure. What else the look shows
            # or raises is dealt with by `_run`, which also translates this error if it was one.
            failure = translated(error, call)
            if isinstance(failure, AlreadyExistsError):
                return
            if isinstance(failure, Retryable) and self._read() is not None:
                return
            raise failure from error

    def _read(self) -> CollectionInfo | None:
        try:
            return collection_info(self._client.get_collection(self._collection))
        except Exception as error:  # translated here to tell a collection that is missing from a failure
            failure = translated(error, self._call("read", "read access"))
            if isinstance(failure, CollectionMissingError):
                return None
            raise failure from error

    def _shape(self, *, fresh: bool = False) -> CollectionInfo:
        info = self.describe() if fresh else self._info or self.describe()
        if info is None:
            raise ConfigError(f"The collection does not exist: {self.place}. Check indexing.collection.")
        return info

    # ------------------------------------------------------------------------------------------------------
    # Writing

    def upsert(self, points: Sequence[Point]) -> None:
        """See `base.Store`."""
        check_points(points, self._shape())
        encoded = list(map(self._bulk.encode, points))
        for part in in_parts(encoded, self._most_points, self._bulk.most_bytes):
            self._in_halves(part, self._upsert)

    def delete(self, ids: Sequence[PointId]) -> None:
        """See `base.Store`."""
        for start in range(0, len(ids), _MOST_IDS):
            self._in_halves(ids[start : start + _MOST_IDS], self._delete_ids)

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:
        """See `base.Store`. By filter where that is harmless and soon done, and the rate limit lets it pass; else by id."""
        if not where.must:
            raise SystemFault("A deletion without a condition was asked for and refused; this is a bug.")
        if (condition := client_filter(where)) is None:
            return
        if _matches_what_comes(where) or self.count(where) > _MOST_BY_FILTER:
            self._delete_pages(where, on_progress)
            return
        call = self._call("delete points from", "write access")
        selector = models.FilterSelector(filter=condition)
        try:
            self._run(call, lambda: completed(self._client.delete(self._collection, selector, wait=True), call))
        except TooLargeError:
            self._delete_pages(where, on_progress)

    def _delete_pages(self, where: Where, on_progress: Callable[[int], object]) -> None:
        removed = 0
        for number, page in enumerate(self._pages(where, ()), 1):
            self.delete([point.id for point in page])
            removed += len(page)
            if number % _TELL_EVERY_PAGES == 0:
                on_progress(removed)

    def flush(self) -> None:
        """Nothing is left to do: a write that waits for *completed* is in the server's log."""

    def close(self) -> None:
        """See `base.Store`."""
        self._client.close()

    def _upsert(self, points: Sequence[bytes]) -> None:
        call = self._call("write points into", "write access")
        try:
            self._run(call, lambda: completed(self._bulk.upsert(points), call))
        except TooLargeError as error:
            self._most_points = min(self._most_points, error.allowed or self._most_points)
            raise
        except ConfigError:
            self._info = None  # it may have been changed by someone: look again before the next write
            raise

    def _delete_ids(self, ids: Sequence[PointId]) -> None:
        call = self._call("delete points from", "write access")
        selector = models.PointIdsList(points=list(ids))
        self._run(call, lambda: completed(self._client.delete(self._collection, selector, wait=True), call))

    def _in_halves(self, items: Sequence[T], send: Callable[[Sequence[T]], None]) -> None:
        """Send them together, or in smaller parts for as long as the server finds the request too large."""
        try:
            send(items)
        except TooLargeError as error:
            if len(items) == 1:
                raise
            step = min(error.allowed or len(items), (len(items) + 1) // 2)
            for start in range(0, len(items), step):
                self._in_halves(items[start : start + step], send)

    # ------------------------------------------------------------------------------------------------------
    # Reading

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        """See `base.Store`."""
        for page in self._pages(where, fields):
            yield from page

    def count(self, where: Where) -> int:
        """See `base.Store`; an estimate only where strict mode refuses exact counts."""
        if (condition := client_filter(where)) is None:
            return 0
        call = self._call("count points of", "read access")

        def counted(*, exact: bool) -> int:
            return self._run(call, lambda: self._client.count(self._collection, condition, exact=exact).count)

        try:
            return counted(exact=True)
        except ExactCountError:
            return counted(exact=False)

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        """See `base.Store`."""
        using = None if name == UNNAMED else name
        found = self._run(
            self._call("search", "read access"),
            lambda: self._client.query_points(
                self._collection, vector.values(), using=using, limit=limit, with_payload=True
            ),
        )
        return [ScoredPoint(point_id(hit.id), hit.score, hit.payload or {}) for hit in found.points]

    def _pages(self, where: Where, fields: Sequence[str]) -> Iterator[list[StoredPoint]]:
        condition = client_filter(where)
        offset: models.ExtendedPointId | None = None
        while condition is not None:
            records, offset = self._page(condition, fields, offset)
            yield [StoredPoint(point_id(record.id), record.payload or {}) for record in records]
            if offset is None:
                return

    def _page(
        self, condition: models.Filter, fields: Sequence[str], offset: models.ExtendedPointId | None
    ) -> tuple[list[models.Record], models.ExtendedPointId | None]:
        call = self._call("read points of", "read access")
        wanted = [path(field) for field in fields] or False
        try:
            return self._run(
                call,
                lambda: self._client.scroll(
                    self._collection, condition, limit=self._page_size, offset=offset, with_payload=wanted
                ),
            )
        except TooLargeError as error:
            if error.allowed is None or error.allowed >= self._page_size:
                raise
            self._page_size = error.allowed
        return self._page(condition, fields, offset)

    # ------------------------------------------------------------------------------------------------------
    # Calls and their failures

    def _call(self, verb: str, right: str) -> Call:
        return Call(
            f'{verb} collection "{self._collection}"',
            right,
            self._address.url,
            loopback=self._address.is_loopback,
            answered=self._answered,
        )

    def _run(self, call: Call, attempt: Callable[[], T]) -> T:
        """The attempt's result; its foreign exceptions are translated here and nowhere else."""

        def once() -> T:
            try:
                return attempt()
            except (Retryable, ConnectorError):
                raise
            except Exception as error:  # the client raises what its HTTP library and its converters raise
                raise translated(error, call) from error

        with self._outage.watch() as on_wait:
            result = with_retries(
                self._patience.policy(answered=self._answered),
                once,
                clock=self._patience.clock,
                sleep=self._sleep,
                jitter=random.random,  # spreads waits, guards nothing
                on_wait=on_wait,
            )
        self._answered = True
        return result
