"""No text of a run is embedded twice."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from destination_qdrant.errors import TextRefusedError, TransientError
from destination_qdrant.vector_cache import VectorCache
from destination_qdrant.vectors import Dense, ServerText, Vector


class Maker:
    """Makes a vector of a text's length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Mapping[str, str]) -> Mapping[str, Vector]:
        self.asked.append(list(texts))
        return {each: Dense.of([float(len(text))]) for each, text in texts.items()}


def _vector(number: float) -> Dense:
    return Dense.of([number])


def test_only_what_is_not_known_is_made() -> None:
    cache, make = VectorCache(), Maker()
    first = cache.vectors({"a": "x", "b": "xx"}, make)
    second = cache.vectors({"b": "xx", "c": "xxx"}, make)

    assert first == {"a": _vector(1), "b": _vector(2)}
    assert second == {"b": _vector(2), "c": _vector(3)}
    assert make.asked == [["a", "b"], ["c"]]
    assert "c" in cache


def test_nothing_is_asked_for_nothing() -> None:
    cache, make = VectorCache(), Maker()

    assert cache.vectors({}, make) == {}
    assert make.asked == []


def test_what_was_used_least_recently_goes_first() -> None:
    cache, make = VectorCache(2 * 304), Maker()  # room for two vectors of one number
    cache.vectors({"a": "", "b": ""}, make)
    cache.vectors({"a": ""}, make)
    cache.vectors({"c": ""}, make)
    cache.vectors({"b": ""}, make)

    assert make.asked == [["a", "b"], ["c"], ["b"]]


def test_a_vector_that_was_asked_after_stays_for_longer() -> None:
    cache, make = VectorCache(2 * 304), Maker()
    cache.vectors({"a": "", "b": ""}, make)
    assert "a" in cache
    cache.vectors({"c": ""}, make)

    assert [each for each in "abc" if each in cache] == ["a", "c"]


def test_text_that_the_server_embeds_is_passed_through_every_time() -> None:
    cache = VectorCache(is_shared=False)
    asked = []

    def make(texts: Mapping[str, str]) -> Mapping[str, Vector]:
        asked.append(dict(texts))
        return {each: ServerText(text, "m") for each, text in texts.items()}

    for _ in range(2):
        assert cache.vectors({"a": "x"}, make) == {"a": ServerText("x", "m")}
    assert cache.vectors({}, make) == {}
    assert asked == [{"a": "x"}] * 2


def test_a_text_that_another_thread_is_embedding_is_waited_for() -> None:
    cache, make = VectorCache(), Maker()
    begun, go_on = threading.Event(), threading.Event()
    answers: dict[str, Mapping[str, Vector]] = {}

    def slow(texts: Mapping[str, str]) -> Mapping[str, Vector]:
        begun.set()
        assert go_on.wait(30)
        return make(texts)

    def others(texts: Mapping[str, str]) -> Mapping[str, Vector]:
        go_on.set()  # the other thread has divided its texts by now: "a" is not among what it is to make
        return make(texts)

    first = threading.Thread(target=lambda: answers.update(first=cache.vectors({"a": "x"}, slow)))
    first.start()
    assert begun.wait(30)
    answers["second"] = cache.vectors({"a": "x", "b": "xx"}, others)
    first.join()

    assert answers == {"first": {"a": _vector(1)}, "second": {"a": _vector(1), "b": _vector(2)}}
    assert sorted(make.asked) == [["a"], ["b"]]


def test_a_failure_reaches_everyone_who_waits_and_is_not_remembered() -> None:
    cache, make = VectorCache(), Maker()
    begun, go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def failing(_texts: Mapping[str, str]) -> Mapping[str, Vector]:
        begun.set()
        assert go_on.wait(30)
        raise TransientError("The provider is away.")

    def first() -> None:
        with pytest.raises(TransientError) as caught:
            cache.vectors({"a": "x"}, failing)
        failures.append(caught.value)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)

    def others(texts: Mapping[str, str]) -> Mapping[str, Vector]:
        go_on.set()
        return make(texts)

    with pytest.raises(TransientError) as caught:
        cache.vectors({"a": "x", "b": "xx"}, others)
    thread.join()

    assert failures == [caught.value]
    assert cache.vectors({"a": "x"}, make) == {"a": _vector(1)}


def test_a_text_that_was_sent_along_with_a_refused_one_is_made_by_who_waited_for_it() -> None:
    cache, make = VectorCache(), Maker()
    begun, go_on = threading.Event(), threading.Event()

    def failing(_texts: Mapping[str, str]) -> Mapping[str, Vector]:
        begun.set()
        assert go_on.wait(30)
        raise TextRefusedError("One of them is too long.", text="y" * 9)

    def first() -> None:
        with pytest.raises(TextRefusedError):
            cache.vectors({"a": "x", "b": "y" * 9}, failing)

    def others(texts: Mapping[str, str]) -> Mapping[str, Vector]:
        go_on.set()
        return make(texts)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)

    assert cache.vectors({"a": "x", "c": "xxx"}, others) == {"a": _vector(1), "c": _vector(3)}
    thread.join()
    assert make.asked == [["c"], ["a"]]


def test_a_maker_that_leaves_one_out_is_a_bug_that_nobody_waits_for() -> None:
    cache = VectorCache()
    with pytest.raises(KeyError):
        cache.vectors({"a": "x", "b": "x"}, lambda _texts: {"a": _vector(1)})

    assert cache.vectors({"b": "x"}, Maker()) == {"b": _vector(1)}
