"""A server in a container: which image it is, who tries to have it, what is said where there is none, and how it lives.

An engine of a few lines says what a docker engine says, so that neither one nor a registry is needed. What only a real
container shows is tested where an engine has an image of Qdrant.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qs

import own_container
import pytest
from loopback import HOST
from own_container import IMAGE, LABEL, ContainerServer, Engine, NoEngineError, find_engine, newest_of
from own_server import OwnServer
from servers import Servers
from targets import ServerTarget

Json = dict[str, Any]
NO_MANIFEST = "manifest for qdrant/qdrant:v1.18.3 not found"


# ----------------------------------------------------------------------------------------------------------
# An engine


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        path = path.removeprefix("/v1.41")
        engine = cast("_Server", self.server).engine
        engine.seen.append((f"{self.command} {path}", query, body))
        status, content = engine.answer(f"{self.command} {path}", {k: v[0] for k, v in parse_qs(query).items()})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: `PlayedEngine.seen` has it all."""


class _Server(ThreadingHTTPServer):
    engine: PlayedEngine


class PlayedEngine:
    """Has images, one container, and a network of containers or none; a pull has one outcome."""

    def __init__(self, *tags: str, networks: tuple[str, ...] = ("bridge", "host"), pulls: bool = False) -> None:
        self.tags = list(tags)
        self.networks = networks
        self.pulls = pulls
        self.leftovers: list[str] = []
        self.seen: list[tuple[str, str, bytes]] = []
        self.ended = threading.Event()
        self._inside: ThreadingHTTPServer | None = None
        self._server = _Server((HOST, 0), _Engine)
        self._server.engine = self

    def __enter__(self) -> Self:
        """Start."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, for good."""
        self._end()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"tcp://{HOST}:{self._server.server_port}"

    @property
    def asked(self) -> list[str]:
        return [call for call, _, _ in self.seen]

    @property
    def created(self) -> Json:
        (body,) = {body for call, _, body in self.seen if call == "POST /containers/create"}
        return dict(json.loads(body))

    def answer(self, call: str, query: dict[str, str]) -> tuple[int, bytes]:
        """To what is not named here: it is done, and to a question: there is no such thing."""
        answers: dict[str, Callable[[], tuple[int, bytes]]] = {
            "GET /version": lambda: _json({"ApiVersion": "1.41"}),
            "GET /networks": lambda: _json([{"Id": name, "Driver": name} for name in self.networks]),
            "GET /images/json": lambda: _json([{"RepoTags": self.tags}, {"RepoTags": None}]),
            **{f"GET /images/{tag}/json": lambda: _json({"Id": "i"}) for tag in self.tags},
            "POST /images/create": lambda: self._pull(f"{query['fromImage']}:{query['tag']}"),
            "GET /containers/json": lambda: _json([{"Id": each, "Labels": {LABEL: each}} for each in self.leftovers]),
            "POST /containers/create": lambda: _json({"Id": "it"}, 201),
            "GET /containers/it/json": lambda: _json({"Id": "it", "Config": {"Tty": True}}),
            "GET /containers/it/logs": lambda: (200, b"what it said"),
            **{f"POST /containers/it/{what}": partial(self._do, what) for what in ("start", "kill", "wait")},
        }
        if call in answers:
            return answers[call]()
        return _json({"message": "No such thing"}, 404) if call.startswith("GET ") else (200, b"")

    def _pull(self, image: str) -> tuple[int, bytes]:
        if not self.pulls:
            return _json({"message": NO_MANIFEST}, 404)
        self.tags.append(image)
        return _json({"status": "Pulling"})

    def _do(self, action: str) -> tuple[int, bytes]:
        if action == "start":
            settings = dict(each.split("=", 1) for each in self.created["Env"])
            self.ended.clear()
            self._inside = ThreadingHTTPServer((HOST, int(settings["QDRANT__SERVICE__HTTP_PORT"])), _Ready)
            threading.Thread(target=self._inside.serve_forever, args=(0.02,), daemon=True).start()
        elif action == "kill":
            self._end()
        elif action == "wait":
            self.ended.wait(30)
            return _json({"StatusCode": 137})
        return 204, b""

    def _end(self) -> None:
        self.ended.set()
        if self._inside:
            self._inside.shutdown()
            self._inside.server_close()
            self._inside = None


def _json(content: Any, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(content).encode()


@pytest.fixture(autouse=True)
def _nothing_but_what_the_test_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QDRANT_IMAGE", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))  # neither a context nor a proxy of the person at the machine
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(name="play")
def _play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., PlayedEngine]]:
    played: list[PlayedEngine] = []

    def play(*tags: str, **what: Any) -> PlayedEngine:
        engine = PlayedEngine(*tags, **what).__enter__()
        played.append(engine)
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        return engine

    yield play
    for engine in played:
        engine.__exit__()


# ----------------------------------------------------------------------------------------------------------
# Which image


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        ([], None),
        (["v1.9.7", "v1.10.0", "v1.2"], "v1.10.0"),
        (["v1.18.3-unprivileged", "latest", "v1.17.0"], "v1.17.0"),
        (["v1.18.3-unprivileged", "latest"], "latest"),
        (["v1.18.3-unprivileged", "v1.20.0-gpu-nvidia"], "v1.20.0-gpu-nvidia"),
    ],
)
def test_the_newest_plain_version_is_taken(tags: list[str], newest: str | None) -> None:
    assert newest_of(f"qdrant/qdrant:{tag}" for tag in tags) == (newest and f"qdrant/qdrant:{newest}")


def test_an_image_that_is_there_is_not_pulled(play: Callable[..., PlayedEngine], tmp_path: Path) -> None:
    engine = play("qdrant/qdrant:v1.9.0", "qdrant/qdrant:v1.17.1")
    assert find_engine(tmp_path).image == "qdrant/qdrant:v1.17.1"
    assert "POST /images/create" not in engine.asked
    assert engine.created["Image"] == "qdrant/qdrant:v1.17.1"


def test_an_image_that_is_not_there_is_pulled(play: Callable[..., PlayedEngine], tmp_path: Path) -> None:
    engine = play(pulls=True)
    assert (find_engine(tmp_path).image, engine.tags) == (IMAGE, [IMAGE])


@pytest.mark.parametrize("is_there", [True, False])
def test_the_image_that_is_asked_for_wins(
    play: Callable[..., PlayedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    wanted = "registry.example/qdrant:mine"
    engine = play(IMAGE, *([wanted] if is_there else []), pulls=True)
    monkeypatch.setenv("QDRANT_IMAGE", wanted)
    assert find_engine(tmp_path).image == wanted
    assert ("POST /images/create" in engine.asked) is not is_there


# ----------------------------------------------------------------------------------------------------------
# Where there is none


def test_a_machine_without_an_engine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(NoEngineError, match=r"^no docker engine answers at unix://.*/no\.sock: .*No such file"):
        find_engine(tmp_path)


def test_an_image_that_cannot_be_pulled_is_a_reason_and_pulled_once_in_a_run(
    play: Callable[..., PlayedEngine], tmp_path: Path
) -> None:
    engine = play()

    def reason(_: int) -> str:
        with pytest.raises(NoEngineError) as caught:
            find_engine(tmp_path)
        return str(caught.value)

    with ThreadPoolExecutor(4) as workers:
        reasons = set(workers.map(reason, range(4)))

    assert reasons == {f"the docker engine has no image {IMAGE} and cannot pull it: {NO_MANIFEST}"}
    assert engine.asked.count("POST /images/create") == 1


def test_a_registry_that_says_nothing_is_not_waited_for(
    play: Callable[..., PlayedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence, engine = threading.Event(), play()
    monkeypatch.setattr(engine, "_pull", lambda _: silence.wait(30) and _json({}))
    monkeypatch.setattr(own_container, "_SILENCE_SECONDS", 0.1)
    with pytest.raises(NoEngineError, match=r"cannot pull it: nothing came within 0\.1 seconds"):
        find_engine(tmp_path)
    silence.set()


def test_a_container_that_cannot_be_reached_is_a_reason(
    play: Callable[..., PlayedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine may be on another machine; that is found out once, and not by every test."""
    engine = play(IMAGE)
    monkeypatch.setattr(engine, "_do", lambda action: _json({"StatusCode": 1} if action == "wait" else {}))
    with pytest.raises(NoEngineError, match="does not run Qdrant where it can be reached: qdrant ended with 1"):
        find_engine(tmp_path)
    assert engine.asked[-1] == "DELETE /containers/it"


def test_a_test_that_is_skipped_names_all_that_is_missing(
    play: Callable[..., PlayedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play()
    monkeypatch.delenv("QDRANT_URL", raising=False)
    with (
        pytest.raises(pytest.skip.Exception) as skipped,
        Servers(tmp_path).url("QDRANT_URL", tmp_path / "server", "NO SERVER"),
    ):
        raise AssertionError("there is none")
    assert str(skipped.value) == (
        "NO SERVER (QDRANT_URL is not set): no executable called qdrant is on the PATH; "
        f"the docker engine has no image {IMAGE} and cannot pull it: {NO_MANIFEST}"
    )


# ----------------------------------------------------------------------------------------------------------
# Which kind of server


def test_a_server_that_is_named_wins_and_an_executable_comes_before_an_engine(
    play: Callable[..., PlayedEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, servers = play(IMAGE), Servers(tmp_path)
    executable = tmp_path / "qdrant"
    executable.touch(0o755)

    monkeypatch.setenv("QDRANT_URL", "http://qdrant.example:6333")
    with servers.url("QDRANT_URL", tmp_path / "server", "NO SERVER") as url:
        named = url
    first = servers.own(tmp_path / "server", "NO SERVER")
    asked_before = list(engine.asked)
    executable.unlink()
    second = servers.own(tmp_path / "server", "NO SERVER")
    for server in (first, second):
        server.__exit__()

    assert (named, type(first), type(second)) == ("http://qdrant.example:6333", OwnServer, ContainerServer)
    assert asked_before == []


def test_a_container_with_a_network_of_its_own_is_not_told_to_call_back(
    play: Callable[..., PlayedEngine], tmp_path: Path
) -> None:
    play(IMAGE)
    with pytest.raises(pytest.skip.Exception, match="does not reach the loopback interface"):
        Servers(tmp_path).own(tmp_path / "server", "NO SERVER", calls_back=True)


# ----------------------------------------------------------------------------------------------------------
# The container


def test_its_ports_are_published_on_the_loopback_interface_alone(
    play: Callable[..., PlayedEngine], tmp_path: Path
) -> None:
    engine = play(IMAGE)
    found = find_engine(tmp_path)
    engine.seen.clear()
    how: Any = {"environment": {"QDRANT__LOG_LEVEL": "debug"}, "files": {"QDRANT__TLS__CERT": "a certificate"}}
    with ContainerServer(found, tmp_path / "server", **how) as server:
        ports = (server.port, server.grpc_port)

    bindings = {f"{port}/tcp": [{"HostIp": HOST, "HostPort": str(port)}] for port in ports}
    assert engine.created["HostConfig"]["PortBindings"] == bindings
    assert engine.created["Labels"] == {LABEL: f"{socket.gethostname()}:{os.getpid()}"}
    assert sorted(engine.created["Env"]) == [
        "QDRANT__LOG_LEVEL=debug",
        "QDRANT__SERVICE__GRPC_PORT=" + str(ports[1]),
        "QDRANT__SERVICE__HOST=0.0.0.0",
        "QDRANT__SERVICE__HTTP_PORT=" + str(ports[0]),
        "QDRANT__TELEMETRY_DISABLED=true",
        "QDRANT__TLS__CERT=/test-files/QDRANT__TLS__CERT",
    ]
    (copied,) = [body for call, _, body in engine.seen if call == "PUT /containers/it/archive"]
    with tarfile.open(fileobj=io.BytesIO(copied)) as archive:
        member = archive.extractfile("test-files/QDRANT__TLS__CERT")
        assert member is not None
        assert member.read() == b"a certificate"
    assert [call for call in engine.asked if not call.startswith("GET ")] == [
        "POST /containers/create",
        "PUT /containers/it/archive",
        "POST /containers/it/start",
        "POST /containers/it/kill",
        "POST /containers/it/wait",
        "DELETE /containers/it",
    ]


def test_an_engine_without_a_network_of_containers_lends_that_of_the_machine(
    play: Callable[..., PlayedEngine], tmp_path: Path
) -> None:
    engine = play(IMAGE, networks=("host", "null"))
    assert not find_engine(tmp_path).has_bridge
    assert engine.created["HostConfig"]["NetworkMode"] == "host"
    assert f"QDRANT__SERVICE__HOST={HOST}" in engine.created["Env"]


def test_what_a_killed_run_left_behind_is_removed_and_nothing_else(
    play: Callable[..., PlayedEngine], tmp_path: Path
) -> None:
    engine = play(IMAGE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    machine = socket.gethostname()
    engine.leftovers = [f"{machine}:{gone.pid}", f"{machine}:{os.getpid()}", f"elsewhere:{gone.pid}"]
    find_engine(tmp_path)
    removed = [call for call in engine.asked if call.startswith("DELETE ")]
    assert removed == [f"DELETE /containers/{machine}:{gone.pid}", "DELETE /containers/it"]
    assert all("force=True" in query for call, query, _ in engine.seen if call.startswith("DELETE "))


# ----------------------------------------------------------------------------------------------------------
# A real one


@pytest.fixture(name="engine", scope="module")
def _engine(servers: Servers) -> Engine:
    if isinstance(servers.engine, str):
        pytest.skip(f"NO CONTAINER TO TEST: {servers.engine}")
    return servers.engine


def test_a_container_that_was_killed_or_frozen_goes_on_with_its_data(engine: Engine, tmp_path: Path) -> None:
    with ContainerServer(engine, tmp_path / "server") as server:
        target = ServerTarget(server.url)
        target.seed(4, [{"id": 1, "vector": [1, 0, 0, 0], "payload": {"kind": "a"}}])
        found = [target.points()]
        for number in range(3):
            if number:
                server.freeze()
            if number == 2:
                server.thaw()
                server.thaw()
                found.append(target.points())
            server.kill()
            assert not server.is_running
            server.start()
            found.append(target.points())
        with_label = engine.client.containers.list(filters={"label": f"{LABEL}={socket.gethostname()}:{os.getpid()}"})

    assert [[each["payload"] for each in points or []] for points in found] == [[{"kind": "a"}]] * 5
    assert len(with_label) == 1
    left = engine.client.containers.list(all=True, filters={"id": with_label[0].id})
    assert (left, server.is_running) == ([], False)
    assert "Qdrant" in server.log.read_text(encoding="utf-8")


def test_a_container_that_ends_by_itself_says_why(engine: Engine, tmp_path: Path) -> None:
    environment = {"QDRANT__STORAGE__STORAGE_PATH": "/dev/null/nowhere"}
    with (
        pytest.raises(RuntimeError, match=r"(?s)qdrant ended with \d+: .*/dev/null/nowhere"),
        ContainerServer(engine, tmp_path / "server", environment=environment),
    ):
        raise AssertionError("it was never ready")
