"""What is known of a batch before anything is embedded: what is stored of it, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .batching import Entry
from .documents import Delete, Upsert
from .generations import is_certain
from .lookup import (
    StoredChunk,
    StoredRecords,
    is_outdated,
    is_unchanged,
    look_up,
    look_up_airbyte,
    look_up_texts,
)
from .points import Placed, place
from .protocol import Descriptor
from .qdrant.base import PointId
from .site import Site


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of the records of a batch, by stream."""

    records: Mapping[Descriptor, StoredRecords]
    airbyte: Mapping[Descriptor, Mapping[str, Sequence[PointId]]]

    def __bool__(self) -> bool:
        """Whether anything is."""
        return any(self.records.values()) or any(self.airbyte.values())

    def of(self, entry: Entry) -> Sequence[StoredChunk]:
        """Stored chunks of the entry's key."""
        return self.records.get(entry.stream.descriptor, {}).get(entry.key[1], ()) if entry.key else ()

    def ids(self, entry: Entry) -> Iterator[PointId]:
        """Every stored point that the entry replaces."""
        yield from (chunk.id for chunk in self.of(entry))
        yield from self.airbyte.get(entry.stream.descriptor, {}).get(airbyte_id(entry) or "", ())


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be done for a batch.

    `current`: its entries, without those that are older than what is stored. `placed`: the chunks of each of them, by
    its position. `unchanged`: positions of records that are stored just so. `vector_at`: content hash -> a point that
    holds the vector of that text.
    """

    stored: Stored
    current: Sequence[Entry]
    placed: Mapping[int, Sequence[Placed]]
    unchanged: frozenset[int]
    vector_at: Mapping[str, PointId]

    def to_write(self) -> Iterator[Placed]:
        """The chunks that are to be written, in order."""
        for entry in self.current:
            if entry.position not in self.unchanged:
                yield from self.placed[entry.position]


def survey(entries: Sequence[Entry], site: Site) -> Survey:
    """Look up a batch."""
    stored = _look_up(entries, site)
    current = [
        entry for entry in entries if entry.key is None or not is_outdated(entry.stream, entry.cursor, stored.of(entry))
    ]
    placed = {entry.position: _place(entry, site) for entry in current}
    unchanged = _unchanged(current, placed, stored, site)
    changed = [entry for entry in current if entry.position not in unchanged]
    return Survey(stored, current, placed, unchanged, _vectors_at(changed, placed, stored, site))


def by_stream(entries: Iterable[Entry]) -> Mapping[Descriptor, list[Entry]]:
    """The entries of each stream, in order."""
    same: dict[Descriptor, list[Entry]] = {}
    for entry in entries:
        same.setdefault(entry.stream.descriptor, []).append(entry)
    return same


def airbyte_id(entry: Entry) -> str | None:
    """The id under which Airbyte's connector wrote the entry's record, where that may be removed.

    It may when the id can be no other record's, and the stream's old data is certainly to be replaced.
    """
    if not is_certain(entry.stream):
        return None
    operation = entry.operation
    if isinstance(operation, Delete):
        return operation.airbyte_id
    return operation.document.airbyte_id if operation.document.takes_over else None


def _look_up(entries: Iterable[Entry], site: Site) -> Stored:
    records, airbyte = {}, {}
    for descriptor, same in by_stream(entry for entry in entries if entry.key).items():
        stream = same[0].stream
        records[descriptor] = look_up(site.store, stream, (entry.key[1] for entry in same if entry.key))
        if descriptor in site.airbyte_streams:
            ids = (airbyte_id(entry) for entry in same)
            airbyte[descriptor] = look_up_airbyte(site.store, stream, (each for each in ids if each))
    return Stored(records, airbyte)


def _place(entry: Entry, site: Site) -> Sequence[Placed]:
    if not isinstance(entry.operation, Upsert):
        return ()
    return place(entry.operation.document, entry.chunks, entry.position, site.form)


def _unchanged(
    entries: Sequence[Entry], placed: Mapping[int, Sequence[Placed]], stored: Stored, site: Site
) -> frozenset[int]:
    """Which records are stored just so, vectors included: those are asked for, as somebody may have removed them."""
    if not stored:
        return frozenset()
    seem = [
        placed[entry.position]
        for entry in entries
        if site.reuse.unchanged
        and placed[entry.position]
        and is_unchanged(entry.stream, placed[entry.position], stored.of(entry))
    ]
    wanted = [[each.id for each in chunks if each.content_hash] for chunks in seem]
    ids = [point_id for same in wanted for point_id in same]
    found = site.store.with_vector(ids, site.form.vector_name) if ids else frozenset()
    return frozenset(chunks[0].position for chunks, same in zip(seem, wanted, strict=True) if found.issuperset(same))


def _vectors_at(
    entries: Sequence[Entry], placed: Mapping[int, Sequence[Placed]], stored: Stored, site: Site
) -> Mapping[str, PointId]:
    found: dict[str, PointId] = {}
    if site.reuse.by_key and stored:
        for entry in entries:
            found |= {chunk.content_hash: chunk.id for chunk in stored.of(entry) if chunk.content_hash}
    for descriptor, same in by_stream(entries).items():
        if descriptor in site.reuse.texts_of:
            chunks = (each for entry in same for each in placed[entry.position] if not each.document.given)
            wanted = {each.content_hash for each in chunks if each.content_hash and each.content_hash not in site.cache}
            found |= look_up_texts(site.store, same[0].stream, sorted(wanted))
    return found
