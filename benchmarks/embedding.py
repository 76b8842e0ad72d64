"""How well a sync keeps a provider of embeddings busy, against one on this machine that answers after 150 ms.

    python benchmarks/embedding.py [--texts N] [--skip-caps]

Each run is the whole connector, through the command line into an embedded Qdrant, with the provider in a process of
its own. Its time is counted from the first request that reaches the provider until the connector has ended, so that
starting it is left out. The rows:

    in flight 1, 8    the same texts, sixteen to a request; the vectors have to be the same, and the ratio at least 6
    capped            `tokens_per_minute` of the configuration, and the same limit of a provider that refuses with 429;
                      the time over what the limit allows at best, at most 1.15

A row that misses its mark ends the program with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "integration_tests"))  # the test folders are no packages

from provider_limits import count_tokens
from targets import EmbeddedTarget

ROOT = Path(__file__).parent.parent

Json = dict[str, Any]

LATENCY = 0.15
BATCH = 16
DIMENSIONS = 256
LEAST_SPEEDUP = 6.0
MOST_OVER_MINIMUM = 1.15

#: Each of them one token of cl100k_base.
_WORDS = ("the", "sync", "reads", "a", "record", "from", "its", "source", "and", "writes", "one", "point", "per")
WORDS_IN_A_TEXT = 40

#: At this limit, the texts of a capped run take 20 seconds.
CAPPED_SECONDS = 20
CAPPED_TEXTS = 1_000
#: How much of a minute's limit the provider lets through at once.
BURST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """One run: its texts, the options of `embedding.requests`, and the provider's."""

    name: str
    texts: int
    requests: Json
    provider: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What the provider has seen, how long it took, and what is stored."""

    seen: Json
    seconds: float
    vectors: dict[int, tuple[str, list[float]]]


# ------------------------------------------------------------------------------------------------------------
# A run


def texts(count: int) -> list[str]:
    """Different texts, the same in each run, of the same length in tokens."""
    chance = random.Random(0)  # noqa: S311 -- repeatable, not secret
    return [" ".join(chance.choice(_WORDS) for _ in range(WORDS_IN_A_TEXT)) for _ in range(count)]


def embedded_tokens(count: int) -> int:
    """What the provider counts; each text is embedded with the name of its field before it."""
    return sum(count_tokens(f"body: {text}") for text in texts(count))


@contextmanager
def provider(options: Sequence[str]) -> Iterator[str]:
    """The provider as a process of its own; gives its address."""
    program = ROOT / "integration_tests" / "provider_server.py"
    words = [sys.executable, str(program), "--latency", str(LATENCY), "--dimensions", str(DIMENSIONS), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own program
        assert process.stdout  # noqa: S101 -- it is a pipe
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def lines(count: int) -> bytes:
    """The input of a run."""
    records = (
        {"stream": "bench", "emitted_at": 1, "data": {"id": n, "body": each}} for n, each in enumerate(texts(count))
    )
    return b"".join(json.dumps({"type": "RECORD", "record": record}).encode() + b"\n" for record in records)


def run(workload: Workload) -> Done:
    """One run of the connector against a provider of its own."""
    with tempfile.TemporaryDirectory() as name, provider(workload.provider) as url:
        folder = Path(name)
        target = EmbeddedTarget(folder)
        ended = _write(folder, target, url, workload)
        seen = _seen(url)
        stored = {each["payload"]["id"]: (each["payload"]["text"], each["vector"]) for each in target.points() or []}
    return Done(seen, ended - seen["first_at"], stored)


def _write(folder: Path, target: EmbeddedTarget, url: str, workload: Workload) -> float:
    """Run it; returns when it ended, on the clock that the provider goes by too."""
    embedding = {
        "mode": "openai_compatible",
        "base_url": f"{url}/v1",
        "model_name": "bench",
        "dimensions": DIMENSIONS,
        "requests": {"batch_size": BATCH, **workload.requests},
    }
    config = {
        "embedding": embedding,
        "processing": {"chunk_size": 100, "text_fields": ["body"]},
        "indexing": target.indexing(),
    }
    catalog = {"streams": [{"stream": {"name": "bench", "json_schema": {}}, "destination_sync_mode": "append"}]}
    words = [sys.executable, str(ROOT / "main.py"), "write"]
    for option, content in (("config", config), ("catalog", catalog)):
        path = folder / f"{option}.json"
        path.write_text(json.dumps(content))
        words += [f"--{option}", str(path)]
    done = subprocess.run(words, input=lines(workload.texts), stdout=subprocess.PIPE, check=False)  # noqa: S603 -- our own program, too
    ended = time.monotonic()
    if done.returncode:
        sys.exit(
            f"{workload.name}: the connector failed with exit code {done.returncode}\n{done.stdout.decode()[-2000:]}"
        )
    return ended


def _seen(url: str) -> Json:
    with urllib.request.urlopen(f"{url}/_control", timeout=10) as answer:  # noqa: S310 -- a loopback URL of our own
        found: Json = json.load(answer)
    return found


# ------------------------------------------------------------------------------------------------------------
# The table


def row(name: str, done: Done, mark: str) -> None:
    """Print what a run has shown."""
    seen = done.seen
    rate = seen["texts"] / done.seconds
    print(
        f"{name:34} {seen['requests']:8,} {seen['refused']:7,} {seen['most_in_flight']:9} "
        f"{done.seconds:8.1f} {rate:8,.0f} {mark:>22}",
        flush=True,
    )


def concurrency(count: int) -> list[str]:
    """The same texts one request after the other, and eight at a time; returns what is wrong."""
    one, eight = (run(Workload("", count, {"in_flight": at_once})) for at_once in (1, 8))
    speedup = one.seconds / eight.seconds
    row("in flight 1", one, "")
    row("in flight 8", eight, f"{speedup:.2f} times as fast")
    problems = []
    if speedup < LEAST_SPEEDUP:
        problems.append(f"8 in flight are {speedup:.2f} times as fast as 1, not {LEAST_SPEEDUP}")
    if one.vectors != eight.vectors or len(one.vectors) != count:
        problems.append("the vectors of the two runs differ")
    return problems


def capped() -> list[str]:
    """A limit that the configuration sets, and one that the provider has; returns what is wrong."""
    tokens = embedded_tokens(CAPPED_TEXTS)
    per_minute = tokens * 60 // CAPPED_SECONDS
    burst = tokens * BURST_SECONDS / CAPPED_SECONDS
    limited = ["--tokens-per-minute", str(per_minute), "--burst", str(BURST_SECONDS / 60)]
    problems = []
    for workload, at_best in (
        (Workload("capped by the configuration", CAPPED_TEXTS, {"tokens_per_minute": per_minute}), tokens),
        (Workload("capped by the provider (429)", CAPPED_TEXTS, {}, limited), tokens - burst),
    ):
        done = run(workload)
        over = done.seconds / (at_best / per_minute * 60)
        row(workload.name, done, f"{over:.2f} of the minimum")
        if over > MOST_OVER_MINIMUM:
            problems.append(f"{workload.name}: {over:.2f} of the minimum, not {MOST_OVER_MINIMUM}")
        if len(done.vectors) != CAPPED_TEXTS:
            problems.append(f"{workload.name}: {len(done.vectors)} points of {CAPPED_TEXTS}")
    return problems


def main() -> None:
    """Run every workload and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2_000, help="texts of the runs without a limit (2000)")
    parser.add_argument("--skip-caps", action="store_true", help="leave out the runs at a limit (a minute)")
    options = parser.parse_args()
    print(f"Embedding, {LATENCY * 1000:.0f} ms for an answer, {BATCH} texts in a request")
    print(f"{'run':34} {'requests':>8} {'refused':>7} {'in flight':>9} {'seconds':>8} {'texts/s':>8} {'':>22}")
    problems = concurrency(options.texts)
    if not options.skip_caps:
        problems += capped()
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
