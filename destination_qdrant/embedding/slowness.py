"""What the log says while a provider keeps requests waiting: little, and soon enough (pure; the clock is passed in).

What heals within seconds is not worth a line. After that there is one warning a minute at most, and one line when
requests pass normally again: after an outage as soon as nothing waits for its next try, after a rate limit when it has
not been met for a while, because a provider near its limit lets some pass and refuses others all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Being held up for less than this goes unmentioned.
QUIET_SECONDS: Final = 10.0
REPEAT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Hitch:
    """One request did not pass, or all of them have to wait. `until` is when the next try is."""

    why: str
    until: float
    by_limit: bool


class Slowness:
    """One provider's. Not thread-safe."""

    def __init__(self, service_name: str) -> None:
        self._service_name = service_name
        self._since: float | None = None
        self._calm_since: float | None = None
        self._by_limit = False
        self._warned = False
        self._last_told: float | None = None

    def hitch(self, now: float, hitch: Hitch, state: str) -> str | None:
        """The warning to give, if any. `state` completes it."""
        if self._since is None or self._is_calm(now):
            self._since, self._warned = now, False
        self._calm_since, self._by_limit = None, hitch.by_limit
        too_soon = self._last_told is not None and now - self._last_told < REPEAT_SECONDS
        if too_soon or max(now, hitch.until) - self._since < QUIET_SECONDS:
            return None
        self._warned, self._last_told = True, now
        ahead = hitch.until - now
        next_try = f", the next goes out in {ahead:.0f} seconds" if ahead >= QUIET_SECONDS else ""
        so_far = f"have been held up for {now - self._since:.0f} seconds" if now > self._since else "are held up"
        return f"{hitch.why} Requests {so_far}{next_try}; {state}."

    def success(self, now: float, *, repeating: bool) -> str | None:
        """What to say now that a request has passed, if anything."""
        if self._since is None:
            return None
        if self._calm_since is None:
            self._calm_since = now
        if repeating or (self._by_limit and not self._is_calm(now)):
            return None
        warned, self._since, self._warned = self._warned, None, False
        return f"{self._service_name} takes requests without delay again." if warned else None

    def _is_calm(self, now: float) -> bool:
        return self._calm_since is not None and now - self._calm_since >= QUIET_SECONDS
