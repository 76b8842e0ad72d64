"""Our types and qdrant-client's, both ways (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from qdrant_client import models

from ...config import NewCollection
from ...errors import SystemFault
from ...vectors import UNNAMED
from ..base import (
    AnyOf,
    Below,
    CollectionInfo,
    Condition,
    Distance,
    Equals,
    IndexType,
    Missing,
    PayloadIndex,
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


def leftovers_filter(scope: Where, kept: Iterable[PointId], most_values: int) -> models.Filter | None:
    """What is in scope and has none of these ids."""
    found = client_filter(scope)
    ids: list[Any] = list(kept)
    groups = [ids[start : start + most_values] for start in range(0, len(ids), most_values)]
    if found is not None and groups:
        found.must_not = [models.HasIdCondition(has_id=group) for group in groups]
    return found


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


def create_arguments(
    vectors: Mapping[str, VectorSchema], new: NewCollection, *, custom_sharding: bool = False
) -> dict[str, Any]:
    """The arguments of the client's `create_collection`; a lone unnamed vector gets the flat form.

    What the configuration leaves open is not sent: the server's own defaults hold then.
    """
    dense = {name: _dense_params(schema, new) for name, schema in vectors.items() if schema.kind != "sparse"}
    sparse = {name: models.SparseVectorParams() for name, schema in vectors.items() if schema.kind == "sparse"}
    arguments = {
        "vectors_config": dense[UNNAMED] if set(dense) == {UNNAMED} else dense,
        "sparse_vectors_config": sparse or None,
        "shard_number": new.shard_number,
        "sharding_method": models.ShardingMethod.CUSTOM if custom_sharding else None,
        "replication_factor": new.replication_factor,
        "write_consistency_factor": new.write_consistency_factor,
        "on_disk_payload": new.payload_on_disk,
        "hnsw_config": _hnsw(new),
        "quantization_config": _QUANTIZATIONS[new.quantization],
        "metadata": new.parsed_metadata or None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _hnsw(new: NewCollection) -> models.HnswConfigDiff | None:
    if new.hnsw_m is None and new.hnsw_ef_construct is None:
        return None
    return models.HnswConfigDiff(m=new.hnsw_m, ef_construct=new.hnsw_ef_construct)


#: The presets keep the small copies in memory, which is what they are for.
_QUANTIZATIONS: Final[Mapping[str, Any]] = {
    "none": None,
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    "product": models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
    ),
}


def _dense_params(schema: VectorSchema, new: NewCollection) -> models.VectorParams:
    if schema.dimensions is None or schema.distance is None:
        raise SystemFault("A dense vector without dimensions or distance was to be created; this is a bug.")
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(
        size=schema.dimensions,
        distance=_DISTANCES[schema.distance],
        multivector_config=multi if schema.kind == "multi" else None,
        datatype=None if new.datatype == "float32" else models.Datatype(new.datatype),
        on_disk=new.vectors_on_disk or None,
    )


_INDEX_PARAMS: Final[Mapping[IndexType, tuple[Any, Any]]] = {
    "keyword": (models.KeywordIndexParams, models.KeywordIndexType.KEYWORD),
    "integer": (models.IntegerIndexParams, models.IntegerIndexType.INTEGER),
    "float": (models.FloatIndexParams, models.FloatIndexType.FLOAT),
    "bool": (models.BoolIndexParams, models.BoolIndexType.BOOL),
    "datetime": (models.DatetimeIndexParams, models.DatetimeIndexType.DATETIME),
    "geo": (models.GeoIndexParams, models.GeoIndexType.GEO),
    "text": (models.TextIndexParams, models.TextIndexType.TEXT),
    "uuid": (models.UuidIndexParams, models.UuidIndexType.UUID),
}


def index_params(index: PayloadIndex) -> Any:
    """The client's form of a payload index; what is not asked for is not sent, for servers that do not know it."""
    params, kind = _INDEX_PARAMS[index.type]
    wanted = {"is_tenant": index.tenant, "on_disk": index.on_disk}
    flags = {name: True for name, value in wanted.items() if value}
    return params(type=kind, **flags, **({} if index.filters_searches else {"enable_hnsw": False}))


def collection_info(collection: models.CollectionInfo) -> CollectionInfo:
    """The shape; an unnamed vector is spelt flat, or as the name "" once a named one was added to it."""
    params = collection.config.params
    dense = params.vectors or {}
    named = {UNNAMED: dense} if isinstance(dense, models.VectorParams) else dense
    vectors = {name: _schema(vector) for name, vector in named.items()}
    vectors |= {name: VectorSchema("sparse") for name in params.sparse_vectors or {}}
    return CollectionInfo(
        vectors=vectors,
        indexes={path: index.data_type.value for path, index in collection.payload_schema.items()},
        replicas=params.replication_factor or 1,
    )


def _schema(vector: models.VectorParams) -> VectorSchema:
    kind: VectorKind = "dense" if vector.multivector_config is None else "multi"
    return VectorSchema(kind, vector.size, _DISTANCE_NAMES[vector.distance])


def point_id(value: models.ExtendedPointId) -> PointId:
    """An id as read: UUIDs come as text."""
    return value if isinstance(value, int) else str(value)
