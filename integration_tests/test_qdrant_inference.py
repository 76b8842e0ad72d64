"""Mode `qdrant`: the server embeds. On the wire double and on a real server whose inference service is the tests' own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from command_line import Connector, Json
from inference_server import MINI, SMALL, WORDS, InferenceServer, InferenceService, vector_of
from servers import Servers
from targets import ServerTarget
from wire_double import WireDouble

from destination_qdrant.errors import ConfigError, PointRefusedError, TransientError
from destination_qdrant.qdrant.base import Point, PointId, VectorSchema, Where
from destination_qdrant.qdrant.server.access import Access
from destination_qdrant.qdrant.server.store import Patience, ServerStore, open_server
from destination_qdrant.retry import RetryPolicy
from destination_qdrant.vectors import UNNAMED, Dense, ServerText

EVERYTHING = Where(())
SHAPE = {UNNAMED: VectorSchema("dense", 4, "dot")}
POISON = "poison"


def small(text: str) -> ServerText:
    return ServerText(text, SMALL)


def embedded(text: str) -> Dense:
    return Dense.of(vector_of(text, 4))


def point(number: int, text: str) -> Point:
    return Point(number, {UNNAMED: small(text)}, {"n": number})


@dataclass
class Place:
    """A fresh collection's name on a server that embeds."""

    url: str
    service: InferenceService
    over_grpc: bool
    naps: list[float]
    collection: str

    def open(self, *, retry_seconds: float = 60, headers: tuple[tuple[str, str], ...] = ()) -> ServerStore:
        return open_server(
            Access(self.url, prefer_grpc=self.over_grpc, headers=headers),
            self.collection,
            patience=Patience(30, RetryPolicy(retry_seconds, first_wait=0, longest_wait=0)),
            sleep=self.naps.append,
        )


@pytest.fixture(name="embedding_server", scope="module")
def _embedding_server(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, InferenceServer]]:
    folder, lack = tmp_path_factory.mktemp("embedding"), "NO SERVER THAT EMBEDS TO TEST AGAINST"
    with InferenceServer(InferenceService()) as inference:
        environment = {"QDRANT__INFERENCE__ADDRESS": inference.url}
        with servers.own(folder, lack, calls_back=True, environment=environment) as server:
            yield server.url, inference


@contextmanager
def _at(kind: str, service: InferenceService, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind == "double":
        with WireDouble(grpc=True, inference=service) as double:
            yield double.url
        return
    url, inference = request.getfixturevalue("embedding_server")
    inference.service = service
    yield url


@pytest.fixture(name="place", params=["double-rest", "double-grpc", "server-rest", "server-grpc"])
def _place(request: pytest.FixtureRequest) -> Iterator[Place]:
    kind, transport = request.param.split("-")
    service = InferenceService(refused=POISON)
    with _at(kind, service, request) as url:
        yield Place(url, service, transport == "grpc", [], f"test-{secrets.token_hex(8)}")


def vectors(store: ServerStore, ids: Sequence[int], name: str = UNNAMED) -> dict[PointId, Dense]:
    return {point_id: found.vector for point_id, found in store.retrieve_vectors(ids, name).items()}


# ----------------------------------------------------------------------------------------------------------
# Writing


def test_texts_land_as_the_vectors_that_the_server_makes_of_them(place: Place) -> None:
    store = place.open()
    store.create(SHAPE)
    own = Dense.of([1, 2, 3, 4])

    store.upsert([point(1, "one"), Point(2, {UNNAMED: own}, {}), point(3, "três 🧩"), point(4, "one")])

    assert store.notes == ()
    assert vectors(store, [1, 2, 3, 4]) == {
        1: embedded("one"),
        2: own,
        3: embedded("três 🧩"),
        4: embedded("one"),
    }


def test_a_named_vector_is_made_beside_one_that_was_sent(place: Place) -> None:
    store = place.open()
    store.create({"text": VectorSchema("dense", 4, "dot"), "title": VectorSchema("dense", 2, "dot")})

    store.upsert([Point(1, {"text": small("one"), "title": Dense.of([1, 2])}, {})])

    assert vectors(store, [1], "text") == {1: embedded("one")}
    assert vectors(store, [1], "title") == {1: Dense.of([1, 2])}


def test_no_request_has_more_texts_than_a_server_embeds_in_time(place: Place) -> None:
    store = place.open()
    store.create(SHAPE)

    store.upsert([point(number, f"text {number}") for number in range(130)])

    assert place.service.sizes == [64, 64, 2]
    assert store.count(EVERYTHING) == 130


def test_the_key_of_another_provider_reaches_the_service(place: Place) -> None:
    store = place.open(headers=(("OpenAI-API-Key", "sk-test"),))
    store.create(SHAPE)

    store.require_inference(small("probe"), UNNAMED)
    store.upsert([point(1, "one")])

    assert place.service.keys == [{"openai-api-key": "sk-test"}] * 2


def test_a_rate_limit_and_an_outage_of_the_service_are_waited_out(place: Place) -> None:
    store = place.open()
    store.create(SHAPE)
    place.service.fail(429, {"Retry-After": "3"})
    place.service.fail(503)

    store.upsert([point(1, "one")])

    assert place.naps[:1] == [3]
    assert vectors(store, [1]) == {1: embedded("one")}


def test_an_outage_of_the_service_that_lasts_is_transient(place: Place) -> None:
    store = place.open(retry_seconds=0)
    store.create(SHAPE)
    place.service.fail(503)

    with pytest.raises(TransientError, match="inference service failed") as caught:
        store.upsert([point(1, "one")])

    assert "ada@" not in str(caught.value)


def test_the_one_text_that_the_service_refuses_is_found_and_the_others_are_written(place: Place) -> None:
    store = place.open()
    store.create(SHAPE)
    texts = ["one", "two", f"{POISON} of ada@example.org", "four", "five"]

    with pytest.raises(PointRefusedError, match=r"processing\.chunk_size") as caught:
        store.upsert([point(number, text) for number, text in enumerate(texts)])

    assert caught.value.index == 2
    assert "ada@" not in str(caught.value)
    assert {0, 1} <= {each.id for each in store.scroll(EVERYTHING, ())}


def test_a_request_that_the_service_finds_too_large_is_made_smaller(place: Place) -> None:
    store = place.open()
    store.create(SHAPE)
    place.service.fail(413)

    store.upsert([point(number, f"text {number}") for number in range(4)])

    assert place.service.sizes == [4, 2, 2]
    assert store.count(EVERYTHING) == 4


# ----------------------------------------------------------------------------------------------------------
# Finding out


@pytest.mark.parametrize("exists", [True, False])
def test_a_server_that_embeds_passes_and_nothing_is_written(place: Place, *, exists: bool) -> None:
    store = place.open()
    if exists:
        store.create(SHAPE)

    store.require_inference(small("probe"), UNNAMED)

    assert [(body["inference"], body["inputs"][0]["data"]) for body in place.service.seen] == [("search", "probe")]
    assert (store.describe() is not None) is exists
    assert not exists or store.count(EVERYTHING) == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_model_that_the_service_does_not_know_is_a_matter_of_configuration(place: Place, *, exists: bool) -> None:
    store = place.open()
    if exists:
        store.create(SHAPE)

    with pytest.raises(ConfigError, match=r"embedding\.model_name"):
        store.require_inference(ServerText("probe", "nobody/none"), UNNAMED)


@pytest.mark.parametrize(
    ("model", "said"), [(MINI, "of 4 dimensions there and was sent 384"), (WORDS, "dense vectors")]
)
def test_a_model_whose_vectors_do_not_fit_is_found_out(place: Place, model: str, said: str) -> None:
    store = place.open()
    store.create(SHAPE)

    with pytest.raises(ConfigError, match=said):
        store.require_inference(ServerText("probe", model), UNNAMED)


def test_a_service_that_lets_nobody_in_names_the_headers(place: Place) -> None:
    place.service.fail(401)

    with pytest.raises(ConfigError, match=r"indexing\.headers \(as openai-api-key"):
        place.open().require_inference(small("probe"), UNNAMED)


def test_a_service_that_is_away_is_no_verdict_on_the_configuration(place: Place) -> None:
    place.service.fail(429, times=9)

    with pytest.raises(TransientError, match="rate limit of its inference service"):
        place.open(retry_seconds=0).require_inference(small("probe"), UNNAMED)


def test_a_server_too_old_to_embed_is_not_asked_to() -> None:
    with WireDouble(version="1.12.1", inference=InferenceService()) as double:
        store = open_server(Access(double.url, prefer_grpc=False), "docs")
        with pytest.raises(ConfigError, match=r"1\.12\.1 .* cannot embed text.* use version 1\.12\.2 or later"):
            store.require_inference(small("probe"), UNNAMED)
        store.close()

        assert [each for each in double.log if each.is_like("points")] == []


# ----------------------------------------------------------------------------------------------------------
# The whole connector


def config(url: str, collection: str, **embedding: Any) -> Json:
    return {
        "embedding": {"mode": "qdrant", "model_name": MINI, **embedding},
        "processing": {"text_fields": ["body"], "chunk_size": 100},
        "indexing": {"url": url, "collection": collection, "distance_metric": "dot"},
    }


CATALOG = {
    "streams": [
        {
            "stream": {"name": "notes", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}


def records(*bodies: str) -> bytes:
    messages = [
        {"type": "RECORD", "record": {"stream": "notes", "data": {"body": body}, "emitted_at": 1}} for body in bodies
    ]
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def status(connector: Connector, configuration: Json) -> Json:
    (message,) = connector.run("check", config=configuration).of("CONNECTION_STATUS")
    return dict(message["connectionStatus"])


@pytest.mark.parametrize("over_grpc", [False, True])
def test_a_sync_writes_what_the_server_embeds(quick_connector: Connector, *, over_grpc: bool) -> None:
    service = InferenceService()
    with WireDouble(grpc=True, inference=service) as double:
        target = ServerTarget(double.url, prefer_grpc=over_grpc)
        configuration = config(double.url, target.collection, document_prefix="passage: ")
        configuration["indexing"]["prefer_grpc"] = over_grpc
        checked = status(quick_connector, configuration)
        asked_by_check = [body["inference"] for body in service.seen]
        done = quick_connector.run("write", records("one", "two"), config=configuration, catalog=CATALOG)
        points = target.points()

    assert (checked["status"], asked_by_check) == ("SUCCEEDED", ["search"])
    assert (done.code, done.error) == (0, None)
    assert points is not None
    assert {each["payload"]["text"]: each["vector"] for each in points} == {
        text: vector_of(f"passage: {text}", 384) for text in ("body: one", "body: two")
    }


def test_a_check_finds_out_that_a_server_embeds_nothing(quick_connector: Connector) -> None:
    with WireDouble() as double:
        checked = status(quick_connector, config(double.url, "docs"))
        done = quick_connector.run("write", records("one"), config=config(double.url, "docs"), catalog=CATALOG)
        made = [each for each in double.log if each.is_like("^PUT")]

    assert checked["status"] == "FAILED"
    assert "has no inference service" in checked["message"]
    assert done.error is not None
    assert done.error["failure_type"] == "config_error"
    assert made == []


def test_a_folder_is_refused(quick_connector: Connector) -> None:
    checked = status(quick_connector, config("file:///tmp/nowhere", "docs"))

    assert checked["status"] == "FAILED"
    assert "An embedded Qdrant cannot embed text" in checked["message"]
