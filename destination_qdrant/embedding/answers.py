"""Is what a provider answered one good vector for each text? Pure: parsed JSON in, vectors out.

Servers that imitate an API get this wrong in silence: they answer out of order, leave vectors out, send a quarter of
the numbers, zeros, or NaN. Everything is checked here, and nothing of an answer enters a message.
"""

from __future__ import annotations

import binascii
from array import array
from collections.abc import Mapping
from sys import byteorder
from typing import Any

import pybase64

from ..vectors import FLOAT32_BYTES, Dense, is_finite, pack


class Unusable(Exception):  # noqa: N818 -- it completes the sentence of its caller, who raises an error of `errors`
    """The answer is not what the interface promises. The text says what is wrong with "it", the answer."""


def in_order(data: object, count: int) -> list[object]:
    """The embeddings of an OpenAI answer's `data`, in the order of the texts.

    The interface promises no order, only an `index` on each item.
    """
    if not isinstance(data, list):
        raise Unusable("it holds no list of embeddings")
    _check_count(len(data), count)
    placed: dict[object, object] = {}
    for item in data:
        if not isinstance(item, Mapping) or "embedding" not in item:
            raise Unusable("an item of it holds no embedding")
        placed[_index(item)] = item["embedding"]
    if set(placed) != set(range(count)):
        raise Unusable("its embeddings are not numbered one by one")
    return [placed[index] for index in range(count)]


def _index(item: Mapping[str, Any]) -> int | None:
    index = item.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def vectors(items: object, count: int) -> list[Dense]:
    """The vectors behind embeddings that are base64 or lists of numbers: as many as texts, equally long, usable."""
    if not isinstance(items, list | tuple):
        raise Unusable("it holds no list of embeddings")
    _check_count(len(items), count)
    found = [_vector(item) for item in items]
    lengths = {vector.dimensions for vector in found}
    if len(lengths) > 1:
        raise Unusable(f"its vectors have different lengths, from {min(lengths)} to {max(lengths)}")
    return found


def _check_count(found: int, count: int) -> None:
    if found != count:
        raise Unusable(f"it holds {found} embeddings for {count} texts")


def _vector(item: object) -> Dense:
    packed = _packed(item)
    if not packed or len(packed) % FLOAT32_BYTES:
        raise Unusable("an embedding is not a row of 32-bit numbers")
    if not is_finite(packed):
        raise Unusable("an embedding holds a number that is not finite")
    if not any(_numbers(packed)):
        raise Unusable("an embedding is all zeros")
    return Dense(packed)


def _numbers(packed: bytes) -> array[float]:
    numbers = array("f", packed)
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def _packed(item: object) -> bytes:
    """Little-endian float32, which is also what the providers' base64 holds."""
    try:
        if isinstance(item, str):
            return pybase64.b64decode(item, validate=True)
        if isinstance(item, list):
            return pack(item)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        pass
    raise Unusable("an embedding is neither base64 nor a list of numbers")
