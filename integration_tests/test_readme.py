"""What the README tells people to type works, word for word, and so does its configuration.

Each command in a block marked `sh` is run, in a folder that looks like a checkout, with two changes: the address of the
Qdrant is that of the test's own, and the folder of the embedded one too. Those for a container engine are run by `make test-image`;
the Python in it by `make test-clients`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Finished, Json
from contained import TAG, command, missing
from own_container import IMAGE
from readme import FOLDER_URL, ROOT, SERVER_URL, blocks, commands
from targets import ServerTarget
from wire_double import WireDouble

#: What is not run here, and why.
ELSEWHERE = {"make image": "`make test-image` has run it just before"}

LOCAL = [each for each in commands() if each.startswith(".venv/bin/")]
CONTAINED = [each for each in commands() if each.startswith("docker run --rm ")]
SERVERS = [each for each in commands() if each.startswith("docker run --detach ")]


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """A folder with what the commands name; its configurations are about the test's own places."""
    tmp_path.chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    _replace(tmp_path / "examples" / "config.json", FOLDER_URL, (tmp_path / "qdrant").as_uri())
    return tmp_path


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(words: str, folder: Path) -> Finished:
    done = subprocess.run(["/bin/sh", "-c", words], capture_output=True, cwd=folder, timeout=240, check=False)
    return Finished(done.returncode, done.stdout, done.stderr.decode())


def verify(words: str, finished: Finished) -> None:
    """It did what the README says of that command."""
    assert (finished.code, finished.stderr) == (0, "")
    match re.findall(r" (spec|check|plan|write)\b", words):
        case ["spec"]:
            assert [len(finished.of("SPEC")), len(finished.messages)] == [1, 1]
        case ["check"]:
            (status,) = finished.of("CONNECTION_STATUS")
            assert status["connectionStatus"]["status"] == "SUCCEEDED"
        case ["plan"]:
            assert finished.stdout.startswith(b"stream ")
        case ["write"]:
            assert len(finished.of("STATE")) == 1
            assert finished.log[-1].startswith("INFO Took ")
        case other:
            raise AssertionError(other)


def test_every_command_is_run_somewhere() -> None:
    assert set(commands()) == {*LOCAL, *CONTAINED, *SERVERS, *ELSEWHERE}
    assert [len(LOCAL), len(CONTAINED), len(SERVERS)] == [4, 3, 1]


def test_every_make_target_that_is_named_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b", (ROOT / "README.md").read_text(encoding="utf-8")))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert named - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()
    assert {"demo", "test", "image"} <= named


def test_the_qdrant_that_is_shown_is_the_one_that_the_tests_start() -> None:
    assert [words.rsplit(maxsplit=1)[-1] for words in SERVERS] == [IMAGE]


def test_the_configuration_that_is_shown_is_the_one_in_the_examples() -> None:
    (shown,) = blocks("json")

    assert json.loads(shown) == json.loads((ROOT / "examples" / "server.json").read_bytes())


def test_the_local_commands_work_one_after_the_other(checkout: Path) -> None:
    for words in LOCAL:
        verify(words, run(words, checkout))

    assert (checkout / "qdrant" / "articles").is_dir()


# ----------------------------------------------------------------------------------------------------------
# With a container engine


@pytest.fixture(name="server", params=["double", "server"])
def _server(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "server":
        yield request.getfixturevalue("server_url")
        return
    with WireDouble(grpc=True) as double:
        yield double.url


@pytest.mark.image_tests
def test_the_commands_for_containers_work_one_after_the_other(checkout: Path, server: str) -> None:
    if reason := missing():
        pytest.skip(reason)
    target = ServerTarget(server)
    _replace(checkout / "examples" / "server.json", SERVER_URL, server)
    _replace(checkout / "examples" / "server.json", '"articles"', f'"{target.collection}"')
    (checkout / "examples").chmod(0o755)
    try:
        for words in CONTAINED:
            here = words.replace("docker run", f"{command()} run", 1).replace("airbyte/destination-qdrant:dev", TAG)
            verify(words, run(here, checkout))
        titles = sorted(point["payload"]["title"] for point in target.points() or [])
    finally:
        target.remove()

    assert titles == ["Bicycles", "Tea"]


@pytest.mark.image_tests
@pytest.mark.parametrize("words", SERVERS)
def test_the_command_that_starts_a_qdrant_can_be_given(words: str, tmp_path: Path) -> None:
    """The container is made, with all that the command says, and not started: its ports may be in use."""
    if reason := missing():
        pytest.skip(reason)
    image = words.rsplit(maxsplit=1)[-1]
    inspect = [command(), "inspect", "--type", "image", image]
    if subprocess.run(inspect, capture_output=True, check=False).returncode:
        pytest.skip(f"NO IMAGE: {command()} does not have {image}, and no test pulls it")
    name = f"readme-{tmp_path.name}"
    made = words.replace("docker run --detach", f"{command()} create", 1).replace("--name qdrant", f"--name {name}", 1)
    made = made.replace("-v qdrant_storage:", f"-v {name}:", 1)
    done = run(made, tmp_path)
    found: Json = {}
    if not done.code:
        said = subprocess.run([command(), "inspect", name], capture_output=True, check=True).stdout
        (found,) = json.loads(said)
        subprocess.run([command(), "rm", name], capture_output=True, check=True)
        subprocess.run([command(), "volume", "rm", name], capture_output=True, check=True)

    assert (done.code, done.stderr) == (0, "")
    assert set(found["HostConfig"]["PortBindings"]) == {"6333/tcp", "6334/tcp"}
