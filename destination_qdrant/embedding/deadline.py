"""An answer that comes drop by drop and never ends: HTTP libraries only limit the time between two drops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator


def parts_within(
    parts: Iterable[bytes], seconds: float, late: Exception, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """The parts of an answer, for so long; then the exception `late`, which the library knows as its own."""
    end = clock() + seconds
    for part in parts:
        if clock() > end:
            raise late
        yield part
