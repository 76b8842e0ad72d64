"""Operations become batches: the unit that is looked up, embedded, written and settled together (pure).

Rules:

1.  A batch closes when another operation would exceed its points or bytes, when it is too old, or at the end of
    the input. A STATE never closes one. An operation larger than a batch is a batch of its own.
2.  Of the changes of one key in a batch only the last survives, deletes included, before anything is embedded.
    Where versions are compared it is the newest that survives; a tie goes to the later arrival.
3.  What was superseded stays in the batch by its position, and is settled with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .catalog import DestinationStream
from .chunking import Chunk
from .cursors import is_newer
from .documents import Delete, Upsert
from .protocol import Descriptor

KeyInStream = tuple[Descriptor, str]


class Entry(NamedTuple):
    """One operation on its way, with the line number of its record and the chunks of its document.

    `key` is what must not be in two batches at once, None where one key may have many versions; `cursor` decides between
    those.
    """

    position: int
    operation: Upsert | Delete
    chunks: tuple[Chunk, ...]
    size_bytes: int
    stream: DestinationStream
    key: KeyInStream | None
    cursor: str | None

    @classmethod
    def of(cls, position: int, operation: Upsert | Delete, chunks: tuple[Chunk, ...], size_bytes: int) -> Entry:
        """The entry of an operation."""
        what = operation.document if isinstance(operation, Upsert) else operation
        stream = what.stream
        key = (stream.descriptor, what.key.text) if what.key and stream.is_dedup else None
        return cls(position, operation, chunks, size_bytes, stream, key, what.cursor)


@dataclass(frozen=True, slots=True)
class Batch:
    """A closed batch. No two entries share a key."""

    entries: tuple[Entry, ...]
    superseded: tuple[int, ...]
    keys: frozenset[KeyInStream]
    size_bytes: int

    def whereabouts(self) -> str:
        """Which part of the input it is, for an error."""
        streams = sorted({str(entry.stream.descriptor) for entry in self.entries})
        lines = [entry.position for entry in self.entries]
        named = ", ".join(streams[:3]) + (", …" if streams[3:] else "")
        return f"in lines {min(lines)} to {max(lines)} of the input, stream {named}"


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """When a batch closes. `linger_seconds` is the longest an operation waits for company."""

    points: int = 512
    size_bytes: int = 8_000_000
    linger_seconds: float = 2.0


class BatchBuffer:
    """Gathers entries until a batch is full or old. Times are seconds of one clock, passed in."""

    def __init__(self, bounds: BatchBounds) -> None:
        self._bounds = bounds
        self._reset()

    def _reset(self) -> None:
        self._entries: dict[KeyInStream | int, Entry] = {}
        self._superseded: list[int] = []
        self._points = 0
        self._size_bytes = 0
        self._opened_at: float | None = None

    def add(self, entry: Entry, now: float) -> Batch | None:
        """Take an entry; returns the batch that had to close for it."""
        points = _points(entry)
        closed = self.close() if self._is_full_with(points, entry.size_bytes) else None
        if self._opened_at is None:
            self._opened_at = now
        self._size_bytes += entry.size_bytes
        place = entry.key or entry.position
        older = self._entries.get(place)
        if older is not None:
            if entry.stream.compares_versions and is_newer(older.cursor, entry.cursor):
                self._superseded.append(entry.position)
                return closed
            self._superseded.append(older.position)
            self._points -= _points(older)
            del self._entries[place]
        self._entries[place] = entry
        self._points += points
        return closed

    def due_at(self) -> float | None:
        """When the open batch must close; None when there is none."""
        return None if self._opened_at is None else self._opened_at + self._bounds.linger_seconds

    def close(self) -> Batch | None:
        """Close the open batch; None when there is none."""
        if self._opened_at is None:
            return None
        keys = frozenset(place for place in self._entries if not isinstance(place, int))
        batch = Batch(tuple(self._entries.values()), tuple(self._superseded), keys, self._size_bytes)
        self._reset()
        return batch

    def _is_full_with(self, points: int, size_bytes: int) -> bool:
        return self._opened_at is not None and (
            self._points + points > self._bounds.points or self._size_bytes + size_bytes > self._bounds.size_bytes
        )


def _points(entry: Entry) -> int:
    # A delete costs a look-up and a request's share, so it takes a place like a point does.
    return len(entry.chunks) or 1
