"""Which of two cursor values is the newer one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.cursors import cursor_text, is_newer


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        ("", ""),
        ("0E-9", "0E-9"),
        (7, "7"),
        (10**32, "100000000000000000000000000000000"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (Decimal("1.00000000000000000001"), "1.00000000000000000001"),
        (Decimal("1e400"), "1E+400"),
        ("x" * 128, "x" * 128),
        ("x" * 129, ""),
        (10**127, "1" + "0" * 127),
        (10**128, ""),
        (Decimal("0." + "1" * 126), "0." + "1" * 126),
        (Decimal("0." + "1" * 127), ""),
        (True, ""),
        ({"a": 1}, ""),
        ([1], ""),
    ],
)
def test_cursor_is_kept_as_exact_text(value: Any, text: str | None) -> None:
    assert cursor_text(value) == text


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (0, None),
        ("", None),
        (False, None),
        ("no cursor at all", None),
        (10, 9),
        (10, "9"),
        ("10", "9"),
        ("100.500000000", 100.4),
        ("1e3", "999.999"),
        (".5", "0.4"),
        ("5.", "4.9"),
        ("+3", "-3"),
        (-1, -2),
        (10**32 + 1, 10**32),
        ("9007199254740993", "9007199254740992"),
        ("1e400", "1e399"),
        ("1e400", 1e308),
        ("1e-400", "0"),
        (1e100, 10**99),
        (Decimal("1.00000000000000000002"), Decimal("1.00000000000000000001")),
        (Decimal("2e400"), Decimal("1e400")),
        (Decimal("1e400"), 1e308),
        ("9" * 129, None),  # too long to be compared, yet not missing
        (" 10 ", "9"),
        ("2024-01-02", "2024-01-01"),
        ("2024-01-01T00:00:01Z", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2023-12-31T23:59:59.999999999Z"),
        ("2024-01-01T00:00:00.0000000002Z", "2024-01-01T00:00:00.0000000001Z"),
        ("2024-01-01T00:00:00.1Z", "2024-01-01T00:00:00.09Z"),
        ("2024-01-01T01:00:00+00:00", "2024-01-01T01:30:00+01:00"),
        ("2024-01-01T00:00:00-0530", "2024-01-01T05:29:59Z"),
        ("2024-01-01 05:30:01", "2024-01-01T00:00:00 -05:30"),
        ("2024-01-01 00:00:01 UTC", "2024-01-01t00:00:00z"),
        ("2024-01-01 00:00:00+00", "2024-01-01 00:00:00+01"),
        ("2024-01-01T00:01", "2024-01-01T00:00:59,5"),
        ("2024-03-01T00:00:01", "2024-02-29T23:59:60Z"),
    ],
)
def test_newer_one_is_known_in_both_directions(newer: Any, older: Any) -> None:
    one, other = cursor_text(newer), cursor_text(older)

    assert (is_newer(one, other), is_newer(other, one)) == (True, False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, None),
        ("a", "a"),
        ("a", "b"),
        ("1", "1.000"),
        ("1", "a"),
        ("2024", "2023-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01"),
        ("2024-01-01T12:00:00+12:00", "2024-01-01"),
        ("2024-01-01T00:00:00.50Z", "2024-01-01T00:00:00.5"),
        ("2024-02-30", "2024-01-01"),
        ("2024-13-01", "2024-01-01"),
        ("0000-01-01", "2024-01-01"),
        ("2024-1-1", "2024-01-02"),
        ("٣", "2"),
        ("nan", "1"),
        ("infinity", "1"),
        ("1_000", "1"),
        ("0x10", "1"),
        ("1e99999", "1"),
        (True, False),
        ({"a": 2}, {"a": 1}),
        ([2], [1]),
        ("9" * 200, "1"),
        (10**128, 1),
        ("2024-01-02" + "0" * 200, "2024-01-01"),
    ],
)
def test_equal_and_incomparable_values_are_a_tie(one: Any, other: Any) -> None:
    left, right = cursor_text(one), cursor_text(other)

    assert (is_newer(left, right), is_newer(right, left)) == (False, False)


TEXTS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.text("0123456789-+.eE:TZ ", max_size=30),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats().map(cursor_text),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.dates().map(str),
    st.from_regex(r"\A\d{4}-[01]\d-[0-3]\dT[0-9]\d:[0-9]\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?\Z"),
)


@given(TEXTS, TEXTS)
def test_of_two_cursors_at_most_one_is_newer(one: str | None, other: str | None) -> None:
    assert not (is_newer(one, other) and is_newer(other, one))


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_numbers_are_ordered_as_numbers(numbers: list[float]) -> None:
    one, other = numbers

    assert is_newer(cursor_text(one), cursor_text(other)) == (one > other)


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
def test_times_of_any_zones_are_ordered_as_instants(one: Any, other: Any) -> None:
    whole_minutes = all(moment.utcoffset().total_seconds() % 60 == 0 for moment in (one, other))
    if whole_minutes:  # RFC 3339 has no other zones, but history has
        assert is_newer(one.isoformat(), other.isoformat()) == (one.timestamp() > other.timestamp())


@pytest.mark.parametrize(
    "hostile",
    ["9" * 10**6, " " * 10**6 + "x", "1e" + "9" * 10**6, "2024-01-01T00:00:00." + "0" * 10**6, "-" * 10**6],
)
def test_hostile_long_texts_are_not_even_read(hostile: str) -> None:
    """Even those that are numbers or times tie with all others."""
    assert not is_newer(hostile, "1")
    assert not is_newer("2020-01-01", hostile)
