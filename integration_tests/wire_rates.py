"""Rate limits of one collection: a bucket of tokens for a minute's writes, and one for its reads.

What a request costs was recorded from a real server (1.18.3): an upsert its points, a deletion its ids whether they
exist or not, a filter what it is estimated to match, with half of the points guessed for a key that has no index.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from wire_requests import Json, RefusalError
from wire_strict import leaves

_MINUTE = 60
_GUESS = 0.5
Clock = Callable[[], float]


class TokenBucket:
    """Full at first, refilled continuously."""

    def __init__(self, kind: Literal["Read", "Write"], limit: int, clock: Clock) -> None:
        self._kind = kind
        self._limit = limit
        self._clock = clock
        self._tokens = float(limit)
        self._filled_at = clock()

    def spend(self, cost: int) -> None:
        """Take as many tokens, or refuse and take none."""
        now = self._clock()
        self._tokens = min(self._limit, self._tokens + (now - self._filled_at) * self._limit / _MINUTE)
        self._filled_at = now
        text = f"Rate limiting exceeded: {self._kind} rate limit exceeded"
        if cost > self._limit:
            why = "request larger than rate limiter capacity, please try to split your request"
            raise RefusalError(429, f"{text}, {why}")
        if cost > self._tokens:
            seconds = math.ceil((cost - self._tokens) * _MINUTE / self._limit)
            why = f"Operation requires {cost} tokens but only {self._tokens:.1f} were available."
            raise RefusalError(429, f"{text}: {why} Retry after {seconds}s", {"Retry-After": str(seconds)})
        self._tokens -= cost


class RateLimits:
    """The buckets of one collection.

    The first write to a new collection is charged twice: it wakes the collection up, and is then tried again.
    """

    def __init__(self, settings: Json, clock: Clock) -> None:
        self._clock = clock
        self._woken = False
        self._buckets: dict[str, TokenBucket] = {}
        self.change(settings)

    def change(self, settings: Json) -> None:
        """Begin with full buckets, which a server does also when another setting was changed."""
        limits = {"Read": settings.get("read_rate_limit"), "Write": settings.get("write_rate_limit")}
        self._buckets = {kind: TokenBucket(kind, limit, self._clock) for kind, limit in limits.items() if limit}

    def write(self, cost: int) -> None:
        """Charge one operation."""
        self._spend("Write", cost)
        if not self._woken:
            self._woken = True
            self._spend("Write", cost)

    def read(self, cost: int) -> None:
        """Charge a request that reads."""
        self._spend("Read", cost)

    def _spend(self, kind: Literal["Read", "Write"], cost: int) -> None:
        if kind in self._buckets:
            self._buckets[kind].spend(cost)


# ------------------------------------------------------------------------------------------------------------
# Costs


def cost_of_reading(where: Json | None) -> int:
    """That of a scroll, a count or a query."""
    return 1 + sum(1 for _ in leaves(where))


def cost_of_filter(where: Json, total: int, share: Callable[[Json], float | None]) -> int:
    """That of a write to what a filter matches; `share` knows the share of the points that a condition matches."""
    return max(1, math.floor(_share(where, share) * total + _GUESS))


def _share(where: Json, share: Callable[[Json], float | None]) -> float:
    """As if conditions were independent of each other."""
    found = 1.0
    for condition in _clause(where, "must"):
        found *= _share_of(condition, share)
    for condition in _clause(where, "must_not"):
        found *= 1 - _share_of(condition, share)
    if should := _clause(where, "should"):
        found *= _any_of([_share_of(condition, share) for condition in should])
    return found


def _share_of(condition: Json, share: Callable[[Json], float | None]) -> float:
    if condition.keys() & {"must", "must_not", "should"}:
        return _share(condition, share)
    values = (condition.get("match") or {}).get("any")
    if values:
        each = [share({**condition, "match": {"value": value}}) for value in values]
        return _GUESS if None in each else _any_of([one for one in each if one is not None])
    known = share(condition)
    return _GUESS if known is None else known


def _any_of(shares: list[float]) -> float:
    return 1 - math.prod(1 - each for each in shares)


def _clause(where: Json, name: str) -> list[Any]:
    clause = where.get(name) or []
    return clause if isinstance(clause, list) else [clause]
