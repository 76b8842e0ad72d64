"""What the integration tests share: their own modules can be imported, and there is a Qdrant of each kind to run against."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from command_line import Connector
from own_server import OwnServer, find_executable
from targets import NO_SERVER, EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

# A proxy of the machine would be asked for the servers of the loopback interface, by clients in this process.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]


@pytest.fixture(name="connector")
def _connector(tmp_path: Path) -> Connector:
    return Connector(tmp_path)


NO_OWN_SERVER = "NO SERVER THAT A TEST MAY KILL: no executable called qdrant is on the PATH"


@pytest.fixture(name="server_url", scope="session")
def _server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """A real server for every test that wants one, each in a collection of its own; None when there is none."""
    if url := os.environ.get("QDRANT_URL"):
        yield url
    elif find_executable():
        with OwnServer(tmp_path_factory.mktemp("qdrant")) as server:
            yield server.url
    else:
        yield None


@pytest.fixture(name="own_server")
def _own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """A real server for one test alone, which may kill, freeze and restart it."""
    if not find_executable():
        pytest.skip(NO_OWN_SERVER)
    with OwnServer(tmp_path / "server") as server:
        yield server


@pytest.fixture(name="target", params=["embedded", "double", "server-rest", "server-grpc"])
def _target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if request.param == "embedded":
        yield EmbeddedTarget(tmp_path)
    elif request.param == "double":
        with WireDouble() as double:
            yield ServerTarget(double.url)
    else:
        url = request.getfixturevalue("server_url")  # only now: the others need none to be started
        if not url:
            pytest.skip(NO_SERVER)
        server = ServerTarget(url, prefer_grpc=request.param == "server-grpc")
        yield server
        server.remove()


# ----------------------------------------------------------------------------------------------------------
# What the kills have shown

KILL_TESTS = "test_kills.py::"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last line of a run how many kills it made, and what they cost."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    kinds = ("passed", "failed", "error")
    reports = {kind: reporter.stats.get(kind, []) if reporter else [] for kind in kinds}
    kills = [value for each in chain(*reports.values()) for name, value in _properties(each) if name == "kill"]
    failed = {each.nodeid for each in reports["failed"] + reports["error"] if KILL_TESTS in each.nodeid}
    if kills or failed:
        acks, lost = (sum(column) for column in zip(*kills, strict=True)) if kills else (0, 0)
        reporter.write_line(
            f"kills {len(kills)}, acknowledged STATEs checked {acks}, records lost {lost}, kill tests failed {len(failed)}"
        )


def _properties(report: object) -> list[tuple[str, object]]:
    """What a test noted; the report of a module that could not be imported has nothing of the kind."""
    return getattr(report, "user_properties", [])
