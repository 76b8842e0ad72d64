"""How fast the connector loads into a real Qdrant, beside who only sends the same points: `make bench ARGS="--server URL"`.

The server's own work is the limit then, and it shares the machine. Each workload is loaded by three: the connector, without
its start; a loader that sends the very same requests and does nothing else; and qdrant-client's uploader (`loaders.py`).
Each has a collection of its own, of one name, and the best of several rounds counts. The other table is about deduplication:
what a batch costs when 10,000 points are stored, and when a million are.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring import HERE, serving, write, write_file
from workloads import WORKLOADS, Json, Workload

NAMES = ("384 dimensions", "1536 dimensions", "tiny")
GOAL = 0.85
FEW, MANY = 10_000, 1_000_000
BATCHES, BATCH = 20, 512
MOST_DEARER = 1.3


def ask(url: str, method: str, path: str, body: Json | None = None) -> Any:
    """One request to the server."""
    request = urllib.request.Request(  # noqa: S310 -- the user's own server
        f"{url}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 -- the user's own server
        return json.load(answer)["result"]


def fresh(url: str, workload: Workload) -> Json:
    """A collection as the connector makes it, without points; returns the configuration that writes to it."""
    ask(url, "DELETE", "/collections/bench")
    config = workload.config({"url": url, "collection": "bench", "prefer_grpc": True}, None)
    write(workload, 0, config)
    return config


def loaded(url: str, workload: Workload, records: int, kept: Path) -> dict[str, float]:
    """Seconds that each of the three took."""
    config = fresh(url, workload)
    start = min(write(workload, 1, config).wall for _ in range(2))
    config = fresh(url, workload)
    seconds = {"connector": write(workload, records, config).wall - start}
    _check(url, records)
    for loader in ("raw", "client"):
        fresh(url, workload)
        words = [sys.executable, str(HERE / "loaders.py"), loader, url, str(kept)]
        seconds[loader] = float(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603 -- our own program
        _check(url, records)
    ask(url, "DELETE", "/collections/bench")
    return seconds


def _check(url: str, records: int) -> None:
    found = ask(url, "POST", "/collections/bench/points/count", {"exact": True})["count"]
    if found != records:
        sys.exit(f"{found:,} points are stored, not {records:,}")


def compare(url: str, scale: float, rounds: int) -> Iterator[str]:
    """The first table; yields what misses its mark."""
    print(
        f"{'into a real server':30} {'connector/s':>12} {'raw/s':>10} {'client/s':>10} {'of raw':>7} {'of client':>9}"
    )
    for workload in (each for each in WORKLOADS if each.name in NAMES):
        records = round(workload.records * scale)
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "upserts"
            with serving("null_sink", "--keep", str(kept)) as sink:
                write(
                    workload, records, workload.config({"url": sink, "collection": "bench", "prefer_grpc": True}, None)
                )
            found = [loaded(url, workload, records, kept) for _ in range(rounds)]
        rate = {name: records / min(each[name] for each in found) for name in found[0]}
        share = rate["connector"] / rate["raw"]
        print(
            f"{workload.name:30} {rate['connector']:12,.0f} {rate['raw']:10,.0f} {rate['client']:10,.0f} {share:7.2f} "
            f"{rate['connector'] / rate['client']:9.2f}",
            flush=True,
        )
        if share < GOAL:
            yield f"{workload.name}: {share:.2f} of the raw loader, not {GOAL}"


# ------------------------------------------------------------------------------------------------------------
# Deduplication among many points


def dedup(url: str) -> Iterator[str]:
    """What a batch of changed records costs among few points and among many; yields what misses its mark."""
    workload = next(each for each in WORKLOADS if each.name == "tiny, append_dedup")
    config = fresh(url, workload)
    catalog = workload.catalog()
    start = _synced(config, catalog, [0])
    seconds = {}
    stored = 1
    for size in (FEW, MANY):
        _synced(config, catalog, range(stored, size))
        stored = size
        _wait_until_green(url)
        chance = random.Random(size)  # noqa: S311 -- repeatable, not secret
        rounds = [chance.sample(range(size), BATCHES * BATCH // 2) for _ in range(3)]
        seconds[size] = min(
            _synced(config, catalog, keys, f"changed {turn}") - start for turn, keys in enumerate(rounds)
        )
        a_batch = seconds[size] / (BATCHES / 2) * 1000
        print(f"{f'dedup among {size:,} points':30} {a_batch:8.1f} ms for a batch of {BATCH}", flush=True)
    ask(url, "DELETE", "/collections/bench")
    dearer = seconds[MANY] / seconds[FEW]
    print(f"{'':30} {dearer:8.2f} times")
    if dearer > MOST_DEARER:
        yield f"dedup: {dearer:.2f} times as dear among {MANY:,} points, not {MOST_DEARER}"


def _wait_until_green(url: str) -> None:
    """Return when the server has merged and indexed what was loaded: that work would be measured too."""
    while ask(url, "GET", "/collections/bench")["status"] != "green":
        time.sleep(1)


def _synced(config: Json, catalog: Json, keys: Sequence[int], title: str = "first") -> float:
    """Seconds for a sync of the records with these keys."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "messages"
        with source.open("w") as file:
            file.writelines(_line(key, title) for key in keys)
        return write_file(source, config, catalog).wall


def _line(key: int, title: str) -> str:
    vector = f"[0.1,0.2,0.3,0.4,0.5,0.6,0.7,{key % 97 / 100}]"
    data = f'{{"id":{key},"title":"{title} {key}","group":{key % 7},"vector":{vector}}}'
    return f'{{"type":"RECORD","record":{{"stream":"bench","data":{data},"emitted_at":1764547200000}}}}\n'


def problems(url: str, scale: float, rounds: int) -> list[str]:
    """Measure everything against this server; returns what misses its mark."""
    try:
        ask(url, "GET", "/collections")
    except (urllib.error.URLError, ValueError) as error:
        sys.exit(f"No Qdrant answers at {url} ({error}).")
    return [*compare(url.rstrip("/"), scale, rounds), *dedup(url.rstrip("/"))]
