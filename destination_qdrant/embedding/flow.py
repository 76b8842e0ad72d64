"""Which request to a provider may go now, and what its answer means for all others (pure; clock and chance are passed in).

1.  One limit of requests in flight holds for all threads. It begins at the configured number, grows by 1/limit with
    every success up to that number, and is halved by a rate limit or a server that does not keep up, once for all requests
    that were sent before the last halving: they all met the same one.
2.  What a provider asks for (`Retry-After`), or says that it has left, holds back every request: a rate limit
    belongs to the account. Where it says nothing, the wait doubles from one refusal to the next.
    What it says along with an answer holds for a minute at most. When what is sent after a long hold passes and is told
    the same, it is no longer believed: what an allowance really lacks, a refusal will say.
3.  Whoever came first goes first, and a request that is repeated keeps its place, before those that were never sent.
    So none starves: in a run without this, one of 16 workers used up 50 tries while the others passed. A request that
    waits for a failure of its own to heal holds up nobody.
4.  A rate limit is given up when no request at all has passed for the whole budget, or when more patience is asked
    for than there is; any other failure when the request has failed for that long, or none was answered in time.
5.  A request that meets the rate limit twice in a row with nothing else in flight, while none as large has ever passed,
    is taken to be larger than all that the limit allows at once: no waiting helps, halving does.
6.  A request that is not answered in time with nothing else in flight takes the server too long, unless that is the first
    timeout of this request and of all since one has passed: it is halved. Without this, a server that embeds one text
    after another was sent the same requests until the sync failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ..retry import Retryable, RetryPolicy
from .base import Usage
from .pace import MINUTE, Pace
from .service import Overloaded, TimedOut

#: So many refusals in a row with nothing else in flight, and the size is to blame.
_PROOF: Final = 2

#: What an answer says is left holds for so long: resets are misread, and some servers make them up.
_LONGEST_HOLD: Final = MINUTE
#: An allowance that fills up request by request is empty after each one, and says so in good faith, but soon filled.
_SHORT_HOLD: Final = 10.0


class Verdict(Enum):
    """What to do with a request that did not pass."""

    AGAIN = auto()
    GIVE_UP = auto()
    HALVE = auto()


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that has come to the gate. `tokens` are for the user's limit, `text_bytes` to compare sizes by."""

    number: int
    tokens: int
    text_bytes: int
    divisible: bool
    not_before: float = -math.inf
    repeated: bool = False
    failing_since: float | None = None
    failures: int = 0
    has_timed_out: bool = False
    refused_alone: int = 0
    alone: bool = False
    after_hold: bool = False
    sent_in: int = 0


class Flow:
    """All requests to one provider. Not thread-safe."""

    def __init__(
        self,
        most: int,
        policy: RetryPolicy,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        self.most = most
        self._policy = policy
        self._requests_pace = Pace(requests_per_minute) if requests_per_minute else None
        self._tokens_pace = Pace(tokens_per_minute) if tokens_per_minute else None
        self._limit = float(most)
        self._halvings = 0
        self._row = 0  # halvings since the last success
        self._throttled_since: float | None = None
        self._unanswered_since = math.inf  # the first timeout after the last success
        self._hold_until = -math.inf
        self._has_held = False  # an answer said that nothing is left, and none since that something is
        self._believes_answers = True
        self._largest_passed = 0
        self._waiting: list[Ticket] = []
        self._under_way: set[Ticket] = set()
        self._numbers = 0
        self._sent = 0
        self._held_since: float | None = None
        self._held_seconds = 0.0

    def usage(self, now: float) -> Usage:
        """Requests so far, repeated ones included. Seconds count once, however many requests are held back in them."""
        held = self._held_seconds + (0.0 if self._held_since is None else now - self._held_since)
        return Usage(self._sent, held, len(self._under_way), self._allowed)

    @property
    def repeating(self) -> bool:
        """Whether a request that did not pass waits for its next try."""
        return any(ticket.repeated for ticket in self._waiting)

    @property
    def hold_until(self) -> float:
        """Before this, nothing is sent."""
        return self._hold_until

    @property
    def _allowed(self) -> int:
        return int(self._limit)

    def enter(self, now: float, tokens: int, text_bytes: int, *, divisible: bool) -> Ticket:
        """A new request, which waits from now on."""
        if not (self._waiting or self._under_way):  # nobody has asked since: whether it is still so is not known
            budget = self._policy.budget_seconds
            if now - self._hold_until > budget:
                self._throttled_since = None
            if now - self._unanswered_since > budget:
                self._unanswered_since = math.inf
        self._numbers += 1
        ticket = Ticket(self._numbers, tokens, text_bytes, divisible)
        self._waiting.append(ticket)
        return ticket

    def delay(self, ticket: Ticket, now: float) -> float | None:
        """How long the request has to wait: 0 when it may begin, None for as long as nothing happens to others."""
        if ticket.not_before > now:
            return ticket.not_before - now
        if ticket is not self._next(now) or len(self._under_way) >= self._allowed:
            return None
        wait = self._opens(ticket) - now
        if wait <= 0:
            return 0.0
        if self._held_since is None:
            self._held_since = now
        return wait

    def _next(self, now: float) -> Ticket:
        ready = (ticket for ticket in self._waiting if ticket.not_before <= now)
        return min(ready, key=lambda ticket: ticket.number)

    def _opens(self, ticket: Ticket) -> float:
        opens = self._hold_until
        if self._requests_pace is not None:
            opens = max(opens, self._requests_pace.opens(1))
        if self._tokens_pace is not None:
            opens = max(opens, self._tokens_pace.opens(ticket.tokens))
        return opens

    def begin(self, ticket: Ticket, now: float) -> None:
        """It is sent."""
        self._waiting.remove(ticket)
        ticket.alone = not self._under_way
        for other in self._under_way:
            other.alone = False
        ticket.sent_in = self._halvings
        ticket.after_hold = self._has_held
        self._under_way.add(ticket)
        self._sent += 1
        if self._requests_pace is not None:
            self._requests_pace.take(now, 1)
        if self._tokens_pace is not None:
            self._tokens_pace.take(now, ticket.tokens)
        self._count_held(now)

    def _count_held(self, now: float) -> None:
        if self._held_since is not None:
            self._held_seconds += now - self._held_since
            self._held_since = None

    def leave(self, ticket: Ticket, now: float) -> None:
        """It is over, however it ended; also if it was given up while it waited."""
        self._under_way.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._count_held(now)

    def passed(self, ticket: Ticket, now: float, hold_seconds: float = 0.0) -> bool:
        """It was answered; the provider says that it has nothing left for `hold_seconds`. Whether that is obeyed."""
        self._under_way.remove(ticket)
        self._limit = min(float(self.most), self._limit + 1 / self._limit)
        self._row = 0
        self._throttled_since = None
        self._unanswered_since = math.inf
        self._largest_passed = max(self._largest_passed, ticket.text_bytes)
        is_long = hold_seconds > _SHORT_HOLD
        if is_long and ticket.after_hold and self._has_held:
            self._believes_answers = False
        self._has_held = is_long
        if not hold_seconds or (is_long and not self._believes_answers):
            return False
        # not longer than a refusal would be waited for: what comes after that is better heard from one
        self._hold(now + min(hold_seconds, _LONGEST_HOLD, self._policy.budget_seconds))
        return True

    def throttled(self, ticket: Ticket, now: float, signal: Retryable, chance: float) -> Verdict:
        """It met a rate limit."""
        self._under_way.remove(ticket)
        if self._throttled_since is None:
            self._throttled_since = now
        self._slow_down(ticket)
        # it was answered: whatever else failed is over
        self._unanswered_since = math.inf
        ticket.failing_since, ticket.failures, ticket.has_timed_out = None, 0, False
        ticket.refused_alone = ticket.refused_alone + 1 if ticket.alone else 0
        budget = self._policy.budget(signal)
        left = self._throttled_since + budget - now
        if left <= 0 or (signal.retry_after or 0.0) > budget:
            return Verdict.GIVE_UP
        self._hold(now + self._pause(signal.retry_after, left, chance))
        if ticket.divisible and ticket.refused_alone >= _PROOF and ticket.text_bytes > self._largest_passed:
            return Verdict.HALVE
        return self._again(ticket)

    def _slow_down(self, ticket: Ticket) -> None:
        if ticket.sent_in == self._halvings:
            self._limit = max(1.0, self._limit / 2)
            self._halvings += 1
            self._row += 1

    def _pause(self, asked: float | None, left: float, chance: float) -> float:
        """What is asked for, and more only where that turned out to be too little."""
        if asked is None:
            return min(self._policy.wait(self._row, chance), left)
        longer = min(self._policy.wait(self._row - 1, chance), left) if self._row > 1 else 0.0
        return max(asked, longer)

    def failed(self, ticket: Ticket, now: float, signal: Retryable, chance: float) -> Verdict:
        """It failed in another way that may heal."""
        self._under_way.remove(ticket)
        if isinstance(signal, Overloaded):
            self._slow_down(ticket)
        is_timeout = isinstance(signal, TimedOut)
        takes_too_long = is_timeout and self._takes_too_long(ticket, now)
        ticket.refused_alone = 0
        ticket.failures += 1
        if ticket.failing_since is None:
            ticket.failing_since = self._unanswered_since if is_timeout else now  # halves do not begin anew
        left = ticket.failing_since + self._policy.budget(signal) - now
        asked = signal.retry_after or 0.0
        if left <= 0 or asked > left:
            return Verdict.GIVE_UP
        ticket.not_before = now + min(max(self._policy.wait(ticket.failures, chance), asked), left)
        return Verdict.HALVE if takes_too_long else self._again(ticket)

    def _takes_too_long(self, ticket: Ticket, now: float) -> bool:
        is_first = not ticket.has_timed_out and self._unanswered_since == math.inf
        ticket.has_timed_out = True
        self._unanswered_since = min(now, self._unanswered_since)
        return ticket.divisible and ticket.alone and not is_first

    def _again(self, ticket: Ticket) -> Verdict:
        ticket.repeated = True
        self._waiting.append(ticket)
        return Verdict.AGAIN

    def _hold(self, until: float) -> None:
        self._hold_until = max(self._hold_until, until)
