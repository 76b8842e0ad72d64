"""A run that is forked from a process that has loaded the connector is like one that is started afresh."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from command_line import Connector, Json
from preloaded import Loaded, quick
from running_write import APPEND, jsonl, record, state, with_config
from targets import EmbeddedTarget

#: What is measured is not the same twice.
TOOK = re.compile(rb"Took [^\"]+")

PROGRAM = """
import json, os, signal, sys
print(json.dumps({
    "arguments": [sys.argv[0], *sys.argv[1:2]],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "name": __name__,
    "stdin": sys.stdin.read(),
    "descriptors": len(os.listdir("/proc/self/fd")),
    "signals": [str(signal.getsignal(each)) for each in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)],
}))
print("a complaint", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture(name="kinds")
def _kinds(loaded: Loaded | None) -> list[Loaded | None]:
    if loaded is None:
        pytest.skip("RUNS ARE NOT FORKED ON THIS SYSTEM, which is no Linux")
    return [None, loaded]


def test_it_has_the_same_surroundings(kinds: list[Loaded | None], tmp_path: Path) -> None:
    program = tmp_path / "show.py"
    program.write_text(PROGRAM, encoding="utf-8")
    afresh, forked = (quick(tmp_path, each, program).run("write", b"naive") for each in kinds)
    assert (afresh.code, afresh.stderr) == (3, "a complaint\n")
    assert (forked.code, forked.stderr) == (afresh.code, afresh.stderr)
    there, here = (json.loads(each.stdout) for each in (afresh, forked))
    assert there["stdin"] == "naive"
    # What the connector has set for libraries that it loads stands already.
    here["environment"] = {name: value for name, value in here["environment"].items() if name in there["environment"]}
    assert here == there


def test_it_says_the_same(kinds: list[Loaded | None], tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    config = with_config(target.indexing())
    again: Json = {**config, "embedding": {"mode": "fake"}}  # of another dimension, which is refused

    def said(loaded: Loaded | None) -> list[object]:
        connector = quick(tmp_path, loaded)
        done = connector.run("write", jsonl(record(1), state(1)), config=config, catalog=APPEND)
        refused = connector.run("write", config=again, catalog=APPEND)
        assert refused.error
        shutil.rmtree(target.folder)
        return [
            done.code,
            TOOK.sub(b"Took", done.stdout),
            done.stderr,
            refused.code,
            refused.log,
            refused.stderr,
            refused.error["message"],
        ]

    afresh, forked = map(said, kinds)
    assert forked == afresh


def test_it_is_killed_as_a_process(kinds: list[Loaded | None], tmp_path: Path) -> None:
    config = with_config(EmbeddedTarget(tmp_path).indexing())
    for each in kinds:
        connector: Connector = quick(tmp_path, each)
        with connector.start("write", config=config, catalog=APPEND) as process:
            assert process.stdout
            while b"Writing to" not in process.stdout.readline():
                assert process.poll() is None
            process.kill()
            assert process.wait() == -signal.SIGKILL
            assert process.stdout.read() == b""
