"""The collection of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from builders import RUN, RecordingEmbedder, catalog, config, config_with
from memory_store import MemoryStore

from destination_qdrant.catalog import Catalog
from destination_qdrant.collection import (
    PROBE,
    Prepared,
    check_fits,
    prepare,
    probe_dimensions,
    wanted_vector,
)
from destination_qdrant.errors import ConfigError, TransientError
from destination_qdrant.generations import outdated
from destination_qdrant.points import AIRBYTE_INDEXES, CONTENT_HASH, INDEXES, NAMESPACE, RUN_ID, STREAM, of_airbyte
from destination_qdrant.protocol import Descriptor
from destination_qdrant.qdrant.base import CollectionInfo, PayloadIndex, VectorSchema
from destination_qdrant.site import Reuse
from destination_qdrant.vectors import UNNAMED

FITTING = VectorSchema("dense", 1536, "cos")
BY_KEY = Reuse(unchanged=True, by_key=True)
CATALOG = catalog({"stream": {"name": "users"}}, {"stream": {"name": "orders", "namespace": "shop"}})


class Undeclared(RecordingEmbedder):
    """An embedder that only an answer can tell the dimensions of."""

    @property
    def dimensions(self) -> int:  # the real ones answer None; a type of their own would say no more
        return 0


class NeverThere(MemoryStore):
    """A store that says it created the collection, and did not."""

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        self._called("create", vectors)


class AppearedMeanwhile(MemoryStore):
    """A store in which somebody else creates another collection at the same moment."""

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        super().create({name: replace(schema, dimensions=3) for name, schema in vectors.items()})


def _names(store: MemoryStore) -> list[str]:
    return [name for name, _ in store.calls]


def test_a_missing_collection_is_created_as_configured() -> None:
    store = MemoryStore()
    prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("create") == [{UNNAMED: FITTING}]
    assert store.called("create_indexes") == [INDEXES]


def test_an_existing_collection_is_kept_as_it_is() -> None:
    store = MemoryStore({UNNAMED: FITTING, "other": VectorSchema("sparse")})
    prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert "create" not in _names(store)
    assert store.called("create_indexes") == [INDEXES]


@pytest.mark.parametrize("store", [MemoryStore(), MemoryStore({UNNAMED: FITTING})], ids=["missing", "existing"])
def test_indexes_are_there_before_the_first_filter_runs(store: MemoryStore) -> None:
    prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)
    names = _names(store)

    assert names.index("create_indexes") < names.index("scroll")


@pytest.mark.parametrize(
    "schema",
    [VectorSchema("dense", 3, "cos"), VectorSchema("dense", 1536, "dot"), VectorSchema("multi", 1536, "cos")],
)
def test_a_collection_that_does_not_fit_is_refused_before_anything_changes(schema: VectorSchema) -> None:
    store = MemoryStore({UNNAMED: schema})

    with pytest.raises(ConfigError, match="indexing"):
        prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)
    assert _names(store) == ["describe", "recall"]


def test_a_collection_that_somebody_else_created_meanwhile_is_compared_too() -> None:
    with pytest.raises(ConfigError, match="3-dimensional"):
        prepare(AppearedMeanwhile(), config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)


def test_a_collection_that_is_not_there_after_creating_it_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"was created .* and is not there"):
        prepare(NeverThere(), config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)


def test_dimensions_that_are_not_known_are_measured_by_one_short_text() -> None:
    store, embedder = MemoryStore(), Undeclared()
    prepare(store, config(), embedder, CATALOG, run_id=RUN, loaded_at=1)

    assert embedder.texts == [PROBE]
    assert store.called("create") == [{UNNAMED: FITTING}]


def test_known_dimensions_cost_no_request() -> None:
    embedder = RecordingEmbedder()
    prepare(MemoryStore(), config(), embedder, CATALOG, run_id=RUN, loaded_at=1)

    assert embedder.requests == []


def test_probe_measures_what_really_comes_back() -> None:
    assert probe_dimensions(RecordingEmbedder(), MemoryStore(), config()) == 1536


VECTOR = "1536-dimensional cos vectors (unnamed)"


def test_streams_under_whose_name_airbytes_connector_left_points_are_found() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.put("theirs", **{STREAM: "shop_orders"})
    store.put("ours", **{STREAM: "users", NAMESPACE: "", RUN_ID: "before"})
    store.put("nobody's", text="by hand")

    assert prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1) == Prepared(
        1536,
        VECTOR,
        is_new=False,
        airbyte_streams=frozenset({Descriptor("shop", "orders")}),
        replicated=False,
        reuse=BY_KEY,
        warnings=(),
    )
    assert store.called("create_indexes") == [INDEXES, AIRBYTE_INDEXES]


def test_no_points_of_airbytes_connector_need_no_index() -> None:
    assert prepare(MemoryStore(), config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1) == Prepared(
        1536, VECTOR, is_new=True, airbyte_streams=frozenset(), replicated=False, reuse=BY_KEY, warnings=()
    )


REPLACING = [
    {"destination_sync_mode": "overwrite"},
    {"generation_id": 7, "minimum_generation_id": 7},
    {"generation_id": 1, "minimum_generation_id": 1},
]


@pytest.mark.parametrize("members", REPLACING)
def test_what_the_end_of_a_replacement_filters_by_is_tried_before_anything_is_written(members: dict[str, Any]) -> None:
    of = catalog({"stream": {"name": "users"}, **members})
    store = MemoryStore({UNNAMED: FITTING})
    prepare(store, config(), RecordingEmbedder(), of, run_id=RUN, loaded_at=1)
    tried = store.called("scroll")

    assert list(outdated(of.streams[0], RUN))
    assert tried[: len(tried) - (not of.streams[0].is_dedup)] == [
        *outdated(of.streams[0], RUN),
        of_airbyte(of.streams[0]),
    ]
    assert {"count", "upsert", "delete_where"}.isdisjoint(_names(store))


def test_a_filter_that_qdrant_refuses_fails_the_sync_early() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.faults["scroll"] = ConfigError("Qdrant refuses the filter.")

    with pytest.raises(ConfigError, match="refuses the filter"):
        prepare(
            store,
            config(),
            RecordingEmbedder(),
            catalog({"stream": {"name": "users"}, **REPLACING[0]}),
            run_id=RUN,
            loaded_at=1,
        )


def test_a_stream_that_replaces_nothing_is_only_asked_for_points_of_airbytes_connector() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("scroll") == [of_airbyte(each) for each in CATALOG.streams]


def test_a_collection_that_does_not_exist_fits() -> None:
    check_fits(None, config(), 1536, "memory")
    check_fits(CollectionInfo({UNNAMED: wanted_vector(config(), 1536)}), config(), 1536, "memory")


# ----------------------------------------------------------------------------------------------------------
# What the user asks for


def test_a_vector_gets_the_name_that_the_user_chose() -> None:
    store = MemoryStore()
    prepare(store, config_with(vector_name="text"), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("create") == [{"text": FITTING}]


def test_a_collection_that_must_exist_is_not_created() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigError) as caught:
        prepare(
            store,
            config_with(collection_management="must_exist"),
            RecordingEmbedder(),
            CATALOG,
            run_id=RUN,
            loaded_at=1,
        )

    assert caught.value.message == (
        "The collection does not exist in Qdrant at memory, and indexing.collection_management is must_exist: create "
        "it for 1536-dimensional cos vectors (unnamed), correct indexing.collection, or choose create_if_missing."
    )
    assert _names(store) == ["describe", "recall"]


def test_indexes_of_the_user_are_created_with_those_of_the_bookkeeping() -> None:
    wanted = [
        {"field": "category", "type": "keyword", "tenant": True},
        {"field": 'comments[]."author"', "type": "uuid", "on_disk": True},
    ]
    store = MemoryStore()
    prepare(store, config_with(payload_indexes=wanted), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("create_indexes") == [
        {
            **INDEXES,
            "category": PayloadIndex("keyword", tenant=True),
            "comments[].author": PayloadIndex("uuid", on_disk=True),  # as Qdrant spells it
        }
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (["two words"], r"The field 'two words' in indexing\.payload_indexes is no path"),
        (["_ab_stream"], r"The field _ab_stream in indexing\.payload_indexes begins with _ab_"),
        (['"_ab_stream"'], r"The field _ab_stream in indexing\.payload_indexes begins with _ab_"),
        (['"_ab_my own"'], r'The field "_ab_my own" in indexing\.payload_indexes begins with _ab_'),
        (["a", "b.c", '"b"."c"'], r"indexing\.payload_indexes names the field b\.c twice"),
    ],
)
def test_a_field_that_can_have_no_index_is_refused_before_anything_is_asked_for(fields: list[str], told: str) -> None:
    store = MemoryStore()
    with pytest.raises(ConfigError, match=f"^{told}"):
        prepare(
            store,
            config_with(payload_indexes=[{"field": field, "type": "text"} for field in fields]),
            RecordingEmbedder(),
            CATALOG,
            run_id=RUN,
            loaded_at=1,
        )

    assert store.calls == []


def test_an_index_of_another_type_is_kept_and_told_of_in_one_warning() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.indexes = {"at": PayloadIndex("keyword"), RUN_ID: PayloadIndex("text"), "id": PayloadIndex("integer")}
    wanted = [{"field": "at", "type": "datetime"}, {"field": "id", "type": "integer"}]
    prepared = prepare(
        store, config_with(payload_indexes=wanted), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1
    )

    (warning,) = prepared.warnings

    assert warning == (
        f"Payload indexes that exist are left as they are: {RUN_ID} is indexed as text, not as keyword; "
        "at is indexed as keyword, not as datetime."
    )


ENTRY = {
    "model": "fake",
    "dimensions": 1536,
    "chunking": '1000 tokens, 0 repeated, separators "\\n\\n" "\\n" " " "" dropped',
}


def test_the_model_is_noted_once_before_anything_is_written() -> None:
    store = MemoryStore()
    for _ in range(2):
        prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("remember") == [{"embedding": {"unnamed": ENTRY}}]


def test_another_model_changes_nothing_unless_the_guard_is_off() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.note = {"embedding": {"unnamed": {**ENTRY, "model": "other"}}}
    with pytest.raises(ConfigError, match="holds vectors of other"):
        prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert _names(store) == ["describe", "recall"]

    prepared = prepare(store, config_with(model_guard=False), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert [warning[:36] for warning in prepared.warnings] == ["The collection holds vectors of othe"]
    assert store.note == {"embedding": {"unnamed": ENTRY}}


def test_a_sync_that_is_refused_notes_nothing() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.faults["scroll"] = ConfigError("Qdrant refuses the filter.")
    with pytest.raises(ConfigError, match="refuses the filter"):
        prepare(store, config(), RecordingEmbedder(), CATALOG, run_id=RUN, loaded_at=1)

    assert store.called("remember") == []


# ----------------------------------------------------------------------------------------------------------
# What need not be done again


def _prepared(store: MemoryStore, of: Catalog = CATALOG, **indexing: Any) -> Prepared:
    return prepare(store, config_with(**indexing), RecordingEmbedder(), of, run_id=RUN, loaded_at=1)


def test_deduplicated_streams_need_no_index_to_find_their_vectors() -> None:
    store = MemoryStore()

    assert _prepared(store).reuse == BY_KEY
    assert CONTENT_HASH not in store.indexes


def test_other_streams_find_vectors_by_text_when_there_are_points_of_theirs() -> None:
    of = catalog(
        {"stream": {"name": "users"}, "destination_sync_mode": "append"},
        {"stream": {"name": "orders"}, "destination_sync_mode": "overwrite"},
        {"stream": {"name": "items"}},
    )
    store = MemoryStore()
    first = _prepared(store, of)
    store.put("before", **{STREAM: "users", NAMESPACE: "", RUN_ID: "before"})
    second = _prepared(store, of)

    assert first.reuse == BY_KEY
    assert second.reuse == replace(BY_KEY, texts_of=frozenset({Descriptor(None, "users")}))
    assert store.indexes[CONTENT_HASH] == PayloadIndex("keyword", on_disk=True, filters_searches=False)


@pytest.mark.parametrize("error", [ConfigError("The key may not."), TransientError("It takes too long.")])
def test_an_index_that_cannot_be_had_is_done_without(error: Exception) -> None:
    class NoIndexes(MemoryStore):
        def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
            if CONTENT_HASH in indexes:
                raise error

    prepared = _prepared(NoIndexes(), catalog({"stream": {"name": "users"}, "destination_sync_mode": "append"}))

    assert prepared.reuse == BY_KEY
    assert [warning[:45] for warning in prepared.warnings] == ["Without an index over _ab_content_hash (keywo"]


def test_an_index_of_another_type_is_of_no_use_and_told_of() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.indexes = {CONTENT_HASH: PayloadIndex("text")}
    store.put("before", **{STREAM: "users", NAMESPACE: "", RUN_ID: "before"})
    prepared = _prepared(store, catalog({"stream": {"name": "users"}, "destination_sync_mode": "append"}))

    assert prepared.reuse == BY_KEY
    assert prepared.warnings[0].endswith("the field is indexed as text; remove that index.")


def test_what_an_earlier_run_has_sent_is_carried_out_before_anything_is_taken_for_unchanged() -> None:
    store, others = MemoryStore(), MemoryStore()
    _prepared(store)
    _prepared(others, reuse_vectors=False)
    _prepared(others, catalog({"stream": {"name": "users"}, "destination_sync_mode": "append"}))

    assert len(store.called("catch_up")) == 1
    assert others.called("catch_up") == []


def test_with_replicas_a_record_that_seems_unchanged_is_written_all_the_same() -> None:
    """The replica that was read may hold what another one lacks."""
    store = MemoryStore({UNNAMED: FITTING})
    store.replicas = 2

    assert _prepared(store).reuse == Reuse(unchanged=False, by_key=True)


def test_reuse_can_be_switched_off() -> None:
    store = MemoryStore()

    assert (
        _prepared(
            store, catalog({"stream": {"name": "users"}, "destination_sync_mode": "append"}), reuse_vectors=False
        ).reuse
        == Reuse()
    )
    assert CONTENT_HASH not in store.indexes


def test_dimensions_that_were_noted_for_the_model_cost_no_request() -> None:
    store, embedder = MemoryStore(), Undeclared()
    for _ in range(2):
        prepare(store, config(), embedder, CATALOG, run_id=RUN, loaded_at=1)

    assert embedder.texts == [PROBE]


@pytest.mark.parametrize("noted", [{**ENTRY, "model": "other"}, {"model": "fake"}, {"dimensions": 1536}])
def test_dimensions_noted_for_another_model_are_not_taken(noted: Mapping[str, Any]) -> None:
    store, embedder = MemoryStore({UNNAMED: FITTING}), Undeclared()
    store.note = {"embedding": {"unnamed": noted}}
    prepare(store, config_with(model_guard=False), embedder, CATALOG, run_id=RUN, loaded_at=1)

    assert embedder.texts == [PROBE]


def test_points_of_airbytes_connector_beside_another_openai_model_are_told_of() -> None:
    class Small(RecordingEmbedder):
        model = "openai/text-embedding-3-small"

    store = MemoryStore({UNNAMED: FITTING})
    store.put("theirs", **{STREAM: "of another sync"})
    first = prepare(store, config(), Small(), CATALOG, run_id=RUN, loaded_at=1)
    again = prepare(store, config(), Small(), CATALOG, run_id=RUN, loaded_at=1)

    assert [warning[:47] for warning in first.warnings] == ["Airbyte's own connector has left points here. I"]
    assert again.warnings == ()  # it is noted by now which vectors are there
