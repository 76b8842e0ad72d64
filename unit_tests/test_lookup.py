"""What is stored of the records of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import stream
from memory_store import MemoryStore

from destination_qdrant.lookup import StoredChunk, holds, is_outdated, look_up, look_up_airbyte, look_up_texts
from destination_qdrant.points import (
    CONTENT_HASH,
    CURSOR,
    GENERATION_ID,
    NAMESPACE,
    RECORD_HASH,
    RECORD_ID,
    RECORD_KEY,
    RUN_ID,
    STREAM,
)
from destination_qdrant.qdrant.base import AnyOf, Equals, StoredPoint, Where

USERS = stream("users", cursor_field=["updated"])
REFRESH = stream("users", cursor_field=["updated"], generation_id=7, minimum_generation_id=7)
NO_CURSOR = stream("users")


def _put(store: MemoryStore, point_id: str, key: str, **payload: Any) -> None:
    store.put(point_id, **{STREAM: "users", NAMESPACE: "", RUN_ID: "before", RECORD_KEY: key, **payload})


def test_every_chunk_of_a_key_is_found_with_what_decides_about_it() -> None:
    store = MemoryStore()
    _put(store, "a0", "a", **{CURSOR: "5", CONTENT_HASH: "h", GENERATION_ID: 3, RECORD_HASH: "r"})
    _put(store, "a1", "a")
    _put(store, "b0", "b")

    assert look_up(store, USERS, ["a", "c"]) == {
        "a": [StoredChunk("a0", "h", "5", 3, "r"), StoredChunk("a1", None, None, None)],
    }


def test_bookkeeping_that_somebody_has_edited_is_as_good_as_none() -> None:
    """Qdrant finds a keyword in a list, too."""
    store = MemoryStore()
    _put(store, "a0", "a", **{CURSOR: 5, CONTENT_HASH: ["h"], GENERATION_ID: "x", RECORD_HASH: 1})
    store.scroll = lambda *_: iter(  # type: ignore[method-assign]  # what a server answers
        [StoredPoint("a0", {**store.points["a0"].payload}), StoredPoint("b0", {RECORD_KEY: ["b"], RECORD_ID: ["r"]})]
    )

    assert look_up(store, USERS, ["a", "b"]) == {"a": [StoredChunk("a0", None, None, None)]}
    assert look_up_airbyte(store, USERS, ["r"]) == {}
    assert look_up_texts(store, USERS, ["h"]) == {}


def test_equal_keys_of_another_stream_or_namespace_are_not_found() -> None:
    store = MemoryStore()
    _put(store, "1", "a", **{STREAM: "orders"})
    _put(store, "2", "a", **{NAMESPACE: "x"})

    assert look_up(store, USERS, ["a"]) == {}


def test_many_keys_are_read_in_several_reads_each_key_once() -> None:
    store = MemoryStore()
    keys = [str(number) for number in range(1201)]
    for key in keys:
        _put(store, f"p{key}", key)

    found = look_up(store, USERS, [*keys, *keys])

    assert {key: [chunk.id for chunk in chunks] for key, chunks in found.items()} == {key: [f"p{key}"] for key in keys}
    assert len(store.called("scroll")) == 3


def test_no_keys_cost_no_read() -> None:
    store = MemoryStore()

    assert look_up(store, USERS, []) == {}
    assert look_up_airbyte(store, USERS, []) == {}
    assert store.calls == []


def test_points_of_airbytes_connector_are_found_by_its_record_id() -> None:
    store = MemoryStore()
    store.put("1", **{STREAM: "users", RECORD_ID: "users_1"})
    store.put("2", **{STREAM: "users", RECORD_ID: "users_1"})
    store.put("3", **{STREAM: "users", RECORD_ID: "users_2"})
    store.put("4", **{STREAM: "orders", RECORD_ID: "users_1"})
    _put(store, "ours", "a", **{RECORD_ID: "users_1"})

    assert look_up_airbyte(store, USERS, ["users_1", "users_9"]) == {"users_1": ["1", "2"]}


def test_whether_any_point_matches_is_no_matter_of_counts() -> None:
    store = MemoryStore()
    _put(store, "1", "a")

    assert holds(store, Where((Equals(RECORD_KEY, "a"),)))
    assert not holds(store, Where((Equals(RECORD_KEY, "b"),)))
    assert store.called("count") == []


@pytest.mark.parametrize(
    ("of", "cursor", "stored", "outdated"),
    [
        (USERS, "5", [], False),
        (USERS, "5", [("6", None)], True),
        (USERS, "5", [("5", None)], False),  # a tie goes to the later arrival
        (USERS, "5", [("4", None)], False),
        (USERS, "5", [("4", None), ("6", None)], True),  # a kill left chunks of two versions
        (USERS, None, [("4", None)], True),
        (USERS, "5", [(None, None)], False),
        (USERS, "5", [("abc", None)], False),
        (NO_CURSOR, None, [("6", None)], False),
        (REFRESH, "5", [("6", 6)], False),  # what is to be replaced may well be newer
        (REFRESH, "5", [("6", None)], False),
        (REFRESH, "5", [("6", 7)], True),
        (REFRESH, "5", [("6", 8)], True),
        (replace(USERS, version_guard=False), "5", [("6", None)], False),
        (replace(REFRESH, version_guard=False), None, [("6", 7)], False),
    ],
)
def test_a_record_is_outdated_when_a_newer_version_of_this_generation_is_stored(
    *, of: Any, cursor: str | None, stored: list[tuple[str | None, int | None]], outdated: bool
) -> None:
    chunks = [StoredChunk(f"p{index}", None, *each) for index, each in enumerate(stored)]

    assert is_outdated(of, cursor, chunks) is outdated


# ----------------------------------------------------------------------------------------------------------
# Vectors by their text


def _put_text(store: MemoryStore, point_id: str, content_hash: str) -> None:
    store.put(point_id, **{STREAM: "users", NAMESPACE: "", RUN_ID: "before", CONTENT_HASH: content_hash})


def test_a_point_is_found_for_each_text_that_is_stored() -> None:
    store = MemoryStore()
    _put_text(store, "1", "a")
    _put_text(store, "2", "b")
    store.put("3", **{STREAM: "orders", NAMESPACE: "", CONTENT_HASH: "c"})

    assert look_up_texts(store, USERS, ["a", "b", "c", "d"]) == {"a": "1", "b": "2"}
    assert len(store.called("scroll")) == 1


def test_a_text_that_stands_in_very_many_points_is_read_once() -> None:
    store = MemoryStore()
    for number in range(5000):
        _put_text(store, f"many {number}", "often")
    _put_text(store, "one", "once")

    assert look_up_texts(store, USERS, ["often", "once", "never"]).keys() == {"often", "once"}
    asked = [
        condition.values for where in store.called("scroll") for condition in where.must if isinstance(condition, AnyOf)
    ]
    assert asked == [("often", "once", "never"), ("once", "never")]
