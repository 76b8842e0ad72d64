"""Cuts a text into chunks that the embedding model takes whole.

Three ways to cut, with the meaning they have in Airbyte's destinations: at separators, at Markdown headings, at
the constructs of a programming language. All count tokens of cl100k_base, and all keep these rules:

1.  No chunk is larger than `chunk_size`, nor than what the embedding model takes by its own tokenizer.
    A piece that is too large is cut again, never shortened. Only a single character may be larger: it stands alone.
2.  Every character of the text is in a chunk, except whitespace at the ends of chunks and, where the user asked
    not to keep them, separators.
3.  A text that fits is one chunk: the text without the whitespace around it, otherwise untouched.
4.  What no separator can cut is cut into windows of tokens, between characters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .config import CodeSplitter, MarkdownSplitter, SeparatorSplitter
from .embedding.base import TextLimit
from .tokens import Tokenizer, certainly_fits, cl100k

TextSplitter = SeparatorSplitter | MarkdownSplitter | CodeSplitter

# Airbyte's own lists can end early (headings only) and then leave chunks of any size; these cut the rest.
_FALLBACK = ("\n\n", "\n", " ")
_FALLBACK_PATTERNS = (r"(?:\r?\n){2,}", r"(?:\r?\n)+", " +")

# Pieces recur, long ones hardly ever: 32768 short ones are a few megabytes.
_SHORT = 64
_REMEMBERED = 32_768

# What is tokenised at once. tiktoken 0.14 panics on a million blanks in a row and takes seconds for fewer; and
# memory stays bounded (20 MB can be 15 million tokens). Only blanks and rulers have 32 characters a token, so
# what is longer than that (and than 64 Ki) counts as too large for a chunk unseen.
_BLOCK = 65_536
_BLOCK_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a record's text, and its place among the pieces."""

    index: int
    text: str


class Splitter:
    """Cuts texts by one configuration. Safe to use from several threads at once (if `limit.count` is)."""

    def __init__(
        self, how: TextSplitter, *, chunk_size: int, chunk_overlap: int = 0, limit: TextLimit | None = None
    ) -> None:
        self._how = how
        self._gauge = _Gauge(chunk_size, limit)
        # A model that takes less than chunk_size gets an overlap in proportion.
        self._overlap = chunk_overlap * self._gauge.capacity // chunk_size

    def split(self, text: str) -> tuple[Chunk, ...]:
        """The chunks of the text, in order; none when there is nothing but whitespace."""
        whole = text.strip()
        if not whole:
            return ()
        pieces = (whole,) if self._gauge.fits(whole) else self._pieces(whole)
        return tuple(Chunk(index, piece) for index, piece in enumerate(pieces))

    def _pieces(self, text: str) -> Iterator[str]:
        for piece in self._at_separators(text, self._gauge.capacity, self._overlap):
            if self._gauge.fits(piece):
                yield piece
            else:
                yield from self._cut_again(piece)

    def _cut_again(self, piece: str) -> Iterator[str]:
        """What came out too large: a little, when tokens of pieces do not add up; much, when nothing separates it."""
        size, capacity = self._gauge.size(piece), self._gauge.capacity
        if size > 2 * capacity:
            yield from self._windows(piece)
            return
        # Two thirds, not half: what was too large by a token must not leave a third piece, a crumb of one token.
        share = max(1, min(capacity, 2 * size // 3))
        for part in self._at_separators(piece, share, self._overlap * share // capacity):
            if self._gauge.fits(part):
                yield part
            else:
                yield from self._windows(part)

    def _at_separators(self, text: str, capacity: int, overlap: int) -> list[str]:
        separators = self._separators
        if not separators.values:
            return [text]
        # 0.3 s and 45 MB that a sync of short texts never needs.
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        splitter = RecursiveCharacterTextSplitter(
            list(separators.values),
            keep_separator=separators.keep,
            is_separator_regex=separators.are_patterns,
            chunk_size=capacity,
            chunk_overlap=overlap,
            length_function=self._gauge.size,
        )
        return splitter.split_text(text)

    @cached_property
    def _separators(self) -> _Separators:
        match self._how:
            case SeparatorSplitter():
                return _own_separators(self._how)
            case MarkdownSplitter():
                headings = (rf"(?:^|\n){'#' * level} " for level in range(1, self._how.split_level + 1))
                return _Separators((*headings, *_FALLBACK_PATTERNS), are_patterns=True, keep=True)
            case CodeSplitter():
                return _language_separators(self._how)

    def _windows(self, text: str) -> Iterator[str]:
        length, start = self._gauge.longest, 0
        while start < len(text):
            block = text[start : start + length]
            is_last = start + len(block) == len(text)
            window = _Window(block, self._gauge, self._overlap)
            while not window.touches_end or is_last or not window.begin:
                yield from window.text
                if window.touches_end and is_last:
                    return
                window.move()
            start += window.begin


def _own_separators(how: SeparatorSplitter) -> _Separators:
    """The user's separators; `""` means between any characters, which is what windows do, so it ends the list."""
    given = how.parsed
    values = given[: given.index("")] if "" in given else (*given, *_FALLBACK)
    # Whitespace at the ends of chunks goes anyway. Kept until then, it belongs to the token of the word behind it;
    # dropped, langchain counts it as a token of its own and fills chunks of words by half only.
    if not how.keep_separator and not all(map(str.isspace, values)):
        return _Separators(values, are_patterns=False, keep=False)
    return _Separators(tuple(map(_pattern, values)), are_patterns=True, keep=True)


def _pattern(separator: str) -> str:
    """A run of blanks is one place to cut: langchain takes quadratic time over many tiny pieces."""
    return f"(?:{re.escape(separator)})+" if separator.isspace() else re.escape(separator)


def _language_separators(how: CodeSplitter) -> _Separators:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    known = RecursiveCharacterTextSplitter.get_separators_for_language(Language(how.language))
    constructs = (pattern for pattern in known if pattern and not pattern.isspace())
    return _Separators((*constructs, *_FALLBACK_PATTERNS), are_patterns=True, keep=True)


@dataclass(frozen=True, slots=True)
class _Separators:
    """What langchain cuts at, best first."""

    values: tuple[str, ...]
    are_patterns: bool
    keep: bool


class _Gauge:
    """How large a text is, in units of which a chunk takes `capacity`.

    A unit is a token of cl100k_base. A model with a tokenizer of its own may be fuller than that says:
    its tokens are then scaled so that `capacity` of them fill the model, and the larger figure counts.
    """

    def __init__(self, chunk_size: int, limit: TextLimit | None) -> None:
        self._limit = limit if limit and limit.count else None
        self.capacity = min(chunk_size, limit.tokens) if limit and not limit.count else chunk_size
        self.longest = max(_BLOCK, _BLOCK_PER_TOKEN * self.capacity)
        self._short_size = lru_cache(maxsize=_REMEMBERED)(self._size)

    @cached_property
    def tokens(self) -> Tokenizer:
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
        return self._short_size(text) if len(text) <= _SHORT else self._size(text)

    def _size(self, text: str) -> int:
        beyond = 2 * self.capacity + 1
        if len(text) > self.longest or self.tokens.at_least(text) >= beyond:
            return beyond
        size = self.tokens.count(text)
        if self._limit is None:
            return size
        room = max(1, self._limit.tokens - self._frame)
        return max(size, -(-(self._own(text) - self._frame) * self.capacity // room))

    def _own(self, text: str) -> int:
        return self._limit.count(text) if self._limit and self._limit.count else 0

    @cached_property
    def _frame(self) -> int:
        """What the model's tokenizer puts around any text ([CLS], [SEP]): once a chunk, not once a piece."""
        return self._own("")


class _Window:
    """A chunk-sized window that moves over a block of text, token by token where the characters allow it."""

    def __init__(self, block: str, gauge: _Gauge, overlap: int) -> None:
        self._block = block
        self._gauge = gauge
        self._overlap = overlap
        self._offsets = gauge.tokens.offsets(block)
        self.begin = 0
        self._end = self._find_end()

    @property
    def touches_end(self) -> bool:
        """Whether the window has reached the end of the block."""
        return self._end == len(self._block)

    @property
    def text(self) -> tuple[str, ...]:
        """What the window shows, if it is more than whitespace."""
        shown = self._block[self.begin : self._end].strip()
        return (shown,) if shown else ()

    def move(self) -> None:
        """On to the next window, which begins `overlap` tokens before the end of this one."""
        stop = bisect_left(self._offsets, self._end)
        tokens = stop - bisect_left(self._offsets, self.begin)
        back = stop - self._overlap * tokens // self._gauge.capacity
        begin = self._offsets[back] if back < stop else self._end
        self.begin = min(max(begin, self.begin + 1), self._end)
        self._end = self._find_end()

    def _find_end(self) -> int:
        last = bisect_left(self._offsets, self.begin) + self._gauge.capacity
        end = self._offsets[last] if last < len(self._offsets) else len(self._block)
        end = max(end, self.begin + 1)
        while end - self.begin > 1 and (size := self._excess(end)):
            shorter = (end - self.begin) * self._gauge.capacity // size
            end = self.begin + max(1, shorter)
        return min(end, len(self._block))

    def _excess(self, end: int) -> int:
        """0 when what lies before `end` fits, else its size (more than a chunk's capacity)."""
        shown = self._block[self.begin : end].strip()
        if not shown or self._gauge.fits(shown):
            return 0
        return max(self._gauge.size(shown), self._gauge.capacity + 1)
