"""What is said of streams in numbers: in the log at the end of a sync, and to the platform with each STATE (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from .checkpoints import Outcome
from .embedding.base import Usage
from .generations import Verdict, is_certain
from .identity import is_plain_identifier
from .tally import Tally, counted
from .text_format import sources


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


def summary(numbers: Numbers) -> str:
    """A stream in numbers."""
    return f"{_told(numbers)}."


def total(all_numbers: Iterable[Numbers], usage: Usage) -> str | None:
    """All streams in numbers, and what the embedding provider was asked; None where that says nothing new.

    A request may carry texts of several streams, so requests exist only here.
    """
    found = list(all_numbers)
    asked = [counted(usage.requests, "embedding request")] if usage.requests else []
    if usage.throttled_seconds:
        asked.append(f"rate limits held requests back for {usage.throttled_seconds:,.0f} s in all")
    if len(found) < 2 and not asked:  # noqa: PLR2004 -- the total of one stream is that stream
        return None
    return f"In total: {'; '.join([_told(sum(found, Numbers())), *asked])}."


_FATES = {"older": "older than what is stored or repeated"}


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


def _told(numbers: Numbers) -> str:
    tally = numbers.tally
    records = {_FATES.get(name, name): count for name, count in asdict(fates(numbers)).items()}
    written = f"{counted(tally.points, 'point')} written"
    removed = f"{counted(numbers.removed + tally.removed, 'older point')} removed"
    parts = [f"{_divided(sum(records.values()), 'record', records)}, {written}, {removed}"]
    if tally.chunks:
        parts.append(_divided(tally.chunks, "chunk", {"embedded": tally.embedded, "reused": tally.reused}))
    if tally.tokens:
        parts.append(f"{counted(tally.tokens, 'token')} embedded")
    return "; ".join(parts)


def _divided(count: int, thing: str, parts: Mapping[str, int]) -> str:
    """`12 things (10 of one kind, 2 of another)`; what did not happen is left out."""
    told = ", ".join(f"{number:,} {part}" for part, number in parts.items() if number)
    return counted(count, thing) + (f" ({told})" if told else "")


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


def warnings(report: StreamReport) -> Iterator[str]:
    """What the user should know about the stream."""
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
