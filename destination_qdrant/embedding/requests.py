"""Sends texts to a provider in requests of bounded size, in order, and again where that may help.

A request is a function of a run of texts: nothing here depends on requests following one another,
which is what a later concurrent sender will build on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..retry import RetryPolicy, call
from ..vectors import Dense
from .service import TooLarge

Ask = Callable[[Sequence[str]], list[Dense]]
"""One request: as many vectors as texts, or one of the exceptions that `service` lists."""

#: Seconds for one request; the providers' own defaults are 5 and 10 minutes.
TIMEOUT: Final = 60.0
CONNECT_TIMEOUT: Final = 10.0

#: A sync outlasts a provider's bad minutes; a person waits in front of a connection check.
WRITE: Final = RetryPolicy(600, first_wait=0.5, longest_wait=30)
CHECK: Final = RetryPolicy(10, first_wait=0.25, longest_wait=2)


@dataclass(frozen=True, slots=True)
class Patience:
    """How requests are repeated, and by which clock."""

    policy: RetryPolicy = WRITE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random  # spreads waits, guards nothing

    def vectors(self, ask: Ask, texts: Sequence[str]) -> list[Dense]:
        """The answer to one request."""
        return call(self.policy, lambda: ask(texts), clock=self.clock, sleep=self.sleep, jitter=self.jitter)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may hold; a text that is larger alone is a request of its own."""

    texts: int
    text_bytes: int


def slices(texts: Sequence[str], bounds: Bounds) -> Iterator[Sequence[str]]:
    """The texts in order, in runs that stay within the bounds."""
    begin = size = 0
    for at, text in enumerate(texts):
        weight = len(text.encode("utf-8", errors="surrogatepass"))
        if at > begin and (at - begin == bounds.texts or size + weight > bounds.text_bytes):
            yield texts[begin:at]
            begin, size = at, 0
        size += weight
    if begin < len(texts):
        yield texts[begin:]


class Requests:
    """The requests to one provider. Safe to use from several threads at once."""

    def __init__(self, bounds: Bounds, patience: Patience) -> None:
        # Only ever replaced by smaller bounds. Two threads that do so at once cost a request more, nothing else.
        self._bounds = bounds
        self._patience = patience

    def vectors(self, texts: Sequence[str], ask: Ask) -> list[Dense]:
        """One vector a text, in order."""
        found: list[Dense] = []
        for part in slices(texts, self._bounds):
            found += self._in_pieces(part, ask)
        return found

    def _in_pieces(self, part: Sequence[str], ask: Ask) -> list[Dense]:
        """Halve what the provider finds too large, and remember how many texts it does not take."""
        half = (len(part) + 1) // 2
        if len(part) <= self._bounds.texts:
            try:
                return self._patience.vectors(ask, part)
            except TooLarge as signal:
                if len(part) == 1:
                    raise signal.failure from None
                self._bounds = replace(self._bounds, texts=min(self._bounds.texts, half))
        return self._in_pieces(part[:half], ask) + self._in_pieces(part[half:], ask)
