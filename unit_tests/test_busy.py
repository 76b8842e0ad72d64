"""What the workers of a sync are busy with. The clock is the test's own."""

from __future__ import annotations

import pytest

from destination_qdrant.busy import Busy, Task


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_of_all_workers_add_up_and_those_under_way_count() -> None:
    clock = Clock()
    busy = Busy(clock)
    with busy.at(Task.EMBEDDING):
        clock.now += 1
        with busy.at(Task.EMBEDDING), busy.at(Task.QDRANT):
            clock.now += 2
        clock.now += 4

        assert busy.seconds() == {Task.EMBEDDING: 9.0, Task.QDRANT: 2.0}

    clock.now += 8

    assert busy.seconds() == {Task.EMBEDDING: 9.0, Task.QDRANT: 2.0}


def test_a_task_that_fails_is_over() -> None:
    clock = Clock()
    busy = Busy(clock)

    def fail() -> None:
        with busy.at(Task.QDRANT):
            clock.now += 1
            raise OSError("away")

    with pytest.raises(OSError, match="away"):
        fail()
    clock.now += 1

    assert busy.seconds()[Task.QDRANT] == 1.0
