"""Stored vectors in answers of servers, of all versions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from qdrant_client import grpc as messages

from destination_qdrant.qdrant.base import PointId, StoredVector
from destination_qdrant.qdrant.server.reading import of_json, of_message
from destination_qdrant.vectors import UNNAMED, Dense

UUID = "0a000000-0000-5000-8000-000000000001"
NUMBERS = [0.1, -2.5, 3.4e38]
VECTOR = Dense.of(NUMBERS)

DENSE = messages.VectorOutput(dense=messages.DenseVector(data=NUMBERS))
FLAT = messages.VectorOutput(data=NUMBERS)
NONE = [
    messages.VectorOutput(sparse=messages.SparseVector(values=NUMBERS, indices=[1, 2, 3])),
    messages.VectorOutput(data=NUMBERS, indices=messages.SparseIndices(data=[1, 2, 3])),
    messages.VectorOutput(multi_dense=messages.MultiDenseVector(vectors=[messages.DenseVector(data=NUMBERS)])),
    messages.VectorOutput(data=NUMBERS, vectors_count=1),
    messages.VectorOutput(),
    messages.VectorOutput(dense=messages.DenseVector(data=[1, math.nan])),
    messages.VectorOutput(data=[1, math.inf]),
]


def retrieved(output: messages.VectorOutput, name: str | None, point_id: PointId = 7) -> messages.ScrollResponse:
    if name is None:
        vectors = messages.VectorsOutput(vector=output)
    else:
        vectors = messages.VectorsOutput(vectors=messages.NamedVectorsOutput(vectors={name: output}))
    key = messages.PointId(num=point_id) if isinstance(point_id, int) else messages.PointId(uuid=point_id)
    return messages.ScrollResponse(result=[messages.RetrievedPoint(id=key, vectors=vectors)])


@pytest.mark.parametrize("output", [DENSE, FLAT])  # since 1.17, and before
@pytest.mark.parametrize(("said", "asked"), [(None, UNNAMED), ("", UNNAMED), ("text", "text")])
@pytest.mark.parametrize("point_id", [7, 2**64 - 1, UUID])
def test_dense_vectors_are_read_to_the_bit(
    output: messages.VectorOutput, said: str | None, asked: str, point_id: PointId
) -> None:
    assert dict(of_message(retrieved(output, said, point_id), asked)) == {point_id: StoredVector(VECTOR, {})}


@pytest.mark.parametrize("output", NONE)
def test_other_kinds_and_what_is_not_finite_are_none(output: messages.VectorOutput) -> None:
    assert dict(of_message(retrieved(output, "text"), "text")) == {}


@pytest.mark.parametrize(("said", "asked"), [(None, "text"), ("text", UNNAMED), ("text", "title")])
def test_another_vector_is_not_taken_for_it(said: str | None, asked: str) -> None:
    assert dict(of_message(retrieved(DENSE, said), asked)) == {}


def test_a_point_without_vectors_has_none() -> None:
    bare = messages.RetrievedPoint(id=messages.PointId(num=1))
    named = messages.RetrievedPoint(
        id=messages.PointId(num=2), vectors=messages.VectorsOutput(vectors=messages.NamedVectorsOutput())
    )

    assert dict(of_message(messages.ScrollResponse(result=[bare, named]), UNNAMED)) == {}


@pytest.mark.parametrize(
    ("vectors", "asked", "found"),
    [
        (NUMBERS, UNNAMED, VECTOR),
        ({"": NUMBERS}, UNNAMED, VECTOR),
        ({"text": NUMBERS, "title": [1]}, "text", VECTOR),
        ({"text": NUMBERS}, "title", None),
        (NUMBERS, "text", None),
        ({}, UNNAMED, None),
        (None, UNNAMED, None),
        ([], UNNAMED, None),
        ([NUMBERS], UNNAMED, None),
        ({"text": {"indices": [1], "values": [1.0]}}, "text", None),
        ([1.0, 1e39], UNNAMED, None),
        ([1.0, None], UNNAMED, None),  # a server's way to write what is no number
    ],
)
def test_a_vector_in_json_is_read_or_left_out(vectors: Any, asked: str, found: Dense | None) -> None:
    expected = {} if found is None else {UUID: StoredVector(found, {})}
    assert dict(of_json([{"id": UUID, "vector": vectors}], asked)) == expected
