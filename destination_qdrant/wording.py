"""How names, numbers and durations are said to a person (pure)."""

from __future__ import annotations

_LONGEST_NAME = 60

#: A text that anybody may have written, in a sentence.
LONGEST_TEXT = 200

#: Below this a digit behind the point says more.
_SLOW = 10


def printable(text: str) -> str:
    """The text without what a terminal obeys: what is not printable is shown as Python writes it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shown(text: str, at_most: int = _LONGEST_NAME) -> str:
    """A name or a text that anybody may have chosen, in a line of the log: on one line, printable, and not too long.

    What is left out is in its middle: names differ at their ends.
    """
    told = printable(" ".join(text.split()))
    half = at_most // 2
    return told if len(told) <= at_most else f"{told[: half - 1]}…{told[-half:]}"


def lasted(seconds: float) -> str:
    """`0.4 s`, `59 s`, `12 min 5 s`, `3 h 20 min`."""
    if round(seconds, 1) < _SLOW:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours:,} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def rate(number: int, seconds: float) -> str:
    """`373 a second`, `0.4 a second`."""
    per_second = number / max(seconds, 1e-9)
    return f"{per_second:,.{int(round(per_second, 1) < _SLOW)}f} a second"


def counted(number: int, thing: str) -> str:
    """`1 record`, `1,234 records`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
