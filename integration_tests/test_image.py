"""The container image: what the platform expects of it, its commands, and scenarios of the small platform inside it.

`make test-image` builds the image and runs this; it needs a container engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Json
from contained import MEMORY_BYTES, ImageConnector, inspected, missing
from orchestrator.dialects import CUSTOM_IMAGE, PYAIRBYTE, REGISTRY
from orchestrator.platform import Running
from orchestrator.plays import play
from orchestrator.story import load
from running_write import APPEND, ids, jsonl, record, state, state_ids, with_config
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

from destination_qdrant.release import VERSION

SPEC = Path(__file__).with_name("spec.json")

pytestmark = pytest.mark.image_tests

#: What a user meets first, and what a container could get wrong: kills, files, names, large texts, many batches.
BASIC = (
    ("basic_write_with_one_state", REGISTRY),
    ("basic_write_with_one_state", CUSTOM_IMAGE),
    ("basic_write_with_one_state", PYAIRBYTE),
    ("append_keeps_all", CUSTOM_IMAGE),
    ("overwrite_each_time", CUSTOM_IMAGE),
    ("truncate_refresh", REGISTRY),
    ("truncate_refresh_resumed", REGISTRY),
    ("truncate_refresh_of_a_failed_source", REGISTRY),
    ("clear_of_one_of_two_streams", REGISTRY),
    ("dedup_by_a_cursor_of_times", PYAIRBYTE),
    ("cdc_update_then_delete", REGISTRY),
    ("interrupted_refresh_then_incremental_syncs", REGISTRY),
    ("letters_of_all_kinds", PYAIRBYTE),
    ("batches_beyond_any_limit", REGISTRY),
    ("text_of_200_kilobytes", CUSTOM_IMAGE),
)


@pytest.fixture(autouse=True, scope="module")
def _image() -> None:
    reason = missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(name="contained")
def _contained(tmp_path: Path) -> ImageConnector:
    return ImageConnector(tmp_path)


@pytest.fixture(name="place", params=["embedded", "double-rest", "double-grpc", "server-grpc"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    """Where the points go: on the mounted folder, or to a server of this machine."""
    kind, _, transport = request.param.partition("-")
    if kind == "embedded":
        yield EmbeddedTarget(tmp_path)
    elif kind == "double":
        with WireDouble(grpc=transport == "grpc") as double:
            yield ServerTarget(double.url, prefer_grpc=transport == "grpc")
    else:
        server = ServerTarget(request.getfixturevalue("server_url"), prefer_grpc=True)
        yield server
        server.remove()


# ----------------------------------------------------------------------------------------------------------
# What the platform expects


def test_the_image_says_how_it_is_started() -> None:
    config = inspected()["Config"]
    environment = dict(each.split("=", 1) for each in config["Env"])

    assert environment["AIRBYTE_ENTRYPOINT"] == " ".join(config["Entrypoint"])
    assert config["User"] == "1000:1000"
    assert config["Labels"]["io.airbyte.version"] == VERSION
    assert config["Labels"]["io.airbyte.name"] == "airbyte/destination-qdrant"


def test_the_image_is_small() -> None:
    """Of its megabytes a base has some 130 to 170, the engines and models 200. With the CDK it would be 750."""
    assert inspected()["Size"] < 620_000_000


def test_the_user_has_no_home_and_nothing_to_install_with(contained: ImageConnector) -> None:
    told = contained.in_shell(
        "id -u; id -g; getent passwd 1000 | cut -d: -f6; test -e /nonexistent || echo no home;"
        "/opt/venv/bin/python -m pip --version 2>/dev/null || echo no pip; touch /opt/x 2>/dev/null || echo read-only"
    )

    assert told.stdout.decode().splitlines() == ["1000", "1000", "/nonexistent", "no home", "no pip", "read-only"]


def test_the_memory_is_limited_as_the_platform_limits_it(contained: ImageConnector) -> None:
    """All other tests of this file run under the same limit."""
    limit = contained.in_shell("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null")

    assert limit.stdout.split() == [str(MEMORY_BYTES).encode()]


def test_any_user_may_run_it(tmp_path: Path) -> None:
    """OpenShift gives each project a user id of its own."""
    done = ImageConnector(tmp_path, "--user", "4242:0", "--workdir", "/proc", network="none").run("spec")

    assert (done.code, done.stderr, len(done.of("SPEC"))) == (0, "", 1)


#: What the platform runs in a pod: the entry point by its name, in a folder with the files and three pipes.
#: (`ContainerCommandFactory.kt` and `ReplicationContainerFactory.kt` of airbytehq/airbyte-platform)
POD = """
cd {folder} && mkfifo stdin stdout stderr || exit 99
cat stdout & cat stderr >&2 & cat > stdin <&3 &
(eval "$AIRBYTE_ENTRYPOINT write --config connectorConfig.json --catalog catalog.json" 2> stderr > stdout < stdin)
echo $? > exitCode.txt
"""


def test_it_runs_by_its_entrypoint_variable_with_named_pipes(contained: ImageConnector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    (tmp_path / "connectorConfig.json").write_text(json.dumps(with_config(target.indexing())))
    (tmp_path / "catalog.json").write_text(json.dumps(APPEND))
    done = contained.in_shell(f"exec 3<&0; {POD.format(folder=tmp_path)}wait", jsonl(record(1), record(2), state(1)))

    assert (done.stderr, state_ids(done)) == ("", [1])
    assert (tmp_path / "exitCode.txt").read_text() == "0\n"
    assert ids(target) == [1, 2]


# ----------------------------------------------------------------------------------------------------------
# The commands


def test_spec_needs_no_network(tmp_path: Path) -> None:
    done = ImageConnector(tmp_path, network="none").run("spec")

    assert (done.code, done.stderr) == (0, "")
    assert [message["spec"] for message in done.messages] == [json.loads(SPEC.read_bytes())]


def test_text_is_split_and_embedded_without_a_network(tmp_path: Path) -> None:
    """The vocabulary and the local model are in the image."""
    offline, target = ImageConnector(tmp_path, network="none"), EmbeddedTarget(tmp_path)
    processing = {"chunk_size": 50, "text_fields": ["text"]}
    config = {"processing": processing, "embedding": {"mode": "local"}, "indexing": target.indexing()}
    checked = offline.run("check", config=config)
    messages = [record(1, text="a text of many words " * 40), state(1)]
    done = offline.run("write", jsonl(*messages), config=config, catalog=APPEND)

    assert checked.messages[-1]["connectionStatus"]["status"] == "SUCCEEDED", checked.messages
    assert (done.code, done.stderr, state_ids(done)) == (0, "", [1])
    assert {len(point["vector"]) for point in target.points() or []} == {384}
    assert len(target.points() or []) > 1


def test_a_check_that_fails_says_why(contained: ImageConnector) -> None:
    config = with_config({"url": "http://127.0.0.1:1", "collection": "docs"})
    done = contained.run("check", config=config)
    (status,) = done.of("CONNECTION_STATUS")

    assert (done.code, done.stderr, status["connectionStatus"]["status"]) == (0, "", "FAILED")
    assert "127.0.0.1" in status["connectionStatus"]["message"]


def test_a_file_that_its_user_may_not_read_is_named(contained: ImageConnector, tmp_path: Path) -> None:
    words = contained.command("check", config={})
    Path(words[-1]).chmod(0o600)
    done = contained.in_shell(f'eval "$AIRBYTE_ENTRYPOINT check --config {words[-1]}"')
    (status,) = done.of("CONNECTION_STATUS")

    assert "cannot be read (Permission denied)" in status["connectionStatus"]["message"]
    assert str(tmp_path) in status["connectionStatus"]["message"]


def test_a_record_of_20_mb_fits_into_the_memory(contained: ImageConnector, tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    messages = jsonl(record(1, body="a word and another " * 1_100_000), state(1))
    done = contained.run("write", messages, config=with_config(target.indexing()), catalog=APPEND)

    assert (done.code, done.stderr, state_ids(done)) == (0, "", [1])
    assert ids(target) == [1]


def test_sigterm_ends_it_at_once_and_what_was_acknowledged_is_there(contained: ImageConnector, tmp_path: Path) -> None:
    """As the first process of its container: one that sets no handler would not even notice."""
    target = EmbeddedTarget(tmp_path)
    process = contained.start("write", config=with_config(target.indexing()), catalog=APPEND)
    with Running(process) as running:
        assert process.stdin
        process.stdin.write(jsonl(record(1), state(1)))
        process.stdin.flush()
        running.wait_for(b'"STATE"')
        process.signal("TERM")
        output = running.finish()

    assert (output.code, output.stderr, len(output.states)) == (143, "", 1)
    assert ids(target) == [1]


# ----------------------------------------------------------------------------------------------------------
# Scenarios of the small platform


@pytest.mark.parametrize(("name", "dialect"), BASIC)
def test_scenario(name: str, dialect: str, place: Target, contained: ImageConnector) -> None:
    def start(config: Json, catalog: Json) -> Any:
        return contained.start("write", config=config, catalog=catalog)

    assert play(load(name), dialect, place, start)
