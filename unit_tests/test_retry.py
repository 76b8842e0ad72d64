"""The retry policy, with a clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from destination_qdrant.errors import ConfigError, TransientError
from destination_qdrant.retry import Retryable, RetryPolicy, Waiting, call

POLICY = RetryPolicy(budget_seconds=100, first_wait=1, longest_wait=10)


@dataclass
class Time:
    """A clock and a sleep that belong together."""

    now: float = 1_000.0
    naps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@dataclass
class Attempts:
    """Fails with these signals, one after the other, and then succeeds; each try takes `costs` seconds."""

    signals: list[Retryable]
    time: Time
    costs: float = 0
    made: int = 0

    def __call__(self) -> str:
        self.made += 1
        self.time.now += self.costs
        if self.made <= len(self.signals):
            raise self.signals[self.made - 1]
        return "done"


def away(*, retry_after: float | None = None, within: float | None = None) -> Retryable:
    return Retryable(TransientError("The server is away."), retry_after=retry_after, within=within)


def run(attempt: Callable[[], str], time: Time, *, policy: RetryPolicy = POLICY, chance: float = 1.0) -> str:
    return call(policy, attempt, clock=lambda: time.now, sleep=time.sleep, jitter=lambda: chance)


def test_a_first_success_sleeps_not_at_all() -> None:
    time = Time()

    assert run(Attempts([], time), time) == "done"
    assert time.naps == []


def test_waits_double_up_to_the_longest() -> None:
    time = Time()

    assert run(Attempts([away()] * 6, time), time) == "done"
    assert time.naps == [1, 2, 4, 8, 10, 10]


def test_waits_are_a_random_share_of_the_full_wait() -> None:
    time = Time()
    run(Attempts([away()] * 3, time), time, chance=0.25)

    assert time.naps == [0.25, 0.5, 1]


def test_what_the_server_asks_for_is_the_least_that_is_waited() -> None:
    time = Time()
    run(Attempts([away(retry_after=7), away(retry_after=0.5)], time), time)

    assert time.naps == [7, 2]


def test_a_wait_that_does_not_fit_into_the_budget_is_not_begun() -> None:
    time = Time()
    with pytest.raises(TransientError):
        run(Attempts([away(retry_after=101)], time), time)

    assert time.naps == []


def test_the_failure_inside_is_raised_when_the_budget_is_used_up_and_the_last_try_is_made_at_its_end() -> None:
    time = Time()
    attempts = Attempts([away()] * 99, time)
    with pytest.raises(TransientError, match="The server is away"):
        run(attempts, time, policy=RetryPolicy(20, first_wait=1, longest_wait=10))

    assert time.naps == [1, 2, 4, 8, 5]
    assert attempts.made == 6


def test_an_attempt_that_takes_longer_than_the_budget_is_the_only_one() -> None:
    time = Time()
    attempts = Attempts([away()] * 2, time, costs=200)
    with pytest.raises(TransientError):
        run(attempts, time)

    assert attempts.made == 1


def test_a_kind_of_failure_can_have_a_smaller_budget_of_its_own() -> None:
    time = Time()
    full = Retryable(ConfigError("The disk is full."), within=5)
    with pytest.raises(ConfigError):
        run(Attempts([full] * 99, time), time)

    assert sum(time.naps) == 5


def test_the_smaller_budget_never_extends_the_policys() -> None:
    assert RetryPolicy(3).budget(away(within=60)) == 3


def test_anything_else_passes_through_at_once() -> None:
    time = Time()
    made = []

    def refused() -> str:
        made.append(1)
        raise ConfigError("No.")

    with pytest.raises(ConfigError):
        run(refused, time)

    assert (len(made), time.naps) == (1, [])


def test_the_foreign_exception_stays_the_cause() -> None:
    time = Time()
    foreign = OSError("secret")

    def attempt() -> str:
        raise away(retry_after=1_000) from foreign

    with pytest.raises(TransientError) as caught:
        run(attempt, time)

    assert caught.value.__cause__ is foreign


def test_a_sleep_that_raises_stops_the_retries() -> None:
    time = Time()
    attempts = Attempts([away()] * 9, time)

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        call(POLICY, attempts, clock=lambda: time.now, sleep=stop, jitter=lambda: 1.0)

    assert attempts.made == 1
    assert caught.value.__context__ is None


def test_every_wait_is_told_before_it_begins() -> None:
    time = Time()
    told: list[tuple[float, float, float]] = []

    def on_wait(waiting: Waiting) -> None:
        assert waiting.failure.message == "The server is away."
        told.append((sum(time.naps), waiting.next_try, waiting.budget))

    attempts = Attempts([away(), away(retry_after=7), away(within=40)], time, costs=5)
    call(POLICY, attempts, clock=lambda: time.now, sleep=time.sleep, jitter=lambda: 1.0, on_wait=on_wait)

    assert told == [(0, 6, 100), (1, 18, 100), (8, 27, 40)]


def test_a_very_long_row_of_failures_does_not_overflow() -> None:
    assert POLICY.wait(100_000, 1.0) == 10
