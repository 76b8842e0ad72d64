"""One retry policy: is another try worth it, and how long to wait for it (pure; clock, sleep and chance are passed in).

1.  Only what an adapter marks as `Retryable` is tried again; everything else passes through at once.
2.  The wait doubles from `first_wait` up to `longest_wait`, and a random share of it is slept ("full jitter"),
    so that many workers do not come back together.
3.  What the other side asks for (`Retry-After`) is the least that is slept. If that does not fit into
    the budget any more, waiting is of no use and the failure is raised at once.
4.  The last try is made when the budget ends. Then the failure inside the `Retryable` is raised.

`sleep` may raise to stop the waiting (a cancelled sync); what it raises passes through. `on_wait` is told of every wait
before it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from .errors import ConnectorError

T = TypeVar("T")

#: More doublings than this only overflow; every policy has reached its longest wait by then.
_MOST_DOUBLINGS: Final = 32


class Retryable(Exception):  # noqa: N818 -- a signal between an adapter and `call`; what the user sees is `failure`
    """Trying again may help; `failure` is what to raise when there is no more time."""

    def __init__(
        self, failure: ConnectorError, *, retry_after: float | None = None, within: float | None = None
    ) -> None:
        """Carry `retry_after` as the other side said it, and `within` when this kind deserves less than the budget."""
        super().__init__(failure.message)
        self.failure = failure
        self.retry_after = retry_after
        self.within = within


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to keep trying, in seconds."""

    budget_seconds: float
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait(self, failures: int, chance: float) -> float:
        """The wait after so many failures in a row (1 = the first), for a chance between 0 and 1."""
        doubled = self.first_wait * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return chance * min(self.longest_wait, doubled)

    def budget(self, signal: Retryable) -> float:
        """How long a failure of this kind may be retried."""
        return self.budget_seconds if signal.within is None else min(signal.within, self.budget_seconds)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait that begins: why, and in seconds since the first try when the next one is, and when the last one."""

    failure: ConnectorError
    next_try: float
    budget: float


OnWait = Callable[[Waiting], object]


def nobody(_waiting: Waiting) -> None:
    """Who need not be told."""


def call(
    policy: RetryPolicy,
    attempt: Callable[[], T],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    jitter: Callable[[], float],
    on_wait: OnWait = nobody,
) -> T:
    """The result of the first attempt that does not raise `Retryable`.

    Args:
        policy: the waits and the budget.
        attempt: what to try; it must be safe to repeat.
        clock: seconds that only grow, e.g. `time.monotonic`.
        sleep: waits that many seconds, or raises to stop.
        jitter: a random number from 0 to 1.
        on_wait: is told of every wait before it begins.

    Raises:
        ConnectorError: the failure inside the last `Retryable`, once the budget is used up.
    """
    started = clock()
    failures = 0
    while True:
        try:
            return attempt()
        except Retryable as signal:
            failures += 1
            budget, spent = policy.budget(signal), clock() - started
            left = budget - spent
            asked = signal.retry_after or 0.0
            if left <= 0 or asked > left:
                raise signal.failure from signal.__cause__
            pause = min(max(policy.wait(failures, jitter()), asked), left)
            waiting = Waiting(signal.failure, spent + pause, budget)
        # told and slept outside of the handler, so that what a stopping sleep raises does not drag the failure along
        on_wait(waiting)
        sleep(pause)
