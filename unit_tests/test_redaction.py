"""No form of a secret survives masking."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.redaction import MASK, Redactor

# Few letters, so that secrets overlap and contain each other; none of them is in the mask.
SECRETS = st.lists(st.text("ab\"'\\\n %é\U0001f600", min_size=1, max_size=6), min_size=1, max_size=3)


def forms(secret: str) -> list[str]:
    """The ways in which programs print a text."""
    lines = [line for line in secret.splitlines() if line]
    return [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr([f"'\"{secret}"])[5:-2],
        ascii(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        *lines,
    ]


@given(SECRETS, st.data())
def test_no_form_of_any_secret_survives(secrets: list[str], data: st.DataObject) -> None:
    printed = [form for secret in secrets for form in forms(secret)]
    pieces = st.lists(st.sampled_from(printed) | st.text("abxyz\"' ", max_size=3), max_size=8)
    text = "".join(data.draw(pieces))

    masked = Redactor(secrets).mask(text)

    assert not [form for form in printed if form in masked]


@pytest.mark.parametrize(
    ("secrets", "text", "masked"),
    [
        ((), "nothing to hide", "nothing to hide"),
        (("", None), "nothing to hide", "nothing to hide"),
        (("5",), "15 of 50", f"1{MASK} of {MASK}0"),
        (("key",), "the key, KEY", f"the {MASK}, KEY"),
        (("abc", "abcdef"), "abcdef abc", f"{MASK} {MASK}"),
        (("abcd", "cdef"), "abcdef", f"{MASK}ef"),
        ((" padded ",), "is padded here: padded", f"is{MASK}here: {MASK}"),
        (("one\ntwo",), "one; two; one\\ntwo", f"{MASK}; {MASK}; {MASK}"),
        (('a"b',), r"a\"b", MASK),
        (("it's",), r"""'it\'s "x"'""", rf"""'{MASK} "x"'"""),
        (("p/w+ d",), "http://u:p%2Fw%2B%20d@h and p%2Fw%2B+d", f"http://u:{MASK}@h and {MASK}"),
        (("a.c",), "abc a.c", f"abc {MASK}"),
        (("\ud800x",), "a \ud800x b", f"a {MASK} b"),
    ],
)
def test_masked_text(secrets: tuple[str, ...], text: str, masked: str) -> None:
    assert Redactor(secrets).mask(text) == masked
