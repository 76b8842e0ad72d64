"""Whether points fit a collection, and whether a collection fits the embedding model (pure, for every adapter).

Points are checked here and not by Qdrant, because Qdrant may store a random part of a batch that it refuses, and
because it accepts numbers that are not finite and then puts such points first in every search.

A message names vectors, sizes and kinds; never an id or a payload value, which are record content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson

from ..errors import ConfigError, SystemFault
from ..vectors import FLOAT32_BYTES, UNNAMED, Dense, Multi, ServerText, Sparse, Vector, is_finite
from .base import CollectionInfo, Point, PointId, VectorKind, VectorSchema

MAX_INTEGER_ID = 2**64 - 1
MAX_SPARSE_INDEX = 2**32 - 1

#: Levels of lists and objects below a payload field. The embedded engine stores deeper payloads than it can read,
#: and qdrant-client reads at most 48 levels over gRPC: one such point makes every page that holds it unreadable.
MAX_NESTING = 48

#: A name in the path of a payload field; any other has to be quoted, and none can hold a quotation mark.
_PLAIN_NAME = r"[\w-]+"
_STEP = rf'({_PLAIN_NAME}|"[^"]+")(\[[0-9]*\])*'

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Without these orjson would write datetimes, dataclasses and the like as text of its own choice.
_PLAIN_JSON = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

_NESTED = frozenset({dict, list})

_KINDS: Mapping[type[Vector], VectorKind] = {Dense: "dense", Sparse: "sparse", Multi: "multi"}


def check_points(points: Sequence[Point], info: CollectionInfo) -> None:
    """Check that every point can be stored whole in this collection.

    Raises:
        SystemFault: one does not fit, which is a bug above this layer.
    """
    for point in points:
        _check_id(point.id)
        for name, vector in point.vectors.items():
            if not _is_plain(vector, info.vectors.get(name)):
                _check_vector(name, vector, info)
        _check_payload(point.payload)


def _is_plain(vector: Vector, schema: VectorSchema | None) -> bool:
    """Whether it is a dense vector that fits, as nearly all do; what else may fit, or what is wrong, takes longer to say."""
    if not isinstance(vector, Dense) or schema is None or schema.kind != "dense" or schema.dimensions is None:
        return False
    return len(vector.packed) == schema.dimensions * FLOAT32_BYTES and is_finite(vector.packed)


def _check_id(point_id: PointId) -> None:
    if isinstance(point_id, str):
        valid = _UUID.fullmatch(point_id) is not None
    else:
        # True is an int to Python, but no id to Qdrant.
        valid = type(point_id) is int and 0 <= point_id <= MAX_INTEGER_ID
    if not valid:
        raise SystemFault(
            "A point id is neither an integer from 0 to 2^64-1 nor a UUID in lower-case hyphenated form.",
            detail=type(point_id).__name__,
        )


def _check_vector(name: str, vector: Vector, info: CollectionInfo) -> None:
    schema = info.vectors.get(name)
    if schema is None:
        raise SystemFault(f"A point has {_label(name)}, but the collection stores {_listing(info)}.")
    if isinstance(vector, ServerText):
        # The server's inference gives one vector, dense or sparse by the model.
        if schema.kind == "multi":
            raise SystemFault(f"A point has text for {_label(name)}, but the collection stores a multivector there.")
        return
    kind = _KINDS[type(vector)]
    if kind != schema.kind:
        raise SystemFault(
            f"A point has a {kind} vector for {_label(name)}, which the collection stores as {schema.kind}."
        )
    if isinstance(vector, Dense):
        _check_rows(name, (vector.packed,), schema)
    elif isinstance(vector, Multi):
        _check_rows(name, vector.rows, schema)
    else:
        _check_sparse(name, vector)


def _check_rows(name: str, rows: Sequence[bytes], schema: VectorSchema) -> None:
    if not rows:
        raise SystemFault(f"A point has a multivector without rows for {_label(name)}; expected at least one row.")
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise SystemFault(f"A point has a multivector with rows of different lengths for {_label(name)}.")
    (length,) = lengths
    if length % FLOAT32_BYTES:
        raise SystemFault(f"A point has {length} bytes for {_label(name)}, which is no whole number of float32 values.")
    found = length // FLOAT32_BYTES
    if found != schema.dimensions:
        raise SystemFault(
            f"A point has {found} dimensions for {_label(name)}; the collection expects {schema.dimensions}."
        )
    _check_finite(name, rows)


def _check_sparse(name: str, vector: Sparse) -> None:
    indices = vector.indices
    values = len(vector.packed) / FLOAT32_BYTES
    if values != len(indices):
        raise SystemFault(f"A point has {len(indices)} indices but {values:g} values for {_label(name)}.")
    if len(set(indices)) != len(indices):
        raise SystemFault(f"A point has an index more than once for {_label(name)}; sparse indices must be unique.")
    if indices and not (min(indices) >= 0 and max(indices) <= MAX_SPARSE_INDEX):
        raise SystemFault(f"A point has an index outside 0 to {MAX_SPARSE_INDEX} for {_label(name)}.")
    _check_finite(name, (vector.packed,))


def _check_finite(name: str, rows: Sequence[bytes]) -> None:
    if not all(map(is_finite, rows)):
        raise SystemFault(f"A point has a number that is not finite as 32-bit float for {_label(name)}.")


def _check_payload(payload: Mapping[str, Any]) -> None:
    if not _NESTED.isdisjoint(map(type, payload.values())) and _is_too_deep(payload):
        raise SystemFault(
            f"A payload field is nested deeper than {MAX_NESTING} levels, the most that every client reads."
        )
    try:
        # The cheapest judge of: text keys, JSON values only, integers of 64 bits, no lone surrogates.
        orjson.dumps(payload if type(payload) is dict else dict(payload), option=_PLAIN_JSON)
    except TypeError as error:
        raise SystemFault("A payload holds something that is not JSON, or an integer beyond 64 bits.") from error


def _is_too_deep(payload: Mapping[str, Any]) -> bool:
    level = _containers(payload.values())
    for _ in range(MAX_NESTING):
        if not level:
            return False
        members = (parent.values() if isinstance(parent, dict) else parent for parent in level)
        level = _containers(chain.from_iterable(members))
    return any(level)


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


# ----------------------------------------------------------------------------------------------------------


def check_schema(found: CollectionInfo, name: str, wanted: VectorSchema, *, place: str) -> None:
    """Check that an existing collection takes the dense vectors `wanted` under `name`.

    Raises:
        ConfigError: it does not; the sentence names the fields to change.
    """
    stored = found.vectors.get(name)
    renamed = _other_name(found, wanted)
    if stored is None:
        way = f"{renamed}use a new collection (field indexing.collection) or one with such a vector."
        raise ConfigError(
            f"Qdrant at {place} has no {_title(name)}; it stores {_listing(found)}. {way[0].upper()}{way[1:]}"
        )
    if stored.kind != wanted.kind:
        raise ConfigError(
            f"Qdrant at {place} stores {describe_vector(name, stored)}, but the embedding model gives {wanted.kind} "
            f"vectors; {renamed}use a new collection (field indexing.collection)."
        )
    if stored.dimensions != wanted.dimensions:
        raise ConfigError(
            f"Qdrant at {place} stores {describe_vector(name, stored)}, but the embedding model gives "
            f"{wanted.dimensions} dimensions; {renamed}choose another model, set dimensions to {stored.dimensions} "
            "(where the model allows it), or use a new collection (field indexing.collection)."
        )
    if stored.distance != wanted.distance:
        raise ConfigError(
            f"Qdrant at {place} stores {describe_vector(name, stored)}, but the configured distance is {wanted.distance}; "
            f"{renamed}set the field indexing.distance_metric to {stored.distance}, or use a new collection."
        )


def _other_name(found: CollectionInfo, wanted: VectorSchema) -> str:
    """The way out that another vector of the collection is, as the beginning of a list of ways."""
    names = sorted(name for name, schema in found.vectors.items() if schema == wanted)
    if not names:
        return ""
    if UNNAMED in names:
        return "empty the field indexing.vector_name, or "
    return f"set the field indexing.vector_name to {' or '.join(names)}, or "


# ----------------------------------------------------------------------------------------------------------


def plain_path(path: str) -> str:
    """The path of a payload field as Qdrant spells it in its answers: nothing is quoted that need not be."""
    return re.sub(rf'"({_PLAIN_NAME})"', r"\1", path)


def is_path(path: str) -> bool:
    """Whether Qdrant can read a path: names joined by dots, each with [] or [n] after it where it holds a list."""
    return re.fullmatch(rf"{_STEP}(\.{_STEP})*", path) is not None


def _label(name: str) -> str:
    return "the unnamed vector" if name == UNNAMED else f'the vector "{name}"'


def _title(name: str) -> str:
    return "unnamed vector" if name == UNNAMED else f'vector named "{name}"'


def describe_vector(name: str, schema: VectorSchema) -> str:
    """A vector of a collection, in words."""
    called = "unnamed" if name == UNNAMED else f'named "{name}"'
    if schema.kind == "sparse":
        return f"sparse vectors ({called})"
    plural = "vectors" if schema.kind == "dense" else "multivectors"
    return f"{schema.dimensions}-dimensional {schema.distance} {plural} ({called})"


def _listing(info: CollectionInfo) -> str:
    described = [describe_vector(name, schema) for name, schema in sorted(info.vectors.items())]
    return " and ".join(described) or "no vectors"
