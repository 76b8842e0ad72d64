"""Kills of the connector at points drawn by chance, and what must hold after each of them.

1.  A sync runs undisturbed once: how long it takes, and what it leaves.
2.  It runs again from the same start and is killed; what is there then is held to `freshness`.
3.  It is retried as its sender would; what is there in the end must equal what the undisturbed sync left. In append
    modes what was not acknowledged may be there twice, as a retry sends it again: these are compared as sets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from random import Random

from targets import ServerTarget, Target
from wire_double import WireDouble

from .content import Content, Copies, Row
from .contract import Output, verify
from .dialects import Wire, mode_of, on_the_wire, retried
from .freshness import losses
from .platform import READY, Running, Start, run
from .plays import configured, steps_of, stored
from .story import SECRET, Scenario, Sync, record_texts

#: A sync that has ended before its kill is tried again, so often.
_TRIES = 6

#: How often a kill comes right after a STATE, where a connector that said it too early would be caught.
_AFTER_AN_ACK = 0.4

#: How often it comes before the first line of the input is read.
_IN_THE_START = 0.1

_NOBODY = Copies(0)

#: Upserts and removals, by method and path.
_WRITES = "PUT .*/points$|POST .*/points/delete$"

_LOOK_AGAIN_SECONDS = 0.02

#: Gives a Qdrant of its own that holds what another one holds.
Copy = Callable[[Target], AbstractContextManager[Target]]


@dataclass(frozen=True, slots=True)
class Kill:
    """What one kill has shown."""

    scenario: str
    sync: int
    dialect: str
    acks: int
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A sync as it is when nobody kills it."""

    scenario: Scenario
    number: int
    dialect: str
    sync: Sync
    wire: Wire
    output: Output
    before: Content
    after: Content

    @property
    def private(self) -> list[str]:
        return [SECRET, *record_texts(self.sync)]


def undisturbed(
    scenario: Scenario, dialect: str, base: Target, start: Start, copy: Copy
) -> Iterator[tuple[Undisturbed, Target]]:
    """Each sync of a scenario in turn, run to its end, and a Qdrant as it was before; `base` has nothing in it yet."""
    steps = steps_of(scenario, dialect, base, start)
    acked = 0
    for number, told in enumerate(scenario.syncs, 1):
        sync = retried(told, acked, dialect) if told.is_retry else told
        wire, before = on_the_wire(sync, dialect), stored(scenario, base)
        with copy(base) as origin:
            if told.kill_after is None:
                played = next(steps)
                output, after = played.output, played.after
            else:
                with copy(base) as target:
                    output = run(start, configured(scenario, target), wire)
                    verify(output, wire, private=[SECRET, *record_texts(sync)])
                    after = stored(scenario, target)
            yield Undisturbed(scenario, number, dialect, sync, wire, output, before, after), origin
            acked = (played if told.kill_after is None else next(steps)).acked


def kill(plain: Undisturbed, origin: Target, start: Start, copy: Copy, chance: Random) -> Iterator[Kill]:
    """Kill a sync once, and see what is left; nothing comes when it was always done before it could be killed."""
    for _ in range(_TRIES):
        with copy(origin) as target, Running(start(configured(plain.scenario, target), plain.wire.catalog)) as running:
            running.feed(plain.wire)
            _wait_a_while(plain, running, chance)
            if not running.ends_within(0):
                yield aftermath(plain, running, target, start)
                return


def at_every_write(
    scenario: Scenario, dialect: str, double: WireDouble, start: Start, copy: Copy, *, applied: bool
) -> Iterator[Kill]:
    """Kill a scenario's last sync at each of its writes in turn: as it arrives, or when it has been applied."""
    base = ServerTarget(double.url)
    for plain, origin in undisturbed(scenario, dialect, base, start, copy):
        if plain.number < len(scenario.syncs):
            continue
        for skip in count():
            with copy(origin) as target:
                fault = double.fail(_WRITES, skip=skip, hold=True, close=True, applied=applied)
                with Running(start(configured(scenario, target), plain.wire.catalog)) as running:
                    running.feed(plain.wire)
                    while not fault.is_reached and not running.ends_within(_LOOK_AGAIN_SECONDS):
                        pass
                    if not fault.is_reached:
                        double.heal()
                        break
                    yield aftermath(plain, running, target, start)
                double.heal()


def _wait_a_while(plain: Undisturbed, running: Running, chance: Random) -> None:
    """Until some moment of the start or of the sync, or until one of its STATEs has just come back."""
    states, kind = len(plain.output.states), chance.random()
    if kind < _IN_THE_START:
        running.ends_within(chance.random() * plain.output.started_in)
    elif states and kind < _IN_THE_START + _AFTER_AN_ACK:
        running.wait_for(b'"STATE"', chance.randint(1, states))
    else:
        running.wait_for(READY)
        running.ends_within(chance.random() * plain.output.worked_for)


def aftermath(plain: Undisturbed, running: Running, target: Target, start: Start) -> Kill:
    """Kill what is running now; then look, retry as the sender would, and look again."""
    acked = verify(running.kill(), plain.wire, private=plain.private)
    lost: list[str] = []
    left = stored(plain.scenario, target)
    if plain.scenario.keys_show:
        lost += losses(plain.sync, plain.dialect, acked, plain.before, left)
    again = retried(plain.sync, acked, plain.dialect)
    wire = on_the_wire(again, plain.dialect)
    output = run(start, configured(plain.scenario, target), wire)
    verify(output, wire, private=plain.private)
    if _end(output) != _end(plain.output):
        lost.append(f"the retry ended with {_end(output)} instead of {_end(plain.output)}")
    # What stayed because it was of the same generation goes when a retry has the next one.
    bumped = {
        label for label, each in again.selected.items() if each != plain.sync.selected[label] and each.is_replaced
    }
    may_go = {each for each in plain.before if each[0] in bumped}
    lost += differences(again, plain.dialect, plain.after, stored(plain.scenario, target), may_go)
    return Kill(plain.scenario.name, plain.number, plain.dialect, acked, tuple(lost))


def _end(output: Output) -> tuple[int, list[str]]:
    return output.code, [error["failure_type"] for error in output.errors]


def differences(sync: Sync, dialect: str, expected: Content, found: Content, may_go: Collection[Row]) -> Iterator[str]:
    """How what a retry left differs from what an undisturbed sync leaves."""
    for each in expected.keys() | found.keys():
        if each in may_go and each not in found:
            continue
        selected = sync.selected.get(each[0])
        mode = mode_of(selected, dialect) if selected else ""
        # An overwrite that its source has not completed removes nothing either.
        twice = mode == "append" or (mode == "overwrite" and not sync.succeeds)
        wanted, there = expected.get(each, _NOBODY), found.get(each, _NOBODY)
        whole = there.whole >= wanted.whole and bool(there.whole) == bool(wanted.whole)
        if not whole if twice else (there.whole, there.torn) != (wanted.whole, wanted.torn):
            yield f"after the retry {each} is {there} instead of {wanted}"
