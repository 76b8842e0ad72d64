"""A text becomes chunks that the embedding model takes whole.

Three ways to cut, with the meaning they have in Airbyte's destinations: at separators, at Markdown headings, at
the constructs of a programming language; and a fourth, not to cut. All count tokens of cl100k_base and keep these rules:

1.  No chunk is larger than `chunk_size`, nor than what the embedding model takes by its own tokenizer, with all that
    stands around its text. Only a single character may be larger: it stands alone.
2.  Every character of the text is in a chunk, except whitespace at the ends of chunks and, where the user asked
    not to keep them, separators; and what is beyond the first chunk, where the user asked not to cut.
3.  A text that fits is one chunk: the text without the whitespace around it, otherwise untouched.
4.  What no separator can cut is cut into windows of tokens, between characters.
5.  What stands around a text gives way to it: a frame takes at most half of a chunk, or its values are cut (all of them to
    the same length); a path of headings takes at most half of what is left, or loses its beginning.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .config import MarkdownSplitter, TextSplitter, WholeText
from .cutting import Cutter, Separators, separators_of
from .embedding.base import TextLimit
from .frames import Frame
from .gauge import Framed, Gauge, Room
from .headings import Trail, shorter
from .tokens import certainly_fits

_SAYS_SOMETHING = re.compile(r"\S")

#: More characters than that a token has only in runs of blanks and rulers.
_LETTERS_PER_TOKEN = 16


class TextTooLongError(Exception):
    """The text is not to be cut, and longer than a chunk may be."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a record's text, and its place among the pieces; `truncated` where the text goes on without one."""

    index: int
    text: str
    truncated: bool = False


class Splitter:
    """Splits texts by one configuration. Safe to use from several threads at once (if `limit.count` is)."""

    def __init__(
        self,
        how: TextSplitter,
        *,
        chunk_size: int,
        chunk_overlap: int = 0,
        limit: TextLimit | None = None,
        labelled: bool = False,
    ) -> None:
        """`labelled`: texts are made of lines `field: value`, behind whose names Markdown begins."""
        self._how = how
        self._gauge = Gauge(chunk_size, limit)
        self._chunk_size = chunk_size
        self._chunk_overlap = chunk_overlap
        self._labelled = labelled

    def split(self, text: str, frame: Frame | None = None) -> tuple[Chunk, ...]:
        """The chunks of the text, in order; none when there is nothing but whitespace, and no frame says anything.

        Raises:
            TextTooLongError: as the user wants it of a text that is too long.
        """
        whole = text.strip()
        if frame and not whole:  # then what it says is the text
            whole, frame = frame.around("").strip() if frame.says_anything else "", None
        if not whole:
            return ()
        if frame and frame.widest > self._gauge.longest:
            frame = frame.cut(self._gauge.longest)  # whole, it fits nowhere; and it may be there fifty times
        shown = frame.around(whole).strip() if frame else whole
        if self._gauge.fits(shown):
            return (Chunk(0, shown),)
        if isinstance(self._how, WholeText):
            return (self._beginning(whole, frame, self._how),)
        pieces = self._framed(whole, frame) if frame else self._pieces(whole, self._gauge)
        return tuple(Chunk(index, piece) for index, piece in enumerate(pieces))

    def leaves_room_for_text(self, frame: Frame) -> bool:
        """Whether the words of a frame, which nobody may cut, leave at least half of a chunk to the text."""
        words, most = frame.cut(0).around(""), self._gauge.capacity // 2
        return certainly_fits(words, most) or self._gauge.size(words) <= most

    # -- the text ------------------------------------------------------------------------------------------

    def _pieces(self, text: str, room: Room) -> Iterator[str]:
        if isinstance(self._how, MarkdownSplitter) and self._how.heading_path:
            return self._below_headings(text, room)
        return self._cut(text, room)

    def _cut(self, text: str, room: Room) -> Iterator[str]:
        # Less room than chunk_size gets an overlap in proportion.
        return Cutter(self._separators, room, self._chunk_overlap * room.capacity // self._chunk_size).pieces(text)

    @cached_property
    def _separators(self) -> Separators:
        return separators_of(self._how)

    def _below_headings(self, text: str, room: Room) -> Iterator[str]:
        """The pieces, each with the path of its headings. All leave room for the longest path, so that cuts are even."""

        @lru_cache(maxsize=64)  # a few chunks in a row have the same
        def fitting(path: str) -> str:
            while path and room.size(_below(path, "")) > room.capacity // 2:
                path = shorter(path)
            return path

        longest = fitting(Trail(text, labelled=self._labelled).longest())
        taken = room.size(_below(longest, "")) if longest else 0
        trail = Trail(text, labelled=self._labelled)
        for place, piece in _places(
            text, self._cut(text, Framed(room, lambda piece: _below(longest, piece), taken=taken))
        ):
            path = fitting(trail.above(place))
            while path and not room.fits(_below(path, piece)):
                path = shorter(path)
            yield _below(path, piece)

    def _beginning(self, text: str, frame: Frame | None, how: WholeText) -> Chunk:
        """As many tokens of the text as fit, whole characters only."""
        if how.when_too_long == "fail":
            raise TextTooLongError
        frame = self._shortened(frame) if frame else None

        def fits(end: int) -> bool:
            beginning = text[:end].rstrip()
            return self._gauge.fits(frame.around(beginning).strip() if frame else beginning)

        block = text[: self._gauge.longest]
        ends = [*self._gauge.tokens.offsets(block)[: self._gauge.capacity + 1], len(block)]
        ends = sorted(set(ends[: self._gauge.capacity + 1]) - {0})
        # Between tokens first, where nearly every time the last place will do; then inside of the next one, because a
        # model's own tokens, and those that join a frame, end elsewhere.
        last = bisect_right(ends, False, key=lambda end: not fits(end)) if ends and not fits(ends[-1]) else len(ends)
        begin = ends[last - 1] if last else 1
        inside = range(begin + 1, ends[last] if last < len(ends) else begin + 1)
        end = begin + bisect_right(inside, False, key=lambda end: not fits(end))
        beginning = text[:end].rstrip()
        return Chunk(0, self._around(beginning, frame) if frame else beginning, truncated=True)

    # -- what stands around it -----------------------------------------------------------------------------

    def _framed(self, text: str, frame: Frame) -> Iterator[str]:
        frame = self._shortened(frame)
        room = Framed(self._gauge, lambda piece: frame.around(piece).strip(), taken=self._taken(frame))
        pieces = (text,) if room.fits(text) else self._pieces(text, room)
        return (self._around(piece, frame) for piece in pieces)

    def _around(self, piece: str, frame: Frame) -> str:
        """A piece in its frame, or in less of it where a chunk has room for a character or two."""
        shown = (each.around(piece).strip() for each in (frame, frame.cut(0)))
        return next(filter(self._gauge.fits, shown), piece)

    def _shortened(self, frame: Frame) -> Frame:
        most = self._gauge.capacity // 2
        if self._taken(frame) <= most:
            return frame
        longest = min(frame.widest, _LETTERS_PER_TOKEN * most)
        lengths = range(longest, -1, -1)
        found = bisect_left(lengths, True, key=lambda length: self._taken(frame.cut(length)) <= most)
        return frame.cut(lengths[found] if found < len(lengths) else 0)

    def _taken(self, frame: Frame) -> int:
        return self._gauge.size(frame.around(""))


def _below(path: str, piece: str) -> str:
    return f"{path}\n\n{piece}" if path else piece


def _places(text: str, pieces: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Where each piece begins. Pieces come in order, miss nothing but whitespace, and may repeat what was before."""
    begin = done = 0
    for piece in pieces:
        begin = done if text.startswith(piece, done) else max(begin, text.rfind(piece, begin, done + len(piece)))
        yield begin, piece
        following = _SAYS_SOMETHING.search(text, max(done, begin + len(piece)))
        done = following.start() if following else len(text)
