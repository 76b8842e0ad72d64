"""Runs of the connector as a process of its own, and what they cost.

Starting takes a second or so and has nothing to do with the input. Each workload is therefore run twice, with one record and
with all of them, and the difference is what the records cost.
"""

from __future__ import annotations

import hashlib
import json
import os
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

from workloads import Json, Workload

HERE = Path(__file__).parent
MAIN = HERE.parent / "main.py"

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took: seconds, seconds of CPU, and the most memory that was resident, in MB."""

    wall: float
    cpu: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What the records of a workload took, without the start: seconds, CPU in microseconds a record, memory in MB."""

    wall: float
    us_per_record: float
    peak_mb: float
    records: int

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.wall


@contextmanager
def serving(program: str, *options: str) -> Iterator[str]:
    """One of the programs of this folder in the background; gives the address that it prints."""
    words = [sys.executable, str(HERE / f"{program}.py"), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own program
        assert process.stdout  # noqa: S101 -- it is a pipe
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def seen_by(url: str) -> Json:
    """What one of them has seen."""
    with urllib.request.urlopen(f"{url}/_seen", timeout=30) as answer:  # noqa: S310 -- a loopback URL of our own
        found: Json = json.load(answer)
    return found


def measured(workload: Workload, records: int, config: Json, rounds: int = 3) -> Cost:
    """The cost of so many records with this configuration: the best of several runs, because other work only ever adds.

    What the runs wrote stays where they wrote it.
    """
    ones = [write(workload, 1, config) for _ in range(rounds)]
    wholes = [write(workload, records, config) for _ in range(rounds)]
    cpu = min(each.cpu for each in wholes) - min(each.cpu for each in ones)
    wall = min(each.wall for each in wholes) - min(each.wall for each in ones)
    peak_mb = max(each.peak_mb for each in wholes)
    return Cost(max(wall, 1e-9), max(cpu, 1e-9) / (records - 1) * 1e6, peak_mb, records - 1)


def write(workload: Workload, records: int, config: Json) -> Run:
    """One run of the connector; the program ends where it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "messages.jsonl"
        with source.open("wb") as file:
            file.writelines(workload.lines(records))
        return write_file(source, config, workload.catalog())


def write_file(source: Path, config: Json, catalog: Json) -> Run:
    """One run of the connector over the messages of a file, through a pipe."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [sys.executable, str(MAIN), "write"]
        for option, content in (("config", config), ("catalog", catalog)):
            path = folder / f"{option}.json"
            path.write_text(json.dumps(content))
            words += [f"--{option}", str(path)]
        said = folder / "said.jsonl"
        with said.open("wb") as stdout:
            run, code = timed(words, source, stdout)
        if code:
            sys.exit(f"The connector failed with exit code {code}:\n{said.read_text()[-3000:]}")
    return run


def timed(words: Sequence[str], source: Path, stdout: Any) -> tuple[Run, int]:
    """Run a program with a file piped into it; returns what it took, and its exit code."""
    started = time.monotonic()
    with subprocess.Popen(["/bin/cat", source], stdout=subprocess.PIPE) as cat:  # noqa: S603 -- our own file
        process = subprocess.Popen(words, stdin=cat.stdout, stdout=stdout)  # noqa: S603 -- our own program
        assert cat.stdout  # noqa: S101 -- it is a pipe
        cat.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    run = Run(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return run, process.returncode


def calibration() -> float:
    """Seconds of CPU that a fixed piece of work takes just now: reading JSON, hashing, objects, as the connector does.

    The cost of a workload divided by it says nearly the same on a slower machine and beside other work.
    """
    document = json.dumps({"data": {f"field {n}": [n / 7, "text" * 9, None] for n in range(300)}})
    return min(_worked(document) for _ in range(_ROUNDS))


def _worked(document: str) -> float:
    began = time.process_time()
    for number in range(40):
        read = json.loads(document)
        kept = {name: (number, *value) for name, value in read["data"].items()}
        hashlib.blake2b(json.dumps(kept).encode()).digest()
    return time.process_time() - began
