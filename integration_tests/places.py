"""Where the stores of a test are opened: by the configuration, on a double or on a real server; and what goes into them."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from command_line import Json
from wire_double import WireDouble
from wire_requests import Request

from destination_qdrant.config import parse_config
from destination_qdrant.qdrant import open_store
from destination_qdrant.qdrant.base import Equals, PayloadIndex, Point, Store, VectorSchema, Where
from destination_qdrant.vectors import Dense

FLAT = {"": VectorSchema("dense", 2, "cos")}
KEYS = {"stream": PayloadIndex("keyword"), "key": PayloadIndex("keyword"), "generation": PayloadIndex("integer")}
ALL = Where((Equals("stream", "s"),))


@dataclass(frozen=True, slots=True)
class Place:
    """A server, or what looks like one, with one collection name for the test."""

    url: str
    over_grpc: bool
    collection: str
    double: WireDouble | None = None

    def config(self, **indexing: Any) -> Json:
        """A whole configuration."""
        said = {"url": self.url, "collection": self.collection, "prefer_grpc": self.over_grpc, **indexing}
        embedding = {"mode": "from_field", "field_name": "v", "dimensions": 2}
        return {"processing": {"chunk_size": 1}, "embedding": embedding, "indexing": said}

    @contextmanager
    def store(self, *, sleep: Callable[[float], object] = time.sleep, **indexing: Any) -> Iterator[Store]:
        config = parse_config(self.config(**indexing))
        with closing(open_store(config.indexing, read_only=False, sleep=sleep)) as store:
            assert store.notes == ()
            yield store

    def ask(self, method: str, path: str = "", body: Json | None = None) -> Any:
        """A request that is not the connector's."""
        request = urllib.request.Request(  # noqa: S310 -- a loopback URL of the test itself
            f"{self.url}/collections/{self.collection}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- same
            return json.load(answer)["result"]

    def create(self, **more: Any) -> None:
        self.ask("PUT", body={"vectors": {"size": 2, "distance": "Cosine"}, **more})

    def requests(self, pattern: str) -> list[Request]:
        """What the double was asked; nothing of a real server."""
        return [each for each in self.double.log if each.is_like(pattern)] if self.double else []


@contextmanager
def place_of(request: pytest.FixtureRequest) -> Iterator[Place]:
    """What the parameter of a fixture names, "double" or "server", "-", and "rest" or "grpc"."""
    kind, _, transport = request.param.partition("-")
    name = f"test-{uuid.uuid4().hex}"  # noqa: TID251 -- a collection's name, not a point id
    if kind == "double":
        with WireDouble(grpc=transport == "grpc") as double:
            yield Place(double.url, transport == "grpc", name, double)
        return
    url = request.getfixturevalue("server_url")
    place = Place(url, transport == "grpc", name)
    yield place
    place.ask("DELETE")


def points(count: int, **payload: Any) -> list[Point]:
    return [
        Point(number, {"": Dense.of([1, number])}, {"stream": "s", "key": f"k{number}", "generation": 1, **payload})
        for number in range(count)
    ]
