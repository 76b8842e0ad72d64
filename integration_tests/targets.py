"""The kinds of Qdrant that the connector is run against, each with one collection, looked at without the connector's code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from command_line import Json

NO_SERVER = "NO REAL SERVER TO TEST AGAINST"
NO_STRICT_SERVER = "NO REAL SERVER WITH STRICT MODE TO TEST AGAINST"

#: Every kind of Qdrant, each way to speak to it, without and with strict mode in new collections.
CONFIGURATIONS = (
    "embedded",
    *(
        f"{kind}-{transport}{strict}"
        for kind in ("double", "server")
        for transport in ("rest", "grpc")
        for strict in ("", "-strict")
    ),
)

#: Strict mode of new collections: limits that any larger request exceeds.
STRICT: Json = {
    "enabled": True,
    "upsert_max_batchsize": 5,
    "max_query_limit": 7,
    "condition_max_size": 10,
    "filter_max_conditions": 8,
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "max_payload_index_count": 10,
    "search_allow_exact": False,
}

#: The same as the settings of a real server, in the environment that it is started in.
STRICT_ENVIRONMENT = {
    f"QDRANT__STORAGE__COLLECTION__STRICT_MODE__{name.upper()}": json.dumps(value) for name, value in STRICT.items()
}


_NO_LIMIT = 100_000


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

        collection = self.folder / "docs"
        if not (
            collection / "collection.json"
        ).exists():  # written last: a kill may have left half of a shard before it
            return None
        engine = qdrant_edge.EdgeShard.load(str(collection / "shard"))
        try:
            records, more = engine.scroll(qdrant_edge.ScrollRequest(limit=100_000, with_payload=True, with_vector=True))
        finally:
            engine.close()
        assert more is None
        return [{"id": str(each.id), "payload": each.payload, "vector": each.vector} for each in records]

    def seed(self, vector_size: int, points: list[Json]) -> None:
        import qdrant_edge

        from destination_qdrant.qdrant.base import VectorSchema
        from destination_qdrant.qdrant.embedded.store import open_embedded

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
        found: list[Json] = []
        asked = {"limit": self._allowed("max_query_limit"), "with_payload": True, "with_vector": True}
        while True:
            page = self.ask("POST", "/points/scroll", asked)
            found += ({**each, "id": str(each["id"])} for each in page["points"])
            if page["next_page_offset"] is None:
                return found
            asked["offset"] = page["next_page_offset"]

    def seed(self, vector_size: int, points: list[Json], metadata: Json | None = None) -> None:
        more = {"metadata": metadata} if metadata else {}
        self.ask("PUT", "", {"vectors": {"size": vector_size, "distance": "Cosine"}, **more})
        step = self._allowed("upsert_max_batchsize")
        for start in range(0, len(points), step):
            self.ask("PUT", "/points?wait=true", {"points": points[start : start + step]})

    @property
    def metadata(self) -> Json:
        """What is kept about the collection."""
        return self.ask("GET", "")["config"].get("metadata") or {}

    @property
    def strict_mode(self) -> Json:
        """The limits of the collection; none where strict mode is off."""
        settings = self.ask("GET", "")["config"].get("strict_mode_config") or {}
        return settings if settings.get("enabled") else {}

    def _allowed(self, limit: str) -> int:
        return self.strict_mode.get(limit) or _NO_LIMIT

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
            shutil.copytree(base.folder, copy.folder, copy_function=_copy_without_holes)
        yield copy


def _copy_without_holes(source: str, target: str) -> None:
    """Copy what was written: of the 160 MB that the engine's files seem to have for a few points, that is 1 MB."""
    with Path(source).open("rb", buffering=0) as old, Path(target).open("wb", buffering=0) as new:
        new.truncate(os.fstat(old.fileno()).st_size)
        for start, end in _written(old.fileno()):
            os.pwrite(new.fileno(), os.pread(old.fileno(), end - start, start), start)


def _written(descriptor: int) -> Iterator[tuple[int, int]]:
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing more was
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


@contextmanager
def copy_on_server(base: Target) -> Iterator[Target]:
    """A collection of its own, with the points of another one; removed in the end."""
    assert isinstance(base, ServerTarget)
    copy = ServerTarget(base.url, prefer_grpc=base.prefer_grpc)
    points = base.points()
    if points:
        copy.seed(len(points[0]["vector"]), points, base.metadata)
    try:
        yield copy
    finally:
        copy.remove()
