"""The small platform tells a broken connector from a sound one: each mutant breaks one promise, and is found out.

The same scenarios and kills pass with the connector itself (`test_promises`, `test_kills`).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from command_line import Connector
from orchestrator.contract import ContractBrokenError
from orchestrator.dialects import CUSTOM_IMAGE, DIALECTS, REGISTRY
from orchestrator.kills import at_every_write
from orchestrator.platform import Start
from orchestrator.plays import play
from orchestrator.story import load
from targets import EmbeddedTarget, copy_on_server
from wire_double import WireDouble

MUTANTS = Path(__file__).parent / "orchestrator" / "mutants"


def mutant(name: str, folder: Path) -> Start:
    connector = Connector(folder, MUTANTS / f"{name}.py")
    # A script finds the package beside its own folder only when told where it is.
    connector.environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    return lambda config, catalog: connector.start("write", config=config, catalog=catalog)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_state_that_is_acknowledged_too_early(dialect: str, tmp_path: Path) -> None:
    found_out("ack_before_write", "truncate_refresh_resumed", dialect, tmp_path, "stored; ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_state_that_goes_through_the_cdk(dialect: str, tmp_path: Path) -> None:
    found_out("state_through_the_cdk", "basic_write_with_one_state", dialect, tmp_path, "a STATE came back altered")


def test_a_wipe_because_the_minimum_generation_is_the_generation(tmp_path: Path) -> None:
    found_out("wipe_on_minimum_generation", "truncate_refresh_resumed", REGISTRY, tmp_path, "stored; ")


def found_out(name: str, scenario: str, dialect: str, folder: Path, what: str) -> None:
    with pytest.raises(ContractBrokenError) as broken:
        play(load(scenario), dialect, EmbeddedTarget(folder), mutant(name, folder))
    assert what in str(broken.value)


def test_a_removal_before_the_write(tmp_path: Path) -> None:
    losses = lost_by("delete_before_write", "dedup_shrinking_and_growing_text", REGISTRY, tmp_path)
    assert any("no version of key" in loss for loss in losses)


def test_an_overwrite_that_removes_before_it_has_written(tmp_path: Path) -> None:
    losses = lost_by("overwrite_removes_first", "overwrite_each_time", CUSTOM_IMAGE, tmp_path)
    assert any(loss.startswith("old record") for loss in losses)


def lost_by(name: str, scenario: str, dialect: str, folder: Path) -> tuple[str, ...]:
    """What the first kill has cost that has cost anything."""
    with (
        WireDouble() as double,
        closing(
            at_every_write(load(scenario), dialect, double, mutant(name, folder), copy_on_server, applied=True)
        ) as kills,
    ):
        return next((each.lost for each in kills if each.lost), ())
