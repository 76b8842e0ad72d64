"""One batch on its way into Qdrant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from builders import FORM, RecordingEmbedder, batch, entry, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore

from destination_qdrant.batching import Batch, Entry
from destination_qdrant.catalog import DestinationStream
from destination_qdrant.chunking import Chunk
from destination_qdrant.delivery import CommitReceipt, deliver
from destination_qdrant.documents import Upsert
from destination_qdrant.errors import (
    ConfigError,
    PointRefusedError,
    ProviderError,
    SystemFault,
    TextRefusedError,
    TransientError,
)
from destination_qdrant.points import (
    CHUNK_COUNT,
    CHUNK_INDEX,
    CONTENT_HASH,
    CURSOR,
    GENERATION_ID,
    NAMESPACE,
    RECORD_ID,
    RECORD_KEY,
    RUN_ID,
    STREAM,
)
from destination_qdrant.qdrant.base import PointId
from destination_qdrant.site import Reuse, Site
from destination_qdrant.tally import Tally
from destination_qdrant.vectors import UNNAMED, Dense

DIMENSIONS = 1536
USERS = stream("users", cursor_field=["updated"])
NO_CURSOR = stream("users")
APPEND = stream("users", destination_sync_mode="append")
NO_KEY = stream("users", destination_sync_mode="append", primary_key=[])
REFRESHED = {"generation_id": 7, "minimum_generation_id": 7}
REFRESH = stream("users", cursor_field=["updated"], generation_id=7, minimum_generation_id=7)
BEFORE_REFRESH = stream("users", cursor_field=["updated"], generation_id=6)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def embedder() -> RecordingEmbedder:
    return RecordingEmbedder()


@pytest.fixture
def site(store: MemoryStore, embedder: RecordingEmbedder) -> Site:
    return Site(store, embedder, FORM, DIMENSIONS)


def _writes(store: MemoryStore) -> list[str]:
    return [name for name, _ in store.calls if name in {"upsert", "delete"}]


def _texts(store: MemoryStore) -> list[str]:
    return sorted(payload["text"] for payload in store.payloads())


def _deliver(site: Site, *entries: Entry) -> CommitReceipt:
    return deliver(batch(*entries), site)


# ----------------------------------------------------------------------------------------------------------
# What is written


def test_every_chunk_becomes_a_point_with_its_vector(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    receipt = _deliver(site, entry(1, USERS, id=1, text="a b"), entry(2, USERS, id=2, text="c"))
    found = {
        (point.payload["id"], point.payload[CHUNK_INDEX]): (point.payload["text"], point.payload[CHUNK_COUNT], vector)
        for point in store.points.values()
        for vector in point.vectors.values()
    }

    assert found == {
        (1, 0): ("a", 2, embedder.embed_query("a")),
        (1, 1): ("b", 2, embedder.embed_query("b")),
        (2, 0): ("c", 1, embedder.embed_query("c")),
    }
    assert receipt == CommitReceipt(
        written=(1, 2),
        skipped=(),
        deleted=(),
        tallies={USERS.descriptor: Tally(chunks=3, points=3, embedded=3, tokens=3)},
    )
    assert embedder.texts == ["a", "b", "c"]


def test_a_batch_is_embedded_in_one_request_across_streams(embedder: RecordingEmbedder, site: Site) -> None:
    orders = stream("orders")
    receipt = _deliver(site, entry(1, USERS, id=1, text="a"), entry(2, orders, id=1, text="b c"))

    assert embedder.requests == [["a", "b", "c"]]
    assert {of: tally.points for of, tally in receipt.tallies.items()} == {USERS.descriptor: 1, orders.descriptor: 2}


def test_a_vector_that_came_with_the_record_is_not_embedded(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    given_vector = {UNNAMED: Dense.of([1.0, 2.0])}
    plain = entry(1, NO_KEY, text="a")
    assert isinstance(plain.operation, Upsert)
    document = plain.operation.document._replace(given=given_vector)
    _deliver(site, plain._replace(operation=Upsert(document)), entry(2, NO_KEY, text="b"))

    assert embedder.texts == ["b"]
    assert [point.vectors for point in store.points.values()] == [given_vector, {UNNAMED: embedder.embed_query("b")}]


def test_a_record_of_many_chunks_is_delivered_in_parts_of_bounded_size(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    site = Site(store, embedder, FORM, DIMENSIONS, points_per_write=4)
    text = " ".join(f"w{number}" for number in range(10))
    receipt = _deliver(site, entry(1, USERS, id=1, text=text), entry(2, USERS, id=2, text="x y z"))

    assert [len(ids) for ids in store.called("upsert")] == [4, 4, 4, 1]
    assert [len(texts) for texts in embedder.requests] == [4, 4, 4, 1]
    assert receipt.tallies[USERS.descriptor].points == 13
    assert len(store.points) == 13
    assert {payload[CHUNK_COUNT] for payload in store.payloads() if payload["id"] == 1} == {10}


def test_parts_are_bounded_by_bytes_too(store: MemoryStore, embedder: RecordingEmbedder) -> None:
    site = Site(store, embedder, FORM, DIMENSIONS, bytes_per_write=30_000)
    wide = "w" * 12_000  # a point of it, with a vector of 6 KB, is about 20 KB and its metadata as much again
    narrow = entry(2, USERS, id=2, text="a b")
    _deliver(site, entry(1, USERS, id=1, text=f"{wide} {wide}"), narrow)

    assert [len(ids) for ids in store.called("upsert")] == [1, 1, 2]


def test_vectors_are_written_under_the_name_of_the_configuration(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    _deliver(Site(store, embedder, replace(FORM, vector_name="title"), DIMENSIONS), entry(1, NO_KEY, text="a"))

    assert [point.vectors for point in store.points.values()] == [{"title": embedder.embed_query("a")}]


def test_a_refused_point_is_told_as_the_record_that_it_came_from(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    site = Site(store, embedder, FORM, DIMENSIONS, points_per_write=3)

    def refuse(points: Any) -> None:
        if [point.payload["text"] for point in points] == ["d", "e"]:
            raise PointRefusedError("Qdrant refuses a point.", detail="HTTP 400", index=1)

    store.on_upsert = refuse
    orders = stream("orders", "shop")
    entries = [entry(7, USERS, id=1, text="a b"), entry(8, USERS, id=2, text="c d"), entry(9, orders, id=1, text="e")]
    with pytest.raises(ConfigError) as caught:
        _deliver(site, *entries)

    assert (type(caught.value), caught.value.message, caught.value.detail) == (
        ConfigError,
        "Qdrant refuses a point. (line 9 of the input, stream shop.orders)",
        "HTTP 400",
    )


@pytest.mark.parametrize("kind", [ConfigError, SystemFault])
def test_a_failure_of_the_whole_batch_names_its_lines(store: MemoryStore, site: Site, kind: type[ConfigError]) -> None:
    store.faults["scroll"] = kind("No.")
    with pytest.raises(kind) as caught:
        _deliver(site, entry(4, USERS, id=1, text="a"), entry(9, USERS, id=2, text="b"))

    assert caught.value.message == "No. (in lines 4 to 9 of the input, stream users)"


def test_a_refusal_by_the_provider_names_no_line_of_the_input(store: MemoryStore) -> None:
    class NoQuota(RecordingEmbedder):
        def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
            del texts, tokens
            raise ProviderError("The account has no quota left.")

    with pytest.raises(ProviderError) as caught:
        _deliver(Site(store, NoQuota(), FORM, DIMENSIONS), entry(4, USERS, id=1, text="a"))

    assert caught.value.message == "The account has no quota left."


# ----------------------------------------------------------------------------------------------------------
# What it replaces


def test_a_shorter_version_leaves_no_chunk_behind_and_is_written_first(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b c"), entry(2, NO_CURSOR, id=2, text="other"))
    store.calls.clear()
    _deliver(site, entry(3, NO_CURSOR, id=1, text="new"))

    assert _texts(store) == ["new", "other"]
    assert _writes(store) == ["upsert", "delete"]


def test_a_version_of_equal_length_deletes_nothing(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b"))
    _deliver(site, entry(2, NO_CURSOR, id=1, text="c d"))

    assert _writes(store) == ["upsert", "upsert"]
    assert _texts(store) == ["c", "d"]


def test_a_failure_between_writing_and_removing_is_healed_by_the_next_delivery(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, USERS, id=1, text="a b c", updated=1))
    store.faults["delete"] = TransientError("Qdrant went away.")
    with pytest.raises(TransientError):
        _deliver(site, entry(2, USERS, id=1, text="new", updated=2))

    assert _texts(store) == ["b", "c", "new"]

    del store.faults["delete"]
    _deliver(site, entry(2, USERS, id=1, text="new", updated=2))

    assert _texts(store) == ["new"]


def test_a_failure_while_writing_removes_nothing(store: MemoryStore, embedder: RecordingEmbedder) -> None:
    site = Site(store, embedder, FORM, DIMENSIONS, points_per_write=1)
    _deliver(site, entry(1, USERS, id=1, text="a b c", updated=1))
    store.faults["upsert"] = TransientError("Qdrant went away.")
    with pytest.raises(TransientError):
        _deliver(site, entry(2, USERS, id=1, text="new", updated=2))

    assert _texts(store) == ["a", "b", "c"]
    assert store.called("delete") == []


def test_chunks_are_found_by_key_and_not_by_a_stored_count(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b"))
    key = store.payloads()[0][RECORD_KEY]
    store.put("left over", **{STREAM: "users", NAMESPACE: "", RECORD_KEY: key, RUN_ID: "long ago", CHUNK_INDEX: 99})
    _deliver(site, entry(2, NO_CURSOR, id=1, text="a b"))

    assert "left over" not in store.points


def test_points_that_append_wrote_under_the_key_are_replaced_by_dedup(store: MemoryStore, site: Site) -> None:
    _deliver(
        site,
        entry(1, APPEND, id=1, text="old"),
        entry(2, APPEND, id=1, text="older"),
        entry(3, APPEND, id=2, text="kept"),
    )
    _deliver(site, entry(4, NO_CURSOR, id=1, text="new"))

    assert _texts(store) == ["kept", "new"]


@pytest.mark.parametrize("of", [APPEND, NO_KEY])
def test_append_looks_nothing_up_and_replaces_nothing(store: MemoryStore, site: Site, of: DestinationStream) -> None:
    _deliver(site, entry(1, of, id=1, text="one"), entry(2, of, id=1, text="one"))
    _deliver(site, entry(3, of, id=1, text="one"))

    assert _texts(store) == ["one"] * 3
    assert _writes(store) == [name for name, _ in store.calls]


def test_streams_whose_names_read_alike_are_looked_up_apart(store: MemoryStore, site: Site) -> None:
    """`a.b` + `c` and `a` + `b.c` look the same when written out, and their records may come by turns."""
    one, other = stream("c", namespace="a.b"), stream("b.c", namespace="a")
    arrivals = [(one, 1), (other, 1), (one, 2), (other, 2)]
    _deliver(site, *(entry(at, of, id=key, text="x y") for at, (of, key) in enumerate(arrivals, 1)))
    _deliver(site, *(entry(at, of, id=key, text="new") for at, (of, key) in enumerate(arrivals, 5)))

    assert _texts(store) == ["new"] * 4


# ----------------------------------------------------------------------------------------------------------
# Deletes


REMOVED = {USERS.descriptor: Tally(removed=2)}
NOTHING = {USERS.descriptor: Tally()}


@pytest.mark.parametrize(
    ("data", "receipt"),
    [
        ({"text": "x", "_ab_cdc_deleted_at": "2026-01-01"}, CommitReceipt((), (), (3,), REMOVED)),
        ({"text": None}, CommitReceipt((), (3,), (), REMOVED)),
        ({"text": " \n "}, CommitReceipt((), (3,), (), REMOVED)),
    ],
)
def test_a_deleted_row_and_one_without_text_remove_what_is_stored(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site, data: dict[str, Any], receipt: CommitReceipt
) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b"), entry(2, NO_CURSOR, id=2, text="kept"))
    embedder.requests.clear()

    assert _deliver(site, entry(3, NO_CURSOR, id=1, **data)) == receipt
    assert _texts(store) == ["kept"]
    assert embedder.requests == []


def test_deleting_what_is_not_stored_is_done_without_a_write(store: MemoryStore, site: Site) -> None:
    receipt = _deliver(site, entry(1, NO_CURSOR, id=1, _ab_cdc_deleted_at=0))

    assert receipt == CommitReceipt((), (), (1,), NOTHING)
    assert _writes(store) == []


def test_an_older_delete_leaves_a_newer_version(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, USERS, id=1, text="new", updated=5))
    receipt = _deliver(site, entry(2, USERS, id=1, updated=4, _ab_cdc_deleted_at="2026-01-01"))

    assert receipt == CommitReceipt((), (2,), ())
    assert _texts(store) == ["new"]


# ----------------------------------------------------------------------------------------------------------
# Versions


def test_an_outdated_record_is_neither_embedded_nor_written(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    _deliver(site, entry(1, USERS, id=1, text="new new", updated=9))
    receipt = _deliver(site, entry(2, USERS, id=1, text="old", updated=8), entry(3, USERS, id=2, text="x", updated=1))

    assert receipt == CommitReceipt(
        written=(3,), skipped=(2,), deleted=(), tallies={USERS.descriptor: Tally(1, 1, 1, tokens=1)}
    )
    assert embedder.texts == ["new", "x"]  # the same text once
    assert _texts(store) == ["new", "new", "x"]


@pytest.mark.parametrize("updated", [9, 10])
def test_an_equal_or_newer_cursor_is_written(store: MemoryStore, site: Site, updated: int) -> None:
    _deliver(site, entry(1, USERS, id=1, text="one", updated=9))
    _deliver(site, entry(2, USERS, id=1, text="two", updated=updated))

    assert _texts(store) == ["two"]


def test_a_refresh_may_bring_back_an_older_version(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, BEFORE_REFRESH, id=1, text="newest", updated=9))
    receipt = _deliver(site, entry(2, REFRESH, id=1, text="restored", updated=5))

    assert receipt.written == (2,)
    assert _texts(store) == ["restored"]


def test_within_a_refresh_the_newer_cursor_wins(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, REFRESH, id=1, text="newer", updated=5))
    receipt = _deliver(site, entry(2, REFRESH, id=1, text="older", updated=4))

    assert receipt.skipped == (2,)
    assert _texts(store) == ["newer"]


def test_without_the_version_guard_the_last_arrival_is_written_and_its_cursor_stored(
    store: MemoryStore, site: Site
) -> None:
    of = replace(USERS, version_guard=False)
    _deliver(site, entry(1, of, id=1, text="newer", updated=9))
    receipt = _deliver(site, entry(2, of, id=1, text="new", updated=7), entry(3, of, id=1, text="old", updated=5))

    assert (receipt.written, receipt.skipped) == ((3,), (2,))
    assert [(each["text"], each[CURSOR]) for each in store.payloads()] == [("old", "5")]


# ----------------------------------------------------------------------------------------------------------
# Points of Airbyte's connector


def _with_airbytes(store: MemoryStore, embedder: RecordingEmbedder, of: DestinationStream, record_id: str) -> Site:
    store.put("theirs", **{STREAM: of.identifier, RECORD_ID: record_id, "text": "theirs"})
    return Site(store, embedder, FORM, DIMENSIONS, airbyte_streams=frozenset({of.descriptor}))


def test_points_of_airbytes_connector_for_the_same_record_are_replaced_during_a_refresh(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    site = _with_airbytes(store, embedder, REFRESH, "users_abc")
    _deliver(site, entry(1, REFRESH, id="xyz", text="another"))

    assert _texts(store) == ["another", "theirs"]

    _deliver(site, entry(2, REFRESH, id="abc", text="ours"))

    assert _texts(store) == ["another", "ours"]
    assert _writes(store) == ["upsert", "upsert", "delete"]


def test_a_record_deleted_during_a_refresh_takes_points_of_airbytes_connector_with_it(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    site = _with_airbytes(store, embedder, REFRESH, "users_abc")
    _deliver(site, entry(1, REFRESH, id="abc", _ab_cdc_deleted_at="2026-01-01"))

    assert store.points == {}


@pytest.mark.parametrize("generations", [{}, {"generation_id": 7}, {"generation_id": 1, "minimum_generation_id": 1}])
@pytest.mark.parametrize("data", [{"text": "ours"}, {"text": ""}, {"_ab_cdc_deleted_at": "2026-01-01"}])
def test_without_a_certain_replacement_points_of_airbytes_connector_stay(
    store: MemoryStore, embedder: RecordingEmbedder, generations: dict[str, int], data: dict[str, Any]
) -> None:
    of = stream("users", **generations)
    site = _with_airbytes(store, embedder, of, "users_abc")
    _deliver(site, entry(1, of, id="abc", **data))

    assert "theirs" in store.points


@pytest.mark.parametrize(
    ("of", "key", "record_id"),
    [
        (REFRESH, 1, "users_1"),  # may be the key "1"
        (stream("users", "x", **REFRESHED), "abc", "x_users_abc"),  # may be the stream x_users
        (stream("old_users", **REFRESHED), "abc", "old_users_abc"),  # may be the stream users of the namespace old
    ],
)
@pytest.mark.parametrize("data", [{"text": "ours"}, {"_ab_cdc_deleted_at": "2026-01-01"}])
def test_points_of_airbytes_connector_that_may_be_another_records_are_kept(
    store: MemoryStore,
    embedder: RecordingEmbedder,
    of: DestinationStream,
    key: object,
    record_id: str,
    data: dict[str, Any],
) -> None:
    site = _with_airbytes(store, embedder, of, record_id)
    _deliver(site, entry(1, of, id=key, **data))

    assert "theirs" in store.points


def test_a_stream_without_points_of_airbytes_connector_is_not_asked_for_them(store: MemoryStore, site: Site) -> None:
    store.put("theirs", **{STREAM: "users", RECORD_ID: "users_abc"})
    _deliver(site, entry(1, NO_CURSOR, id="abc", text="ours"))

    assert len(store.called("scroll")) == 1
    assert "theirs" in store.points


# ----------------------------------------------------------------------------------------------------------
# Receipts


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([USERS, stream("orders"), APPEND]),
        st.integers(0, 2) | st.none(),
        st.none() | st.integers(0, 3),
        st.sampled_from(["a", "a b c", None]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def _batch_of(arrivals: list[Any], start: int) -> tuple[Batch, set[int]]:
    entries = [
        entry(position, of, id=key, updated=updated, text=text or "a", _ab_cdc_deleted_at=deleted or None)
        if of is APPEND
        else entry(position, of, id=key, updated=updated, text=text, _ab_cdc_deleted_at=deleted or None)
        for position, (of, key, updated, text, deleted) in enumerate(arrivals, start)
    ]
    return batch(*entries), {each.position for each in entries}


@settings(deadline=None, max_examples=60)
@given(ARRIVALS, ARRIVALS)
def test_a_receipt_has_every_position_of_the_batch_exactly_once(first: list[Any], second: list[Any]) -> None:
    site = Site(MemoryStore(), RecordingEmbedder(), FORM, DIMENSIONS)
    for arrivals, start in ((first, 1), (second, 101)):
        whole, positions = _batch_of(arrivals, start)
        receipt = deliver(whole, site)
        settled = [*receipt.written, *receipt.skipped, *receipt.deleted]

        assert len(settled) == len(set(settled))
        assert set(settled) == positions


def test_superseded_records_are_settled_as_skipped(site: Site) -> None:
    receipt = _deliver(
        site,
        entry(1, NO_CURSOR, id=1, text="one"),
        entry(2, NO_CURSOR, id=1, _ab_cdc_deleted_at="2026-01-01"),
        entry(3, NO_CURSOR, id=1, text="three"),
    )

    assert receipt == CommitReceipt((3,), (1, 2), (), {USERS.descriptor: Tally(1, 1, 1, tokens=5)})


# ----------------------------------------------------------------------------------------------------------
# Replicas


@pytest.mark.parametrize(
    "new", [entry(9, NO_CURSOR, id=1, text="new"), entry(9, NO_CURSOR, id=1, _ab_cdc_deleted_at="2026-01-01")]
)
def test_with_replicas_a_stale_chunk_goes_that_only_another_one_still_holds(
    store: MemoryStore, site: Site, new: Entry
) -> None:
    """A removal that was given up in an outage leaves replicas that differ, and the lookup reads one of them."""
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b c"), entry(2, NO_CURSOR, id=2, text="x y"))
    others = {each for each, point in store.points.items() if point.payload["id"] == 2}
    store.unseen = {each for each, point in store.points.items() if point.payload[CHUNK_INDEX] and each not in others}
    assert len(store.unseen) == 2

    _deliver(site, new)
    assert store.unseen <= set(store.points)  # without replicas nothing is asked for twice

    _deliver(replace(site, replicated=True), new)
    assert store.unseen <= set(store.points)  # this run's own: no filter of it may match what a later batch has written

    later = replace(site, replicated=True, form=replace(FORM, loaded_at=FORM.loaded_at + 1))
    _deliver(later, new)
    assert not store.unseen & set(store.points)
    assert others <= set(store.points)
    assert len(store.called("keep_only")) == 2


def test_with_replicas_a_newer_version_that_stays_is_left_alone(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, USERS, id=1, updated=5, text="a b c"))
    before = dict(store.points)
    later = replace(site, replicated=True, form=replace(FORM, loaded_at=FORM.loaded_at + 1))
    _deliver(later, entry(2, USERS, id=1, updated=4, text="old"))

    assert store.points == before


# ----------------------------------------------------------------------------------------------------------
# What need not be done again

LATER = replace(FORM, run_id="run-later", loaded_at=FORM.loaded_at + 1)
BY_KEY = Reuse(unchanged=True, by_key=True)
BY_TEXT = replace(BY_KEY, texts_of=frozenset({APPEND.descriptor}))


def _later(site: Site, reuse: Reuse, **changed: Any) -> Site:
    """The next run: nothing is remembered but what is stored."""
    return Site(site.store, site.embedder, replace(LATER, **changed), DIMENSIONS, reuse=reuse)


def test_a_text_that_stands_in_many_records_is_embedded_once(embedder: RecordingEmbedder, site: Site) -> None:
    receipt = _deliver(site, entry(1, USERS, id=1, text="a b"), entry(2, USERS, id=2, text="a a"))
    _deliver(site, entry(3, NO_KEY, id=3, text="b c"))

    assert embedder.requests == [["a", "b"], ["c"]]
    assert receipt.tallies == {USERS.descriptor: Tally(chunks=4, points=4, embedded=2, reused=2, tokens=2)}


def test_an_unchanged_record_is_neither_embedded_nor_written(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    _deliver(site, entry(1, USERS, id=1, text="a b", updated=1), entry(2, USERS, id=2, text="c", updated=1))
    before = dict(store.points)
    embedder.requests.clear()
    store.calls.clear()
    receipt = _deliver(_later(site, BY_KEY), entry(1, USERS, id=1, text="a b", updated=1))

    assert receipt == CommitReceipt((1,), (), (), {USERS.descriptor: Tally(chunks=2, unchanged=1)})
    assert store.points == before
    assert (embedder.requests, _writes(store)) == ([], [])


@pytest.mark.parametrize(
    ("data", "embedded"),
    [
        ({"text": "a b", "updated": 2}, []),  # a column: its vectors stay, its payload is new
        ({"text": "a b", "updated": 1, "color": "red"}, []),
        ({"text": "a x", "updated": 1}, ["x"]),
        ({"text": "b a", "updated": 1}, []),  # the same chunks in another order
        ({"text": "a", "updated": 1}, []),
        ({"text": "a b c", "updated": 1}, ["c"]),
    ],
)
def test_a_changed_record_is_written_whole_and_only_its_new_text_embedded(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site, data: dict[str, Any], embedded: list[str]
) -> None:
    _deliver(site, entry(1, USERS, id=1, text="a b", updated=1))
    embedder.requests.clear()
    _deliver(_later(site, BY_KEY), entry(1, USERS, id=1, **data))

    fresh = Site(MemoryStore(), RecordingEmbedder(), LATER, DIMENSIONS)
    _deliver(fresh, entry(1, USERS, id=1, **data))
    assert isinstance(fresh.store, MemoryStore)
    assert store.points == fresh.store.points
    assert embedder.texts == embedded


@pytest.mark.parametrize(
    "changed",
    [{"fingerprint": "fake/2"}, {"text_field": "body"}, {"omit_text": True}, {"vector_name": "title"}],
)
def test_another_configuration_changes_every_record(store: MemoryStore, site: Site, changed: dict[str, Any]) -> None:
    _deliver(site, entry(1, USERS, id=1, text="a b", updated=1))
    store.calls.clear()
    _deliver(_later(site, BY_KEY, **changed), entry(1, USERS, id=1, text="a b", updated=1))

    assert _writes(store) == ["upsert"]


def test_a_record_with_a_chunk_too_many_or_too_few_is_written_again(store: MemoryStore, site: Site) -> None:
    """As a kill between writing and removing, or a removal by somebody else, leaves it."""
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b"), entry(2, NO_CURSOR, id=2, text="c d"))
    key = next(payload[RECORD_KEY] for payload in store.payloads() if payload["id"] == 1)
    store.put("left over", **{STREAM: "users", NAMESPACE: "", RECORD_KEY: key, RUN_ID: "long ago", CHUNK_INDEX: 9})
    lost = next(each for each, point in store.points.items() if point.payload["id"] == 2)
    del store.points[lost]
    later = _later(site, BY_KEY)
    receipt = _deliver(later, entry(1, NO_CURSOR, id=1, text="a b"), entry(2, NO_CURSOR, id=2, text="c d"))

    assert receipt.tallies[NO_CURSOR.descriptor].unchanged == 0
    assert "left over" not in store.points
    assert lost in store.points


def test_a_record_whose_vector_somebody_removed_is_written_again(store: MemoryStore, site: Site) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a b"), entry(2, NO_CURSOR, id=2, text="c"))
    lost = next(each for each, point in store.points.items() if point.payload["text"] == "b")
    store.points[lost] = replace(store.points[lost], vectors={})
    receipt = _deliver(_later(site, BY_KEY), entry(1, NO_CURSOR, id=1, text="a b"), entry(2, NO_CURSOR, id=2, text="c"))

    assert receipt.tallies[NO_CURSOR.descriptor].unchanged == 1
    assert all(point.vectors for point in store.points.values())


def test_a_point_of_a_later_generation_is_written_again_lest_it_outlives_the_refreshes_to_come(
    store: MemoryStore, site: Site
) -> None:
    """As a connection leaves it that was deleted and made anew: its generations count from 0 again."""
    _deliver(site, entry(1, stream("users", generation_id=7), id=1, text="a"))
    _deliver(_later(site, BY_KEY), entry(1, stream("users", generation_id=2), id=1, text="a"))

    assert [payload[GENERATION_ID] for payload in store.payloads()] == [2]


def test_a_vector_that_is_another_texts_by_now_is_not_taken(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    """The look-up and the read of the vector may see two versions of a point (replicas, another sync)."""
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a"))
    (point,) = store.points.values()

    class Moving(MemoryStore):
        def retrieve_vectors(self, ids: Sequence[PointId], name: str, fields: Sequence[str] = ()) -> Any:
            other = embedder.embed_query("other")
            self.points[point.id] = replace(
                point, vectors={UNNAMED: other}, payload={**point.payload, CONTENT_HASH: "another"}
            )
            return super().retrieve_vectors(ids, name, fields)

    moving = Moving()
    moving.points = dict(store.points)
    _deliver(replace(_later(site, BY_KEY), store=moving), entry(1, NO_CURSOR, id=1, text="a", color="red"))

    assert [each.vectors for each in moving.points.values()] == [{UNNAMED: embedder.embed_query("a")}]
    assert embedder.texts == ["a", "a"]


def test_what_the_end_of_a_refresh_removes_is_written_again_with_its_vectors(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    _deliver(site, entry(1, BEFORE_REFRESH, id=1, text="a b", updated=1))
    embedder.requests.clear()
    refresh = _later(site, BY_KEY)
    first = _deliver(refresh, entry(1, REFRESH, id=1, text="a b", updated=1))
    again = _deliver(refresh, entry(9, REFRESH, id=1, text="a b", updated=1))

    assert embedder.requests == []
    assert {payload[GENERATION_ID] for payload in store.payloads()} == {7}
    assert (first.tallies, again.tallies) == (
        {REFRESH.descriptor: Tally(chunks=2, points=2, reused=2)},
        {REFRESH.descriptor: Tally(chunks=2, unchanged=1)},  # a retry of the refresh: it is of this generation
    )


@pytest.mark.parametrize("of", [APPEND, stream("users", destination_sync_mode="overwrite", primary_key=[])])
def test_streams_of_many_versions_find_vectors_by_their_text(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site, of: DestinationStream
) -> None:
    _deliver(site, entry(1, of, id=1, text="a b"), entry(2, of, id=2, text="c"))
    embedder.requests.clear()
    receipt = _deliver(_later(site, BY_TEXT), entry(1, of, id=1, text="a b"), entry(2, of, id=2, text="d"))

    assert embedder.texts == ["d"]
    assert receipt.tallies == {of.descriptor: Tally(chunks=3, points=3, embedded=1, reused=2, tokens=1)}
    assert len(store.points) == 6
    assert {
        (point.payload["text"], vector) for point in store.points.values() for vector in point.vectors.values()
    } == {(text, embedder.embed_query(text)) for text in "abcd"}


def test_texts_of_another_stream_are_not_looked_up(store: MemoryStore, embedder: RecordingEmbedder, site: Site) -> None:
    orders = stream("orders", destination_sync_mode="append")
    _deliver(site, entry(1, APPEND, id=1, text="a"))
    store.calls.clear()
    _deliver(_later(site, BY_TEXT), entry(1, orders, id=1, text="a"))

    assert store.called("scroll") == []
    assert embedder.texts == ["a", "a"]


@pytest.mark.parametrize(
    "stored",
    [{}, {"other": Dense.of([1.0] * DIMENSIONS)}, {UNNAMED: Dense.of([1.0])}]
    + [{UNNAMED: Dense.of([number] * DIMENSIONS)} for number in (0.0, float("nan"))],
)
def test_a_stored_vector_that_is_missing_or_no_good_is_embedded_again(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site, stored: dict[str, Dense]
) -> None:
    _deliver(site, entry(1, NO_CURSOR, id=1, text="a"))
    store.points = {each: replace(point, vectors=stored) for each, point in store.points.items()}
    _deliver(_later(site, BY_KEY), entry(1, NO_CURSOR, id=1, text="a", color="red"))

    assert embedder.texts == ["a", "a"]
    assert [point.vectors for point in store.points.values()] == [{UNNAMED: embedder.embed_query("a")}]


def test_switched_off_every_record_is_embedded_and_written(
    store: MemoryStore, embedder: RecordingEmbedder, site: Site
) -> None:
    entries = [entry(1, USERS, id=1, text="a", updated=1), entry(2, APPEND, id=1, text="b")]
    _deliver(site, *entries)
    _deliver(_later(site, Reuse()), *entries)

    assert embedder.texts == ["a", "b", "a", "b"]
    assert len(store.called("upsert")) == 2
    assert store.called("retrieve_vectors") == []


def test_a_record_without_text_is_stored_without_a_vector(store: MemoryStore, embedder: RecordingEmbedder) -> None:
    plain = entry(1, NO_CURSOR, id=1, text="a", color="red")
    assert isinstance(plain.operation, Upsert)
    empty = plain._replace(operation=Upsert(plain.operation.document._replace(text="")), chunks=(Chunk(0, ""),))
    receipt = _deliver(Site(store, embedder, FORM, DIMENSIONS), empty)

    assert [(point.vectors, point.payload["color"]) for point in store.points.values()] == [({}, "red")]
    assert receipt.tallies == {NO_CURSOR.descriptor: Tally(chunks=1, points=1)}
    assert embedder.requests == []


def test_a_model_that_gives_other_vectors_than_the_collection_has_is_refused(
    store: MemoryStore, embedder: RecordingEmbedder
) -> None:
    with pytest.raises(ConfigError, match="vectors of another length than 384"):
        _deliver(Site(store, embedder, FORM, 384), entry(1, NO_CURSOR, id=1, text="a"))

    assert store.points == {}


def test_a_text_that_the_provider_refuses_is_told_as_the_record_that_it_came_from(store: MemoryStore) -> None:
    class Strict(RecordingEmbedder):
        def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
            if "secret" in texts:
                raise TextRefusedError("The provider refuses a text.", text="secret")
            return super().embed_documents(texts, tokens)

    with pytest.raises(ConfigError) as caught:
        _deliver(
            Site(store, Strict(), FORM, DIMENSIONS),
            entry(4, USERS, id=1, text="a"),
            entry(5, USERS, id=2, text="secret"),
        )

    assert caught.value.message == "The provider refuses a text. (line 5 of the input, stream users)"


def test_a_refused_text_that_is_no_chunks_names_the_batch_and_no_record(store: MemoryStore) -> None:
    class Strict(RecordingEmbedder):
        def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
            del texts, tokens
            raise TextRefusedError("The provider refuses a text.", text="prefix and text")

    with pytest.raises(ConfigError) as caught:
        _deliver(Site(store, Strict(), FORM, DIMENSIONS), entry(4, USERS, id=1, text="a"))

    assert caught.value.message == "The provider refuses a text. (in lines 4 to 4 of the input, stream users)"
