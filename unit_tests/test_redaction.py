"""No form of a secret survives masking."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.redaction import MASK, Redactor

# Few letters, so that secrets overlap and contain each other; none of them is in the mask or in an escape.
SECRETS = st.lists(st.text("kz\"'\\\n %é\U0001f600", min_size=1, max_size=9), min_size=1, max_size=3)


def values(secret: str) -> list[str]:
    """What of a secret is one."""
    return [value for value in (secret, secret.strip(), *secret.splitlines()) if value.strip()]


def forms(value: str) -> list[str]:
    """The ways in which programs print a text."""
    return [
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr([f"'\"{value}"])[5:-2],
        ascii(value)[1:-1],
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
    ]


def survives(value: str, form: str, text: str) -> bool:
    """Whether a text holds the form; that of a short value only where no word goes on before or after it."""
    if len(value) >= 6:
        return form in text
    before, after = (r"(?<!\w)" if form[0] in "kzé" else "", r"(?!\w)" if value[-1] in "kzé" else "")
    return re.search(f"{before}{re.escape(form)}{after}", text) is not None


@given(SECRETS, st.data())
def test_no_form_of_any_secret_survives_and_a_short_one_not_as_a_word(secrets: list[str], data: st.DataObject) -> None:
    printed = [(value, form) for secret in secrets for value in values(secret) for form in forms(value)]
    pieces = st.lists(
        st.sampled_from(["", *(form for _, form in printed)]) | st.text("kzxy\"' ", max_size=3), max_size=8
    )
    text = "".join(data.draw(pieces))

    masked = Redactor(secrets).mask(text)

    assert not [(value, form) for value, form in printed if survives(value, form, masked)]


@pytest.mark.parametrize(
    ("secrets", "text", "masked"),
    [
        ((), "nothing to hide", "nothing to hide"),
        (("", None, " ", "\n\n"), "nothing\n\nto hide", "nothing\n\nto hide"),
        (("*", "**********", "* *"), "a * b **********", "a * b **********"),
        (("a*b", "**c"), "a*b **c****c", f"{MASK} {MASK}**{MASK}"),
        (("5",), "15 of 50, not 5", f"15 of 50, not {MASK}"),
        (("12345",), "12345 1234567 x12345", f"{MASK} 1234567 x12345"),
        (("123456",), "1234567", f"{MASK}7"),
        (("key",), "the key, KEY, keys", f"the {MASK}, KEY, keys"),
        (("key-",), "key-a monkey-a", f"{MASK}a monkey-a"),
        (("key%",), "key%25a key%a", f"{MASK}a {MASK}a"),
        (("né",), "n\\u00e9e n\\u00e9", f"n\\u00e9e {MASK}"),
        (("key",), r"a\nkey\tkey%20key%3Akey akey", rf"a\n{MASK}\t{MASK}%20{MASK}%3A{MASK} akey"),
        (("key", "secret"), "keysecret", MASK * 2),
        (("secret", "secret-part"), "secret-part secret", f"{MASK} {MASK}"),
        (("key", "key-a"), "key-a key", f"{MASK} {MASK}"),
        (("secret", "retold"), "secretold", f"{MASK}old"),
        ((" padded ",), "is padded here: padded", f"is{MASK}here: {MASK}"),
        (("one\n\ntwo",), "one; two; one\\n\\ntwo", f"{MASK}; {MASK}; {MASK}"),
        (('a"b',), r"a\"b", MASK),
        (("it's",), r"""'it\'s "x"'""", rf"""'{MASK} "x"'"""),
        (("p/w+ d",), "http://u:p%2Fw%2B%20d@h and p%2Fw%2B+d", f"http://u:{MASK}@h and {MASK}"),
        (("a.c",), "abc a.c", f"abc {MASK}"),
        (("\ud800x",), "a \ud800x b", f"a {MASK} b"),
    ],
)
def test_masked_text(secrets: tuple[str, ...], text: str, masked: str) -> None:
    assert Redactor(secrets).mask(text) == masked
