"""What the log says while a server keeps calls waiting: little, and soon enough.

Calls of several threads share one `Outage`. A failure that heals within seconds is not worth a line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from ...retry import OnWait, Waiting

Tell = Callable[[Literal["INFO", "WARN"], str], object]


def silent(_level: str, _message: str) -> None:
    """A log that nobody reads."""


#: Waiting for less than this goes unmentioned.
_QUIET_SECONDS: Final = 10.0
_REPEAT_SECONDS: Final = 60.0


class Outage:
    """One warning when calls wait for long, repeated at most once a minute, and one line when none of them does any more."""

    def __init__(self, place: str, tell: Tell, clock: Callable[[], float]) -> None:
        self._place = place
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._late_calls = 0
        self._told = False
        self._last_told: float | None = None

    @contextmanager
    def watch(self) -> Iterator[OnWait]:
        """What to tell about the waits of one call; leaving the block ends the call."""
        late = healed = False

        def on_wait(waiting: Waiting) -> None:
            nonlocal late
            if waiting.next_try >= _QUIET_SECONDS:
                joins, late = not late, True
                self._wait(waiting, joins=joins)

        try:
            yield on_wait
            healed = True
        finally:
            if late:
                self._leave(healed=healed)

    def _wait(self, waiting: Waiting, *, joins: bool) -> None:
        with self._lock:
            self._late_calls += joins
            now = self._clock()
            if self._last_told is not None and now - self._last_told < _REPEAT_SECONDS:
                return
            self._told, self._last_told = True, now
            why = waiting.failure.message  # a sentence for the user: it says what to look at, and quotes no server
            self._tell("WARN", f"{why} Trying again for up to {waiting.budget:.0f} seconds.")

    def _leave(self, *, healed: bool) -> None:
        with self._lock:
            self._late_calls -= 1
            if self._late_calls or not self._told:
                return
            self._told = False
            if healed:
                self._tell("INFO", f"Qdrant at {self._place} answers again.")
