"""Kills of the connector at points drawn by chance, and what must hold after each of them.

1.  A sync runs undisturbed once: how long it takes, and what it leaves.
2.  It runs again from the same start and is killed; what is there then is held to `freshness`.
3.  It is retried as its sender would; what is there in the end must equal what the undisturbed sync left. In append
    modes what was not acknowledged may be there twice, as a retry sends it again: these are compared as sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Protocol

from targets import Target

from .content import Content, Row
from .contract import Output, verify
from .dialects import REGISTRY, Wire, mode_of, on_the_wire, retried
from .freshness import losses
from .platform import Running, Start, run
from .plays import configured, play, stored
from .story import SECRET, Scenario, Sync, record_texts

#: What the log says when the collection is ready and the first line of the input is about to be read.
_READY = b"Writing to"

#: A sync that has ended before its kill is tried again, so often.
_TRIES = 6

#: How often a kill comes right after a STATE, where a connector that said it too early would be caught.
_AFTER_AN_ACK = 0.5

#: Upserts and removals, by method and path.
_WRITES = "points($|/delete)"

_LOOK_AGAIN_SECONDS = 0.02

#: Gives a Qdrant of its own that holds what another one holds.
Copy = Callable[[Target], AbstractContextManager[Target]]


class Fault(Protocol):
    """See `wire_double.Fault`."""

    @property
    def is_reached(self) -> bool: ...


class Faulty(Protocol):
    """A server whose requests go wrong on order; see `wire_double.WireDouble`."""

    def fail(self, pattern: str, **options: Any) -> Fault: ...
    def heal(self) -> None: ...


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
    seconds: float


def undisturbed(scenario: Scenario, number: int, dialect: str, base: Target, start: Start, copy: Copy) -> Undisturbed:
    """Bring `base` to the state before a sync (its number counts from 1), and run that sync on a copy of it."""
    played = play(scenario, dialect, base, start, syncs=number - 1)
    told = scenario.syncs[number - 1]
    sync = retried(told, played[-1].acked, dialect) if told.is_retry else told
    wire = on_the_wire(sync, dialect)
    with copy(base) as target:
        running = Running(start(configured(scenario, target), wire.catalog))
        running.feed(wire)
        running.wait_for(_READY)
        ready = time.monotonic()
        output = running.finish()
        seconds = time.monotonic() - ready
        before, after = stored(scenario, base), stored(scenario, target)
        return Undisturbed(scenario, number, dialect, sync, wire, output, before, after, seconds)


def kill(plain: Undisturbed, base: Target, start: Start, copy: Copy, chance: Random) -> Iterator[Kill]:
    """Kill a sync once, and see what is left; nothing comes when it was always done before it could be killed."""
    for _ in range(_TRIES):
        with copy(base) as target:
            running = Running(start(configured(plain.scenario, target), plain.wire.catalog))
            running.feed(plain.wire)
            running.wait_for(_READY)
            _wait_a_while(plain, running, chance)
            if running.ends_within(0):
                running.finish()
                continue
            yield aftermath(plain, running, target, start)
            return


def at_every_write(
    scenario: Scenario, double: Faulty, base: Target, start: Start, copy: Copy, *, applied: bool
) -> Iterator[Kill]:
    """Kill a scenario's last sync at each of its writes in turn: as it arrives, or when it has been applied."""
    plain = undisturbed(scenario, len(scenario.syncs), REGISTRY, base, start, copy)
    for skip in count():
        with copy(base) as target:
            fault = double.fail(_WRITES, skip=skip, hold=True, close=True, applied=applied)
            running = Running(start(configured(scenario, target), plain.wire.catalog))
            running.feed(plain.wire)
            while not fault.is_reached and not running.ends_within(_LOOK_AGAIN_SECONDS):
                pass
            if not fault.is_reached:
                running.finish()
                double.heal()
                return
            yield aftermath(plain, running, target, start)
            double.heal()


def _wait_a_while(plain: Undisturbed, running: Running, chance: Random) -> None:
    """Until some moment of the sync, or until one of its STATEs has just come back."""
    states = len(plain.output.states)
    if states and chance.random() < _AFTER_AN_ACK:
        running.wait_for(b'"STATE"', chance.randint(1, states))
    else:
        running.ends_within(chance.random() * plain.seconds)


def aftermath(plain: Undisturbed, running: Running, target: Target, start: Start) -> Kill:
    """Kill what is running now; then look, retry as the sender would, and look again."""
    private = [SECRET, *record_texts(plain.sync)]
    acked = verify(running.kill(), plain.wire, private=private)
    lost = losses(plain.sync, plain.dialect, acked, plain.before, stored(plain.scenario, target))
    again = retried(plain.sync, acked, plain.dialect)
    wire = on_the_wire(again, plain.dialect)
    verify(run(start, configured(plain.scenario, target), wire), wire, private=private)
    lost += differences(again, plain.dialect, plain.after, stored(plain.scenario, target))
    return Kill(plain.scenario.name, plain.number, plain.dialect, acked, tuple(lost))


def differences(sync: Sync, dialect: str, expected: Content, found: Content) -> Iterator[str]:
    """How what a retry left differs from what an undisturbed sync leaves."""
    for each in expected.keys() | found.keys():
        selected = sync.selected.get(each[0])
        mode = mode_of(selected, dialect) if selected else ""
        # An overwrite that its source has not completed removes nothing either.
        twice = mode == "append" or (mode == "overwrite" and not sync.succeeds)
        if _shape(expected, each, twice=twice) != _shape(found, each, twice=twice):
            yield f"after the retry {each} is {found.get(each)} instead of {expected.get(each)}"


def _shape(content: Content, each: Row, *, twice: bool) -> tuple[int, bool]:
    copies = content.get(each)
    whole, torn = (copies.whole, copies.torn) if copies else (0, False)
    return (min(whole, 1), False) if twice else (whole, torn)
