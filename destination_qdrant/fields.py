"""Field paths as the configuration writes them, and values that Qdrant can store (pure).

Paths mean what they mean in Airbyte's connector (dpath with dots): names and list positions joined by dots,
`*` for any one step, `**` for any number of steps, and shell patterns inside a step.
A field whose own name is the whole path, dots and all, comes first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

#: Qdrant's gRPC clients build at most 49 levels of lists and read 48 (measured); deeper values become JSON text.
DEEPEST = 32

_SURROGATE = re.compile("[\ud800-\udfff]")
_POSITION = re.compile(r"-?\d{1,18}", re.ASCII)  # in a list; from its end when negative

_SMALLEST_INTEGER, _LARGEST_INTEGER = -(2**63), 2**63 - 1

Change = dict[str, str]

_FIELDS_NAMED = 20
_LONGEST_NAME = 256


def nulled(field: str, reason: str) -> Change:
    """An entry for `_ab_meta.changes`, in Airbyte's vocabulary."""
    return {"field": field, "change": "NULLED", "reason": reason}


def truncated(field: str, reason: str) -> Change:
    """An entry for `_ab_meta.changes` about a field of which a part is left."""
    return {"field": field, "change": "TRUNCATED", "reason": reason}


class FieldPath:
    """One configured path, compiled once."""

    __slots__ = ("_is_literal", "_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = tuple(text.lstrip(".").split("."))  # dpath passes over leading dots
        self._is_literal = not _is_pattern(text)

    def values(self, data: Mapping[str, Any]) -> list[Any]:
        """Every value the path leads to, in the record's order."""
        if self.text in data:
            return [data[self.text]]
        if self._is_literal:
            return list(_follow(data, self._steps))
        return _match(data, self._steps)

    def may_exist(self, schema: Mapping[str, Any]) -> bool:
        """Whether a record of this JSON schema can have the path."""
        properties = schema.get("properties")
        if isinstance(properties, dict) and self.text in properties:
            return True
        return _allows(schema, self._steps)


def _follow(value: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and _POSITION.fullmatch(step) and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return
    yield value


def _match(data: Any, steps: tuple[str, ...]) -> list[Any]:
    """Every value below `data` that the steps lead to, in dpath's order: members first, then what is in them.

    What is inside a value that was found is not found again, or `**` would multiply a record by its depth.

    All readings of the path are followed at once (as positions in it), so that `**` costs no more than a walk;
    and without recursion, because a record may be nested more deeply than Python calls.
    """
    found: list[Any] = []
    pending = [(data, _passing(steps, 0))]
    while pending:
        value, at = pending.pop()
        size = len(value) if isinstance(value, list) else 0
        reached = [(member, _advanced(steps, at, name, size)) for name, member in _members(value)]
        found += [member for member, positions in reached if len(steps) in positions]
        deeper = ((member, positions) for member, positions in reversed(reached) if len(steps) not in positions)
        pending += [(member, positions) for member, positions in deeper if positions]
    return found


@lru_cache(8192)  # the same few names come with every record
def _advanced(steps: tuple[str, ...], at: frozenset[int], name: str, size: int) -> frozenset[int]:
    """The positions after one more name; `size` is that of the list in which the name is a position, else 0."""
    after: frozenset[int] = frozenset()
    for position in at:
        if position < len(steps) and _is_step(name, steps[position], size):
            after |= _passing(steps, position if steps[position] == "**" else position + 1)
    return after


def _is_step(name: str, step: str, size: int) -> bool:
    if size and _POSITION.fullmatch(step):
        return int(step) in (int(name), int(name) - size)
    return fnmatchcase(name, step)


def _passing(steps: tuple[str, ...], position: int) -> frozenset[int]:
    """The position, and those after it that `**` lets it pass to."""
    end = position
    while end < len(steps) and steps[end] == "**":
        end += 1
    return frozenset(range(position, end + 1))


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(index), member) for index, member in enumerate(value))


def _allows(schema: Any, steps: tuple[str, ...]) -> bool:
    """Whether a JSON schema leaves room for the steps; a part of it without declared members allows anything."""
    if not steps or not isinstance(schema, dict):
        return True
    step, rest = steps[0], steps[1:]
    members = []
    properties, items = schema.get("properties") or None, schema.get("items") or None
    if isinstance(properties, dict):
        members += [member for name, member in properties.items() if fnmatchcase(name, step)]
    if isinstance(items, dict) and (_POSITION.fullmatch(step) or _is_pattern(step)):
        members.append(items)
    if not isinstance(properties, dict) and not isinstance(items, dict):
        types = declared_types(schema)
        return not types or bool(types & {"object", "array"})
    return step == "**" or any(_allows(member, rest) for member in members)


def declared_types(schema: Any) -> frozenset[str]:
    """The types that a JSON schema names; none where it names none or is out of shape."""
    declared = schema.get("type") if isinstance(schema, dict) else None
    named = declared if isinstance(declared, list) else [declared]
    return frozenset(name for name in named if isinstance(name, str))


def select(data: Mapping[str, Any], paths: tuple[FieldPath, ...]) -> dict[str, Any]:
    """Path -> its value, or the list of its values when there are several; without paths the whole record."""
    if not paths:
        return dict(data)
    selected: dict[str, Any] = {}
    for path in paths:
        if path.text in data:  # as in `values`: nearly all paths are a column's name
            selected[path.text] = data[path.text]
        elif values := path.values(data):
            selected[path.text] = values if len(values) > 1 else values[0]
    return selected


def clean_text(text: str) -> str:
    """Text that can be encoded and embedded: lone surrogates replaced, NUL gone."""
    return whole(text).replace("\0", "")


def whole(text: str) -> str:
    """The text, with the replacement character for each lone surrogate; the same object where there is none."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def storable_fields(fields: Mapping[str, Any], changes: list[Change]) -> dict[str, Any]:
    """The fields with names and values as `storable` has them; what most of them are is told by its type alone."""
    stored: dict[str, Any] = {}
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            kept = value if value.isascii() else _storable_text(value, name, changes)
        elif value is None or kind is bool or (kind is int and _SMALLEST_INTEGER <= value <= _LARGEST_INTEGER):
            kept = value
        else:
            kept = storable(value, name, changes)
        stored[name if name.isascii() else _storable_text(name, name, changes)] = kept
    return stored


def storable(value: Any, field: str, changes: list[Change], depth: int = 0) -> Any:
    """The value as Qdrant can store it; what is lost on the way is added to `changes`.

    Integers beyond 64 bits become their exact decimal text, NaN and infinity become null, lone surrogates the
    replacement character, and what is nested too deeply becomes its JSON text.
    """
    if isinstance(value, str):
        return _storable_text(value, field, changes)
    if isinstance(value, int | float):
        return _storable_number(value, field, changes)
    if not isinstance(value, dict | list):
        return value
    if depth >= DEEPEST:
        return json.dumps(value)
    if isinstance(value, list):
        return [storable(member, field, changes, depth + 1) for member in value]
    return {
        _storable_text(name, field, changes): storable(member, field, changes, depth + 1)
        for name, member in value.items()
    }


def _storable_number(number: float, field: str, changes: list[Change]) -> float | str | None:
    if isinstance(number, int):
        return number if _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER else str(number)
    if math.isfinite(number):
        return number
    note(nulled(field, "DESTINATION_SERIALIZATION_ERROR"), changes)
    return None


def _storable_text(text: str, field: str, changes: list[Change]) -> str:
    stored = whole(text)
    if stored != text:
        note(truncated(field, "DESTINATION_SERIALIZATION_ERROR"), changes)
    return stored


def note(change: Mapping[str, Any], changes: list[Change]) -> None:
    """Add a change, once: a list of a million NaN is one.

    After the first fields "*" stands for all others, and names are cut: else the notes could fill the payload.
    """
    short = {name: whole(str(change[name]))[:_LONGEST_NAME] for name in ("field", "change", "reason") if name in change}
    if len(changes) >= _FIELDS_NAMED:
        short["field"] = "*"
    if short not in changes and len(changes) < 2 * _FIELDS_NAMED:
        changes.append(short)
