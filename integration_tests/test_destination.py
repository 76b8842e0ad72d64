"""The CDK drives `DestinationQdrant` and gets what the command line gives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models.airbyte_protocol import AirbyteMessage, AirbyteRecordMessage, Status, Type
from airbyte_cdk.models.airbyte_protocol_serializers import (
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecificationSerializer,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from targets import EmbeddedTarget

from destination_qdrant import DestinationQdrant
from destination_qdrant.spec import connector_spec

LOGGER = logging.getLogger("airbyte")
SCENARIO = Path(__file__).parent / "scenarios" / "append"


def configuration(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((SCENARIO / "config.json").read_bytes())
    config["indexing"] = EmbeddedTarget(folder).indexing()
    return config


def read(lines: list[bytes]) -> Iterator[AirbyteMessage]:
    return (AirbyteMessageSerializer.load(orjson.loads(line)) for line in lines)


def write(
    config: dict[str, Any], messages: Iterator[AirbyteMessage], *, mode: str = "append"
) -> Generator[AirbyteMessage, None, None]:
    raw_catalog = orjson.loads((SCENARIO / "catalog.json").read_bytes())
    for stream in raw_catalog["streams"]:
        stream["stream"]["supported_sync_modes"] = ["full_refresh"]  # the CDK's class insists
        stream["destination_sync_mode"] = mode
    catalog = ConfiguredAirbyteCatalogSerializer.load(raw_catalog)
    yield from DestinationQdrant().write(config, catalog, messages)


def test_it_is_a_destination_of_the_cdk() -> None:
    assert issubclass(DestinationQdrant, Destination)


def test_spec_is_the_command_line_s() -> None:
    assert ConnectorSpecificationSerializer.dump(DestinationQdrant().spec(LOGGER)) | connector_spec() == (
        ConnectorSpecificationSerializer.dump(DestinationQdrant().spec(LOGGER))
    )


def test_check_succeeds_and_fails_with_a_sentence(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert DestinationQdrant().check(LOGGER, config).status is Status.SUCCEEDED

    del config["indexing"]["collection"]
    failed = DestinationQdrant().check(LOGGER, config)
    assert failed.status is Status.FAILED
    assert failed.message == "The configuration cannot be used: indexing.collection is missing."


def test_write_yields_every_state_and_stores_every_record(tmp_path: Path) -> None:
    lines = (SCENARIO / "messages.jsonl").read_bytes().splitlines()
    emitted = list(write(configuration(tmp_path), read(lines)))

    states = [message.state for message in emitted if message.state]
    assert len(states) == sum(b'"STATE"' in line for line in lines)
    assert [state.destinationStats.recordCount for state in states if state.destinationStats] == [
        float(sum(b'"RECORD"' in line for line in lines))
    ]


def test_write_raises_what_the_platform_understands(tmp_path: Path) -> None:
    stray = orjson.dumps({"type": "RECORD", "record": {"stream": "stranger", "data": {}, "emitted_at": 1}})
    with pytest.raises(AirbyteTracedException) as caught:
        list(write(configuration(tmp_path), read([stray])))

    assert caught.value.failure_type is not None
    assert caught.value.failure_type.value == "config_error"
    assert "stranger" in str(caught.value.message)


def test_a_silent_input_does_not_hold_back_a_state(tmp_path: Path) -> None:
    """The input goes on only after the STATE has come out, so waiting for more of it would never end."""
    lines = (SCENARIO / "messages.jsonl").read_bytes().splitlines()
    acknowledged = threading.Event()

    def silent() -> Iterator[AirbyteMessage]:
        yield from read(lines)
        assert acknowledged.wait(60)

    for message in write(configuration(tmp_path), silent()):
        if message.state:
            acknowledged.set()
    assert acknowledged.is_set()


def test_a_caller_that_leaves_early_finalizes_nothing(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    lines = (SCENARIO / "messages.jsonl").read_bytes().splitlines()
    list(write(config, read(lines)))
    before = {point["id"] for point in EmbeddedTarget(tmp_path).points() or ()}
    never = threading.Event()

    def silent() -> Iterator[AirbyteMessage]:
        yield from read(lines)
        never.wait()  # the caller does not wait for a source that says no more

    gone = write(config, silent(), mode="overwrite")
    next(gone)
    gone.close()
    never.set()

    assert before
    assert before <= {point["id"] for point in EmbeddedTarget(tmp_path).points() or ()}


def test_a_source_that_raises_is_no_end_of_the_input(tmp_path: Path) -> None:
    def broken() -> Iterator[AirbyteMessage]:
        yield from read((SCENARIO / "messages.jsonl").read_bytes().splitlines())
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        list(write(configuration(tmp_path), broken()))


def test_values_that_json_classes_of_the_cdk_can_hold_are_written(tmp_path: Path) -> None:
    record = AirbyteRecordMessage(stream="docs", data={"id": 2**70, "name": "\ud800", "v": [1, 0, 0, 0]}, emitted_at=1)
    list(write(configuration(tmp_path), iter([AirbyteMessage(type=Type.RECORD, record=record)])))

    (stored,) = EmbeddedTarget(tmp_path).points() or ()
    assert stored["payload"]["id"] == str(2**70)
