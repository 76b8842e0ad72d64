"""Plays a scenario, sync by sync, and compares what is stored with what the scenario promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tables import numbers_in
from targets import Target

from .content import Content, content_of, row
from .contract import ContractBrokenError, Output, verify
from .dialects import Wire, on_the_wire, retried
from .platform import Start, run
from .story import SECRET, Json, Scenario, Sync, record_texts


@dataclass(frozen=True, slots=True)
class Played:
    """One sync that was run: as it was sent, and what came of it."""

    sync: Sync
    wire: Wire
    output: Output
    acked: int
    before: Content
    after: Content


def play(scenario: Scenario, dialect: str, target: Target, start: Start) -> list[Played]:
    """Run a scenario, and hold each sync to the contract and to what is promised.

    Raises:
        ContractBrokenError: something does not hold.
    """
    return list(steps_of(scenario, dialect, target, start))


def steps_of(scenario: Scenario, dialect: str, target: Target, start: Start) -> Iterator[Played]:
    """The same, sync by sync."""
    config = configured(scenario, target)
    after: Content = {}
    acked = 0
    for number, told in enumerate(scenario.syncs, 1):
        sync = retried(told, acked, dialect) if told.is_retry else told
        wire = on_the_wire(sync, dialect)
        output = run(start, config, wire, kill_after=sync.kill_after)
        acked = verify(output, wire, private=[SECRET, *record_texts(sync)])
        before, after = after, stored(scenario, target)
        played = Played(sync, wire, output, acked, before, after)
        _compare(played, sync.expected(dialect), f"{scenario.name}, sync {number}, {dialect}")
        yield played


def configured(scenario: Scenario, target: Target) -> Json:
    """The scenario's configuration for a target."""
    config = dict(scenario.config)
    config["indexing"] = {**config["indexing"], **target.indexing()}
    return config


def stored(scenario: Scenario, target: Target) -> Content:
    """What is in Qdrant, as records."""
    streams = {each.stream.label: each.stream for sync in scenario.syncs for each in sync.selected.values()}
    return content_of(target.points() or [], streams.values())


def _compare(played: Played, expected: Json, where: str) -> None:
    output, sync = played.output, played.sync
    words: Any = (output.errors, output.sentences)
    code = -9 if sync.kill_after is not None else expected.get("exit", 0)
    _expect(output.code == code, where, "exit code", output.code, code, words)
    states = expected.get("acked", len(played.wire.states) if sync.kill_after is None else sync.kill_after)
    _expect(played.acked == states, where, "STATEs that came back", played.acked, states)
    if "error" in expected:
        _expect(output.errors[0]["failure_type"] == expected["error"], where, "failure type", output.errors[0])
    for text in expected.get("says", ()):
        _expect(any(text in each for each in output.sentences), where, "not said", text, output.sentences)
    numbers = numbers_in(output.sentences)
    for stream, told in expected.get("numbers", {}).items():
        _expect(told.items() <= numbers.get(stream, {}).items(), where, "numbers", stream, told, numbers)
    wanted = sorted(row(label, data) for label, rows in expected.get("stored", {}).items() for data in rows)
    found = sorted(each for each, copies in played.after.items() for _ in range(copies.whole))
    _expect(found == wanted, where, "stored", found, wanted)
    torn = [each for each, copies in played.after.items() if copies.torn]
    _expect(not torn, where, "records with chunks missing or left over", torn)


def _expect(holds: object, *what: object) -> None:
    if not holds:
        raise ContractBrokenError("; ".join(map(str, what)))
