"""What a dry run reads of a collection."""

from __future__ import annotations

import pytest
from memory_store import MemoryStore

from destination_qdrant.qdrant.base import Point, StoredVector
from destination_qdrant.rehearsal import UnwrittenStore, stand_in
from destination_qdrant.vectors import Dense

STAND_IN = stand_in(2)


@pytest.fixture(name="store")
def _store() -> MemoryStore:
    """A store with a point that has a vector, and one that has none."""
    store = MemoryStore()
    store.upsert([Point(1, {"text": Dense.of([3, 4])}, {"hash": "a", "n": 1}), Point(2, {}, {"hash": "b"})])
    store.calls.clear()
    return store


def test_only_points_with_a_vector_have_a_stand_in_for_it(store: MemoryStore) -> None:
    rehearsal = UnwrittenStore(store, STAND_IN, is_empty=False)

    assert rehearsal.with_vector([1, 2, 3], "text") == {1}
    assert rehearsal.retrieve_vectors([1, 2, 3], "text") == {1: StoredVector(STAND_IN, {})}
    assert rehearsal.retrieve_vectors([1, 2, 3], "text", ("hash",)) == {1: StoredVector(STAND_IN, {"hash": "a"})}


def test_nothing_is_there_where_nothing_counts(store: MemoryStore) -> None:
    rehearsal = UnwrittenStore(store, STAND_IN, is_empty=True)

    assert (rehearsal.with_vector([1], "text"), rehearsal.retrieve_vectors([1], "text")) == (frozenset(), {})
    assert store.calls == []


def test_catching_up_is_a_write_and_left_out(store: MemoryStore) -> None:
    UnwrittenStore(store, STAND_IN, is_empty=False).catch_up()

    assert store.calls == []
