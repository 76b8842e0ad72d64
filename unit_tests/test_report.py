"""What the log says of a stream at the end of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from builders import stream

from destination_qdrant.catalog import DestinationStream
from destination_qdrant.checkpoints import Outcome
from destination_qdrant.generations import Verdict
from destination_qdrant.report import StreamReport, summary, warnings

USERS = stream("users")


def report_of(
    of: DestinationStream = USERS,
    *,
    outcomes: Mapping[Outcome, int] | None = None,
    skipped: Mapping[str, int] | None = None,
    points: int = 0,
    removed: int = 0,
    airbyte_points_left: bool = False,
    **verdict: Any,
) -> StreamReport:
    return StreamReport(Verdict(of, **verdict), outcomes or {}, skipped or {}, points, removed, airbyte_points_left)


def test_a_stream_without_records_is_told_in_a_line() -> None:
    assert summary(report_of()) == "0 records, 0 points written, 0 older points removed."


def test_every_outcome_is_told_with_its_number() -> None:
    report = report_of(
        outcomes={Outcome.WRITTEN: 1234, Outcome.DELETED: 2, Outcome.SKIPPED: 12, Outcome.REJECTED: 1},
        skipped={"no_text": 3, "deleted": 4, "no_key": 100},
        points=5000,
        removed=1_000_000,
    )

    assert summary(report) == (
        "1,249 records (1,234 written, 2 deleted, 5 older than what is stored or repeated, 7 skipped, 1 rejected), "
        "5,000 points written, 1,000,000 older points removed."
    )


@pytest.mark.parametrize(
    ("outcome", "skipped", "told"),
    [
        (Outcome.WRITTEN, {}, "written"),
        (Outcome.DELETED, {}, "deleted"),
        (Outcome.REJECTED, {}, "rejected"),
        (Outcome.SKIPPED, {}, "older than what is stored or repeated"),
        (Outcome.SKIPPED, {"no_text": 2}, "skipped"),
        (Outcome.SKIPPED, {"deleted": 2}, "skipped"),
        (Outcome.WRITTEN, {"no_key": 2}, "written"),
    ],
)
def test_what_did_not_happen_is_not_told(outcome: Outcome, skipped: Mapping[str, int], told: str) -> None:
    assert summary(report_of(outcomes={outcome: 2}, skipped=skipped)).startswith(f"2 records (2 {told}), ")


def test_a_stream_where_all_went_well_has_no_warning() -> None:
    assert list(warnings(report_of(outcomes={Outcome.WRITTEN: 5}, removed=3))) == []


ALL_FIELDS = DestinationStream(
    **{name: getattr(USERS, name) for name in DestinationStream.__slots__ if name != "text_fields"}, text_fields=()
)


@pytest.mark.parametrize(
    ("report", "warning"),
    [
        (report_of(skipped={"no_text": 1234}), "1,234 records had no text in text and were skipped."),
        (report_of(ALL_FIELDS, skipped={"no_text": 1}), "1 records had no text in any field and were skipped."),
        (
            report_of(skipped={"no_key": 1234}),
            "1,234 records had only empty primary key columns; each is stored by its content and replaces no other record.",
        ),
        (
            report_of(skipped={"deleted": 1234}),
            "1,234 records of deleted rows carry no vector and were skipped.",
        ),
        (report_of(pending=True), "was to be replaced but is not complete; nothing was removed."),
        (
            report_of(silent=True),
            "was to be replaced, but the source sent neither a record nor a state for it; what is stored is kept.",
        ),
    ],
)
def test_what_the_user_should_know_is_one_warning_each(report: StreamReport, warning: str) -> None:
    assert list(warnings(report)) == [warning]


OVERWRITE = stream("users", destination_sync_mode="overwrite")


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (stream("old_users"), "their stream name could also mean another stream; delete them by hand"),
        (stream("users", "x", destination_sync_mode="overwrite"), "their stream name could also mean another stream"),
        (USERS, "this sync does not replace the stream; a full refresh with overwrite removes them"),
        (stream("users", generation_id=1, minimum_generation_id=1), "this sync does not replace the stream"),
        (OVERWRITE, "the stream is not complete; the next complete sync removes them"),
        (stream("users", generation_id=2, minimum_generation_id=2), "the stream is not complete"),
    ],
)
def test_points_of_airbytes_connector_that_stay_are_told_with_the_reason(of: DestinationStream, why: str) -> None:
    (warning,) = warnings(report_of(of, airbyte_points_left=True))

    assert warning.startswith(f"points of Airbyte's own Qdrant connector are kept, because {why}")


def test_all_warnings_come_in_one_order() -> None:
    report = report_of(
        OVERWRITE, skipped={"no_text": 1, "no_key": 2, "deleted": 3}, pending=True, airbyte_points_left=True
    )

    assert [warning.split()[0] for warning in warnings(report)] == ["1", "2", "3", "was", "points"]
