"""The answer to `spec`: the configuration as the JSON schema that Airbyte's form understands.

What pydantic writes is rewritten by these rules of the form:

1.  No `$ref`, `anyOf` or `discriminator`: references are filled in, "or null" is dropped.
2.  A choice is `oneOf` in an object; each branch has one constant, `mode`, without a default.
    The first branch is the one chosen beforehand, so the choice has no default either. No object has one: the
    form fills it in where a stored configuration has none, nulls included, which the form then refuses to save.
3.  Every property has its place (`order`), and every secret says so.
4.  Cards come from `groups`; each property at the top names its card.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import Config

DOCUMENTATION_URL = "https://docs.airbyte.com/integrations/destinations/qdrant"

_Schema = Mapping[str, Any]

_GROUPS = (
    ("processing", "Processing"),
    ("embedding", "Embedding"),
    ("indexing", "Qdrant"),
    ("advanced", "Advanced"),
)

#: What Python's schema has and the form does not know; the rest follows under a rule of its own.
_UNKNOWN_TO_THE_FORM = frozenset({"$ref", "$defs", "anyOf", "discriminator", "writeOnly", "format"})


def connector_spec() -> dict[str, Any]:
    """The `ConnectorSpecification` object of the Airbyte protocol."""
    return {
        "documentationUrl": DOCUMENTATION_URL,
        "supportsIncremental": True,
        "supported_destination_sync_modes": ["append", "overwrite", "append_dedup"],
        "connectionSpecification": _form(),
    }


def _form() -> dict[str, Any]:
    schema = Config.model_json_schema()
    groups = [{"id": group, "title": title} for group, title in _GROUPS]
    return {**_rendered(schema, schema["$defs"]), "groups": groups}


def _rendered(node: _Schema, definitions: Mapping[str, _Schema]) -> dict[str, Any]:
    node = _not_null(_resolved(node, definitions))
    rendered = {key: value for key, value in node.items() if key not in _UNKNOWN_TO_THE_FORM}
    if node.get("writeOnly"):
        rendered["airbyte_secret"] = True
    if _has_no_default(node):
        rendered.pop("default", None)
    if "properties" in node:
        rendered["properties"] = _in_order(node["properties"], definitions)
    if "items" in node:
        rendered["items"] = _rendered(node["items"], definitions)
    if "oneOf" in node:
        rendered["type"] = "object"
        rendered["oneOf"] = [_rendered(branch, definitions) for branch in node["oneOf"]]
    return rendered


def _resolved(node: _Schema, definitions: Mapping[str, _Schema]) -> _Schema:
    """The node with its reference filled in; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    return {**definitions[node["$ref"].rpartition("/")[2]], **node}


def _not_null(node: _Schema) -> _Schema:
    """`anyOf` of something and null is that something: a field left empty is simply not sent."""
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    return {**options[0], **node} if options else node


def _has_no_default(node: _Schema) -> bool:
    return "const" in node or "oneOf" in node or "properties" in node or node.get("default") is None


def _in_order(properties: Mapping[str, _Schema], definitions: Mapping[str, _Schema]) -> dict[str, Any]:
    return {
        name: {"order": order, **_without_own_title(name, _rendered(schema, definitions))}
        for order, (name, schema) in enumerate(properties.items())
    }


def _without_own_title(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Constants are never shown; the title that pydantic makes up for them is noise."""
    return {key: value for key, value in schema.items() if not (name == "mode" and key == "title")}
