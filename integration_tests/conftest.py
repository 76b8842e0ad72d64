"""What the integration tests share: the connector as a subprocess, and the kinds of Qdrant it is run against."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from wire_double import WireDouble

MAIN = Path(__file__).parent.parent / "main.py"

Json = dict[str, Any]


# ----------------------------------------------------------------------------------------------------------
# The connector


@dataclass(frozen=True, slots=True)
class Finished:
    """What one run of the connector said and did."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def messages(self) -> list[Json]:
        """What was said; every line on stdout is one JSON message, whatever happens."""
        messages = [json.loads(line) for line in self.stdout.splitlines()]
        assert all(isinstance(message.get("type"), str) for message in messages)
        return messages

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def error(self) -> Json | None:
        traces = [message["trace"]["error"] for message in self.of("TRACE")]
        assert len(traces) <= 1
        return traces[0] if traces else None

    @property
    def log(self) -> list[str]:
        return [f"{message['log']['level']} {message['log']['message']}" for message in self.of("LOG")]


class Connector:
    """Runs the command line in an environment that has nothing but a PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment = {"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir()}

    def command(self, name: str, **files: Any) -> list[str]:
        """The words of a command; each keyword becomes a JSON file and an option."""
        words = [sys.executable, str(MAIN), name]
        for option, content in files.items():
            path = self._folder / f"{option}-{uuid.uuid4().hex}.json"  # noqa: TID251 -- a file name, not a point id
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
            words += [f"--{option}", str(path)]
        return words

    def run(self, name: str, stdin: bytes = b"", *, timeout: float = 120, **files: Any) -> Finished:
        done = subprocess.run(
            self.command(name, **files),
            input=stdin,
            capture_output=True,
            env=self.environment,
            cwd=self._folder,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr.decode())

    def start(self, name: str, **files: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(name, **files),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=self._folder,
        )


@pytest.fixture(name="connector")
def _connector(tmp_path: Path) -> Connector:
    return Connector(tmp_path)


# ----------------------------------------------------------------------------------------------------------
# The Qdrants


class Target(Protocol):
    """A Qdrant with one collection of its own, looked at without the connector's code."""

    def indexing(self) -> Json: ...
    def points(self) -> list[Json] | None: ...
    def seed(self, vector_size: int, points: list[Json]) -> None: ...


class EmbeddedTarget:
    """A folder, opened with the engine itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "qdrant"

    def indexing(self) -> Json:
        return {"url": self.folder.as_uri(), "collection": "docs"}

    def points(self) -> list[Json] | None:
        """The stored points: id and payload; None when there is no collection."""
        import qdrant_edge

        shard = self.folder / "docs" / "shard"
        if not shard.exists():
            return None
        engine = qdrant_edge.EdgeShard.load(str(shard))
        try:
            records, more = engine.scroll(qdrant_edge.ScrollRequest(limit=100_000, with_payload=True, with_vector=True))
        finally:
            engine.close()
        assert more is None
        return [{"id": str(each.id), "payload": each.payload, "vector": each.vector} for each in records]

    def seed(self, vector_size: int, points: list[Json]) -> None:
        import qdrant_edge

        from destination_qdrant.qdrant.base import VectorSchema
        from destination_qdrant.qdrant.embedded import open_embedded

        store = open_embedded(self.folder, "docs")
        store.create({"": VectorSchema("dense", vector_size, "cos")})
        store.close()
        engine = qdrant_edge.EdgeShard.load(str(self.folder / "docs" / "shard"))
        made = [qdrant_edge.Point(each["id"], each["vector"], each["payload"]) for each in points]
        engine.update(qdrant_edge.UpdateOperation.upsert_points(made))
        engine.close()


class ServerTarget:
    """A server, or what looks like one on the wire, asked over plain HTTP."""

    def __init__(self, url: str, *, prefer_grpc: bool = False) -> None:
        self.url = url.rstrip("/")
        self.prefer_grpc = prefer_grpc
        self.collection = f"test-{uuid.uuid4().hex}"  # noqa: TID251 -- a collection's name, not a point id

    def indexing(self) -> Json:
        return {"url": self.url, "collection": self.collection, "prefer_grpc": self.prefer_grpc}

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 -- a loopback URL of the test itself
            f"{self.url}/collections/{self.collection}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- same
            return json.load(answer)["result"]

    def points(self) -> list[Json] | None:
        if not self.ask("GET", "/exists")["exists"]:
            return None
        asked = {"limit": 100_000, "with_payload": True, "with_vector": True}
        return [{**each, "id": str(each["id"])} for each in self.ask("POST", "/points/scroll", asked)["points"]]

    def seed(self, vector_size: int, points: list[Json]) -> None:
        self.ask("PUT", "", {"vectors": {"size": vector_size, "distance": "Cosine"}})
        self.ask("PUT", "/points?wait=true", {"points": points})

    def remove(self) -> None:
        self.ask("DELETE", "")


@pytest.fixture(name="target", params=["embedded", "double", "server-rest", "server-grpc"])
def _target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if request.param == "embedded":
        yield EmbeddedTarget(tmp_path)
    elif request.param == "double":
        with WireDouble() as double:
            yield ServerTarget(double.url)
    else:
        url = os.environ.get("QDRANT_URL")
        if not url:
            pytest.skip("QDRANT_URL is not set, so there is no real server to test against")
        server = ServerTarget(url, prefer_grpc=request.param == "server-grpc")
        yield server
        server.remove()
