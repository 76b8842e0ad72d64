"""When the user's own limits, so many a minute, let the next request go (pure; the clock is passed in).

The generic cell rate algorithm: `owed_until` is when everything sent so far would have been earned at the steady rate.
A request may run ahead of that by a second's worth. One that costs more goes when nothing is owed, and is paid for
afterwards. So no minute exceeds the limit by more than a second's worth or one request, and a steady flow keeps to it.

Source: ITU-T I.371, annex A (virtual scheduling).
"""

from __future__ import annotations

import math
from typing import Final

MINUTE: Final = 60.0
_BURST_SECONDS: Final = 1.0


class Pace:
    """One limit."""

    def __init__(self, per_minute: int) -> None:
        self._seconds_each = MINUTE / per_minute
        self._owed_until = -math.inf

    def opens(self, amount: int) -> float:
        """When a request of this amount may go, by the clock; in the past when it may go at once."""
        ahead = max(0.0, _BURST_SECONDS - amount * self._seconds_each)
        return self._owed_until - ahead

    def take(self, now: float, amount: int) -> None:
        """It goes."""
        self._owed_until = max(self._owed_until, now) + amount * self._seconds_each
