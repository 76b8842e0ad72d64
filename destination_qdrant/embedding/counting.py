"""Tokens of a text as OpenAI bills them, whatever the text."""

from __future__ import annotations

from typing import Final

from ..tokens import cl100k

#: What is tokenised at once: tiktoken 0.14 panics on a million blanks in a row. A cut costs a token at most.
_BLOCK: Final = 65_536


def count_cl100k(text: str) -> int:
    """Tokens of cl100k_base: exact up to 64 Ki characters, and at most one too many for each further 64 Ki."""
    count = cl100k().count
    return sum(count(text[begin : begin + _BLOCK]) for begin in range(0, len(text), _BLOCK))
