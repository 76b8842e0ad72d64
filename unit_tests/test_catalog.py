"""What a configured catalog says, and which stream a message means."""

from __future__ import annotations

from typing import Any

import pytest
from builders import config_with

from destination_qdrant.catalog import Catalog, DestinationStream, read_catalog, settings_without_stream
from destination_qdrant.config import (
    Config,
    FieldsFormat,
    SeparatorSplitter,
    TemplateFormat,
    ValuesFormat,
    WholeText,
    parse_config,
)
from destination_qdrant.errors import ConfigError, SystemFault
from destination_qdrant.protocol import Descriptor

Json = dict[str, Any]


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(
        {
            "processing": {"chunk_size": 500, "text_fields": ["body"], "metadata_fields": ["id", "title"]},
            "embedding": {"mode": "fake"},
            "indexing": {"url": "http://localhost:6333", "collection": "documents"},
        }
    )


def entry(name: str = "s", namespace: object = None, **members: Any) -> Json:
    return {"stream": {"name": name, "namespace": namespace}, "destination_sync_mode": "append", **members}


def read_one(config: Config, **members: Any) -> DestinationStream:
    (stream,) = read_catalog({"streams": [entry(**members)]}, config).streams
    return stream


def test_stream_is_read_with_everything_it_asks_for(config: Config) -> None:
    raw = {
        "stream": {
            "name": "users",
            "namespace": "public",
            "json_schema": {"properties": {"id": {}}},
            "is_resumable": True,
        },
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "primary_key": [["org", "id"], ["id"]],
        "cursor_field": ["updated", "at"],
        "generation_id": 7,
        "minimum_generation_id": 7,
        "sync_id": 42,
        "include_files": False,
    }

    assert read_catalog({"streams": [raw], "more": 1}, config) == Catalog(
        (
            DestinationStream(
                descriptor=Descriptor("public", "users"),
                sync_mode="append_dedup",
                primary_key=(("id",), ("org", "id")),
                cursor=("updated", "at"),
                generation_id=7,
                minimum_generation_id=7,
                sync_id=42,
                json_schema={"properties": {"id": {}}},
                collection="documents",
                text_fields=("body",),
                metadata_fields=("id", "title"),
                text_format=FieldsFormat(),
                text_splitter=SeparatorSplitter(),
            ),
        )
    )
    assert read_one(config_with(version_guard=False)).version_guard is False


@pytest.mark.parametrize("extra", [{}, dict.fromkeys(["primary_key", "cursor_field", "generation_id", "sync_id"])])
def test_what_is_absent_or_null_is_empty(config: Config, extra: Json) -> None:
    stream = read_one(config, **extra)

    assert (stream.primary_key, stream.cursor, stream.json_schema) == ((), (), {})
    assert (stream.generation_id, stream.minimum_generation_id, stream.sync_id) == (None, 0, None)


@pytest.mark.parametrize("key", [[["b"], ["a"]], [["a"], ["b"]], ["b", "a"], [["a"], ["b"], ["a"], []]])
def test_columns_of_a_key_have_no_order(config: Config, key: Any) -> None:
    assert read_one(config, primary_key=key).primary_key == (("a",), ("b",))


@pytest.mark.parametrize(("field", "cursor"), [("at", ("at",)), (["at"], ("at",)), ([], ()), ("", ())])
def test_cursor_is_a_path(config: Config, field: Any, cursor: tuple[str, ...]) -> None:
    assert read_one(config, cursor_field=field).cursor == cursor


@pytest.mark.parametrize(
    ("namespace", "identifier"), [(None, "users"), ("", "users"), ("public", "public_users"), ("a_b", "a_b_users")]
)
def test_identifier_is_that_of_airbytes_connector(config: Config, namespace: object, identifier: str) -> None:
    assert read_one(config, name="users", namespace=namespace).identifier == identifier


@pytest.mark.parametrize(("mode", "is_dedup"), [("append", False), ("overwrite", False), ("append_dedup", True)])
def test_only_append_dedup_deduplicates(config: Config, mode: str, *, is_dedup: bool) -> None:
    stream = read_one(config, destination_sync_mode=mode, primary_key=[["id"]])

    assert (stream.sync_mode, stream.is_dedup) == (mode, is_dedup)


OWN_SETTINGS = [
    {"name": "s", "text_fields": ["everywhere"], "text_splitter": {"mode": "none"}},
    {"name": "s", "namespace": "n", "metadata_fields": ["here"], "text_format": {"mode": "values"}},
    {"name": "t", "namespace": "n", "text_fields": ["there"]},
]


def config_with_streams(*entries: Json) -> Config:
    return parse_config(
        {
            "processing": {
                "chunk_size": 500,
                "text_fields": ["body"],
                "metadata_fields": ["id"],
                "text_format": {"mode": "template", "template": "{body}"},
                "streams": list(entries),
            },
            "embedding": {"mode": "fake"},
            "indexing": {"url": "http://localhost:6333", "collection": "documents"},
        }
    )


@pytest.mark.parametrize(
    ("name", "namespace", "text", "metadata", "form", "splitter"),
    [
        ("s", None, "everywhere", "id", TemplateFormat(template="{body}"), WholeText()),
        ("s", "m", "everywhere", "id", TemplateFormat(template="{body}"), WholeText()),
        ("s", "n", "body", "here", ValuesFormat(), SeparatorSplitter()),
        ("t", "n", "there", "id", TemplateFormat(template="{body}"), SeparatorSplitter()),
        ("t", None, "body", "id", TemplateFormat(template="{body}"), SeparatorSplitter()),
        ("u", "n", "body", "id", TemplateFormat(template="{body}"), SeparatorSplitter()),
    ],
)
def test_settings_of_a_stream_are_those_of_its_namespace_or_of_its_name_or_of_all(
    name: str, namespace: str | None, text: str, metadata: str, form: object, splitter: object
) -> None:
    stream = read_one(config_with_streams(*OWN_SETTINGS), name=name, namespace=namespace)

    assert (stream.text_fields, stream.metadata_fields) == ((text,), (metadata,))
    assert (stream.text_format, stream.text_splitter) == (form, splitter)


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        ([("s", "n"), ("t", "n")], ""),
        ([("s", "m"), ("t", "n")], "'n.s', which"),
        ([("s", None), ("t", None)], "'n.s', 'n.t', which"),
        ([], "'s', 'n.s', 'n.t', which"),
    ],
)
def test_settings_for_streams_that_are_not_there_are_told(streams: list[tuple[str, str | None]], told: str) -> None:
    config = config_with_streams(*OWN_SETTINGS)
    warning = settings_without_stream(read_catalog({"streams": [entry(*each) for each in streams]}, config), config)

    assert (warning == "") == (not told)
    assert warning.startswith(f"processing.streams has settings for {told}" if told else "")


def test_of_many_settings_without_a_stream_ten_are_named() -> None:
    config = config_with_streams(*({"name": f"s{number}"} for number in range(12)))

    assert "'s8', 's9' and 2 more, which the catalog" in settings_without_stream(Catalog(()), config)


@pytest.mark.parametrize("raw", [None, [], {}, {"streams": None}, {"streams": {}}])
def test_catalog_out_of_shape_is_refused(config: Config, raw: object) -> None:
    with pytest.raises(ConfigError, match='not a configured catalog: it needs a list named "streams"'):
        read_catalog(raw, config)


@pytest.mark.parametrize("members", [{"name": "a\ud800"}, {"name": "s", "namespace": "\udfff"}])
def test_stream_whose_name_is_no_unicode_is_refused(config: Config, members: Json) -> None:
    with pytest.raises(ConfigError, match="a stream whose name or namespace is not valid Unicode; rename it") as caught:
        read_one(config, **members)

    caught.value.message.encode()


@pytest.mark.parametrize("raw", [None, {}, {"stream": None}, {"stream": {}}, {"stream": {"name": None}}])
def test_entry_without_a_stream_is_refused(config: Config, raw: object) -> None:
    with pytest.raises(ConfigError, match="an entry without a stream name"):
        read_catalog({"streams": [raw]}, config)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"destination_sync_mode": None}, "'n.s' asks for a destination sync mode .* choose append, overwrite or"),
        ({"destination_sync_mode": "update"}, "asks for a destination sync mode that this destination does not have"),
        ({"destination_sync_mode": ["append"]}, "asks for a destination sync mode"),
        ({"destination_sync_mode": "append_dedup"}, "'n.s' is to be deduplicated but has no primary key"),
        ({"destination_sync_mode": "append_dedup", "primary_key": [[]]}, "has no primary key"),
        ({"primary_key": "id"}, "primary_key of stream 'n.s' must be a list of paths"),
        ({"primary_key": [5]}, "primary_key of stream 'n.s' must be made of field names"),
        ({"primary_key": [["id", 5]]}, "primary_key of stream 'n.s' must be made of field names"),
        ({"cursor_field": {"at": 1}}, "cursor_field of stream 'n.s' must be made of field names"),
        ({"generation_id": "1"}, "generation_id of stream 'n.s' must be a whole number"),
        ({"generation_id": True}, "generation_id of stream 'n.s' must be a whole number"),
        ({"minimum_generation_id": -1}, "minimum_generation_id of stream 'n.s' must be a whole number"),
        ({"sync_id": 1.5}, "sync_id of stream 'n.s' must be a whole number"),
    ],
)
def test_stream_that_asks_for_the_impossible_is_refused_by_name(config: Config, members: Json, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_one(config, **{"name": "s", "namespace": "n", **members})


@pytest.mark.parametrize("generation", [None, 0, 1])
def test_minimum_above_the_generation_is_a_fault(config: Config, generation: int | None) -> None:
    with pytest.raises(SystemFault, match="minimum_generation_id 2 above its generation_id"):
        read_one(config, generation_id=generation, minimum_generation_id=2)


@pytest.mark.parametrize(("generation", "minimum"), [(0, 0), (5, 0), (5, 3), (5, 5), (None, 0)])
def test_minimum_up_to_the_generation_is_read(config: Config, generation: int | None, minimum: int) -> None:
    stream = read_one(config, generation_id=generation, minimum_generation_id=minimum)

    assert (stream.generation_id, stream.minimum_generation_id) == (generation, minimum)


def test_whole_numbers_may_be_written_as_floats(config: Config) -> None:
    stream = read_one(config, generation_id=5.0, minimum_generation_id=3.0, sync_id=7.0)

    assert repr((stream.generation_id, stream.minimum_generation_id, stream.sync_id)) == "(5, 3, 7)"


def test_stream_that_is_listed_twice_is_refused(config: Config) -> None:
    """A namespace of "" and none at all are one."""
    with pytest.raises(ConfigError, match="lists stream 's' twice"):
        read_catalog({"streams": [entry(namespace=""), entry(namespace=None)]}, config)


STREAMS = [("only", "n"), ("both", "n"), ("both", None), ("many", "n"), ("many", "m"), ("bare", None)]


@pytest.mark.parametrize(
    ("namespace", "name", "found"),
    [
        ("n", "only", ("n", "only")),
        (None, "only", ("n", "only")),
        ("", "only", ("n", "only")),
        ("m", "only", None),
        ("n", "both", ("n", "both")),
        (None, "both", (None, "both")),
        ("m", "many", ("m", "many")),
        (None, "bare", (None, "bare")),
        ("n", "bare", None),
        (None, "absent", None),
    ],
)
def test_message_belongs_to_its_stream_or_the_only_one_of_that_name(
    config: Config, namespace: str | None, name: str, found: tuple[str | None, str] | None
) -> None:
    catalog = read_catalog({"streams": [entry(each, space) for each, space in STREAMS]}, config)

    stream = catalog.find(Descriptor.of(namespace, name))

    assert (stream and stream.descriptor) == (Descriptor(*found) if found else None)
    if found:
        assert catalog.get(Descriptor.of(namespace, name)) is stream


def test_message_without_namespace_that_could_mean_several_streams_is_refused(config: Config) -> None:
    catalog = read_catalog({"streams": [entry(each, space) for each, space in STREAMS]}, config)

    with pytest.raises(ConfigError, match="stream 'many' has no namespace, but the catalog has that stream in 2"):
        catalog.find(Descriptor(None, "many"))


@pytest.mark.parametrize(("name", "is_known"), [("only", True), ("many", False), ("absent", False)])
def test_state_may_speak_of_a_stream_that_is_unknown_or_ambiguous(config: Config, name: str, *, is_known: bool) -> None:
    catalog = read_catalog({"streams": [entry(each, space) for each, space in STREAMS]}, config)

    assert (catalog.mentioned(Descriptor(None, name)) is not None) == is_known


def test_record_of_a_stream_outside_the_catalog_is_refused(config: Config) -> None:
    catalog = read_catalog({"streams": []}, config)

    with pytest.raises(ConfigError, match=r"a record of stream 'n\.s', which the configured catalog does not have"):
        catalog.get(Descriptor("n", "s"))
