"""Rewrite the configuration reference in docs/setup.md from the connector's own specification.

What stands between the two marker comments of that page is what `reference` makes of the specification; all else of
the page is left as it is. A test compares the two, so that the page cannot say something else than the form.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from destination_qdrant.spec import connector_spec

PAGE = Path(__file__).resolve().parents[1] / "docs" / "setup.md"

BEGIN = "<!-- reference: begin; written by `make reference`, do not edit -->"
END = "<!-- reference: end -->"

_Schema = Mapping[str, Any]

_HEAD = (
    "| field | title in the form | what it takes | default | required | description |",
    "|---|---|---|---|---|---|",
)

_TYPES: Mapping[str, str] = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`"}

#: What Markdown would take for its own; a backslash makes it text. Letters, digits and plain punctuation stay readable.
_SIGNS = re.compile(r"[\\*_{}\[\]<>|~]")


def main() -> int:
    """Write the page anew."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(page, reference(connector_spec())), encoding="utf-8")
    print(f"{PAGE.name} written")
    return 0


def replaced(page: str, text: str) -> str:
    """The page with this text between its markers.

    Raises:
        ValueError: it has not each marker once, in this order.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if page.count(BEGIN) != 1 or page.count(END) != 1 or END not in rest:
        raise ValueError(f"The page needs the lines {BEGIN} and {END}, once each and in this order.")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def reference(spec: _Schema) -> str:
    """The whole reference in Markdown: a table for each card of the form, and one for each branch of a choice."""
    form = spec["connectionSpecification"]
    titles = {group["id"]: group["title"] for group in form["groups"]}
    cards: dict[str, dict[str, Any]] = {group: {} for group in titles}
    for name, schema in form["properties"].items():
        cards[schema["group"]][name] = schema
    blocks = []
    for group, fields in cards.items():
        blocks.append(f"### Card: {_text(titles[group])}")
        blocks += _card(fields, frozenset(form["required"]))
    return "\n\n".join(blocks) + "\n"


def _card(fields: Mapping[str, _Schema], required: frozenset[str]) -> Iterator[str]:
    """The table of a card, and its choices. A card that is one choice needs no table: its branches are all of it."""
    if len(fields) == 1:
        ((name, schema),) = fields.items()
        if "properties" in schema:
            yield from _described(schema)
            yield from _section(_below(name, schema), frozenset(_required(name, schema)))
            return
    yield from _section(fields, required)


def _section(fields: Mapping[str, _Schema], required: frozenset[str]) -> Iterator[str]:
    """A table of fields, by their paths; then the branches of the choices among them."""
    rows = list(_flat(fields, required))
    yield "\n".join((*_HEAD, *(_row(path, schema, is_required=must) for path, schema, must in rows)))
    for path, schema, _ in rows:
        for branch in schema.get("oneOf", ()):
            yield from _branch(path, branch)


def _branch(path: str, branch: _Schema) -> Iterator[str]:
    (name,) = (name for name, schema in branch["properties"].items() if "const" in schema)
    value = branch["properties"][name]["const"]
    yield f"#### {_code(f'{path}.{name}')}: {_code(value)} ({_text(branch['title'])})"
    yield from _described(branch)
    fields = {f"{path}.{each}": schema for each, schema in branch["properties"].items() if each != name}
    if fields:
        yield from _section(fields, frozenset(_required(path, branch)))
    else:
        yield "It has no further fields."


def _flat(fields: Mapping[str, _Schema], required: frozenset[str]) -> Iterator[tuple[str, _Schema, bool]]:
    """Every field with its path, and whether it is required; what is inside of objects and of lists of them follows."""
    for path, schema in fields.items():
        yield path, schema, path in required
        for inner, schema_inside in ((path, schema), (f"{path}[]", schema.get("items", {}))):
            if "properties" in schema_inside:
                below = _below(inner, schema_inside)
                yield from _flat(below, frozenset(_required(inner, schema_inside)))


def _below(path: str, schema: _Schema) -> dict[str, _Schema]:
    return {f"{path}.{name}": each for name, each in schema["properties"].items()}


def _required(path: str, schema: _Schema) -> Iterator[str]:
    return (f"{path}.{name}" for name in schema.get("required", ()))


# ----------------------------------------------------------------------------------------------------------
# A field


def _row(path: str, schema: _Schema, *, is_required: bool) -> str:
    cells = (
        _code(path),
        _text(schema.get("title", "")),
        _takes(schema),
        _default(schema),
        "yes" if is_required else "no",
        _explained(schema),
    )
    return f"| {' | '.join(cells)} |"


def _takes(schema: _Schema) -> str:
    """The type in words, with the limits and choices of the schema."""
    if "oneOf" in schema:
        return f"one of: {_listed(map(_constant, schema['oneOf']))}"
    if "enum" in schema:
        return f"one of: {_listed(schema['enum'])}"
    if "items" in schema:
        return f"list of {'objects' if 'properties' in schema['items'] else 'texts'}"
    if "properties" in schema:
        return "object"
    secret = ", secret" if schema.get("airbyte_secret") else ""
    return _TYPES[schema["type"]] + _limits(schema) + secret


def _constant(branch: _Schema) -> object:
    return next(each["const"] for each in branch["properties"].values() if "const" in each)


def _limits(schema: _Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return "" if most is None else f", {most:,} or less"
    return f", {least:,} or more" if most is None else f", {least:,} to {most:,}"


def _default(schema: _Schema) -> str:
    value = schema.get("default")
    if value is None:
        return ""
    if isinstance(value, list):
        return _listed(value) or "empty"
    if isinstance(value, bool):
        return _code(str(value).lower())
    return _code(value) if value != "" else "empty"


def _explained(schema: _Schema) -> str:
    """The description, and the examples of the form."""
    examples = _listed(schema.get("examples", ()))
    said = [*_described(schema), f"For example {examples}." if examples else ""]
    return " ".join(filter(None, said))


def _described(schema: _Schema) -> Iterator[str]:
    if schema.get("description"):
        yield _text(schema["description"])


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(_code, values))


# ----------------------------------------------------------------------------------------------------------
# Markdown


def _text(text: str) -> str:
    """Prose as one line that Markdown shows as it is, in tables too; what stands between backticks stays code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # a backtick that is none of a pair
        return _escaped("'".join(parts))
    return "".join(_code(part) if number % 2 else _escaped(part) for number, part in enumerate(parts))


def _escaped(text: str) -> str:
    return _SIGNS.sub(lambda sign: "\\" + sign[0], text.replace("&", "&amp;"))


def _code(value: object) -> str:
    """A value as code in one line: line breaks are written as in JSON, and a bar does not end the cell of a table."""
    text = str(value).replace("\n", "\\n").replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    sys.exit(main())
