"""Vectors made up from a hash of the text: for trying out a connection without a model, a key or a cost.

Equal texts get equal vectors, in every process, on every machine and in every version of Python;
apart from that the vectors mean nothing.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Sequence
from operator import mul
from sys import byteorder
from typing import Final

from ..vectors import Dense
from .base import TextLimit, Usage

#: What the fake embedder of Airbyte's connectors has, so that a collection made with that one still fits.
DIMENSIONS: Final = 1536

_INT16_BYTES: Final = 2


class Fake:
    """The embedder of mode `fake`."""

    model = "fake"
    fingerprint = model
    usage = Usage()

    @property
    def dimensions(self) -> int:
        """Always the same."""
        return DIMENSIONS

    @property
    def limit(self) -> TextLimit | None:
        """A hash takes texts of any length."""
        return None

    def count_tokens(self, text: str) -> int:
        """Nobody is paid."""
        del text
        return 0

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """One unit vector a text."""
        del tokens
        return [unit_vector(text) for text in texts]

    def embed_query(self, text: str) -> Dense:
        """The same as for a document, so that a text finds itself."""
        return unit_vector(text)

    def close(self) -> None:
        """There is nothing to let go of."""


def unit_vector(text: str) -> Dense:
    """The vector of a text.

    The numbers stay integers up to the last division, so that no platform's rounding can change one.
    """
    stream = hashlib.shake_256(text.encode("utf-8", errors="surrogatepass"))
    numbers = array("h", stream.digest(DIMENSIONS * _INT16_BYTES))
    if byteorder == "big":
        numbers.byteswap()
    length = math.sqrt(sum(map(mul, numbers, numbers)))
    return Dense.of([number / length for number in numbers])
