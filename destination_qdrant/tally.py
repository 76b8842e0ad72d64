"""What was done for a stream, in numbers that add up, and how a number of things is said (pure)."""

from __future__ import annotations

from dataclasses import astuple, dataclass

_LONGEST_NAME = 60

#: Below this a digit behind the point says more.
_SLOW = 10


@dataclass(frozen=True, slots=True)
class Tally:
    """Work done for records of one stream.

    `chunks` are those of all records that were to be stored: each is `embedded` (its text went to the model), `reused`
    (a vector of the same text was there, in Qdrant or from this run), part of one of the `unchanged` records, or has
    a vector that came with its record, or none. `points` were written, `removed` are stale points of records that
    changed or went, `tokens` is what the embedded texts had.
    """

    chunks: int = 0
    points: int = 0
    embedded: int = 0
    reused: int = 0
    unchanged: int = 0
    removed: int = 0
    tokens: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def shown(name: str) -> str:
    """A name in a line of the log: on one line, nothing that moves a cursor, and no longer than a line can be read.

    What is left out is in its middle: names differ at their ends.
    """
    told = "".join(each if each.isprintable() else "�" for each in " ".join(name.split()))
    half = _LONGEST_NAME // 2
    return told if len(told) <= _LONGEST_NAME else f"{told[: half - 1]}…{told[-half:]}"


def lasted(seconds: float) -> str:
    """`0.4 s`, `59 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < _SLOW:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours:,} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def rate(number: int, seconds: float) -> str:
    """`373 a second`, `0.4 a second`."""
    per_second = number / max(seconds, 1e-9)
    return f"{per_second:,.{int(per_second < _SLOW)}f} a second"


def counted(number: int, thing: str) -> str:
    """`1 record`, `1,234 records`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
