"""Points as the bytes of a bulk upsert: what they say is what qdrant-client's own models would say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as messages
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc

from destination_qdrant.qdrant.base import Point
from destination_qdrant.qdrant.server.upserts import (
    in_parts,
    json_point,
    json_request,
    packed_head,
    packed_point,
    packed_request,
)
from destination_qdrant.vectors import Dense, Multi, ServerText, Sparse, Vector, pack

HEAD = packed_head("docs", "weak", None)
UUID = "0b1c2d3e-0000-4000-8000-000000000001"

VECTORS: list[tuple[dict[str, Vector], Any]] = [
    ({}, {}),
    ({"": Dense.of([0.5, -1.25])}, [0.5, -1.25]),
    ({"": Dense(b"")}, []),
    ({"title": Dense.of([0.5])}, {"title": [0.5]}),
    ({"": Dense.of([0.5]), "ü": Dense.of([1, 2])}, {"": [0.5], "ü": [1, 2]}),
    ({"words": Sparse((3, 2**32 - 1), pack([0.5, 2]))}, {"words": {"indices": [3, 2**32 - 1], "values": [0.5, 2]}}),
    ({"": Multi((pack([1, 2]), pack([3, 4])))}, [[1, 2], [3, 4]]),
    (
        {"bm25": ServerText("a text", "qdrant/bm25", (("language", "german"),))},
        {"bm25": {"text": "a text", "model": "qdrant/bm25", "options": {"language": "german"}}},
    ),
    ({"bm25": ServerText("a text", "qdrant/bm25")}, {"bm25": {"text": "a text", "model": "qdrant/bm25"}}),
]
PAYLOADS: list[dict[str, Any]] = [
    {},
    {
        "none": None,
        "yes": True,
        "int": -(2**63),
        "float": 0.1,
        "text": "ü \0",
        "list": [1, [2.5], {}],
        "": {"a": {"b": []}},
    },
]


def official(vectors: Any, point_id: int | str, payload: dict[str, Any]) -> messages.UpsertPoints:
    point = models.PointStruct(id=point_id, vector=vectors, payload=payload)
    return messages.UpsertPoints(collection_name="docs", wait=True, points=[RestToGrpc.convert_point_struct(point)])


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("point_id", [0, 2**64 - 1, UUID])
@pytest.mark.parametrize(("vectors", "expected"), VECTORS)
def test_a_packed_point_is_what_the_client_would_send(
    vectors: dict[str, Vector], expected: Any, point_id: int | str, payload: dict[str, Any]
) -> None:
    request = packed_request(HEAD, [packed_point(Point(point_id, vectors, payload))])
    assert messages.UpsertPoints.FromString(request) == official(expected, point_id, payload)


#: Equal to Python, and not the same in Qdrant.
ALIKE: list[Any] = [0, 0.0, -0.0, False, 1, 1.0, True, None, "", "0", "1"]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.sampled_from(ALIKE)
)


@given(st.lists(st.dictionaries(st.text(), SCALARS), max_size=5))
def test_the_fields_of_payloads_are_what_the_client_would_send(payloads: list[dict[str, Any]]) -> None:
    payloads.append({str(place): value for place, value in enumerate(ALIKE)})
    points = [packed_point(Point(number, {}, payload)) for number, payload in enumerate(payloads)]
    found = messages.UpsertPoints.FromString(packed_request(HEAD, points)).points
    expected = (official({}, number, payload).points[0] for number, payload in enumerate(payloads))
    assert list(map(_in_text, found)) == list(map(_in_text, expected))


def _in_text(point: messages.PointStruct) -> dict[str, str]:
    """The payload as text, which tells 0.0 from -0.0 and knows one NaN."""
    return {name: str(value) for name, value in point.payload.items()}


@pytest.mark.parametrize("length", [127, 128, 16_383, 16_384, 3_000_000])
def test_long_texts_and_names_are_framed_right(length: int) -> None:
    payload = {"x" * length: "ü" * length}
    (packed,) = messages.UpsertPoints.FromString(packed_request(HEAD, [packed_point(Point(1, {}, payload))])).points
    assert {name: value.string_value for name, value in packed.payload.items()} == payload


@pytest.mark.parametrize("dimensions", [1, 31, 32, 4096, 65_536])
def test_long_vectors_are_framed_right(dimensions: int) -> None:
    values = [float(number) for number in range(dimensions)]
    request = packed_request(HEAD, [packed_point(Point(1, {"": Dense.of(values)}, {}))])
    assert messages.UpsertPoints.FromString(request).points[0].vectors.vector.dense.data == values


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_no_number_is_changed(values: list[float]) -> None:
    point = Point(1, {"": Dense.of(values)}, {})
    (packed,) = messages.UpsertPoints.FromString(packed_request(HEAD, [packed_point(point)])).points
    assert packed.vectors.vector.dense.data == values
    assert json.loads(json_point(point))["vector"] == values


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(("vectors", "expected"), VECTORS)
def test_a_point_in_json_says_the_same(vectors: dict[str, Vector], expected: Any, payload: dict[str, Any]) -> None:
    points = [Point(7, vectors, payload), Point(UUID, vectors, payload)]
    body = json.loads(json_request(map(json_point, points)))
    assert body == {"points": [{"id": each.id, "vector": expected, "payload": payload} for each in points]}


def test_many_points_make_one_request_in_their_order() -> None:
    points = [Point(number, {"": Dense.of([number])}, {"n": number}) for number in range(300)]
    request = messages.UpsertPoints.FromString(packed_request(HEAD, map(packed_point, points)))
    assert (request.collection_name, request.wait) == ("docs", True)
    assert [point.id.num for point in request.points] == list(range(300))


@pytest.mark.parametrize(
    ("sizes", "most_points", "most_bytes", "expected"),
    [
        ([], 2, 10, []),
        ([1, 1, 1], 2, 10, [2, 1]),
        ([4, 4, 4], 9, 8, [2, 1]),
        ([4, 5], 9, 8, [1, 1]),
        ([99, 1, 99], 9, 8, [1, 1, 1]),
    ],
)
def test_parts_stay_within_both_bounds(
    sizes: list[int], most_points: int, most_bytes: int, expected: list[int]
) -> None:
    points = [bytes([number]) * size for number, size in enumerate(sizes)]
    parts = list(in_parts(points, most_points, most_bytes))
    assert [len(part) for part in parts] == expected
    assert [point for part in parts for point in part] == points


@pytest.mark.parametrize("ordering", ["weak", "medium", "strong"])
@pytest.mark.parametrize("shard_key", [None, "europe"])
def test_ordering_and_shard_key_travel_with_the_points(ordering: str, shard_key: str | None) -> None:
    request = messages.UpsertPoints.FromString(packed_head("docs", ordering, shard_key))

    assert request.wait
    assert messages.WriteOrderingType.Name(request.ordering.type) == ordering.capitalize()
    assert [key.keyword for key in request.shard_key_selector.shard_keys] == ([shard_key] if shard_key else [])
    assert json.loads(json_request([], shard_key)) == {
        "points": [],
        **({"shard_key": shard_key} if shard_key else {}),
    }
