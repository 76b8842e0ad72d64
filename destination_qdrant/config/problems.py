"""What is wrong with a configuration, in words: the errors of the validating library in, one sentence out (pure).

The errors come as that library lists them: dictionaries with `type`, `loc`, `input` and `ctx`. No value of the
configuration enters the sentence, only the names of fields and of JSON types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

#: The type of an error that brings its own text, as `text` in its context.
OWN_ERROR: Final = "own"

_PROBLEMS_NAMED: Final = 5

Modes = Mapping[str, tuple[str, ...]]
"""Field -> the modes that choose its shape."""

#: Error of pydantic -> what the field must be. The JSON type that was found is added.
_EXPECTED_TYPES: Mapping[str, str] = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "finite_number": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

#: Error of pydantic -> what is wrong; the fields are those of the error's context, which are never the user's.
_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "string_unicode": "holds a character that is not valid Unicode",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    OWN_ERROR: "{text}",
}

_JSON_TYPES: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    type(None): "null",
}


def sentence(errors: Iterable[Mapping[str, Any]], modes: Modes) -> str:
    """What is wrong: each problem once, the first few of them by name."""
    problems = list(dict.fromkeys(describe(error, modes) for error in errors))
    named, more = problems[:_PROBLEMS_NAMED], len(problems) - _PROBLEMS_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return f"The configuration cannot be used: {'; '.join(named)}{rest}."


def describe(error: Mapping[str, Any], modes: Modes) -> str:
    """The field and what is wrong with it."""
    path, kind = _path(error["loc"], modes), error["type"]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        allowed = ", ".join(modes[path.rpartition(".")[2]])
        return f"{path}.mode must be one of {allowed}" + (", but is missing" if kind.endswith("found") else "")
    path = path or "the configuration"
    if kind in _EXPECTED_TYPES:
        return f"{path} must be {_EXPECTED_TYPES[kind]}, not {_found(error['input'])}"
    return f"{path} {_SENTENCES.get(kind, 'is not valid').format_map(error.get('ctx', {}))}"


def _path(location: tuple[int | str, ...], modes: Modes) -> str:
    """Dotted, as in `processing.text_fields[0]`; the mode that the library puts into it is left out."""
    path, parent = "", ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in modes.get(parent, ()):
            path += f".{step}"
        parent = str(step)
    return path.removeprefix(".")


def _found(value: object) -> str:
    return _JSON_TYPES.get(type(value), "something else")
