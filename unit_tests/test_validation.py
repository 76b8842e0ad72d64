"""What `qdrant.validation` refuses, and in which words."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from destination_qdrant.errors import ConfigError, SystemFault
from destination_qdrant.qdrant.base import CollectionInfo, Point, PointId, VectorSchema
from destination_qdrant.qdrant.validation import MAX_NESTING, check_points, check_schema, is_path, plain_path
from destination_qdrant.vectors import UNNAMED, Dense, Multi, ServerText, Sparse, Vector, pack

UUID = "0a000000-0000-5000-8000-00000000000f"

INFO = CollectionInfo(
    {
        UNNAMED: VectorSchema("dense", 3, "cos"),
        "image": VectorSchema("dense", 2, "dot"),
        "words": VectorSchema("sparse"),
        "rows": VectorSchema("multi", 2, "cos"),
    }
)

VALID_VECTORS: list[dict[str, Vector]] = [
    {},
    {UNNAMED: Dense.of([1, 2, 3])},
    {UNNAMED: Dense.of([0, 0, 0]), "image": Dense.of([1, 2])},
    {"words": Sparse((), b"")},
    {"words": Sparse((0, 2**32 - 1), pack([1, 2]))},
    {"rows": Multi((pack([1, 2]), pack([3, 4])))},
    {UNNAMED: ServerText("some text", "a/model"), "words": ServerText("some text", "qdrant/bm25")},
]

INVALID_VECTORS: list[tuple[str, Vector, str]] = [
    (
        "title",
        Dense.of([1, 2, 3]),
        'A point has the vector "title", but the collection stores 3-dimensional cos vectors (un',
    ),
    (
        UNNAMED,
        Sparse((1,), pack([1])),
        "A point has a sparse vector for the unnamed vector, which the collection stores as dense.",
    ),
    (
        "image",
        Multi((pack([1, 2]),)),
        'A point has a multi vector for the vector "image", which the collection stores as dense.',
    ),
    (
        "words",
        Dense.of([1]),
        'A point has a dense vector for the vector "words", which the collection stores as sparse.',
    ),
    (
        "rows",
        ServerText("secret", "m"),
        'A point has text for the vector "rows", but the collection stores a multivector',
    ),
    (UNNAMED, Dense.of([1, 2]), "A point has 2 dimensions for the unnamed vector; the collection expects 3."),
    (UNNAMED, Dense(b""), "A point has 0 dimensions for the unnamed vector; the collection expects 3."),
    (
        UNNAMED,
        Dense(bytes(13)),
        "A point has 13 bytes for the unnamed vector, which is no whole number of float32 values.",
    ),
    (
        UNNAMED,
        Dense.of([1, 2, math.nan]),
        "A point has a number that is not finite as 32-bit float for the unnamed vector.",
    ),
    (
        UNNAMED,
        Dense.of([1, 2, math.inf]),
        "A point has a number that is not finite as 32-bit float for the unnamed vector.",
    ),
    ("image", Dense(struct.pack("<2f", -math.inf, 1)), "A point has a number that is not finite"),
    ("words", Sparse((1, 2), pack([1])), 'A point has 2 indices but 1 values for the vector "words".'),
    ("words", Sparse((1,), bytes(5)), 'A point has 1 indices but 1.25 values for the vector "words".'),
    ("words", Sparse((7, 7), pack([1, 2])), "A point has an index more than once"),
    ("words", Sparse((-1,), pack([1])), "A point has an index outside 0 to 4294967295"),
    ("words", Sparse((2**32,), pack([1])), "A point has an index outside 0 to 4294967295"),
    ("words", Sparse((1,), pack([math.nan])), "A point has a number that is not finite"),
    ("rows", Multi(()), "A point has a multivector without rows"),
    ("rows", Multi((pack([1, 2]), pack([1]))), "A point has a multivector with rows of different lengths"),
    (
        "rows",
        Multi((pack([1]), pack([2]))),
        'A point has 1 dimensions for the vector "rows"; the collection expects 2.',
    ),
    ("rows", Multi((pack([1, 2]), pack([1, math.nan]))), "A point has a number that is not finite"),
]


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value, "b": 2}
    return value


@pytest.mark.parametrize("vectors", VALID_VECTORS)
def test_accepts_what_fits(vectors: dict[str, Vector]) -> None:
    check_points([Point(1, vectors, {})], INFO)


@pytest.mark.parametrize(("name", "vector", "sentence"), INVALID_VECTORS)
def test_refuses_a_vector_that_does_not_fit(name: str, vector: Vector, sentence: str) -> None:
    with pytest.raises(SystemFault) as caught:
        check_points([Point(1, {UNNAMED: Dense.of([1, 2, 3])}, {}), Point(2, {name: vector}, {})], INFO)

    assert caught.value.message.startswith(sentence)


def test_a_value_beyond_float32_is_not_finite() -> None:
    with pytest.raises(SystemFault, match="not finite"):
        check_points([Point(1, {"image": Dense.of([1e39, 0])}, {})], INFO)


@pytest.mark.parametrize("point_id", [0, 2**64 - 1, UUID])
def test_accepts_ids_of_qdrant(point_id: PointId) -> None:
    check_points([Point(point_id, {}, {})], INFO)


@pytest.mark.parametrize(
    "point_id", [-1, 2**64, True, 1.0, None, "", "5", UUID.upper(), UUID.replace("-", ""), UUID + "\n"]
)
def test_refuses_other_ids_without_quoting_them(point_id: Any) -> None:
    with pytest.raises(SystemFault) as caught:
        check_points([Point(point_id, {}, {})], INFO)

    assert caught.value.message == (
        "A point id is neither an integer from 0 to 2^64-1 nor a UUID in lower-case hyphenated form."
    )


@pytest.mark.parametrize("value", [None, -(2**63), 2**64 - 1, 1.5, "é\0", [], {"": {"a.b": [1]}}, nested(MAX_NESTING)])
def test_accepts_json_payloads(value: Any) -> None:
    check_points([Point(1, {}, {"field": value})], INFO)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "secret\ud800", b"secret", {"secret"}, {1: "secret"}])
def test_refuses_payloads_that_are_not_json_without_quoting_them(value: Any) -> None:
    with pytest.raises(SystemFault) as caught:
        check_points([Point(1, {}, {"field": value})], INFO)

    assert caught.value.message == "A payload holds something that is not JSON, or an integer beyond 64 bits."


def test_refuses_payloads_deeper_than_clients_read() -> None:
    with pytest.raises(SystemFault, match="nested deeper than 48 levels"):
        check_points([Point(1, {}, {"field": nested(MAX_NESTING + 1)})], INFO)


def test_a_datetime_is_no_json() -> None:
    """The encoder would write it as text, another than the engine's clients would."""
    with pytest.raises(SystemFault, match="not JSON"):
        check_points([Point(1, {}, {"field": datetime(2026, 1, 1, tzinfo=UTC)})], INFO)


# ----------------------------------------------------------------------------------------------------------

WANTED = VectorSchema("dense", 1536, "cos")
UNNAMED_384 = CollectionInfo({UNNAMED: VectorSchema("dense", 384, "cos")})
NAMED = CollectionInfo({"text": VectorSchema("dense", 384, "cos"), "bm25": VectorSchema("sparse")})


def refusal(found: CollectionInfo, name: str, wanted: VectorSchema) -> str:
    with pytest.raises(ConfigError) as caught:
        check_schema(found, name, wanted, place="/data/docs (embedded)")
    return caught.value.message


def test_a_collection_that_fits_passes() -> None:
    check_schema(UNNAMED_384, UNNAMED, VectorSchema("dense", 384, "cos"), place="here")
    check_schema(NAMED, "text", VectorSchema("dense", 384, "cos"), place="here")


def test_wrong_dimensions_name_both_and_the_ways_out() -> None:
    assert refusal(UNNAMED_384, UNNAMED, WANTED) == (
        "Qdrant at /data/docs (embedded) stores 384-dimensional cos vectors (unnamed), but the embedding model "
        "gives 1536 dimensions; choose another model, set dimensions to 384 (where the model allows it), or use a new "
        "collection (field indexing.collection)."
    )


def test_wrong_distance_names_the_field() -> None:
    assert refusal(UNNAMED_384, UNNAMED, VectorSchema("dense", 384, "dot")) == (
        "Qdrant at /data/docs (embedded) stores 384-dimensional cos vectors (unnamed), but the configured "
        "distance is dot; set the field indexing.distance_metric to cos, or use a new collection."
    )


def test_named_vectors_only_are_listed() -> None:
    assert refusal(NAMED, UNNAMED, WANTED) == (
        "Qdrant at /data/docs (embedded) has no unnamed vector; it stores sparse vectors (named "
        '"bm25") and 384-dimensional cos vectors (named "text"). Use a new collection (field indexing.collection) or '
        "one with such a vector."
    )


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        (
            UNNAMED,
            VectorSchema("dense", 384, "cos"),
            '(named "text"). Set the field indexing.vector_name to text, or u',
        ),
        ("bm25", VectorSchema("dense", 384, "cos"), "vectors; set the field indexing.vector_name to text, or use a"),
        ("text", VectorSchema("dense", 3, "dot"), "; empty the field indexing.vector_name, or choose another model"),
        ("other", VectorSchema("dense", 3, "dot"), "Empty the field indexing.vector_name, or use a new collection"),
        ("text", VectorSchema("dense", 384, "dot"), "is dot; set the field indexing.vector_name to a or b, or set the"),
    ],
)
def test_another_vector_that_fits_is_named(name: str, wanted: VectorSchema, words: str) -> None:
    more = {"a": VectorSchema("dense", 384, "dot"), "b": VectorSchema("dense", 384, "dot")}
    unnamed = {UNNAMED: VectorSchema("dense", 3, "dot")}

    assert words in refusal(
        CollectionInfo({**NAMED.vectors, **more, **(unnamed if name in {"text", "other"} else {})}), name, wanted
    )


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("category", "category"),
        ('"category"', "category"),
        ('a."b-c"[]."d e"', 'a.b-c[]."d e"'),
        ('"a.b"', '"a.b"'),
        ('"ключ"[0].x[]', "ключ[0].x[]"),
    ],
)
def test_paths_are_spelt_as_qdrant_answers_them(path: str, plain: str) -> None:
    """Measured: both the engine and a server 1.18."""
    assert (is_path(path), plain_path(path)) == (True, plain)


@pytest.mark.parametrize(
    "path", ["", "a b", "a..b", ".a", "a.", "a[", "a[b]", "[]", '"a', 'a"b"', '""', "*", "a.$b", "a\n"]
)
def test_what_is_no_path_is_told_apart(path: str) -> None:
    assert not is_path(path)


def test_a_collection_without_vectors_says_so() -> None:
    assert 'has no vector named "text"; it stores no vectors.' in refusal(CollectionInfo({}), "text", WANTED)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (VectorSchema("sparse"), 'stores sparse vectors (named "v"), but the embedding model gives dense vectors'),
        (VectorSchema("multi", 1536, "cos"), 'stores 1536-dimensional cos multivectors (named "v"), but the embedding'),
    ],
)
def test_another_kind_is_refused(stored: VectorSchema, words: str) -> None:
    assert words in refusal(CollectionInfo({"v": stored}), "v", WANTED)
