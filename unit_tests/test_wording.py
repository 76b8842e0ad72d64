"""How names, numbers and durations are said."""

from __future__ import annotations

import pytest

from destination_qdrant.wording import counted, lasted, printable, rate, shown


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3_599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations(seconds: float, told: str) -> None:
    assert lasted(seconds) == told


@pytest.mark.parametrize(
    ("number", "seconds", "told"),
    [(0, 0, "0.0 a second"), (2, 5, "0.4 a second"), (996, 100, "10 a second"), (37_300, 10, "3,730 a second")],
)
def test_rates(number: int, seconds: float, told: str) -> None:
    assert rate(number, seconds) == told


def test_counts() -> None:
    assert [counted(number, "record") for number in (0, 1, 1234)] == ["0 records", "1 record", "1,234 records"]


def test_what_a_terminal_obeys_is_shown_as_python_writes_it() -> None:
    assert printable("ü \x1b[2J\x07") == r"ü \x1b[2J\x07"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n b\t", "a b"),
        ("x" * 60, "x" * 60),
        ("x" * 60 + "end", "x" * 29 + "…" + "x" * 27 + "end"),
        ("a\x1b", r"a\x1b"),
    ],
)
def test_names_are_on_one_line_and_keep_their_ends(text: str, told: str) -> None:
    assert shown(text) == told
