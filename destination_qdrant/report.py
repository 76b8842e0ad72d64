"""What the log says of a stream at the end of a sync (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .checkpoints import Outcome
from .generations import Verdict, is_certain
from .identity import is_plain_identifier


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of one stream.

    `skipped` counts records by reason: "no_text", "no_key" (stored by content), "deleted" (in append, without a vector).
    """

    verdict: Verdict
    outcomes: Mapping[Outcome, int]
    skipped: Mapping[str, int]
    points: int
    removed: int
    airbyte_points_left: bool


def summary(report: StreamReport) -> str:
    """The stream in numbers. Records that a newer version of theirs replaced are told apart from skipped ones."""
    outcomes = {outcome: report.outcomes.get(outcome, 0) for outcome in Outcome}
    skipped = report.skipped.get("no_text", 0) + report.skipped.get("deleted", 0)
    parts = {
        "written": outcomes[Outcome.WRITTEN],
        "deleted": outcomes[Outcome.DELETED],
        "older than what is stored or repeated": outcomes[Outcome.SKIPPED] - skipped,
        "skipped": skipped,
        "rejected": outcomes[Outcome.REJECTED],
    }
    told = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    records = f"{sum(outcomes.values()):,} records" + (f" ({told})" if told else "")
    return f"{records}, {report.points:,} points written, {report.removed:,} older points removed."


def warnings(report: StreamReport) -> Iterator[str]:
    """What the user should know about the stream."""
    stream, skipped = report.verdict.stream, report.skipped
    if skipped.get("no_text"):
        fields = ", ".join(stream.text_fields) or "any field"
        yield f"{skipped['no_text']:,} records had no text in {fields} and were skipped."
    if skipped.get("no_key"):
        yield (
            f"{skipped['no_key']:,} records had only empty primary key columns; "
            "each is stored by its content and replaces no other record."
        )
    if skipped.get("deleted"):
        yield f"{skipped['deleted']:,} records of deleted rows carry no vector and were skipped."
    if report.verdict.pending:
        yield "was to be replaced but is not complete; nothing was removed."
    if report.verdict.silent:
        yield "was to be replaced, but the source sent neither a record nor a state for it; what is stored is kept."
    if report.airbyte_points_left:
        yield f"points of Airbyte's own Qdrant connector are kept, because {_why_kept(report)}."


def _why_kept(report: StreamReport) -> str:
    stream = report.verdict.stream
    if not is_plain_identifier(stream.descriptor):
        return "their stream name could also mean another stream; delete them by hand if they are not wanted"
    if not is_certain(stream):
        return "this sync does not replace the stream; a full refresh with overwrite removes them"
    return "the stream is not complete; the next complete sync removes them"
