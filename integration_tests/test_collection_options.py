"""What a user asks of the collection itself: that it exists, its vector, its indexes, and whose vectors it holds."""

from __future__ import annotations

from typing import Any

import pytest
from command_line import Connector, Finished, Json
from running_write import APPEND, FROM_FIELD, OVERWRITE, ids, jsonl, record, state, state_ids, with_config
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

FAKE = {"processing": {"chunk_size": 100}, "embedding": {"mode": "fake"}}

both = pytest.mark.parametrize("target", ["embedded", "double"], indirect=True)


def status(connector: Connector, config: Json) -> tuple[str, str]:
    """What a check says."""
    finished = connector.run("check", config=config)
    found: Json = finished.of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert (finished.code, finished.stderr) == (0, "")
    return found["status"], found["message"]


def refused(connector: Connector, config: Json, catalog: Json) -> str:
    """What a write says that the configuration does not let begin."""
    finished = connector.run("write", jsonl(record(9), state(9)), config=config, catalog=catalog)
    assert (finished.code, finished.of("STATE"), finished.stderr) == (1, [], "")
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    return str(finished.error["message"])


def written(connector: Connector, config: Json, *messages: Json, catalog: Json = APPEND) -> Finished:
    finished = connector.run("write", jsonl(*messages, state(1)), config=config, catalog=catalog)
    assert (finished.code, state_ids(finished)) == (0, [1]), finished.error
    return finished


def warnings(finished: Finished) -> list[str]:
    return [line for line in finished.log if line.startswith("WARN")]


def indexes(target: Target) -> dict[str, str]:
    """Path -> type of every payload index."""
    if isinstance(target, ServerTarget):
        return {path: index["data_type"] for path, index in target.ask("GET", "")["payload_schema"].items()}
    assert isinstance(target, EmbeddedTarget)
    import qdrant_edge

    engine = qdrant_edge.EdgeShard.load(str(target.folder / "docs" / "shard"))
    try:
        found = engine.info().payload_schema
        return {path: str(index.data_type).rpartition(".")[2].lower() for path, index in found.items()}
    finally:
        engine.close()


@both
def test_a_collection_that_must_exist_is_never_created(connector: Connector, target: Target) -> None:
    config = with_config({**target.indexing(), "collection_management": "must_exist"})
    for message in (status(connector, config)[1], refused(connector, config, APPEND)):
        assert "does not exist" in message
        assert "indexing.collection_management is must_exist" in message
        assert "4-dimensional cos vectors (unnamed)" in message
    assert target.points() is None

    target.seed(4, [{"id": 7, "vector": [1, 0, 0, 0], "payload": {"id": 7}}])

    assert status(connector, config)[0] == "SUCCEEDED"
    written(connector, config, record(8))
    assert ids(target) == [7, 8]


def test_a_check_tries_out_a_write_where_there_is_a_collection(connector: Connector) -> None:
    with WireDouble() as double:
        target = ServerTarget(double.url)
        config = with_config(target.indexing())
        double.fail("POST /collections/[^/]+/points/delete", times=99, status=403)
        assert status(connector, config)[0] == "SUCCEEDED"
        target.seed(4, [{"id": 7, "vector": [1, 0, 0, 0], "payload": {}}])
        found, message = status(connector, config)
    assert found == "FAILED"
    assert "write access" in message


@both
def test_vectors_of_another_model_are_refused_until_the_guard_is_off(connector: Connector, target: Target) -> None:
    """The note outlives every point: an overwrite in between has replaced them all."""
    fake = {**FAKE, "indexing": target.indexing()}
    ready = {**FROM_FIELD, "embedding": {**FROM_FIELD["embedding"], "dimensions": 1536}, "indexing": target.indexing()}
    unguarded = {**ready, "indexing": {**target.indexing(), "model_guard": False}}
    for number in (1, 2):
        assert warnings(written(connector, fake, record(number), catalog=OVERWRITE)) == []
    before = target.points()

    for message in (status(connector, ready)[1], refused(connector, ready, OVERWRITE)):
        assert "vectors of fake (1536 dimensions)" in message
        assert "vectors of the records (1536 dimensions)" in message
        assert "indexing.model_guard" in message
    assert target.points() == before

    (warning,) = warnings(written(connector, unguarded, record(3, v=[0.5] * 1536)))
    assert "vectors of fake (1536 dimensions)" in warning
    assert len(target.points() or []) == 2
    assert "holds vectors of the records" in status(connector, fake)[1]


@both
def test_vector_and_indexes_are_those_of_the_configuration(connector: Connector, target: Target) -> None:
    def asked(indexing: Json, *wanted: Any) -> Json:
        fields = ("field", "type", "tenant")
        listed = [dict(zip(fields, each, strict=False)) for each in wanted]
        return {**FAKE, "indexing": {**target.indexing(), **indexing, "payload_indexes": listed}}

    named = {"vector_name": "text", "distance_metric": "manhattan"}
    first = asked(named, ("category", "keyword", True), ('o."two words"', "float"), ("on", "datetime"))
    assert warnings(written(connector, first, record(1, category="a"))) == []
    (warning,) = warnings(written(connector, asked(named, ('"on"', "integer"), ("c[].x", "uuid")), record(2)))

    assert "on is indexed as datetime, not as integer" in warning
    assert [list(point["vector"]) for point in target.points() or []] == [["text"]] * 2
    assert indexes(target) == {
        "_ab_stream": "keyword",
        "_ab_namespace": "keyword",
        "_ab_record_key": "keyword",
        "_ab_run_id": "keyword",
        "_ab_generation_id": "integer",
        "_ab_content_hash": "keyword",
        "category": "keyword",
        'o."two words"': "float",
        "on": "datetime",
        "c[].x": "uuid",
    }
    message = status(connector, asked({"distance_metric": "manhattan"}))[1]
    assert "has no unnamed vector" in message
    assert "Set the field indexing.vector_name to text" in message
