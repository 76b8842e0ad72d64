"""The gate: who may go when, what answers change, when it gives up, and what the log says. Time is only told."""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from fake_time import Time

from destination_qdrant.embedding.flow import Flow, Ticket, Verdict
from destination_qdrant.embedding.gate import Gate, LargerThanLimit, Patience
from destination_qdrant.embedding.pace import Pace
from destination_qdrant.embedding.service import Overloaded, Throttled, TimedOut
from destination_qdrant.embedding.slowness import Hitch, Slowness
from destination_qdrant.errors import ConfigError, TransientError
from destination_qdrant.retry import Retryable, RetryPolicy

POLICY = RetryPolicy(100, first_wait=1, longest_wait=10)


def _over_limit(retry_after: float | None = None) -> Throttled:
    return Throttled(TransientError("Over the limit."), retry_after=retry_after)


def _away(retry_after: float | None = None) -> Retryable:
    return Retryable(TransientError("Away."), retry_after=retry_after)


def _no_answer(retry_after: float | None = None) -> TimedOut:
    return TimedOut(TransientError("No answer."), retry_after=retry_after)


def _enter(flow: Flow, now: float = 0, *, tokens: int = 1, divisible: bool = True) -> Ticket:
    return flow.enter(now, tokens, tokens, divisible=divisible)


def _sent(flow: Flow, now: float = 0, *, tokens: int = 1) -> Ticket:
    ticket = _enter(flow, now, tokens=tokens)
    assert flow.delay(ticket, now) == 0
    flow.begin(ticket, now)
    return ticket


def _pass(flow: Flow, ticket: Ticket, now: float = 0, hold_seconds: float = 0) -> None:
    flow.passed(ticket, now, hold_seconds)
    flow.leave(ticket, now)


def _refuse(flow: Flow) -> None:
    now = max(0.0, flow.hold_until)
    ticket = _sent(flow, now)
    flow.throttled(ticket, now, _over_limit(), 1.0)
    flow.leave(ticket, now)


def _limit(flow: Flow) -> int:
    return flow.usage(0).limit


# ----------------------------------------------------------------------------------------------------------
# The limit of requests in flight


def test_so_many_are_in_flight_and_the_next_goes_when_one_is_answered() -> None:
    flow = Flow(2, POLICY)
    first, _second, third = _sent(flow), _sent(flow), _enter(flow)

    assert flow.delay(third, 0) is None
    _pass(flow, first)
    assert flow.delay(third, 0) == 0


def test_a_burst_of_refusals_halves_the_limit_once_and_the_next_burst_again() -> None:
    flow = Flow(8, POLICY)
    for expected in (4, 2, 1, 1):
        now = flow.hold_until if expected < 4 else 0
        burst = [_sent(flow, now) for _ in range(_limit(flow))]
        for ticket in burst:
            assert flow.throttled(ticket, now, _over_limit(), 1.0) is not Verdict.GIVE_UP
            flow.leave(ticket, now)
        assert _limit(flow) == expected


@pytest.mark.parametrize(("kind", "expected"), [(TimedOut, [4, 2]), (Overloaded, [4, 2]), (Retryable, [8, 8])])
def test_so_does_a_server_that_does_not_keep_up(kind: type[Retryable], expected: list[int]) -> None:
    flow, limits = Flow(8, POLICY), []
    for now in (0, 50):
        burst = [_sent(flow, now) for _ in range(_limit(flow))]
        for ticket in burst:
            assert flow.failed(ticket, now, kind(TransientError("Busy.")), 1.0) is Verdict.AGAIN
            flow.leave(ticket, now)
        limits.append(_limit(flow))

    assert limits == expected


def test_the_limit_grows_by_one_with_as_many_successes_as_it_is_large_and_never_beyond_the_configured() -> None:
    flow = Flow(4, POLICY)
    for _ in range(2):  # 4 -> 2 -> 1
        _refuse(flow)
    limits = [_limit(flow)]
    for _ in range(8):
        _pass(flow, _sent(flow, flow.hold_until))
        limits.append(_limit(flow))

    assert limits == [1, 2, 2, 2, 3, 3, 3, 4, 4]


# ----------------------------------------------------------------------------------------------------------
# Order


def test_who_came_first_goes_first_and_what_is_repeated_goes_before_what_is_new() -> None:
    flow = Flow(1, POLICY)
    refused, new, newer = _sent(flow), _enter(flow), _enter(flow)
    flow.throttled(refused, 0, _over_limit(5), 1.0)

    assert [flow.delay(ticket, 0) for ticket in (refused, new, newer)] == [5, None, None]
    assert [flow.delay(ticket, 5) for ticket in (refused, new, newer)] == [0, None, None]
    flow.begin(refused, 5)
    _pass(flow, refused, 5)
    assert [flow.delay(ticket, 5) for ticket in (new, newer)] == [0, None]


def test_a_request_that_waits_for_its_own_failure_to_heal_holds_up_nobody() -> None:
    flow = Flow(1, POLICY)
    failed, new = _sent(flow), _enter(flow)
    flow.failed(failed, 0, _away(), 1.0)

    assert [flow.delay(ticket, 0) for ticket in (failed, new)] == [1, 0]
    assert [flow.delay(ticket, 1) for ticket in (failed, new)] == [0, None]


# ----------------------------------------------------------------------------------------------------------
# Holding back


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([None, None, None], [1, 2, 4]),
        ([7.0, 0.5, 0.5, 20.0], [7, 1, 2, 20]),
    ],
)
def test_a_refusal_holds_back_everyone_for_longer_each_time_and_no_shorter_than_asked(
    asked: list[float | None], expected: list[float]
) -> None:
    flow = Flow(1, POLICY)
    ticket, other, now, held = _sent(flow), _enter(flow, tokens=9), 0.0, []
    for seconds in asked:
        flow.throttled(ticket, now, _over_limit(seconds), 1.0)
        flow.leave(ticket, now)
        delay = flow.delay(other, now)
        assert delay is not None
        held.append(delay)
        now += delay
        ticket = other
        flow.begin(ticket, now)
        other = _enter(flow, now)

    assert held == expected


def test_a_success_begins_the_waits_anew() -> None:
    flow = Flow(1, POLICY)
    for _ in range(3):
        _refuse(flow)
    _pass(flow, _sent(flow, 7), 7)
    flow.throttled(_sent(flow, 7), 7, _over_limit(), 1.0)

    assert flow.hold_until == 8


def test_what_an_answer_says_is_left_holds_back_everyone_but_not_for_longer_than_a_minute_or_the_budget() -> None:
    flow = Flow(8, POLICY)
    _pass(flow, _sent(flow), 0, hold_seconds=12)
    assert flow.delay(_enter(flow), 2) == 10

    for budget, expected in ((100, 60), (30, 30)):
        other = Flow(8, RetryPolicy(budget))
        _pass(other, _sent(other), 0, hold_seconds=100_000)
        assert other.hold_until == expected


def test_who_says_the_same_to_what_was_sent_after_the_hold_is_not_believed_any_more() -> None:
    flow = Flow(8, POLICY)
    first, second = _sent(flow), _sent(flow)
    assert flow.passed(first, 0, 20)
    assert flow.passed(second, 1, 20)  # sent before
    assert flow.hold_until == 21
    assert not flow.passed(_sent(flow, 21), 21, 20)
    assert not flow.passed(_sent(flow, 21), 22, 0)
    assert not flow.passed(_sent(flow, 22), 22, 20)

    assert flow.hold_until == 21


def test_an_allowance_that_fills_up_request_by_request_is_believed_each_time() -> None:
    flow = Flow(8, POLICY)
    for number in range(5):
        assert flow.passed(_sent(flow, 10 * number), 10 * number, 10)

    assert flow.hold_until == 50


def test_an_allowance_that_is_used_up_once_more_is_believed() -> None:
    flow = Flow(8, POLICY)
    _pass(flow, _sent(flow), 0, hold_seconds=20)
    third, fourth = _sent(flow, 20), _sent(flow, 20)
    _pass(flow, third, 20)
    assert flow.passed(fourth, 21, 20)

    assert flow.hold_until == 41


def test_seconds_in_which_a_limit_holds_back_requests_are_counted_once_for_all_of_them() -> None:
    flow = Flow(8, POLICY)
    _pass(flow, _sent(flow), 0, hold_seconds=12)
    waiting = [_enter(flow, 2) for _ in range(3)]
    for ticket in waiting:
        flow.delay(ticket, 2)
    assert flow.usage(7).throttled_seconds == 5
    for ticket in waiting:
        flow.delay(ticket, 12)
        flow.begin(ticket, 12)

    assert flow.usage(99).throttled_seconds == 10
    assert (flow.usage(99).requests, flow.usage(99).in_flight) == (4, 3)


def test_a_request_that_is_given_up_while_held_back_ends_the_counting() -> None:
    flow = Flow(8, POLICY)
    _pass(flow, _sent(flow), 0, hold_seconds=12)
    flow.delay(ticket := _enter(flow, 2), 2)
    flow.leave(ticket, 5)

    assert flow.usage(99).throttled_seconds == 3


# ----------------------------------------------------------------------------------------------------------
# The user's limits per minute


def test_small_amounts_run_ahead_by_a_second_and_then_keep_the_pace() -> None:
    pace, now, times = Pace(240), 0.0, []
    for _ in range(8):
        now = max(now, pace.opens(1))
        pace.take(now, 1)
        times.append(now)

    assert times == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0]


def test_an_amount_of_more_than_a_second_is_paid_for_afterwards() -> None:
    pace, now, times = Pace(60), 0.0, []
    for amount in (5, 90, 1, 1, 1):
        now = max(now, pace.opens(amount))
        pace.take(now, amount)
        times.append(now)

    assert times == [0, 5, 95, 96, 97]


def test_an_idle_time_earns_no_more_than_a_second() -> None:
    pace = Pace(60)
    pace.take(0, 30)
    pace.take(1_000, 1)

    assert pace.opens(1) == 1_001


def test_the_slower_of_two_limits_decides() -> None:
    flow = Flow(8, POLICY, requests_per_minute=60, tokens_per_minute=600)
    _sent(flow, tokens=10)
    next_one = _enter(flow)
    assert flow.delay(next_one, 0) == 1
    flow.leave(next_one, 0)
    _sent(flow, 1, tokens=100)
    assert flow.delay(_enter(flow, 1, tokens=1), 1) == pytest.approx(9.1)


# ----------------------------------------------------------------------------------------------------------
# Giving up


def test_a_rate_limit_is_given_up_when_no_request_has_passed_for_the_budget() -> None:
    flow = Flow(8, POLICY)
    ticket, verdicts, times, now = _enter(flow, divisible=False), [], [], 0.0
    while not verdicts or verdicts[-1] is Verdict.AGAIN:
        now += flow.delay(ticket, now) or 0
        flow.begin(ticket, now)
        times.append(now)
        verdicts.append(flow.throttled(ticket, now, _over_limit(), 1.0))

    assert verdicts[-1] is Verdict.GIVE_UP
    assert times == [0, 1, 3, 7, 15, 25, 35, 45, 55, 65, 75, 85, 95, 100]


def test_the_success_of_any_request_begins_the_budget_of_all_anew() -> None:
    flow = Flow(8, POLICY)
    refused, other = _sent(flow), _sent(flow)
    flow.throttled(refused, 0, _over_limit(90), 1.0)
    _pass(flow, other, 80)
    flow.begin(refused, 90)
    assert flow.throttled(refused, 90, _over_limit(90), 1.0) is Verdict.AGAIN
    flow.begin(refused, 180)
    assert flow.throttled(refused, 180, _over_limit(90), 1.0) is Verdict.AGAIN
    flow.begin(refused, 270)

    assert flow.throttled(refused, 270, _over_limit(90), 1.0) is Verdict.GIVE_UP


def test_a_rate_limit_that_nobody_has_met_for_long_has_its_whole_budget() -> None:
    flow = Flow(8, POLICY)
    flow.throttled(ticket := _sent(flow), 0, _over_limit(), 1.0)
    flow.leave(ticket, 0)

    assert flow.throttled(_sent(flow, 1_000), 1_000, _over_limit(), 1.0) is Verdict.AGAIN


def test_a_wait_beyond_the_budget_is_not_begun() -> None:
    flow = Flow(8, POLICY)

    assert flow.throttled(_sent(flow), 0, _over_limit(101), 1.0) is Verdict.GIVE_UP
    assert flow.failed(_sent(flow), 0, _away(101), 1.0) is Verdict.GIVE_UP


def test_any_other_failure_is_given_up_when_the_request_has_failed_for_the_budget() -> None:
    """Others that pass meanwhile do not help it."""
    flow = Flow(8, POLICY)
    ticket, times, now, verdict = _enter(flow), [], 0.0, Verdict.AGAIN
    while verdict is Verdict.AGAIN:
        now += flow.delay(ticket, now) or 0
        flow.begin(ticket, now)
        _pass(flow, _sent(flow, now), now)
        times.append(now)
        verdict = flow.failed(ticket, now, _away(), 1.0)

    assert times == [0, 1, 3, 7, 15, 25, 35, 45, 55, 65, 75, 85, 95, 100]


# ----------------------------------------------------------------------------------------------------------
# Larger than the whole limit


def _refused_twice(flow: Flow, *, tokens: int = 100, divisible: bool = True, company: bool = False) -> list[Verdict]:
    ticket, now, verdicts = _enter(flow, tokens=tokens, divisible=divisible), 0.0, []
    for _ in range(2):
        now = max(now, flow.hold_until)
        flow.begin(ticket, now)
        if company:
            _pass(flow, _sent(flow, now), now)
        verdicts.append(flow.throttled(ticket, now, _over_limit(), 1.0))
    return verdicts


def test_what_is_refused_twice_in_a_row_alone_is_to_be_halved() -> None:
    assert _refused_twice(Flow(8, POLICY)) == [Verdict.AGAIN, Verdict.HALVE]


def test_it_is_not_when_it_is_one_text_or_others_were_in_flight_or_as_much_has_passed_before() -> None:
    passed = Flow(8, POLICY)
    _pass(passed, _sent(passed, tokens=100))

    assert _refused_twice(Flow(8, POLICY), divisible=False) == [Verdict.AGAIN] * 2
    assert _refused_twice(Flow(8, POLICY), company=True) == [Verdict.AGAIN] * 2
    assert _refused_twice(passed, tokens=100) == [Verdict.AGAIN] * 2
    assert _refused_twice(passed, tokens=101) == [Verdict.AGAIN, Verdict.HALVE]


def _unanswered(flow: Flow, ticket: Ticket, *, company: bool = False, passing: bool = False) -> list[Verdict]:
    """What becomes of a request that is not answered twice."""
    now, verdicts = 0.0, []
    for _ in range(2):
        flow.begin(ticket, now)
        if company:
            _pass(flow, _sent(flow, now), now)
        verdicts.append(flow.failed(ticket, now, _no_answer(), 1.0))
        if passing:
            _pass(flow, _sent(flow, now), now)
        now = ticket.not_before
    return verdicts


def test_what_is_not_answered_again_with_nothing_else_in_flight_is_to_be_halved() -> None:
    flow = Flow(1, POLICY)

    assert _unanswered(flow, _enter(flow), passing=True) == [Verdict.AGAIN, Verdict.HALVE]


def test_it_is_not_when_it_is_one_text_or_others_were_in_flight_or_it_met_something_else() -> None:
    one, company, away = Flow(8, POLICY), Flow(8, POLICY), Flow(8, POLICY)
    ticket = _sent(away)
    away.failed(ticket, 0, _away(), 1.0)
    away.begin(ticket, 1)

    assert _unanswered(one, _enter(one, divisible=False)) == [Verdict.AGAIN] * 2
    assert _unanswered(company, _enter(company), company=True) == [Verdict.AGAIN] * 2
    assert away.failed(ticket, 1, _no_answer(), 1.0) is Verdict.AGAIN


def test_the_halves_of_what_was_not_answered_are_halved_at_once_until_something_passes() -> None:
    flow = Flow(1, POLICY)
    _unanswered(flow, ticket := _enter(flow))
    flow.leave(ticket, 1)
    assert flow.failed(_sent(flow, 1), 1, _no_answer(), 1.0) is Verdict.HALVE
    _pass(flow, _sent(flow, 1), 1)

    assert flow.failed(_sent(flow, 1), 1, _no_answer(), 1.0) is Verdict.AGAIN


def test_patience_does_not_begin_anew_with_the_halves_but_after_a_success_or_a_long_time() -> None:
    flows = [Flow(1, POLICY) for _ in range(5)]
    for flow in flows:
        _unanswered(flow, ticket := _enter(flow))
        flow.leave(ticket, 1)
    halves, passed, refused, rested, away = flows
    ticket = _sent(halves, 1)
    assert halves.failed(ticket, 100, _no_answer(), 1.0) is Verdict.GIVE_UP

    _pass(passed, _sent(passed, 1), 1)
    assert passed.failed(_sent(passed, 100), 100, _no_answer(), 1.0) is Verdict.AGAIN
    refused.throttled(ticket := _sent(refused, 1), 1, _over_limit(), 1.0)
    refused.begin(ticket, 100)
    assert refused.failed(ticket, 100, _no_answer(), 1.0) is Verdict.AGAIN
    assert rested.failed(_sent(rested, 101), 101, _no_answer(), 1.0) is Verdict.AGAIN
    assert away.failed(_sent(away, 1), 100, _away(), 1.0) is Verdict.AGAIN


# ----------------------------------------------------------------------------------------------------------
# Whole runs


@dataclass
class Bucket:
    """A provider that answers after a while, and refuses what its bucket of tokens does not hold."""

    per_minute: int
    holds: float
    tells: bool = True
    owed: float = 0.0
    at: float = 0.0

    def take(self, now: float, tokens: int) -> Throttled | None:
        rate = self.per_minute / 60
        self.owed, self.at = max(0.0, self.owed - (now - self.at) * rate), now
        missing = self.owed + tokens - self.holds
        if missing <= 1e-9:
            self.owed += tokens
            return None
        return _over_limit(missing / rate if self.tells else None)


@dataclass
class Run:
    """Equal requests through a flow and a provider; time goes from event to event."""

    flow: Flow
    tokens: int
    count: int
    latency: float = 0.15
    bucket: Bucket | None = None
    sent: list[tuple[float, int]] = field(default_factory=list)

    def seconds(self) -> float:
        chance, now, events = random.Random(7), 0.0, []  # noqa: S311 -- spreads latencies
        tickets: set[Ticket] = set()
        left = self.count
        while left or tickets:
            while left and len(tickets) < self.flow.most:
                left -= 1
                tickets.add(self.flow.enter(now, self.tokens, self.tokens, divisible=True))
            idle = tickets - {event[2] for event in events}
            delays = {ticket: self.flow.delay(ticket, now) for ticket in sorted(idle, key=lambda one: one.number)}
            ready = next((ticket for ticket, delay in delays.items() if delay is not None and delay < 1e-6), None)
            if ready is not None:
                self.flow.begin(ready, now)
                self.sent.append((now, ready.number))
                refusal = self.bucket.take(now, self.tokens) if self.bucket else None
                heapq.heappush(
                    events, (now + self.latency * (0.7 + 0.6 * chance.random()), len(self.sent), ready, refusal)
                )
                continue
            waits = [now + delay for delay in delays.values() if delay is not None]
            now = min([*waits, *(event[0] for event in events)])
            while events and events[0][0] <= now:
                _at, _number, ticket, refusal = heapq.heappop(events)
                if refusal is None:
                    _pass(self.flow, ticket, now)
                    tickets.remove(ticket)
                else:
                    assert self.flow.throttled(ticket, now, refusal, chance.random()) is Verdict.AGAIN
        return now


@pytest.mark.parametrize("holds", [None, 10_000, 600_000])
@pytest.mark.parametrize(("in_flight", "latency"), [(1, 0.15), (1, 0.7), (8, 0.15), (8, 4.0), (16, 0.15)])
def test_the_users_limit_is_used_up_and_hardly_exceeded(in_flight: int, latency: float, holds: int | None) -> None:
    """10,000 tokens are a second's worth."""
    flow = Flow(in_flight, POLICY, tokens_per_minute=600_000)
    run = Run(flow, 9_000, 150, latency, holds and Bucket(600_000, holds))

    assert run.seconds() <= 1.15 * 150 * 9_000 / 10_000
    starts = [at for at, _number in run.sent]
    assert max(sum(begin <= at < begin + 60 for at in starts) for begin in starts) * 9_000 <= 610_000


@pytest.mark.parametrize(
    ("holds", "tells"), [(10_000, True), (50_000, True), (50_000, False), (600_000, True), (600_000, False)]
)
def test_a_providers_limit_that_nobody_configured_is_used_up_too(holds: int, *, tells: bool) -> None:
    run = Run(Flow(8, POLICY), 8_000, 150, 0.15, Bucket(600_000, holds, tells))

    assert run.seconds() <= 1.15 * (150 * 8_000 - holds) / 10_000


def test_nobody_starves_under_a_limit_that_refuses_most_requests() -> None:
    run = Run(Flow(16, POLICY), 8_000, 200, 0.15, Bucket(600_000, 10_000))
    run.seconds()
    tries = Counter(number for _at, number in run.sent)

    assert len(tries) == 200
    assert max(tries.values()) <= 10


# ----------------------------------------------------------------------------------------------------------
# The log


def _hitch(until: float, *, by_limit: bool = True) -> Hitch:
    return Hitch("Over the limit.", until, by_limit=by_limit)


def test_a_hiccup_is_not_worth_a_line() -> None:
    slowness = Slowness("Acme")
    told = [slowness.hitch(0, _hitch(5), "x"), slowness.hitch(5, _hitch(9), "x"), slowness.success(9, repeating=False)]
    told += [slowness.success(19, repeating=False), slowness.hitch(100, _hitch(105), "x")]

    assert told == [None] * 5


def test_there_is_one_warning_a_minute_and_one_line_when_the_limit_is_no_longer_met() -> None:
    slowness = Slowness("Acme")
    told: dict[int, str] = {}
    for now in range(0, 131, 5):
        line = slowness.hitch(now, _hitch(now + 2), "1 of 8 are under way")
        if line is not None:
            told[now] = line
        assert slowness.success(now + 3, repeating=False) is None
    assert told == {
        10: "Over the limit. Requests have been held up for 10 seconds; 1 of 8 are under way.",
        70: "Over the limit. Requests have been held up for 70 seconds; 1 of 8 are under way.",
        130: "Over the limit. Requests have been held up for 130 seconds; 1 of 8 are under way.",
    }

    assert slowness.success(142, repeating=False) is None
    assert slowness.success(143, repeating=False) == "Acme takes requests without delay again."
    assert slowness.success(200, repeating=False) is None


def test_a_long_wait_is_told_when_it_begins() -> None:
    slowness = Slowness("Acme")

    assert slowness.hitch(5, _hitch(305), "0 of 8 are under way") == (
        "Over the limit. Requests are held up, the next goes out in 300 seconds; 0 of 8 are under way."
    )


def test_an_outage_is_over_when_nothing_waits_for_its_next_try() -> None:
    slowness = Slowness("Acme")
    assert slowness.hitch(0, _hitch(30, by_limit=False), "x") is not None

    assert slowness.success(30, repeating=True) is None
    assert slowness.success(31, repeating=False) == "Acme takes requests without delay again."


# ----------------------------------------------------------------------------------------------------------
# Threads


@dataclass
class Answer:
    hold_seconds: float = 0.0


def _nothing() -> None:
    """A request stays good."""


def _script(*steps: Exception | Answer) -> Callable[[], Answer]:
    left: Iterator[Exception | Answer] = iter(steps)

    def request() -> Answer:
        step = next(left)
        if isinstance(step, Exception):
            raise step
        return step

    return request


def _send(gate: Gate, request: Callable[[], Answer], still_good: Callable[[], object] = _nothing) -> Answer:
    return gate.send(gate.enter(1, 1, divisible=True), request, still_good)


def test_a_request_is_repeated_and_the_log_told_of_it() -> None:
    time, told = Time(), list[tuple[str, str]]()
    gate = Gate("Acme", Flow(8, POLICY), time.patience(), lambda *line: told.append(line))
    _send(gate, _script(*[_away() for _ in range(6)], Answer()))

    assert time.naps == [1, 2, 4, 8, 10, 10]
    assert told == [
        ("WARN", "Away. Requests have been held up for 7 seconds; 0 of 8 are under way."),
        ("INFO", "Acme takes requests without delay again."),
    ]
    assert (gate.usage.requests, gate.usage.in_flight, gate.usage.limit) == (7, 0, 8)


def test_an_answer_that_leaves_nothing_of_the_limit_is_told_when_the_wait_is_long() -> None:
    told: list[tuple[str, str]] = []
    _send(Gate("Acme", Flow(8, POLICY), Time().patience(), lambda *line: told.append(line)), _script(Answer(45)))

    assert told == [
        (
            "WARN",
            "Acme says that nothing is left of its rate limit. Requests are held up, the next goes out in 45 seconds; 0 of 8 are under way.",
        )
    ]


def test_an_answer_that_is_not_believed_is_told_as_any_other() -> None:
    told: list[tuple[str, str]] = []
    gate = Gate("Acme", Flow(8, POLICY), Time().patience(), lambda *line: told.append(line))
    for answer in (Answer(45), Answer(45)):
        _send(gate, _script(answer))

    assert [level for level, _line in told] == ["WARN"]
    _send(gate, _script(*[_away()] * 6, Answer(45)))
    assert told[-1] == ("INFO", "Acme takes requests without delay again.")


def test_the_failure_inside_is_raised_and_nothing_chained() -> None:
    gate = Gate("Acme", Flow(8, RetryPolicy(0)), Time().patience(), lambda *_: None)
    with pytest.raises(TransientError, match="Over the limit") as caught:
        _send(gate, _script(_over_limit()))

    assert caught.value.__context__ is None


def test_another_failure_passes_and_frees_its_place() -> None:
    gate = Gate("Acme", Flow(1, POLICY), Time().patience(), lambda *_: None)
    with pytest.raises(ConfigError):
        _send(gate, _script(ConfigError("No.")))

    assert gate.usage.in_flight == 0
    assert _send(gate, _script(Answer())) == Answer()


def test_a_request_that_is_larger_than_the_limit_comes_back() -> None:
    gate = Gate("Acme", Flow(8, POLICY), Time().patience(), lambda *_: None)
    with pytest.raises(LargerThanLimit):
        _send(gate, _script(_over_limit(), _over_limit()))

    assert _send(gate, _script(Answer())) == Answer()


def test_closing_ends_a_wait_and_nothing_is_sent_afterwards() -> None:
    """The waits are real ones, of minutes."""
    refused = threading.Event()
    gate = Gate("Acme", Flow(1, POLICY), Patience(), lambda *_: None)
    raised: list[Exception] = []

    def request() -> Answer:
        refused.set()
        raise _over_limit(90)

    def work() -> None:
        try:
            _send(gate, request)
        except TransientError as error:
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert refused.wait(10)
    gate.close()
    for thread in threads:
        thread.join(10)

    assert [str(error) for error in raised] == ["Acme is not asked any more, because the sync is being stopped."] * 3
    assert gate.usage.requests == 1


def test_a_request_that_is_not_wanted_any_more_leaves_the_queue() -> None:
    gate = Gate("Acme", Flow(1, POLICY), Patience(), lambda *_: None)
    begun, go_on, wanted, raised = threading.Event(), threading.Event(), [True], []

    def slow() -> Answer:
        begun.set()
        go_on.wait(10)
        return Answer()

    def unwanted() -> None:
        if not wanted[0]:
            raise LookupError

    def work() -> None:
        try:
            _send(gate, _script(Answer()), unwanted)
        except LookupError as error:
            raised.append(error)

    first = threading.Thread(target=lambda: _send(gate, slow))
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=work)
    second.start()
    wanted[0] = False
    gate.look_again()
    second.join(10)
    go_on.set()
    first.join(10)

    assert len(raised) == 1
    assert gate.usage.requests == 1
