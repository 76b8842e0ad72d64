"""What older servers do not know: fields are dropped without a word, routes are not found.

The versions are those of Qdrant's own API descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wire_requests import NOT_JSON, RefusalError, Request
from wire_strict import leaves

_COLLECTION = r"^(PUT|PATCH) /collections/[^/]+$"
_INDEX = r"^PUT /collections/[^/]+/index$"
_UPDATE = r"^(PUT|POST|DELETE) /collections/[^/]+/(points(/(delete|batch|payload.*|vectors.*))?|index.*)$"
_UPSERT = r"^PUT /collections/[^/]+/points(/vectors)?$"
_BATCH = r"^POST /collections/[^/]+/points/batch$"
_READ = r"^POST /collections/[^/]+/points$"

#: First version; requests; the path of the field in the body, where "*" is every member.
_FIELDS: Sequence[tuple[tuple[int, int], str, str]] = (
    ((1, 13), _COLLECTION, "strict_mode_config"),
    ((1, 14), _COLLECTION, "strict_mode_config.max_points_count"),
    ((1, 16), _COLLECTION, "strict_mode_config.max_payload_index_count"),
    ((1, 16), _COLLECTION, "metadata"),
    ((1, 16), _UPSERT, "update_filter"),
    ((1, 16), _BATCH, "operations.*.*.update_filter"),
    ((1, 17), _UPSERT, "update_mode"),
    ((1, 17), _BATCH, "operations.*.*.update_mode"),
    ((1, 17), _INDEX, "field_schema.enable_hnsw"),
    ((1, 17), _COLLECTION, "optimizers_config.prevent_unoptimized"),
    ((1, 19), _COLLECTION, "vectors.memory"),
    ((1, 19), _COLLECTION, "vectors.*.memory"),
    ((1, 19), _COLLECTION, "sparse_vectors.*.index.memory"),
    ((1, 19), _COLLECTION, "hnsw_config.memory"),
    ((1, 19), _COLLECTION, "quantization_config.*.memory"),
    ((1, 19), _COLLECTION, "payload"),
    ((1, 19), _COLLECTION, "id_tracker"),
    ((1, 19), _INDEX, "field_schema.memory"),
    ((1, 19), _INDEX, "field_schema.prefix"),
)
_HAS_VECTOR = (1, 13)
_TIMEOUT_OF_UPDATES = (1, 17)
_UPDATE_QUEUE = (1, 17)
_ROUTES: Sequence[tuple[tuple[int, int], str]] = (
    ((1, 8), r"^GET /collections/[^/]+/exists$"),
    ((1, 10), r"^POST /collections/[^/]+/points/query(/batch)?$"),
)


def as_known(request: Request, version: str) -> Request:
    """The request as a server of this version reads it.

    Raises:
        RefusalError: it has no such route, or no such condition.
    """
    known = _minor(version)
    if any(known < since and request.is_like(pattern) for since, pattern in _ROUTES):
        raise RefusalError(404, "", plain=True)
    body = request.body
    where = body.get("filter") if isinstance(body, dict) else None
    if known < _HAS_VECTOR and any("has_vector" in condition for _, condition in leaves(where)):
        raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum Condition")
    for since, pattern, path in _FIELDS:
        if known < since and request.is_like(pattern):
            body = _without(body, path.split("."))
    query = request.query
    if known < _TIMEOUT_OF_UPDATES and request.is_like(_UPDATE) and not request.is_like(_READ):
        query = {name: value for name, value in query.items() if name != "timeout"}
    return replace(request, body=body, query=query)


def as_answered(result: Any, version: str) -> Any:
    """The result without what this version does not tell."""
    if _minor(version) < _UPDATE_QUEUE and isinstance(result, dict):
        return {name: value for name, value in result.items() if name != "update_queue"}
    return result


def _minor(version: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _without(value: Any, path: Sequence[str]) -> Any:
    """A copy without the fields of this path."""
    name, *rest = path
    if name == "*" and isinstance(value, list):
        return [_without(each, rest) for each in value]
    if not isinstance(value, Mapping):
        return value
    return dict(_members_without(value, name, rest))


def _members_without(value: Mapping[str, Any], name: str, rest: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for key, member in value.items():
        if name not in {"*", key}:
            yield key, member
        elif rest:
            yield key, _without(member, rest)
