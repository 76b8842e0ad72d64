"""Our types and qdrant-client's, both ways (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from qdrant_client import models

from ..errors import SystemFault
from ..vectors import UNNAMED
from .base import (
    AnyOf,
    Below,
    CollectionInfo,
    Condition,
    Distance,
    Equals,
    Missing,
    PointId,
    VectorKind,
    VectorSchema,
    Where,
)

_DISTANCES: Final[dict[Distance, models.Distance]] = {
    "cos": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euc": models.Distance.EUCLID,
    "manhattan": models.Distance.MANHATTAN,
}
_DISTANCE_NAMES: Final = {theirs: ours for ours, theirs in _DISTANCES.items()}


def path(field: str) -> str:
    """A top-level key as Qdrant's filters and indexes want it: anything but a plain word is quoted."""
    if '"' in field:
        raise SystemFault("A payload field whose name holds a quotation mark cannot be filtered on.")
    return field if re.fullmatch(r"[\w-]+", field) else f'"{field}"'


def client_filter(where: Where) -> models.Filter | None:
    """None when nothing can match."""
    if any(isinstance(condition, AnyOf) and not condition.values for condition in where.must):
        return None
    return models.Filter(must=_conditions(where.must), must_not=_conditions(where.must_not))


def _conditions(conditions: Iterable[Condition]) -> list[Any] | None:
    return [_condition(condition) for condition in conditions] or None


def _condition(condition: Condition) -> models.Condition:
    key = path(condition.field)
    match condition:
        case Equals():
            return models.FieldCondition(key=key, match=models.MatchValue(value=condition.value))
        case AnyOf():
            return models.FieldCondition(key=key, match=models.MatchAny(any=list(condition.values)))
        case Below():
            return models.FieldCondition(key=key, range=models.Range(lt=condition.bound))
        case Missing():
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def create_arguments(vectors: Mapping[str, VectorSchema]) -> dict[str, Any]:
    """The arguments of the client's `create_collection`; a lone unnamed vector gets the flat form."""
    dense = {name: _dense_params(schema) for name, schema in vectors.items() if schema.kind != "sparse"}
    sparse = {name: models.SparseVectorParams() for name, schema in vectors.items() if schema.kind == "sparse"}
    return {
        "vectors_config": dense[UNNAMED] if set(dense) == {UNNAMED} else dense,
        "sparse_vectors_config": sparse or None,
    }


def _dense_params(schema: VectorSchema) -> models.VectorParams:
    if schema.dimensions is None or schema.distance is None:
        raise SystemFault("A dense vector without dimensions or distance was to be created; this is a bug.")
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(
        size=schema.dimensions,
        distance=_DISTANCES[schema.distance],
        multivector_config=multi if schema.kind == "multi" else None,
    )


def collection_info(collection: models.CollectionInfo) -> CollectionInfo:
    """The shape; an unnamed vector is spelt flat, or as the name "" once a named one was added to it."""
    params = collection.config.params
    dense = params.vectors or {}
    named = {UNNAMED: dense} if isinstance(dense, models.VectorParams) else dense
    vectors = {name: _schema(vector) for name, vector in named.items()}
    vectors |= {name: VectorSchema("sparse") for name in params.sparse_vectors or {}}
    return CollectionInfo(
        vectors=vectors,
        indexes={path.strip('"'): index.data_type.value for path, index in collection.payload_schema.items()},
    )


def _schema(vector: models.VectorParams) -> VectorSchema:
    kind: VectorKind = "dense" if vector.multivector_config is None else "multi"
    return VectorSchema(kind, vector.size, _DISTANCE_NAMES[vector.distance])


def point_id(value: models.ExtendedPointId) -> PointId:
    """An id as read: UUIDs come as text."""
    return value if isinstance(value, int) else str(value)
