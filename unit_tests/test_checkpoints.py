"""Which STATE may leave, and with which counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from destination_qdrant.checkpoints import Checkpoint, CheckpointLedger, Outcome
from destination_qdrant.errors import SystemFault
from destination_qdrant.protocol import Descriptor, State, StateKind
from destination_qdrant.tally import Tally

A, B, C = Descriptor(None, "a"), Descriptor("x", "a"), Descriptor(None, "c")


def _state(kind: StateKind, *streams: Descriptor, name: str = "s") -> State:
    return State(name.encode(), kind, streams, is_reset=False)


def _counts(checkpoints: list[Checkpoint]) -> list[tuple[str, int, int]]:
    return [(each.state.raw.decode(), each.record_count, each.rejected_count) for each in checkpoints]


def test_a_state_waits_for_every_record_before_it() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [1])
    ledger.records(B, [2])
    ledger.state(_state("STREAM", A))
    ledger.settle([1], Outcome.WRITTEN)

    assert ledger.release() == []

    ledger.settle([2], Outcome.WRITTEN)

    assert _counts(ledger.release()) == [("s", 1, 0)]
    assert ledger.release() == []


def test_a_state_does_not_wait_for_records_after_it() -> None:
    ledger = CheckpointLedger()
    ledger.state(_state("STREAM", A))
    ledger.records(A, [1])

    assert _counts(ledger.release()) == [("s", 0, 0)]
    assert ledger.settled == 0


def test_a_state_that_is_ready_waits_for_an_older_one() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [1])
    ledger.state(_state("STREAM", A, name="older"))
    ledger.records(B, [2])
    ledger.state(_state("STREAM", B, name="newer"))
    ledger.settle([2], Outcome.WRITTEN)

    assert ledger.release() == []

    ledger.settle([1], Outcome.WRITTEN)

    assert [name for name, *_ in _counts(ledger.release())] == ["older", "newer"]


def test_a_stream_state_counts_its_own_records_since_its_previous_one() -> None:
    ledger = CheckpointLedger()
    for position, stream in enumerate([A, B, A], 1):
        ledger.records(stream, [position])
    ledger.state(_state("STREAM", A, name="a1"))
    ledger.records(A, [4])
    ledger.state(_state("STREAM", B, name="b1"))
    ledger.state(_state("STREAM", A, name="a2"))
    ledger.settle(range(1, 5), Outcome.WRITTEN)

    assert _counts(ledger.release()) == [("a1", 2, 0), ("b1", 1, 0), ("a2", 1, 0)]


def test_a_global_state_counts_all_streams_whatever_it_names() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [1])
    ledger.records(B, [2])
    ledger.state(_state("GLOBAL", C, name="g1"))
    ledger.records(B, [3])
    ledger.state(_state("GLOBAL", name="g2"))
    ledger.state(_state("GLOBAL", name="g3"))
    ledger.settle([1, 2, 3], Outcome.WRITTEN)

    assert _counts(ledger.release()) == [("g1", 2, 0), ("g2", 1, 0), ("g3", 0, 0)]


def test_a_legacy_state_carries_no_counts() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [1])
    ledger.state(_state("LEGACY"))
    ledger.settle([1], Outcome.WRITTEN)

    assert _counts(ledger.release()) == [("s", 0, 0)]


@pytest.mark.parametrize("kind", ["STREAM", "GLOBAL"])
def test_skipped_and_deleted_records_count_and_rejected_ones_are_counted_apart(kind: StateKind) -> None:
    ledger = CheckpointLedger()
    for position in range(1, 6):
        ledger.records(A, [position])
    ledger.state(_state(kind, A, name="first"))
    ledger.records(A, [6])
    ledger.state(_state(kind, A, name="second"))
    for position, outcome in enumerate([*Outcome, Outcome.REJECTED, Outcome.WRITTEN], 1):
        ledger.settle([position], outcome)

    assert _counts(ledger.release()) == [("first", 3, 2), ("second", 1, 0)]
    assert ledger.outcomes(A) == Counter(
        {Outcome.WRITTEN: 2, Outcome.SKIPPED: 1, Outcome.DELETED: 1, Outcome.REJECTED: 2}
    )


def test_what_was_done_is_told_once_with_the_next_state_that_covers_the_stream() -> None:
    ledger = CheckpointLedger()
    ledger.work({A: Tally(chunks=1), B: Tally(chunks=10)})
    ledger.work({A: Tally(points=2)})
    ledger.state(_state("STREAM", A))
    ledger.state(_state("STREAM", A))
    ledger.state(_state("STREAM", C))
    ledger.state(_state("STREAM", B, A))

    assert [each.tally for each in ledger.release()] == [Tally(chunks=1, points=2), Tally(), Tally(), Tally(chunks=10)]


def test_a_global_state_tells_what_was_done_for_all_streams_and_a_legacy_one_nothing() -> None:
    ledger = CheckpointLedger()
    ledger.work({A: Tally(chunks=1), B: Tally(chunks=10)})
    ledger.state(_state("LEGACY"))
    ledger.state(_state("GLOBAL", C))
    ledger.state(_state("GLOBAL"))

    assert [each.tally for each in ledger.release()] == [Tally(), Tally(chunks=11), Tally()]


def test_what_is_done_after_a_state_has_left_waits_for_the_next_one() -> None:
    ledger = CheckpointLedger()
    ledger.state(_state("STREAM", A))
    before = ledger.release()
    ledger.work({A: Tally(chunks=1)})

    assert [each.tally for each in before] == [Tally()]

    ledger.state(_state("STREAM", A))

    assert [each.tally for each in ledger.release()] == [Tally(chunks=1)]


def test_what_is_handed_out_of_outcomes_is_a_copy() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [1])
    ledger.settle([1], Outcome.WRITTEN)
    ledger.outcomes(A)[Outcome.WRITTEN] = 99

    assert ledger.outcomes(A) == Counter({Outcome.WRITTEN: 1})
    assert ledger.outcomes(B) == Counter()


def test_settling_a_record_twice_is_a_fault_that_names_its_line() -> None:
    ledger = CheckpointLedger()
    ledger.records(A, [7])
    ledger.settle([7], Outcome.WRITTEN)

    with pytest.raises(SystemFault, match="line 7 "):
        ledger.settle([7], Outcome.WRITTEN)


def test_settling_a_record_that_never_came_is_a_fault() -> None:
    with pytest.raises(SystemFault, match="line 8 "):
        CheckpointLedger().settle([8], Outcome.SKIPPED)


@dataclass
class _Arrived:
    """A record or a STATE of the model, in order of arrival."""

    stream: Descriptor | None = None
    outcome: Outcome | None = None
    state: State | None = None
    position: int = 0


@dataclass
class _Model:
    """The rules, told naively: everything that ever came, looked through from the start each time."""

    arrived: list[_Arrived] = field(default_factory=list)
    released: int = 0

    def ready(self) -> list[tuple[State, int, int]]:
        found = []
        for index, each in enumerate(self.arrived):
            if each.state is None:
                if each.outcome is None:
                    break
                continue
            covered = self._covered(index, each.state)
            rejected = sum(record.outcome is Outcome.REJECTED for record in covered)
            found.append((each.state, len(covered) - rejected, rejected))
        return found

    def _covered(self, index: int, state: State) -> list[_Arrived]:
        covered: list[_Arrived] = []
        for each in self.arrived[:index]:
            if each.state is None:
                if state.kind == "GLOBAL" or (state.kind == "STREAM" and each.stream in state.streams):
                    covered.append(each)
            elif each.state.kind == state.kind and (state.kind == "GLOBAL" or each.state.streams == state.streams):
                covered.clear()
        return covered


class Interleavings(RuleBasedStateMachine):
    """Random interleavings of records, STATEs of all kinds and partial settlements, against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = CheckpointLedger()
        self.model = _Model()
        self.done = dict.fromkeys((A, B, C), 0)  # chunks that no STATE has told yet

    @rule(stream=st.sampled_from([A, B, C]), times=st.integers(1, 4))
    def record(self, stream: Descriptor, times: int) -> None:
        for _ in range(times):
            position = len(self.model.arrived) * 2 + 1
            self.ledger.records(stream, [position])
            self.model.arrived.append(_Arrived(stream=stream, position=position))

    @rule(kind=st.sampled_from(["STREAM", "GLOBAL", "LEGACY"]), stream=st.sampled_from([A, B, C]))
    def state(self, kind: StateKind, stream: Descriptor) -> None:
        state = _state(kind, *([] if kind == "LEGACY" else [stream]), name=f"{len(self.model.arrived)}")
        self.ledger.state(state)
        self.model.arrived.append(_Arrived(state=state))

    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def settle_some(self, data: st.DataObject, outcome: Outcome) -> None:
        unsettled = [each for each in self.model.arrived if each.stream and not each.outcome]
        if unsettled:
            chosen = data.draw(st.lists(st.sampled_from(unsettled), unique_by=id, min_size=1))
            self._settle(chosen, outcome)

    @rule(stream=st.sampled_from([A, B, C]), chunks=st.integers(1, 9))
    def work(self, stream: Descriptor, chunks: int) -> None:
        self.ledger.work({stream: Tally(chunks=chunks)})
        self.done[stream] += chunks

    @rule()
    def release(self) -> None:
        checkpoints = self.ledger.release()
        ready = self.model.ready()

        released = [(each.state, each.record_count, each.rejected_count) for each in checkpoints]
        assert released == ready[self.model.released :]
        self.model.released = len(ready)
        for each in checkpoints:
            told = {"STREAM": each.state.streams, "GLOBAL": (A, B, C), "LEGACY": ()}[each.state.kind]
            assert each.tally == Tally(chunks=sum(self.done[stream] for stream in told))
            self.done |= dict.fromkeys(told, 0)

    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        settled = [each.position for each in self.model.arrived if each.outcome]
        position = data.draw(st.sampled_from([*settled, -1]))
        with pytest.raises(SystemFault):
            self.ledger.settle([position], Outcome.WRITTEN)

    @invariant()
    def what_is_settled_is_counted(self) -> None:
        assert self.ledger.settled == sum(each.outcome is not None for each in self.model.arrived)

    @invariant()
    def outcomes_are_kept_by_stream(self) -> None:
        for stream in (A, B, C):
            settled = [each.outcome for each in self.model.arrived if each.stream == stream and each.outcome]
            assert self.ledger.outcomes(stream) == Counter(settled)

    def teardown(self) -> None:
        """Once everything is settled no STATE is left behind."""
        self._settle([each for each in self.model.arrived if each.stream and not each.outcome], Outcome.WRITTEN)
        self.release()

        assert self.model.released == sum(each.state is not None for each in self.model.arrived)

    def _settle(self, chosen: list[_Arrived], outcome: Outcome) -> None:
        self.ledger.settle([each.position for each in chosen], outcome)
        for each in chosen:
            each.outcome = outcome


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
