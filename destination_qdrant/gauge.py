"""How large a text is, measured for chunks of one configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from .embedding.base import TextLimit
from .tokens import Remembered, Tokenizer, certainly_fits, cl100k

# What is tokenised at once. tiktoken 0.14 panics on a million blanks in a row and takes seconds for fewer; and
# memory stays bounded (20 MB can be 15 million tokens). Only blanks and rulers have 32 characters a token, so
# what is longer than that (and than 64 Ki) counts as too large for a chunk unseen.
_BLOCK = 65_536
_BLOCK_PER_TOKEN = 32


class Room(Protocol):
    """What a piece of text has to fit into."""

    @property
    def capacity(self) -> int:
        """How large a piece may be."""
        ...

    @property
    def longest(self) -> int:
        """How many characters are tokenised at once."""
        ...

    @property
    def tokens(self) -> Tokenizer:
        """The tokenizer that windows are made with."""
        ...

    def fits(self, text: str) -> bool:
        """Whether the text can be a piece: exact."""
        ...

    def size(self, text: str) -> int:
        """The text's size; just beyond two chunks where it is plain to be more."""
        ...

    @property
    def length(self) -> Callable[[str], int]:
        """The same for whoever joins pieces, and minds the size of those only that are smaller than `capacity`."""
        ...


class Gauge:
    """How large a text is, in units of which a chunk takes `capacity`.

    A unit is a token of cl100k_base. A model with a tokenizer of its own may be fuller than that says:
    its tokens are then scaled so that `capacity` of them fill the model, and the larger figure counts.
    """

    def __init__(self, chunk_size: int, limit: TextLimit | None) -> None:
        self._limit = limit if limit and limit.count else None
        self.capacity = min(chunk_size, limit.tokens) if limit and not limit.count else chunk_size
        self.longest = max(_BLOCK, _BLOCK_PER_TOKEN * self.capacity)
        self.length = Remembered(self._length).__getitem__  # no method around it: it is asked thrice for every word

    @cached_property
    def tokens(self) -> Tokenizer:
        """cl100k_base, loaded when a text is long enough to be counted."""
        return cl100k()

    def fits(self, text: str) -> bool:
        """Whether the text can be a chunk: exact by both tokenizers."""
        # The first question spares a sync of short texts the vocabulary (0.3 s, 60 MB).
        if not certainly_fits(text, self.capacity) and (
            len(text) > self.longest or not self.tokens.fits(text, self.capacity)
        ):
            return False
        return self._limit is None or self._own(text) <= self._limit.tokens

    def size(self, text: str) -> int:
        """The text's size; just beyond two chunks where it is plain to be more."""
        beyond = 2 * self.capacity + 1
        if len(text) > self.longest or self.tokens.at_least(text) >= beyond:
            return beyond
        size = self.tokens.count(text)
        if self._limit is None:
            return size
        room = max(1, self._limit.tokens - self._surrounding)
        return max(size, -(-(self._own(text) - self._surrounding) * self.capacity // room))

    def _length(self, text: str) -> int:
        if self.tokens.certainly_exceeds(text, self.capacity - 1):
            return self.capacity
        return self.size(text)

    def _own(self, text: str) -> int:
        return self._limit.count(text) if self._limit and self._limit.count else 0

    @cached_property
    def _surrounding(self) -> int:
        """What the model's tokenizer puts around any text ([CLS], [SEP]): once a chunk, not once a piece."""
        return self._own("")


class Framed:
    """The room that is left in a frame: what fits does so with the frame around it."""

    def __init__(self, room: Room, around: Callable[[str], str], *, taken: int) -> None:
        """`taken`: how much of the room the frame needs, about; tokens of parts do not always add up."""
        self.capacity = max(1, room.capacity - taken)
        self.longest = room.longest
        self.size = room.size
        self.length = room.length
        self._room = room
        self._around = around

    @property
    def tokens(self) -> Tokenizer:
        """The tokenizer of the room."""
        return self._room.tokens

    def fits(self, text: str) -> bool:
        """Whether the text can be a piece."""
        return self._room.fits(self._around(text))
