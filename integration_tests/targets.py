"""The kinds of Qdrant that the connector is run against, each with one collection, looked at without the connector's code."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from command_line import Json

NO_SERVER = "NO REAL SERVER TO TEST AGAINST: QDRANT_URL is not set, and no executable called qdrant is on the PATH"


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


@contextmanager
def copy_of_folder(base: Target) -> Iterator[Target]:
    """A folder of its own, with what another one holds; removed in the end."""
    assert isinstance(base, EmbeddedTarget)
    base.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="copy-", dir=base.folder.parent) as folder:
        copy = EmbeddedTarget(Path(folder))
        if base.folder.exists():
            shutil.copytree(base.folder, copy.folder)
        yield copy


@contextmanager
def copy_on_server(base: Target) -> Iterator[Target]:
    """A collection of its own, with the points of another one; removed in the end."""
    assert isinstance(base, ServerTarget)
    copy = ServerTarget(base.url, prefer_grpc=base.prefer_grpc)
    points = base.points()
    if points:
        copy.seed(len(points[0]["vector"]), points)
    try:
        yield copy
    finally:
        copy.remove()
