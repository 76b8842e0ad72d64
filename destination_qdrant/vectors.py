"""What Qdrant can hold at a point besides its payload, in types that belong to no client.

Dense numbers are kept as packed little-endian float32, the form in which embedding providers send them
(base64) and in which Qdrant stores them: immutable, hashable, 4 bytes a number.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import byteorder
from typing import Any

#: The name of a collection's unnamed vector, as Qdrant's own API spells it.
UNNAMED = ""

FLOAT32_BYTES = 4

#: The last byte (sign, and seven of the eight bits of the exponent) of what is NaN, infinite, or beyond 1.7e38.
_POSITIVE_END, _NEGATIVE_END = b"\x7f", b"\xff"


def pack(values: Sequence[float]) -> bytes:
    """Pack numbers as little-endian float32; what overflows float32 becomes infinity.

    Raises:
        TypeError: a value is not a number.
    """
    try:
        return _packer(len(values)).pack(*values)
    except (OverflowError, struct.error):
        return _pack_each(values)


@lru_cache(maxsize=64)  # vectors of one sync have few lengths
def _packer(dimensions: int) -> struct.Struct:
    """Twice as fast as an array, and refuses what overflows."""
    return struct.Struct(f"<{dimensions}f")


def _pack_each(values: Sequence[float]) -> bytes:
    packed = array("f", values)
    if byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(packed: bytes) -> list[float]:
    """The numbers behind packed little-endian float32."""
    values = array("f", packed)
    if byteorder == "big":
        values.byteswap()
    return values.tolist()


def is_finite(packed: bytes) -> bool:
    """Whether no number is NaN or infinite as float32 (Qdrant stores such vectors and then breaks searches)."""
    tops = packed[FLOAT32_BYTES - 1 :: FLOAT32_BYTES]
    if _POSITIVE_END not in tops and _NEGATIVE_END not in tops:
        return True
    return all(map(math.isfinite, unpack(packed)))


@dataclass(frozen=True, slots=True)
class Dense:
    """One dense vector: packed float32."""

    packed: bytes

    @classmethod
    def of(cls, values: Sequence[float]) -> Dense:
        """From a sequence of numbers."""
        return cls(pack(values))

    @property
    def dimensions(self) -> int:
        """How many numbers it has."""
        return len(self.packed) // FLOAT32_BYTES

    def values(self) -> list[float]:
        """The numbers."""
        return unpack(self.packed)


def is_usable(vector: Dense) -> bool:
    """Whether it is finite, and points somewhere: a vector of zeros is found by nothing."""
    return is_finite(vector.packed) and any(vector.values())


@dataclass(frozen=True, slots=True)
class Sparse:
    """One sparse vector: unique unsigned 32-bit indices, and as many packed float32 values."""

    indices: tuple[int, ...]
    packed: bytes


@dataclass(frozen=True, slots=True)
class Multi:
    """One multivector: rows of packed float32, all of one length."""

    rows: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ServerText:
    """Text that the Qdrant server embeds itself with the named model."""

    text: str
    model: str
    options: tuple[tuple[str, Any], ...] = ()


Vector = Dense | Sparse | Multi | ServerText

#: Vector name -> vector; `UNNAMED` for the unnamed one; empty for a point without vectors.
Vectors = Mapping[str, Vector]
