"""The small platform tells a broken connector from a sound one: each mutant breaks one promise, and is found out.

The same scenarios and kills pass with the connector itself (`test_promises`, `test_kills`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from orchestrator.contract import ContractBrokenError
from orchestrator.dialects import CUSTOM_IMAGE, DIALECTS, REGISTRY
from orchestrator.kills import at_every_write
from orchestrator.platform import Start
from orchestrator.plays import play
from orchestrator.story import load
from preloaded import Loaded, quick
from targets import STRICT, EmbeddedTarget, ServerTarget, Target, copy_on_server
from wire_double import WireDouble

MUTANTS = Path(__file__).parent / "orchestrator" / "mutants"

Mutant = Callable[[str], Start]


@pytest.fixture(name="mutant")
def _mutant(loaded: Loaded | None, tmp_path: Path) -> Mutant:
    def start_of(name: str) -> Start:
        connector = quick(tmp_path, loaded, MUTANTS / f"{name}.py")
        # A script that is started afresh finds the package beside its own folder only when told where it is.
        connector.environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        return lambda config, catalog: connector.start("write", config=config, catalog=catalog)

    return start_of


@pytest.fixture(name="embedded")
def _embedded(quick_folder: Path) -> Target:
    return EmbeddedTarget(quick_folder)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_state_that_is_acknowledged_too_early(dialect: str, mutant: Mutant, embedded: Target) -> None:
    found_out(mutant("ack_before_write"), "truncate_refresh_resumed", dialect, embedded, "stored; ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_state_that_goes_through_the_cdk(dialect: str, mutant: Mutant, embedded: Target) -> None:
    broken = mutant("state_through_the_cdk")
    found_out(broken, "basic_write_with_one_state", dialect, embedded, "a STATE came back altered")


def test_a_wipe_because_the_minimum_generation_is_the_generation(mutant: Mutant, embedded: Target) -> None:
    found_out(mutant("wipe_on_minimum_generation"), "truncate_refresh_resumed", REGISTRY, embedded, "stored; ")


def test_requests_that_are_not_cut_to_the_limits_of_strict_mode(mutant: Mutant) -> None:
    with WireDouble(strict=STRICT) as double:
        broken, target = mutant("limits_of_strict_mode_unread"), ServerTarget(double.url)
        found_out(broken, "batches_beyond_any_limit", REGISTRY, target, "it allows conditions of 10 values")


def found_out(broken: Start, scenario: str, dialect: str, target: Target, what: str) -> None:
    with pytest.raises(ContractBrokenError) as found:
        play(load(scenario), dialect, target, broken)
    assert what in str(found.value)


def test_a_removal_before_the_write(mutant: Mutant) -> None:
    losses = lost_by(mutant("delete_before_write"), "dedup_shrinking_and_growing_text", REGISTRY)
    assert any("no version of key" in loss for loss in losses)


def test_an_overwrite_that_removes_before_it_has_written(mutant: Mutant) -> None:
    losses = lost_by(mutant("overwrite_removes_first"), "overwrite_each_time", CUSTOM_IMAGE)
    assert any(loss.startswith("old record") for loss in losses)


def lost_by(broken: Start, scenario: str, dialect: str) -> tuple[str, ...]:
    """What the first kill has cost that has cost anything."""
    with (
        WireDouble() as double,
        closing(at_every_write(load(scenario), dialect, double, broken, copy_on_server, applied=True)) as kills,
    ):
        return next((each.lost for each in kills if each.lost), ())
