"""What is left when something ends early: the input, the reader of the output, the process, the room on the disk."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from random import Random

import pytest
from command_line import Connector, Finished, Json
from running_write import (
    APPEND,
    COMPLETE,
    OLD,
    OVERWRITE,
    REFRESH,
    Sync,
    ids,
    jsonl,
    record,
    state,
    state_ids,
    with_config,
)
from small_disk import NotAllowedError, SmallDisk
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

from destination_qdrant.protocol import UnreadableLine, read_message
from destination_qdrant.qdrant.embedded.store import RESERVE

STARTED = json.loads(json.dumps(COMPLETE).replace("COMPLETE", "STARTED"))
BY_KEY = {"destination_sync_mode": "append_dedup", "primary_key": [["id"]]}
DEDUP_OLD = {"streams": [{**OLD["streams"][0], **BY_KEY}]}
DEDUP_REFRESH = {"streams": [{**REFRESH["streams"][0], **BY_KEY}]}

replacements = pytest.mark.parametrize(
    "catalog", [OVERWRITE, REFRESH, DEDUP_REFRESH], ids=["overwrite", "refresh", "dedup-refresh"]
)


@pytest.fixture(name="double")
def _double() -> Iterator[WireDouble]:
    with WireDouble() as double:
        yield double


def store_old_data(connector: Connector, target: Target, catalog: Json = OLD) -> Json:
    """Record 1, as an earlier sync wrote it; returns the configuration."""
    config = with_config(target.indexing())
    finished = connector.run("write", jsonl(record(1)), config=config, catalog=catalog)
    assert finished.code == 0, finished.error
    return config


def complete(connector: Connector, config: Json, catalog: Json) -> None:
    """A replacement that comes to its end: by record 9."""
    finished = connector.run("write", jsonl(record(9), state(9), COMPLETE), config=config, catalog=catalog)
    assert (finished.code, state_ids(finished)) == (0, [9])


# ----------------------------------------------------------------------------------------------------------
# The input ends early


@pytest.mark.parametrize("message", [record(1, text="naïve"), state(1), COMPLETE], ids=["record", "state", "status"])
def test_no_part_of_a_line_is_taken_for_a_message(message: Json) -> None:
    line = json.dumps(message, ensure_ascii=False).encode()
    read_message(line)
    for cut in range(1, len(line)):
        with pytest.raises(UnreadableLine):
            read_message(line[:cut])


@replacements
def test_wherever_the_input_ends_early_nothing_old_is_removed(
    connector: Connector, tmp_path: Path, catalog: Json
) -> None:
    """It ends after each line, and in the middle of a record and of the status; STARTED said that there are statuses."""
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    messages = [STARTED, record(2), state(1), record(3), state(2), COMPLETE]
    lines = [jsonl(message) for message in messages]
    for whole in range(1, len(lines)):
        half = lines[whole][: len(lines[whole]) // 2]
        for torn in (b"", half) if whole % 2 else (b"",):
            came = b"".join(lines[:whole]) + torn
            finished = connector.run("write", came, config=config, catalog=catalog)
            assert (finished.code, finished.stderr) == (1, "")
            assert finished.error
            assert state_ids(finished) == [1, 2][: sum(message["type"] == "STATE" for message in messages[:whole])]
            if torn:
                assert f"ended in the middle of line {whole + 1};" in finished.error["message"]
            else:
                assert "before the source reported these streams complete: docs" in finished.error["message"]
            assert finished.error["failure_type"] == "transient_error"
            came_whole = {message["record"]["data"]["id"] for message in messages[:whole] if "record" in message}
            assert {1, *came_whole} <= set(ids(target))
    complete(connector, config, catalog)
    removed = {1} if catalog is not OVERWRITE else {1, 2, 3}  # a refresh goes on where earlier tries ended
    assert set(ids(target)) == {1, 2, 3, 9} - removed


@replacements
def test_an_end_in_the_first_line_or_before_it_changes_nothing(
    connector: Connector, tmp_path: Path, catalog: Json
) -> None:
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    before = target.points()
    torn = connector.run("write", b'{"type":"REC', config=config, catalog=catalog)
    assert (torn.code, torn.stderr) == (1, "")
    nothing = connector.run("write", b"", config=config, catalog=catalog)
    assert (nothing.code, nothing.stderr) == (0 if catalog is OVERWRITE else 1, "")
    assert target.points() == before


@pytest.mark.parametrize("catalog", [OVERWRITE, REFRESH], ids=["overwrite", "refresh"])
def test_the_last_line_counts_without_its_line_break(connector: Connector, tmp_path: Path, catalog: Json) -> None:
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    acknowledged = connector.run("write", jsonl(STARTED, record(2), state(1))[:-1], config=config, catalog=catalog)
    assert (acknowledged.code, state_ids(acknowledged), ids(target)) == (1, [1], [1, 2])
    replaced = connector.run("write", jsonl(record(3), state(2), COMPLETE)[:-1], config=config, catalog=catalog)
    assert (replaced.code, state_ids(replaced)) == (0, [2])
    assert ids(target) == ([3] if catalog is OVERWRITE else [2, 3])


# ----------------------------------------------------------------------------------------------------------
# The reader of the output goes away


def go_on_unread(sync: Sync, *messages: Json) -> tuple[int, bytes]:
    """Close its standard output, send the rest of its input; returns the exit code and what it wrote to stderr."""
    process = sync.process
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with suppress(BrokenPipeError):  # it may have ended before it has read all
        sync.send(*messages)
    with suppress(BrokenPipeError):
        process.stdin.close()
    return process.wait(), process.stderr.read()


@pytest.mark.parametrize("messages", [(state(1),), (record(1), state(1))], ids=["main-thread", "worker"])
def test_a_reader_that_goes_away_ends_the_sync_though_standard_input_stays_open(
    connector: Connector, tmp_path: Path, messages: tuple[Json, ...]
) -> None:
    with Sync(connector, EmbeddedTarget(tmp_path)) as sync:
        assert sync.process.stdout
        sync.hear("LOG", "Writing to")
        sync.process.stdout.close()
        sync.send(*messages)
        assert sync.process.wait() == 1
        assert sync.process.stderr
        assert sync.process.stderr.read() == b""


@replacements
def test_a_state_that_nobody_hears_keeps_old_data_though_its_stream_is_complete(
    connector: Connector, tmp_path: Path, catalog: Json
) -> None:
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    with Sync(connector, target, catalog) as sync:
        sync.hear("LOG", "Writing to")
        assert go_on_unread(sync, record(2), state(1), COMPLETE) == (1, b"")
    assert 1 in ids(target)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(3), state(1))
        sync.hear("STATE")
        assert go_on_unread(sync, record(4), state(2), COMPLETE) == (1, b"")
    assert {1, 3} <= set(ids(target))
    complete(connector, config, catalog)
    assert 9 in ids(target)
    assert 1 not in ids(target)


@replacements
def test_a_reader_that_goes_away_after_the_last_state_hinders_no_replacement_but_its_success(
    connector: Connector, tmp_path: Path, catalog: Json
) -> None:
    """Every STATE was delivered and the stream is complete, so old data may go; the exit code tells that nobody knows."""
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1))
        sync.hear("STATE")
        assert go_on_unread(sync, COMPLETE) == (1, b"")
    assert ids(target) == [2]
    complete(connector, config, catalog)
    assert ids(target) == ([9] if catalog is OVERWRITE else [2, 9])


def test_without_standard_output_nothing_is_done(connector: Connector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    command = connector.command("write", config=with_config(target.indexing()), catalog=APPEND)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],  # noqa: S607 -- any sh
        input=jsonl(record(1), state(1)),
        stderr=subprocess.PIPE,
        env=connector.environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert target.points() is None


# ----------------------------------------------------------------------------------------------------------
# SIGTERM


def terminated(sync: Sync) -> Finished:
    sync.process.terminate()
    finished = sync.end()
    assert (finished.code, finished.stderr, finished.error) == (128 + signal.SIGTERM, "", None)
    return finished


@replacements
def test_sigterm_ends_the_sync_at_once_and_replaces_nothing(
    connector: Connector, tmp_path: Path, catalog: Json
) -> None:
    """Also when the stream is complete already: the source's exit code, which decides, comes with the input's end."""
    target = EmbeddedTarget(tmp_path)
    config = store_old_data(connector, target)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1), COMPLETE)
        sync.hear("STATE")
        assert sync.states() == [1]  # asked for after COMPLETE, so that has been read
        terminated(sync)
    assert ids(target) == [1, 2]
    complete(connector, config, catalog)
    assert ids(target) == ([9] if catalog is OVERWRITE else [2, 9])


def test_sigterm_keeps_what_append_has_acknowledged(connector: Connector, target: Target) -> None:
    with Sync(connector, target) as sync:
        sync.send(record(1), state(1))
        sync.hear("STATE")
        sync.send(record(2))
        terminated(sync)
    assert set(ids(target)) - {2} == {1}


@pytest.mark.parametrize("applied", [False, True], ids=["before-it-is-applied", "after-it-is-applied"])
@pytest.mark.parametrize("catalog", [OVERWRITE, REFRESH], ids=["overwrite", "refresh"])
def test_sigterm_while_old_data_is_removed_is_mended_by_the_next_sync(
    connector: Connector, double: WireDouble, catalog: Json, *, applied: bool
) -> None:
    target = ServerTarget(double.url)
    config = store_old_data(connector, target)
    fault = double.fail("POST /collections/[^/]+/points/delete", hold=True, close=True, applied=applied)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1), COMPLETE)
        sync.hear("STATE")
        assert sync.process.stdin
        sync.process.stdin.close()
        fault.wait_until_reached()
        sync.process.terminate()
        assert sync.process.wait() == 128 + signal.SIGTERM
    double.heal()
    assert ids(target) == ([2] if applied else [1, 2])
    complete(connector, config, catalog)
    assert ids(target) == ([9] if catalog is OVERWRITE else [2, 9])


@replacements
def test_a_removal_that_arrives_after_its_sync_was_ended_costs_the_next_sync_nothing(
    connector: Connector, double: WireDouble, catalog: Json
) -> None:
    """The request hangs on the way, while the next sync writes the removed record again and is acknowledged."""
    target = ServerTarget(double.url)
    config = store_old_data(connector, target, DEDUP_OLD if catalog is DEDUP_REFRESH else OLD)
    removal = double.fail("POST /collections/[^/]+/points/delete", hold=True)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1), COMPLETE)
        sync.hear("STATE")
        assert sync.process.stdin
        sync.process.stdin.close()
        removal.wait_until_reached()
        sync.process.terminate()
        assert sync.process.wait() == 128 + signal.SIGTERM
    assert ids(target) == [1, 2]
    with Sync(connector, target, catalog) as sync:
        sync.send(record(1), record(3), state(2))
        sync.hear("STATE")
        before = ids(target)
        removal.release()
        removal.wait_until_over()
        assert ids(target) != before or catalog is DEDUP_REFRESH  # whose new record has taken the old one's place
        assert {1, 3} <= set(ids(target))
        finished = sync.send(record(4), state(3), COMPLETE).end()
    assert (finished.code, finished.error, state_ids(finished)) == (0, None, [2, 3])
    assert ids(target) == ([1, 3, 4] if catalog is OVERWRITE else [1, 2, 3, 4])
    complete(connector, config, catalog)
    assert ids(target) == ([9] if catalog is OVERWRITE else [1, 2, 3, 4, 9])


def test_sigterm_does_not_wait_for_a_server_that_does_not_answer(connector: Connector, double: WireDouble) -> None:
    fault = double.fail("PUT /collections/[^/]+/points", hold=True)
    with Sync(connector, ServerTarget(double.url)) as sync:
        sync.send(record(1), state(1))
        fault.wait_until_reached()
        terminated(sync)


@pytest.mark.parametrize("before", [(), (record(1),)], ids=["main-thread", "worker"])
def test_sigterm_does_not_wait_for_a_reader_that_does_not_read(
    connector: Connector, tmp_path: Path, before: tuple[Json, ...]
) -> None:
    large = state(1)
    large["state"]["stream"]["stream_state"] = {"at": "x" * 1_000_000}
    with Sync(connector, EmbeddedTarget(tmp_path)) as sync:
        sync.hear("LOG", "Writing to")
        assert sync.process.stdout
        fcntl(sync.process.stdout, F_SETPIPE_SZ, 4096)
        sync.send(*before, large)
        select.select([sync.process.stdout], [], [])  # it writes, and the pipe cannot take all of it
        sync.process.terminate()
        assert sync.process.wait() == 128 + signal.SIGTERM


# ----------------------------------------------------------------------------------------------------------
# The disk is full

MEGABYTE = 1 << 20

#: What a small collection may take beyond what it keeps free: the engine prefaults its sparse files when it opens them.
ROOM = 128 * MEGABYTE

#: How much of the disk is left free: nothing at all, or less than a write may touch.
fills = pytest.mark.parametrize("leave", [0, 100 * MEGABYTE], ids=["no-room", "little-room"])

#: Each kind of replacement with one of them.
replacements_and_fills = pytest.mark.parametrize(
    ("catalog", "leave"),
    [(OVERWRITE, 0), (REFRESH, 100 * MEGABYTE), (DEDUP_REFRESH, 0)],
    ids=["overwrite-no-room", "refresh-little-room", "dedup-refresh-no-room"],
)


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[SmallDisk]:
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    try:
        disk = SmallDisk(RESERVE + ROOM, mount_point)
    except NotAllowedError as refusal:
        missing = f"NOT TESTED, a full disk: this machine lets the tests mount nothing ({refusal})"
        warnings.warn(missing, stacklevel=1)
        pytest.skip(missing)
    with disk:
        yield disk


def is_full(finished: Finished) -> bool:
    """Whether it failed in one sentence that says that the disk is full and what to do."""
    assert (finished.code, finished.stderr) == (1, "")
    assert finished.error
    message = finished.error["message"]
    return (
        finished.error["failure_type"] == "config_error"
        and message.startswith("The disk of ")
        and (" is full; free some space" in message or " MB to go on writing safely; free some space" in message)
    )


@fills
def test_on_a_full_disk_no_collection_is_begun(connector: Connector, disk: SmallDisk, leave: int) -> None:
    target = EmbeddedTarget(disk.path)
    config = with_config(target.indexing())
    disk.fill(leave)
    status = connector.run("check", config=config).of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert status["status"] == "FAILED"
    assert "free some space" in status["message"]
    finished = connector.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
    assert is_full(finished)
    assert (finished.of("STATE"), target.points()) == ([], None)
    disk.make_room()
    again = connector.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
    assert (again.code, state_ids(again), ids(target)) == (0, [1], [1])


@fills
def test_a_disk_that_fills_up_between_syncs_stops_the_next_and_harms_nothing(
    connector: Connector, disk: SmallDisk, leave: int
) -> None:
    target = EmbeddedTarget(disk.path)
    config = store_old_data(connector, target)
    disk.fill(leave)
    finished = connector.run("write", jsonl(record(2), state(2)), config=config, catalog=APPEND)
    assert is_full(finished)
    assert finished.of("STATE") == []
    disk.make_room()
    again = connector.run("write", jsonl(record(2), state(2)), config=config, catalog=APPEND)
    assert (again.code, state_ids(again), ids(target)) == (0, [2], [1, 2]), again.error


@replacements_and_fills
def test_a_disk_that_fills_up_during_a_sync_loses_nothing_acknowledged(
    connector: Connector, disk: SmallDisk, leave: int, catalog: Json
) -> None:
    target = EmbeddedTarget(disk.path)
    config = store_old_data(connector, target)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1))
        sync.hear("STATE")
        disk.fill(leave)
        finished = sync.send(record(3), state(2), COMPLETE).end()
    assert is_full(finished)
    assert state_ids(finished) == [1]
    disk.make_room()
    assert {1, 2} <= set(ids(target))
    complete(connector, config, catalog)
    assert {9} <= set(ids(target)) <= {2, 3, 9}


@replacements_and_fills
def test_a_disk_that_is_full_when_old_data_is_to_go_keeps_it_until_the_next_sync(
    connector: Connector, disk: SmallDisk, leave: int, catalog: Json
) -> None:
    target = EmbeddedTarget(disk.path)
    config = store_old_data(connector, target)
    with Sync(connector, target, catalog) as sync:
        sync.send(record(2), state(1))
        sync.hear("STATE")
        disk.fill(leave)
        finished = sync.send(COMPLETE).end()
    assert is_full(finished)
    disk.make_room()
    assert ids(target) == [1, 2]
    complete(connector, config, catalog)
    assert ids(target) == ([9] if catalog is OVERWRITE else [2, 9])


def test_a_sync_that_fills_the_disk_itself_stops_in_time(connector: Connector, disk: SmallDisk) -> None:
    target = EmbeddedTarget(disk.path)
    config = with_config(target.indexing())
    draw = Random(1)  # noqa: S311 -- no secret, but a payload that the engine cannot compress
    bodies = enumerate((draw.randbytes(400_000).hex() for _ in range(200)), 1)
    messages = [each for number, body in bodies for each in (record(number, body=body), state(number))]
    finished = connector.run("write", jsonl(*messages), config=config, catalog=APPEND)
    assert is_full(finished)
    acknowledged = state_ids(finished)
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert acknowledged
    assert set(acknowledged) <= set(ids(target))
    assert disk.free > 0


FLUSH_LATER = """
import sys
from pathlib import Path
from destination_qdrant.errors import ConnectorError
from destination_qdrant.qdrant.base import Point, VectorSchema
from destination_qdrant.qdrant.embedded.store import open_embedded
from destination_qdrant.vectors import Dense

def points(*numbers):
    return [Point(number, {"": Dense.of([1, 0, 0, 0])}, {"id": number, "body": "x" * 100_000}) for number in numbers]

store = open_embedded(Path(sys.argv[1]), "docs")
store.create({"": VectorSchema("dense", 4, "cos")})
store.upsert(points(*range(1, 30)))
store.flush()
store.upsert(points(*range(30, 60)))
print("written", flush=True)
sys.stdin.readline()
for step in (store.flush, store.close):
    try:
        step()
    except ConnectorError as error:
        print(error.failure_type, error.message)
"""


def test_a_disk_that_is_full_at_a_flush_is_an_error_and_keeps_what_was_flushed(
    connector: Connector, disk: SmallDisk
) -> None:
    """Below the command line, where the room can be taken between a write and its flush."""
    target = EmbeddedTarget(disk.path)
    with subprocess.Popen(
        [sys.executable, "-c", FLUSH_LATER, str(target.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "written\n"
        disk.fill(0)
        said, stderr = process.communicate("go on\n")
    assert (process.returncode, stderr) == (0, "")
    assert said.startswith("config_error The disk of ")
    assert said.endswith("is full; free some space, or choose another folder (indexing.url).\n")
    disk.make_room()
    assert set(range(1, 30)) <= set(ids(target)) <= set(range(1, 60))
    again = connector.run("write", jsonl(record(60), state(1)), config=with_config(target.indexing()), catalog=APPEND)
    assert (again.code, state_ids(again)) == (0, [1])
    assert {*range(1, 30), 60} <= set(ids(target))
