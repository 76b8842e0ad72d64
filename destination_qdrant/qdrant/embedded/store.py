"""A Qdrant inside this process: one shard of qdrant_edge in a folder.

The engine is safe to call from several threads, but this module lets one thread write at a time: an engine call
holds the interpreter lock anyway, and only so is the free space that one write was promised not taken by another.

Why free space is checked before every write: the engine writes into sparse files that are mapped into memory, and
the operating system answers a write to such a page on a full disk by killing the process (SIGBUS).
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from ...config import Indexing, NewCollection
from ...errors import ConnectorError, SystemFault
from ...vectors import Dense, ServerText
from ..base import (
    AnyOf,
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
from ..validation import check_points, check_schema
from .folder import CollectionFolder
from .models import (
    MAX_POINTS_A_CALL,
    dense_of,
    embeds_nothing,
    from_id,
    from_indexes,
    from_record,
    having,
    in_calls,
    to_config,
    to_filter,
    to_index,
    to_path,
)

MEGABYTE = 1 << 20

#: Free space that no write may touch. Measured with 0.9: opening a shard takes up to 50 MB (its log is laid out and
#: replayed), a new one 130 MB where the file system has no sparse files, and its files grow by 32 MB at a time there.
RESERVE = 256 * MEGABYTE

#: Bytes on disk per byte of a point: log, storage, indexes and tables. Measured: 1.6 to 4.
BYTES_ON_DISK = 4

#: The same for one id of a delete, and for one point that is already there when an index is created.
DELETE_BYTES = 64
INDEX_BYTES = 512

SCROLL_PAGE = 1000
VECTORS_A_CALL = 64


def open_embedded(
    folder: Path,
    collection: str,
    *,
    read_only: bool = False,
    new_collection: NewCollection = NewCollection(),  # noqa: B008 -- frozen
    notes: tuple[str, ...] = (),
    reserve_bytes: int = RESERVE,
) -> EmbeddedStore:
    """Open a collection in a folder, as its one writer or only to see its shape.

    With `read_only` nothing is created, nothing is locked, and no engine is started: `describe` (without indexes),
    `recall` and `require_write_access` are the calls that work, also while another process writes.

    Args:
        folder: where collections are.
        collection: its name, which is that of a folder therein.
        read_only: only to look.
        new_collection: how the collection is made when it is missing.
        notes: what `EmbeddedStore.notes` says; see `in_vain`.
        reserve_bytes: free space that no write may touch.

    Raises:
        ConfigError: the name, the folder or the collection in it cannot be used, or the disk is too full.
        TransientError: another process writes to the collection.
    """
    at = CollectionFolder.at(folder, collection)
    if read_only:
        at.require_writable()
        at.require_space(reserve_bytes)
        return EmbeddedStore(at, lock=None, reserve_bytes=reserve_bytes, new=new_collection, notes=notes)
    store = EmbeddedStore(at, lock=at.lock(), reserve_bytes=reserve_bytes, new=new_collection, notes=notes)
    try:
        store.load()
    except BaseException:
        store.close()
        raise
    return store


def in_vain(indexing: Indexing) -> tuple[str, ...]:
    """A sentence about the options that are set and mean nothing for a folder; none where there are none."""
    new = indexing.new_collection
    options = {
        "tls": any((indexing.tls.ca_certificate, indexing.tls.client_certificate)),
        "headers": bool(indexing.headers),
        "proxy": indexing.proxy is not None,
        "write_ordering": indexing.write_ordering != "weak",
        "shard_key": indexing.shard_key is not None,
        "new_collection.shard_number": (new.shard_number or 1) > 1,
        "new_collection.replication_factor": (new.replication_factor or 1) > 1,
        "new_collection.write_consistency_factor": (new.write_consistency_factor or 1) > 1,
    }
    named = ", ".join(f"indexing.{name}" for name, is_set in options.items() if is_set)
    return (f"These options are for servers and have no effect on an embedded Qdrant: {named}.",) if named else ()


class EmbeddedStore:
    """One embedded collection; see `base.Store`. Made by `open_embedded`."""

    def __init__(
        self,
        at: CollectionFolder,
        *,
        lock: int | None,
        reserve_bytes: int,
        new: NewCollection,
        notes: tuple[str, ...],
    ) -> None:
        """`lock` is the file descriptor that makes this process the writer; None for looking only."""
        self.notes = notes
        self._at = at
        self._lock = lock
        self._reserve = reserve_bytes
        self._new = new
        self._shard: edge.EdgeShard | None = None
        self._vectors: Mapping[str, VectorSchema] = {}
        self._writing = threading.RLock()

    @property
    def engine(self) -> str:
        """Its name; the version is that of the package."""
        return "Qdrant"

    @property
    def place(self) -> str:
        """The folder."""
        return self._at.place

    def load(self) -> None:
        """Start the engine on the collection, if there is one."""
        vectors = self._at.read_description()
        if vectors is None:
            return
        self._require_space(0)
        try:
            with self._engine_errors():
                self._shard = edge.EdgeShard.load(str(self._at.shard))
        except SystemFault as fault:
            raise self._at.damaged() from fault
        self._vectors = vectors

    def describe(self) -> CollectionInfo | None:
        """The shape; without indexes when opened with `read_only`."""
        if self._shard is not None:
            with self._engine_errors():
                return CollectionInfo(self._vectors, from_indexes(self._shard.info().payload_schema))
        if self._lock is not None:
            return None
        vectors = self._at.read_description()
        return None if vectors is None else CollectionInfo(vectors)

    # ------------------------------------------------------------------------------------------------------

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """Create the collection; a kill in the middle is mended by the next call."""
        with self._writing:
            if self._shard is not None:
                return
            if self._lock is None:
                raise self._not_open()
            self._require_space(0)
            self._discard_unfinished()
            with self._engine_errors():
                shard = edge.EdgeShard.create(str(self._at.shard), to_config(vectors, self._new))
            try:
                with self._engine_errors():
                    shard.flush()
                self._at.write_description(vectors, self._new.parsed_metadata)
            except BaseException:
                shard.close()
                raise
            self._vectors = dict(vectors)
            self._shard = shard

    def _discard_unfinished(self) -> None:
        """Remove what a killed `create` left: a shard without a description, in which there is no point yet."""
        if not self._at.shard.exists():
            return
        if self._at.has_shard() and self._holds_points():
            # Not from here: somebody removed or lost the description of a collection in use.
            raise self._at.damaged()
        try:
            shutil.rmtree(self._at.shard)
        except OSError as error:
            raise self._at.damaged() from error

    def _holds_points(self) -> bool:
        try:
            with self._engine_errors():
                shard = edge.EdgeShard.load(str(self._at.shard))
                try:
                    return shard.info().points_count > 0
                finally:
                    shard.close()
        except SystemFault:
            # Killed while the engine laid out its files.
            return False

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        """Create the payload indexes that are missing. One that is there is kept: the engine would replace it."""
        shard = self._open_shard()
        with self._engine_errors():
            info = shard.info()
            present = from_indexes(info.payload_schema)
            missing = [to_index(path, index) for path, index in indexes.items() if path not in present]
        for operation in missing:
            self._update(operation, info.points_count * INDEX_BYTES)

    def recall(self) -> Mapping[str, Any] | None:
        """The note in the folder's description."""
        return self._at.read_note()

    def remember(self, note: Mapping[str, Any]) -> None:
        """Keep a note in the folder's description."""
        self._open_shard()
        with self._writing:
            self._at.write_note(note)

    def require_write_access(self) -> None:
        """Nothing is left to find out: `open_embedded` has looked at the folder, for reading too."""

    def require_inference(self, text: ServerText, name: str) -> None:
        """See `base.Store`; the engine embeds nothing."""
        del text, name
        raise embeds_nothing()

    # ------------------------------------------------------------------------------------------------------

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points whole. All are checked before the first is written: the engine stops in the middle."""
        self._open_shard()
        check_points(points, CollectionInfo(self._vectors))
        with self._engine_errors():
            calls = [(edge.UpdateOperation.upsert_points(call), size) for call, size in in_calls(points)]
        for operation, size in calls:
            self._update(operation, size)

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points by id."""
        for start in range(0, len(ids), MAX_POINTS_A_CALL):
            call: list[edge.PointId] = [*ids[start : start + MAX_POINTS_A_CALL]]
            with self._engine_errors():
                operation = edge.UpdateOperation.delete_points(call)
            self._update(operation, len(call) * DELETE_BYTES)

    def delete_where(self, where: Where, on_progress: Callable[[int], object] = nobody) -> None:  # noqa: ARG002 -- done at once
        """Delete every point that matches; without a condition that must hold it would be everything."""
        if not where.must:
            raise SystemFault("A deletion without a condition was asked for and refused; this is a bug.")
        self._update(edge.UpdateOperation.delete_points_by_filter(to_filter(where)), self.count(where) * DELETE_BYTES)

    def keep_only(self, scope: Sequence[Condition], field: str, kept: Mapping[str, Sequence[PointId]]) -> None:
        """See `base.Store`."""
        found = self.scroll(Where((*scope, AnyOf(field, tuple(kept)))), (field,))
        self.delete([point.id for point in found if point.id not in kept[point.payload[field]]])

    def _update(self, operation: edge.UpdateOperation, size: int) -> None:
        shard = self._open_shard()
        with self._writing:
            self._require_space(size)
            with self._engine_errors():
                shard.update(operation)

    # ------------------------------------------------------------------------------------------------------

    def scroll(self, where: Where, fields: Sequence[str]) -> Iterator[StoredPoint]:
        """Every point that matches, by pages; the points of a page may be deleted before the next is asked for."""
        shard = self._open_shard()
        condition = to_filter(where)
        payload = [to_path(field) for field in fields] or False
        offset: PointId | None = None
        while True:
            with self._engine_errors():
                request = edge.ScrollRequest(offset, SCROLL_PAGE, condition, with_payload=payload, with_vector=False)
                records, following = shard.scroll(request)
            yield from map(from_record, records)
            if following is None:
                return
            offset = from_id(following)

    def retrieve_vectors(
        self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()
    ) -> Mapping[PointId, StoredVector]:
        """Stored vectors, a few at a time: the engine makes a Python float of every number."""
        shard = self._open_shard()
        if not self._is_dense(name):
            return {}
        payload = [to_path(field) for field in fields] or False
        wanted = list(dict.fromkeys(ids))
        found: dict[PointId, StoredVector] = {}
        for start in range(0, len(wanted), VECTORS_A_CALL):
            call: list[edge.PointId] = [*wanted[start : start + VECTORS_A_CALL]]
            with self._engine_errors():
                records = shard.retrieve(call, with_payload=payload, with_vector=[name])
            for record in records:
                if vector := dense_of(record, name):
                    found[from_id(record.id)] = StoredVector(vector, record.payload or {})
        return found

    def with_vector(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        """See `base.Store`."""
        shard = self._open_shard()
        if not self._is_dense(name):
            return frozenset()
        wanted = list(dict.fromkeys(ids))
        found: set[PointId] = set()
        for start in range(0, len(wanted), SCROLL_PAGE):
            condition = having(wanted[start : start + SCROLL_PAGE], name)
            with self._engine_errors():
                request = edge.ScrollRequest(None, SCROLL_PAGE, condition, with_payload=False, with_vector=False)
                records, _ = shard.scroll(request)
            found.update(from_id(record.id) for record in records)
        return frozenset(found)

    def _is_dense(self, name: str) -> bool:
        return name in self._vectors and self._vectors[name].kind == "dense"

    def count(self, where: Where) -> int:
        """How many points match."""
        shard = self._open_shard()
        with self._engine_errors():
            return shard.count(edge.CountRequest(exact=True, filter=to_filter(where)))

    def search(self, name: str, vector: Dense, limit: int) -> list[ScoredPoint]:
        """The nearest points by vector `name`."""
        shard = self._open_shard()
        distance = self._vectors[name].distance if name in self._vectors else None
        wanted = VectorSchema("dense", vector.dimensions, distance)
        check_schema(CollectionInfo(self._vectors), name, wanted, place=self.place)
        nearest = edge.Query.Nearest(vector.values(), using=name)
        with self._engine_errors():
            hits = shard.query(edge.QueryRequest(limit, query=nearest, with_payload=True))
        return [ScoredPoint(from_id(hit.id), hit.score, hit.payload or {}) for hit in hits]

    # ------------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Nothing waits: the engine has no queue, and carries out its log when it is started."""

    def flush(self) -> None:
        """Sync the engine's files: an update alone survives a kill of the process, but not a loss of power."""
        if self._shard is None:
            return
        with self._writing, self._engine_errors():
            self._shard.flush()

    def close(self) -> None:
        """Stop the engine, then let another process write."""
        with self._writing:
            shard, self._shard = self._shard, None
            lock, self._lock = self._lock, None
            try:
                if shard is not None:
                    with self._engine_errors():
                        shard.close()
            finally:
                if lock is not None:
                    os.close(lock)

    def _open_shard(self) -> edge.EdgeShard:
        if self._shard is None:
            raise self._not_open()
        return self._shard

    def _not_open(self) -> SystemFault:
        return SystemFault(
            f"The collection at {self.place} was used before it was created, after it was closed, or read-only."
        )

    def _require_space(self, size: int) -> None:
        self._at.require_space(self._reserve + BYTES_ON_DISK * size)

    @contextmanager
    def _engine_errors(self) -> Iterator[None]:
        try:
            yield
        except ConnectorError:
            raise
        except Exception as error:  # the engine has no exceptions of its own
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> ConnectorError:
        # The engine's text may quote a payload, so it is looked at and not shown.
        text = str(error)
        if "WouldBlock" in text:
            return self._at.busy()
        if "os error 28" in text or "No space left" in text:
            return self._at.full()
        if "os error 13" in text:
            return self._at.not_writable(self._at.path)
        return SystemFault(f"The embedded Qdrant at {self.place} failed.", detail=type(error).__name__)
