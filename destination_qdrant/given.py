"""Vectors that come with a record: what may stand in the field, and what is wrong with everything else."""

from __future__ import annotations

import json
from typing import Any

from .vectors import FLOAT32_BYTES, Dense, is_finite, pack

_NUMBERS = frozenset({int, float})

_NOT_NUMBERS = "holds something that is not a number"
_NOT_FINITE = "is not finite as a 32-bit float"

#: The last bytes of the float32 that true and false would become, and of numbers from 0.5 to 2.
_MAY_BE_TRUE, _MAY_BE_FALSE = b"\x3f", b"\x00"


class BadVector(ValueError):  # noqa: N818 -- it completes the sentence of its caller, who raises an error of `errors`
    """No vector. The text completes "The vector ..." and holds nothing of the record."""


def read_vector(value: object, dimensions: int) -> Dense:
    """Read a list of numbers, or a text that is one in JSON (what warehouses without arrays export).

    Raises:
        BadVector: it is missing, has another length, or holds what is no number of 32 bits.
    """
    numbers = value if isinstance(value, list) else _listed(value)
    if len(numbers) != dimensions:
        raise BadVector(f"has {len(numbers)} numbers instead of {dimensions}")
    try:
        packed = pack(numbers)
    except (TypeError, OverflowError):  # the latter: an integer beyond the largest 64-bit float
        raise BadVector(_NOT_FINITE if _NUMBERS.issuperset(map(type, numbers)) else _NOT_NUMBERS) from None
    if _may_hold_truth(packed) and bool in map(type, numbers):
        raise BadVector(_NOT_NUMBERS)
    if not is_finite(packed):
        raise BadVector(_NOT_FINITE)
    return Dense(packed)


def _listed(value: object) -> list[Any] | tuple[Any, ...]:
    if value is None:
        raise BadVector("is missing")
    numbers = _parsed(value) if isinstance(value, str) else value
    if not isinstance(numbers, list | tuple):
        raise BadVector("is not a list of numbers")
    return numbers


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, or brackets without end
        raise BadVector("is not a list of numbers") from None


def _may_hold_truth(packed: bytes) -> bool:
    """Whether a number may have been true or false: of most vectors the bytes tell, at a tenth of the time."""
    tops = packed[FLOAT32_BYTES - 1 :: FLOAT32_BYTES]
    return _MAY_BE_TRUE in tops or _MAY_BE_FALSE in tops
