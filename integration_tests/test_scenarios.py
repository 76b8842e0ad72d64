"""Every folder in `scenarios/` is one behaviour, run through the command line against every kind of Qdrant.

    config.json                 the configuration, without `indexing.url` and `indexing.collection`
    catalog.json                the configured catalog           } of the first sync;
    messages.jsonl              what comes in on stdin           } `catalog.2.json`, `messages.2.jsonl`, … of those that
    expected.json               what must be true afterwards     } follow (a catalog that is missing is the one before)
    seed.json                   points that are there before the first sync (optional)

`expected.json`:

    exit        the exit code; 0 unless given
    error       `failure_type`, and `texts` that the message must hold
    points      the payloads, in any order, compared in the `fields` that are listed; absent ones are left out.
                The name `#vector` may be listed too
    count       how many points there are
    collection  "absent": there is none
    unchanged   true: every point is what it was before this sync, and none is new
    states      recordCount of each emitted STATE, in order; unless given, all STATEs of the input must come back
    lines       the emitted STATEs, exactly
    log         texts that must be in the log (each in one line of it, which begins with its level)
    numbers     stream -> numbers of its row in the table at the end of the log, by column; those that are missing may be any
    no_warning  true: nothing in the log is a warning
    nowhere     texts that must not be in anything that was said

    MATRIX      in the environment: all of them run against every kind of Qdrant; unless set, all against the embedded engine
                and the double over REST, and those of `ADAPTATIONS` against the others

`make test-matrix` sets it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Connector, Finished, Json
from tables import numbers_in
from targets import CONFIGURATIONS, Target

SCENARIOS = Path(__file__).parent / "scenarios"

#: What a server, and one with strict mode, makes the connector do in its own way: points of others beside its own, removals
#: by generation, collections that do not fit, and values and vectors on the wire.
ADAPTATIONS = (
    "collection_of_another_dimension_is_left_alone",
    "collection_of_another_distance_is_left_alone",
    "from_field_with_and_without_text",
    "minimum_between_removes_only_what_is_below",
    "odd_values_are_stored_as_far_as_possible",
    "takeover_of_a_record_that_is_synced_again",
    "takeover_of_a_refreshed_stream",
    "takeover_of_an_overwritten_stream",
    "takeover_only_where_the_id_can_mean_no_other_record",
    "text_goes_into_the_chosen_field",
)

Points = list[Json]


def runs() -> Iterator[tuple[str, str]]:
    """Configuration and scenario."""
    names = sorted(folder.name for folder in SCENARIOS.iterdir() if folder.is_dir())
    for configuration in CONFIGURATIONS:
        everything = configuration in ("embedded", "double-rest") or "MATRIX" in os.environ
        yield from ((configuration, name) for name in (names if everything else ADAPTATIONS))


@pytest.mark.parametrize(("target", "name"), list(runs()), indirect=["target"])
def test_scenario(name: str, quick_connector: Connector, target: Target) -> None:
    folder = SCENARIOS / name
    config = json.loads((folder / "config.json").read_text())
    config["indexing"] = {**config.get("indexing", {}), **target.indexing()}
    if (folder / "seed.json").exists():
        seed = json.loads((folder / "seed.json").read_text())
        target.seed(seed["vector_size"], seed["points"])
    catalog: Json = {}
    before = target.points()
    for step in range(1, 100):
        suffix = "" if step == 1 else f".{step}"
        messages, expected = folder / f"messages{suffix}.jsonl", folder / f"expected{suffix}.json"
        if not expected.exists():
            assert step > 1
            break
        if (folder / f"catalog{suffix}.json").exists():
            catalog = json.loads((folder / f"catalog{suffix}.json").read_text())
        stdin = messages.read_bytes()
        finished = quick_connector.run("write", stdin, config=config, catalog=catalog)
        after = target.points()
        compare_words(json.loads(expected.read_text()), finished)
        compare_states(json.loads(expected.read_text()), finished, stdin)
        compare_points(json.loads(expected.read_text()), before, after)
        before = after


def compare_words(expected: Json, finished: Finished) -> None:
    """How it ended, and what was said about it."""
    assert finished.code == expected.get("exit", 0), (finished.error, finished.log)
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
    for stream, told in expected.get("numbers", {}).items():
        assert told.items() <= numbers_in(finished.log)[stream].items()
    if expected.get("no_warning"):
        assert [line for line in finished.log if not line.startswith("INFO")] == []
    for text in expected.get("nowhere", []):
        assert text not in finished.stdout.decode() + finished.stderr


def compare_states(expected: Json, finished: Finished, stdin: bytes) -> None:
    """STATEs come back in order, byte for byte what was sent but for their counts, and none is missing."""
    sent = [line.strip() for line in stdin.splitlines() if line.strip().startswith(b"{") and b'"STATE"' in line]
    emitted = [line for line in finished.stdout.splitlines() if b'"STATE"' in line]
    assert [without_counts(line) for line in emitted] == [without_counts(line) for line in sent[: len(emitted)]]
    if "lines" in expected:
        assert [line.decode() for line in emitted] == expected["lines"]
    if "states" in expected:
        counts = [state["state"].get("destinationStats") for state in finished.of("STATE")]
        assert [stats and stats["recordCount"] for stats in counts] == expected["states"]
    else:
        assert len(emitted) == len(sent)


def without_counts(state: bytes) -> bytes:
    return re.sub(rb',?\s*"destinationStats":\s*(null|\{([^{}]|\{[^{}]*\})*\})', b"", state)


def compare_points(expected: Json, before: Points | None, after: Points | None) -> None:
    """What is stored now is what is expected, in the fields that matter."""
    if expected.get("collection") == "absent":
        assert after is None
        return
    assert after is not None
    if expected.get("unchanged"):
        assert ordered(after) == ordered(before or [])
    if "count" in expected:
        assert len(after) == expected["count"]
    if "points" in expected:
        found = [{name: value for name, value in each.items() if name in expected["fields"]} for each in flat(after)]
        assert ordered(found) == ordered(expected["points"])


def flat(points: Points) -> list[Json]:
    """The payloads, with the vector as one more field."""
    return [{**point["payload"], "#vector": point["vector"]} for point in points]


def ordered(payloads: Sequence[Any]) -> list[str]:
    return sorted(json.dumps(payload, sort_keys=True) for payload in payloads)
