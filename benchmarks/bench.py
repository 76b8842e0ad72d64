"""What a sync costs the connector, and how fast it is, against servers that cost nothing: `make bench`.

    python benchmarks/bench.py [--only WORDS] [--scale 0.5] [--rounds 3] [--update] [--server URL]

Each workload goes through the command line into a Qdrant that keeps no point (`null_sink.py`), text through a provider that
answers after a fixed time (`provider.py`). The columns: CPU of the connector's process per record, without its start;
records a second; the most memory; upsert and embedding requests, and how many of them were in flight at most; the cost in
units of a fixed piece of work, and that over what `baseline.json` holds.

The exit code is 1 where a workload misses what `workloads.py` promises, or takes a quarter more than the baseline.
`--update` writes the baseline anew. What a real server takes is measured by `server.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import server
from measuring import HERE, MAIN, Cost, calibration, measured, seen_by, serving, write
from workloads import DEDUP_TEXT, WORKLOADS, Json, Workload

BASELINE = HERE / "baseline.json"
MOST_OVER_BASELINE = 1.25
MOST_MB = 256
MOST_SECONDS_OF_SPEC = 0.35
LEAST_SPEEDUP_UNCHANGED = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """A workload's cost, what the servers saw of it, and the unit that the machine was worth at the time."""

    cost: Cost
    sink: Json
    provider: Json
    unit: float

    @property
    def units(self) -> float:
        """CPU of a thousand records, in units of the fixed piece of work."""
        return self.cost.us_per_record * 1e-3 / self.unit


def measure(workload: Workload, scale: float, rounds: int) -> Measured:
    """Run a workload against servers of its own."""
    unit = calibration()
    with ExitStack() as stack:
        sink = stack.enter_context(serving("null_sink"))
        provider = None
        if workload.latency is not None:
            provider = stack.enter_context(serving("provider", "--latency", str(workload.latency)))
        indexing = {"url": sink, "collection": "bench", "prefer_grpc": workload.over_grpc}
        cost = measured(workload, round(workload.records * scale), workload.config(indexing, provider), rounds)
        return Measured(cost, seen_by(sink), seen_by(provider) if provider else {}, min(unit, calibration()))


def shortcomings(workload: Workload, found: Measured, before: float | None, rounds: int) -> Iterator[str]:
    """What is worse than it should be."""
    cost = found.cost
    if workload.most_us is not None and cost.us_per_record > workload.most_us:
        yield f"{workload.name}: {cost.us_per_record:.0f} us a record, not {workload.most_us:.0f}"
    if workload.least_rate is not None and cost.rate < workload.least_rate:
        yield f"{workload.name}: {cost.rate:,.0f} records a second, not {workload.least_rate:,.0f}"
    if cost.peak_mb > MOST_MB:
        yield f"{workload.name}: {cost.peak_mb:.0f} MB, not {MOST_MB}"
    if before is not None and found.units > before * MOST_OVER_BASELINE:
        yield f"{workload.name}: {found.units / before:.2f} times the baseline"
    if not workload.is_text and found.sink["points"] != rounds * (
        cost.records + 2
    ):  # the first record in twice as many runs
        yield f"{workload.name}: {found.sink['points']:,} points came"


def row(workload: Workload, found: Measured, before: float | None) -> str:
    """A line of the table."""
    cost, sink, provider = found.cost, found.sink, found.provider
    asked = f"{provider['requests']:8,} {provider['most_in_flight']:6}" if provider else f"{'':8} {'':6}"
    compared = f"{found.units / before:9.2f}" if before else f"{'':9}"
    return (
        f"{workload.name:30} {cost.us_per_record:8.1f} {cost.rate:10,.0f} {cost.peak_mb:6.0f} "
        f"{sink['requests']:8,} {sink['most_in_flight']:6} {asked} {found.units:8.2f} {compared}"
    )


def head() -> str:
    """The first line of the table."""
    return (
        f"{'workload':30} {'us/rec':>8} {'rec/s':>10} {'MB':>6} {'upserts':>8} {'flight':>6} {'embedds':>8} {'flight':>6} "
        f"{'units':>8} {'/baseline':>9}"
    )


# ------------------------------------------------------------------------------------------------------------
# What is no workload of the table


def start_of_spec() -> Iterator[str]:
    """How long `spec` takes from a cold start of Python; the best of five."""

    def once() -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, str(MAIN), "spec"], stdout=subprocess.DEVNULL, check=True)  # noqa: S603 -- our own program
        return time.monotonic() - began

    seconds = min(once() for _ in range(5))
    print(f"{'spec, from a cold start':30} {seconds:.2f} s")
    if seconds > MOST_SECONDS_OF_SPEC:
        yield f"spec: {seconds:.2f} s, not {MOST_SECONDS_OF_SPEC}"


def unchanged(workload: Workload, records: int) -> Iterator[str]:
    """The same texts twice, deduplicated, into an embedded Qdrant, with a provider that takes 150 ms."""
    with tempfile.TemporaryDirectory() as name, serving("provider", "--latency", "0.15") as provider:
        config = workload.config({"url": (Path(name) / "qdrant").as_uri(), "collection": "bench"}, provider)
        start = write(workload, 1, config)  # of all three runs
        first = write(workload, records, config)
        asked = seen_by(provider)["requests"]
        second = write(workload, records, config)
        again = seen_by(provider)["requests"] - asked
    speedup = (first.wall - start.wall) / (second.wall - start.wall)
    print(f"{'unchanged text, second sync':30} {again} embedding requests, {speedup:.1f} times as fast as the first")
    if again or speedup < LEAST_SPEEDUP_UNCHANGED:
        yield f"unchanged text: {again} embedding requests, {speedup:.1f} times as fast"


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS", help="only workloads whose name holds these words")
    parser.add_argument("--scale", type=float, default=1.0, help="how many of the records (1.0)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each workload, of which the best counts (3)")
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    parser.add_argument("--server", metavar="URL", help="measure against this Qdrant instead (collection `bench`)")
    options = parser.parse_args()
    if options.server:
        end(server.problems(options.server, options.scale, options.rounds))
        return
    baseline: dict[str, float] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    chosen = [each for each in WORKLOADS if options.only in each.name]
    problems: list[str] = []
    print(head(), flush=True)
    for workload in chosen:
        found = measure(workload, options.scale, options.rounds)
        before = None if options.update else baseline.get(workload.name)
        print(row(workload, found, before), flush=True)
        problems += shortcomings(workload, found, before, options.rounds)
        baseline[workload.name] = round(found.units, 3)
    if not options.only:
        problems += start_of_spec()
        problems += unchanged(DEDUP_TEXT, round(DEDUP_TEXT.records * options.scale))
    if options.update:
        BASELINE.write_text(json.dumps(baseline, indent=2) + "\n")
    end(problems)


def end(problems: Sequence[str]) -> None:
    """Say what misses its mark, and fail for it."""
    if problems:
        sys.exit("\n".join(["", *problems]))


if __name__ == "__main__":
    main()
