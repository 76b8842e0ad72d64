"""Every scenario of the small platform, in each dialect, against each kind of Qdrant (see `orchestrator.story`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from command_line import Connector
from orchestrator.dialects import DIALECTS
from orchestrator.plays import play
from orchestrator.story import load, names
from targets import Target


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("target", ["embedded", "server-rest", "server-grpc"], indirect=True)
@pytest.mark.parametrize("name", names())
def test_scenario(name: str, dialect: str, connector: Connector, target: Target) -> None:
    def start(config: Any, catalog: Any) -> Any:
        return connector.start("write", config=config, catalog=catalog)

    assert play(load(name), dialect, target, start)


def test_the_table_of_promises_names_a_scenario_in_each_cell() -> None:
    told = (Path(__file__).parent.parent / "docs" / "delivery.md").read_text(encoding="utf-8")
    section = told.partition("## What holds, mode by mode and sender by sender\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    cells = [cell for _, *dialects in rows[2:] for cell in dialects]
    assert [cell.strip() for cell in rows[0][1:]] == list(DIALECTS)
    assert len(cells) == len(rows[2:]) * len(DIALECTS) > 0
    assert all(set(re.findall("`([a-z_]+)`", cell)) & set(names()) for cell in cells)
    named = set(re.findall("`([a-z]+(?:_[a-z0-9]+){2,})`", " ".join(cells))) - {"append_dedup"}
    assert named <= set(names())
