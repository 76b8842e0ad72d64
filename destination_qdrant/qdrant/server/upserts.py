"""Points as the bytes of a bulk upsert, over gRPC and over REST (pure).

qdrant-client builds a model of every point and turns every number of a vector into an object on the way. Vectors are
packed float32 here already, the form that protobuf's packed fields have, and serialized protobuf messages may be
concatenated: what the official classes write of id and payload, followed by the vectors' own bytes, is the same message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

import orjson
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import payload_to_grpc

from ...vectors import UNNAMED, Dense, Multi, ServerText, Sparse, Vector, Vectors, unpack
from ..base import Point, PointId

#: Field numbers of `points.proto`.
_UPSERT_POINTS: Final = 3
_POINT_ID: Final = 1
_ID_UUID: Final = 2
_POINT_PAYLOAD: Final = 3
_VALUE_TEXT: Final = 4
_POINT_VECTORS: Final = 4
_VECTORS_ONE: Final = 1
_VECTORS_NAMED: Final = 2
_NAMED_ENTRY: Final = 1
_ENTRY_NAME, _ENTRY_VALUE, _ENTRY_VECTOR = 1, 2, 2
_VECTOR_DENSE: Final = 101
_VECTOR_MULTI: Final = 103
_MULTI_ROW: Final = 1
_DENSE_DATA: Final = 1

#: A longer name of a field is not remembered: who has those may have very many.
_LONGEST_REMEMBERED: Final = 256

#: What stands before an id that is a UUID, which has 36 characters.
_UUID_HEAD: Final = bytes((_POINT_ID << 3 | 2, 38, _ID_UUID << 3 | 2, 36))
_FRACTION_TAG: Final = bytes((2 << 3 | 1,))  # `double_value`, eight bytes
_FRACTION_BYTES: Final = 8
_INTEGER_TAG: Final = bytes((3 << 3,))  # `integer_value`, a varint
_SMALLEST, _LARGEST, _UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1
_pack_fraction = struct.Struct("<d").pack

_DELIMITED: Final = 2
_CONTINUED: Final = 0x80


# ----------------------------------------------------------------------------------------------------------
# gRPC


def packed_point(point: Point) -> bytes:
    """A point as a member of `UpsertPoints`."""
    fields = map(_packed_field, point.payload.items())
    content = b"".join((_packed_id(point.id), *fields, _packed_vectors(point.vectors)))
    return _frame(_UPSERT_POINTS, len(content)) + content


def _packed_id(point_id: PointId) -> bytes:
    if isinstance(point_id, int):
        return cast("bytes", messages.PointStruct(id=messages.PointId(num=point_id)).SerializeToString())
    return _UUID_HEAD + point_id.encode()


def _packed_field(field: tuple[str, Any]) -> bytes:
    """A field of a payload as an entry of the map that payloads are.

    Texts and numbers are written here, because nearly all fields are one; the rest as the official classes write it.
    """
    name, value = field
    if len(name) > _LONGEST_REMEMBERED:
        return _official_field(name, value)
    kind = type(value)
    if kind is str:
        text: bytes = value.encode()
        return _text_head(name, len(text)) + text
    if kind is int:
        return _packed_integer(name, value)
    if kind is float:
        return _fraction_head(name) + _pack_fraction(value)
    if kind is bool or value is None:
        return _remembered_field(name, value)
    return _official_field(name, value)


@lru_cache(maxsize=8192)  # the columns of a sync, and how long their texts are
def _text_head(name: str, length: int) -> bytes:
    """All that stands before the bytes of a text in its entry."""
    tag = _frame(_VALUE_TEXT, length)
    return _entry_head(name, tag, len(tag) + length)


@lru_cache(maxsize=1024)  # the columns of a sync
def _fraction_head(name: str) -> bytes:
    """All that stands before the eight bytes of a fraction in its entry."""
    return _entry_head(name, _FRACTION_TAG, len(_FRACTION_TAG) + _FRACTION_BYTES)


@lru_cache(maxsize=8192)  # dates, counts, and what is the same in all points
def _packed_integer(name: str, number: int) -> bytes:
    """The entry of a whole number: in two's complement of 64 bits."""
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError
    value = _INTEGER_TAG + _varint(number & _UNSIGNED)
    return _entry_head(name, value, len(value))


def _entry_head(name: str, begun: bytes, length: int) -> bytes:
    """The beginning of an entry whose value has so many bytes, of which the first ones are these."""
    head = _framed(_ENTRY_NAME, name.encode()) + _frame(_ENTRY_VALUE, length)
    return _frame(_POINT_PAYLOAD, len(head) + length) + head + begun


def _official_field(name: str, value: Any) -> bytes:
    return cast("bytes", messages.PointStruct(payload=payload_to_grpc({name: value})).SerializeToString())


_remembered_field = lru_cache(maxsize=1024, typed=True)(_official_field)


def packed_head(collection: str, ordering: str, shard_key: str | None) -> bytes:
    """`UpsertPoints` without its members; it waits until they are applied."""
    head = messages.UpsertPoints(collection_name=collection, wait=True)
    if ordering != "weak":  # the server's default
        head.ordering.type = messages.WriteOrderingType.Value(ordering.capitalize())
    if shard_key is not None:
        head.shard_key_selector.shard_keys.add(keyword=shard_key)
    return cast("bytes", head.SerializeToString())


def packed_request(head: bytes, points: Iterable[bytes]) -> bytes:
    """`UpsertPoints` with these members."""
    return b"".join((head, *points))


def _packed_vectors(vectors: Vectors) -> bytes:
    """The vectors of a point, framed as such."""
    if len(vectors) == 1 and UNNAMED in vectors:
        vector = vectors[UNNAMED]
        if isinstance(vector, Dense):
            return _dense_head(len(vector.packed)) + vector.packed
        return _framed(_POINT_VECTORS, _framed(_VECTORS_ONE, _packed_vector(vector)))
    entries = (
        _framed(_NAMED_ENTRY, _framed(_ENTRY_NAME, name.encode()) + _framed(_ENTRY_VECTOR, _packed_vector(vector)))
        for name, vector in vectors.items()
    )
    return _framed(_POINT_VECTORS, _framed(_VECTORS_NAMED, b"".join(entries)))


@lru_cache(maxsize=64)  # vectors of one collection have few lengths
def _dense_head(length: int) -> bytes:
    """What stands before the numbers of a dense vector that is a point's only one, and has no name."""
    head = b""
    for field in (_DENSE_DATA, _VECTOR_DENSE, _VECTORS_ONE, _POINT_VECTORS):
        head = _frame(field, len(head) + length) + head
    return head


def _packed_vector(vector: Vector) -> bytes:
    match vector:
        case Dense():
            return _framed(_VECTOR_DENSE, _framed(_DENSE_DATA, vector.packed))
        case Multi():
            rows = (_framed(_MULTI_ROW, _framed(_DENSE_DATA, row)) for row in vector.rows)
            return _framed(_VECTOR_MULTI, b"".join(rows))
        case Sparse():
            sparse = messages.SparseVector(values=unpack(vector.packed), indices=vector.indices)
            return cast("bytes", messages.Vector(sparse=sparse).SerializeToString())
        case ServerText():
            options = payload_to_grpc(dict(vector.options))
            document = messages.Document(text=vector.text, model=vector.model, options=options)
            return cast("bytes", messages.Vector(document=document).SerializeToString())


def _framed(field: int, content: bytes) -> bytes:
    return _frame(field, len(content)) + content


@lru_cache(maxsize=4096)
def _frame(field: int, length: int) -> bytes:
    return _varint(field << 3 | _DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= _CONTINUED:
        written.append(number & (_CONTINUED - 1) | _CONTINUED)
        number >>= 7
    written.append(number)
    return bytes(written)


# ----------------------------------------------------------------------------------------------------------
# REST


def json_point(point: Point) -> bytes:
    """A point as a member of the array `points`."""
    return orjson.dumps({"id": point.id, "vector": _json_vectors(point.vectors), "payload": dict(point.payload)})


def json_request(points: Iterable[bytes], shard_key: str | None = None) -> bytes:
    """The body of an upsert of these points."""
    head = b"{" if shard_key is None else b'{"shard_key":' + orjson.dumps(shard_key) + b","
    return head + b'"points":[' + b",".join(points) + b"]}"


def _json_vectors(vectors: Vectors) -> Any:
    """An unnamed vector that is alone is sent bare, the form that a collection without names takes."""
    if set(vectors) == {UNNAMED}:
        return _json_vector(vectors[UNNAMED])
    return {name: _json_vector(vector) for name, vector in vectors.items()}


def _json_vector(vector: Vector) -> Any:
    match vector:
        case Dense():
            return vector.values()
        case Sparse():
            return {"indices": vector.indices, "values": unpack(vector.packed)}
        case Multi():
            return [unpack(row) for row in vector.rows]
        case ServerText():
            options = {"options": dict(vector.options)} if vector.options else {}
            return {"text": vector.text, "model": vector.model, **options}


# ----------------------------------------------------------------------------------------------------------
# Either


def in_parts(points: Iterable[bytes], most_points: int, most_bytes: int) -> Iterable[list[bytes]]:
    """Runs of points that stay within both bounds; a point that is too large alone is a run of its own."""
    part: list[bytes] = []
    size = 0
    for point in points:
        if part and (len(part) == most_points or size + len(point) > most_bytes):
            yield part
            part, size = [], 0
        part.append(point)
        size += len(point)
    if part:
        yield part
