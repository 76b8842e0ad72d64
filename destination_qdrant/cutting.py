"""Cuts a text into pieces that fit: at separators first, and where nothing separates, into windows of tokens.

A piece that is too large is cut again, never shortened. Only a single character may be larger than there is room for.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from .config import CodeSplitter, MarkdownSplitter, SeparatorSplitter, TextSplitter, WholeText
from .gauge import Room

# Airbyte's own lists can end early (headings only) and then leave chunks of any size; these cut the rest.
_FALLBACK = ("\n\n", "\n", " ")
# What begins with plain characters, not with a repetition, `re` finds ten times as fast.
_FALLBACK_PATTERNS = (r"(?:\r\n|\n)(?:\r?\n)+", r"(?:\r\n|\n)(?:\r?\n)*", "  *")


class Cutter:
    """Cuts texts at these separators, into pieces that fit the room and repeat `overlap` tokens of the one before."""

    def __init__(self, separators: Separators, room: Room, overlap: int) -> None:
        self._separators = separators
        self._room = room
        self._overlap = overlap

    def pieces(self, text: str) -> Iterator[str]:
        """The pieces of a text that does not fit as it is, in order; none is whitespace alone."""
        # langchain leaves the ends of a piece on that fills its share to the token, a single blank too.
        return (piece for piece in self._pieces(text) if not piece.isspace())

    def _pieces(self, text: str) -> Iterator[str]:
        for piece in self._at_separators(text, self._room.capacity, self._overlap):
            if self._room.fits(piece):
                yield piece
            else:
                yield from self._cut_again(piece)

    def _cut_again(self, piece: str) -> Iterator[str]:
        """What came out too large: a little, when tokens of pieces do not add up; much, when nothing separates it."""
        size, capacity = self._room.size(piece), self._room.capacity
        if size > 2 * capacity:
            yield from self._windows(piece)
            return
        # Two thirds, not half: what was too large by a token must not leave a third piece, a crumb of one token.
        share = max(1, min(capacity, 2 * size // 3))
        for part in self._at_separators(piece, share, self._overlap * share // capacity):
            if self._room.fits(part):
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
            length_function=self._room.length,
        )
        return splitter.split_text(text)

    def _windows(self, text: str) -> Iterator[str]:
        length, start = self._room.longest, 0
        while start < len(text):
            block = text[start : start + length]
            is_last = start + len(block) == len(text)
            window = _Window(block, self._room, self._overlap)
            while not window.touches_end or is_last or not window.begin:
                yield from window.text
                if window.touches_end and is_last:
                    return
                window.move()
            start += window.begin


@dataclass(frozen=True, slots=True)
class Separators:
    """What langchain cuts at, best first."""

    values: tuple[str, ...]
    are_patterns: bool
    keep: bool


def separators_of(how: TextSplitter) -> Separators:
    """What a configuration cuts at."""
    match how:
        case SeparatorSplitter():
            return _own_separators(how)
        case MarkdownSplitter():
            headings = (rf"(?:^|\n){'#' * level} " for level in range(1, how.split_level + 1))
            return Separators((*headings, *_FALLBACK_PATTERNS), are_patterns=True, keep=True)
        case CodeSplitter():
            return _language_separators(how)
        case WholeText():
            return Separators((), are_patterns=False, keep=False)


def _own_separators(how: SeparatorSplitter) -> Separators:
    """The user's separators; `""` means between any characters, which is what windows do, so it ends the list."""
    given = how.parsed
    values = given[: given.index("")] if "" in given else (*given, *_FALLBACK)
    # Whitespace at the ends of chunks goes anyway. Kept until then, it belongs to the token of the word behind it;
    # dropped, langchain counts it as a token of its own and fills chunks of words by half only.
    if not how.keep_separator and not all(map(str.isspace, values)):
        return Separators(values, are_patterns=False, keep=False)
    return Separators(tuple(map(_pattern, values)), are_patterns=True, keep=True)


def _pattern(separator: str) -> str:
    """A run of blanks is one place to cut: langchain takes quadratic time over many tiny pieces."""
    once = re.escape(separator)
    return f"{once}(?:{once})*" if separator.isspace() else once


def _language_separators(how: CodeSplitter) -> Separators:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    known = RecursiveCharacterTextSplitter.get_separators_for_language(Language(how.language))
    constructs = (pattern for pattern in known if pattern and not pattern.isspace())
    return Separators((*constructs, *_FALLBACK_PATTERNS), are_patterns=True, keep=True)


class _Window:
    """A chunk-sized window that moves over a block of text, token by token where the characters allow it."""

    def __init__(self, block: str, room: Room, overlap: int) -> None:
        self._block = block
        self._room = room
        self._overlap = overlap
        self._offsets = room.tokens.offsets(block)
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
        back = stop - self._overlap * tokens // self._room.capacity
        begin = self._offsets[back] if back < stop else self._end
        self.begin = min(max(begin, self.begin + 1), self._end)
        self._end = self._find_end()

    def _find_end(self) -> int:
        last = bisect_left(self._offsets, self.begin) + self._room.capacity
        end = self._offsets[last] if last < len(self._offsets) else len(self._block)
        end = max(end, self.begin + 1)
        while end - self.begin > 1 and (size := self._excess(end)):
            shorter = (end - self.begin) * self._room.capacity // size
            end = self.begin + max(1, shorter)
        return min(end, len(self._block))

    def _excess(self, end: int) -> int:
        """0 when what lies before `end` fits, else its size (more than a chunk's capacity)."""
        shown = self._block[self.begin : end].strip()
        if not shown or self._room.fits(shown):
            return 0
        return max(self._room.size(shown), self._room.capacity + 1)
