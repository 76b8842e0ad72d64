"""A collection on a Qdrant server, over REST or gRPC.

Its parts, from the way to the server to the points:

    access, address, tls, proxies, version    what the configuration and the server say, pure
    transport, client, discovery              how a client is made, where a Qdrant answers, what exceptions mean
    errors, outage, calls                     one call: tried again while that may help, told in sentences
    models, limits, collection                our types and the client's, what is allowed, the collection itself
    upserts, bulk, writer                     points as bytes, and the rules by which they are written
    reading                                   stored vectors, as bytes again

Once the server has answered, an answer that is not Qdrant's comes from something before it, and is tried again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final
from uuid import UUID

from qdrant_client import QdrantClient, models

from ...config import NewCollection
from ...errors import ConfigError, SystemFault
from ...payload import NOTE
from ...vectors import UNNAMED, Dense, ServerText
from ..base import (
    AnyOf,
    Below,
    CollectionInfo,
    Condition,
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
from .access import Access
from .address import Address, candidates
from .bulk import BulkOverGrpc, BulkOverRest
from .calls import CHECK, WRITE, Calls, Patience, writing
from .client import Connect, wire
from .collection import NOTE_POINT, ServerCollection
from .discovery import find
from .errors import (
    CollectionMissingError,
    ExactCountError,
    ShardKeyMissingError,
    TextNotEmbeddedError,
    TooLargeError,
)
from .limits import in_allowed_filters, in_allowed_groups
from .models import client_filter, leftovers_filter, path, point_id
from .reading import vector_reader
from .version import EMBEDS, KNOWS_VECTORS, OLDEST, Version
from .writer import Routing, ServerWriter

__all__ = ["CHECK", "DEFAULTS", "WRITE", "Options", "Patience", "Routing", "ServerStore", "open_server", "writing"]

_TELL_EVERY_PAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What the configuration says about writing.

    `batch_bytes`: how large a request becomes, None as it is best. `may_create`: whether a missing shard key is made.
    """

    routing: Routing = field(default_factory=Routing)
    new_collection: NewCollection = field(default_factory=NewCollection)
    batch_bytes: int | None = None
    may_create: bool = True


DEFAULTS: Final = Options()


@dataclass(frozen=True, slots=True)
class Connection:
    """How the server was reached; `notes` are sentences for a warning log."""

    client: QdrantClient
    address: Address
    over_grpc: bool
    version: Version = OLDEST
    notes: tuple[str, ...] = ()


def open_server(
    access: Access,
    collection: str,
    *,
    patience: Patience = WRITE,
    sleep: Callable[[float], object] = time.sleep,
    options: Options = DEFAULTS,
) -> ServerStore:
    """The collection on the server that is meant, once that has answered.

    Args:
        access: the way to the server.
        collection: its name, or that of an alias.
        patience: how long calls may take and are repeated.
        sleep: waits between tries; it may raise to stop them.
        options: how it is written to.

    Raises:
        ConfigError: something of the configuration cannot be used, or no Qdrant is where it says.
        TransientError: nothing answers there.
    """
    _check_name(collection)
    prepared = wire(access)
    connects = [Connect.to(address, prepared) for address in candidates(access.url, secret=access.has_secret)]
    first = connects[0].address
    searching = Calls(first, collection, patience=patience, sleep=sleep)
    found = searching.run(searching.about("reach", "no right"), lambda: find(access, connects, patience.timeout))
    client = found.connect.client(patience.timeout, found.grpc_port)
    notes = (*found.notes, *_unprotected(access, found.address))
    address = replace(found.address, port=found.grpc_port or found.address.port)  # the one that is really asked
    connection = Connection(client, address, found.grpc_port is not None, found.version, notes)
    calls = Calls(address, collection, patience=patience, sleep=sleep, answered=True)
    return ServerStore(connection, calls, timeout=patience.timeout, options=options)


def _unprotected(access: Access, address: Address) -> Iterator[str]:
    if address.https:
        return
    if access.api_key is not None or access.headers:
        what = "The API key is" if access.api_key is not None else "The values of indexing.headers are"
        yield (
            f"{what} sent without encryption, because indexing.url does not begin with https://;"
            " use https where the server has it."
        )
    if access.certificates:
        yield "indexing.tls is not used, because indexing.url begins with http://."


def _nobodys_id() -> str:
    return str(UUID(bytes=secrets.token_bytes(16)))


def _matches_what_comes(where: Where) -> bool:
    """Whether points that are written later can match as well; an upper bound, of a generation or a time, rules it out."""
    return not any(isinstance(condition, Below) for condition in where.must)


def _check_name(collection: str) -> None:
    if collection in {"", ".", ".."} or "/" in collection or "\0" in collection:
        raise ConfigError('indexing.collection must be a name without "/", and not empty.')


class ServerStore:
    """`base.Store` on a server, put together of its parts."""

    def __init__(self, connection: Connection, calls: Calls, *, timeout: int, options: Options = DEFAULTS) -> None:
        """`timeout` is the deadline of a bulk request, in seconds."""
        self._connection = connection
        self._client = client = connection.client
        self._calls = calls
        routing, most_bytes = options.routing, options.batch_bytes
        self._shard_key = routing.shard_key
        self._collection = ServerCollection(
            client,
            calls,
            version=connection.version,
            new_collection=options.new_collection,
            shard_key=self._shard_key,
            may_create=options.may_create,
        )
        bulk = (
            BulkOverGrpc(client, calls.collection, routing, timeout=timeout, most_bytes=most_bytes)
            if connection.over_grpc
            else BulkOverRest(client, calls.collection, routing, most_bytes=most_bytes)
        )
        self._writer = ServerWriter(client, calls, self._collection, bulk, routing)
        self._vectors = vector_reader(
            client,
            calls,
            self._collection,
            shard_key=self._shard_key,
            grpc_seconds=timeout if connection.over_grpc else None,
        )
        self._page_size: int | None = None  # learned from a refusal

    @property
    def engine(self) -> str:
        """Name and version."""
        return f"Qdrant {self._connection.version}"

    @property
    def place(self) -> str:
        """URL, transport and collection."""
        transport = "gRPC" if self._connection.over_grpc else "REST"
        return f'{self._connection.address.url} ({transport}), collection "{self._calls.collection}"'

    @property
    def notes(self) -> tuple[str, ...]:
        """How it was reached, and what the state of the collection means."""
        return (*self._connection.notes, *self._collection.notes)

    # ------------------------------------------------------------------------------------------------------
    # The collection

    def describe(self) -> CollectionInfo | None:
        """See `base.Store`."""
        return self._collection.describe()

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """See `base.Store`."""
        self._collection.create(vectors)

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        """See `base.Store`."""
        self._collection.require_shard_key()
        self._collection.create_indexes(indexes)

    def recall(self) -> Mapping[str, Any] | None:
        """See `base.Store`."""
        return self._collection.recall()

    def remember(self, note: Mapping[str, Any]) -> None:
        """See `base.Store`. In the metadata, else at a point that no search returns."""
        if self._collection.keep_in_metadata(note):
            self.delete([NOTE_POINT])
        else:
            self.upsert([Point(NOTE_POINT, {}, {NOTE: dict(note)})])

    def require_write_access(self) -> None:
        """See `base.Store`: the removal of a point that nobody has."""
        self._collection.check_shard_key()
        with suppress(ShardKeyMissingError):  # the first sync creates it
            self.delete([_nobodys_id()])

    def require_inference(self, text: ServerText, name: str) -> None:
        """See `base.Store`. By a search: the server embeds what is searched for before it looks for the collection."""
        if self._connection.version < EMBEDS:
            raise ConfigError(
                f"{self.engine} at {self.place} cannot embed text, which embedding.mode qdrant needs: use version {EMBEDS}"
                " or later, or choose another embedding.mode."
            )
        call = self._calls.about("embed text for", "read access")
        document = models.Document(text=text.text, model=text.model, options=dict(text.options) or None)
        with suppress(CollectionMissingError, ShardKeyMissingError):
            try:
                self._calls.run(call, lambda: self._nearest(name, document, 1, with_payload=False))
            except TextNotEmbeddedError as error:
                raise ConfigError(error.message, detail=error.detail) from error

    # ------------------------------------------------------------------------------------------------------
    # Writing

    def upsert(self, points: Sequence[Point]) -> None:
        """See `base.Store`."""
        self._writer.upsert(points)

    def delete(self, ids: Sequence[PointId]) -> None:
        """See `base.Store`."""
        self._writer.delete(ids)

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:
        """See `base.Store`. By filter where that is harmless and soon done, and the rate limit lets it pass; else by id."""
        if not where.must:
            raise SystemFault("A deletion without a condition was asked for and refused; this is a bug.")
        harmless = not _matches_what_comes(where)
        if harmless and self.count(where) <= self._collection.limits.by_filter and self._delete_filtered(where):
            return
        self._delete_pages(where, on_progress)
        if harmless and self._collection.shape().replicas > 1:
            self._delete_filtered(where)  # what another replica still holds, and the one that was read does not

    def _delete_filtered(self, where: Where) -> bool:
        """Whether the rate limit let it pass."""
        try:
            for condition in self._conditions(where):
                self._writer.delete_by_filter(condition)
        except TooLargeError:
            return False
        return True

    def keep_only(self, scope: Sequence[Condition], field: str, kept: Mapping[str, Sequence[PointId]]) -> None:
        """See `base.Store`. Every replica looks for itself what matches."""
        limits = self._collection.limits
        spare_conditions = limits.conditions - len(scope) - 1
        if spare_conditions < 1:
            raise ConfigError(
                f"{self.engine} at {self.place} allows filters of {limits.conditions} conditions (strict mode), and"
                f" {len(scope) + 2} are needed in a collection with replicas: raise filter_max_conditions."
            )
        for group in in_allowed_groups(kept, limits.values, spare_conditions * limits.values):
            self._delete_leftovers(Where((*scope, AnyOf(field, tuple(group)))), list(chain(*group.values())))

    def _delete_leftovers(self, scope: Where, kept: Sequence[PointId]) -> None:
        condition = leftovers_filter(scope, kept, self._collection.limits.values)
        if condition is not None:
            with suppress(TooLargeError):  # more than the rate limit lets pass at once
                self._writer.delete_by_filter(condition)

    def _delete_pages(self, where: Where, on_progress: Callable[[int], object]) -> None:
        removed = 0
        for number, page in enumerate(self._pages(where, ()), 1):
            self.delete([point.id for point in page])
            removed += len(page)
            if number % _TELL_EVERY_PAGES == 0:
                on_progress(removed)

    def catch_up(self) -> None:
        """See `base.Store`. By a removal of a point that nobody has.

        Every shard carries out what it was sent in the order in which it came, and a removal by filter goes to all of
        them. By a filter of ids it needs no index, whatever strict mode says, and costs a write rate limit one token
        (measured on a server 1.18; one that names an indexed field costs the same).
        """
        with suppress(ShardKeyMissingError):  # nothing was sent there
            self._writer.delete_by_filter(models.Filter(must=[models.HasIdCondition(has_id=[_nobodys_id()])]))

    def flush(self) -> None:
        """Nothing is left to do: a write that waits for *completed* is in the server's log."""

    def close(self) -> None:
        """See `base.Store`."""
        self._client.close()

    # ------------------------------------------------------------------------------------------------------
    # Reading

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        """See `base.Store`."""
        for page in self._pages(where, fields):
            yield from page

    def retrieve_vectors(
        self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()
    ) -> Mapping[PointId, StoredVector]:
        """See `base.Store`."""
        return self._vectors.retrieve(ids, name, fields)

    def with_vector(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        """See `base.Store`; of a server that cannot filter by it, the vectors are read."""
        if self._connection.version < KNOWS_VECTORS:
            return frozenset(self._vectors.retrieve(ids, name, ()))
        return self._vectors.having(ids, name)

    def count(self, where: Where) -> int:
        """See `base.Store`; an estimate only where strict mode refuses exact counts."""
        return sum(map(self._count, self._conditions(where)))

    def _count(self, condition: models.Filter) -> int:
        call = self._calls.about("count points of", "read access")

        def counted(*, exact: bool) -> int:
            return self._calls.run(
                call,
                lambda: (
                    self._client.count(
                        self._calls.collection, condition, exact=exact, shard_key_selector=self._shard_key
                    ).count
                ),
            )

        try:
            return counted(exact=self._collection.limits.exact_counts)
        except ExactCountError:
            return counted(exact=False)

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        """See `base.Store`."""
        found = self._calls.run(
            self._calls.about("search", "read access"),
            lambda: self._nearest(name, vector.values(), limit, with_payload=True),
        )
        return [ScoredPoint(point_id(hit.id), hit.score, hit.payload or {}) for hit in found.points]

    def _nearest(
        self, name: str, query: list[float] | models.Document, limit: int, *, with_payload: bool
    ) -> models.QueryResponse:
        return self._client.query_points(
            self._calls.collection,
            query,
            using=None if name == UNNAMED else name,
            limit=limit,
            with_payload=with_payload,
            shard_key_selector=self._shard_key,
        )

    def _conditions(self, where: Where) -> Iterator[models.Filter]:
        """The filters that the limits of the collection allow; none when nothing can match."""
        for part in in_allowed_filters(where, self._collection.limits.values):
            if condition := client_filter(part):
                yield condition

    def _pages(self, where: Where, fields: Sequence[str]) -> Iterator[list[StoredPoint]]:
        for condition in self._conditions(where):
            offset: models.ExtendedPointId | None = None
            while True:
                records, offset = self._page(condition, fields, offset)
                yield [StoredPoint(point_id(record.id), record.payload or {}) for record in records]
                if offset is None:
                    break

    def _page(
        self, condition: models.Filter, fields: Sequence[str], offset: models.ExtendedPointId | None
    ) -> tuple[list[models.Record], models.ExtendedPointId | None]:
        call = self._calls.about("read points of", "read access")
        wanted = [path(field) for field in fields] or False
        size = self._page_size or self._collection.limits.page
        try:
            return self._calls.run(
                call,
                lambda: self._client.scroll(
                    self._calls.collection,
                    condition,
                    limit=size,
                    offset=offset,
                    with_payload=wanted,
                    shard_key_selector=self._shard_key,
                ),
            )
        except TooLargeError as error:
            if error.allowed is None or error.allowed >= size:
                raise
            self._page_size = error.allowed
        return self._page(condition, fields, offset)
