"""The CDK drives `DestinationQdrant` and gets what the command line gives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models.airbyte_protocol import AirbyteMessage, Status
from airbyte_cdk.models.airbyte_protocol_serializers import (
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecificationSerializer,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_qdrant import DestinationQdrant
from destination_qdrant.spec import connector_spec

LOGGER = logging.getLogger("airbyte")
SCENARIO = Path(__file__).parent / "scenarios" / "append"


def configuration(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((SCENARIO / "config.json").read_bytes())
    config["indexing"] = {"url": folder.as_uri(), "collection": "docs"}
    return config


def write(config: dict[str, Any], lines: list[bytes]) -> Iterator[AirbyteMessage]:
    raw_catalog = orjson.loads((SCENARIO / "catalog.json").read_bytes())
    for stream in raw_catalog["streams"]:
        stream["stream"]["supported_sync_modes"] = ["full_refresh"]  # the CDK's class insists
    catalog = ConfiguredAirbyteCatalogSerializer.load(raw_catalog)
    messages = (AirbyteMessageSerializer.load(orjson.loads(line)) for line in lines)
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
    emitted = list(write(configuration(tmp_path), lines))

    states = [message.state for message in emitted if message.state]
    assert len(states) == sum(b'"STATE"' in line for line in lines)
    assert [state.destinationStats.recordCount for state in states if state.destinationStats] == [
        float(sum(b'"RECORD"' in line for line in lines))
    ]


def test_write_raises_what_the_platform_understands(tmp_path: Path) -> None:
    stray = orjson.dumps({"type": "RECORD", "record": {"stream": "stranger", "data": {}, "emitted_at": 1}})
    with pytest.raises(AirbyteTracedException) as caught:
        list(write(configuration(tmp_path), [stray]))

    assert caught.value.failure_type is not None
    assert caught.value.failure_type.value == "config_error"
    assert "stranger" in str(caught.value.message)
