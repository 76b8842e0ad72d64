"""The connector is killed at points drawn by chance, in every scenario; nothing acknowledged may be lost.

    KILLS   how many kills a run makes, at least (200)
    SEED    what the chance is drawn from (1)

`make test-kills` makes more of them. The last line of the run has the totals.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import Connector
from orchestrator.dialects import DIALECTS
from orchestrator.kills import Kill, at_every_write, kill, undisturbed
from orchestrator.platform import Start
from orchestrator.story import Scenario, load, names
from targets import EmbeddedTarget, ServerTarget, Target, copy_of_folder, copy_on_server
from wire_double import WireDouble

SEED = int(os.environ.get("SEED", "1"))
KILLS = int(os.environ.get("KILLS", "200"))
NAMES = [name for name in names() if load(name).kills]
#: Kills of each scenario, so that all of them together are no fewer than asked for.
EACH = -(-KILLS // len(NAMES))


@pytest.fixture(name="start")
def _start(connector: Connector) -> Start:
    return lambda config, catalog: connector.start("write", config=config, catalog=catalog)


def choices(scenario: Scenario, chance: Random) -> Iterator[tuple[int, str]]:
    """Syncs and dialects, each as often as the others."""
    every = [(number, dialect) for number in range(1, len(scenario.syncs) + 1) for dialect in DIALECTS]
    while True:
        chance.shuffle(every)
        yield from every


def kills_of(
    scenario: Scenario,
    base: Callable[[], AbstractContextManager[Target]],
    start: Start,
    copy: Callable[[Target], AbstractContextManager[Target]],
) -> Iterator[Kill]:
    """As many kills as there have to be; up to eight of one sync, since preparing it costs as much as a kill."""
    chance = Random(f"{SEED} {scenario.name}")  # noqa: S311 -- drawn again with the same seed
    made = 0
    for number, dialect in choices(scenario, chance):
        with base() as target:
            plain = undisturbed(scenario, number, dialect, target, start, copy)
            for _ in range(min(8, EACH - made)):
                for each in kill(plain, target, start, copy, chance):
                    made += 1
                    yield each
        if made >= EACH:
            return


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
    name: str, start: Start, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    @contextmanager
    def base() -> Iterator[Target]:
        shutil.rmtree(tmp_path / "base", ignore_errors=True)
        yield EmbeddedTarget(tmp_path / "base")

    report(kills_of(load(name), base, start, copy_of_folder), record_property)


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_by_kills_on_a_server(
    name: str,
    prefer_grpc: bool,  # noqa: FBT001 -- a parameter of the test
    start: Start,
    server_url: str | None,
    record_property: Callable[[str, Any], None],
) -> None:
    if server_url is None:
        pytest.skip("NO REAL SERVER TO TEST AGAINST")

    @contextmanager
    def base() -> Iterator[Target]:
        target = ServerTarget(server_url, prefer_grpc=prefer_grpc)
        try:
            yield target
        finally:
            target.remove()

    report(kills_of(load(name), base, start, copy_on_server), record_property)


@pytest.mark.parametrize(
    ("name", "applied"),
    [
        ("dedup_shrinking_and_growing_text", False),
        ("dedup_shrinking_and_growing_text", True),
        ("truncate_refresh_resumed", True),
    ],
)
def test_nothing_is_lost_by_a_kill_at_any_write(
    name: str,
    applied: bool,  # noqa: FBT001 -- a parameter of the test
    start: Start,
    record_property: Callable[[str, Any], None],
) -> None:
    """Right before, and right after, the server has done what it was asked, whichever of a sync's writes it is."""
    with WireDouble() as double:
        base = ServerTarget(double.url)
        kills = at_every_write(load(name), double, base, start, copy_on_server, applied=applied)
        assert report(kills, record_property) > 1
