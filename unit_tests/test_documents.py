"""What becomes of a record: its text, its metadata, or its removal."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.utils.strings import stringify_dict

from destination_qdrant.catalog import DestinationStream, read_catalog
from destination_qdrant.chunking import Chunk
from destination_qdrant.config import Config, parse_config
from destination_qdrant.documents import (
    BOOKKEEPING_BYTES,
    Delete,
    Document,
    DocumentReader,
    Operation,
    Skip,
    Upsert,
    fields_without_column,
    missing_text_fields,
)
from destination_qdrant.errors import ConfigError
from destination_qdrant.identity import record_key
from destination_qdrant.payload import RESERVED
from destination_qdrant.points import PointFormat, place, to_point
from destination_qdrant.protocol import Descriptor, Record, read_message
from destination_qdrant.vectors import UNNAMED, Dense

Json = dict[str, Any]
MIB = 2**20
SIZE_LIMIT = "DESTINATION_RECORD_SIZE_LIMITATION"
SERIALIZATION = "DESTINATION_SERIALIZATION_ERROR"
FROM_FIELD = {"mode": "from_field", "field_name": "vector", "dimensions": 2}


def config_of(embedding: Json | None = None, **processing: Any) -> Config:
    return parse_config(
        {
            "processing": {"chunk_size": 500, **processing},
            "embedding": embedding or {"mode": "fake"},
            "indexing": {"url": "http://localhost:6333", "collection": "documents"},
        }
    )


def stream_of(config: Config, mode: str = "append", *, schema: Json | None = None, **members: Any) -> DestinationStream:
    if mode == "append_dedup":
        members = {"primary_key": [["id"]], **members}
    entry = {"stream": {"name": "users", "json_schema": schema}, "destination_sync_mode": mode, **members}
    return read_catalog({"streams": [entry]}, config).streams[0]


def record_of(data: Json, *, emitted_at: int | None = None, changes: tuple[Json, ...] = ()) -> Record:
    return Record(Descriptor(None, "users"), data, emitted_at, changes, line=b"")


def bytes_of(document: Document) -> int:
    """What nothing but the chunk itself adds to: the metadata, the notes, and what the record brings of its own."""
    own = [document.key.text if document.key else None, document.cursor, document.airbyte_id]
    return sum(len(orjson.dumps(part)) for part in (document.metadata, document.changes, own))


def read_line(data: str, mode: str = "append_dedup", *, meta: str = "{}", **options: Any) -> Document:
    """The document of a RECORD whose data is this JSON text."""
    line = f'{{"type":"RECORD","record":{{"stream":"users","data":{data},"meta":{meta}}}}}'.encode()
    record = read_message(line)
    assert isinstance(record, Record)
    config = config_of(**options.pop("processing", {}))
    operation = DocumentReader(stream_of(config, mode, **options), config).read(record, 5)
    assert isinstance(operation, Upsert)
    return operation.document


def read(
    data: Json, mode: str = "append", *, embedding: Json | None = None, members: Json | None = None, **processing: Any
) -> Operation:
    config = config_of(embedding, **processing)
    return DocumentReader(stream_of(config, mode, **members or {}), config).read(record_of(data), 5)


def document_of(data: Json, mode: str = "append", **options: Any) -> Document:
    operation = read(data, mode, **options)
    assert isinstance(operation, Upsert)
    return operation.document


# ----------------------------------------------------------------------------------------------------------
# Text

TEXTS = st.text(min_size=1, max_size=6).filter(lambda text: bool(text.strip()) and "\0" not in text)
SAYING = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(TEXTS, inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS.filter(lambda name: not name.startswith("_ab_")), SAYING, min_size=1, max_size=4))
def test_text_is_that_of_airbytes_connector_where_every_field_says_something(data: Json) -> None:
    assert document_of(data).text == stringify_dict(data).strip()


@pytest.mark.parametrize(
    ("data", "fields", "text"),
    [
        ({"a": "x", "b": 1, "c": True, "d": 1.5}, [], "a: x\nb: 1\nc: True\nd: 1.5"),
        ({"a": "x", "b": "y"}, ["b"], "b: y"),
        ({"a": "x", "b": "y"}, ["b", "a"], "b: y\na: x"),
        ({"a": "x", "b": None, "c": "", "d": " \n\t"}, [], "a: x"),
        ({"a": "x"}, ["absent", "a"], "a: x"),
        ({"a": "x", "b": {"c": None, "d": ""}, "e": [None, ""], "f": {}, "g": []}, [], "a: x"),
        ({"a": {"b": "x", "c": None, "d": {"e": "y"}}}, [], "a: \nb: x\nd: \ne: y"),
        ({"a": ["x", None, "", "y"]}, [], "a: x\ny"),
        ({"a": [{"b": "x"}, {"b": None}]}, ["a.*.b"], "a.*.b: x"),
        ({"u": {"n": "x"}}, ["u.n"], "u.n: x"),
        ({"a": "x\0y", "b": "\0", "c\0": "z"}, [], "a: xy\nc: z"),
        ({"a": "x\ud800y", "\ud800": "z"}, [], "a: x\ufffdy\n\ufffd: z"),
        ({"a": 0, "b": False}, [], "a: 0\nb: False"),
        ({"a": 10**32}, [], "a: 100000000000000000000000000000000"),
        ({"a": "  two  spaces  "}, [], "a:   two  spaces"),
        ({"a": "<|endoftext|>"}, [], "a: <|endoftext|>"),
    ],
)
def test_text_has_a_line_for_each_field_that_says_something(data: Json, fields: list[str], text: str) -> None:
    assert document_of(data, text_fields=fields).text == text


def test_text_uses_the_new_names_of_fields() -> None:
    mappings = [{"from_field": "body", "to_field": "content"}, {"from_field": "absent", "to_field": "x"}]

    document = document_of({"title": "T", "body": "B"}, text_fields=["body", "title"], field_name_mappings=mappings)

    assert document.text == "title: T\ncontent: B"
    assert document.metadata == {"title": "T", "content": "B"}


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"])
def test_nine_hundred_levels_do_not_crash(wrap: Any) -> None:
    value: Any = "the \ud800end\0"
    for _ in range(900):
        value = wrap(value)

    document = document_of({"id": None, "v": value}, "append_dedup")

    assert "end" in document.text
    document.text.encode()
    orjson.dumps(dict(document.metadata))


@pytest.mark.parametrize("data", [{}, {"body": None}, {"body": ""}, {"body": " \0\n"}, {"other": "x"}])
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_record_without_text_is_skipped(data: Json, mode: str) -> None:
    assert read(data, mode, text_fields=["body"]) == Skip(
        stream_of(config_of(text_fields=["body"]), mode), because="no_text"
    )


def test_record_without_text_is_skipped_although_it_has_a_key() -> None:
    operation = read({"id": 1, "body": None}, "append", text_fields=["body"], members={"primary_key": [["id"]]})

    assert isinstance(operation, Skip)


def test_record_without_text_removes_its_old_chunks_where_one_key_has_one_version() -> None:
    operation = read(
        {"id": 1, "body": "", "at": 7}, "append_dedup", text_fields=["body"], members={"cursor_field": "at"}
    )

    assert isinstance(operation, Delete)
    assert (operation.because, operation.key, operation.cursor) == ("no_text", record_key({"id": 1}, (("id",),)), "7")


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
def test_record_without_text_is_stored_where_the_user_wants_it(mode: str) -> None:
    document = document_of({"id": 1, "body": " "}, mode, text_fields=["body"], records_without_text="store")

    assert (document.text, document.given, document.metadata) == ("", {}, {"id": 1, "body": " "})
    assert (document.key is not None) == (mode == "append_dedup")


@pytest.mark.parametrize(
    ("processing", "named"),
    [
        ({"text_fields": ["body", "more"]}, "body, more"),
        ({}, "any field"),
        ({"text_format": {"mode": "template", "template": "On {title}: {body}"}}, "title, body"),
    ],
)
def test_record_without_text_ends_the_sync_where_the_user_wants_it(processing: Json, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"title": None, "other": {"secret": ""}}, records_without_text="fail", **processing)

    assert caught.value.message == (
        f"The record on line 5 (stream 'users') has no text in {named}; correct it at the source, choose other text "
        "fields, or set processing.records_without_text to skip or store."
    )


@pytest.mark.parametrize("without_text", ["skip", "store", "fail"])
def test_deleted_row_is_deleted_whatever_becomes_of_records_without_text(without_text: str) -> None:
    data = {"id": 1, "_ab_cdc_deleted_at": "2024"}
    operation = read(data, "append_dedup", text_fields=["body"], records_without_text=without_text)

    assert isinstance(operation, Delete)
    assert operation.because == "deleted"


@pytest.mark.parametrize("without_text", ["store", "fail"])
def test_record_with_a_vector_needs_no_text(without_text: str) -> None:
    document = document_of({"vector": [1, 2], "body": None}, embedding=FROM_FIELD, records_without_text=without_text)

    assert (document.text, document.given) == ("", {UNNAMED: Dense.of([1, 2])})


# ----------------------------------------------------------------------------------------------------------
# Forms of the text


AROUND = {"mode": "template", "template": "{title}: {chunk}"}


def test_text_is_made_by_the_form_and_the_fields_of_the_stream() -> None:
    data = {"title": "T", "body": "B"}
    around = document_of(data, text_fields=["body"], text_format=AROUND)

    assert document_of(data, text_format={"mode": "values"}, text_fields=["body", "title"]).text == "B\n\nT"
    assert document_of(data, text_format={"mode": "template", "template": "{title}: {body}"}).text == "T: B"
    assert (around.text, around.frame and around.frame.around("…"), around.line_number) == ("B", "T: …", 5)
    assert document_of(data).frame is None
    assert document_of({"title": "T"}, text_fields=["body"], text_format=AROUND).text == ""


def test_fields_of_a_template_are_those_of_the_record_and_not_their_new_names() -> None:
    mappings = [{"from_field": "title", "to_field": "body"}]
    form = {"mode": "template", "template": "{title}|{body}"}

    assert document_of({"title": "T"}, text_format=form, field_name_mappings=mappings).text == "T|"


def test_fields_of_a_template_leave_a_payload_that_is_too_large_first() -> None:
    data = {"id": 1, "body": "b" * 2 * MIB, "html": "h" * 900_000, "title": "T" * 300_000}

    assert left_out(document_of(data, text_fields=["body"], text_format=AROUND)) == ["body", "title"]


# ----------------------------------------------------------------------------------------------------------
# Deletes


@pytest.mark.parametrize("deleted_at", ["2024-01-01T00:00:00Z", 0, False, ""])
def test_deleted_row_removes_its_key_whatever_the_mark_says(deleted_at: object) -> None:
    operation = read({"id": 1, "body": "x", "_ab_cdc_deleted_at": deleted_at}, "append_dedup")

    assert isinstance(operation, Delete)
    assert (operation.because, operation.key, operation.cursor) == ("deleted", record_key({"id": 1}, (("id",),)), None)


def test_row_with_an_empty_mark_is_not_deleted() -> None:
    document = document_of({"id": 1, "_ab_cdc_deleted_at": None, "_ab_cdc_lsn": 5}, "append_dedup")

    assert document.metadata == {"id": 1, "_ab_cdc_deleted_at": None, "_ab_cdc_lsn": 5}
    assert document.text == "id: 1\n_ab_cdc_lsn: 5"


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_deleted_row_is_a_document_where_nothing_is_deduplicated(mode: str) -> None:
    data = {"id": 1, "body": "x", "_ab_cdc_deleted_at": "2024"}

    document = document_of(data, mode, text_fields=["body"], members={"primary_key": [["id"]]})

    assert (document.text, document.metadata) == ("body: x", data)


def test_deleted_row_needs_no_vector() -> None:
    data = {"id": 1, "_ab_cdc_deleted_at": "2024"}

    removed = read(data, "append_dedup", embedding=FROM_FIELD)
    skipped = read({**data, "vector": None}, "append", embedding=FROM_FIELD)

    assert isinstance(removed, Delete)
    assert isinstance(skipped, Skip)
    assert (removed.because, skipped.because) == ("deleted", "deleted")


def test_deleted_row_with_a_vector_is_a_document_where_nothing_is_deduplicated() -> None:
    data = {"id": 1, "_ab_cdc_deleted_at": "2024", "vector": [1, 2]}

    assert document_of(data, "append", embedding=FROM_FIELD).given == {UNNAMED: Dense.of([1, 2])}


# ----------------------------------------------------------------------------------------------------------
# Vectors that come with the record


@pytest.mark.parametrize(
    ("data", "text"), [({"vector": [1, 0.5], "body": "x"}, "body: x"), ({"vector": [1, 0.5], "body": None}, "")]
)
def test_given_vector_makes_a_document_with_or_without_text(data: Json, text: str) -> None:
    document = document_of(data, embedding=FROM_FIELD)

    assert (document.text, document.given) == (text, {UNNAMED: Dense.of([1, 0.5])})
    assert document.metadata == {"body": data["body"]}
    assert "vector" in data


def test_given_vector_enters_neither_text_nor_metadata_though_both_name_it() -> None:
    fields = ["vector", "vector.*", "body"]

    document = document_of(
        {"vector": [1, 2], "body": "x"}, embedding=FROM_FIELD, text_fields=fields, metadata_fields=fields
    )

    assert (document.text, document.metadata) == ("body: x", {"body": "x"})


def test_without_given_vectors_a_document_has_none() -> None:
    assert document_of({"body": "x"}).given == {}


@pytest.mark.parametrize("vector", ["absent", None, [1], [1, 2, 3], "secret content", ["secret", 1], [math.nan, 1]])
def test_missing_or_wrong_vector_is_named_by_field_and_line_without_its_content(vector: object) -> None:
    data = {"body": "secret content"} if vector == "absent" else {"body": "secret content", "vector": vector}

    with pytest.raises(
        ConfigError, match=r"vector in field 'vector' of the record on line 5 \(stream 'users'\)"
    ) as caught:
        read(data, embedding=FROM_FIELD)

    assert "embedding.dimensions" in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.__suppress_context__


def test_a_given_vector_gets_the_name_of_the_configuration() -> None:
    unnamed = config_of(FROM_FIELD)
    config = unnamed.model_copy(update={"indexing": unnamed.indexing.model_copy(update={"vector_name": "text"})})
    operation = DocumentReader(stream_of(config), config).read(record_of({"vector": [1, 2]}), 5)

    assert isinstance(operation, Upsert)
    assert operation.document.given == {"text": Dense.of([1, 2])}


# ----------------------------------------------------------------------------------------------------------
# Metadata


def test_metadata_is_the_whole_record_or_the_chosen_fields() -> None:
    data = {"id": 1, "user": {"name": "N"}, "tags": [{"l": "x"}, {"l": "y"}], "nothing": None}

    assert document_of(data).metadata == data
    assert document_of(data, metadata_fields=["user.name", "tags.*.l", "nothing", "absent"]).metadata == {
        "user.name": "N",
        "tags.*.l": ["x", "y"],
        "nothing": None,
    }


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_metadata_leaves_the_connectors_own_fields_alone(name: str) -> None:
    document = document_of({"body": "x", name: "spoof"})

    assert document.metadata == {"body": "x"}
    assert document.changes == ({"field": name, "change": "NULLED", "reason": SERIALIZATION},)


def test_no_field_is_renamed_to_one_of_the_connectors_own() -> None:
    mappings = [{"from_field": "body", "to_field": "_ab_stream"}]

    assert document_of({"id": 1, "body": "x"}, field_name_mappings=mappings).metadata == {"id": 1}


def test_what_was_lost_is_noted_in_the_order_of_the_fields() -> None:
    """Also where a name is taken: record hashes depend on the order."""
    document = document_of({"id": 1, "a\ud800": "x", "_ab_stream": "y", "b": math.nan, "_ab_meta": 1})

    assert [change["field"] for change in document.changes] == ["a\ufffd", "_ab_stream", "b", "_ab_meta"]


def test_a_key_of_the_whole_content_beside_a_fractional_cursor_is_what_it_always_was() -> None:
    """Fractions beyond decimals stay text there, and ids may not change."""
    config = config_of({**FROM_FIELD, "field_name": "v"})
    stream = stream_of(config, "append_dedup", cursor_field=["at"])
    data = '{"id":null,"at":1.25,"x":1e999999999999999999999,"v":[1,2]}'
    record = read_message(f'{{"type":"RECORD","record":{{"stream":"users","data":{data}}}}}'.encode(), frozenset({"v"}))
    assert isinstance(record, Record)
    operation = DocumentReader(stream, config).read(record, 5)
    assert isinstance(operation, Upsert)
    plain = {"id": None, "at": 1.25, "x": "1e999999999999999999999", "v": [1, 2]}
    assert operation.document.key == record_key(plain, (("id",),))


def test_a_key_of_the_whole_content_has_every_digit_of_the_vector() -> None:
    config = config_of({**FROM_FIELD, "field_name": "v"})
    stream = stream_of(config, "append_dedup")
    keys = set()
    for number in (10**20, 10**20 + 1):
        line = f'{{"type":"RECORD","record":{{"stream":"users","data":{{"id":null,"v":[{number},1.5]}}}}}}'
        record = read_message(line.encode(), frozenset({"v"}))
        assert isinstance(record, Record)
        operation = DocumentReader(stream, config).read(record, 5)
        assert isinstance(operation, Upsert)
        assert operation.document.key == record_key({"id": None, "v": [number, 1.5]}, (("id",),))
        keys.add(operation.document.key)

    assert len(keys) == 2


def test_metadata_can_be_stored_and_says_what_was_lost() -> None:
    document = document_of({"n": 10**32, "bad": math.nan, "t": "a\ud800", "k\ud800": 1})

    assert document.metadata == {"n": "1" + "0" * 32, "bad": None, "t": "a\ufffd", "k\ufffd": 1}
    assert {(change["field"], change["change"]) for change in document.changes} == {
        ("bad", "NULLED"),
        ("t", "TRUNCATED"),
        ("k\ufffd", "TRUNCATED"),
    }
    assert document.metadata_bytes == bytes_of(document)


def test_changes_of_the_source_come_first_and_can_be_stored() -> None:
    config = config_of()
    upstream = {"field": "a\ud800", "change": "NULLED", "reason": "NEW_REASON", "n": 2**70, "x": math.nan}
    record = record_of({"bad": math.inf, "body": "x"}, changes=(upstream,))

    operation = DocumentReader(stream_of(config), config).read(record, 1)

    assert isinstance(operation, Upsert)
    first, *others = operation.document.changes
    assert first == {"field": "a\ufffd", "change": "NULLED", "reason": "NEW_REASON"}
    assert {"field": "bad", "change": "NULLED", "reason": SERIALIZATION} in others
    orjson.dumps(operation.document.changes)


# ----------------------------------------------------------------------------------------------------------
# The payload's byte cap


def left_out(document: Document) -> list[str]:
    assert all(change["change"] == "NULLED" and change["reason"] == SIZE_LIMIT for change in document.changes)
    return [change["field"] for change in document.changes]


def test_text_fields_leave_a_payload_that_is_too_large_first() -> None:
    data = {"id": 1, "body": "b" * 2 * MIB, "html": "h" * 900_000, "title": "T"}

    document = document_of(data, text_fields=["body", "title"])

    assert document.metadata == {"id": 1, "html": data["html"], "title": "T"}
    assert left_out(document) == ["body"]
    assert document.text.startswith("body: bbb")


def test_small_text_field_leaves_before_a_large_other_field_if_that_is_enough() -> None:
    data = {"other": "o" * 3000, "a": "a" * 500, "b": "b" * 1000}

    document = document_of(data, text_fields=["a", "b"], max_payload_bytes=BOOKKEEPING_BYTES + 3_800)

    assert left_out(document) == ["b"]


def test_after_the_text_fields_the_largest_field_leaves() -> None:
    data = {"id": 1, "small": "s", "large": "l" * 600_000, "larger": "m" * 700_000, "body": "x"}

    document = document_of(data, text_fields=["body"])

    assert document.metadata == {"id": 1, "small": "s", "large": data["large"]}
    assert left_out(document) == ["body", "larger"]


def test_payload_within_the_cap_loses_nothing() -> None:
    around = len('{"body":""}' + "[]" + "[null,null,null]")
    data = {"body": "b" * (MIB - BOOKKEEPING_BYTES - around)}

    assert document_of(data).metadata == data
    assert left_out(document_of({"body": data["body"] + "b"})) == ["body"]


@pytest.mark.parametrize(
    ("primary_key", "data", "options", "kept"),
    [
        ([["id"]], {"id": "k" * 2 * MIB, "body": "x"}, {}, "id"),
        ([["o", "id"]], {"o": {"id": 1, "more": "k" * 2 * MIB}, "body": "x"}, {}, "o"),
        ([["o", "id"]], {"o": {"id": "k" * 2 * MIB}, "body": "x"}, {"metadata_fields": ["o.id", "body"]}, "o.id"),
        (
            [["id"]],
            {"id": "k" * 2 * MIB, "body": "x"},
            {"field_name_mappings": [{"from_field": "id", "to_field": "key"}]},
            "key",
        ),
    ],
)
def test_key_columns_never_leave(primary_key: Any, data: Json, options: Json, kept: str) -> None:
    document = document_of(
        data, "append_dedup", text_fields=["body", "id"], members={"primary_key": primary_key}, **options
    )

    assert list(document.metadata) == [kept]
    assert left_out(document) == ["body"]


@pytest.mark.parametrize(
    ("primary_key", "data", "fields", "stored"),
    [
        ([["id"], ["at"]], {"id": 10**32, "at": 1.5, "more": 1}, ["category"], {"id": "1" + "0" * 32, "at": 1.5}),
        ([["o", "id"]], {"o": {"id": "a", "more": 1}}, ["category"], {"o.id": "a"}),
        ([["o", "id"]], {"o": {"id": "a", "more": 1}}, ["o"], {"o": {"id": "a", "more": 1}}),
        ([["o", "id"]], {"o": {"id": "a"}}, ["o.id"], {"o.id": "a"}),
        ([["o", "id"]], {"o": {"id": "a", "b": 1}}, ["o.*"], {"o.*": ["a", 1], "o.id": "a"}),
        ([["id"], ["gone"]], {"id": None}, ["category"], {}),
        ([["id"]], {"id": {"a": 1}}, ["category"], {}),
        ([["id"]], {"id": "k" * 1025}, ["category"], {}),  # the key itself holds only a digest of it
    ],
)
def test_key_columns_are_stored_as_they_are_though_others_were_chosen(
    primary_key: Any, data: Json, fields: list[str], stored: Json
) -> None:
    data = {**data, "body": "x", "category": "c"}
    members = {"primary_key": primary_key}
    document = document_of(data, "append_dedup", text_fields=["body"], metadata_fields=fields, members=members)

    assert document.metadata == ({"category": "c"} if "category" in fields else {}) | stored
    assert document.text == "body: x"


def test_renamed_text_field_leaves_first() -> None:
    mappings = [{"from_field": "body", "to_field": "content"}]
    data = {"body": "b" * 600_000, "html": "h" * 700_000}

    document = document_of(data, text_fields=["body"], field_name_mappings=mappings)

    assert left_out(document) == ["content"]


def test_twenty_thousand_fields_are_not_replaced_by_as_many_notes() -> None:
    document = document_of({f"field_{number}": "v" * 80 for number in range(20_000)})

    named = left_out(document)
    assert named[-1] == "*"
    assert len(named) == 21
    assert document.metadata_bytes == pytest.approx(MIB - BOOKKEEPING_BYTES, abs=200)


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"'])
def test_twenty_thousand_fields_that_cannot_be_stored_are_few_notes(value: str) -> None:
    fields = ",".join(f'"field_{number}":{value}' for number in range(20_000))

    document = read_line(f'{{"id":1,{fields}}}')

    assert [change["field"] for change in document.changes] == [*(f"field_{number}" for number in range(20)), "*"]
    assert len(document.metadata) == 20_001
    assert document.metadata_bytes == bytes_of(document)


def longest_payload(document: Document, cap: int) -> int:
    form = PointFormat("f" * 32, 1_700_000_000_000, "text", omit_text=False, max_payload_bytes=cap, fingerprint="fake")
    chunks = [Chunk(0, document.text), Chunk(1, "short")]
    found = (to_point(placed, {}, form) for placed in place(document, chunks, 1, form))
    return max(len(orjson.dumps(point.payload)) for point in found)


LARGE = 3 * MIB


@pytest.mark.parametrize(
    ("data", "meta"),
    [
        ('{"id":1,"body":"x","at":"@"}', "{}"),
        ('{"id":1,"body":"x","at":{"deep":"@"}}', "{}"),
        ('{"id":1,"body":"x","@":1}', "{}"),
        ('{"id":1,"body":"@"}', "{}"),
        ('{"id":1,"body":"x"}', '{"changes":[{"field":"@","change":"NULLED","reason":"@"}]}'),
        ('{"id":1,"body":"x"}', '{"changes":[{"field":"f","change":"NULLED","reason":"R","note":"@"}]}'),
        (
            '{"id":1,"body":"x"}',
            '{"changes":[' + ",".join(f'{{"field":"f{n}{"@" * 3}","change":"@"}}' for n in range(50)) + "]}",
        ),
    ],
    ids=["cursor", "cursor object", "name", "text", "changes", "more in changes", "many changes"],
)
@pytest.mark.parametrize("letter", ["x", "é", "\\u0001"])
def test_no_payload_exceeds_the_cap_whatever_is_large(data: str, meta: str, letter: str) -> None:
    large = letter * (LARGE if "changes" not in meta or 'field":"f0' not in meta else 50_000)

    document = read_line(
        data.replace("@", large),
        meta=meta.replace("@", large),
        cursor_field=["at"],
        processing={"text_fields": ["body"]},
    )

    assert document.metadata["id"] == 1
    assert document.metadata_bytes == pytest.approx(bytes_of(document), abs=2)
    assert longest_payload(document, MIB) <= MIB


def test_only_key_columns_exceed_the_cap_and_not_by_their_copies() -> None:
    """The column itself stays; the key and the id made of it do not repeat it."""
    document = read_line(f'{{"id":"{"k" * LARGE}","body":"x"}}', processing={"text_fields": ["body"]})

    assert list(document.metadata) == ["id"]
    assert document.key is not None
    assert document.key.text.startswith('{"digest":"')
    assert (document.airbyte_id, document.takes_over) == (None, False)
    assert longest_payload(document, MIB) < LARGE + 2048


@pytest.mark.parametrize("column", ["text", "page"])
def test_another_column_of_the_name_of_the_chunks_text_is_left_out_and_noted(column: str) -> None:
    config = _config_with_text_field(column)

    document = _document(config, {"id": 1, column: "secret", "body": "x"})

    assert document.metadata == {"id": 1, "body": "x"}
    assert document.changes == ({"field": column, "change": "NULLED", "reason": SERIALIZATION},)


@pytest.mark.parametrize(
    "options", [{"text_fields": ["body", "page"]}, {"text_fields": []}, {"omit_raw_text": True}], ids=str
)
def test_the_column_stays_where_its_text_is_in_the_chunk_or_no_chunk_text_is_stored(options: Json) -> None:
    config = _config_with_text_field("page", **options)

    document = _document(config, {"id": 1, "page": "p", "body": "x"})

    assert document.metadata == {"id": 1, "page": "p", "body": "x"}
    assert document.changes == ()


def test_a_column_renamed_to_the_name_of_the_chunks_text_is_left_out_too() -> None:
    config = _config_with_text_field("page", field_name_mappings=[{"from_field": "title", "to_field": "page"}])

    assert _document(config, {"title": "t", "body": "x"}).metadata == {"body": "x"}


def _config_with_text_field(text_field: str, *, omit_raw_text: bool = False, **processing: Any) -> Config:
    return parse_config(
        {
            "processing": {"chunk_size": 500, "text_fields": ["body"], **processing},
            "embedding": {"mode": "fake"},
            "indexing": {"url": "http://localhost:6333", "collection": "documents", "text_field": text_field},
            "omit_raw_text": omit_raw_text,
        }
    )


def _document(config: Config, data: Json) -> Document:
    operation = DocumentReader(stream_of(config), config).read(record_of(data), 1)
    assert isinstance(operation, Upsert)
    return operation.document


@given(
    st.dictionaries(st.text("abcé", min_size=1, max_size=8), st.text(max_size=800), max_size=40),
    st.integers(1024, 4096),
)
def test_metadata_and_notes_never_exceed_the_cap(data: Json, cap: int) -> None:
    document = document_of({"x": "a text", **data}, max_payload_bytes=cap)

    size = bytes_of(document)
    named = bool(document.changes)
    assert document.metadata_bytes == pytest.approx(size, abs=2)
    assert size <= cap - BOOKKEEPING_BYTES or document.metadata == {}
    assert named == (len(document.metadata) < len({"x": "", **data}))


# ----------------------------------------------------------------------------------------------------------
# Key, cursor, time


def test_document_knows_its_key_wherever_the_catalog_has_one() -> None:
    key = record_key({"id": 1}, (("id",),))

    assert document_of({"id": 1}, "append_dedup").key == key
    assert document_of({"id": 1}, "append", members={"primary_key": [["id"]]}).key == key
    assert document_of({"id": 1}, "append").key is None


@pytest.mark.parametrize(
    ("value", "cursor"), [(7, "7"), (0.1, "0.1"), ("a\ud800", "a\ufffd"), (None, None), (10**32, "1" + "0" * 32)]
)
def test_cursor_is_text_that_can_be_stored(value: object, cursor: str | None) -> None:
    assert document_of({"id": 1, "o": {"at": value}}, members={"cursor_field": ["o", "at"]}).cursor == cursor


def key_of(number: str, more: str = "") -> str:
    document = read_line(f'{{"id":{number}{more}}}')
    assert document.key is not None
    return document.key.text


DIFFERENT = ["1.00000000000000000001", "1.00000000000000000002", "1", "1e400", "2e400", "1e-400", "0", '"1e400"']


def test_keys_that_a_float_would_merge_stay_apart() -> None:
    assert len({key_of(number) for number in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"), [("1.5", "1.50"), ("1", "1.0"), ("1e2", "100"), ("1e25", "1" + "0" * 25), ("-0.0", "0")]
)
def test_keys_of_equal_numbers_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize("number", ["0.1", "1.5", "1e25", "123456.789", "-7.25e3", "9007199254740993e0"])
def test_a_key_does_not_depend_on_other_columns(number: str) -> None:
    assert key_of(number) == key_of(number, ',"more":0.12345678901234567890') == key_of(number, ',"more":1e400')


def test_ordinary_fractions_have_the_key_they_always_had() -> None:
    for number in (0.1, 1.5, -2.25, 3.0, 1234567.875):
        assert key_of(str(number), ',"more":1e400') == record_key({"id": number}, (("id",),)).text


def test_digits_of_a_cursor_that_a_float_would_lose_are_kept() -> None:
    cursors = [
        read_line(f'{{"id":1,"at":{number}}}', cursor_field=["at"]).cursor
        for number in ("1.00000000000000000001", "1e400", "1.5")
    ]

    assert cursors == ["1.00000000000000000001", "1E+400", "1.5"]


def test_a_cursor_that_is_too_long_cannot_be_compared_and_is_not_missing() -> None:
    assert document_of({"id": 1, "at": "9" * 129}, members={"cursor_field": "at"}).cursor == ""


def test_without_a_cursor_field_there_is_no_cursor() -> None:
    assert document_of({"at": 7}).cursor is None


@pytest.mark.parametrize(
    ("emitted_at", "extracted_at"),
    [
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (None, None),
        (10**15 - 1, None),
    ],
)
def test_extraction_time_is_rfc_3339(emitted_at: int | None, extracted_at: str | None) -> None:
    config = config_of()

    operation = DocumentReader(stream_of(config), config).read(record_of({"a": 1}, emitted_at=emitted_at), 1)

    assert isinstance(operation, Upsert)
    assert operation.document.extracted_at == extracted_at


# ----------------------------------------------------------------------------------------------------------
# Takeover of what Airbyte's connector wrote


def test_airbytes_id_is_known_where_its_connector_wrote_one() -> None:
    assert document_of({"id": "a"}, "append_dedup").airbyte_id == "users_a"
    assert document_of({"id": "a\ud800"}, "append_dedup").airbyte_id == "users_a\ufffd"
    assert document_of({"id": "a"}, "append", members={"primary_key": [["id"]]}).airbyte_id is None


def test_airbytes_id_of_more_than_1024_characters_is_left_out_and_takes_nothing_over() -> None:
    longest = "x" * (1024 - len("users_"))

    whole, longer = (document_of({"id": each}, "append_dedup") for each in (longest, longest + "x"))
    removed = read({"id": longest + "x", "_ab_cdc_deleted_at": 1}, "append_dedup")

    assert (whole.airbyte_id, whole.takes_over) == (f"users_{longest}", True)
    assert (longer.airbyte_id, longer.takes_over) == (None, False)
    assert isinstance(removed, Delete)
    assert removed.airbyte_id is None


INTEGER_ID = {"schema": {"properties": {"id": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("value", "members", "takes_over"), [("a", {}, True), (1, INTEGER_ID, True), (1, {}, False), (None, {}, False)]
)
@pytest.mark.parametrize("end", [{"body": "x"}, {"body": None}, {"_ab_cdc_deleted_at": 1}])
def test_airbytes_points_are_taken_over_if_they_can_be_no_other_records(
    value: object, members: Json, end: Json, *, takes_over: bool
) -> None:
    operation = read({"id": value, **end}, "append_dedup", text_fields=["body"], members=members)

    if isinstance(operation, Upsert):
        assert operation.document.takes_over == takes_over
    else:
        assert isinstance(operation, Delete)
        assert operation.airbyte_id == (f"users_{value}" if takes_over else None)


def test_nothing_is_taken_over_for_a_stream_of_an_ambiguous_name() -> None:
    config = config_of()
    entry = {"stream": {"name": "a_b"}, "destination_sync_mode": "append_dedup", "primary_key": [["id"]]}
    stream = read_catalog({"streams": [entry]}, config).streams[0]

    operation = DocumentReader(stream, config).read(record_of({"id": "x"}), 1)

    assert isinstance(operation, Upsert)
    assert not operation.document.takes_over


# ----------------------------------------------------------------------------------------------------------
# Text fields that no record can have


@pytest.mark.parametrize(
    ("schema", "fields", "is_missing"),
    [
        ({"properties": {"a": {"type": "string"}}}, ["b"], True),
        ({"properties": {"a": {"type": "string"}}}, ["a.b", "b.*"], True),
        ({"properties": {"a": {"type": "string"}}}, ["b", "a"], False),
        ({"properties": {"a": {"type": "object"}}}, ["a.b"], False),
        ({"properties": {"a": {"type": "string"}}}, [], False),
        ({"properties": {}}, ["b"], False),
        ({"properties": None}, ["b"], False),
        ({}, ["b"], False),
    ],
)
def test_text_fields_are_missing_if_no_record_of_the_schema_can_have_any(
    schema: Json, fields: list[str], *, is_missing: bool
) -> None:
    error = missing_text_fields(stream_of(config_of(text_fields=fields), schema=schema))

    assert (error is not None) == is_missing


@pytest.mark.parametrize(
    ("template", "fields", "told"),
    [
        (
            "{b} {c.*}",
            [],
            "(b, c.*) exists in stream 'users', whose fields are: a; change processing.text_format.template.",
        ),
        ("{b} {a}", [], ""),
        ("{b}: {chunk}", [], ""),
        ("{a}: {chunk}", ["b"], ""),
        (
            "{c}: {chunk}",
            ["b"],
            "(b, c) exists in stream 'users', whose fields are: a; change processing.text_fields and",
        ),
    ],
)
def test_fields_of_a_template_are_text_fields(template: str, fields: list[str], told: str) -> None:
    config = config_of(text_fields=fields, text_format={"mode": "template", "template": template})
    error = missing_text_fields(stream_of(config, schema={"properties": {"a": {"type": "string"}}}))

    assert (error is None) == (not told)
    assert error is None or f"None of the text fields {told}" in error.message


SCHEMA = {"properties": {"title": {"type": "string"}, "body": {"type": "string"}, "user": {"type": "object"}}}


@pytest.mark.parametrize(
    ("template", "fields", "told"),
    [
        ("{titel}: {body}", [], "titel"),
        ("{titel} {user.name}: {chunk}", [], "titel"),
        ("{.titel}: {chunk}", ["bdy", "body"], "bdy (in 'users'), .titel"),
        ("{title}: {body}", ["of no matter"], ""),
        ("{title}: {chunk}", [], ""),
        (None, ["title", "bdy"], "bdy"),
        (None, ["title", "user.name"], ""),
        (None, [], ""),
    ],
)
def test_fields_that_the_schema_does_not_have_are_told(template: str | None, fields: list[str], told: str) -> None:
    form = {"text_format": {"mode": "template", "template": template}} if template else {}
    found = fields_without_column([stream_of(config_of(text_fields=fields, **form), schema=SCHEMA)])

    assert found.startswith(
        f"By the schema no record has these fields, so no text comes from them: {told} (in 'users'); if"
    ) == bool(told)
    assert bool(found) == bool(told)


@pytest.mark.parametrize("schema", [{}, {"properties": {}}, {"type": "object", "properties": {"body": {}, "bdy": {}}}])
def test_a_text_field_that_one_of_the_streams_may_have_is_not_told(schema: Json) -> None:
    config = config_of(text_fields=["body", "bdy"])
    streams = [stream_of(config, schema=SCHEMA), stream_of(config, schema=schema)]

    assert fields_without_column(streams) == ""
    assert fields_without_column(streams[:1])


def test_missing_text_fields_are_told_with_the_fields_there_are() -> None:
    names = [f"f{number:02}" for number in range(25)]
    schema = {"properties": {name: {} for name in reversed(names)}}

    error = missing_text_fields(stream_of(config_of(text_fields=["x", "y.z"]), schema=schema))
    short = missing_text_fields(stream_of(config_of(text_fields=["x"]), schema={"properties": {"a": {}, "b": {}}}))

    assert error is not None
    assert short is not None
    assert (
        f"None of the text fields (x, y.z) exists in stream 'users', whose fields are: {', '.join(names[:20])}, …;"
        in (error.message)
    )
    assert "whose fields are: a, b; change processing.text_fields. Nothing was written." in short.message
    assert json.dumps(error.message)
