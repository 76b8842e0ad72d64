"""The lookup stage: what is stored of the records of a batch, read once by indexed key before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .catalog import DestinationStream
from .cursors import is_newer
from .generations import is_certain
from .payload import CONTENT_HASH, CURSOR, GENERATION_ID, RECORD_ID, RECORD_KEY, RUN_ID
from .points import of_airbyte, of_stream
from .qdrant.base import AnyOf, PointId, Store, Where

#: Keys per read; a server measured 100 keys at 4 ms and 1,000 at 31 ms.
_KEYS_PER_READ = 500

_FIELDS = (RECORD_KEY, CONTENT_HASH, CURSOR, GENERATION_ID)


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """What is stored of one chunk."""

    id: PointId
    content_hash: str | None
    cursor: str | None
    generation_id: int | None


StoredRecords = Mapping[str, Sequence[StoredChunk]]
"""Key of a record -> its stored chunks; records that are not stored are absent."""


def look_up(store: Store, stream: DestinationStream, keys: Iterable[str]) -> StoredRecords:
    """What is stored of the records with these keys."""
    found: dict[str, list[StoredChunk]] = {}
    for part in _parts(keys):
        where = Where((*of_stream(stream), AnyOf(RECORD_KEY, part)))
        for point in store.scroll(where, _FIELDS):
            payload = point.payload
            chunk = StoredChunk(point.id, payload.get(CONTENT_HASH), payload.get(CURSOR), payload.get(GENERATION_ID))
            found.setdefault(payload[RECORD_KEY], []).append(chunk)
    return found


def look_up_airbyte(store: Store, stream: DestinationStream, record_ids: Iterable[str]) -> Mapping[str, list[PointId]]:
    """Points that Airbyte's connector wrote, by its record id."""
    found: dict[str, list[PointId]] = {}
    legacy = of_airbyte(stream)
    for part in _parts(record_ids):
        where = Where((*legacy.must, AnyOf(RECORD_ID, part)), legacy.must_not)
        for point in store.scroll(where, (RECORD_ID,)):
            found.setdefault(point.payload[RECORD_ID], []).append(point.id)
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
    return any(is_newer(chunk.cursor, cursor) for chunk in stored if _counts(stream, chunk.generation_id))


def _counts(stream: DestinationStream, generation_id: int | None) -> bool:
    if generation_id is None:  # written by a sender without refreshes; it goes only where the replacement is certain
        return not is_certain(stream)
    return generation_id >= stream.minimum_generation_id


def _parts(values: Iterable[str]) -> Iterable[tuple[str, ...]]:
    ordered = tuple(dict.fromkeys(values))
    for start in range(0, len(ordered), _KEYS_PER_READ):
        yield ordered[start : start + _KEYS_PER_READ]
