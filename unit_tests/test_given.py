"""Vectors in records: what is read, and what is said of everything else."""

from __future__ import annotations

import pytest

from destination_qdrant.given import BadVector, read_vector
from destination_qdrant.vectors import Dense


@pytest.mark.parametrize("value", [[1, 0.5, -2], (1, 0.5, -2), "[1, 0.5, -2]", " [1,5e-1,-2.0]\n"])
def test_lists_of_numbers_and_their_json_are_read(value: object) -> None:
    assert Dense.of([1.0, 0.5, -2.0]) == read_vector(value, 3)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is missing"),
        ([1, 2, 3], "has 3 numbers instead of 4"),
        ([], "has 0 numbers instead of 4"),
        ("[1, 2, 3]", "has 3 numbers instead of 4"),
        ([1, 2, 3, "secret"], "holds something that is not a number"),
        ([1, 2, 3, None], "holds something that is not a number"),
        ([1, 2, 3, True], "holds something that is not a number"),
        ([10**400, True, 0, 0], "holds something that is not a number"),
        ([10**400, "secret", 0, 0], "holds something that is not a number"),
        ([7, 0.0, False, 1.0], "holds something that is not a number"),
        ([[1], [2], [3], [4]], "holds something that is not a number"),
        ([1, 2, 3, float("nan")], "is not finite as a 32-bit float"),
        ([1, 2, 3, float("-inf")], "is not finite as a 32-bit float"),
        ([1, 2, 3, 1e39], "is not finite as a 32-bit float"),
        ([1, 2, 3, 10**400], "is not finite as a 32-bit float"),
        ("[1, 2, 3, NaN]", "is not finite as a 32-bit float"),
        ("secret", "is not a list of numbers"),
        ("", "is not a list of numbers"),
        ('{"a": 1}', "is not a list of numbers"),
        ("[" * 100_000, "is not a list of numbers"),
        ("[1, 2, 3, " + "1" * 5000 + "]", "is not a list of numbers"),
        ({"a": 1}, "is not a list of numbers"),
        (4, "is not a list of numbers"),
        (True, "is not a list of numbers"),
    ],
)
def test_everything_else_is_refused_with_a_reason_that_quotes_nothing(value: object, reason: str) -> None:
    with pytest.raises(BadVector) as caught:
        read_vector(value, 4)

    assert reason == str(caught.value)


def test_the_largest_32_bit_float_is_read() -> None:
    assert read_vector([3.4028234663852886e38], 1).values() == [3.4028234663852886e38]
