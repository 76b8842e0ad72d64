"""Configurations of Airbyte's connector name no model: which one they mean is counted at the provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command_line import Connector, Json
from provider_server import ProviderServer
from running_write import APPEND, jsonl
from targets import ServerTarget
from wire_double import WireDouble

AIRBYTES = {"id": 1, "vector": [1.0] + [0.0] * 1535, "payload": {"_ab_stream": "docs", "text": "theirs"}}


@pytest.fixture(name="provider")
def _provider() -> Iterator[ProviderServer]:
    with ProviderServer(dimensions=1536) as server:
        yield server


@pytest.fixture(name="target")
def _target() -> Iterator[ServerTarget]:
    with WireDouble() as double:
        yield ServerTarget(double.url)


def _config(provider: ProviderServer, target: ServerTarget, model: str | None = None) -> Json:
    key: Json = {"mode": "openai", "openai_key": "sk-test", "base_url": f"{provider.url}/v1", "model_name": model}
    return {
        "processing": {"chunk_size": 100, "text_fields": ["text"]},
        "embedding": key,
        "indexing": target.indexing(),
    }


def _write(connector: Connector, config: Json) -> list[str]:
    record = {"type": "RECORD", "record": {"stream": "docs", "data": {"id": 2, "text": "ours"}, "emitted_at": 1}}
    finished = connector.run("write", jsonl(record), config=config, catalog=APPEND)
    assert (finished.code, finished.error) == (0, None)
    return finished.log


def _models(provider: ProviderServer) -> list[str]:
    return [each.asked.model for each in provider.seen]


def test_a_collection_that_airbytes_connector_filled_keeps_its_model(
    quick_connector: Connector, provider: ProviderServer, target: ServerTarget
) -> None:
    target.seed(1536, [AIRBYTES])
    config = _config(provider, target)
    answer = quick_connector.run("check", config=config).of("CONNECTION_STATUS")[0]["connectionStatus"]
    log = _write(quick_connector, config)
    _write(quick_connector, config)

    assert answer["status"] == "SUCCEEDED"
    assert "text-embedding-ada-002, which Airbyte's own connector always used" in answer["message"]
    assert any(line.startswith("INFO embedding.model_name is empty") for line in log)
    assert set(_models(provider)) == {"text-embedding-ada-002"}


def test_a_new_collection_gets_the_current_model_and_keeps_it(
    quick_connector: Connector, provider: ProviderServer, target: ServerTarget
) -> None:
    for _ in range(2):
        _write(quick_connector, _config(provider, target))

    assert set(_models(provider)) == {"text-embedding-3-small"}


def test_another_model_of_the_same_length_beside_airbytes_points_is_warned_of(
    quick_connector: Connector, provider: ProviderServer, target: ServerTarget
) -> None:
    target.seed(1536, [AIRBYTES])
    config = _config(provider, target, "text-embedding-3-small")
    answer = quick_connector.run("check", config=config).of("CONNECTION_STATUS")[0]["connectionStatus"]
    log = _write(quick_connector, config)

    assert "vectors of text-embedding-ada-002, which cannot be compared" in answer["message"]
    assert any(line.startswith("WARN Airbyte's own connector has left points here") for line in log)
