"""The connector is killed at points drawn by chance, in every scenario; nothing acknowledged may be lost.

    KILLS   how many kills a run makes, at least (200)
    SEED    what the chance is drawn from (1)

`make test-kills` makes more of them. The last line of the run has the totals.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import Connector
from orchestrator.dialects import CUSTOM_IMAGE, DIALECTS, REGISTRY
from orchestrator.kills import Kill, at_every_write, kill, undisturbed
from orchestrator.platform import Start
from orchestrator.story import Scenario, load, names
from targets import EmbeddedTarget, ServerTarget, Target, copy_of_folder, copy_on_server
from wire_double import WireDouble

SEED = int(os.environ.get("SEED", "1"))
KILLS = int(os.environ.get("KILLS", "200"))
NAMES = names()
#: Kills of each scenario; all of them together are as many as asked for.
SHARES = {name: KILLS // len(NAMES) + (at < KILLS % len(NAMES)) for at, name in enumerate(NAMES)}


@pytest.fixture(name="start")
def _start(quick_connector: Connector) -> Start:
    return lambda config, catalog: quick_connector.start("write", config=config, catalog=catalog)


def kills_of(
    scenario: Scenario,
    base: Callable[[], AbstractContextManager[Target]],
    start: Start,
    copy: Callable[[Target], AbstractContextManager[Target]],
    chance: Random,
) -> Iterator[Kill]:
    """As many kills as there have to be: of each sync in each dialect in turn, beginning with the later syncs."""
    dialects = chance.sample(DIALECTS, len(DIALECTS))
    pairs = [(dialect, number) for dialect in dialects for number in range(len(scenario.syncs), 0, -1)]
    made = 0
    while made < SHARES[scenario.name]:
        wanted = Counter(islice(cycle(pairs), SHARES[scenario.name] - made))
        for dialect in dialects:
            last = max((number for each, number in wanted if each == dialect), default=0)
            with base() as target:
                for plain, origin in islice(undisturbed(scenario, dialect, target, start, copy), last):
                    for _ in range(wanted[dialect, plain.number]):
                        for each in kill(plain, origin, start, copy, chance):
                            made += 1
                            yield each


def drawn(*what: str) -> Random:
    """Chance that comes out the same with the same seed, and differs between kinds of Qdrant."""
    return Random(" ".join((str(SEED), *what)))  # noqa: S311 -- to be drawn again


def report(kills: Iterator[Kill], record_property: Callable[[str, Any], None]) -> int:
    """Count what the kills have shown, for the last line of the run, and how many there were; fails if anything was lost."""
    made = 0
    lost: list[str] = []
    for each in kills:
        made += 1
        record_property("kill", (each.acks, len(each.lost)))
        lost += (f"{each.scenario}, sync {each.sync}, {each.dialect}: {loss}" for loss in each.lost)
    assert not lost, "\n".join(lost)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_by_kills_of_the_embedded_engine(
    name: str, start: Start, quick_folder: Path, record_property: Callable[[str, Any], None]
) -> None:
    @contextmanager
    def base() -> Iterator[Target]:
        shutil.rmtree(quick_folder / "base", ignore_errors=True)
        yield EmbeddedTarget(quick_folder / "base")

    report(kills_of(load(name), base, start, copy_of_folder, drawn(name, "embedded")), record_property)


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_by_kills_on_a_server(
    name: str,
    prefer_grpc: bool,  # noqa: FBT001 -- a parameter of the test
    start: Start,
    server_url: str,
    record_property: Callable[[str, Any], None],
) -> None:
    if "KILLS" not in os.environ:
        pytest.skip("kills on a server take long: `make test-kills` makes them")

    @contextmanager
    def base() -> Iterator[Target]:
        target = ServerTarget(server_url, prefer_grpc=prefer_grpc)
        try:
            yield target
        finally:
            target.remove()

    chance = drawn(name, "gRPC" if prefer_grpc else "REST")
    report(kills_of(load(name), base, start, copy_on_server, chance), record_property)


@pytest.mark.parametrize(
    ("name", "dialect", "applied"),
    [
        ("dedup_shrinking_and_growing_text", REGISTRY, False),
        ("dedup_shrinking_and_growing_text", REGISTRY, True),
        ("truncate_refresh_dedup", REGISTRY, True),
        ("overwrite_each_time", CUSTOM_IMAGE, True),
    ],
)
def test_nothing_is_lost_by_a_kill_at_any_write(
    name: str,
    dialect: str,
    applied: bool,  # noqa: FBT001 -- a parameter of the test
    start: Start,
    record_property: Callable[[str, Any], None],
) -> None:
    """Right before, and right after, the server has done what it was asked, whichever of a sync's writes it is."""
    with WireDouble() as double:
        kills = at_every_write(load(name), dialect, double, start, copy_on_server, applied=applied)
        assert report(kills, record_property) > 1
