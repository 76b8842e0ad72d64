"""The sync: messages in, stages in order, STATEs out. Nothing else starts deliveries.

One reader on the main thread turns lines into operations and gathers them into batches.
A small pool of workers delivers batches, several at once; one ordered ledger decides which STATE may leave.
Three things bound it: the bytes in flight (they stop the reader), the batches in flight, and the keys in flight (a
batch that holds a key which is on its way waits, so that two versions of one record never race).
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Protocol

from .batching import Batch, BatchBounds, BatchBuffer, Entry, KeyInStream
from .catalog import Catalog, DestinationStream
from .checkpoints import Checkpoint, CheckpointLedger, Outcome
from .chunking import Chunk
from .delivery import CommitReceipt, deliver
from .documents import Document, DocumentReader, Skip, Upsert
from .errors import ConnectorError, TransientError
from .generations import StreamEnds, Verdict
from .lines import LONGEST_LINE, LineTooLong
from .lookup import holds
from .points import of_airbyte
from .progress import Activity, Heartbeat, Look, Stopwatch, progress
from .protocol import (
    Descriptor,
    Ignored,
    MessageWriter,
    Record,
    State,
    StreamStatus,
    UnreadableLine,
    cut_off,
    is_cut_off,
    read_message,
    too_long,
    unreadable,
    with_counts,
)
from .qdrant.base import Where
from .report import Numbers, StreamReport, additional_stats, all_warnings, closing, streams_in_numbers
from .site import Site
from .tally import Tally
from .vectors import FLOAT32_BYTES
from .wording import counted, shown

#: How long a failed sync waits for batches on their way, so that what is paid for is stored and acknowledged.
_GRACE_SECONDS = 30.0

_STREAMS_NAMED = 10


class Source(Protocol):
    """Where the lines come from; see `lines.StdinLines`."""

    on_wait: Callable[[], float | None]

    def __iter__(self) -> Iterator[bytes]:
        """The lines."""
        ...

    def wake(self) -> None:
        """Make a waiting reader call `on_wait`."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be under way at once, and how often a running sync says how far it is."""

    workers: int = 4
    bytes_in_flight: int = 64_000_000
    batch: BatchBounds = field(default_factory=BatchBounds)
    progress_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sync is made of, all of it wired up. `vector_fields`: where records bring vectors along."""

    catalog: Catalog
    site: Site
    out: MessageWriter
    readers: dict[Descriptor, DocumentReader]
    split: Callable[[Document], tuple[Chunk, ...]]
    bounds: Bounds = field(default_factory=Bounds)
    vector_fields: frozenset[str] = frozenset()


def sync(source: Source, parts: Parts) -> None:
    """Run a sync to the end of its input.

    Raises:
        ConnectorError: the first thing that went wrong; what was acknowledged until then is in Qdrant.
    """
    run = _Run(source, parts)
    try:
        with _running(run):
            run.finish()
    except ConnectorError:
        with suppress(Exception):  # what went wrong is what counts
            run.tell_numbers()
        raise
    run.report()


def rehearse(source: Source, parts: Parts) -> list[StreamReport]:
    """Take the input as `sync` does, and remove nothing; returns what would be said of each stream.

    Raises:
        ConnectorError: the first thing that went wrong.
    """
    run = _Run(source, parts)
    with _running(run):
        pass
    return run.reports()


@contextmanager
def _running(run: _Run) -> Iterator[None]:
    """The block is at the end of the input, when everything is delivered. Progress is told until it ends."""
    heartbeat = Heartbeat(run.tell_progress, run.progress_seconds)
    heartbeat.start()
    try:
        run.take_all()
        run.drain()
        yield
    finally:
        run.stop()
        heartbeat.stop()


def _numbered(source: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, line in enumerate(source, 1):
            yield number, line
    except LineTooLong:
        raise too_long(number + 1, LONGEST_LINE) from None


def _named(streams: list[str]) -> str:
    more = f" and {len(streams) - _STREAMS_NAMED:,} more" if len(streams) > _STREAMS_NAMED else ""
    return ", ".join(map(shown, streams[:_STREAMS_NAMED])) + more


def _counted(checkpoint: Checkpoint) -> bytes:
    state = checkpoint.state
    if state.kind == "LEGACY":
        return state.raw
    stats = additional_stats(checkpoint.tally)
    return with_counts(state.raw, checkpoint.record_count, checkpoint.rejected_count, stats)


class _Run:
    """The moving parts of one sync. Everything below `_changed` is shared between threads and guarded by it."""

    def __init__(self, source: Source, parts: Parts) -> None:
        self.progress_seconds = parts.bounds.progress_seconds
        self._source = source
        self._parts = parts
        self._out = parts.out
        self._buffer = BatchBuffer(parts.bounds.batch)
        self._ends = StreamEnds(parts.catalog)
        self._streams: dict[Descriptor, DestinationStream] = {}
        self._workers = ThreadPoolExecutor(parts.bounds.workers, thread_name_prefix="deliver")
        self._watch = Stopwatch()
        self._arrived: defaultdict[Descriptor, list[int]] = defaultdict(list)
        self._records_read = 0
        self._vector_bytes = parts.site.dimensions * FLOAT32_BYTES
        self._strange_lines = 0
        self._unknown_streams: set[Descriptor] = set()
        self._releasing = threading.Lock()
        self._changed = threading.Condition()
        self._ledger = CheckpointLedger()
        self._batches_in_flight = 0
        self._bytes_in_flight = 0
        self._keys_in_flight: set[KeyInStream] = set()
        self._tallies: dict[Descriptor, Tally] = {}
        self._removed: Counter[Descriptor] = Counter()
        self._skipped: Counter[tuple[Descriptor, str]] = Counter()
        self._unflushed = False
        self._muted = False
        self._failure: BaseException | None = None
        self._began_at = monotonic()
        self._seen = self._look()

    # -- the reader's side ---------------------------------------------------------------------------------

    def take_all(self) -> None:
        """Take every line of the input; a line that ends the sync does not undo those before it."""
        self._source.on_wait = self.idle
        try:
            for number, line in _numbered(self._source):
                self._take(number, line)
        except ConnectorError:
            if self._failure is None:
                with suppress(Exception):  # the line is what went wrong first
                    self.drain()
            raise

    def _take(self, number: int, line: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        self._watch.enter(Activity.WORKING)
        try:
            message = read_message(line, self._parts.vector_fields)
        except UnreadableLine:
            raise (cut_off if is_cut_off(line) else unreadable)(number) from None
        if isinstance(message, Record):
            self._take_record(message, number)  # whether a batch is due is asked before each read of the input
            return
        match message:
            case State():
                self._take_state(message)
            case StreamStatus():
                self._take_status(message)
            case Ignored(is_message=False) if line.strip():
                self._strange_lines += 1
        self._close_if_due()

    def _take_record(self, record: Record, number: int) -> None:
        stream = self._streams.get(record.descriptor) or self._stream_of(record.descriptor)
        self._ends.record(stream)
        self._arrived[stream.descriptor].append(number)
        self._records_read += 1
        operation = self._parts.readers[stream.descriptor].read(record, number)
        if isinstance(operation, Skip):
            self._skip(number, stream, operation.because)
            return
        chunks: tuple[Chunk, ...] = ()
        if isinstance(operation, Upsert):
            if operation.document.key and operation.document.key.is_content and stream.is_dedup:
                self._skipped[stream.descriptor, "no_key"] += 1
            chunks = self._parts.split(operation.document)
        elif operation.because == "no_text":
            self._skipped[stream.descriptor, "no_text"] += 1
        size, is_truncated = len(record.line) + len(chunks) * self._vector_bytes, False
        for chunk in chunks:
            size += len(chunk.text)
            is_truncated = is_truncated or chunk.truncated
        if is_truncated:
            self._skipped[stream.descriptor, "truncated"] += 1
        full = self._buffer.add(Entry.of(number, operation, chunks, size), monotonic())
        if full:
            self._submit(full)

    def _skip(self, number: int, stream: DestinationStream, because: str) -> None:
        self._skipped[stream.descriptor, because] += 1
        with self._changed:
            self._enter_arrived()
            self._ledger.settle([number], Outcome.SKIPPED)

    def _enter_arrived(self) -> None:
        """Let the ledger know of the records since the last time: not one by one, because each waits for the workers."""
        for stream, positions in self._arrived.items():
            self._ledger.records(stream, positions)
        self._arrived.clear()

    def _take_state(self, state: State) -> None:
        self._ends.state(state)
        found = ((self._parts.catalog.mentioned(each), each) for each in state.streams)
        counted = tuple(stream.descriptor if stream else each for stream, each in found)
        with self._changed:
            self._enter_arrived()
            self._ledger.state(replace(state, streams=counted))
        self._release()

    def _take_status(self, status: StreamStatus) -> None:
        if not self._ends.status(status) and status.descriptor not in self._unknown_streams:
            self._unknown_streams.add(status.descriptor)
            self._out.log(
                "WARN",
                f"Stream '{shown(str(status.descriptor))}' has a status but is not in the catalog; it is ignored.",
            )

    def _stream_of(self, descriptor: Descriptor) -> DestinationStream:
        stream = self._streams[descriptor] = self._parts.catalog.get(descriptor)
        return stream

    def idle(self) -> float | None:
        """What is due while there is no input; returns the seconds until something is due again."""
        self._raise_failure()
        self._close_if_due()
        self._watch.enter(Activity.SOURCE)
        due_at = self._buffer.due_at()
        return None if due_at is None else max(0.0, due_at - monotonic())

    def _close_if_due(self) -> None:
        due_at = self._buffer.due_at()
        if due_at is not None and due_at <= monotonic():
            self._submit_open()

    def _submit_open(self) -> None:
        batch = self._buffer.close()
        if batch:
            self._submit(batch)

    def _submit(self, batch: Batch) -> None:
        """Hand a batch to the workers as soon as there is room for it and none of its keys is on its way."""
        self._watch.enter(Activity.ROOM)
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._has_room_for(batch))
            self._raise_failure()
            self._enter_arrived()
            self._batches_in_flight += 1
            self._bytes_in_flight += batch.size_bytes
            self._keys_in_flight |= batch.keys
        self._watch.enter(Activity.WORKING)
        self._workers.submit(self._deliver, batch)

    def _has_room_for(self, batch: Batch) -> bool:
        bounds = self._parts.bounds
        if not batch.keys.isdisjoint(self._keys_in_flight) or self._batches_in_flight >= 2 * bounds.workers:
            return False
        return not self._batches_in_flight or self._bytes_in_flight + batch.size_bytes <= bounds.bytes_in_flight

    # -- the workers' side ---------------------------------------------------------------------------------

    def _deliver(self, batch: Batch) -> None:
        try:
            if self._failure is None:
                self._commit(deliver(batch, self._parts.site))
                self._release()
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the main thread raises it
            self._fail(error)
        finally:
            self._leave(batch)

    def _commit(self, receipt: CommitReceipt) -> None:
        with self._changed:
            self._ledger.settle(receipt.written, Outcome.WRITTEN)
            self._ledger.settle(receipt.skipped, Outcome.SKIPPED)
            self._ledger.settle(receipt.deleted, Outcome.DELETED)
            self._ledger.work(receipt.tallies)
            for stream, tally in receipt.tallies.items():
                self._tallies[stream] = self._tallies.get(stream, Tally()) + tally
            self._unflushed = True

    def _leave(self, batch: Batch) -> None:
        with self._changed:
            self._batches_in_flight -= 1
            self._bytes_in_flight -= batch.size_bytes
            self._keys_in_flight -= batch.keys
            self._changed.notify_all()

    def _release(self) -> None:
        """Emit the STATEs whose records are all in Qdrant, durably and in order.

        Also after another batch has failed: what is stored may be acknowledged, and the ledger holds back the rest.
        """
        with self._releasing:
            with self._changed:
                checkpoints = [] if self._muted else self._ledger.release()
                must_flush = bool(checkpoints) and self._unflushed
                self._unflushed = self._unflushed and not must_flush
            try:
                if must_flush:
                    self._parts.site.store.flush()
                for checkpoint in checkpoints:
                    self._out.state(_counted(checkpoint))
            except BaseException:
                self._muted = True  # a STATE that could not leave must not be overtaken by a later one
                raise

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
        self._source.wake()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let the workers go after what they are at; not for long, as it may be a request without an answer."""
        with self._changed:
            self._changed.wait_for(lambda: not self._batches_in_flight, timeout=_GRACE_SECONDS)
        self._workers.shutdown(wait=False, cancel_futures=True)

    # -- the end -------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Wait until everything that came in is in Qdrant and every STATE is out."""
        self._submit_open()
        self._watch.enter(Activity.ROOM)
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or not self._batches_in_flight)
            self._raise_failure()
        self._workers.shutdown()  # a worker is done only when it has emitted what its batch had held up
        self._release()
        self._raise_failure()
        self._parts.site.store.flush()

    def finish(self) -> None:
        """Remove what completed streams have replaced."""
        self._watch.enter(Activity.REMOVING)
        for verdict in self._verdicts():
            descriptor = verdict.stream.descriptor
            self._removed[descriptor] = sum(self._remove(where, descriptor) for where in verdict.remove)
        self._parts.site.store.flush()

    def _verdicts(self) -> list[Verdict]:
        site = self._parts.site
        return self._ends.verdicts(site.form.run_id, loaded_before=site.form.loaded_at if site.replicated else None)

    def _remove(self, where: Where, descriptor: Descriptor) -> int:
        """Remove what matches; the number is for the log, and an estimate where the server refuses to count."""
        store = self._parts.site.store
        count = store.count(where)

        def tell(removed: int) -> None:
            self._out.log("INFO", f"Stream '{descriptor}': {removed:,} of {count:,} older points removed so far.")

        store.delete_where(where, tell)
        return count

    def report(self) -> None:
        """Say what was done, and whether the sync is complete."""
        reports = self.reports()
        self.tell_numbers()
        for warning in all_warnings(reports):
            self._out.log("WARN", warning)
        pending = [str(report.verdict.stream.descriptor) for report in reports if report.verdict.pending]
        if pending:
            raise TransientError(
                f"The input ended before the source reported these streams complete: {_named(pending)}; "
                "what was there before is kept beside what this sync wrote, and the next complete sync removes it."
            )

    def tell_numbers(self) -> None:
        """Say what was done until now, from memory."""
        numbers = {stream.descriptor: self._numbers_of(stream.descriptor) for stream in self._parts.catalog.streams}
        for line in streams_in_numbers(numbers):
            self._out.log("INFO", line)
        took = monotonic() - self._began_at
        self._out.log("INFO", closing(numbers.values(), self._parts.site.embedder.usage, took))

    def reports(self) -> list[StreamReport]:
        """What became of each stream."""
        if self._strange_lines:
            were = "was not a JSON object and was" if self._strange_lines == 1 else "were not JSON objects and were"
            self._out.log("WARN", f"{counted(self._strange_lines, 'input line')} {were} passed over.")
        return [self._report_of(verdict) for verdict in self._verdicts()]

    def _report_of(self, verdict: Verdict) -> StreamReport:
        stream, site = verdict.stream, self._parts.site
        is_left = stream.descriptor in site.airbyte_streams and holds(site.store, of_airbyte(stream))
        return StreamReport(verdict, self._numbers_of(stream.descriptor), airbyte_points_left=is_left)

    def _numbers_of(self, stream: Descriptor) -> Numbers:
        with self._changed:
            return Numbers(
                outcomes=self._ledger.outcomes(stream),
                skipped={reason: count for (of, reason), count in self._skipped.items() if of == stream},
                tally=self._tallies.get(stream, Tally()),
                removed=self._removed[stream],
            )

    # -- while it runs -------------------------------------------------------------------------------------

    def tell_progress(self) -> None:
        """Say how far the sync is; on a thread of its own."""
        before, self._seen = self._seen, self._look()
        self._out.log("INFO", progress(before, self._seen))

    def _look(self) -> Look:
        usage = self._parts.site.embedder.usage
        with self._changed:
            return Look(
                at=monotonic() - self._began_at,
                read=self._records_read,
                done=self._ledger.settled,
                tally=sum(self._tallies.values(), Tally()),
                usage=usage,
                batches=self._batches_in_flight,
                spent=self._watch.spent(),
                busy=self._parts.site.busy.seconds(),
            )
