"""What stands around each chunk of a record: the words of a template, and between them the values of fields (pure)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Frame:
    """`words` and `values` in turn, as in a template; the value at `place` is the chunk."""

    words: tuple[str, ...]
    values: tuple[str, ...]
    place: int

    @property
    def says_anything(self) -> bool:
        """Whether a value is there; the words are the same for every record."""
        return any(self.values)

    @property
    def widest(self) -> int:
        """Characters of its longest value."""
        return max(map(len, self.values))

    def around(self, chunk: str) -> str:
        """The frame with a chunk in it."""
        parts = [self.words[0]]
        for index, (value, words) in enumerate(zip(self.values, self.words[1:], strict=True)):
            parts += (chunk if index == self.place else value), words
        return "".join(parts)

    def cut(self, longest: int) -> Frame:
        """The frame with no value of more characters than that."""
        return replace(self, values=tuple(value[:longest].rstrip() for value in self.values))
