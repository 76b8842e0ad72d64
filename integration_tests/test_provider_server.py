"""The provider server, asked by plain HTTP: the tests rely on what it says and counts."""

from __future__ import annotations

import base64
import http.client
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import provider_limits as limits
import pytest
from loopback import HOST
from provider_answers import Asked, in_milliseconds, no_quota, paused, vector
from provider_limits import RateLimit
from provider_server import ProviderServer


def ask(server: ProviderServer, *texts: str, path: str = "/v1/embeddings", **body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(HOST, int(server.url.rsplit(":", 1)[1]), timeout=30)
    named = {"texts": texts} if path.endswith("/v2/embed") else {"input": texts}
    connection.request("POST", path, json.dumps({**named, **body}), {"authorization": "Bearer k", "x-other": "1"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def asked_for(*texts: str) -> Asked:
    return Asked("openai", "/v1/embeddings", "any", texts, "float", None, {}, {}, 0)


def test_equal_texts_get_equal_vectors_in_each_dialect_and_encoding() -> None:
    with ProviderServer(dimensions=4) as server:
        _, floats = ask(server, "one", "two", "one")
        _, packed = ask(server, "one", encoding_format="base64", dimensions=3)
        _, cohere = ask(server, "two", path="/v2/embed", embedding_types=["float"])
        _, azure = ask(server, "one", path="/openai/deployments/any/embeddings?api-version=1")
        lost, _ = ask(server, "one", path="/v1/chat")
    one, two, again = (tuple(item["embedding"]) for item in floats["data"])
    assert one == again == vector("one", 4) == tuple(azure["data"][0]["embedding"])
    assert two == vector("two", 4) == tuple(cohere["embeddings"]["float"][0])
    assert one != two
    assert struct.unpack("<3f", base64.b64decode(packed["data"][0]["embedding"])) == vector("one", 3)
    assert (lost, server.lost) == (404, ["POST /v1/chat"])


def test_requests_are_recorded_without_their_key() -> None:
    with ProviderServer(limits=[limits.texts(1)], key="k").script(no_quota, times=1, skip=1) as server:
        ask(server, "one", "two")
        ask(server, "one", model="m")
        ask(server, "one")
    assert [(each.status, each.asked.texts) for each in server.seen] == [
        (400, ("one", "two")),
        (429, ("one",)),
        (200, ("one",)),
    ]
    assert server.seen[1].asked.model == "m"
    assert server.seen[0].asked.headers["x-other"] == "1"
    assert "Bearer" not in str(server.seen)


def test_a_gate_holds_requests_until_enough_are_there() -> None:
    with ProviderServer() as server, ThreadPoolExecutor(3) as pool:
        gate = server.hold(3, waves=2)
        assert {status for status, _ in pool.map(lambda _: ask(server, "one"), range(6))} == {200}
        assert (server.most_in_flight, gate.is_broken) == (3, False)
        again = server.hold(2, patience=0.01)
        ask(server, "one")
    assert again.is_broken


def test_a_rate_limit_refuses_what_is_over_it_and_says_for_how_long() -> None:
    now = [0.0]
    rate = RateLimit(tokens=60, burst=1 / 6, clock=lambda: now[0])
    eight, six = asked_for("a b c d", "e f g h"), asked_for("a b c d e f")
    assert rate.admit(eight)[0] is None
    refused, headers = rate.admit(six)
    assert refused
    assert (refused.status, refused.headers["retry-after-ms"], refused.headers["retry-after"]) == (429, "4000", "4")
    assert headers["x-ratelimit-remaining-tokens"] == "2"
    now[0] = 4.0
    assert rate.admit(six)[0] is None
    assert rate.admit(asked_for("a"))[0] is not None


@pytest.mark.parametrize(("at", "status"), [(0.0, 429), (0.4, 429), (0.5, 200)])
def test_a_pause_ends_at_the_time_that_it_named(at: float, status: int) -> None:
    times = iter([0.0, at])
    odd = paused(0.5, in_milliseconds, clock=lambda: next(times))
    odd(asked_for("a"), [])
    assert odd(asked_for("a"), []).status == status
