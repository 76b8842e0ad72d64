"""What was done for a stream, in numbers that add up (pure)."""

from __future__ import annotations

from dataclasses import astuple, dataclass


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
