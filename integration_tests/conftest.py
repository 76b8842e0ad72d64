"""What the integration tests share: their own modules can be imported, and there is a Qdrant of each kind to run against."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

# The clients that the tests look with import onnxruntime, which reports to its maker from then on; the connector's own
# package forbids that too, and is imported later than they are.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from command_line import Connector
from own_server import Server
from preloaded import IS_POSSIBLE, Loaded, quick
from servers import Servers
from targets import NO_SERVER, NO_STRICT_SERVER, STRICT, STRICT_ENVIRONMENT, EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

# A proxy of the machine would be asked for the servers of the loopback interface, by clients in this process.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]


#: A file system in memory, which Linux has; and how much of it has to be free.
MEMORY = Path("/dev/shm")  # noqa: S108 -- folders in it have random names
MEMORY_BYTES = 2_000_000_000


@pytest.fixture(name="connector")
def _connector(tmp_path: Path) -> Connector:
    return Connector(tmp_path)


@pytest.fixture(name="loaded", scope="session")
def _loaded() -> Iterator[Loaded | None]:
    """What runs of the connector are forked from; None where that is not possible."""
    if IS_POSSIBLE:
        with Loaded() as loaded:
            yield loaded
    else:
        yield None


@pytest.fixture(name="quick_connector")
def _quick_connector(loaded: Loaded | None, tmp_path: Path) -> Connector:
    """For the tests that run it thousands of times."""
    return quick(tmp_path, loaded)


@pytest.fixture(name="quick_folder")
def _quick_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room for it: the engine waits for a disk a hundred times in a small sync."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="destination-qdrant-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(name="servers", scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Servers:
    base = tmp_path_factory.getbasetemp()
    return Servers(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)  # the run's folder, not the worker's


@pytest.fixture(name="server_url", scope="session")
def _server_url(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for every test that wants one, each in a collection of its own."""
    with servers.url("QDRANT_URL", tmp_path_factory.mktemp("qdrant"), NO_SERVER) as url:
        yield url


@pytest.fixture(name="strict_server_url", scope="session")
def _strict_server_url(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with strict mode in new collections."""
    folder = tmp_path_factory.mktemp("strict-qdrant")
    with servers.url("QDRANT_STRICT_URL", folder, NO_STRICT_SERVER, environment=STRICT_ENVIRONMENT) as url:
        yield _with_strict_mode(url)


def _with_strict_mode(url: str) -> str:
    target = ServerTarget(url)
    target.seed(4, [])
    is_strict = bool(target.strict_mode)
    target.remove()
    assert is_strict, f"strict mode is off in new collections at {url}"
    return url


@pytest.fixture(name="own_server")
def _own_server(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A real server for one test alone, which may kill, freeze and restart it."""
    with servers.own(tmp_path / "server", "NO SERVER THAT A TEST MAY KILL") as server:
        yield server


@pytest.fixture(name="target", params=["embedded", "double-rest", "server-rest", "server-grpc"])
def _target(request: pytest.FixtureRequest, quick_folder: Path) -> Iterator[Target]:
    """One of `targets.CONFIGURATIONS`."""
    kind, *traits = request.param.split("-")
    over_grpc, is_strict = "grpc" in traits, "strict" in traits
    if kind == "embedded":
        yield EmbeddedTarget(quick_folder)
    elif kind == "double":
        with WireDouble(grpc=over_grpc, strict=STRICT if is_strict else None) as double:
            yield ServerTarget(double.url, prefer_grpc=over_grpc)
    else:
        # Only now: the others need none to be started.
        url = request.getfixturevalue("strict_server_url" if is_strict else "server_url")
        server = ServerTarget(url, prefer_grpc=over_grpc)
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
