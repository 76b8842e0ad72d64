"""What is said of streams in numbers: in the log at the end of a sync, and to the platform with each STATE (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from .checkpoints import Outcome
from .embedding.base import Usage
from .generations import Verdict, is_certain
from .identity import is_plain_identifier
from .protocol import Descriptor
from .tally import Tally
from .text_format import sources
from .wording import counted, lasted, rate, shown


@dataclass(frozen=True, slots=True)
class Numbers:
    """What became of records.

    `skipped` counts them by reason: "no_text", "deleted" (in append, without a vector); and, although they are stored,
    "no_key" (by content) and "truncated" (without the end of their text).
    `removed` are points that a completed replacement removed, beside those that records replaced one by one.
    """

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    removed: int = 0

    def __add__(self, other: Numbers) -> Numbers:
        """Both together."""
        return Numbers(
            Counter(self.outcomes) + Counter(other.outcomes),
            Counter(self.skipped) + Counter(other.skipped),
            self.tally + other.tally,
            self.removed + other.removed,
        )


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of one stream."""

    verdict: Verdict
    numbers: Numbers
    airbyte_points_left: bool


@dataclass(frozen=True, slots=True)
class Fates:
    """How many records ended how. `older` ones are older than what is stored, or repeated."""

    written: int
    unchanged: int
    deleted: int
    older: int
    skipped: int
    rejected: int


def fates(numbers: Numbers) -> Fates:
    """Records that a newer version of theirs replaced are told apart from skipped ones."""
    outcomes = {outcome: numbers.outcomes.get(outcome, 0) for outcome in Outcome}
    skipped = numbers.skipped.get("no_text", 0) + numbers.skipped.get("deleted", 0)
    return Fates(
        written=outcomes[Outcome.WRITTEN] - numbers.tally.unchanged,
        unchanged=numbers.tally.unchanged,
        deleted=outcomes[Outcome.DELETED],
        older=outcomes[Outcome.SKIPPED] - skipped,
        skipped=skipped,
        rejected=outcomes[Outcome.REJECTED],
    )


def table(streams: Sequence[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    """A table of streams: each name with its cells, and the columns aligned; the first line names them.

    All have the same columns.
    """
    if not streams:
        return
    named = ((shown(name), cells) for name, cells in streams)
    rows = [("stream", {column: column for column in streams[0][1]}), *named]
    longest = max(len(name) for name, _ in rows)
    widths = {column: max(len(cells[column]) for _, cells in rows) for column in streams[0][1]}
    for name, cells in rows:
        yield "  ".join([name.ljust(longest), *(cells[column].rjust(width) for column, width in widths.items())])


def streams_in_numbers(numbers: Mapping[Descriptor, Numbers]) -> Iterator[str]:
    """A table of what became of the streams, line by line; several have a line for all of them."""
    named = [(str(stream), each) for stream, each in numbers.items()]
    if len(named) > 1:
        named.append(("in total", sum(numbers.values(), Numbers())))
    return table([(name, _cells(each)) for name, each in named])


def _cells(numbers: Numbers) -> Mapping[str, str]:
    tally = numbers.tally
    cells = {
        "records": sum(numbers.outcomes.values()),
        **asdict(fates(numbers)),
        "points": tally.points,
        "removed": numbers.removed + tally.removed,
        "embedded": tally.embedded,
        "reused": tally.reused,
        "tokens": tally.tokens,
    }
    return {column: f"{number:,}" for column, number in cells.items()}


def closing(numbers: Iterable[Numbers], usage: Usage, seconds: float) -> str:
    """How long it took, and what the embedding provider was asked: a request may carry texts of several streams."""
    records = sum(count for each in numbers for count in each.outcomes.values())
    parts = [f"{counted(records, 'record')} ({rate(records, seconds)})"]
    if usage.requests:
        parts.append(counted(usage.requests, "embedding request"))
    if usage.throttled_seconds:
        parts.append(f"requests held back by rate limits for {usage.throttled_seconds:,.0f} s in all")
    return f"Took {lasted(seconds)}: {', '.join(parts)}."


def additional_stats(tally: Tally) -> Mapping[str, int]:
    """What the platform is told beside the counts of records, by names in its style (`nulledValueCount` is one of Airbyte's own).

    What is zero is left out: the platform adds the numbers up.
    """
    told = {
        "chunkCount": tally.chunks,
        "embeddedChunkCount": tally.embedded,
        "reusedChunkCount": tally.reused,
        "unchangedRecordCount": tally.unchanged,
        "writtenPointCount": tally.points,
        "removedPointCount": tally.removed,
        "embeddedTokenCount": tally.tokens,
    }
    return {name: count for name, count in told.items() if count}


def all_warnings(reports: Iterable[StreamReport]) -> Iterator[str]:
    """What the user should know about the streams."""
    for report in reports:
        for warning in warnings(report):
            yield f"Stream '{shown(str(report.verdict.stream.descriptor))}': {warning}"


def warnings(report: StreamReport) -> Iterator[str]:
    """What the user should know about one stream."""
    stream, skipped = report.verdict.stream, report.numbers.skipped
    if skipped.get("no_text"):
        fields = ", ".join(sources(stream.text_format, stream.text_fields)) or "any field"
        yield f"{_skipped(skipped['no_text'], f'had no text in {fields}')}."
    if skipped.get("truncated"):
        yield (
            f"{counted(skipped['truncated'], 'record')} had more text than processing.chunk_size or the model allows, and only "
            "its beginning is embedded, because processing.text_splitter is none: split such texts, raise the chunk size, or "
            "choose other text fields."
        )
    if skipped.get("no_key"):
        yield (
            f"{counted(skipped['no_key'], 'record')} had only empty primary key columns; "
            "each is stored by its content and replaces no other record."
        )
    if skipped.get("deleted"):
        yield f"{_skipped(skipped['deleted'], 'of deleted rows had no vector')}."
    if report.verdict.pending:
        yield "was to be replaced but is not complete; nothing was removed."
    if report.verdict.silent:
        yield "was to be replaced, but the source sent neither a record nor a state for it; what is stored is kept."
    if report.airbyte_points_left:
        yield f"points of Airbyte's own Qdrant connector are kept, because {_why_kept(report)}."


def _skipped(count: int, because: str) -> str:
    return f"{counted(count, 'record')} {because} and {'was' if count == 1 else 'were'} skipped"


def _why_kept(report: StreamReport) -> str:
    stream = report.verdict.stream
    if not is_plain_identifier(stream.descriptor):
        return "their stream name could also mean another stream; delete them by hand if they are not wanted"
    if not is_certain(stream):
        return "this sync does not replace the stream; a full refresh with overwrite removes them"
    return "the stream is not complete; the next complete sync removes them"
