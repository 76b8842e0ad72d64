"""Which Markdown headings stand above a place of a text (pure).

Headings are those with number signs (CommonMark 0.31, section 4.2), of all levels, outside of code fences (section 4.5).
A text is read line by line and nothing of it is kept but the headings that are open: it may have millions of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SEPARATOR = " > "

#: A line of such length is none that anybody reads as a heading; what is beyond is not part of a path.
_LONGEST_TITLE = 200

_LINE = r"(?P<level>#{1,6})(?!\S)(?P<title>[^\n]*)|(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)"
_PLAIN = re.compile(rf"^ {{0,3}}(?P<line>{_LINE})", re.MULTILINE)
#: The first line of a field may stand behind its name, as in `body: # Guide`.
_LABELLED = re.compile(rf"^ {{0,3}}(?P<line>(?:[^\s:]+: )?(?:{_LINE}))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heading:
    """Where a heading's line begins, its level from 1 to 6, and what it says."""

    start: int
    level: int
    title: str


def headings(text: str, *, labelled: bool = False) -> Iterator[Heading]:
    """The headings of a text, in order.

    Args:
        text: Markdown.
        labelled: the text is made of lines `field: value`.
    """
    fence = ""
    for line in (_LABELLED if labelled else _PLAIN).finditer(text):
        if line["fence"]:
            # Behind the name of a field a fence can open, but none ends there.
            if not fence or line.start("fence") == line.start("line"):
                fence = _after(line["fence"], line["info"], fence)
        elif not fence:
            yield Heading(line.start("line"), len(line["level"]), _title(line["title"]))


def _after(found: str, info: str, fence: str) -> str:
    """The fence that is open after a line that looks like one; empty for none."""
    if fence:
        closes = found[0] == fence[0] and len(found) >= len(fence) and not info.strip()
        return "" if closes else fence
    return "" if found[0] == "`" and "`" in info else found


def _title(text: str) -> str:
    title = text.strip()
    without = title.rstrip("#")  # signs may close a heading, behind a blank
    if not without or without[-1].isspace():
        title = without.rstrip()
    return title[:_LONGEST_TITLE].rstrip()


class Trail:
    """Walks along a text and knows the headings above each place; the places come in order."""

    def __init__(self, text: str, *, labelled: bool = False) -> None:
        self._coming = headings(text, labelled=labelled)
        self._next = next(self._coming, None)
        self._open: list[Heading] = []

    def above(self, place: int) -> str:
        """The path to a place, as in `Guide > Install`, without a heading that begins there."""
        while self._next and self._next.start < place:
            self._enter(self._next)
            self._next = next(self._coming, None)
        if self._next and self._next.start == place:
            return _path(self._open, self._next.level)
        return _path(self._open)

    def longest(self) -> str:
        """The longest path of all that follow. Nothing follows afterwards."""
        longest = ""
        while self._next:
            self._enter(self._next)
            longest = max(longest, _path(self._open), key=_bytes)
            self._next = next(self._coming, None)
        return longest

    def _enter(self, heading: Heading) -> None:
        self._open = [each for each in self._open if each.level < heading.level]
        self._open.append(heading)


def shorter(path: str) -> str:
    """The path without its first heading, or without the first word of its only one."""
    return path.partition(SEPARATOR)[2] or path.partition(" ")[2]


def _path(opened: list[Heading], level: int = 7) -> str:
    return SEPARATOR.join(each.title for each in opened if each.title and each.level < level)


def _bytes(text: str) -> int:
    """Nearer to tokens than characters are."""
    return len(text.encode("utf-8", "surrogatepass"))
