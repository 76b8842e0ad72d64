"""Every folder in `scenarios/` is one behaviour, run through the command line against every kind of Qdrant.

    config.json                 the configuration, without `indexing.url` and `indexing.collection`
    catalog.json                the configured catalog           } of the first sync;
    messages.jsonl              what comes in on stdin           } `catalog.2.json`, `messages.2.jsonl`, … of those that
    expected.json               what must be true afterwards     } follow (a catalog that is missing is the one before)
    seed.json                   points that are there before the first sync (optional)

`expected.json`: `exit` (0), `points` (the payloads, in any order, compared in the fields that `fields` lists; absent
fields are left out), `count` (instead of points), `states` (recordCount of each emitted STATE, in order; all states of
the input must come back unless this says otherwise), `log` (texts that must be in the log), `error` (failure_type
and texts that must be in the message).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Connector, Finished, Json, Target

SCENARIOS = Path(__file__).parent / "scenarios"


@pytest.mark.parametrize("name", sorted(folder.name for folder in SCENARIOS.iterdir() if folder.is_dir()))
def test_scenario(name: str, connector: Connector, target: Target) -> None:
    folder = SCENARIOS / name
    config = json.loads((folder / "config.json").read_text())
    config["indexing"] = {**config.get("indexing", {}), **target.indexing()}
    if (folder / "seed.json").exists():
        seed = json.loads((folder / "seed.json").read_text())
        target.seed(seed["vector_size"], seed["points"])
    catalog: Json = {}
    for step in range(1, 100):
        suffix = "" if step == 1 else f".{step}"
        messages, expected = folder / f"messages{suffix}.jsonl", folder / f"expected{suffix}.json"
        if not expected.exists():
            assert step > 1
            break
        if (folder / f"catalog{suffix}.json").exists():
            catalog = json.loads((folder / f"catalog{suffix}.json").read_text())
        stdin = messages.read_bytes()
        finished = connector.run("write", stdin, config=config, catalog=catalog)
        compare(json.loads(expected.read_text()), finished, stdin, target)


def compare(expected: Json, finished: Finished, stdin: bytes, target: Target) -> None:
    """Compare what happened with what was expected."""
    assert (finished.code, finished.error) == (expected.get("exit", 0), finished.error), finished.log
    assert finished.stderr == ""
    if "error" in expected:
        assert finished.error is not None
        assert finished.error["failure_type"] == expected["error"]["failure_type"]
        for text in expected["error"].get("texts", []):
            assert text in finished.error["message"]
    elif not finished.code:
        assert finished.error is None
    for text in expected.get("log", []):
        assert any(text in line for line in finished.log), finished.log
    compare_states(expected, finished, stdin)
    compare_points(expected, target)


def compare_states(expected: Json, finished: Finished, stdin: bytes) -> None:
    """STATEs come back in order, equal to what was sent but for their counts, and none is missing."""
    sent = [json.loads(line) for line in stdin.splitlines() if line.startswith(b"{") and b'"STATE"' in line]
    emitted = finished.of("STATE")
    counts = []
    for state, original in zip(emitted, sent, strict=False):
        stats = state["state"].pop("destinationStats", None)
        original["state"].pop("destinationStats", None)
        assert state == original
        counts.append(stats and stats["recordCount"])
    if "states" in expected:
        assert counts == expected["states"]
    else:
        assert len(emitted) == len(sent)


def compare_points(expected: Json, target: Target) -> None:
    """The stored payloads are the expected ones, in the fields that matter."""
    stored = target.points()
    if expected.get("collection") == "absent":
        assert stored is None
        return
    assert stored is not None
    if "count" in expected:
        assert len(stored) == expected["count"]
    if "points" in expected:
        found = [only(point["payload"], expected["fields"]) for point in stored]
        assert ordered(found) == ordered(expected["points"])


def only(payload: Json, fields: list[str]) -> Json:
    return {name: payload[name] for name in fields if name in payload}


def ordered(payloads: list[Any]) -> list[str]:
    return sorted(json.dumps(payload, sort_keys=True) for payload in payloads)
