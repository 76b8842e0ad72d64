"""One batch on its way into Qdrant: look up, embed, write, remove what it replaces.

The order is what keeps data safe: new points are written before old ones are removed, and what is removed is found
among what is stored, never computed from a remembered count. A kill between the two leaves a record with both
versions, and the next try finds and removes the older one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .batching import Batch, Entry
from .chunking import Chunk
from .documents import Delete, Document, Upsert
from .embedding.base import Embedder
from .errors import ConfigError, PointRefusedError, SystemFault
from .generations import is_certain
from .identity import PointIds
from .lookup import StoredChunk, StoredRecords, is_outdated, look_up, look_up_airbyte
from .payload import LOADED_AT, RECORD_KEY
from .points import EmbeddedChunk, PointFormat, ids_of, of_stream, point_bytes, to_points
from .protocol import Descriptor
from .qdrant.base import Below, Point, PointId, Store
from .vectors import Vectors


@dataclass(frozen=True, slots=True)
class Site:
    """Where batches go, and what is the same for all of them.

    `airbyte_streams`: streams under whose identifier Airbyte's connector has left points.
    `replicated`: each point is on several nodes, of which a read sees one.
    """

    store: Store
    embedder: Embedder
    form: PointFormat
    airbyte_streams: frozenset[Descriptor] = frozenset()
    replicated: bool = False
    points_per_write: int = 512
    bytes_per_write: int = 8_000_000


@dataclass(frozen=True, slots=True)
class CommitReceipt:
    """What Qdrant has completed, by input position; only made after it said so."""

    written: tuple[int, ...]
    skipped: tuple[int, ...]
    deleted: tuple[int, ...]
    points: Mapping[Descriptor, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A chunk and where it goes. `position` is the line of its record."""

    position: int
    document: Document
    chunk: Chunk
    count: int
    ids: PointIds


def deliver(batch: Batch, site: Site) -> CommitReceipt:
    """Bring a batch into Qdrant; returns when everything in it is completed there.

    Raises:
        ConnectorError: it could not be; where the input is to blame, it says which part of it.
    """
    try:
        return _deliver(batch, site)
    except PointRefusedError as error:  # says already which record it is about
        raise ConfigError(error.message, detail=error.detail) from error
    except (ConfigError, SystemFault) as error:
        raise error.at(batch.whereabouts()) from error


def _deliver(batch: Batch, site: Site) -> CommitReceipt:
    stored = _look_up(batch.entries, site)
    current = [entry for entry in batch.entries if not is_outdated(entry.stream, entry.cursor, stored.of(entry))]
    points: Counter[Descriptor] = Counter()
    kept: dict[int, set[PointId]] = {}
    for part in _parts(_place(current, site, kept), site):
        points += _write(part, site)
    stale = [point_id for entry in current for point_id in stored.ids(entry) if point_id not in kept[entry.position]]
    if stale:
        site.store.delete(stale)
    if site.replicated:
        _remove_unseen(current, kept, site)
    return _receipt(batch, current, points)


def _remove_unseen(current: Iterable[Entry], kept: Mapping[int, set[PointId]], site: Site) -> None:
    """Remove what the lookup could not see: a removal that a sync gave up in an outage leaves replicas that differ.

    Qdrant does not mend that, and no read tells of it. The filter is one for the whole batch and on indexed fields; however
    late it is carried out, it matches nothing that this run or a later one writes.
    """
    by_stream: dict[Descriptor, list[Entry]] = {}
    for entry in current:
        if entry.key:
            by_stream.setdefault(entry.stream.descriptor, []).append(entry)
    for same in by_stream.values():
        remaining = {entry.key[1]: sorted(kept[entry.position], key=str) for entry in same if entry.key}
        scope = (*of_stream(same[0].stream), Below(LOADED_AT, site.form.loaded_at))
        site.store.keep_only(scope, RECORD_KEY, remaining)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the lookup found, by stream."""

    records: Mapping[Descriptor, StoredRecords]
    airbyte: Mapping[Descriptor, Mapping[str, list[PointId]]]

    def of(self, entry: Entry) -> Sequence[StoredChunk]:
        """Stored chunks of the entry's key."""
        return self.records.get(entry.stream.descriptor, {}).get(entry.key[1], ()) if entry.key else ()

    def ids(self, entry: Entry) -> Iterator[PointId]:
        """Every stored point that the entry replaces."""
        if entry.key:
            yield from (chunk.id for chunk in self.records[entry.stream.descriptor].get(entry.key[1], ()))
        yield from self.airbyte.get(entry.stream.descriptor, {}).get(_airbyte_id(entry) or "", ())


def _look_up(entries: Iterable[Entry], site: Site) -> _Stored:
    by_stream: dict[Descriptor, list[Entry]] = {}
    for entry in entries:
        if entry.key:
            by_stream.setdefault(entry.stream.descriptor, []).append(entry)
    records, airbyte = {}, {}
    for descriptor, same in by_stream.items():
        stream = same[0].stream
        records[descriptor] = look_up(site.store, stream, (entry.key[1] for entry in same if entry.key))
        if descriptor in site.airbyte_streams:
            ids = (_airbyte_id(entry) for entry in same)
            airbyte[descriptor] = look_up_airbyte(site.store, stream, (each for each in ids if each))
    return _Stored(records, airbyte)


def _airbyte_id(entry: Entry) -> str | None:
    """The id under which Airbyte's connector wrote the entry's record, where that may be removed.

    It may when the id can be no other record's, and the stream's old data is certainly to be replaced.
    """
    if not is_certain(entry.stream):
        return None
    operation = entry.operation
    if isinstance(operation, Delete):
        return operation.airbyte_id
    return operation.document.airbyte_id if operation.document.takes_over else None


def _place(entries: Iterable[Entry], site: Site, kept: dict[int, set[PointId]]) -> Iterator[_Placed]:
    """Every chunk with its place; notes in `kept` which ids an entry's record has from now on."""
    for entry in entries:
        kept[entry.position] = set()
        if isinstance(entry.operation, Upsert):
            document = entry.operation.document
            ids = ids_of(document, entry.position, site.form.run_id)
            for chunk in entry.chunks:
                kept[entry.position].add(ids[chunk.index])
                yield _Placed(entry.position, document, chunk, len(entry.chunks), ids)


def _parts(placed: Iterable[_Placed], site: Site) -> Iterator[list[_Placed]]:
    """Parts of bounded size, so that one record of many chunks does not have to fit into memory as points."""
    part: list[_Placed] = []
    size = 0
    for each in placed:
        weight = point_bytes(each.document, each.chunk.text, site.embedder.dimensions or 0)
        if part and (len(part) >= site.points_per_write or size + weight > site.bytes_per_write):
            yield part
            part, size = [], 0
        part.append(each)
        size += weight
    if part:
        yield part


def _write(part: Sequence[_Placed], site: Site) -> Counter[Descriptor]:
    """Embed and upsert one part; how many points each stream got."""
    vectors = iter(_embed(part, site))
    points: list[Point] = []
    for _, same in groupby(part, key=lambda placed: id(placed.document)):
        placed = list(same)
        chunks = [EmbeddedChunk(each.chunk, next(vectors)) for each in placed]
        first = placed[0]
        points += to_points(first.document, chunks, count=first.count, ids=first.ids, form=site.form)
    try:
        site.store.upsert(points)
    except PointRefusedError as error:
        refused = part[error.index]
        where = f"line {refused.position} of the input, stream {refused.document.stream.descriptor}"
        raise error.at(where) from error
    return Counter(placed.document.stream.descriptor for placed in part)


def _embed(part: Sequence[_Placed], site: Site) -> list[Vectors]:
    """The vectors of each chunk: those that came with the record, else the embedder's."""
    texts = [placed.chunk.text for placed in part if not placed.document.given]
    embedded = iter(site.embedder.embed_documents(texts) if texts else ())
    return [placed.document.given or {site.form.vector_name: next(embedded)} for placed in part]


def _receipt(batch: Batch, current: Sequence[Entry], points: Mapping[Descriptor, int]) -> CommitReceipt:
    written = [entry.position for entry in current if isinstance(entry.operation, Upsert)]
    deleted = [
        entry.position
        for entry in current
        if isinstance(entry.operation, Delete) and entry.operation.because == "deleted"
    ]
    done = {*written, *deleted}
    skipped = [entry.position for entry in batch.entries if entry.position not in done]
    return CommitReceipt(tuple(written), (*skipped, *batch.superseded), tuple(deleted), points)
