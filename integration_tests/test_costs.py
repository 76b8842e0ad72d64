"""What a sync may cost, by counting: requests, models, memory, and what is read while nothing can be written.

How long things take is measured by `make bench`.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Connector, Json
from pydantic import BaseModel
from running_write import jsonl
from targets import ServerTarget
from wire_double import WireDouble

from destination_qdrant.qdrant.base import Point, VectorSchema
from destination_qdrant.qdrant.server.access import Access
from destination_qdrant.qdrant.server.store import open_server
from destination_qdrant.vectors import Dense

ROOT = Path(__file__).resolve().parent.parent
MAIN = ROOT / "main.py"
STREAM = {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "append"}
CATALOG = {"streams": [STREAM]}
MB = 1024 * 1024


def config(indexing: Json, dimensions: int) -> Json:
    embedding = {"mode": "from_field", "field_name": "v", "dimensions": dimensions}
    return {"embedding": embedding, "processing": {"chunk_size": 100}, "indexing": indexing}


def record(number: int) -> Json:
    return {"type": "RECORD", "record": {"stream": "docs", "data": {"id": number, "v": [1, 2]}, "emitted_at": 1}}


def state(number: int) -> Json:
    stream = {"stream_descriptor": {"name": "docs"}, "stream_state": {"n": number}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}


@contextmanager
def sink(*options: str) -> Iterator[str]:
    """A server that keeps nothing; with `--held` it answers no upsert until it is told to."""
    words = [sys.executable, str(ROOT / "benchmarks" / "null_sink.py"), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def ask(url: str, path: str) -> Json:
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:  # noqa: S310 -- a loopback URL of our own
        found: Json = json.load(answer)
    return found


# ----------------------------------------------------------------------------------------------------------


def test_a_state_costs_no_request(quick_connector: Connector) -> None:
    upserts = []
    for states_every in (1, 10, 2_000):
        messages = []
        for number in range(1, 2_001):
            messages.append(record(number))
            if number % states_every == 0:
                messages.append(state(number))
        with WireDouble() as double:
            target = config(ServerTarget(double.url).indexing(), 2)
            finished = quick_connector.run("write", jsonl(*messages), config=target, catalog=CATALOG)
            upserts.append(len([each for each in double.log if each.is_like("PUT /collections/[^/]+/points$")]))
        assert finished.code == 0, finished.error
        assert [each["state"]["id"] for each in finished.of("STATE")] == list(range(states_every, 2_001, states_every))
    assert upserts == [4, 4, 4]


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_no_model_is_made_of_a_point(monkeypatch: pytest.MonkeyPatch, *, prefer_grpc: bool) -> None:
    """A model of pydantic takes longer than everything else that is done for a point."""
    made: list[str] = []

    def counting(maker: Any) -> Any:
        def counted(model: Any, *arguments: Any, **fields: Any) -> Any:
            made.append(type(model).__name__ if isinstance(model, BaseModel) else model.__name__)
            return maker(model, *arguments, **fields)

        return counted

    monkeypatch.setattr(BaseModel, "__init__", counting(BaseModel.__init__))
    for name in ("model_construct", "model_validate"):
        maker = getattr(BaseModel, name).__func__
        monkeypatch.setattr(BaseModel, name, classmethod(counting(maker)))
    with sink() as url:  # in another process: a double makes models too
        store = open_server(Access(url, prefer_grpc=prefer_grpc), "docs")
        store.create({"": VectorSchema("dense", 2, "cos")})
        store.upsert([Point(0, {"": Dense.of([1, 2])}, {})])  # what is looked up once
        counts = []
        for count in (1, 500):
            points = [Point(number, {"": Dense.of([1, 2])}, {"n": number, "text": "a"}) for number in range(count)]
            before = len(made)
            store.upsert(points)
            counts.append(len(made) - before)
        store.close()
        assert ask(url, "/_seen")["requests"] == 3
    assert counts[0] == counts[1], made[-20:]


# ----------------------------------------------------------------------------------------------------------
# Memory

#: Of one line, as a provider's JSON has numbers.
NUMBERS = ",".join(repr((number - 768) / 7_777) for number in range(1536))
INPUT = 500 * MB
REQUESTS_IN_FLIGHT = 4
MOST_RESIDENT_MB = 300
#: Beyond this the process is refused memory: what it has mapped privately, the stacks of its threads among it.
MOST_MAPPED = 900 * MB

#: Runs a program with so much memory, and writes the most kilobytes that were resident into a file. A process of its own,
#: because what a child is said to have had begins with what its parent has: half a gigabyte here.
MEASURING = """
import os, resource, sys
most, told, *words = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_DATA, (int(most), int(most)))
_, status, usage = os.wait4(os.posix_spawn(words[0], words, os.environ), 0)
with open(told, "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def lines() -> Iterator[bytes]:
    """500 MB of records."""
    size = number = 0
    while size < INPUT:
        number += 1
        line = (
            f'{{"type":"RECORD","record":{{"stream":"docs","data":{{"id":{number},"v":[{NUMBERS}]}},"emitted_at":1}}}}\n'
        ).encode()
        size += len(line)
        yield line
    yield jsonl(state(number))


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
def test_the_reader_stops_when_nothing_can_be_written_and_memory_stays_bounded(
    tmp_path: Path, *, prefer_grpc: bool
) -> None:
    """Half a gigabyte comes in while the server answers nothing: the source is held up, and not the memory filled."""
    with sink("--held") as url:
        words = [sys.executable, str(MAIN), "write"]
        indexing = {"url": url, "collection": "docs", "prefer_grpc": prefer_grpc}
        for option, content in (("config", config(indexing, 1536)), ("catalog", CATALOG)):
            (tmp_path / option).write_text(json.dumps(content))
            words += [f"--{option}", str(tmp_path / option)]
        measured = [sys.executable, "-c", MEASURING, str(MOST_MAPPED), str(tmp_path / "measured"), *words]
        with (tmp_path / "said").open("wb") as said:
            process = subprocess.Popen(measured, stdin=subprocess.PIPE, stdout=said)
        assert process.stdin
        fed = _Feeder(process.stdin)
        while (
            ask(url, "/_seen")["most_in_flight"] < REQUESTS_IN_FLIGHT
        ):  # nothing is read before the collection is ready
            fed.join(0.05)
        fed.wait_until_stuck()
        stuck_at = fed.size
        ask(url, "/_release")
        fed.join()
        process.wait()
        seen = ask(url, "/_seen")
    assert process.returncode == 0, (tmp_path / "said").read_text()[-2_000:]
    assert stuck_at < INPUT / 2
    assert fed.size >= INPUT
    assert seen["points"] == fed.records
    assert b'"STATE"' in (tmp_path / "said").read_bytes()
    assert int((tmp_path / "measured").read_text()) / 1024 < MOST_RESIDENT_MB


class _Feeder(threading.Thread):
    """Writes the lines into a pipe, as fast as they are taken."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self.size = self.records = 0
        self.start()

    def run(self) -> None:
        with self._pipe:
            for line in lines():
                self._pipe.write(line)
                self.size += len(line)
                self.records += line.startswith(b'{"type":"RECORD"')

    def wait_until_stuck(self) -> None:
        """Return when the pipe has been full for a while: nobody reads at its other end."""
        is_writable = select.poll()
        is_writable.register(self._pipe.fileno(), select.POLLOUT)
        while self.is_alive() and is_writable.poll(2_000):
            self.join(0.05)
