"""The lookup stage: what is stored of the records of a batch, read once by indexed key before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from .catalog import DestinationStream
from .cursors import is_newer
from .generations import is_certain
from .payload import CONTENT_HASH, CURSOR, GENERATION_ID, RECORD_HASH, RECORD_ID, RECORD_KEY, RUN_ID
from .points import Placed, of_airbyte, of_stream
from .qdrant.base import AnyOf, PointId, Store, StoredPoint, Where

#: Keys per read; a server measured 100 keys at 4 ms and 1,000 at 31 ms.
_KEYS_PER_READ = 500

#: Hits per read of texts: a text that stands in a million points must not cost a million hits.
_HITS_PER_READ = 1_000

_FIELDS = (RECORD_KEY, RECORD_HASH, CONTENT_HASH, CURSOR, GENERATION_ID)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What is stored of one chunk."""

    id: PointId
    content_hash: str | None
    cursor: str | None
    generation_id: int | None
    record_hash: str | None = None


StoredRecords = Mapping[str, Sequence[StoredChunk]]
"""Key of a record -> its stored chunks; records that are not stored are absent."""


def look_up(store: Store, stream: DestinationStream, keys: Iterable[str]) -> StoredRecords:
    """What is stored of the records with these keys."""
    found: dict[str, list[StoredChunk]] = {}
    for part in _parts(keys):
        where = Where((*of_stream(stream), AnyOf(RECORD_KEY, part)))
        for point in store.scroll(where, _FIELDS):
            key = _read(point, RECORD_KEY, str)
            if key is None:
                continue  # a list with the key in it: Qdrant finds that too, and the connector writes no such thing
            chunk = StoredChunk(
                point.id,
                _read(point, CONTENT_HASH, str),
                _read(point, CURSOR, str),
                _read(point, GENERATION_ID, int),
                _read(point, RECORD_HASH, str),
            )
            found.setdefault(key, []).append(chunk)
    return found


def look_up_airbyte(store: Store, stream: DestinationStream, record_ids: Iterable[str]) -> Mapping[str, list[PointId]]:
    """Points that Airbyte's connector wrote, by its record id."""
    found: dict[str, list[PointId]] = {}
    legacy = of_airbyte(stream)
    for part in _parts(record_ids):
        where = Where((*legacy.must, AnyOf(RECORD_ID, part)), legacy.must_not)
        for point in store.scroll(where, (RECORD_ID,)):
            record_id = _read(point, RECORD_ID, str)
            if record_id is not None:
                found.setdefault(record_id, []).append(point.id)
    return found


def look_up_texts(store: Store, stream: DestinationStream, content_hashes: Iterable[str]) -> Mapping[str, PointId]:
    """For each of these texts, a point that holds its vector, where there is one."""
    found: dict[str, PointId] = {}
    for part in _parts(content_hashes):
        wanted = part
        while wanted:
            where = Where((*of_stream(stream), AnyOf(CONTENT_HASH, wanted)))
            hits = list(islice(store.scroll(where, (CONTENT_HASH,)), _HITS_PER_READ))
            new = {key: point.id for point in hits if (key := _read(point, CONTENT_HASH, str)) is not None}
            found |= new
            # What is found is not asked for again, so that each read finds something new, or is the last one.
            is_last = len(hits) < _HITS_PER_READ or not new
            wanted = () if is_last else tuple(each for each in wanted if each not in found)
    return found


def holds(store: Store, where: Where) -> bool:
    """Whether any point matches. Not a count: some servers refuse exact ones, and an estimate can be 0 by mistake."""
    return any(True for _ in store.scroll(where, (RUN_ID,)))


def is_outdated(stream: DestinationStream, cursor: str | None, stored: Sequence[StoredChunk]) -> bool:
    """Whether a newer version of the record is stored already.

    During a replacement only points of the new generation count: what is to be replaced may well be newer.
    """
    if not stream.compares_versions:
        return False
    return any(is_newer(chunk.cursor, cursor) for chunk in stored if stays(stream, chunk.generation_id))


def is_unchanged(stream: DestinationStream, placed: Sequence[Placed], stored: Sequence[StoredChunk]) -> bool:
    """Whether what is stored of a record is what would be written, chunk for chunk, and stays at the end of the sync.

    A point of a later generation than the stream's (the connection was made anew, and counts from 0 again) is written
    again: it would outlive the refreshes to come.
    """
    return {chunk.id for chunk in stored} == {each.id for each in placed} and all(
        chunk.record_hash == placed[0].record_hash
        and stays(stream, chunk.generation_id)
        and (chunk.generation_id or 0) <= (stream.generation_id or 0)
        for chunk in stored
    )


def stays(stream: DestinationStream, generation_id: int | None) -> bool:
    """Whether the end of the stream keeps a stored point of this generation (append_dedup)."""
    if generation_id is None:  # written by a sender without refreshes; it goes only where the replacement is certain
        return not is_certain(stream)
    return generation_id >= stream.minimum_generation_id


_T = TypeVar("_T")


def _read(point: StoredPoint, field: str, kind: type[_T]) -> _T | None:
    """A field of the bookkeeping; None where somebody has written something else there."""
    value = point.payload.get(field)
    return value if isinstance(value, kind) else None


def _parts(values: Iterable[str]) -> Iterable[tuple[str, ...]]:
    ordered = tuple(dict.fromkeys(values))
    for start in range(0, len(ordered), _KEYS_PER_READ):
        yield ordered[start : start + _KEYS_PER_READ]
