"""What is said of streams in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from builders import stream

from destination_qdrant.catalog import DestinationStream
from destination_qdrant.checkpoints import Outcome
from destination_qdrant.embedding.base import Usage
from destination_qdrant.generations import Verdict
from destination_qdrant.report import (
    Numbers,
    StreamReport,
    additional_stats,
    closing,
    fates,
    streams_in_numbers,
    table,
    warnings,
)
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


MANY = Numbers(
    outcomes={Outcome.WRITTEN: 1234, Outcome.DELETED: 2, Outcome.SKIPPED: 12, Outcome.REJECTED: 1},
    skipped={"no_text": 3, "deleted": 4, "no_key": 100},
    tally=Tally(chunks=5100, points=5000, embedded=4000, reused=1000, unchanged=34, removed=7, tokens=123456),
    removed=1_000_000,
)


def in_numbers(*numbers: Numbers) -> list[str]:
    streams = (USERS, stream("orders"), stream("tags", namespace="x"))
    return list(streams_in_numbers({of.descriptor: each for of, each in zip(streams, numbers, strict=False)}))


def test_one_stream_is_a_table_of_one_row() -> None:
    assert in_numbers(MANY) == [
        "stream  records  written  unchanged  deleted  older  skipped  rejected  points    removed  embedded  reused   tokens",
        "users     1,249    1,200         34        2      5        7         1   5,000  1,000,007     4,000   1,000  123,456",
    ]


def test_several_streams_are_added_up_and_a_wide_name_makes_room() -> None:
    one = Numbers({Outcome.WRITTEN: 1}, tally=Tally(chunks=1, points=1, embedded=1, tokens=1), removed=1)

    assert in_numbers(one, Numbers(), one) == [
        "stream    records  written  unchanged  deleted  older  skipped  rejected  points  removed  embedded  reused  tokens",
        "users           1        1          0        0      0        0         0       1        1         1       0       1",
        "orders          0        0          0        0      0        0         0       0        0         0       0       0",
        "x.tags          1        1          0        0      0        0         0       1        1         1       0       1",
        "in total        2        2          0        0      0        0         0       2        2         2       0       2",
    ]


def test_a_name_is_on_one_line_and_does_not_push_the_numbers_out_of_sight() -> None:
    head, row = table([("new\nline \x1b[2J" + "x" * 500 + "end", {"records": "1"})])

    assert row == r"new line \x1b[2J" + "x" * 13 + "…" + "x" * 27 + "end        1"
    assert len(head) == len(row)


def test_a_catalog_without_streams_has_no_table() -> None:
    assert in_numbers() == list(table([])) == []


@pytest.mark.parametrize(
    ("outcome", "skipped", "fate"),
    [
        (Outcome.WRITTEN, {}, "written"),
        (Outcome.DELETED, {}, "deleted"),
        (Outcome.REJECTED, {}, "rejected"),
        (Outcome.SKIPPED, {}, "older"),
        (Outcome.SKIPPED, {"no_text": 2}, "skipped"),
        (Outcome.SKIPPED, {"deleted": 2}, "skipped"),
        (Outcome.WRITTEN, {"no_key": 2}, "written"),
        (Outcome.WRITTEN, {"truncated": 2}, "written"),
    ],
)
def test_each_record_has_one_fate(outcome: Outcome, skipped: Mapping[str, int], fate: str) -> None:
    found = asdict(fates(Numbers({outcome: 2}, skipped)))

    assert {name: count for name, count in found.items() if count} == {fate: 2}


@pytest.mark.parametrize(
    ("usage", "seconds", "told"),
    [
        (Usage(), 100.0, "Took 1 min 40 s: 2,498 records (25 a second)."),
        (Usage(requests=1), 0.04, "Took 0.0 s: 2,498 records (62,450 a second), 1 embedding request."),
        (
            Usage(requests=1234, throttled_seconds=59.6),
            9000.4,
            "Took 2 h 30 min: 2,498 records (0.3 a second), 1,234 embedding requests, requests held back by rate limits for 60 s in all.",
        ),
    ],
)
def test_the_end_tells_how_long_it_took_and_what_the_provider_was_asked(
    usage: Usage, seconds: float, told: str
) -> None:
    assert closing([MANY] * 2, usage, seconds) == told


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
