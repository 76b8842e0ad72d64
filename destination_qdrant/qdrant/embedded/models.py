"""Between the store's neutral types and those of qdrant_edge.

Like `store`, the only importers of qdrant_edge: this module knows its types, `store` its shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import qdrant_edge as edge

from ...config import NewCollection
from ...errors import ConfigError, SystemFault
from ...vectors import UNNAMED, Dense, Multi, ServerText, Sparse, Vector, is_finite, unpack
from ..base import (
    AnyOf,
    Below,
    Condition,
    Equals,
    Missing,
    PayloadIndex,
    Point,
    PointId,
    StoredPoint,
    VectorSchema,
    Where,
)

# One engine call holds the interpreter lock, so other threads stand still for its time: 20 to 30 ms at this size.
MAX_POINTS_A_CALL = 512
MAX_BYTES_A_CALL = 8 << 20

_POINT_OVERHEAD = 64
"""Bytes of a point besides vectors and payload: its id in the log and in two tables, versions, flags."""

_DISTANCES = {
    "cos": edge.Distance.Cosine,
    "dot": edge.Distance.Dot,
    "euc": edge.Distance.Euclid,
    "manhattan": edge.Distance.Manhattan,
}
_DATATYPES = {
    "float32": None,  # what the engine stores unless told otherwise
    "float16": edge.VectorStorageDatatype.Float16,
    "uint8": edge.VectorStorageDatatype.Uint8,
}
_INDEXES: Mapping[str, Any] = {
    "keyword": edge.KeywordIndexParams,
    "integer": edge.IntegerIndexParams,
    "float": edge.FloatIndexParams,
    "bool": edge.BoolIndexParams,
    "datetime": edge.DatetimeIndexParams,
    "geo": edge.GeoIndexParams,
    "text": edge.TextIndexParams,
    "uuid": edge.UuidIndexParams,
}

# Qdrant's own defaults, needed because the engine takes all of the graph's settings or none.
_HNSW_M = 16
_HNSW_EF_CONSTRUCT = 100
_HNSW_FULL_SCAN_KB = 10_000
_PLAIN_KEY = re.compile(r"[\w-]+")


def to_config(vectors: Mapping[str, VectorSchema], new: NewCollection) -> edge.EdgeConfig:
    """The engine's settings for a new collection with these vectors."""
    sparse = {name: edge.EdgeSparseVectorParams() for name, schema in vectors.items() if schema.kind == "sparse"}
    dense = {name: _to_params(schema, new) for name, schema in vectors.items() if name not in sparse}
    return edge.EdgeConfig(
        vectors=dense,
        sparse_vectors=sparse,
        hnsw_config=_to_hnsw(new),
        quantization_config=_to_quantization(new),
        payload_memory=None if new.payload_on_disk is None else _memory(on_disk=new.payload_on_disk),
        # The log is what lets acknowledged points survive a kill, and it holds the engine's own lock.
        wal_enabled=True,
    )


def _to_params(schema: VectorSchema, new: NewCollection) -> edge.EdgeVectorParams:
    if schema.dimensions is None or schema.distance is None:
        raise SystemFault(f"A {schema.kind} vector needs dimensions and a distance.")
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if schema.kind == "multi" else None
    return edge.EdgeVectorParams(
        schema.dimensions,
        _DISTANCES[schema.distance],
        multivector_config=multi,
        datatype=_DATATYPES[new.datatype],
        memory=_memory(on_disk=True) if new.vectors_on_disk else None,
    )


def _memory(*, on_disk: bool) -> edge.Memory:
    return edge.Memory.Cold if on_disk else edge.Memory.Cached


def _to_hnsw(new: NewCollection) -> edge.HnswIndexConfig | None:
    if new.hnsw_m is None and new.hnsw_ef_construct is None:
        return None
    m = _HNSW_M if new.hnsw_m is None else new.hnsw_m  # 0 has a meaning of its own
    return edge.HnswIndexConfig(m, new.hnsw_ef_construct or _HNSW_EF_CONSTRUCT, _HNSW_FULL_SCAN_KB)


def _to_quantization(new: NewCollection) -> edge.QuantizationConfigType | None:
    match new.quantization:
        case "scalar":
            return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned)
        case "binary":
            return edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned)
        case "product":
            return edge.ProductQuantizationConfig(edge.CompressionRatio.X16, memory=edge.Memory.Pinned)
        case _:
            return None


def to_point(point: Point) -> edge.Point:
    """A point as the engine takes it."""
    return edge.Point(point.id, {name: _to_vector(item) for name, item in point.vectors.items()}, dict(point.payload))


def _to_vector(vector: Vector) -> list[float] | list[list[float]] | edge.SparseVector:
    match vector:
        case Dense():
            return vector.values()
        case Multi():
            return [unpack(row) for row in vector.rows]
        case Sparse():
            return edge.SparseVector(list(vector.indices), unpack(vector.packed))
        case ServerText():
            raise embeds_nothing()


def embeds_nothing() -> ConfigError:
    """The engine has no models."""
    return ConfigError(
        "An embedded Qdrant cannot embed text itself, as embedding.mode qdrant asks it to: choose another embedding.mode,"
        " or a Qdrant server with an inference service in indexing.url."
    )


def in_calls(points: Sequence[Point]) -> Iterator[tuple[list[edge.Point], int]]:
    """Cut points into engine calls, each with its size in bytes."""
    call: list[edge.Point] = []
    size = 0
    for point in points:
        added = _size(point)
        if call and (len(call) == MAX_POINTS_A_CALL or size + added > MAX_BYTES_A_CALL):
            yield call, size
            call, size = [], 0
        call.append(to_point(point))
        size += added
    if call:
        yield call, size


def _size(point: Point) -> int:
    return _POINT_OVERHEAD + len(orjson.dumps(dict(point.payload))) + sum(map(_vector_size, point.vectors.values()))


def _vector_size(vector: Vector) -> int:
    match vector:
        case Dense():
            return len(vector.packed)
        case Sparse():
            return 2 * len(vector.packed)
        case Multi():
            return sum(map(len, vector.rows))
        case ServerText():
            return 0


# ----------------------------------------------------------------------------------------------------------


def to_path(field: str) -> str:
    """A payload field as a path of the engine, in which an unquoted dot or bracket has a meaning of its own."""
    if _PLAIN_KEY.fullmatch(field):
        return field
    if '"' in field:
        # Qdrant's paths have no escape for it.
        raise SystemFault("Qdrant cannot address a payload field whose name holds a double quote.")
    return f'"{field}"'


def to_filter(where: Where) -> edge.Filter:
    """A filter as the engine takes it."""
    return edge.Filter(
        must=[_to_condition(each) for each in where.must], must_not=[_to_condition(each) for each in where.must_not]
    )


def _to_condition(condition: Condition) -> edge.FieldCondition | edge.IsEmptyCondition:
    key = to_path(condition.field)
    match condition:
        case Equals():
            return edge.FieldCondition(key, match=edge.MatchValue(condition.value))
        case AnyOf():
            return edge.FieldCondition(key, match=edge.MatchAny(list(condition.values)))
        case Below():
            return edge.FieldCondition(key, range=edge.RangeFloat(lt=condition.bound))
        case Missing():
            return edge.IsEmptyCondition(key)


def having(ids: Sequence[PointId], name: str) -> edge.Filter:
    """Those of these points that have a vector of this name."""
    among: set[edge.PointId] = {*ids}
    return edge.Filter(must=[edge.HasIdCondition(among), edge.HasVectorCondition(name)])


def to_index(path: str, index: PayloadIndex) -> edge.UpdateOperation:
    """The operation that creates a payload index."""
    options: dict[str, Any] = {}
    if index.tenant:
        options["is_tenant"] = True
    if index.on_disk:
        options["memory"] = _memory(on_disk=True)
    if not index.filters_searches:
        options["enable_hnsw"] = False
    return edge.UpdateOperation.create_field_index(path, _INDEXES[index.type](**options))


def from_indexes(schema: Mapping[str, edge.PayloadIndexInfo]) -> dict[str, str]:
    """Indexed paths with their types, in the words of Qdrant's REST interface."""
    return {path: str(index.data_type).rpartition(".")[2].lower() for path, index in schema.items()}


def from_id(point_id: Any) -> PointId:
    """An id as this connector writes it: the engine returns `uuid.UUID` objects."""
    return point_id if isinstance(point_id, int) else str(point_id)


def from_record(record: edge.Record) -> StoredPoint:
    """A point that a scroll returned."""
    return StoredPoint(from_id(record.id), record.payload or {})


def dense_of(record: edge.Record, name: str) -> Dense | None:
    """The dense vector of this name, if there is one that can be written again."""
    vectors: Any = record.vector
    vector = vectors.get(name) if isinstance(vectors, dict) else vectors if name == UNNAMED else None
    found = Dense.of(vector) if vector else None
    return found if found is not None and is_finite(found.packed) else None
