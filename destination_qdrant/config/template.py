"""Templates of a text: fields of a record in braces (pure).

`{user.name}` is replaced by what the field says; `{{` and `}}` are braces. `{chunk}` is the place of a piece of the text
fields; a column that has this name is `{.chunk}`, because a path may begin with a dot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

CHUNK: Final = "chunk"

#: A field that is named often multiplies a record before anything can be measured.
_MOST_FIELDS: Final = 50

#: A brace that is meant, a field, or a brace that nothing goes with.
_PARTS = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<field>[^{}]*)\}|(?P<alone>[{}])")


class BadTemplate(ValueError):  # noqa: N818 -- it says what the template must be, and is told as a problem of its field
    """What the template must be; said after the name of its field."""


@dataclass(frozen=True, slots=True)
class Template:
    """The words of a template and its fields in turn: one text before each field, and one behind the last."""

    words: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def holds_chunk(self) -> bool:
        """Whether it stands around pieces of the text, and is not the text itself."""
        return CHUNK in self.fields


def parse(text: str) -> Template:
    """Read a template.

    Raises:
        BadTemplate: braces do not match, or no record could say anything in it.
    """
    words, fields, done = [""], [], 0
    for part in _PARTS.finditer(text):
        words[-1] += text[done : part.start()]
        done = part.end()
        if part["alone"]:
            raise BadTemplate("must close each { with a } (write {{ or }} for a brace itself)")
        if part["brace"]:
            words[-1] += part["brace"][0]
            continue
        field = part["field"].strip()
        if not field.strip("."):
            raise BadTemplate("must name a field between { and } (write {{ or }} for a brace itself)")
        fields.append(field)
        words.append("")
    words[-1] += text[done:]
    if not fields:
        raise BadTemplate("must hold a field in braces, such as {title}, or all records would say the same")
    if len(fields) > _MOST_FIELDS:
        raise BadTemplate(f"must not hold more than {_MOST_FIELDS} fields")
    if fields.count(CHUNK) > 1:
        raise BadTemplate("must not hold {chunk} more than once")
    return Template(tuple(words), tuple(fields))
