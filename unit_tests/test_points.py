"""What a point holds, field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from destination_qdrant import documents, payload
from destination_qdrant.catalog import DestinationStream, SyncMode
from destination_qdrant.chunking import Chunk
from destination_qdrant.documents import Document
from destination_qdrant.identity import RecordKey, keyed_ids, run_ids
from destination_qdrant.points import (
    AIRBYTE_INDEXES,
    INDEXES,
    REPLICA_INDEXES,
    REUSE_INDEXES,
    Placed,
    PointFormat,
    content_hash,
    ids_of,
    of_airbyte,
    of_stream,
    place,
    point_bytes,
    record_hash,
    to_point,
)
from destination_qdrant.protocol import Descriptor
from destination_qdrant.qdrant.base import Equals, Missing, Point, Where
from destination_qdrant.vectors import UNNAMED, Dense, ServerText, Vectors

FORM = PointFormat(
    run_id="run",
    loaded_at=1_700_000_000_000,
    text_field="text",
    omit_text=False,
    max_payload_bytes=2**20,
    fingerprint="fake/1",
)
VECTORS = {UNNAMED: Dense.of([1, 2])}


def stream_of(
    mode: SyncMode = "append_dedup", namespace: str | None = "public", name: str = "users"
) -> DestinationStream:
    return DestinationStream(
        descriptor=Descriptor(namespace, name),
        sync_mode=mode,
        primary_key=(("id",),),
        cursor=("at",),
        generation_id=3,
        minimum_generation_id=0,
        sync_id=42,
        json_schema={},
        collection="c",
        text_fields=(),
        metadata_fields=(),
    )


DOCUMENT = Document(
    stream=stream_of(),
    key=RecordKey('[[["id"],1]]'),
    cursor="7",
    text="body: one two",
    given={},
    metadata={"id": 1, "tags": ["x"]},
    metadata_bytes=len('{"id":1,"tags":["x"]}'),
    changes=(),
    extracted_at="2024-01-01T00:00:00.000Z",
    airbyte_id="public_users_1",
    takes_over=False,
)


def placed_of(document: Document, *texts: str, form: PointFormat = FORM) -> list[Placed]:
    return place(document, [Chunk(index, text) for index, text in enumerate(texts)], 1, form)


def points_of(document: Document, *texts: str, form: PointFormat = FORM) -> list[Point]:
    return [to_point(each, VECTORS, form) for each in placed_of(document, *texts, form=form)]


def test_point_holds_metadata_text_and_everything_the_connector_needs() -> None:
    first, second = points_of(DOCUMENT, "one", "two")

    shared = {
        "id": 1,
        "tags": ["x"],
        "_ab_stream": "public_users",
        "_ab_namespace": "public",
        "_ab_record_id": "public_users_1",
        "_ab_record_key": '[[["id"],1]]',
        "_ab_generation_id": 3,
        "_ab_sync_id": 42,
        "_ab_run_id": "run",
        "_ab_loaded_at": 1_700_000_000_000,
        "_ab_extracted_at": "2024-01-01T00:00:00.000Z",
        "_ab_cursor": "7",
        "_ab_chunk_count": 2,
        "_ab_record_hash": placed_of(DOCUMENT, "one", "two")[0].record_hash,
    }
    ids = keyed_ids(Descriptor("public", "users"), RecordKey('[[["id"],1]]'))
    hashes = [content_hash("fake/1", text, {}) for text in ("one", "two")]
    assert first == Point(
        ids[0], VECTORS, {**shared, "text": "one", "_ab_chunk_index": 0, "_ab_content_hash": hashes[0]}
    )
    assert second == Point(
        ids[1], VECTORS, {**shared, "text": "two", "_ab_chunk_index": 1, "_ab_content_hash": hashes[1]}
    )


def test_fields_without_a_value_are_left_out() -> None:
    stream = replace(stream_of("append", None), generation_id=None, sync_id=None)
    bare = DOCUMENT._replace(stream=stream, key=None, cursor=None, extracted_at=None, airbyte_id=None, metadata={})

    (point,) = points_of(bare, "one")

    assert sorted(point.payload) == [
        "_ab_chunk_count",
        "_ab_chunk_index",
        "_ab_content_hash",
        "_ab_loaded_at",
        "_ab_namespace",
        "_ab_run_id",
        "_ab_stream",
        "text",
    ]
    assert point.payload["_ab_namespace"] == ""


def test_zero_is_a_value() -> None:
    stream = replace(stream_of(), generation_id=0, sync_id=0)

    (point,) = points_of(DOCUMENT._replace(stream=stream, cursor=""), "one")

    assert [point.payload[name] for name in ("_ab_generation_id", "_ab_sync_id", "_ab_cursor")] == [0, 0, ""]


def test_text_goes_into_the_configured_field_or_nowhere() -> None:
    (renamed,) = points_of(DOCUMENT, "one", form=replace(FORM, text_field="page_content"))
    (omitted,) = points_of(DOCUMENT, "one", form=replace(FORM, omit_text=True))
    (empty,) = points_of(DOCUMENT, "")

    assert renamed.payload["page_content"] == "one"
    assert "text" not in {*renamed.payload, *omitted.payload, *empty.payload}
    assert "_ab_meta" not in {*omitted.payload, *empty.payload}
    assert omitted.payload["_ab_content_hash"] == renamed.payload["_ab_content_hash"]


def test_chunk_text_replaces_a_metadata_field_of_the_same_name() -> None:
    (point,) = points_of(DOCUMENT._replace(metadata={"text": "of the record"}), "one")

    assert point.payload["text"] == "one"


def test_metadata_never_replaces_the_bookkeeping() -> None:
    (point,) = points_of(DOCUMENT._replace(metadata={"_ab_run_id": "spoof", "_ab_chunk_index": 9}), "one")

    assert (point.payload["_ab_run_id"], point.payload["_ab_chunk_index"]) == ("run", 0)


def test_changes_of_the_record_stand_in_every_point() -> None:
    change = {"field": "a", "change": "NULLED", "reason": "R"}

    found = points_of(DOCUMENT._replace(changes=(change,)), "one", "two")

    assert [point.payload["_ab_meta"] for point in found] == [{"changes": [change]}] * 2


@pytest.mark.parametrize("letter", ["x", "é", "\u4e66", "\U0001f600", '"', "\x01"])
def test_text_that_would_exceed_the_cap_is_left_out_and_noted(letter: str) -> None:
    """The last text that fits is stored, whatever its letters take as JSON."""
    form = replace(FORM, max_payload_bytes=4096)
    room = 4096 - DOCUMENT.metadata_bytes - documents.BOOKKEEPING_BYTES - len('""')
    most = room // (len(orjson.dumps(letter)) - 2)
    change = {"field": "a", "change": "NULLED", "reason": "R"}

    (fitting,) = points_of(DOCUMENT, letter * most, form=form)
    (too_long,) = points_of(DOCUMENT._replace(changes=(change,)), letter * (most + 1), form=form)

    assert fitting.payload["text"] == letter * most
    assert len(orjson.dumps(fitting.payload)) <= 4096
    assert "text" not in too_long.payload
    assert too_long.payload["_ab_meta"]["changes"] == [
        change,
        {"field": "text", "change": "NULLED", "reason": "DESTINATION_RECORD_SIZE_LIMITATION"},
    ]


def test_own_bookkeeping_fits_into_what_is_counted_for_it() -> None:
    (point,) = points_of(DOCUMENT._replace(metadata={}), "")

    assert len(orjson.dumps(point.payload)) < documents.BOOKKEEPING_BYTES


# ----------------------------------------------------------------------------------------------------------
# Ids, filters, sizes, hashes


@pytest.mark.parametrize(
    ("mode", "key", "is_keyed"),
    [
        ("append_dedup", RecordKey("k"), True),
        ("append_dedup", RecordKey("k", is_content=True), True),
        ("append_dedup", None, False),
        ("append", RecordKey("k"), False),
        ("overwrite", RecordKey("k"), False),
    ],
)
def test_ids_belong_to_the_key_where_it_has_one_version_and_to_the_run_elsewhere(
    mode: SyncMode, key: RecordKey | None, *, is_keyed: bool
) -> None:
    ids = ids_of(DOCUMENT._replace(stream=stream_of(mode), key=key), 7, "run")

    assert ids[2] == (keyed_ids(Descriptor("public", "users"), RecordKey("k")) if is_keyed else run_ids("run", 7))[2]


def test_ids_hold_no_generation() -> None:
    next_generation = DOCUMENT._replace(stream=replace(stream_of(), generation_id=4, sync_id=43))

    assert ids_of(DOCUMENT, 1, "run")[0] == ids_of(next_generation, 2, "other run")[0]


def test_streams_of_one_identifier_are_told_apart_by_their_namespace() -> None:
    one, other = stream_of(namespace="a", name="b_c"), stream_of(namespace="a_b", name="c")

    assert of_stream(one) == (Equals("_ab_stream", "a_b_c"), Equals("_ab_namespace", "a"))
    assert of_stream(other) == (Equals("_ab_stream", "a_b_c"), Equals("_ab_namespace", "a_b"))
    assert of_stream(stream_of(namespace=None))[1] == Equals("_ab_namespace", "")


def test_points_of_airbytes_connector_are_those_that_no_run_wrote() -> None:
    assert of_airbyte(stream_of()) == Where(
        (Equals("_ab_stream", "public_users"), Missing("_ab_namespace"), Missing("_ab_run_id"))
    )


def test_every_filtered_field_has_an_index_and_every_field_is_reserved() -> None:
    names = {value for name, value in vars(payload).items() if name.isupper() and isinstance(value, str)}
    filtered = {condition.field for condition in (*of_stream(stream_of()), *of_airbyte(stream_of()).must)}

    assert names == payload.RESERVED
    assert filtered <= set(INDEXES)
    assert {"_ab_record_key", "_ab_generation_id"} <= set(INDEXES)
    assert [*AIRBYTE_INDEXES, *REPLICA_INDEXES, *REUSE_INDEXES] == [
        "_ab_record_id",
        "_ab_loaded_at",
        "_ab_content_hash",
    ]


def test_hash_depends_on_model_and_text() -> None:
    hashes = {content_hash(model, text, {}) for model in ("m", "m2", "") for text in ("s", "t", "é")}

    assert len(hashes) == 9
    assert content_hash("fake/1", "t", {}) == "aa5bdaa73e3e9aedfc2229aec7b6b185"  # stored: it must never change


def test_hash_depends_on_a_given_vector() -> None:
    given: tuple[Vectors, ...] = ({}, VECTORS, {UNNAMED: Dense.of([1, 3])}, {UNNAMED: ServerText("t", "m")})

    assert len({content_hash("m", "t", vectors) for vectors in given}) == 3
    assert content_hash("m", "t", {"text": Dense.of([1, 2])}) == content_hash("m", "t", VECTORS)
    assert content_hash("m", "t", VECTORS) == "cd780fe062b546d5395ff9e30fadce64"  # stored as well


def test_a_chunk_without_text_and_vector_has_no_hash() -> None:
    assert content_hash("m", "", {}) is None
    (point,) = points_of(DOCUMENT, "")
    assert "_ab_content_hash" not in point.payload


def test_record_hash_depends_on_all_that_is_stored_of_the_record() -> None:
    (one,) = placed_of(DOCUMENT, "one")
    others = [
        *placed_of(DOCUMENT, "two"),
        *placed_of(DOCUMENT, "one", "two"),
        *placed_of(DOCUMENT._replace(metadata={"id": 1, "tags": ["y"]}), "one"),
        *placed_of(DOCUMENT._replace(changes=({"field": "a"},)), "one"),
        *placed_of(DOCUMENT._replace(cursor="8"), "one"),
        *placed_of(DOCUMENT._replace(airbyte_id=None), "one"),
        *placed_of(DOCUMENT, "one", form=replace(FORM, fingerprint="fake/2")),
        *placed_of(DOCUMENT, "one", form=replace(FORM, text_field="body")),
        *placed_of(DOCUMENT, "one", form=replace(FORM, omit_text=True)),
        *placed_of(DOCUMENT, "one", form=replace(FORM, vector_name="title")),
        *placed_of(DOCUMENT, "one", form=replace(FORM, max_payload_bytes=4096)),
    ]
    hashes = {each.record_hash for each in others}

    assert len(hashes) == len(others) - 1  # the two chunks of one record share theirs
    assert one.record_hash not in hashes


def test_a_text_that_was_cut_is_noted() -> None:
    whole = place(DOCUMENT, [Chunk(0, "one")], 1, FORM)[0]
    cut = place(DOCUMENT, [Chunk(0, "one", truncated=True)], 1, FORM)[0]
    change = {"field": "text", "change": "TRUNCATED", "reason": "DESTINATION_FIELD_SIZE_LIMITATION"}

    assert to_point(cut, VECTORS, FORM).payload["_ab_meta"] == {"changes": [change]}
    assert cut.record_hash != whole.record_hash


def test_record_hash_does_not_depend_on_when_and_how_it_came() -> None:
    (one,) = placed_of(DOCUMENT, "one")
    stream = replace(stream_of(), generation_id=9, sync_id=43)
    again = DOCUMENT._replace(stream=stream, extracted_at=None, metadata=dict(reversed(DOCUMENT.metadata.items())))
    (other,) = place(again, [Chunk(0, "one")], 77, replace(FORM, run_id="later", loaded_at=1))

    assert other.record_hash == one.record_hash
    assert record_hash(DOCUMENT, ["h"], FORM) == "00c325242c60d867e54a41e060a5ef0d"  # stored: it must never change


@pytest.mark.parametrize(("mode", "key"), [("append", RecordKey("k")), ("overwrite", RecordKey("k")), ("append", None)])
def test_a_record_that_may_have_many_versions_has_no_record_hash(mode: SyncMode, key: RecordKey | None) -> None:
    (point,) = points_of(DOCUMENT._replace(stream=stream_of(mode), key=key), "one")

    assert "_ab_record_hash" not in point.payload


def test_size_of_a_point_counts_text_metadata_and_vector() -> None:
    sizes: list[Any] = [
        point_bytes(DOCUMENT, text, dimensions) for text, dimensions in (("", 0), ("x" * 10, 0), ("", 8))
    ]

    assert sizes[0] == DOCUMENT.metadata_bytes + documents.BOOKKEEPING_BYTES
    assert [size - sizes[0] for size in sizes] == [0, 10, 32]
