"""Every scenario of the small platform, in each dialect, against each kind of Qdrant (see `orchestrator.story`).

    MATRIX   every scenario in each dialect on every kind of Qdrant; unless set, only on the embedded engine, and those of
             `ADAPTATIONS` on the others

`make test-matrix` sets it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Connector
from orchestrator.contract import Output
from orchestrator.dialects import CUSTOM_IMAGE, DIALECTS, PYAIRBYTE, REGISTRY
from orchestrator.platform import READY
from orchestrator.plays import play
from orchestrator.story import load, names
from targets import CONFIGURATIONS, ServerTarget, Target

#: What a server, and one with strict mode, makes the connector do in its own way: larger requests cut to size, look-ups
#: and removals by key, by run and by generation, values and names on the wire, and texts of many chunks.
ADAPTATIONS = (
    ("batches_beyond_any_limit", REGISTRY),
    ("batches_beyond_any_limit", CUSTOM_IMAGE),
    ("cdc_update_then_delete", PYAIRBYTE),
    ("dedup_by_a_composite_key", CUSTOM_IMAGE),
    ("dedup_shrinking_and_growing_text", REGISTRY),
    ("keys_in_columns_with_names_of_ours", PYAIRBYTE),
    ("letters_of_all_kinds", CUSTOM_IMAGE),
    ("nesting", PYAIRBYTE),
    ("numbers_that_json_does_not_have", REGISTRY),
    ("overwrite_each_time", CUSTOM_IMAGE),
    ("refresh_of_one_of_two_namespaces", REGISTRY),
    ("text_of_200_kilobytes", PYAIRBYTE),
    ("truncate_refresh_dedup_resumed", REGISTRY),
    ("two_streams_of_which_one_fails", PYAIRBYTE),
)


def plays() -> Iterator[tuple[str, str, str]]:
    """Configuration, scenario and dialect."""
    for configuration in CONFIGURATIONS:
        if configuration == "embedded" or "MATRIX" in os.environ:
            yield from ((configuration, name, dialect) for name in names() for dialect in DIALECTS)
        else:
            yield from ((configuration, name, dialect) for name, dialect in ADAPTATIONS)


@pytest.mark.parametrize(("target", "name", "dialect"), list(plays()), indirect=["target"])
def test_scenario(name: str, dialect: str, quick_connector: Connector, target: Target) -> None:
    def start(config: Any, catalog: Any) -> Any:
        return quick_connector.start("write", config=config, catalog=catalog)

    played = play(load(name), dialect, target, start)
    assert played
    if isinstance(target, ServerTarget):
        transport = "gRPC" if target.prefer_grpc else "REST"
        assert [each for sync in played for each in places(sync.output) if f"({transport})" not in each] == []


def places(output: Output) -> list[str]:
    """Where it said that it writes to; it would fall back to REST where gRPC does not answer."""
    return [each for each in output.sentences if READY.decode() in each]


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
