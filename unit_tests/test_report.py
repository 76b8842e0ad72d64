"""What is said of streams in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from builders import stream

from destination_qdrant.catalog import DestinationStream
from destination_qdrant.checkpoints import Outcome
from destination_qdrant.embedding.base import Usage
from destination_qdrant.generations import Verdict
from destination_qdrant.report import Numbers, StreamReport, additional_stats, summary, total, warnings
from destination_qdrant.tally import Tally

USERS = stream("users")


def report_of(
    of: DestinationStream = USERS,
    *,
    skipped: Mapping[str, int] | None = None,
    airbyte_points_left: bool = False,
    **verdict: Any,
) -> StreamReport:
    return StreamReport(Verdict(of, **verdict), Numbers(skipped=skipped or {}), airbyte_points_left)


def test_a_stream_without_records_is_told_in_a_line() -> None:
    assert summary(Numbers()) == "0 records, 0 points written, 0 older points removed."


MANY = Numbers(
    outcomes={Outcome.WRITTEN: 1234, Outcome.DELETED: 2, Outcome.SKIPPED: 12, Outcome.REJECTED: 1},
    skipped={"no_text": 3, "deleted": 4, "no_key": 100},
    tally=Tally(chunks=5100, points=5000, embedded=4000, reused=1000, unchanged=34, removed=7, tokens=123456),
    removed=1_000_000,
)


def test_one_of_each_is_told_in_the_singular() -> None:
    one = Numbers({Outcome.WRITTEN: 1}, tally=Tally(chunks=1, points=1, embedded=1, tokens=1), removed=1)

    assert summary(one) == (
        "1 record (1 written), 1 point written, 1 older point removed; 1 chunk (1 embedded); 1 token embedded."
    )


def test_everything_is_told_with_its_number() -> None:
    assert summary(MANY) == (
        "1,249 records (1,200 written, 34 unchanged, 2 deleted, 5 older than what is stored or repeated, 7 skipped, "
        "1 rejected), 5,000 points written, 1,000,007 older points removed; 5,100 chunks (4,000 embedded, 1,000 reused); "
        "123,456 tokens embedded."
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
        (Outcome.WRITTEN, {"truncated": 2}, "written"),
    ],
)
def test_what_did_not_happen_is_not_told(outcome: Outcome, skipped: Mapping[str, int], told: str) -> None:
    assert summary(Numbers({outcome: 2}, skipped)).startswith(f"2 records (2 {told}), ")


@pytest.mark.parametrize(
    ("tally", "told"),
    [
        (Tally(chunks=2, embedded=2), "; 2 chunks (2 embedded)."),
        (Tally(chunks=2, reused=2), "; 2 chunks (2 reused)."),
        (Tally(chunks=2, unchanged=1), "; 2 chunks."),
        (Tally(chunks=2, embedded=1, tokens=3), "; 2 chunks (1 embedded); 3 tokens embedded."),
        (Tally(), ", 0 points written, 0 older points removed."),
    ],
)
def test_what_was_not_done_for_chunks_is_not_told(tally: Tally, told: str) -> None:
    assert summary(Numbers({Outcome.WRITTEN: 1}, tally=tally)).endswith(told)


def test_the_total_adds_streams_up_and_tells_what_the_provider_was_asked() -> None:
    usage = Usage(requests=1234, throttled_seconds=59.6)

    assert total([MANY, MANY, Numbers()], usage) == (
        "In total: 2,498 records (2,400 written, 68 unchanged, 4 deleted, 10 older than what is stored or repeated, "
        "14 skipped, 2 rejected), 10,000 points written, 2,000,014 older points removed; 10,200 chunks (8,000 embedded, "
        "2,000 reused); 246,912 tokens embedded; 1,234 embedding requests; rate limits held requests back for 60 s in all."
    )


@pytest.mark.parametrize(
    ("streams", "usage", "told"),
    [
        (1, Usage(), None),
        (0, Usage(), None),
        (2, Usage(), "In total: 0 records, 0 points written, 0 older points removed."),
        (1, Usage(1), "In total: 0 records, 0 points written, 0 older points removed; 1 embedding request."),
    ],
)
def test_a_total_is_told_where_it_says_more_than_the_streams(streams: int, usage: Usage, told: str | None) -> None:
    assert total([Numbers()] * streams, usage) == told


def test_the_platform_is_told_every_number_of_a_tally_but_zeros() -> None:
    assert additional_stats(Tally()) == {}
    assert additional_stats(Tally(1, 2, 3, 4, 5, 6, 7)) == {
        "chunkCount": 1,
        "writtenPointCount": 2,
        "embeddedChunkCount": 3,
        "reusedChunkCount": 4,
        "unchangedRecordCount": 5,
        "removedPointCount": 6,
        "embeddedTokenCount": 7,
    }


def test_a_stream_where_all_went_well_has_no_warning() -> None:
    assert list(warnings(StreamReport(Verdict(USERS), Numbers({Outcome.WRITTEN: 5}), airbyte_points_left=False))) == []


ALL_FIELDS = DestinationStream(
    **{name: getattr(USERS, name) for name in DestinationStream.__slots__ if name != "text_fields"}, text_fields=()
)


@pytest.mark.parametrize(
    ("report", "warning"),
    [
        (report_of(skipped={"no_text": 1234}), "1,234 records had no text in text and were skipped."),
        (report_of(ALL_FIELDS, skipped={"no_text": 1}), "1 record had no text in any field and was skipped."),
        (
            report_of(skipped={"no_key": 1234}),
            "1,234 records had only empty primary key columns; each is stored by its content and replaces no other record.",
        ),
        (
            report_of(skipped={"deleted": 1234}),
            "1,234 records of deleted rows had no vector and were skipped.",
        ),
        (report_of(skipped={"no_text": 1}), "1 record had no text in text and was skipped."),
        (report_of(skipped={"deleted": 1}), "1 record of deleted rows had no vector and was skipped."),
        (
            report_of(skipped={"truncated": 1234}),
            (
                "1,234 records had more text than processing.chunk_size or the model allows, and only its beginning is embedded, "
                "because processing.text_splitter is none: split such texts, raise the chunk size, or choose other text fields."
            ),
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
