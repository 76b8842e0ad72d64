"""The one gate that every request to a provider passes, from whatever thread, and comes back to until it is answered.

`flow` decides, `slowness` words it; here is what waits.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from ..errors import ConnectorError, TransientError
from ..retry import Retryable, RetryPolicy
from .base import Tell, Usage
from .flow import Flow, Ticket, Verdict
from .service import Throttled
from .slowness import Hitch, Slowness

#: A sync outlasts a provider's bad minutes, for as long as `retry_seconds` says; a person waits in front of a check.
WRITE: Final = RetryPolicy(86_400, first_wait=0.5, longest_wait=30)
CHECK: Final = RetryPolicy(10, first_wait=0.25, longest_wait=2)

#: Less than what a clock can tell apart from nothing.
_INSTANT: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Patience:
    """How requests are repeated, and by which clock.

    The budget is `retry_seconds` of the options, or the policy's where that is less.
    `sleep` None waits such that `close` ends it; tests pass one that moves their clock.
    """

    policy: RetryPolicy = WRITE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None
    jitter: Callable[[], float] = random.random  # spreads waits, guards nothing


class Answered(Protocol):
    """What the gate looks at in an answer."""

    @property
    def hold_seconds(self) -> float:
        """For so long, the provider has nothing left of its limits."""
        ...


A = TypeVar("A", bound=Answered)


class LargerThanLimit(Exception):  # noqa: N818 -- a signal to who packed the request
    """The request needs more at once than the rate limit ever allows, or longer than an answer may take."""


class Gate:
    """Safe to use from several threads at once.

    Args:
        service_name: how the provider is named to the user.
        flow: the rules, which belong to the gate from now on.
        patience: by which clock.
        tell: takes lines for the log.
    """

    def __init__(self, service_name: str, flow: Flow, patience: Patience, tell: Tell) -> None:
        self._service_name = service_name
        self._flow = flow
        self._patience = patience
        self._tell = tell
        self._slowness = Slowness(service_name)
        self._changed = threading.Condition()
        self._closed = False

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        with self._changed:
            return self._flow.usage(self._patience.clock())

    def closed(self) -> ConnectorError:
        """What to raise instead of asking."""
        return TransientError(f"{self._service_name} is not asked any more, because the sync is being stopped.")

    def close(self) -> None:
        """End all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def look_again(self) -> None:
        """Something that a `still_good` depends on has changed."""
        with self._changed:
            self._changed.notify_all()

    def enter(self, tokens: int, text_bytes: int, *, divisible: bool) -> Ticket:
        """The place in the queue of a new request."""
        with self._changed:
            return self._flow.enter(self._patience.clock(), tokens, text_bytes, divisible=divisible)

    def send(self, ticket: Ticket, request: Callable[[], A], still_good: Callable[[], object]) -> A:
        """The answer to a request, once it is its turn and as often as it takes.

        Args:
            ticket: its place in the queue, which is given up at the end.
            request: sends it.
            still_good: raises if the request need not be sent any more; must be quick.

        Raises:
            LargerThanLimit: it has to be divided.
            ConnectorError: it failed for good, or the gate was closed.
        """
        try:
            while True:
                self._await_turn(ticket, still_good)
                try:
                    answer = request()
                except Retryable as signal:
                    refusal = signal
                else:
                    self._passed(ticket, answer)
                    return answer
                # outside of the handler, so that nothing of a foreign exception is chained
                self._refused(ticket, refusal)
        finally:
            with self._changed:
                self._flow.leave(ticket, self._patience.clock())
                self._changed.notify_all()

    def _await_turn(self, ticket: Ticket, still_good: Callable[[], object]) -> None:
        with self._changed:
            while True:
                if self._closed:
                    raise self.closed()
                still_good()
                now = self._patience.clock()
                delay = self._flow.delay(ticket, now)
                if delay is not None and delay <= _INSTANT:
                    self._flow.begin(ticket, now)
                    self._changed.notify_all()
                    return
                self._wait(delay)

    def _wait(self, seconds: float | None) -> None:
        if self._patience.sleep is None or seconds is None:
            self._changed.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
            return
        self._changed.release()
        try:
            self._patience.sleep(seconds)
        finally:
            self._changed.acquire()

    def _passed(self, ticket: Ticket, answer: Answered) -> None:
        with self._changed:
            now = self._patience.clock()
            is_held = self._flow.passed(ticket, now, answer.hold_seconds)
            if is_held:
                why = f"{self._service_name} says that nothing is left of its rate limit."
                line = self._warning(now, Hitch(why, self._flow.hold_until, by_limit=True))
            else:
                line = self._slowness.success(now, repeating=self._flow.repeating)
            self._changed.notify_all()
        if line is not None:
            self._tell("WARN" if is_held else "INFO", line)

    def _refused(self, ticket: Ticket, signal: Retryable) -> None:
        """Returns if the request is to be sent again."""
        by_limit = isinstance(signal, Throttled)
        with self._changed:
            now = self._patience.clock()
            meet = self._flow.throttled if by_limit else self._flow.failed
            verdict = meet(ticket, now, signal, self._patience.jitter())
            if verdict is Verdict.GIVE_UP:
                raise signal.failure
            next_try = self._flow.hold_until if by_limit else ticket.not_before
            line = self._warning(now, Hitch(signal.failure.message, next_try, by_limit))
            self._changed.notify_all()
        if line is not None:
            self._tell("WARN", line)
        if verdict is Verdict.HALVE:
            raise LargerThanLimit

    def _warning(self, now: float, hitch: Hitch) -> str | None:
        in_flight = self._flow.usage(now).in_flight
        return self._slowness.hitch(now, hitch, f"{in_flight} of {self._flow.most} are under way")
