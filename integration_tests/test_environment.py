"""The connector where the platform runs it: user 1000 without a home, a read-only root, 2 GiB, any current folder.

What runs is the package as it is installed, from a wheel, and not the work tree.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Json
from confinement import (
    MEMORY,
    MEMORY_LIMIT,
    READ_ONLY,
    USER,
    USER_ID,
    ConfinedConnector,
    Confinement,
    limit_of,
    peak_memory,
)
from running_write import APPEND, Sync, ids, jsonl, record, state, state_ids, with_config
from targets import EmbeddedTarget, ServerTarget
from wire_double import WireDouble

ROOT = Path(__file__).parent.parent

CONSOLE = """\
import sys
from destination_qdrant.run import console
sys.exit(console())
"""


@pytest.fixture(name="confinement", scope="module")
def _confinement() -> Iterator[Confinement]:
    umask = os.umask(0o022)  # what the tests write is for another user
    with Confinement() as confinement:
        yield confinement
    os.umask(umask)


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(name="program", scope="module")
def _program(wheel: Path) -> Iterator[Path]:
    """The console script of the installed package; its files have the modes that the wheel gives them."""
    with tempfile.TemporaryDirectory(prefix="destination-qdrant-installed-") as folder:
        installed = Path(folder)
        installed.chmod(0o755)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                Path(archive.extract(entry, installed)).chmod(entry.external_attr >> 16)
        program = installed / "destination-qdrant"
        program.write_text(CONSOLE, encoding="utf-8")
        program.chmod(0o644)
        yield program


anywhere = pytest.mark.parametrize("cwd", ["a-writable-folder", "a-folder-of-somebody-else"], indirect=True)


@pytest.fixture(name="cwd")
def _cwd(request: pytest.FixtureRequest, confinement: Confinement) -> Path:
    """The current folder: one of somebody else, unless the test asks for both kinds."""
    if getattr(request, "param", "") != "a-writable-folder":
        return Path("/")
    folder = Path(tempfile.mkdtemp(dir=confinement.folder))
    folder.chmod(0o777)
    return folder


@pytest.fixture(name="confined")
def _confined(confinement: Confinement, program: Path, cwd: Path) -> ConfinedConnector:
    return ConfinedConnector(confinement, program, cwd)


# ----------------------------------------------------------------------------------------------------------
# The environment itself


@pytest.mark.parametrize("condition", [USER, READ_ONLY, MEMORY])
def test_the_machine_can_play_the_platform(confinement: Confinement, condition: str) -> None:
    """All other tests of this file run under the conditions that are not skipped here."""
    if condition in confinement.refused:
        missing = f"NOT TESTED, {condition}: this machine refuses it ({confinement.refused[condition]})"
        warnings.warn(missing, stacklevel=1)
        pytest.skip(missing)
    found = confinement.probe(Path("/"))
    if condition == USER:
        assert (found["uid"], found["gid"]) == (USER_ID, USER_ID)
        assert 0 not in found["groups"]
    elif condition == READ_ONLY:
        assert (found["root is read-only"], found["folder is read-only"]) == (True, False)
    else:
        assert confinement.cgroup
        assert limit_of(confinement.cgroup) == MEMORY_LIMIT
        peak = peak_memory(confinement.cgroup)
        assert peak is None or 0 < peak < MEMORY_LIMIT


def may_write_everywhere(confinement: Confinement) -> bool:
    return os.geteuid() == 0 and {USER, READ_ONLY} <= confinement.refused.keys()


@anywhere
def test_the_environment_has_no_home_and_the_current_folder_is_elsewhere(confinement: Confinement, cwd: Path) -> None:
    found = confinement.probe(cwd)
    assert found["environment"].keys().isdisjoint({"HOME", "USER", "PYTHONUNBUFFERED", "PYTHONPATH"})
    assert found["cwd"] == str(cwd)
    assert found["cwd is writable"] == (cwd != Path("/") or may_write_everywhere(confinement))


def test_everything_in_the_wheel_may_be_read_by_everybody(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert {name for name, mode in modes.items() if mode & 0o444 != 0o444} == set()
    assert "destination_qdrant/run.py" in modes


# ----------------------------------------------------------------------------------------------------------
# The commands


def test_spec_is_printed(confined: ConfinedConnector) -> None:
    finished = confined.run("spec")
    assert (finished.code, finished.stderr) == (0, "")
    (message,) = finished.messages
    assert message["spec"] == json.loads((ROOT / "integration_tests" / "spec.json").read_bytes())


def embedding_locally(indexing: Json) -> Json:
    processing = {"chunk_size": 100, "text_fields": ["text"]}
    return {"processing": processing, "embedding": {"mode": "local"}, "indexing": indexing}


def checked(confined: ConfinedConnector, config: Json) -> Json:
    finished = confined.run("check", config=config)
    assert (finished.code, finished.stderr) == (0, "")
    status: Json = finished.of("CONNECTION_STATUS")[0]["connectionStatus"]
    return status


@anywhere
def test_check_and_write_work_with_a_folder(confined: ConfinedConnector) -> None:
    target = EmbeddedTarget(confined.folder)
    assert checked(confined, with_config(target.indexing()))["status"] == "SUCCEEDED"
    assert not target.folder.exists()
    with Sync(confined, target) as sync:
        sync.send(record(1), state(1))
        sync.hear("STATE")  # though standard input stays open and Python's output is buffered
        finished = sync.send(record(2), state(2)).end()
    assert (finished.code, finished.stderr, state_ids(finished)) == (0, "", [1, 2])
    assert ids(target) == [1, 2]


def test_check_and_write_work_with_a_server(confined: ConfinedConnector) -> None:
    with WireDouble() as double:
        target = ServerTarget(double.url)
        config = with_config(target.indexing())
        assert checked(confined, config)["status"] == "SUCCEEDED"
        finished = confined.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
        assert (finished.code, finished.stderr, state_ids(finished)) == (0, "", [1])
        assert ids(target) == [1]


def test_check_and_write_work_with_the_local_model(confined: ConfinedConnector) -> None:
    target = EmbeddedTarget(confined.folder)
    config = embedding_locally(target.indexing())
    assert checked(confined, config)["status"] == "SUCCEEDED"
    messages = jsonl(record(1, text="a text to embed"), state(1))
    finished = confined.run("write", messages, config=config, catalog=APPEND)
    assert (finished.code, finished.stderr, state_ids(finished)) == (0, "", [1])
    (point,) = target.points() or []
    assert len(point["vector"]) == 384


def test_a_record_of_20_mb_fits_into_the_memory(confinement: Confinement, confined: ConfinedConnector) -> None:
    target = EmbeddedTarget(confined.folder)
    config = with_config(target.indexing())
    message = record(1, body="a word and another " * 1_100_000)
    finished = confined.run("write", jsonl(message, state(1)), config=config, catalog=APPEND)
    assert (finished.code, finished.stderr, state_ids(finished)) == (0, "", [1])
    assert ids(target) == [1]
    if confinement.cgroup:
        assert (peak_memory(confinement.cgroup) or 0) < MEMORY_LIMIT


def test_a_folder_that_is_not_writable_is_refused_in_a_sentence(
    confinement: Confinement, confined: ConfinedConnector
) -> None:
    if may_write_everywhere(confinement):
        pytest.skip("NOT TESTED, a folder that is not writable: root may write everywhere on this machine")
    config = with_config({"url": "file:///destination-qdrant", "collection": "docs"})
    status = checked(confined, config)
    finished = confined.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
    assert (finished.code, finished.stderr, finished.of("STATE")) == (1, "", [])
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    for message in (status["message"], finished.error["message"]):
        assert "is not writable for the connector; give it the right, or change the field indexing.url" in message
    assert not Path("/destination-qdrant").exists()
