"""Answers of providers: what passes, and what is found wrong with the rest."""

from __future__ import annotations

import base64

import pytest

from destination_qdrant.embedding.answers import Unusable, in_order, vectors
from destination_qdrant.vectors import Dense, pack


def _b64(*numbers: float) -> str:
    return base64.b64encode(pack(numbers)).decode()


def test_base64_and_lists_of_numbers_are_the_same_vector() -> None:
    assert [Dense.of([1.0, -0.5]), Dense.of([1.0, -0.5])] == vectors([_b64(1.0, -0.5), [1, -0.5]], 2)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (None, "it holds no list of embeddings"),
        ({}, "it holds no list of embeddings"),
        ([[1.0]], "it holds 1 embeddings for 2 texts"),
        ([[1.0], [1.0], [1.0]], "it holds 3 embeddings for 2 texts"),
        ([[1.0], [1.0, 2.0]], "its vectors have different lengths, from 1 to 2"),
        ([[1.0], []], "an embedding is not a row of 32-bit numbers"),
        ([[1.0], ""], "an embedding is not a row of 32-bit numbers"),
        ([[1.0], base64.b64encode(b"abcde").decode()], "an embedding is not a row of 32-bit numbers"),
        ([[1.0], "secret!"], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], "sécret"], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], None], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], ["secret"]], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], [None]], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], [10**400]], "an embedding is neither base64 nor a list of numbers"),
        ([[1.0], [1e39]], "an embedding holds a number that is not finite"),
        ([[1.0], _b64(float("nan"))], "an embedding holds a number that is not finite"),
        ([[1.0], _b64(float("inf"), float("-inf"))], "an embedding holds a number that is not finite"),
        ([[1.0], _b64(float("-inf"), 1.0)], "an embedding holds a number that is not finite"),
        ([[1.0], [0, -0.0]], "an embedding is all zeros"),
    ],
)
def test_what_is_no_good_vector_for_each_text_is_refused(items: object, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        vectors(items, 2)

    assert reason == str(caught.value)


def test_numbers_at_the_ends_of_the_range_are_finite_and_no_zeros() -> None:
    largest, smallest = 3.4028234663852886e38, 1.401298464324817e-45
    rows = [[largest] * 3072, [-largest] * 3072, [0.0] * 3071 + [smallest]]

    assert [Dense.of(row) for row in rows] == vectors([_b64(*row) for row in rows], 3)


def test_items_are_put_into_the_order_of_their_index() -> None:
    data = [{"index": 1, "embedding": "b"}, {"index": 2, "embedding": "c"}, {"index": 0, "embedding": "a"}]

    assert in_order(data, 3) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "it holds no list of embeddings"),
        ([], "it holds 0 embeddings for 2 texts"),
        ([{"index": 0, "embedding": "a"}, "b"], "an item of it holds no embedding"),
        ([{"index": 0, "embedding": "a"}, {"index": 1}], "an item of it holds no embedding"),
        ([{"index": 0, "embedding": "a"}] * 2, "its embeddings are not numbered one by one"),
        (
            [{"index": 1, "embedding": "a"}, {"index": 2, "embedding": "b"}],
            "its embeddings are not numbered one by one",
        ),
        ([{"index": 0, "embedding": "a"}, {"embedding": "b"}], "its embeddings are not numbered one by one"),
        (
            [{"index": 0, "embedding": "a"}, {"index": True, "embedding": "b"}],
            "its embeddings are not numbered one by one",
        ),
        (
            [{"index": 0, "embedding": "a"}, {"index": "1", "embedding": "b"}],
            "its embeddings are not numbered one by one",
        ),
    ],
)
def test_a_missing_or_doubled_number_is_noticed(data: object, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        in_order(data, 2)

    assert reason == str(caught.value)
