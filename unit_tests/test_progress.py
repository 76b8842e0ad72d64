"""What a running sync says of itself, and how often. The clock is the test's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from destination_qdrant.busy import Task
from destination_qdrant.embedding.base import Usage
from destination_qdrant.progress import Activity, Heartbeat, Look, Stopwatch, progress
from destination_qdrant.tally import Tally


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(**seconds: float) -> dict[Activity, float]:
    return {activity: seconds.get(activity.name.lower(), 0.0) for activity in Activity}


def busy(**seconds: float) -> dict[Task, float]:
    return {task: seconds.get(task.name.lower(), 0.0) for task in Task}


START = Look(at=100.0, read=0, done=0, tally=Tally(), usage=Usage(), batches=0, spent=spent(), busy=busy())


def test_everything_that_is_known_is_told() -> None:
    before = replace(START, done=1000, spent=spent(room=5.0))
    tally = Tally(chunks=9000, points=8000, embedded=6000, reused=2000, unchanged=70, removed=5, tokens=1_234_567)
    usage = Usage(requests=99, throttled_seconds=12.4, in_flight=7, limit=8)
    now = Look(
        130.0,
        12_345,
        11_000,
        tally,
        usage,
        batches=6,
        spent=spent(working=9, source=1, room=25),
        busy=busy(embedding=30),
    )

    assert progress(before, now) == (
        "Progress after 2 min 10 s: 12,345 records read, 11,000 done (333 a second); 6,000 chunks embedded, 2,000 chunks reused, "
        "70 records unchanged, 1,234,567 tokens embedded; 7 of 8 embedding requests in flight, requests held back by "
        "rate limits for 12 s; 6 batches in flight; mostly waiting for embedding."
    )


def test_what_is_zero_or_unknown_is_left_out() -> None:
    assert (
        progress(START, replace(START, at=130.0)) == "Progress after 2 min 10 s: 0 records read, 0 done (0.0 a second)."
    )


def test_one_of_each_is_told_in_the_singular() -> None:
    tally = Tally(embedded=1, reused=1, unchanged=1, tokens=1)
    now = replace(START, at=130.0, read=1, done=1, tally=tally, usage=Usage(limit=1), batches=1)

    assert progress(START, now) == (
        "Progress after 2 min 10 s: 1 record read, 1 done (0.0 a second); 1 chunk embedded, 1 chunk reused, 1 record unchanged, 1 token "
        "embedded; 0 of 1 embedding request in flight; 1 batch in flight."
    )


def test_a_slow_rate_has_a_digit_behind_the_point() -> None:
    now = replace(START, at=130.0, read=50, done=45)

    assert progress(START, now) == "Progress after 2 min 10 s: 50 records read, 45 done (1.5 a second)."


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ({"source": 16.0}, "mostly waiting for the source"),
        ({"source": 15.0, "room": 14.0}, None),
        ({"working": 20.0, "room": 10.0}, "mostly reading and splitting"),
        ({"removing": 30.0}, "removing older points"),
    ],
)
def test_what_limits_the_sync_is_told_where_it_is_known(seconds: dict[str, float], told: str | None) -> None:
    said = progress(START, replace(START, at=130.0, spent=spent(**seconds)))

    assert said.endswith(f"; {told}." if told else " a second).")


@pytest.mark.parametrize(
    ("embedding", "qdrant", "told"),
    [(9, 8, "embedding"), (8, 9, "Qdrant"), (0, 0.1, "Qdrant"), (0, 0, "batches to be stored")],
)
def test_what_the_workers_were_busy_with_since_the_last_look_is_what_the_reader_waits_for(
    embedding: float, qdrant: float, told: str
) -> None:
    before = replace(START, busy=busy(embedding=100, qdrant=90))
    now = replace(START, at=130.0, spent=spent(room=16.0), busy=busy(embedding=100 + embedding, qdrant=90 + qdrant))

    assert progress(before, now).endswith(f"; mostly waiting for {told}.")


def test_the_stopwatch_adds_up_what_each_activity_took() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    for activity, seconds in [(Activity.SOURCE, 1), (Activity.SOURCE, 2), (Activity.ROOM, 4), (Activity.SOURCE, 8)]:
        watch.enter(activity)
        clock.now += seconds

    assert watch.spent() == spent(source=11, room=4)

    clock.now += 1

    assert watch.spent() == spent(source=12, room=4)


def _beats(waits: int, beat: Callable[[], object], clock: Clock) -> list[float]:
    """Let a heartbeat of 30 seconds run until it has waited so often; returns for how long it wanted to."""
    wanted: list[float] = []

    def wait(seconds: float) -> bool:
        wanted.append(seconds)
        clock.now += seconds
        return len(wanted) == waits

    heartbeat = Heartbeat(beat, 30.0, wait=wait, clock=clock)
    heartbeat.start()
    heartbeat.stop()
    return wanted


def test_a_beat_comes_at_a_steady_pace_however_long_it_takes() -> None:
    clock, at = Clock(), list[float]()

    def beat() -> None:
        at.append(clock.now)
        clock.now += 10

    assert _beats(4, beat, clock) == [30.0, 20.0, 20.0, 20.0]
    assert at == [130.0, 160.0, 190.0]


def test_beats_that_would_be_late_are_left_out() -> None:
    clock, at = Clock(), list[float]()

    def beat() -> None:
        at.append(clock.now)
        clock.now += 100 if len(at) == 1 else 0

    _beats(4, beat, clock)

    assert at == [130.0, 230.0, 260.0]


def test_a_sync_shorter_than_the_pace_has_no_beat() -> None:
    clock, at = Clock(), list[float]()

    assert _beats(1, lambda: at.append(clock.now), clock) == [30.0]
    assert at == []


def test_a_beat_that_nobody_hears_is_the_last_one() -> None:
    tries = []

    def beat() -> None:
        tries.append(1)
        raise BrokenPipeError

    _beats(9, beat, Clock())

    assert tries == [1]


def test_stopping_ends_a_wait_at_once_and_can_be_done_twice() -> None:
    heartbeat = Heartbeat(lambda: None, 10**6)
    heartbeat.start()
    heartbeat.stop()
    heartbeat.stop()
