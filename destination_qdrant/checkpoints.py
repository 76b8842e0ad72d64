"""Which STATE may leave, and with which counts (pure: no I/O, no threads, no clock).

Rules (the Airbyte protocol on STATE acknowledgements and `destinationStats`; `docs/delivery.md` tells them to users):

1.  A STATE leaves only after every record before it is settled.
2.  STATEs leave in the order in which they came, all of them, each once.
3.  `recordCount` of a STREAM state: records of that stream since its previous state; of a GLOBAL state: records of
    all streams since the previous GLOBAL state. Rejected records are counted apart. LEGACY states carry no counts.
4.  What was done for a stream's records (`additionalStats`, which the platform adds up) is told once: by the first STATE
    with counts that leaves after it and covers the stream. It may be for records after that STATE as well.
5.  A position is settled once; settling an unknown or settled position is a bug and raises.

Positions are the line numbers of records; they come in ascending order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from .errors import SystemFault
from .protocol import Descriptor, State
from .tally import Tally


class Outcome(Enum):
    """What became of a record."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    DELETED = "deleted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A STATE that may leave now."""

    state: State
    record_count: int
    rejected_count: int
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True, eq=False)
class _Segment:
    """The records between two STATEs, and the STATE that ends them."""

    open: int = 0
    records: Counter[Descriptor] = field(default_factory=Counter)
    rejected: Counter[Descriptor] = field(default_factory=Counter)
    state: State | None = None


class CheckpointLedger:
    """One ordered ledger of records and STATEs."""

    def __init__(self) -> None:
        self._segments: deque[_Segment] = deque([_Segment()])
        self._open: dict[int, tuple[_Segment, Descriptor]] = {}
        self._outcomes: dict[Descriptor, Counter[Outcome]] = {}
        self._since_stream_state: Counter[Descriptor] = Counter()
        self._rejected_since_stream_state: Counter[Descriptor] = Counter()
        self._since_global_state = 0
        self._rejected_since_global_state = 0
        self._untold: dict[Descriptor, Tally] = {}

    def records(self, stream: Descriptor, positions: Sequence[int]) -> None:
        """Records of a stream came in."""
        segment = self._segments[-1]
        segment.open += len(positions)
        segment.records[stream] += len(positions)
        self._open.update(dict.fromkeys(positions, (segment, stream)))

    def state(self, state: State) -> None:
        """A STATE came in; it waits for the records before it."""
        self._segments[-1].state = state
        self._segments.append(_Segment())

    def settle(self, positions: Iterable[int], outcome: Outcome) -> None:
        """These records are done; any part of a batch may be settled at any time."""
        try:
            settled = Counter(map(self._open.pop, positions))
        except KeyError as error:
            raise SystemFault(
                f"The record on line {error.args[0]} was settled twice or never came; this is a bug."
            ) from None
        for (segment, stream), count in settled.items():
            segment.open -= count
            if outcome is Outcome.REJECTED:
                segment.rejected[stream] += count
            self._outcomes.setdefault(stream, Counter())[outcome] += count

    def work(self, tallies: Mapping[Descriptor, Tally]) -> None:
        """This was done for records of these streams."""
        for stream, tally in tallies.items():
            self._untold[stream] = self._untold.get(stream, Tally()) + tally

    def release(self) -> list[Checkpoint]:
        """The STATEs that may leave now, oldest first; each is given out once."""
        released = []
        while (segment := self._segments[0]).open == 0 and segment.state is not None:
            self._segments.popleft()
            self._tally(segment)
            released.append(self._checkpoint(segment.state))
        return released

    @property
    def settled(self) -> int:
        """How many records are settled."""
        return sum(counter.total() for counter in self._outcomes.values())

    def outcomes(self, stream: Descriptor) -> Counter[Outcome]:
        """What became of a stream's records so far."""
        return Counter(self._outcomes.get(stream, Counter()))

    def _tally(self, segment: _Segment) -> None:
        self._since_stream_state.update(segment.records)
        self._rejected_since_stream_state.update(segment.rejected)
        self._since_global_state += segment.records.total()
        self._rejected_since_global_state += segment.rejected.total()

    def _checkpoint(self, state: State) -> Checkpoint:
        if state.kind == "STREAM":
            came = sum(self._since_stream_state.pop(stream, 0) for stream in state.streams)
            rejected = sum(self._rejected_since_stream_state.pop(stream, 0) for stream in state.streams)
        elif state.kind == "GLOBAL":
            came, self._since_global_state = self._since_global_state, 0
            rejected, self._rejected_since_global_state = self._rejected_since_global_state, 0
        else:
            came = rejected = 0
        return Checkpoint(state, came - rejected, rejected, self._told_by(state))

    def _told_by(self, state: State) -> Tally:
        covered = {"STREAM": state.streams, "GLOBAL": tuple(self._untold), "LEGACY": ()}[state.kind]
        return sum((self._untold.pop(stream, Tally()) for stream in covered), Tally())
