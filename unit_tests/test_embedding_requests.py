"""Requests: their size, their order, and what happens when one is too large."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from destination_qdrant.embedding.requests import Bounds, Patience, Requests, slices
from destination_qdrant.embedding.service import TooLarge
from destination_qdrant.errors import ConfigError, TransientError
from destination_qdrant.retry import Retryable, RetryPolicy
from destination_qdrant.vectors import Dense


class Provider:
    """Takes so many texts at once, none longer than ten characters; a vector is the text's length."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[int] = []

    def ask(self, texts: Sequence[str]) -> list[Dense]:
        self.asked.append(len(texts))
        if len(texts) > self.most or any(len(text) > 10 for text in texts):
            raise TooLarge(ConfigError("too long"))
        return [Dense.of([len(text)]) for text in texts]


def _texts(count: int) -> list[str]:
    return ["x" * (1 + number % 10) for number in range(count)]


@pytest.mark.parametrize(
    ("texts", "bounds", "expected"),
    [
        ([], Bounds(2, 100), []),
        (["a", "b", "c"], Bounds(2, 100), [["a", "b"], ["c"]]),
        (["aa", "bb", "c"], Bounds(9, 4), [["aa", "bb"], ["c"]]),
        (["é", "é", "é"], Bounds(9, 4), [["é", "é"], ["é"]]),
        (["long one", "b"], Bounds(9, 4), [["long one"], ["b"]]),
        (["b", "long one"], Bounds(9, 4), [["b"], ["long one"]]),
    ],
)
def test_slices_keep_order_and_bounds(texts: list[str], bounds: Bounds, expected: list[list[str]]) -> None:
    assert expected == [list(part) for part in slices(texts, bounds)]


def test_what_is_too_large_is_halved_in_order_and_the_size_is_remembered() -> None:
    provider = Provider(most=3)
    requests = Requests(Bounds(8, 1000), Patience())
    texts = _texts(20)

    assert [Dense.of([len(text)]) for text in texts] == requests.vectors(texts, provider.ask)
    assert provider.asked[:3] == [8, 4, 2]
    assert set(provider.asked[3:]) == {2}

    provider.asked.clear()
    requests.vectors(_texts(4), provider.ask)
    assert provider.asked == [2, 2]


def test_a_single_text_that_is_too_large_is_the_users_to_change() -> None:
    requests = Requests(Bounds(8, 1000), Patience())

    with pytest.raises(ConfigError, match="too long"):
        requests.vectors(["a", "b", "x" * 11, "c"], Provider(most=8).ask)


def test_no_texts_are_no_request() -> None:
    provider = Provider(most=3)

    assert Requests(Bounds(8, 1000), Patience()).vectors([], provider.ask) == []
    assert provider.asked == []


def test_what_may_pass_later_is_repeated_until_patience_ends() -> None:
    slept: list[float] = []
    patience = Patience(RetryPolicy(3, first_wait=1), clock=lambda: sum(slept), sleep=slept.append, jitter=lambda: 1.0)

    def ask(texts: Sequence[str]) -> list[Dense]:
        raise Retryable(TransientError(f"{len(texts)} texts"))

    with pytest.raises(TransientError, match="2 texts"):
        Requests(Bounds(8, 1000), patience).vectors(["a", "b"], ask)
    assert slept == [1.0, 2.0]
