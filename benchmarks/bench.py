"""Throughput and memory of a sync through the command line into an embedded Qdrant.

    python benchmarks/bench.py [--records N]

Each workload runs once with a single record, to know what starting costs, and once with all of them. The marginal
figures are the difference: CPU of the connector and its engine per record, and the peak of resident memory.
Compare figures of one machine and one hour only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAIN = Path(__file__).parent.parent / "main.py"


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of input: how to embed, how to sync, and what the n-th record holds."""

    name: str
    embedding: dict[str, Any]
    mode: str
    record: Callable[[random.Random, int], dict[str, Any]]
    states_every: int = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def vector(dimensions: int) -> Callable[[random.Random, int], dict[str, Any]]:
    """Records with a precomputed vector and a few fields."""

    def record(chance: random.Random, number: int) -> dict[str, Any]:
        values = [round(chance.uniform(-1, 1), 8) for _ in range(dimensions)]
        return {"id": number, "title": f"title {number}", "group": number % 7, "vector": values}

    return record


def text(chance: random.Random, number: int) -> dict[str, Any]:
    """Records of about 2 kB of text."""
    words = " ".join(chance.choice(_WORDS) for _ in range(330))
    return {"id": number, "title": f"title {number}", "body": words}


_WORDS = (
    "the",
    "sync",
    "reads",
    "a",
    "record",
    "from",
    "its",
    "source",
    "and",
    "writes",
    "one",
    "point",
    "per",
    "chunk",
)

WORKLOADS = (
    Workload(
        "384 dimensions", {"mode": "from_field", "field_name": "vector", "dimensions": 384}, "append", vector(384)
    ),
    Workload(
        "1536 dimensions", {"mode": "from_field", "field_name": "vector", "dimensions": 1536}, "append", vector(1536)
    ),
    Workload("tiny", {"mode": "from_field", "field_name": "vector", "dimensions": 8}, "append", vector(8)),
    Workload(
        "tiny, a STATE every 10",
        {"mode": "from_field", "field_name": "vector", "dimensions": 8},
        "append",
        vector(8),
        10,
    ),
    Workload(
        "tiny, deduplicated", {"mode": "from_field", "field_name": "vector", "dimensions": 8}, "append_dedup", vector(8)
    ),
    Workload("text of 2 kB, fake embedder", {"mode": "fake"}, "append", text),
)


def lines(workload: Workload, records: int) -> Iterator[bytes]:
    """The input of a run; the same for the same workload."""
    chance = random.Random(workload.name)  # noqa: S311 -- repeatable, not secret
    for number in range(records):
        data = workload.record(chance, number)
        yield (
            json.dumps({"type": "RECORD", "record": {"stream": "bench", "data": data, "emitted_at": 1}}).encode()
            + b"\n"
        )
        if number % workload.states_every == workload.states_every - 1:
            state = {
                "type": "STREAM",
                "stream": {"stream_descriptor": {"name": "bench"}, "stream_state": {"n": number}},
            }
            yield json.dumps({"type": "STATE", "state": state}).encode() + b"\n"


def run(workload: Workload, records: int, folder: Path) -> Cost:
    """One run of the connector as a process of its own."""
    config = {
        "embedding": workload.embedding,
        "processing": {"chunk_size": 100, "text_fields": ["body"] if workload.record is text else ["title"]},
        "indexing": {"url": (folder / "qdrant").as_uri(), "collection": "bench"},
    }
    stream = {"name": "bench", "json_schema": {}}
    catalog = {"streams": [{"stream": stream, "destination_sync_mode": workload.mode, "primary_key": [["id"]]}]}
    paths = []
    for name, content in (("config", config), ("catalog", catalog)):
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    source = folder / "messages.jsonl"
    with source.open("wb") as file:
        file.writelines(lines(workload, records))
    command = [sys.executable, str(MAIN), "write", "--config", str(paths[0]), "--catalog", str(paths[1])]
    started = time.monotonic()
    with source.open("rb") as stdin:
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own program
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{workload.name}: the connector failed with exit code {process.returncode}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Run every workload and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000, help="records per workload (5000)")
    records = parser.parse_args().records
    print(f"{'workload':32} {'records/s':>10} {'CPU us/record':>14} {'start-up s':>11} {'peak MB':>8}")
    for workload in WORKLOADS:
        with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as full:
            start = run(workload, 1, Path(empty))
            whole = run(workload, records, Path(full))
        rate = records / max(whole.wall_seconds - start.wall_seconds, 1e-9)
        marginal = (whole.cpu_seconds - start.cpu_seconds) / records * 1e6
        print(f"{workload.name:32} {rate:10,.0f} {marginal:14,.0f} {start.wall_seconds:11.1f} {whole.peak_mb:8,.0f}")


if __name__ == "__main__":
    main()
