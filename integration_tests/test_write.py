"""The command line where data alone cannot tell: when things happen, kills, several processes, wrong arguments."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from command_line import Connector, Json
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
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

ROOT = Path(__file__).parent.parent

both = pytest.mark.parametrize("target", ["embedded", "double"], indirect=True)


# ----------------------------------------------------------------------------------------------------------
# When a STATE leaves


@both
def test_a_state_leaves_while_standard_input_stays_open_and_silent(connector: Connector, target: Target) -> None:
    assert "PYTHONUNBUFFERED" not in connector.environment
    with Sync(connector, target) as sync:
        sync.send(record(1), state(1))
        assert sync.hear("STATE")["state"]["id"] == 1
        sync.send(record(2), state(2))
        assert sync.hear("STATE")["state"]["destinationStats"] == {
            "recordCount": 1.0,
            "additionalStats": {"chunkCount": 1.0, "writtenPointCount": 1.0},
        }
        assert sync.end().code == 0


def test_a_state_without_records_before_it_leaves_at_once(connector: Connector, tmp_path: Path) -> None:
    with Sync(connector, EmbeddedTarget(tmp_path)) as sync:
        sync.send(state(1), state(2))
        assert sync.hear("STATE")["state"]["id"] == 1
        assert sync.hear("STATE")["state"]["id"] == 2


def test_a_vector_that_is_a_key_is_one_with_every_digit(connector: Connector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    stream = {"name": "docs", "json_schema": {}}
    catalog = {"streams": [{"stream": stream, "destination_sync_mode": "append_dedup", "primary_key": [["v"]]}]}
    messages = [record(number, v=[10**20 + number, 1, 0, 0]) for number in (1, 2)]
    finished = connector.run("write", jsonl(*messages), config=with_config(target.indexing()), catalog=catalog)
    assert finished.code == 0, finished.error
    assert ids(target) == [1, 2]


def test_many_batches_at_once_leave_all_states_in_order_with_their_counts(connector: Connector, target: Target) -> None:
    messages = []
    for number in range(1, 1601):
        messages.append(record(number))
        if number % 200 == 0:
            messages.append(state(number))
    finished = connector.run("write", jsonl(*messages), config=with_config(target.indexing()), catalog=APPEND)
    assert finished.code == 0, finished.error
    assert state_ids(finished) == list(range(200, 1601, 200))
    assert {each["state"]["destinationStats"]["recordCount"] for each in finished.of("STATE")} == {200.0}
    assert ids(target) == list(range(1, 1601))


# ----------------------------------------------------------------------------------------------------------
# What is said

#: What depends on the machine.
MEASURED = re.compile(r"Took [\d.]+ s: |\([\d,.]+ a second\)|destination-qdrant [\d.]+")


def test_the_log_reads_like_a_report_however_many_records_there_are(connector: Connector, double: WireDouble) -> None:
    logs = []
    for number in (2, 900):
        target = ServerTarget(double.url, prefer_grpc=False)
        messages = [*map(record, range(number)), state(1)]
        config = with_config(target.indexing())
        finished = connector.run("write", jsonl(*messages), config=config, catalog=APPEND)
        assert finished.code == 0, finished.error
        logs.append([MEASURED.sub("#", line.replace(target.collection, "docs")) for line in finished.log])
    few, many = logs
    assert few == [
        "INFO #, 1 stream: 'docs' (append).",
        "INFO Collection docs: new, 4-dimensional cos vectors (unnamed); up to 512 points are written together, 4 requests at once.",
        "INFO Vectors come with the records, in the field v.",
        f'INFO Writing to Qdrant 1.18.3 at {double.url} (REST), collection "docs".',
        "INFO stream  records  written  unchanged  deleted  older  skipped  rejected  points  removed  embedded  reused  tokens",
        "INFO docs          2        2          0        0      0        0         0       2        0         0       0       0",
        "INFO #2 records #.",
    ]
    assert many[:4] == few[:4]
    assert len(many) == len(few)


# ----------------------------------------------------------------------------------------------------------
# Kills


def test_what_was_acknowledged_survives_a_kill(connector: Connector, target: Target) -> None:
    with Sync(connector, target) as sync:
        sync.send(record(1), record(2), state(1))
        sync.hear("STATE")
        sync.process.kill()
        assert sync.end().code == -signal.SIGKILL
    assert ids(target) == [1, 2]
    again = connector.run("write", jsonl(record(3)), config=with_config(target.indexing()), catalog=APPEND)
    assert again.code == 0, again.error
    assert ids(target) == [1, 2, 3]


DEDUP = {
    "streams": [
        {
            "stream": {"name": "docs", "json_schema": {}},
            "destination_sync_mode": "append_dedup",
            "primary_key": [["id"]],
        }
    ]
}


def test_a_kill_between_writing_and_removing_heals_with_the_next_sync(connector: Connector, double: WireDouble) -> None:
    target = ServerTarget(double.url)
    config = {
        "processing": {
            "chunk_size": 5,
            "text_fields": ["text"],
            "text_splitter": {"mode": "separator", "separators": ['";"']},
        },
        "embedding": {"mode": "fake"},
        "indexing": target.indexing(),
    }
    long, short = record(1, text="one two;one two;one two"), record(1, text="one two")
    assert connector.run("write", jsonl(long), config=config, catalog=DEDUP).code == 0
    written = len(target.points() or [])
    assert written > 1
    fault = double.fail("POST /collections/[^/]+/points/delete", hold=True, close=True)
    with connector.start("write", config=config, catalog=DEDUP) as process:
        assert process.stdin
        process.stdin.write(jsonl(short, state(1)))
        process.stdin.flush()
        fault.wait_until_reached()
        process.kill()
        double.heal()
        said, _ = process.communicate()
    assert b'"STATE"' not in said
    assert len(target.points() or []) == written
    assert connector.run("write", jsonl(short, state(1)), config=config, catalog=DEDUP).code == 0
    assert [point["payload"]["text"] for point in target.points() or []] == ["text: one two"]


# ----------------------------------------------------------------------------------------------------------
# A server that is slow, or fails


@pytest.fixture(name="double")
def _double() -> Iterator[WireDouble]:
    with WireDouble() as double:
        yield double


@pytest.mark.parametrize(
    "fault",
    [
        {"update_status": "wait_timeout"},
        {"update_status": "acknowledged"},
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"close": True, "applied": True},
    ],
    ids=["wait_timeout", "acknowledged", "500", "429", "answer-lost"],
)
def test_a_state_never_leaves_before_qdrant_says_completed(
    connector: Connector, double: WireDouble, fault: dict[str, Any]
) -> None:
    target = ServerTarget(double.url)
    upsert = "PUT /collections/[^/]+/points"
    double.fail(upsert, times=2, **fault)
    held = double.fail(upsert, hold=True)
    with Sync(connector, target) as sync:
        sync.send(record(1), state(1))
        held.wait_until_reached()
        assert sync.states() == []
        held.release()
        assert sync.hear("STATE")["state"]["id"] == 1
        assert sync.end().code == 0
    assert len([each for each in double.log if each.is_like(upsert)]) == 3
    assert ids(target) == [1]


def test_a_server_that_does_not_recover_fails_the_sync_and_replaces_nothing(
    connector: Connector, double: WireDouble
) -> None:
    target = ServerTarget(double.url)
    config = with_config(target.indexing())
    assert connector.run("write", jsonl(record(1)), config=config, catalog=OVERWRITE).code == 0
    with Sync(connector, target, OVERWRITE) as sync:
        sync.send(record(2), state(1))
        sync.hear("STATE")
        # A wait that does not fit into the budget any more ends it at once.
        double.fail("PUT /collections/[^/]+/points", times=99, status=429, headers={"Retry-After": "9999"})
        finished = sync.send(record(3), state(2)).end()
    assert (finished.code, state_ids(finished), finished.stderr) == (1, [1], "")
    assert finished.error
    assert finished.error["failure_type"] == "transient_error"
    assert "rate limit" in finished.error["message"]
    assert ids(target) == [1, 2]


@pytest.mark.parametrize("catalog", [OVERWRITE, REFRESH], ids=["overwrite", "refresh"])
def test_old_points_go_although_the_server_estimates_that_there_are_none(connector: Connector, catalog: Json) -> None:
    with WireDouble(strict={"enabled": True, "search_allow_exact": False}) as double:
        target = ServerTarget(double.url)
        config = with_config(target.indexing())
        assert connector.run("write", jsonl(record(1), record(2)), config=config, catalog=OLD).code == 0
        none = {"result": {"count": 0}, "status": "ok", "time": 0.0}
        double.fail("POST /collections/[^/]+/points/count", skip=1, times=99, status=200, body=none)
        finished = connector.run("write", jsonl(record(3), state(1), COMPLETE), config=config, catalog=catalog)
        exact = [each.body["exact"] for each in double.log if each.is_like("/points/count")]
        assert (finished.code, state_ids(finished), ids(target)) == (0, [1], [3])
    assert exact
    assert not any(exact)  # known from the start


@pytest.mark.parametrize("catalog", [OVERWRITE, REFRESH], ids=["overwrite", "refresh"])
def test_a_filter_that_the_server_refuses_fails_the_sync_before_anything_is_written(
    connector: Connector, double: WireDouble, catalog: Json
) -> None:
    target = ServerTarget(double.url)
    config = with_config(target.indexing())
    assert connector.run("write", jsonl(record(1)), config=config, catalog=OLD).code == 0
    before, written = target.points(), len(double.log)
    double.fail("POST /collections/[^/]+/points/scroll", status=400, body="Bad request: the filter is too long")
    finished = connector.run("write", jsonl(record(2), state(1), COMPLETE), config=config, catalog=catalog)
    refused = double.log[written:]
    assert (finished.code, finished.of("STATE"), finished.stderr) == (1, [], "")
    assert finished.error
    assert finished.error["failure_type"] in {"config_error", "system_error"}
    assert not [each for each in refused if each.is_like("PUT /collections/[^/]+/points|/points/delete")]
    assert len([each for each in refused if each.is_like("/points/scroll")]) == 1
    assert target.points() == before


def test_a_failure_that_is_about_records_names_their_lines_and_stream(connector: Connector, double: WireDouble) -> None:
    double.fail("PUT /collections/[^/]+/points", times=99, status=403)
    messages = jsonl(state(1), state(2), *map(record, range(3, 10)), state(10))
    config = with_config(ServerTarget(double.url).indexing())
    finished = connector.run("write", messages, config=config, catalog=APPEND)
    assert (finished.code, state_ids(finished)) == (1, [1, 2])
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    assert "(in lines 3 to 9 of the input, stream docs)" in finished.error["message"]


def test_a_sync_that_fails_says_in_numbers_what_it_did_until_then(connector: Connector, double: WireDouble) -> None:
    with Sync(connector, ServerTarget(double.url)) as sync:
        sync.send(record(1), state(1))
        sync.hear("STATE")
        double.fail("PUT /collections/[^/]+/points", times=99, status=403)
        finished = sync.send(record(2), state(2)).end()
    head, row, took = finished.log[-3:]
    assert finished.code == 1
    assert dict(zip(head.split()[1:5], row.split()[1:5], strict=True)) == {
        "stream": "docs", "records": "1", "written": "1", "unchanged": "0",
    }  # fmt: skip
    assert MEASURED.sub("#", took) == "INFO #1 record #."


def test_a_failure_ends_the_sync_though_standard_input_stays_open(connector: Connector, double: WireDouble) -> None:
    double.fail("PUT /collections/[^/]+/points", times=99, status=403)
    with Sync(connector, ServerTarget(double.url)) as sync:
        sync.send(record(1), state(1))
        assert sync.hear("TRACE")["trace"]["error"]["failure_type"] == "config_error"
        assert sync.process.wait() == 1


def test_a_server_that_comes_late_is_waited_for(connector: Connector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as early:
        double = WireDouble(early.getsockname()[1])
        target = ServerTarget(double.url)
        with Sync(connector, target) as sync:
            for _ in range(2):
                early.accept()[0].close()
            early.close()
            with double:
                finished = sync.send(record(1), state(1)).end()
                assert (finished.code, state_ids(finished)) == (0, [1])
                assert ids(target) == [1]


# ----------------------------------------------------------------------------------------------------------
# Several processes, and readers that go away


def test_a_second_writer_to_a_folder_is_told_so_and_harms_nothing(connector: Connector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    config = with_config(target.indexing())
    with Sync(connector, target) as first:
        first.hear("LOG", "Writing to")
        second = connector.run("write", jsonl(record(2), state(2)), config=config, catalog=APPEND)
        assert (second.code, second.of("STATE")) == (1, [])
        assert second.error
        assert second.error["failure_type"] == "transient_error"
        assert "Another process is writing" in second.error["message"]
        checked = connector.run("check", config=config)
        assert checked.of("CONNECTION_STATUS")[0]["connectionStatus"]["status"] == "SUCCEEDED"
        first.send(record(1), state(1))
        finished = first.end()
    assert (finished.code, state_ids(finished)) == (0, [1])
    assert ids(target) == [1]


# ----------------------------------------------------------------------------------------------------------
# Bad input


def test_an_unreachable_server_fails_the_check_with_a_hint(connector: Connector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    config = with_config({"url": url, "collection": "docs", "prefer_grpc": False})
    message = failed_check(connector, config)
    assert "refused" in message
    assert "indexing.url" in message
    assert "host.docker.internal" in message


def failed_check(connector: Connector, config: Any) -> str:
    """The message of a check that must fail, and in the way the platform expects."""
    finished = connector.run("check", config=config)
    assert (finished.code, finished.stderr, len(finished.messages)) == (0, "", 1)
    status: Json = finished.of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert status["status"] == "FAILED"
    return str(status["message"])


def failed_write(connector: Connector, config: Any, catalog: Any = APPEND) -> str:
    """The message of a write that must fail because of its files."""
    finished = connector.run("write", jsonl(record(1), state(1)), config=config, catalog=catalog)
    assert (finished.code, finished.stderr, finished.of("STATE")) == (1, "", [])
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    return str(finished.error["message"])


@pytest.mark.parametrize("config", ["{private-content", "[]", "null", "{}", "", "\ufeff{}"])
def test_a_bad_configuration_is_a_config_error(connector: Connector, config: str) -> None:
    for message in (failed_write(connector, config), failed_check(connector, config)):
        assert "configuration" in message or "embedding is missing" in message
        assert "private-content" not in message


@pytest.mark.parametrize(
    "catalog",
    [
        "{private-content",
        "[]",
        "{}",
        '{"streams": {}}',
        '{"streams": [{"destination_sync_mode": "append"}]}',
        '{"streams": [{"stream": {"name": "docs"}, "destination_sync_mode": "overwrite_dedup"}]}',
        '{"streams": [{"stream": {"name": "docs"}}]}',
    ],
)
def test_a_bad_catalog_is_a_config_error(connector: Connector, tmp_path: Path, catalog: str) -> None:
    target = EmbeddedTarget(tmp_path)
    message = failed_write(connector, with_config(target.indexing()), catalog)
    assert "catalog" in message or "sync mode" in message
    assert "private-content" not in message
    assert not target.folder.exists()


def test_missing_files_are_config_errors(connector: Connector, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.json")
    config = connector.command("check", config=with_config(EmbeddedTarget(tmp_path).indexing()))[-1]
    for words, code, kind in (
        (["check", "--config", absent], 0, "CONNECTION_STATUS"),
        (["write", "--config", absent, "--catalog", absent], 1, "TRACE"),
        (["write", "--config", config, "--catalog", absent], 1, "TRACE"),
        (["write", "--config", str(tmp_path), "--catalog", absent], 1, "TRACE"),
    ):
        done = main(connector, *words)
        assert (done.returncode, done.stderr) == (code, b"")
        assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == [kind]


def main(connector: Connector, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *words],
        input=b"",
        capture_output=True,
        env=connector.environment,
        check=False,
    )


@pytest.mark.parametrize("words", [[], ["nope"], ["check"], ["write", "--config", "x"], ["spec", "--nope"]])
def test_wrong_arguments_end_with_2(connector: Connector, words: list[str]) -> None:
    done = main(connector, *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage: destination-qdrant" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_folder_is_refused_in_the_cloud(connector: Connector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    connector.environment["DEPLOYMENT_MODE"] = "CLOUD"
    config = with_config(target.indexing())
    for message in (failed_check(connector, config), failed_write(connector, config)):
        assert "indexing.url" in message
        assert "Airbyte Cloud" in message
    assert not target.folder.exists()


# ----------------------------------------------------------------------------------------------------------
# Secrets, and what is kept small


@pytest.mark.parametrize("key", ["aB3\"d'e\\f9%/ü"[:-1], "q"], ids=["quotes", "one-letter"])
def test_a_secret_is_in_no_output_when_things_fail(connector: Connector, key: str) -> None:
    with WireDouble(api_key="another") as double:
        double.fail("GET /collections/", status=403, body=f"Forbidden: {key} {key!r} {json.dumps(key)}", times=1)
        indexing = {
            **ServerTarget(double.url).indexing(),
            "auth_method": {"mode": "api_key_auth", "api_key": key},
            "collection": f"docs {key.translate(str.maketrans('', '', chr(34) + '/' + chr(92)))}",
        }
        for _ in range(2):  # once the server quotes the key, once it does not know it
            finished = connector.run("write", jsonl(record(1)), config=with_config(indexing), catalog=APPEND)
            assert (finished.code, finished.stderr) == (1, "")
            assert finished.error
            assert finished.error["failure_type"] == "config_error"
            texts = (finished.error["message"], finished.error["internal_message"], finished.error["stack_trace"])
            said = "".join(texts) + "".join(finished.log)
            for form in (key, json.dumps(key)[1:-1], repr(key)[1:-1], quote(key, safe="")):
                # a short one is looked for as a word: in the middle of words it says nothing
                assert form not in (said if len(key) > 5 else re.findall(r"\w+", said))
        assert "auth_method" in finished.error["message"].replace("****", "q")


def test_a_key_reaches_the_server(connector: Connector) -> None:
    with WireDouble(api_key="s3cr3t-key") as double:
        target = ServerTarget(double.url)
        auth = {"mode": "api_key_auth", "api_key": "s3cr3t-key"}
        config = with_config({**target.indexing(), "auth_method": auth})
        finished = connector.run("write", jsonl(record(1)), config=config, catalog=APPEND)
    assert finished.code == 0, finished.error


@both
def test_a_record_of_2_mb_is_stored_without_what_is_too_large(connector: Connector, target: Target) -> None:
    config = with_config(target.indexing())
    config["processing"] = {"chunk_size": 100, "text_fields": ["title"]}
    message = record(1, title="a title", small="kept", large="x" * 2_000_000)
    finished = connector.run("write", jsonl(message, state(1)), config=config, catalog=APPEND)
    assert (finished.code, state_ids(finished)) == (0, [1])
    (point,) = target.points() or []
    payload = point["payload"]
    assert len(json.dumps(payload)) < 2000
    assert (payload["small"], payload["text"]) == ("kept", "title: a title")
    assert {change["field"] for change in payload["_ab_meta"]["changes"]} == {"title", "large"}


# ----------------------------------------------------------------------------------------------------------
# Check, and spec


@both
def test_a_check_says_what_it_found_and_changes_nothing(connector: Connector, target: Target) -> None:
    config = with_config(target.indexing())
    finished = connector.run("check", config=config)
    assert (finished.code, finished.stderr, len(finished.messages)) == (0, "", 1)
    status = finished.of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert status["status"] == "SUCCEEDED"
    assert "does not exist yet" in status["message"]
    assert "4 dimensions" in status["message"]
    assert target.points() is None
    if isinstance(target, EmbeddedTarget):
        assert not target.folder.exists()

    target.seed(4, [{"id": 7, "vector": [1, 0, 0, 0], "payload": {"note": "stays"}}])
    before = target.points()
    status = connector.run("check", config=config).of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert status["status"] == "SUCCEEDED"
    assert "exists and fits" in status["message"]

    other = {**config, "embedding": {**config["embedding"], "dimensions": 5}}
    message = failed_check(connector, other)
    assert "4-dimensional" in message
    assert "5 dimensions" in message
    assert "indexing.collection" in message
    assert "indexing.distance_metric" in failed_check(
        connector, {**config, "indexing": {**config["indexing"], "distance_metric": "dot"}}
    )
    assert target.points() == before


def test_a_check_answers_also_when_a_library_is_broken(connector: Connector, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "qdrant_client.py").write_text("raise ZeroDivisionError('private' + '-content')")
    connector.environment["PYTHONPATH"] = str(tmp_path / "broken")
    config = with_config({"url": "http://127.0.0.1:1", "collection": "docs"})
    message = failed_check(connector, config)
    assert "in a way that it does not know (ZeroDivisionError)" in message
    assert "private-content" not in message
    written = connector.run("write", config=config, catalog=APPEND)
    assert (written.code, written.stderr) == (1, "")
    assert written.error
    assert written.error["failure_type"] == "system_error"
    assert b"private-content" not in written.stdout


def modules_of(connector: Connector, *words: str) -> set[str]:
    """The modules that a command has imported at its end."""
    code = "import json, sys; from destination_qdrant.run import main; main(); print(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        input=jsonl(record(1)),
        capture_output=True,
        env={**connector.environment, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    # What is printed goes to standard error, because standard output is for messages.
    return {name.partition(".")[0] for name in json.loads(done.stderr)}


PROVIDERS = {"openai", "cohere", "fastembed", "tokenizers", "onnxruntime"}


def test_spec_imports_no_client(connector: Connector) -> None:
    modules = modules_of(connector, "spec")
    assert "pydantic" in modules
    assert modules.isdisjoint({"airbyte_cdk", "qdrant_client", "qdrant_edge", "grpc", "httpx", "numpy", *PROVIDERS})
    assert modules.isdisjoint({"tiktoken", "langchain_text_splitters"})


def test_writing_to_a_folder_imports_no_server_client_and_no_provider(connector: Connector, tmp_path: Path) -> None:
    words = connector.command("write", config=with_config(EmbeddedTarget(tmp_path).indexing()), catalog=APPEND)[2:]
    modules = modules_of(connector, *words)
    assert "qdrant_edge" in modules
    assert modules.isdisjoint({"airbyte_cdk", "qdrant_client", "grpc", *PROVIDERS})


def test_writing_to_a_server_imports_no_embedded_engine_and_no_provider(
    connector: Connector, double: WireDouble
) -> None:
    config = with_config(ServerTarget(double.url).indexing())
    modules = modules_of(connector, *connector.command("write", config=config, catalog=APPEND)[2:])
    assert "qdrant_client" in modules
    assert modules.isdisjoint({"airbyte_cdk", "qdrant_edge", *PROVIDERS})


@pytest.mark.parametrize(
    ("options", "records", "requests"),
    [({"batch_size": 3}, 10, [1, 3, 3, 3]), ({}, 513, [1, 512]), ({"batch_size": 600}, 601, [1, 600])],
)
def test_a_request_holds_as_many_points_as_the_batch_size_says(
    connector: Connector, double: WireDouble, options: Json, records: int, requests: list[int]
) -> None:
    config = with_config({**ServerTarget(double.url).indexing(), **options})
    finished = connector.run("write", jsonl(*map(record, range(records))), config=config, catalog=APPEND)
    upserts = [each.body["points"] for each in double.log if each.is_like("PUT /collections/[^/]+/points")]
    assert finished.code == 0, finished.error
    assert sorted(map(len, upserts)) == requests


def test_a_server_that_never_answers_is_given_up_when_the_retries_are_used_up(
    connector: Connector, double: WireDouble
) -> None:
    config = with_config({**ServerTarget(double.url).indexing(), "timeout": 1, "retry_seconds": 1})
    double.fail("PUT /collections/[^/]+/points", times=99, hold=True)
    finished = connector.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
    double.heal()
    assert (finished.code, finished.of("STATE"), finished.stderr) == (1, [], "")
    assert finished.error
    assert finished.error["failure_type"] == "transient_error"
    assert "no answer came in time" in finished.error["message"]


def test_as_many_requests_are_in_flight_as_the_user_wants(connector: Connector, double: WireDouble) -> None:
    config = with_config({**ServerTarget(double.url).indexing(), "batch_size": 1, "requests_in_flight": 8})
    upsert = "PUT /collections/[^/]+/points"
    double.fail(upsert, times=99, hold=True)
    with connector.start("write", config=config, catalog=APPEND) as process:
        assert process.stdin
        process.stdin.write(jsonl(*map(record, range(9))))
        process.stdin.close()
        assert len(double.wait_for(f"{upsert}$", count=8)) == 8
        double.heal()
        assert process.wait() == 0
