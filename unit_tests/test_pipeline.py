"""The sync: messages in, points stored, STATEs out. Threads are held and let go by events, never by time."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from builders import FORM, RecordingEmbedder, catalog, config, record_line, state_line, status_line, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore

from destination_qdrant import lines as lines_module
from destination_qdrant.batching import BatchBounds
from destination_qdrant.catalog import Catalog
from destination_qdrant.chunking import Chunk
from destination_qdrant.config import parse_config
from destination_qdrant.documents import Document, DocumentReader
from destination_qdrant.embedding.base import Usage
from destination_qdrant.embedding.fake import DIMENSIONS
from destination_qdrant.errors import ConfigError, ConnectorError, SystemFault, TransientError
from destination_qdrant.lines import StdinLines
from destination_qdrant.pipeline import Bounds, Parts, Source, sync
from destination_qdrant.points import GENERATION_ID, NAMESPACE, RUN_ID, STREAM
from destination_qdrant.protocol import Descriptor, MessageWriter
from destination_qdrant.qdrant.base import Point, Where
from destination_qdrant.site import Site

USERS = catalog({"stream": {"name": "users"}})
APPEND = catalog({"stream": {"name": "users"}, "destination_sync_mode": "append"})
OVERWRITE = catalog({"stream": {"name": "users"}, "destination_sync_mode": "overwrite"})
REFRESH = catalog({"stream": {"name": "users"}, "generation_id": 7, "minimum_generation_id": 7})

#: Longer than any test waits: a test that fails says so instead of hanging.
PATIENCE = 30.0


class Lines:
    """A source that is a sequence: counts the lines that were taken, and knows when it was woken."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.on_wait: Callable[[], float | None] = lambda: None
        self.taken = 0
        self.woken = threading.Event()
        self.wakes = 0
        self._lines = lines

    def __iter__(self) -> Iterator[bytes]:
        """The lines."""
        for line in self._lines:
            self.taken += 1
            yield line

    def wake(self) -> None:
        self.wakes += 1
        self.woken.set()


class Output(io.BytesIO):
    """What goes to standard output. Every STATE is noted among the calls of the store."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.state_came = threading.Event()
        self._store = store

    def write(self, line: Any) -> int:
        message = json.loads(line)
        if message["type"] == "STATE":
            self._store.calls.append(("STATE", message["state"].get("id")))
        written = super().write(line)
        if message["type"] == "STATE":
            self.state_came.set()
        return written

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def states(self) -> list[int]:
        """The ids of the STATEs, in order."""
        return [message["state"]["id"] for message in self.messages if message["type"] == "STATE"]

    @property
    def counts(self) -> list[float]:
        """The `recordCount` of the STATEs, in order."""
        return [stats["recordCount"] for stats in self._stats]

    @property
    def additional_stats(self) -> Counter[str]:
        """All `additionalStats` together."""
        return sum((Counter(stats.get("additionalStats", {})) for stats in self._stats), Counter())

    @property
    def _stats(self) -> list[dict[str, Any]]:
        return [message["state"]["destinationStats"] for message in self.messages if message["type"] == "STATE"]

    def log(self, level: str) -> str:
        found = [message["log"] for message in self.messages if message["type"] == "LOG"]
        return "\n".join(each["message"] for each in found if each["level"] == level)


class Asked(RecordingEmbedder):
    """The embedder, with a provider that can be said to be asked."""

    usage = Usage()


class Stage:
    """A store, an output, and syncs between them. Every record is a batch unless said otherwise."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.out = Output(self.store)
        self.embedder = Asked()

    def parts(self, of: Catalog = USERS, *, bounds: Bounds | None = None, airbyte: Iterable[Descriptor] = ()) -> Parts:
        site = Site(self.store, self.embedder, FORM, DIMENSIONS, frozenset(airbyte))
        readers = {stream.descriptor: DocumentReader(stream, config()) for stream in of.streams}
        return Parts(of, site, MessageWriter(self.out), readers, words, bounds or _bounds())

    def run(self, lines: Iterable[bytes], of: Catalog = USERS, **options: Any) -> Lines:
        source = Lines(lines)
        sync(source, self.parts(of, **options))
        return source

    def start(self, source: Source, of: Catalog = USERS, **options: Any) -> Running:
        return Running(source, self.parts(of, **options))

    def numbers(self, name: str = "users") -> dict[str, int]:
        """What is not zero in a row of the table at the end of the log."""
        head, *rows = [line.split() for line in self.out.log("INFO").splitlines() if "  " in line]
        (cells,) = (row[-len(head) + 1 :] for row in rows if " ".join(row[: -len(head) + 1]) == name)
        return {column: int(cell) for column, cell in zip(head[1:], cells, strict=True) if cell != "0"}

    def texts(self) -> list[str]:
        return sorted(payload["text"] for payload in self.store.payloads())


class Running:
    """A sync on a thread of its own."""

    def __init__(self, source: Source, parts: Parts) -> None:
        self._source = source
        self._parts = parts
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            sync(self._source, self._parts)
        except BaseException as error:  # noqa: BLE001 -- raised again in the test
            self._error = error

    def end(self) -> None:
        """Wait for the end; raises what the sync raised."""
        self._thread.join(PATIENCE)

        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def stays_in(self, function: str) -> bool:
        """Whether it is in this function itself at a thousand looks in a row."""
        return all(self._is_in(function) for _ in range(1000))

    def _is_in(self, function: str) -> bool:
        os.sched_yield()
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 -- the one way to see where a thread is
        return frame is not None and frame.f_code.co_name == function

    def rests_in(self, module: str) -> bool:
        """Whether it waits for something in this module (`pipeline`: for workers; `lines`: for input) or has ended."""
        frame: FrameType | None = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 -- the one way to see where a thread is
        if frame is None:
            return True
        if module == "pipeline":
            if frame.f_code.co_name != "wait" or not frame.f_code.co_filename.endswith("threading.py"):
                return False
            while frame.f_code.co_filename.endswith("threading.py") and frame.f_back:
                frame = frame.f_back
        return frame.f_code.co_filename.endswith(f"{module}.py")


class Gate:
    """Holds upserts of the records with these ids (all without ids) until it is opened."""

    def __init__(self, store: MemoryStore, *ids: int) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()
        self._ids = set(ids)
        store.on_upsert = self._hold

    def _hold(self, points: Sequence[Point]) -> None:
        if not self._ids or self._ids & _ids(points):
            self.entered.set()

            assert self._open.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


def _ids(points: Sequence[Point]) -> set[int]:
    return {point.payload["id"] for point in points}


def _bounds(
    workers: int = 4, *, points: int = 1, bytes_in_flight: int = 10**9, linger_seconds: float = 10**6
) -> Bounds:
    return Bounds(workers, bytes_in_flight, BatchBounds(points, 10**9, linger_seconds))


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        os.sched_yield()


def _no_workers() -> bool:
    return not any(thread.name.startswith("deliver") for thread in threading.enumerate())


def _record(key: int, text: str = "word", **data: Any) -> bytes:
    return record_line("users", id=key, text=text, **data)


def _state(number: int) -> bytes:
    return state_line("users", number)


def _records_and_states(count: int) -> list[bytes]:
    return [line for number in range(1, count + 1) for line in (_record(number), _state(number))]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def stdin() -> Iterator[tuple[StdinLines, Callable[[bytes], object], Callable[[], None]]]:
    """A real standard input: the source, how to write to it, how to end it."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as read_end, os.fdopen(writer, "wb", 0) as write_end:
        yield StdinLines(read_end.fileno()), write_end.write, write_end.close


# ----------------------------------------------------------------------------------------------------------
# What goes in and what comes out


def test_records_are_stored_and_states_come_back_in_order_with_counts(stage: Stage) -> None:
    stage.run([_record(1, "a b"), _record(2, "c"), _state(1), _state(2), _record(3, "d"), _state(3)])

    assert stage.texts() == ["a", "b", "c", "d"]
    assert stage.out.states == [1, 2, 3]
    assert stage.out.counts == [2.0, 0.0, 1.0]
    assert stage.numbers() == {"records": 3, "written": 3, "points": 4, "embedded": 4, "tokens": 4}
    assert stage.out.log("WARN") == ""


def test_no_input_at_all_is_a_sync_of_nothing(stage: Stage) -> None:
    stage.run([])

    assert stage.store.points == {}
    assert stage.numbers() == {}
    assert stage.out.log("INFO").endswith("s: 0 records (0.0 a second).")


def test_a_state_of_a_stream_without_namespace_counts_the_records_of_the_only_one_of_that_name(stage: Stage) -> None:
    of = catalog({"stream": {"name": "users", "namespace": "x"}})
    stage.run([record_line(Descriptor("x", "users"), id=1, text="a"), _record(2), _state(1)], of)

    assert stage.out.counts == [2.0]


def test_a_state_that_speaks_of_unknown_streams_comes_back(stage: Stage) -> None:
    stage.run([state_line("nobody's", 1)])

    assert stage.out.states == [1]


def test_a_global_state_counts_all_streams(stage: Stage) -> None:
    of = catalog({"stream": {"name": "users"}}, {"stream": {"name": "orders"}})
    line = b'{"type": "STATE", "state": {"type": "GLOBAL", "id": 9, "global": {"stream_states": []}}}\n'
    stage.run([_record(1), record_line("orders", id=1, text="a"), line], of)

    assert stage.out.counts == [2.0]


def test_what_was_done_is_told_with_the_states_each_number_once(stage: Stage) -> None:
    lines = [*_records_and_states(5), _record(1, "newer and longer"), _record(2, _ab_cdc_deleted_at="now"), _state(6)]
    stage.run([*lines, _record(6), _state(7)], bounds=_bounds(points=2))

    assert stage.out.additional_stats == {
        "chunkCount": 9.0,
        "embeddedChunkCount": 4.0,  # word, newer, and, longer
        "reusedChunkCount": 5.0,
        "writtenPointCount": 9.0,
        "removedPointCount": 1.0,
        "embeddedTokenCount": float(len("wordnewerandlonger")),
    }


def test_a_sync_of_nothing_new_tells_the_platform_nothing(stage: Stage) -> None:
    stage.run([_state(1), record_line("users", id=1, text=""), _state(2)])

    assert stage.out.additional_stats == {}
    assert stage.out.counts == [0.0, 1.0]


def test_a_legacy_state_comes_back_byte_by_byte(stage: Stage) -> None:
    line = b'{"state":{"data":{"at":null,"big":123456789012345678901234567890}},  "type":"STATE"}'
    stage.run([_record(1), line + b"\n"])

    assert stage.out.getvalue().splitlines()[0] == line


def test_records_in_one_batch_are_settled_together_and_a_state_between_them_does_not_close_it(stage: Stage) -> None:
    stage.run(_records_and_states(5), bounds=_bounds(points=100))

    assert len(stage.store.called("upsert")) == 1
    assert stage.out.states == [1, 2, 3, 4, 5]


def test_skipped_deleted_and_superseded_records_let_states_pass(stage: Stage) -> None:
    lines = [
        _record(1),
        _record(1, "newer"),
        _record(2, _ab_cdc_deleted_at="2026-01-01"),
        _record(3, ""),
        _state(1),
    ]
    stage.run(lines, bounds=_bounds(points=100))

    assert stage.out.counts == [4.0]
    told = {"records": 4, "written": 1, "deleted": 1, "older": 1, "skipped": 1}
    assert told.items() <= stage.numbers().items()


# ----------------------------------------------------------------------------------------------------------
# When a STATE leaves


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.permutations([1, 2, 3, 4]))
def test_states_keep_their_order_and_follow_their_records_whichever_worker_is_first(order: list[int]) -> None:
    stage = Stage()
    entered = {number: threading.Event() for number in order}
    opened = {number: threading.Event() for number in order}

    def hold(points: Sequence[Point]) -> None:
        (number,) = _ids(points)
        entered[number].set()
        opened[number].wait(PATIENCE)

    stage.store.on_upsert = hold
    running = stage.start(Lines(_records_and_states(4)))
    for event in entered.values():
        assert event.wait(PATIENCE)
    for done, number in enumerate(order, 1):
        opened[number].set()
        _until(lambda done=done: len(stage.store.points) == done)  # type: ignore[misc]
    running.end()

    assert stage.out.states == [1, 2, 3, 4]
    names = [name for name, _ in stage.store.calls]
    for number in order:
        written = stage.store.calls[: stage.store.calls.index(("STATE", number))]
        assert len([name for name, _ in written if name == "upsert"]) >= number
    assert names.count("STATE") == 4


def test_a_state_never_leaves_before_its_records_even_when_later_ones_are_done(stage: Stage) -> None:
    gate = Gate(stage.store, 1)
    running = stage.start(Lines(_records_and_states(4)))
    assert gate.entered.wait(PATIENCE)
    _until(lambda: len(stage.store.points) == 3)

    assert stage.out.states == []

    gate.open()
    running.end()

    assert stage.out.states == [1, 2, 3, 4]


def test_a_state_does_not_overtake_an_older_one_that_is_being_flushed(stage: Stage) -> None:
    gate, started, flushing = Gate(stage.store), threading.Event(), threading.Event()

    def lines() -> Iterator[bytes]:
        assert started.wait(PATIENCE)
        yield _record(1)
        yield _state(1)
        gate.open()
        assert flushing.wait(PATIENCE)
        yield _state(2)

    def flush() -> None:  # the first one, on a worker's thread, lasts until the reader waits for it or has overtaken it
        if not flushing.is_set():
            flushing.set()
            _until(lambda: ("STATE", 2) in stage.store.calls or running.stays_in("_release"))

    stage.store.on_flush = flush
    running = stage.start(Lines(lines()), bounds=_bounds(linger_seconds=0))
    started.set()
    running.end()

    assert stage.out.states == [1, 2]


def test_a_state_without_pending_records_leaves_at_once(stage: Stage) -> None:
    seen = []

    def lines() -> Iterator[bytes]:
        yield _state(1)
        seen.append(list(stage.out.states))
        yield record_line("users", id=1, text="")  # deleted in a batch that is still open
        yield _state(2)
        seen.append(list(stage.out.states))

    stage.run(lines(), bounds=_bounds(points=100))

    assert seen == [[1], [1]]
    assert stage.out.states == [1, 2]


def test_a_record_that_is_skipped_at_once_holds_no_state_back(stage: Stage) -> None:
    seen = []

    def lines() -> Iterator[bytes]:
        yield record_line("users", id=1, text="")
        yield _state(1)
        seen.append(list(stage.out.states))

    stage.run(lines(), APPEND)

    assert seen == [[1]]


def test_the_store_is_flushed_between_the_last_write_and_a_state(stage: Stage) -> None:
    stage.run(_records_and_states(6), bounds=_bounds(workers=1))
    names = [name for name, _ in stage.store.calls if name in {"upsert", "flush", "STATE"}]
    unflushed = 0
    for name in names:
        unflushed = unflushed + 1 if name == "upsert" else 0 if name == "flush" else unflushed
        assert name != "STATE" or unflushed == 0
    assert names.count("STATE") == 6


def test_a_batch_closes_after_a_while_although_stdin_is_silent(stage: Stage, stdin: Any) -> None:
    source, write, end = stdin
    running = stage.start(source, bounds=_bounds(points=100, linger_seconds=0.01))
    write(_record(1) + _state(7))

    assert stage.out.state_came.wait(PATIENCE)
    assert stage.out.states == [7]
    assert stage.texts() == ["word"]

    end()
    running.end()


def test_a_batch_closes_after_a_while_although_other_messages_keep_coming(stage: Stage) -> None:
    written = []

    def lines() -> Iterator[bytes]:
        yield _record(1)
        while not stage.store.points:  # each of these lines is a chance to notice that the batch is old
            yield b'{"type": "LOG", "log": {"level": "INFO", "message": "hello"}}\n'
        written.append(True)

    stage.run(lines(), bounds=_bounds(points=100, linger_seconds=0.001))

    assert written == [True]


# ----------------------------------------------------------------------------------------------------------
# What is under way at once


def test_more_than_one_batch_is_under_way_at_once(stage: Stage) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    stage.store.on_upsert = lambda points: both.wait() and None if points else None
    stage.run([_record(1), _record(2)])

    assert len(stage.store.points) == 2


@pytest.mark.parametrize(
    ("bounds", "taken"),
    [
        # two batches for the one worker, one that waits for its place, and the record that closed it
        pytest.param(_bounds(workers=1), 4, id="batches"),
        pytest.param(_bounds(workers=2), 6, id="more workers"),
        # one batch is larger than the bytes, and goes alone
        pytest.param(_bounds(workers=4, bytes_in_flight=1), 3, id="bytes"),
    ],
)
def test_the_reader_stops_when_enough_is_in_flight_and_goes_on_afterwards(
    stage: Stage, bounds: Bounds, taken: int
) -> None:
    gate = Gate(stage.store)
    source = Lines([_record(number) for number in range(20)])
    running = stage.start(source, bounds=bounds)
    assert gate.entered.wait(PATIENCE)
    _until(lambda: running.rests_in("pipeline"))

    assert source.taken == taken
    assert stage.store.points == {}

    gate.open()
    running.end()

    assert source.taken == 20
    assert len(stage.store.points) == 20


@pytest.mark.parametrize("second", [{"text": "new"}, {"text": "x", "_ab_cdc_deleted_at": "2026-01-01"}, {"text": ""}])
def test_two_versions_of_a_key_are_never_in_flight_at_once(stage: Stage, second: dict[str, Any]) -> None:
    gate = Gate(stage.store, 1)
    lines = [_record(1, "old"), record_line("users", id=1, **second), *map(_record, range(2, 9))]
    source = Lines(lines)
    running = stage.start(source)
    assert gate.entered.wait(PATIENCE)
    _until(lambda: running.rests_in("pipeline"))

    assert source.taken == 3  # the third line closed the batch of the second version, which waits for the first
    assert len(stage.store.called("scroll")) == 1

    gate.open()
    running.end()

    assert sorted(stage.texts()) == sorted(["word"] * 7 + ["new"] * (second["text"] == "new"))


def test_equal_keys_do_not_wait_for_each_other_in_append_mode(stage: Stage) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    stage.store.on_upsert = lambda points: both.wait() and None if points else None
    stage.run([_record(1, "one"), _record(1, "two")], APPEND)

    assert stage.texts() == ["one", "two"]


# ----------------------------------------------------------------------------------------------------------
# Failures


def _failing_for(store: MemoryStore, key: int, error: Exception) -> None:
    def fail(points: Sequence[Point]) -> None:
        if key in _ids(points):
            raise error

    store.on_upsert = fail


FAILURES = [TransientError("Qdrant went away."), ConfigError("No."), SystemFault("Odd."), ZeroDivisionError("a bug")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_failing_store_ends_the_sync_and_no_state_leaves_from_then_on(stage: Stage, error: Exception) -> None:
    _failing_for(stage.store, 2, error)

    with pytest.raises(type(error)) as raised:
        stage.run(_records_and_states(6), OVERWRITE, bounds=_bounds(workers=1))
    assert error in (raised.value, raised.value.__cause__)
    assert stage.out.states == [1]
    assert stage.store.called("delete_where") == []


@pytest.mark.parametrize("error", [ConfigError("No.", detail="HTTP 400"), SystemFault("Odd.", detail="HTTP 400")])
def test_an_error_that_waiting_cannot_help_says_which_lines_it_is_about(stage: Stage, error: ConnectorError) -> None:
    _failing_for(stage.store, 2, error)
    lines = [_state(1), _state(2), *map(_record, range(1, 8))]

    with pytest.raises(type(error)) as raised:
        stage.run(lines, OVERWRITE, bounds=_bounds(points=7))
    assert str(raised.value) == f"{error.message} (in lines 3 to 9 of the input, stream users)"
    assert isinstance(raised.value, ConnectorError)
    assert raised.value.detail == "HTTP 400"
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [TransientError("Qdrant went away."), ZeroDivisionError("a bug")])
def test_an_error_that_is_about_no_record_is_raised_as_it_is(stage: Stage, error: Exception) -> None:
    _failing_for(stage.store, 2, error)

    with pytest.raises(type(error)) as raised:
        stage.run(_records_and_states(6), OVERWRITE, bounds=_bounds(workers=1))
    assert raised.value is error


def test_what_another_batch_has_stored_is_acknowledged_although_one_fails(stage: Stage) -> None:
    source = Lines([_record(1), _state(1), _record(2), _state(2), _record(3), _state(3)])
    entered = threading.Event()

    def upsert(points: Sequence[Point]) -> None:
        if 2 in _ids(points):
            entered.wait(PATIENCE)
            raise TransientError("first")
        if 1 in _ids(points):
            entered.set()
            source.woken.wait(PATIENCE)

    stage.store.on_upsert = upsert
    with pytest.raises(TransientError, match="first"):
        sync(source, stage.parts())
    _until(_no_workers)

    assert 1 in {payload["id"] for payload in stage.store.payloads()}
    assert stage.out.states == [1]
    names = [name for name, _ in stage.store.calls if name in {"flush", "STATE"}]
    assert names == ["flush", "STATE"]


def test_after_a_state_that_could_not_leave_none_does(stage: Stage) -> None:
    """The second batch is stored after the first one's flush has failed."""
    entered, failed = threading.Event(), threading.Event()

    def upsert(points: Sequence[Point]) -> None:
        if 2 in _ids(points):
            entered.set()
            failed.wait(PATIENCE)
        else:
            entered.wait(PATIENCE)

    def flush() -> None:
        if not failed.is_set():
            failed.set()
            raise TransientError("The disk went away.")

    stage.store.on_upsert, stage.store.on_flush = upsert, flush
    with pytest.raises(TransientError, match="disk"):
        stage.run([_record(1), _state(1), _record(2), _state(2)])
    _until(_no_workers)

    assert len(stage.store.points) == 2
    assert stage.out.states == []


def test_the_first_of_several_failures_is_raised(stage: Stage) -> None:
    def lines() -> Iterator[bytes]:
        yield _record(1)
        yield _record(2)
        source.on_wait()
        _until(lambda: source.wakes == 2)  # both have failed before the reader looks

    source = Lines(lines())

    def upsert(points: Sequence[Point]) -> None:
        if 2 in _ids(points):
            raise TransientError("first")
        source.woken.wait(PATIENCE)
        raise TransientError("second")

    stage.store.on_upsert = upsert
    with pytest.raises(TransientError, match="first"):
        sync(source, stage.parts(bounds=_bounds(linger_seconds=0)))
    _until(_no_workers)


def test_batches_that_wait_for_a_worker_are_dropped_after_a_failure(stage: Stage) -> None:
    gate = Gate(stage.store, 1)
    stage.store.faults["upsert"] = TransientError("Qdrant went away.")
    running = stage.start(Lines(map(_record, range(1, 9))), bounds=_bounds(workers=1))
    assert gate.entered.wait(PATIENCE)
    _until(lambda: running.rests_in("pipeline"))
    gate.open()
    with pytest.raises(TransientError):
        running.end()
    _until(_no_workers)

    assert len(stage.store.called("upsert")) == 1


def test_a_flush_that_fails_keeps_the_state_back(stage: Stage) -> None:
    stage.store.faults["flush"] = TransientError("The disk went away.")

    with pytest.raises(TransientError, match="disk"):
        stage.run([_record(1), _state(1)])
    assert stage.out.states == []


def test_a_reader_that_waits_for_silent_stdin_is_woken_by_a_failure(stage: Stage, stdin: Any) -> None:
    source, write, _ = stdin
    gate = Gate(stage.store)
    stage.store.faults["upsert"] = TransientError("Qdrant went away.")
    running = stage.start(source, bounds=_bounds(linger_seconds=0))
    write(_record(1))
    assert gate.entered.wait(PATIENCE)
    _until(lambda: running.rests_in("lines"))
    gate.open()

    with pytest.raises(TransientError, match="Qdrant went away"):
        running.end()


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        (b'{"type": "RECORD", "record": {"stream": "users"\n', SystemFault, "Line 3 "),
        (b'{"type": "RECORD", "record": {"stream": "users"}}\n', SystemFault, "Line 3 "),
        (b'{"type": "STATE", "state": 5}\n', SystemFault, "Line 3 "),
        (b'{"type": "RECORD", "record": {"stream": "users"', TransientError, "in the middle of line 3;"),
        (b'{"type": "STATE", "state": 5}', SystemFault, "Line 3 "),
        (b'{"type": "RECORD", "record": {"stream": "users"}}', SystemFault, "Line 3 "),
        (b'oops {"type": "RECORD", "record": {"stream": "users"}}', SystemFault, "Line 3 "),
        (b'{"type": "RECORD", "record": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", SystemFault, "Line 3 "),
        (record_line("nobody's", id=1), ConfigError, "nobody's"),
    ],
)
def test_a_line_that_fails_the_sync_still_lets_earlier_records_be_acknowledged(
    stage: Stage, line: bytes, error: type[ConnectorError], message: str
) -> None:
    source = Lines([_record(1), _state(1), line, _record(2), _state(2)])

    with pytest.raises(error, match=message):
        sync(source, stage.parts(OVERWRITE, bounds=_bounds(points=100)))
    assert stage.out.states == [1]
    assert len(stage.store.points) == 1
    assert source.taken == 3
    assert stage.store.called("delete_where") == []


def test_a_state_after_the_failing_record_does_not_leave(stage: Stage) -> None:
    stage_catalog = catalog({"stream": {"name": "users", "namespace": "x"}}, {"stream": {"name": "users"}})
    lines = [_record(1), _state(1), record_line(Descriptor("y", "users"), id=2, text="a"), _state(2)]

    with pytest.raises(ConfigError):
        stage.run(lines, stage_catalog)
    assert stage.out.states == [1]


def test_a_line_that_fails_the_sync_stays_its_reason_when_acknowledging_fails_too(stage: Stage) -> None:
    stage.store.faults["upsert"] = TransientError("Qdrant went away.")

    with pytest.raises(SystemFault, match="Line 2 "):
        stage.run([_record(1), b"{no JSON\n"])


def test_a_status_that_may_mean_two_streams_fails_the_sync(stage: Stage) -> None:
    of = catalog({"stream": {"name": "users", "namespace": "x"}}, {"stream": {"name": "users", "namespace": "y"}})

    with pytest.raises(ConfigError, match="no namespace"):
        stage.run([status_line("users")], of)


def test_a_line_beyond_the_longest_fails_the_sync_with_its_number(
    stage: Stage, stdin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 1000)
    source, write, _ = stdin
    write(_record(1) + _state(1) + _record(2, "x" * 1000))

    with pytest.raises(SystemFault, match="Line 3 of the input is longer than 64 MiB"):
        sync(source, stage.parts())
    assert stage.out.states == [1]


# ----------------------------------------------------------------------------------------------------------
# The end


def _earlier(stage: Stage, count: int = 2, **payload: Any) -> None:
    for number in range(count):
        stage.store.put(
            f"earlier {number}", **{STREAM: "users", NAMESPACE: "", RUN_ID: "before", "text": "old"}, **payload
        )


def test_a_replacement_removes_old_points_after_everything_is_written_and_acknowledged(stage: Stage) -> None:
    _earlier(stage)
    stage.run([_record(1), _state(1), _record(2), _state(2)], OVERWRITE)
    names = [name for name, _ in stage.store.calls if name in {"upsert", "STATE", "delete_where", "flush"}]

    assert stage.texts() == ["word", "word"]
    assert max(index for index, name in enumerate(names) if name in {"upsert", "STATE"}) < names.index("delete_where")
    assert names[-1] == "flush"
    assert stage.numbers()["removed"] == 2


class Estimating(MemoryStore):
    """A store that may not count exactly, and whose estimate is wrong."""

    def count(self, where: Where) -> int:
        self._called("count", where)
        return 0


@pytest.mark.parametrize("of", [OVERWRITE, REFRESH])
def test_old_points_go_although_the_count_says_that_there_are_none(stage: Stage, of: Catalog) -> None:
    stage.store = Estimating()
    stage.out = Output(stage.store)
    _earlier(stage, **{GENERATION_ID: 6})
    stage.run([_record(1), status_line("users")], of)

    assert stage.texts() == ["word"]
    assert "removed" not in stage.numbers()


def test_a_clear_empties_the_stream(stage: Stage) -> None:
    _earlier(stage)
    cleared = b'{"type":"STATE","state":{"type":"STREAM","id":1,"stream":{"stream_descriptor":{"name":"users"}}}}\n'
    stage.run([cleared], OVERWRITE)

    assert stage.store.points == {}
    assert stage.out.states == [1]


def test_a_stream_nobody_spoke_of_is_kept_with_a_warning(stage: Stage) -> None:
    _earlier(stage)
    stage.run([], OVERWRITE)

    assert len(stage.store.points) == 2
    assert "neither a record nor a state for it; what is stored is kept" in stage.out.log("WARN")


@pytest.mark.parametrize(
    ("of", "lines"),
    [
        (REFRESH, [_record(1), _state(1)]),
        (REFRESH, [_record(1), _state(1), status_line("users", "INCOMPLETE")]),
        (OVERWRITE, [_record(1), _state(1), status_line("users", "STARTED")]),
    ],
)
def test_a_replacement_that_is_not_complete_is_acknowledged_kept_and_fails_as_transient(
    stage: Stage, of: Catalog, lines: list[bytes]
) -> None:
    _earlier(stage, **{GENERATION_ID: 6})

    with pytest.raises(TransientError, match="before the source reported these streams complete: users;"):
        stage.run(lines, of)
    assert stage.out.states == [1]
    assert stage.texts() == ["old", "old", "word"]
    assert "was to be replaced but is not complete" in stage.out.log("WARN")
    assert [name for name, _ in stage.store.calls].count("flush") >= 2


def test_a_complete_refresh_removes_earlier_generations_also_without_records(stage: Stage) -> None:
    _earlier(stage, **{GENERATION_ID: 6})
    stage.run([status_line("users"), status_line("users")], REFRESH)

    assert stage.store.points == {}


def test_streams_are_finished_apart(stage: Stage) -> None:
    refresh = {"generation_id": 7, "minimum_generation_id": 7}
    of = catalog({"stream": {"name": "users"}, **refresh}, {"stream": {"name": "orders"}, **refresh})
    _earlier(stage, **{GENERATION_ID: 6})

    with pytest.raises(TransientError, match="complete: orders;"):
        stage.run([status_line("users"), status_line("orders", "INCOMPLETE")], of)
    assert stage.store.points == {}


def test_a_removal_that_fails_fails_the_sync(stage: Stage) -> None:
    _earlier(stage)
    stage.store.faults["delete_where"] = TransientError("Qdrant went away.")

    with pytest.raises(TransientError, match="Qdrant went away"):
        stage.run([_record(1), _state(1)], OVERWRITE)
    assert stage.out.states == [1]


# ----------------------------------------------------------------------------------------------------------
# What the log says


def test_records_without_text_are_counted_in_one_warning(stage: Stage) -> None:
    stage.run([_record(1, ""), _record(2, " "), _record(3)])

    assert "2 records had no text in text and were skipped." in stage.out.log("WARN")


def test_skipped_records_of_a_stream_without_key_are_counted_too(stage: Stage) -> None:
    stage.run([_record(1, ""), _record(2)], APPEND)

    assert "1 record had no text in text and was skipped." in stage.out.log("WARN")
    assert {"records": 2, "written": 1, "skipped": 1}.items() <= stage.numbers().items()


def test_records_with_an_empty_key_are_stored_each_and_counted(stage: Stage) -> None:
    stage.run([record_line("users", id=None, text="a"), record_line("users", text="b"), record_line("users", text="b")])

    assert stage.texts() == ["a", "b"]
    assert "3 records had only empty primary key columns" in stage.out.log("WARN")


def test_an_append_stream_does_not_care_about_empty_keys(stage: Stage) -> None:
    stage.run([record_line("users", id=None, text="a")], APPEND)

    assert stage.out.log("WARN") == ""


def test_deleted_rows_without_a_vector_are_counted(stage: Stage) -> None:
    raw = {
        "embedding": {"mode": "from_field", "field_name": "vector", "dimensions": 2},
        "processing": {"chunk_size": 1000},
        "indexing": {"url": "http://localhost:6333", "collection": "things", "auth_method": {"mode": "no_auth"}},
    }
    reader = DocumentReader(APPEND.streams[0], parse_config(raw, deployment_mode=""))
    ordinary = stage.parts(APPEND)
    parts = Parts(APPEND, ordinary.site, ordinary.out, {Descriptor(None, "users"): reader}, words)
    sync(Lines([record_line("users", id=1, _ab_cdc_deleted_at="2026-01-01")]), parts)

    assert "1 record of deleted rows had no vector and was skipped." in stage.out.log("WARN")


def test_records_without_the_end_of_their_text_are_counted(stage: Stage) -> None:
    def split(document: Document) -> tuple[Chunk, ...]:
        return tuple(Chunk(each.index, each.text, truncated=each.text == "long") for each in words(document))

    sync(Lines([_record(1, "a long b"), _record(2, "short"), _record(3, "long")]), replace(stage.parts(), split=split))

    assert "Stream 'users': 2 records had more text than processing.chunk_size or the model allows" in stage.out.log(
        "WARN"
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"hello\n", b"[1]\n"], "2 input lines were not JSON objects and were"),
        ([b"x\n"], "1 input line was not a JSON object and was"),
    ],
)
def test_lines_that_are_no_messages_are_counted(stage: Stage, lines: list[bytes], told: str) -> None:
    stage.run(lines)

    assert stage.out.log("WARN") == f"{told} passed over."


def test_lines_that_are_no_messages_are_counted_and_blank_ones_are_not(stage: Stage) -> None:
    stage.run([b"hello\n", b"\n", b"  \n", b"[1]\n", _record(1), b'{"type": "NEW"}\n', _state(1)])

    assert "2 input lines were not JSON objects" in stage.out.log("WARN")
    assert stage.out.states == [1]


def test_a_status_of_an_unknown_stream_is_ignored_with_a_warning(stage: Stage) -> None:
    stage.run([status_line("nobody's")])

    assert stage.out.log("WARN") == "Stream 'nobody's' has a status but is not in the catalog; it is ignored."


def test_many_statuses_of_an_unknown_stream_are_one_warning(stage: Stage) -> None:
    stage.run([status_line("nobody's", "STARTED"), status_line("nobody's"), status_line("another's")])

    assert stage.out.log("WARN").count("\n") == 1


@pytest.mark.parametrize(("name", "why"), [("users", "does not replace the stream"), ("old_users", "another stream")])
def test_points_of_airbytes_connector_that_are_kept_are_warned_about(stage: Stage, name: str, why: str) -> None:
    stage.store.put(1, **{STREAM: name})
    stage.run([], catalog({"stream": {"name": name}}), airbyte=[Descriptor(None, name)])

    assert f"Stream '{name}': points of Airbyte's own Qdrant connector are kept" in stage.out.log("WARN")
    assert why in stage.out.log("WARN")


def test_points_of_airbytes_connector_that_went_are_not_mentioned(stage: Stage) -> None:
    stage.store.put(1, **{STREAM: "users"})
    stage.run([_record(1)], OVERWRITE, airbyte=[Descriptor(None, "users")])

    assert stage.texts() == ["word"]
    assert stage.out.log("WARN") == ""


def test_several_streams_are_told_in_total_too(stage: Stage) -> None:
    of = catalog({"stream": {"name": "users"}}, {"stream": {"name": "orders"}})
    stage.run([_record(1, "a"), record_line("orders", id=1, text="b c")], of)

    one = {"records": 1, "written": 1, "points": 1, "embedded": 1, "tokens": 1}
    assert stage.numbers("users") == one
    assert stage.numbers("orders") == one | {"points": 2, "embedded": 2, "tokens": 2}
    assert stage.numbers("in total") == {"records": 2, "written": 2, "points": 3, "embedded": 3, "tokens": 3}


def test_the_requests_to_the_provider_are_told_at_the_end(stage: Stage) -> None:
    stage.embedder.usage = Usage(requests=3, throttled_seconds=20)
    stage.run([_record(1)])

    last = stage.out.log("INFO").splitlines()[-1]
    assert last.startswith("Took ")
    assert last.endswith(", 3 embedding requests, requests held back by rate limits for 20 s in all.")


# ----------------------------------------------------------------------------------------------------------
# What it says while it runs


def _progress(stage: Stage) -> list[str]:
    """The lines about it, from behind the time that has passed."""
    lines = (line.partition(": ") for line in stage.out.log("INFO").splitlines())
    return [told for head, _, told in lines if head.startswith("Progress after ")]


#: How many lines there are then says nothing.
OFTEN = {"progress_seconds": 0.01}


def test_a_sync_shorter_than_the_pace_says_nothing_of_its_progress(stage: Stage) -> None:
    stage.run(_records_and_states(3))

    assert _progress(stage) == []


def test_progress_is_told_while_the_reader_is_held_up_and_while_batches_drain(stage: Stage) -> None:
    stage.embedder.usage = Usage(requests=2, in_flight=1, limit=8)
    gate = Gate(stage.store, 2)
    running = stage.start(Lines(map(_record, range(1, 20))), bounds=replace(_bounds(workers=1), **OFTEN))
    assert gate.entered.wait(PATIENCE)
    _until(lambda: running.rests_in("pipeline"))
    seen = len(_progress(stage))
    _until(lambda: len(_progress(stage)) > seen + 1)

    assert _progress(stage)[-1] == (
        "5 records read, 1 done (0.0 a second); 1 chunk embedded, 4 tokens embedded; "
        "1 of 8 embedding requests in flight; 2 batches in flight; mostly waiting for Qdrant."
    )

    gate.open()
    running.end()


def test_progress_is_told_while_the_source_is_silent(stage: Stage, stdin: Any) -> None:
    source, write, end = stdin
    running = stage.start(source, bounds=replace(_bounds(), **OFTEN))
    write(_record(1) + _state(1))
    told = "1 record read, 0 done (0.0 a second); mostly waiting for the source."
    _until(lambda: told in _progress(stage))
    end()
    running.end()

    assert stage.out.states == [1]


def test_progress_is_told_during_a_long_removal(stage: Stage) -> None:
    _earlier(stage)
    told = "1 record read, 1 done (0.0 a second); 1 chunk embedded, 4 tokens embedded; removing older points."

    class Slow(MemoryStore):
        def delete_where(self, where: Where, on_progress: Callable[[int], object] = lambda _: None) -> None:
            _until(lambda: told in _progress(stage))
            super().delete_where(where, on_progress)

    slow = Slow()
    slow.points = stage.store.points
    stage.store = slow
    stage.run([_record(1), _state(1)], OVERWRITE, bounds=replace(_bounds(), **OFTEN))

    assert stage.texts() == ["word"]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_told_after_the_last_message(stage: Stage, *, fails: bool) -> None:
    lines = [_record(1), b"{no JSON\n"] if fails else [_record(1)]
    with suppress(SystemFault):
        stage.run(lines, bounds=replace(_bounds(), **OFTEN))

    assert not any(thread.name == "progress" for thread in threading.enumerate())
    assert fails or stage.out.log("INFO").splitlines()[-1].startswith("Took ")


# ----------------------------------------------------------------------------------------------------------
# All of it at once


KEYS = st.integers(1, 3)
EVENTS = st.lists(
    st.one_of(KEYS.map(lambda key: ("record", key)), KEYS.map(lambda key: ("delete", key)), st.just(("state", 0)))
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.integers(1, 4), st.integers(1, 4))
def test_whatever_comes_the_last_version_of_each_key_is_stored_and_no_state_is_lost(
    events: list[tuple[str, int]], points: int, workers: int
) -> None:
    stage = Stage()
    expected: dict[int, str] = {}
    lines, states = [], []
    for number, (kind, key) in enumerate(events, 1):
        if kind == "record":
            expected[key] = f"v{number}"
            lines.append(_record(key, " ".join([f"v{number}"] * (number % 3 + 1))))
        elif kind == "delete":
            expected.pop(key, None)
            lines.append(_record(key, "x", _ab_cdc_deleted_at="2026-01-01"))
        else:
            states.append(number)
            lines.append(_state(number))
    stage.run(lines, bounds=_bounds(workers, points=points))

    assert {payload["id"]: payload["text"] for payload in stage.store.payloads()} == expected
    assert stage.out.states == states
    assert len({payload["text"] for payload in stage.store.payloads()}) == len(expected)


def test_a_sync_leaves_no_thread_behind(stage: Stage) -> None:
    stage.run([_record(1)])
    assert _no_workers()

    with suppress(SystemFault):
        stage.run([_record(1), b"{no JSON\n"])
    assert _no_workers()
