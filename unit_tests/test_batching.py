"""How operations become batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from builders import batch, entry, stream
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.batching import Batch, BatchBounds, BatchBuffer, Entry

DEDUP = stream("users", cursor_field=["updated"])
OTHER = stream("users", namespace="sales", cursor_field=["updated"])
NO_CURSOR = stream("orders")
APPEND = stream("events", destination_sync_mode="append")


@dataclass(frozen=True)
class _Arrival:
    """What a property draws: a stream, a key, a cursor, a number of chunks (0: a delete), a size."""

    of: int
    key: int
    updated: int | None
    chunks: int
    size: int

    def entry(self, position: int) -> Entry:
        of = (DEDUP, OTHER, NO_CURSOR, APPEND)[self.of]
        text = " ".join(["word"] * max(1, self.chunks))
        deleted = "yes" if not self.chunks and of.is_dedup else None
        data = {"id": self.key, "text": text, "updated": self.updated, "_ab_cdc_deleted_at": deleted}
        return entry(position, of, size_bytes=self.size, **data)


ARRIVALS = st.lists(
    st.builds(
        _Arrival,
        of=st.integers(0, 3),
        key=st.integers(0, 3),
        updated=st.none() | st.integers(0, 3),
        chunks=st.integers(0, 6),
        size=st.integers(1, 60),
    ),
    max_size=40,
)
BOUNDS = st.builds(BatchBounds, points=st.integers(1, 12), size_bytes=st.integers(1, 120))


def _batches(entries: list[Entry], bounds: BatchBounds) -> list[Batch]:
    buffer = BatchBuffer(bounds)
    closed = [*(buffer.add(each, 0.0) for each in entries), buffer.close()]
    return [each for each in closed if each]


def _weight(each: Entry) -> int:
    return max(1, len(each.chunks))


def _positions(of: Batch) -> list[int]:
    return [*(each.position for each in of.entries), *of.superseded]


@given(ARRIVALS, BOUNDS)
def test_every_position_is_in_exactly_one_batch_once_and_batches_keep_the_order(
    arrivals: list[_Arrival], bounds: BatchBounds
) -> None:
    batches = _batches([each.entry(number) for number, each in enumerate(arrivals, 1)], bounds)
    positions = [position for each in batches for position in sorted(_positions(each))]

    assert positions == list(range(1, len(arrivals) + 1))


@given(ARRIVALS, BOUNDS)
def test_no_batch_is_larger_than_its_bounds_unless_it_holds_a_single_operation(
    arrivals: list[_Arrival], bounds: BatchBounds
) -> None:
    sizes = {number: each.size for number, each in enumerate(arrivals, 1)}
    for each in _batches([each.entry(number) for number, each in enumerate(arrivals, 1)], bounds):
        assert each.size_bytes == sum(sizes[position] for position in _positions(each))
        if len(_positions(each)) > 1:
            assert sum(map(_weight, each.entries)) <= bounds.points
            assert each.size_bytes <= bounds.size_bytes


@given(ARRIVALS, BOUNDS)
def test_a_batch_closes_only_when_the_next_operation_would_not_fit(
    arrivals: list[_Arrival], bounds: BatchBounds
) -> None:
    entries = {number: each.entry(number) for number, each in enumerate(arrivals, 1)}
    for each in _batches(list(entries.values()), bounds)[:-1]:
        following = entries[max(_positions(each)) + 1]
        points = sum(map(_weight, each.entries)) + _weight(following)

        assert points > bounds.points or each.size_bytes + following.size_bytes > bounds.size_bytes


@given(ARRIVALS, BOUNDS)
def test_of_the_changes_of_a_key_the_newest_cursor_survives_and_ties_go_to_the_later(
    arrivals: list[_Arrival], bounds: BatchBounds
) -> None:
    entries = {number: each.entry(number) for number, each in enumerate(arrivals, 1)}
    for each in _batches(list(entries.values()), bounds):
        newest: dict[object, int] = {}
        for position in sorted(_positions(each)):
            arrival = entries[position]
            place = arrival.key or position
            rank = (arrival.cursor is not None, int(arrival.cursor or 0), position)
            older = entries.get(newest.get(place, -1))
            if older is None or (older.cursor is not None, int(older.cursor or 0), older.position) < rank:
                newest[place] = position

        assert sorted(one.position for one in each.entries) == sorted(newest.values())


def test_without_the_version_guard_the_last_arrival_survives() -> None:
    of = replace(DEDUP, version_guard=False)
    found = batch(*(entry(at, of, id=1, updated=updated) for at, updated in ((1, 9), (2, 10), (3, 8), (4, None))))

    assert (found.entries[0].position, found.superseded) == (4, (1, 2, 3))


@given(ARRIVALS, BOUNDS)
def test_a_batch_names_its_keys_and_has_none_twice(arrivals: list[_Arrival], bounds: BatchBounds) -> None:
    for each in _batches([each.entry(number) for number, each in enumerate(arrivals, 1)], bounds):
        keys = [one.key for one in each.entries if one.key]

        assert len(keys) == len(set(keys))
        assert each.keys == set(keys)


def test_last_change_wins_without_a_cursor_deletes_included() -> None:
    written_last = batch(
        entry(1, NO_CURSOR, id=1, text="first"),
        entry(2, NO_CURSOR, id=1, _ab_cdc_deleted_at="2026-01-01"),
        entry(3, NO_CURSOR, id=1, text="second"),
    )
    deleted_last = batch(
        entry(1, NO_CURSOR, id=1, text="first"), entry(2, NO_CURSOR, id=1, _ab_cdc_deleted_at="2026-01-01")
    )

    assert [each.position for each in written_last.entries] == [3]
    assert written_last.superseded == (1, 2)
    assert [each.position for each in deleted_last.entries] == [2]


def test_a_delete_with_an_older_cursor_does_not_undo_a_newer_version() -> None:
    found = batch(
        entry(1, DEDUP, id=1, text="new", updated=9), entry(2, DEDUP, id=1, _ab_cdc_deleted_at=True, updated=8)
    )

    assert [each.position for each in found.entries] == [1]
    assert found.superseded == (2,)


def test_equal_keys_of_different_streams_do_not_meet() -> None:
    found = batch(entry(1, DEDUP, id=1, text="one"), entry(2, OTHER, id=1, text="two"))

    assert [each.position for each in found.entries] == [1, 2]


def test_a_key_may_have_many_versions_in_append_mode() -> None:
    found = batch(entry(1, APPEND, id=1, text="one"), entry(2, APPEND, id=1, text="one"))

    assert [each.position for each in found.entries] == [1, 2]
    assert found.keys == frozenset()


def test_an_operation_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    bounds = BatchBounds(points=100, size_bytes=10)
    sizes = (5, 50, 5, 5)
    entries = [entry(number, APPEND, size_bytes=size, text="a") for number, size in enumerate(sizes, 1)]

    assert [_positions(each) for each in _batches(entries, bounds)] == [[1], [2], [3, 4]]


def test_a_superseded_version_gives_its_place_back() -> None:
    buffer = BatchBuffer(BatchBounds(points=4, size_bytes=100))

    assert buffer.add(entry(1, DEDUP, id=1, text="a b c"), 0.0) is None
    assert buffer.add(entry(2, DEDUP, id=1, text="a"), 0.0) is None
    assert buffer.add(entry(3, DEDUP, id=2, text="a b c"), 0.0) is None


def test_a_delete_takes_a_place_like_a_point() -> None:
    deletes = [entry(number, NO_CURSOR, id=number, _ab_cdc_deleted_at=True) for number in range(1, 4)]

    assert [_positions(each) for each in _batches(deletes, BatchBounds(points=2))] == [[1, 2], [3]]


def test_a_batch_tells_its_lines_and_its_stream() -> None:
    found = batch(
        entry(9, DEDUP, id=1, text="newer", updated=2),
        entry(3, DEDUP, id=2, text="x", updated=1),
        entry(12, DEDUP, id=1, text="older", updated=1),
    )

    assert found.whereabouts() == "in lines 3 to 9 of the input, stream users"


def test_a_batch_of_many_streams_names_three_of_them() -> None:
    names = ["d", "b", "a", "c"]
    entries = [entry(number, stream(name), id=1, text="x") for number, name in enumerate([*names, "a"], 1)]

    assert batch(*entries[:3]).whereabouts() == "in lines 1 to 3 of the input, stream a, b, d"
    assert batch(*entries).whereabouts() == "in lines 1 to 5 of the input, stream a, b, c, …"


class TestAge:
    BOUNDS = BatchBounds(points=2, linger_seconds=2.5)

    def test_an_empty_buffer_is_never_due(self) -> None:
        buffer = BatchBuffer(self.BOUNDS)

        assert buffer.due_at() is None
        assert buffer.close() is None

    def test_the_first_operation_starts_the_clock(self) -> None:
        buffer = BatchBuffer(self.BOUNDS)
        buffer.add(entry(1, APPEND, text="a"), 10.0)
        buffer.add(entry(2, APPEND, text="a"), 12.0)

        assert buffer.due_at() == pytest.approx(12.5)

    def test_closing_stops_the_clock(self) -> None:
        buffer = BatchBuffer(self.BOUNDS)
        buffer.add(entry(1, APPEND, text="a"), 10.0)
        buffer.close()

        assert buffer.due_at() is None

    def test_the_operation_for_which_a_batch_closed_starts_it_anew(self) -> None:
        buffer = BatchBuffer(self.BOUNDS)
        buffer.add(entry(1, APPEND, text="a b"), 10.0)
        closed = buffer.add(entry(2, APPEND, text="a"), 11.0)

        assert closed is not None
        assert buffer.due_at() == pytest.approx(13.5)
