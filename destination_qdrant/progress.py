"""A line about a running sync at a steady pace: what is done, what is under way, what it waits for.

A thread of its own says it, because the reader may be held up for as long as Qdrant, the provider or the source is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from .busy import Task
from .embedding.base import Usage
from .tally import Tally
from .wording import counted, lasted, rate


class Activity(Enum):
    """What the reader does."""

    WORKING = "reads and splits"
    SOURCE = "waits for input"
    ROOM = "waits until batches are stored"
    REMOVING = "removes what was replaced"


class Stopwatch:
    """How long the reader has spent with what. Looked at from another thread."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent = dict.fromkeys(Activity, 0.0)
        self._now = Activity.WORKING
        self._since = clock()

    def enter(self, activity: Activity) -> None:
        """It does this from now on."""
        if activity is self._now:
            return
        with self._lock:
            self._stop()
            self._now = activity

    def spent(self) -> Mapping[Activity, float]:
        """Seconds until now."""
        with self._lock:
            self._stop()
            return dict(self._spent)

    def _stop(self) -> None:
        at = self._clock()
        self._spent[self._now] += at - self._since
        self._since = at


@dataclass(frozen=True, slots=True)
class Look:
    """A running sync `at` so many seconds after it began.

    `done` records are stored, or need not be. `batches` are on their way. `spent`: seconds of the reader. `busy`: those of
    the workers.
    """

    at: float
    read: int
    done: int
    tally: Tally
    usage: Usage
    batches: int
    spent: Mapping[Activity, float]
    busy: Mapping[Task, float]


def progress(before: Look, now: Look) -> str:
    """What to say of a sync; rates and waits are those since the look before."""
    done = rate(now.done - before.done, now.at - before.at)
    records = f"{counted(now.read, 'record')} read, {now.done:,} done ({done})"
    parts = [records, _chunks(now.tally), _requests(now.usage), _waiting(before, now)]
    batches = "batch" if now.batches == 1 else "batches"
    parts.insert(3, f"{now.batches:,} {batches} in flight" if now.batches else "")
    return f"Progress after {lasted(now.at)}: {'; '.join(filter(None, parts))}."


def _chunks(tally: Tally) -> str:
    parts = (
        (tally.embedded, "chunk", "embedded"),
        (tally.reused, "chunk", "reused"),
        (tally.unchanged, "record", "unchanged"),
        (tally.tokens, "token", "embedded"),
    )
    return ", ".join(f"{counted(count, thing)} {what}" for count, thing, what in parts if count)


def _requests(usage: Usage) -> str:
    asked = f"{usage.in_flight:,} of {counted(usage.limit, 'embedding request')} in flight" if usage.limit else ""
    held = f"requests held back by rate limits for {usage.throttled_seconds:,.0f} s" if usage.throttled_seconds else ""
    return ", ".join(filter(None, (asked, held)))


def _waiting(before: Look, now: Look) -> str:
    """What limits the sync, where one thing took the reader more than half of the time since the look before."""
    spent = {activity: now.spent[activity] - before.spent[activity] for activity in Activity}
    most = max(spent, key=lambda activity: spent[activity])
    if spent[most] * 2 <= now.at - before.at:
        return ""
    match most:
        case Activity.SOURCE:
            return "mostly waiting for the source"
        case Activity.ROOM:
            took = {task: now.busy[task] - before.busy[task] for task in Task}
            if not any(took.values()):
                return "mostly waiting for batches to be stored"
            return f"mostly waiting for {max(took, key=lambda task: took[task]).value}"
        case Activity.REMOVING:
            return "removing older points"
        case Activity.WORKING:
            return "mostly reading and splitting"


class Heartbeat:
    """Calls `beat` every so many seconds on a thread of its own, from `start` until `stop` has returned.

    Args:
        beat: it raises OSError where nobody listens any more, which ends it.
        seconds: between two calls, however long one takes; what would be late is left out.
        wait: waits for some seconds; returns whether it was stopped meanwhile. By default, for `stop`.
        clock: the seconds that pass meanwhile.
    """

    def __init__(
        self,
        beat: Callable[[], object],
        seconds: float,
        *,
        wait: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._beat = beat
        self._seconds = seconds
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to count the seconds."""
        self._thread.start()

    def stop(self) -> None:
        """No call begins after this, and none is under way."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        due = self._clock() + self._seconds
        with suppress(OSError):
            while not self._wait(max(0.0, due - self._clock())):
                self._beat()
                due = max(due + self._seconds, self._clock())
