"""What a record says: the text of its fields, in the form that the user chose (pure).

    fields    a line `name: value` for each text field, as Airbyte's connector writes it
    values    the values of the text fields, a blank line between two
    template  a text of the user's with the values of fields in it

A template with `{chunk}` is no text but a frame: the values of the text fields are split, and each piece gets the template
around it. Only the template itself is read for fields; braces in a record are text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from .config import FieldNameMapping, FieldsFormat, TemplateFormat, TextFormat
from .config.template import CHUNK
from .fields import DEEPEST, FieldPath, clean_text, select
from .frames import Frame


@dataclass(frozen=True, slots=True)
class Said:
    """The text of a record, and what is to stand around each piece of it."""

    text: str
    frame: Frame | None = None

    @property
    def anything(self) -> bool:
        """Whether the record itself says something; the words of a template are not its own."""
        return bool(self.text) or (self.frame is not None and self.frame.says_anything)


class TextReader:
    """Reads the text of one stream's records."""

    def __init__(self, form: TextFormat, text_fields: Sequence[str], mappings: Sequence[FieldNameMapping]) -> None:
        self._paths = tuple(map(FieldPath, text_fields))
        self._mappings = mappings
        self._is_named = isinstance(form, FieldsFormat)
        template = form.parsed if isinstance(form, TemplateFormat) else None
        self._holds_chunk = template is not None and template.holds_chunk
        self._words = tuple(map(clean_text, template.words)) if template else ()
        self._template = (
            tuple(None if name == CHUNK else FieldPath(name) for name in template.fields) if template else ()
        )

    def read(self, data: Mapping[str, Any]) -> Said:
        """What the record says."""
        if self._is_named:
            return Said(_lines(renamed(select(data, self._paths), self._mappings)).strip())
        if not self._template:
            return Said(self._values(data))
        frame = self._frame(data)
        if self._holds_chunk:
            return Said(self._values(data), frame)
        return Said(frame.around("").strip() if frame.says_anything else "")

    def _values(self, data: Mapping[str, Any]) -> str:
        return "\n\n".join(filter(None, map(_value, select(data, self._paths).values())))

    def _frame(self, data: Mapping[str, Any]) -> Frame:
        values = ("" if path is None else _value(path.values(data)) for path in self._template)
        place = self._template.index(None) if self._holds_chunk else -1
        return Frame(self._words, tuple(values), place)


def sources(form: TextFormat, text_fields: Sequence[str]) -> tuple[str, ...]:
    """The fields that the text is made of; none means all fields of a record."""
    if not isinstance(form, TemplateFormat):
        return tuple(text_fields)
    template = form.parsed
    if not template.holds_chunk:
        return template.fields
    named = tuple(field for field in template.fields if field != CHUNK)
    return (*text_fields, *named) if text_fields else ()


def renamed(fields: dict[str, Any], mappings: Sequence[FieldNameMapping]) -> dict[str, Any]:
    """The fields by the names that they have in Qdrant; the same object."""
    for mapping in mappings:
        if mapping.from_field in fields:
            fields[mapping.to_field] = fields.pop(mapping.from_field)
    return fields


# ----------------------------------------------------------------------------------------------------------
# With names, as Airbyte's connector writes it


def _lines(fields: Mapping[str, Any], depth: int = 0) -> str:
    """One line for each field that says something."""
    lines = []
    for name, value in fields.items():
        said = _said(value, depth)
        if said and not said.isspace():
            lines.append(f"{clean_text(name)}: {said}\n")
    return "".join(lines)


def _said(value: Any, depth: int) -> str:
    """What a value says as text, with the names of its members; nothing for null."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        if depth >= DEEPEST:
            return _json(value)
        if isinstance(value, dict):
            return "\n" + _lines(value, depth + 1)
        return "\n".join(filter(str.strip, map(_said, value, repeat(depth + 1))))
    return str(value)


def _json(value: Any) -> str:
    return clean_text(json.dumps(value, ensure_ascii=False))


# ----------------------------------------------------------------------------------------------------------
# Values alone


def _value(value: Any, depth: int = 0) -> str:
    """What a value says as text: a line for each member that says something, without its name; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        if depth >= DEEPEST:
            return _json(value)
        members = value.values() if isinstance(value, dict) else value
        return "\n".join(filter(None, map(_value, members, repeat(depth + 1))))
    return clean_text(value).strip() if isinstance(value, str) else str(value)
