"""What was embedded once is not paid for again: counted at the provider, through the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from command_line import Connector, Finished, Json
from provider_answers import bad_key
from provider_server import ProviderServer
from running_write import jsonl
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

RECORDS = 100
EVERYWHERE = pytest.mark.parametrize(
    "target", ["embedded", "double-rest-strict", "double-grpc", "server-rest", "server-grpc-strict"], indirect=True
)


@pytest.fixture(name="provider")
def _provider() -> Iterator[ProviderServer]:
    with ProviderServer(dimensions=8) as server:
        yield server


def _config(provider: ProviderServer, target: Target, *, model: str = "any", **indexing: Any) -> Json:
    """The vector size is left open, so that a sync that does not know it has to ask."""
    return {
        "embedding": {
            "mode": "openai_compatible",
            "base_url": f"{provider.url}/v1",
            "model_name": model,
            "requests": {"batch_size": 16, "retry_seconds": 0},
        },
        "processing": {"chunk_size": 8, "text_fields": ["text"]},
        "indexing": {**target.indexing(), **indexing},
    }


def _catalog(mode: str, generation: int = 0, minimum: int = 0) -> Json:
    stream = {"name": "notes", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "full_refresh",
                "destination_sync_mode": mode,
                "primary_key": [["id"]],
                "generation_id": generation,
                "minimum_generation_id": minimum,
                "sync_id": generation + 1,
            }
        ]
    }


#: How each mode is refreshed for the n-th time.
REFRESHES = {
    "overwrite": lambda n: _catalog("overwrite", n, n),
    "append": lambda n: _catalog("append", n, n),
    "append_dedup": lambda n: _catalog("append_dedup", n, n),
}


def _messages(changed: Sequence[int] = (), count: int = RECORDS) -> list[Json]:
    records = [
        {"id": number, "text": f"note {number}" + (" was changed" if number in changed else ""), "tag": "a"}
        for number in range(count)
    ]
    return [
        *({"type": "RECORD", "record": {"stream": "notes", "data": data, "emitted_at": 1}} for data in records),
        {
            "type": "STATE",
            "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "notes"}, "stream_state": {}}},
        },
        {
            "type": "TRACE",
            "trace": {
                "type": "STREAM_STATUS",
                "emitted_at": 1,
                "stream_status": {"stream_descriptor": {"name": "notes"}, "status": "COMPLETE"},
            },
        },
    ]


def _write(connector: Connector, config: Json, catalog: Json, messages: Sequence[Json]) -> Finished:
    return connector.run("write", jsonl(*messages), config=config, catalog=catalog)


def _done(finished: Finished) -> None:
    assert finished.error is None
    assert (finished.code, len(finished.of("STATE"))) == (0, 1)


def _stored(target: Target) -> Counter[tuple[int, str]]:
    points = target.points() or []
    return Counter(
        (point["payload"]["id"], point["payload"]["text"]) for point in points if "_ab_note" not in point["payload"]
    )


def _vectors(target: Target) -> dict[int, list[float]]:
    return {point["payload"]["id"]: point["vector"] for point in target.points() or []}


def _expected(changed: Sequence[int] = ()) -> Counter[tuple[int, str]]:
    data = [message["record"]["data"] for message in _messages(changed) if message["type"] == "RECORD"]
    return Counter((each["id"], f"text: {each['text']}") for each in data)


@EVERYWHERE
@pytest.mark.parametrize("mode", REFRESHES)
def test_a_refresh_embeds_only_what_changed(
    quick_connector: Connector, target: Target, provider: ProviderServer, mode: str
) -> None:
    config = _config(provider, target)
    _done(_write(quick_connector, config, REFRESHES[mode](1), _messages()))
    assert len(provider.texts) == RECORDS + 1  # one to find out the vector size
    first = _vectors(target)
    requests = len(provider.seen)

    _done(_write(quick_connector, config, REFRESHES[mode](2), _messages()))
    assert len(provider.seen) == requests
    assert _stored(target) == _expected()
    assert _vectors(target) == {each: pytest.approx(vector, abs=1e-6) for each, vector in first.items()}
    assert {point["payload"]["_ab_generation_id"] for point in target.points() or []} == {2}

    _done(_write(quick_connector, config, REFRESHES[mode](3), _messages(changed=[7])))
    assert provider.texts[RECORDS + 1 :] == ["text: note 7 was changed"]
    assert _stored(target) == _expected(changed=[7])


@EVERYWHERE
def test_an_unchanged_record_of_a_deduplicated_stream_is_not_written_again(
    quick_connector: Connector, target: Target, provider: ProviderServer
) -> None:
    config = _config(provider, target)
    _done(_write(quick_connector, config, _catalog("append_dedup"), _messages()))
    before = target.points()
    finished = _write(quick_connector, config, _catalog("append_dedup", generation=1), _messages(changed=[7]))
    _done(finished)

    assert provider.texts[RECORDS + 1 :] == ["text: note 7 was changed"]
    assert _stored(target) == _expected(changed=[7])
    kept = [point for point in target.points() or [] if point["payload"]["id"] != 7]
    assert kept == [point for point in before or [] if point["payload"]["id"] != 7]
    counts = finished.of("STATE")[0]["state"]["destinationStats"]
    assert counts["recordCount"] == RECORDS  # they are in Qdrant, which is what the source wants to know


def test_not_a_single_write_is_sent_for_unchanged_records(quick_connector: Connector, provider: ProviderServer) -> None:
    with WireDouble() as double:
        target = ServerTarget(double.url)
        config = _config(provider, target)
        _done(_write(quick_connector, config, _catalog("append_dedup"), _messages()))
        seen, before = len(double.log), target.points()
        _done(_write(quick_connector, config, _catalog("append_dedup"), _messages()))
        writes = [each for each in double.log[seen:] if "/points" in each.path and each.method in {"PUT", "DELETE"}]
        changes = [
            each for each in double.log[seen:] if each.path.endswith(("/delete", "/payload", "/vectors", "/batch"))
        ]
        after = target.points()

    assert writes == []
    assert len(changes) == 1  # a removal of nothing, after which everything that was sent before is carried out
    assert after == before


def test_a_refresh_that_failed_half_way_does_not_pay_twice(
    quick_connector: Connector, quick_folder: Any, provider: ProviderServer
) -> None:
    target = EmbeddedTarget(quick_folder)
    config = _config(provider, target, requests_in_flight=1, batch_size=20)
    config["embedding"]["requests"]["in_flight"] = 1
    provider.script(bad_key, times=1, skip=4)
    finished = _write(quick_connector, config, REFRESHES["overwrite"](1), _messages())
    assert finished.code == 1
    paid = Counter(provider.texts)
    stored = len(_stored(target))
    assert 0 < stored < RECORDS

    _done(_write(quick_connector, config, REFRESHES["overwrite"](1), _messages()))
    assert _stored(target) == _expected()
    again = Counter(provider.texts) - paid
    assert again.total() == RECORDS - stored


def test_another_model_embeds_everything_again(
    quick_connector: Connector, quick_folder: Any, provider: ProviderServer
) -> None:
    target = EmbeddedTarget(quick_folder)
    _done(_write(quick_connector, _config(provider, target), _catalog("append_dedup"), _messages()))
    other = _config(provider, target, model="other", model_guard=False)
    _done(_write(quick_connector, other, _catalog("append_dedup"), _messages()))

    assert Counter(each.asked.model for each in provider.seen for _ in each.asked.texts) == {
        "any": RECORDS + 1,
        "other": RECORDS + 1,
    }


def test_switched_off_everything_is_embedded_and_written_again(
    quick_connector: Connector, quick_folder: Any, provider: ProviderServer
) -> None:
    target = EmbeddedTarget(quick_folder)
    config = _config(provider, target, reuse_vectors=False)
    for generation in (1, 2):
        _done(_write(quick_connector, config, _catalog("append_dedup", generation), _messages()))

    assert len(provider.texts) == 2 * RECORDS + 1
    assert {point["payload"]["_ab_generation_id"] for point in target.points() or []} == {2}


def test_equal_texts_of_a_sync_are_sent_once(
    quick_connector: Connector, quick_folder: Any, provider: ProviderServer
) -> None:
    target = EmbeddedTarget(quick_folder)
    messages = _messages()
    for message in messages[:RECORDS]:
        message["record"]["data"]["text"] = f"note {message['record']['data']['id'] % 3}"
    config = _config(provider, target, batch_size=4)
    _done(_write(quick_connector, config, _catalog("append"), messages))

    assert sorted(provider.texts)[1:] == ["text: note 0", "text: note 1", "text: note 2"]
    assert len(target.points() or []) == RECORDS
