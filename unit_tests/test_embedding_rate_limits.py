"""Headers of rate limits: what they say, and what is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_qdrant.embedding.rate_limits import asked_wait, hold

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


def _left(what: str, remaining: str, reset: str) -> dict[str, str]:
    return {f"x-ratelimit-remaining-{what}": remaining, f"x-ratelimit-reset-{what}": reset}


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m", 3720.0),
        ("2m59.56s", 179.56),
        ("500\u00b5s", 0.0005),
        ("12", 12.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("0s", 0.0),
        # not to be believed
        ("", 0.0),
        ("soon", 0.0),
        ("-1s", 0.0),
        ("1s junk", 0.0),
        ("1e9", 0.0),
        ("nan", 0.0),
        ("1790000000", 0.0),
        ("99999h", 0.0),
        ("9" * 400, 0.0),
        ("1s" * 400, 0.0),
        ("\u0661s", 0.0),
    ],
)
def test_what_is_used_up_says_for_how_long(reset: str, seconds: float) -> None:
    for what in ("requests", "tokens"):
        assert hold(_left(what, "0", reset)) == pytest.approx(seconds)


@pytest.mark.parametrize("remaining", ["1", "59", "-1", "", "none", "0.5", "9" * 400])
def test_what_is_not_used_up_holds_nothing(remaining: str) -> None:
    assert hold(_left("requests", remaining, "6s")) == 0.0


def test_the_longer_of_two_counts() -> None:
    assert hold(_left("requests", "0", "1s") | _left("tokens", "0", "9s")) == 9.0
    assert hold(_left("requests", "0", "1s") | _left("tokens", "5", "9s")) == 1.0
    assert hold({}) == 0.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "20", "retry-after-ms": "soon"}, 20.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT", "date": NOW}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:00:00 GMT", "date": NOW}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 -0000", "date": NOW}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2036 07:30:00 GMT", "date": NOW}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:30:00 GMT", "date": NOW}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "999999999"}, None),
        ({"retry-after": "20"} | _left("tokens", "0", "9s"), 20.0),
        (_left("tokens", "0", "9s"), 9.0),
        (_left("tokens", "3", "9s"), None),
    ],
)
def test_the_wait_that_a_refusal_asks_for_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert asked_wait(headers) == expected


NAMES = ("retry-after-ms", "retry-after", "date", *_left("requests", "", ""), *_left("tokens", "", ""))


VALUES = st.text() | st.text("0123456789.hmsdunGMT -:", max_size=20)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=len(NAMES)))
def test_no_header_breaks_anything(headers: dict[str, str]) -> None:
    assert 0.0 <= hold(headers) <= 86_400.0
    wait = asked_wait(headers)
    assert wait is None or 0.0 <= wait <= 86_400.0
