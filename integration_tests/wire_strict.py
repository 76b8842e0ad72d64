"""Strict mode of one collection, as a server (1.18.3) enforces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from wire_requests import BAD, Json, RefusalError

Leaf = tuple[str, Json]
"""A condition and the payload key that it reads; '' for one that reads none."""

_ALL_TYPES = (
    "bool",
    "datetime",
    "float",
    "geo",
    "integer",
    "keyword",
    "text",
    "text (with phrase_matching: true)",
    "uuid",
)
_PHRASES = _ALL_TYPES[7]
_MAY_BE_ZERO = {"condition_max_size", "filter_max_conditions", "max_payload_index_count", "upsert_max_batchsize"}
_LOOKS_EVERY = 32
"""So many updates pass between two looks at how many points there are."""


class StrictMode:
    """The settings, and what the soft limit has seen."""

    def __init__(self, settings: Json) -> None:
        self.settings: Json = {}
        self.change(settings)
        self._updates = 0
        self._points_seen = 0

    def change(self, settings: Json) -> None:
        """Merge; a null unsets nothing."""
        given = {name: value for name, value in settings.items() if value is not None}
        for name, value in given.items():
            if type(value) is int and value < 1 and name not in _MAY_BE_ZERO:
                why = f"strict_mode_config.{name}: value {value} invalid, must be 1 or larger"
                raise RefusalError(422, f"Validation error in JSON body: [{why}]")
        self.settings |= given

    @property
    def acting(self) -> Json:
        """The settings that act: none unless it is enabled."""
        return self.settings if self.settings.get("enabled") else {}

    def check(self, limit: str, actual: int | None, label: str) -> None:
        """Refuse what exceeds a limit; None is what the request leaves to the server."""
        allowed = self.acting.get(limit)
        if None not in (allowed, actual) and actual > allowed:
            hint = f'Help: Reduce the "{label}" parameter to or below {allowed}.'
            raise RefusalError(400, f'{BAD}Limit exceeded {actual} > {allowed} for "{label}". {hint}')

    def check_filter(self, where: Json | None, index_types: Mapping[str, str], *, updates: bool) -> None:
        """Refuse a filter that is too large, or that reads a key without an index that serves it."""
        found = list(leaves(where))
        most = self.acting.get("filter_max_conditions")
        if most is not None and len(found) > most:
            hint = "Help: Reduce the amount of conditions of your filter."
            raise RefusalError(400, f"{BAD}Filter condition limit reached ({len(found)} > {most}). {hint}")
        most, size = self.acting.get("condition_max_size"), max((_size(each) for _, each in found), default=0)
        if most is not None and size > most:
            hint = "Help: Reduce the size of your condition."
            raise RefusalError(400, f"{BAD}Condition size limit reached ({size} > {most}). {hint}")
        if self.acting.get("unindexed_filtering_update" if updates else "unindexed_filtering_retrieve") is False:
            for key, condition in found:
                _check_indexed(key, condition, index_types)

    def check_exact(self, *, exact: bool) -> None:
        """Refuse an exact search or count where only estimates are allowed."""
        if exact and self.acting.get("search_allow_exact") is False:
            raise RefusalError(400, f"{BAD}Exact search disabled!. Help: Set exact=false.")

    def check_index_count(self, count: int) -> None:
        """Refuse another index, which that of an existing one again is, too."""
        most = self.acting.get("max_payload_index_count")
        if most is not None and count >= most:
            why = f"Collection already has the maximum number of payload indices ({most})."
            hint = "Help: Please delete an existing index before creating a new one."
            raise RefusalError(400, f"{BAD}{why} {hint}")

    def check_points_count(self, count: Callable[[], int]) -> None:
        """Refuse an upsert into a full collection, full as it was when it was looked at last."""
        most = self.acting.get("max_points_count")
        if most is None:
            return
        self._updates += 1
        if self._updates % _LOOKS_EVERY == 0:
            self._points_seen = count()
        if self._points_seen >= most:
            raise RefusalError(400, f"{BAD}Max points count limit of {most} reached!")


def leaves(where: Json | None, prefix: str = "") -> Iterator[Leaf]:
    """Every condition of a filter."""
    where = where or {}
    clauses = [where.get(name) for name in ("must", "should", "must_not")]
    clauses.append((where.get("min_should") or {}).get("conditions"))
    for clause in clauses:
        for condition in clause if isinstance(clause, list) else [clause] if clause else []:
            yield from _leaves_of(condition, prefix)


def _leaves_of(condition: Json, prefix: str) -> Iterator[Leaf]:
    empty_or_null = condition.get("is_empty") or condition.get("is_null")
    if "key" in condition:
        yield prefix + condition["key"], condition
    elif isinstance(empty_or_null, dict):
        yield prefix + empty_or_null["key"], condition
    elif "nested" in condition:
        nested = condition["nested"]
        yield from leaves(nested["filter"], f"{prefix}{nested['key'].removesuffix('[]')}[].")
    elif condition.keys() & {"has_id", "has_vector"}:
        yield "", condition
    else:
        yield from leaves(condition, prefix)


def _size(condition: Json) -> int:
    match = condition.get("match") or {}
    return len(condition.get("has_id") or match.get("any") or match.get("except") or [])


def _check_indexed(key: str, condition: Json, index_types: Mapping[str, str]) -> None:
    types = serving_types(condition)
    if key and types and index_types.get(key) not in types:
        why = f'Index required but not found for "{key}" of one of the following types: [{", ".join(types)}].'
        hint = "Help: Create an index for this key or use a different filter."
        raise RefusalError(400, f"{BAD}{why} {hint}")


def serving_types(condition: Json) -> Sequence[str]:
    """The index types that can answer a condition, in the order of the server's text; none where none is needed."""
    if match := condition.get("match"):
        return _types_of_match(match)
    if bounds := condition.get("range"):
        return ["datetime"] if any(isinstance(bound, str) for bound in bounds.values()) else ["float", "integer"]
    if any(name.startswith("geo_") for name, value in condition.items() if value):
        return ["geo"]
    return _ALL_TYPES


def _types_of_match(match: Json) -> Sequence[str]:
    if "phrase" in match:
        return [_PHRASES]
    if match.keys() & {"text", "text_any"}:
        return ["text"]
    wanted = match.get("value", match.get("any", match.get("except")))
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values:
        return []
    if isinstance(values[0], str):
        return ["keyword", "uuid"] if all(map(_is_uuid, values)) else ["keyword"]
    return ["bool"] if isinstance(values[0], bool) else ["integer"]


def _is_uuid(value: Any) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True
