"""Requests: their size, their order, how many at once, and what happens when one is too large or fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from fake_time import Time

from destination_qdrant import config
from destination_qdrant.embedding.packing import Run, Weighed
from destination_qdrant.embedding.requests import Answer, Bounds, Patience, Requests
from destination_qdrant.embedding.service import Measure, Throttled, TimedOut, TooLarge
from destination_qdrant.errors import ConfigError, ConnectorError, TextRefusedError, TransientError
from destination_qdrant.retry import Retryable
from destination_qdrant.vectors import Dense

#: Longer than any test that passes.
PATIENCE_SECONDS = 20

WIDE = Bounds(1_000, 1_000_000)


def _count(text: str) -> int:
    """Two bytes are a token."""
    return -(-len(text) // 2)


def _uncounted(_text: str) -> int:
    raise AssertionError


def _vectors(texts: Sequence[str]) -> list[Dense]:
    return [Dense.of([len(text), ord(text[0])]) for text in texts]


def _texts(count: int) -> list[str]:
    return [chr(ord("a") + number % 26) * (1 + number % 10) for number in range(count)]


@dataclass
class Provider:
    """Takes so much at once. `refuses`: texts that it never takes."""

    most: int = 1_000_000
    by: Measure = "texts"
    measured: Callable[[str], int] = lambda _text: 1
    refuses: frozenset[str] = frozenset()
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, texts: Sequence[str]) -> Answer:
        self.asked.append(list(texts))
        if sum(map(self.measured, texts)) > self.most or not self.refuses.isdisjoint(texts):
            raise TooLarge(ConfigError("Too long.", detail="HTTP 413"), self.by)
        return Answer(_vectors(texts))

    def sizes(self) -> list[int]:
        """How many texts each request had since this was last called."""
        sizes = [len(texts) for texts in self.asked]
        self.asked.clear()
        return sizes


@pytest.fixture(name="make")
def _make() -> Iterator[Callable[..., Requests]]:
    made: list[Requests] = []

    def make(
        bounds: Bounds = WIDE, *, patience: Patience | None = None, count: Callable[[str], int] = _count, **options: int
    ) -> Requests:
        made.append(Requests("Acme", bounds, config.Requests(**options), count=count, patience=patience))
        return made[-1]

    yield make
    for requests in made:
        requests.close()


Make = Callable[..., Requests]


# ----------------------------------------------------------------------------------------------------------
# Packing


@pytest.mark.parametrize(
    ("texts", "bounds", "expected"),
    [
        ([], Bounds(2, 100), []),
        (["a", "b", "c"], Bounds(2, 100), [["a", "b"], ["c"]]),
        (["aa", "bb", "c"], Bounds(9, 4), [["aa", "bb"], ["c"]]),
        (["é", "é", "é"], Bounds(9, 4), [["é", "é"], ["é"]]),
        (["\ud800", "b"], Bounds(9, 3), [["\ud800"], ["b"]]),
        (["long one", "b"], Bounds(9, 4), [["long one"], ["b"]]),
        (["b", "long one"], Bounds(9, 4), [["b"], ["long one"]]),
        (["aaaa", "bb", "c"], Bounds(9, 100, 3), [["aaaa", "bb"], ["c"]]),
        (["aaaa", "long one", "c"], Bounds(9, 100, 3), [["aaaa"], ["long one"], ["c"]]),
    ],
)
def test_texts_are_packed_in_order_within_the_bounds(
    texts: list[str], bounds: Bounds, expected: list[list[str]]
) -> None:
    weighed = Weighed(texts, _count)
    packed = list(weighed.pack(Run(0, len(texts)), bounds))

    assert expected == [list(weighed.texts(run)) for run, _size in packed]
    assert [weighed.size(run) for run, _size in packed] == [size for _run, size in packed]


def test_what_the_user_says_goes_before_what_the_provider_documents(make: Make) -> None:
    provider = Provider()
    make(Bounds(2, 1_000, 2), batch_size=4, batch_tokens=3).vectors(["a", "bb", "cc", "d", "e"], provider)

    assert sorted(provider.sizes()) == [2, 3]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"in_flight": 8, "tokens_per_minute": 600}, 10),  # a second's worth
        ({"in_flight": 2, "tokens_per_minute": 600}, 40),
        ({"in_flight": 8, "tokens_per_minute": 600, "requests_per_minute": 6}, 100),
        ({"in_flight": 8, "tokens_per_minute": 600, "requests_per_minute": 3}, 200),  # a third of what a minute has
        ({"in_flight": 1, "tokens_per_minute": 600}, 80),
        ({"in_flight": 8, "tokens_per_minute": 600, "batch_tokens": 5}, 5),
        ({"in_flight": 8, "tokens_per_minute": 1}, 1),
    ],
)
def test_a_request_uses_up_seconds_of_a_limit_per_minute_and_not_minutes(
    make: Make, options: dict[str, int], expected: int
) -> None:
    provider = Provider()
    make(patience=Time().patience(), **options).vectors(["a"] * 300, provider)

    assert max(provider.sizes()) == expected


def test_tokens_are_not_counted_where_nothing_depends_on_them(make: Make) -> None:
    make(count=_uncounted).vectors(_texts(9), Provider())
    make(Bounds(100, 1_000, 1_000), count=_uncounted, requests_per_minute=600).vectors(_texts(9), Provider())
    make(Bounds(100, 1_000, 5), count=_uncounted, tokens_per_minute=600).vectors(["aa"] * 9, Provider(), [1] * 9)


def test_tokens_that_are_known_decide(make: Make) -> None:
    provider = Provider()
    make(Bounds(100, 1_000, 5), count=_uncounted, in_flight=1).vectors(["abc"] * 4, provider, [3, 2, 1, 4])

    assert provider.sizes() == [2, 2]


# ----------------------------------------------------------------------------------------------------------
# Several at once


def test_answers_that_come_in_any_order_are_put_in_the_order_of_the_texts(make: Make) -> None:
    """Each request waits for the one behind it."""
    texts = _texts(12)
    answered = [threading.Event() for _ in range(5)]
    answered[4].set()

    def ask(part: Sequence[str]) -> Answer:
        number = texts.index(part[0]) // 3
        assert answered[number + 1].wait(PATIENCE_SECONDS)
        answered[number].set()
        return Answer(_vectors(part))

    assert make(batch_size=3, in_flight=4).vectors(texts, ask) == _vectors(texts)


def test_as_many_requests_as_configured_are_in_flight_over_all_calls(make: Make) -> None:
    requests = make(batch_size=1, in_flight=3)
    lock, full = threading.Lock(), threading.Event()
    now = most = 0

    def ask(part: Sequence[str]) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 3:
                full.set()
        assert full.wait(PATIENCE_SECONDS)
        with lock:
            now -= 1
        return Answer(_vectors(part))

    calls = [threading.Thread(target=requests.vectors, args=(_texts(8), ask)) for _ in range(4)]
    for call in calls:
        call.start()
    for call in calls:
        call.join(PATIENCE_SECONDS)

    assert most == 3
    assert (requests.usage.requests, requests.usage.in_flight, requests.usage.limit) == (32, 0, 3)


def test_no_texts_are_no_request(make: Make) -> None:
    assert make().vectors([], Provider()) == []


def test_threads_do_not_keep_the_process_alive(make: Make) -> None:
    make(batch_size=1).vectors(_texts(9), Provider())
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("embedding")]

    assert threads
    assert all(thread.daemon for thread in threads)


# ----------------------------------------------------------------------------------------------------------
# Too large


def test_what_is_too_large_is_halved_in_order_and_the_size_is_remembered(make: Make) -> None:
    """The third request of 8 was packed before anything was learned."""
    provider, texts = Provider(most=3), _texts(20)
    requests = make(Bounds(8, 1_000), in_flight=1)

    assert requests.vectors(texts, provider) == _vectors(texts)
    assert provider.sizes() == [8, 4, *[2] * 10]
    requests.vectors(_texts(4), provider)
    assert provider.sizes() == [2, 2]


@pytest.mark.parametrize(
    ("by", "measured", "most", "expected"),
    [
        ("bytes", len, 16, [4, 2, 2, 4, 4]),
        ("tokens", _count, 8, [4, 2, 2, 4, 4]),
    ],
)
def test_it_is_halved_in_what_the_refusal_speaks_of(
    make: Make, by: Measure, measured: Callable[[str], int], most: int, expected: list[int]
) -> None:
    """Short texts are not kept fewer because long ones have to be."""
    provider, texts = Provider(most, by, measured), ["aaaaaaaa"] * 4 + ["b"] * 8
    requests = make(Bounds(4, 1_000), in_flight=1)

    assert requests.vectors(texts, provider) == _vectors(texts)
    assert provider.sizes() == expected
    requests.vectors(["aaaaaaaa"] * 4, provider)
    assert provider.sizes() == [2, 2]


def test_refusals_of_requests_of_one_size_teach_one_lesson(make: Make) -> None:
    """Four are in flight when the first is refused."""
    provider, texts, all_here = Provider(most=5), _texts(32), threading.Barrier(4)

    def ask(part: Sequence[str]) -> Answer:
        if len(part) == 8:
            all_here.wait(PATIENCE_SECONDS)
        return provider(part)

    requests = make(Bounds(8, 1_000), in_flight=4)

    assert requests.vectors(texts, ask) == _vectors(texts)
    assert sorted(provider.sizes()) == [4] * 8 + [8] * 4


def test_a_single_text_that_is_too_large_is_named_and_what_it_taught_forgotten(make: Make) -> None:
    provider = Provider(refuses=frozenset({"secret"}), by="tokens")
    requests = make(Bounds(8, 1_000), in_flight=1)
    with pytest.raises(TextRefusedError) as caught:
        requests.vectors(["a", "b", "secret", "c", "d", "e", "f", "g"], provider)

    assert (caught.value.message, caught.value.detail, caught.value.text) == ("Too long.", "HTTP 413", "secret")
    assert caught.value.__context__ is None
    provider.sizes()
    requests.vectors(_texts(16), provider)
    assert provider.sizes() == [8, 8]


def test_what_a_call_that_failed_had_begun_to_learn_is_forgotten(make: Make) -> None:
    requests, steps = make(Bounds(8, 1_000), in_flight=1), iter([TooLarge(ConfigError("x")), TransientError("Away.")])

    def ask(_part: Sequence[str]) -> Answer:
        raise next(steps)

    with pytest.raises(TransientError):
        requests.vectors(_texts(8), ask)
    provider = Provider()
    requests.vectors(_texts(8), provider)
    assert provider.sizes() == [8]


def test_one_bad_text_does_not_make_requests_smaller_once_as_large_a_part_has_passed(make: Make) -> None:
    """The other call waits, and would be packed anew for everything learned on the way to the bad text."""
    seen: list[list[str]] = []
    others: list[threading.Thread] = []
    requests = make(Bounds(8, 1_000), in_flight=1)

    def ask(part: Sequence[str]) -> Answer:
        if not others:
            others.append(threading.Thread(target=requests.vectors, args=(["o"] * 8, ask)))
            others[0].start()
        seen.append(list(part))
        if "bad" in part:
            raise TooLarge(ConfigError("Too long."))
        return Answer(_vectors(part))

    with pytest.raises(TextRefusedError):
        requests.vectors(["a", "b", "c", "d", "e", "f", "g", "bad"], ask)
    others[0].join(PATIENCE_SECONDS)

    mine = [part for part in seen if "o" not in part]
    assert [len(part) for part in mine] == [8, 4, 4, 2, 2, 1, 1]
    assert min(len(part) for part in seen if "o" in part) >= 4


def _limited(
    most: int, time: Time, *, until: float = float("inf")
) -> tuple[Callable[[Sequence[str]], Answer], list[int]]:
    """A provider whose limit never has room for more than so many texts, before a certain time."""
    asked: list[int] = []

    def ask(texts: Sequence[str]) -> Answer:
        asked.append(len(texts))
        if len(texts) > most and time.now < until:
            raise Throttled(TransientError("Over the limit."))
        return Answer(_vectors(texts))

    return ask, asked


def test_a_request_that_is_larger_than_a_whole_rate_limit_is_halved_and_the_size_remembered(make: Make) -> None:
    time, texts = Time(), ["aa"] * 16
    ask, asked = _limited(4, time)
    requests = make(Bounds(8, 1_000), in_flight=1, patience=time.patience())

    assert requests.vectors(texts, ask) == _vectors(texts)
    assert asked == [8, 8, 4, 4, 4, 4]


def test_what_was_concluded_from_a_rate_limit_is_tried_again_after_a_while_and_ever_more_rarely(make: Make) -> None:
    time = Time()
    ask, asked = _limited(4, time, until=100_000)
    requests = make(Bounds(8, 1_000), in_flight=1, patience=time.patience())
    for _ in range(13):
        requests.vectors(["aa"] * 8, ask)
    assert asked == [8, 8, *[4] * 8, 8, 8, *[4] * 16, 8, 8, 4, 4]

    time.now = 100_000.0
    asked.clear()
    for _ in range(17):
        requests.vectors(["aa"] * 8, ask)
    assert asked == [*[4] * 30, 8, 8]


def test_a_request_that_takes_a_server_too_long_is_halved_until_it_is_answered(make: Make) -> None:
    time, asked = Time(), list[int]()

    def ask(texts: Sequence[str]) -> Answer:
        asked.append(len(texts))
        if len(texts) > 2:
            raise TimedOut(TransientError("No answer."))
        return Answer(_vectors(texts))

    texts, requests = ["aa"] * 16, make(Bounds(8, 1_000), in_flight=1, patience=time.patience())
    assert requests.vectors(texts, ask) == _vectors(texts)
    assert asked == [8, 8, 4, *[2] * 8]
    asked.clear()
    requests.vectors(["aa"] * 8, ask)
    assert asked == [8, 8, 4, *[2] * 4]


# ----------------------------------------------------------------------------------------------------------
# Failures


def test_what_may_pass_later_is_repeated_until_patience_ends(make: Make) -> None:
    time = Time()

    def ask(texts: Sequence[str]) -> Answer:
        raise Retryable(TransientError(f"{len(texts)} texts"))

    requests = make(patience=time.patience(), retry_seconds=3)
    with pytest.raises(TransientError, match="2 texts"):
        requests.vectors(["a", "b"], ask)

    assert time.naps == [0.5, 1.0, 1.5]
    assert requests.usage.requests == 4


def test_the_first_failure_ends_the_call_and_begins_nothing_more(make: Make) -> None:
    """One request hangs, one fails, and the others never go out."""
    failed, asked = threading.Event(), []

    def ask(part: Sequence[str]) -> Answer:
        asked.append(part[0])
        if part[0] == "b":
            raise ConfigError("No.")
        assert failed.wait(PATIENCE_SECONDS)
        return Answer(_vectors(part))

    requests = make(batch_size=1, in_flight=2)
    with pytest.raises(ConfigError, match=r"No\."):
        requests.vectors(["a", "b", *["c"] * 20], ask)
    failed.set()
    requests.vectors(["z", "z", "z"], Provider())

    assert sorted(asked) == ["a", "b"]


def test_closing_ends_a_call_whose_provider_hangs_and_refuses_new_ones(make: Make) -> None:
    begun, never, raised = threading.Event(), threading.Event(), []
    requests = make(batch_size=1, in_flight=2)

    def ask(part: Sequence[str]) -> Answer:
        begun.set()
        never.wait(PATIENCE_SECONDS)
        return Answer(_vectors(part))

    def call() -> None:
        try:
            requests.vectors(_texts(9), ask)
        except ConnectorError as error:
            raised.append(error)

    calls = [threading.Thread(target=call) for _ in range(2)]
    for thread in calls:
        thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    requests.close()
    requests.close()
    for thread in calls:
        thread.join(PATIENCE_SECONDS)
    with pytest.raises(TransientError, match="is not asked any more"):
        requests.vectors(["a"], ask)
    never.set()

    assert [type(error) for error in raised] == [TransientError] * 2
    assert requests.usage.requests <= 2


def test_what_goes_wrong_in_a_thread_reaches_the_caller(make: Make) -> None:
    def ask(_part: Sequence[str]) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().vectors(["a"], ask)
