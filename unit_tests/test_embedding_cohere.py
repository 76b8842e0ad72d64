"""Cohere, seen from the wire."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from destination_qdrant import config
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.embedding.cohere import CohereEmbedder, cohere_client
from destination_qdrant.embedding.models import MODELS
from destination_qdrant.embedding.requests import Patience
from destination_qdrant.errors import ConfigError, ConnectorError, SystemFault, TransientError
from destination_qdrant.retry import RetryPolicy
from destination_qdrant.vectors import Dense, pack

KEY = "very-secret-key"
TEXT = "the secret text of a record"


class Wire:
    """The library's own transport seam: remembers requests, answers with what a test wants."""

    def __init__(self, answer: Callable[[dict[str, Any]], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.client = httpx.Client(transport=httpx.MockTransport(self._take))
        self.patience = Patience(
            RetryPolicy(60, first_wait=1), clock=lambda: sum(self.slept), sleep=self.slept.append, jitter=lambda: 1.0
        )

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(json.loads(request.content))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def embedder(self, model: str = "embed-new", dimensions: int | None = None) -> CohereEmbedder:
        client = cohere_client(f" {KEY}\n", http_client=self.client)
        return CohereEmbedder(client, settings(model, dimensions), patience=self.patience)


def settings(model: str = "embed-new", dimensions: int | None = None, base_url: str | None = None) -> config.Cohere:
    """One request at a time."""
    requests = config.Requests(in_flight=1, retry_seconds=60)
    return config.Cohere(
        cohere_key=SecretStr(KEY), model_name=model, dimensions=dimensions, base_url=base_url, requests=requests
    )


def numbers(text: str) -> list[float]:
    return [float(len(text)), 0.5, 0.5, 0.5]


def encoded(values: list[float]) -> str:
    return base64.b64encode(pack(values)).decode()


def data(kind: str, items: object) -> httpx.Response:
    return httpx.Response(200, json={"id": "1", "texts": [], "embeddings": {kind: items}})


def good(body: dict[str, Any]) -> httpx.Response:
    values = [numbers(text) for text in body["texts"]]
    return data("base64", [*map(encoded, values)]) if body["embedding_types"] == ["base64"] else data("float", values)


def refusal(status: int, *, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json={"message": f"wrong {KEY} for {TEXT}"}, headers=headers)


def expect(texts: list[str]) -> list[Dense]:
    return [Dense.of(numbers(text)) for text in texts]


def test_documents_and_questions_are_asked_for_as_such() -> None:
    wire = Wire(good)
    embedder = wire.embedder()

    assert embedder.embed_documents(["a", "bb"]) == expect(["a", "bb"])
    assert embedder.embed_query("ccc") == expect(["ccc"])[0]
    common = {"model": "embed-new", "embedding_types": ["base64"], "truncate": "NONE"}
    assert wire.bodies == [
        {"texts": ["a", "bb"], "input_type": "search_document", **common},
        {"texts": ["ccc"], "input_type": "search_query", **common},
    ]
    assert str(wire.requests[0].url) == "https://api.cohere.com/v2/embed"
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_dimensions_are_sent_when_they_are_not_the_models_own() -> None:
    wire = Wire(lambda body: data("base64", [encoded([1.0] * body.get("output_dimension", 1536))]))

    assert wire.embedder("embed-v4.0", 256).embed_documents(["a"])[0].dimensions == 256
    assert wire.embedder("embed-v4.0", 1536).embed_documents(["a"])[0].dimensions == 1536
    assert [body.get("output_dimension") for body in wire.bodies] == [256, None]


def test_nothing_of_the_environment_reaches_a_request() -> None:
    code = """
import httpx
from destination_qdrant import config
from destination_qdrant.embedding.cohere import CohereEmbedder, cohere_client
def answer(request):
    print(request.url, request.headers["authorization"])
    return httpx.Response(200, json={"embeddings": {"base64": ["AACAPw=="]}})
client = cohere_client("own-key", http_client=httpx.Client(transport=httpx.MockTransport(answer)))
CohereEmbedder(client, config.Cohere(cohere_key="own-key", model_name="m")).embed_documents(["a"])
"""  # a process of its own, because the SDK reads the address when it is imported
    environment = {**os.environ, "CO_API_URL": "http://localhost:9", "CO_API_KEY": "stray-key"}
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)

    assert printed.stdout.strip() == "https://api.cohere.com/v2/embed Bearer own-key"


def test_requests_hold_96_texts() -> None:
    wire = Wire(good)
    texts = ["x" * (1 + number % 5) for number in range(200)]

    assert wire.embedder().embed_documents(texts) == expect(texts)
    assert [len(body["texts"]) for body in wire.bodies] == [96, 96, 8]


def _no_base64(body: dict[str, Any]) -> httpx.Response:
    return refusal(400) if body["embedding_types"] == ["base64"] else good(body)


def _floats_only(body: dict[str, Any]) -> httpx.Response:
    return data("float", [numbers(text) for text in body["texts"]])


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (_no_base64, ["base64", "float", "float", "float"]),
        (_floats_only, ["base64", "float", "base64", "float", "float"]),
    ],
)
def test_a_model_without_base64_is_asked_for_numbers_from_then_on(
    answer: Callable[[dict[str, Any]], httpx.Response], asked: list[str]
) -> None:
    wire = Wire(answer)
    embedder = wire.embedder()

    for text in ("a", "bb", "ccc"):
        assert embedder.embed_documents([text]) == expect([text])
    assert [body["embedding_types"] for body in wire.bodies] == [[each] for each in asked]


def test_one_broken_answer_does_not_end_base64() -> None:
    answers = iter([good, lambda _: data("base64", []), good])
    wire = Wire(lambda body: next(answers)(body))  # noqa: PLW0108 -- another one each time
    embedder = wire.embedder()

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert embedder.embed_documents(["bb"]) == expect(["bb"])
    assert [body["embedding_types"] for body in wire.bodies] == [["base64"]] * 3
    assert wire.slept == [1.0]


_DEEP = b"[" * 100_000


@pytest.mark.parametrize("status", [200, 400])
def test_json_that_is_too_deep_to_read_is_no_answer(status: int) -> None:
    wire = Wire(lambda _: httpx.Response(status, content=_DEEP, headers={"content-type": "application/json"}))

    with pytest.raises(SystemFault, match="Cohere sent an answer that cannot be used"):
        wire.embedder().embed_documents(["a"])


@pytest.mark.parametrize(
    "answer",
    [
        data("base64", [encoded(numbers("a"))]),
        data("base64", [encoded(numbers("a")), encoded([float("nan")] * 4)]),
        data("base64", [encoded(numbers("a")), encoded([0.0] * 4)]),
        data("int8", [[1], [2]]),
        httpx.Response(200, html=f"<html>{TEXT}</html>"),
        httpx.Response(200, json={"message": TEXT}),
        httpx.Response(200, json=[TEXT]),
        httpx.Response(200, json={"embeddings": TEXT}),
        httpx.Response(200, json=None),
    ],
    ids=["short", "nan", "zeros", "kind", "html", "message", "list", "text", "null"],
)
def test_a_broken_answer_is_a_fault_and_not_a_vector(answer: httpx.Response) -> None:
    wire = Wire(lambda _: httpx.Response(200, content=answer.content, headers=answer.headers))

    with pytest.raises(SystemFault, match="Cohere sent an answer that cannot be used") as caught:
        wire.embedder().embed_documents([TEXT, TEXT])
    assert TEXT not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (400, r"embedding\.model_name"),
        (401, r"embedding\.cohere_key"),
        (402, "no quota left"),
        (403, r"embedding\.cohere_key"),
        (404, r"embedding\.model_name"),
        (498, r"embedding\.model_name"),
    ],
)
def test_what_the_user_must_change_is_not_tried_again(status: int, match: str) -> None:
    wire = Wire(lambda _: refusal(status))

    with pytest.raises(ConfigError, match=match) as caught:
        wire.embedder().embed_documents([TEXT])
    assert caught.value.detail == f"HTTP {status}"
    assert wire.slept == []


@pytest.mark.parametrize("status", [408, 429, 499, 500, 503, 504])
def test_what_may_pass_later_is_tried_again(status: int) -> None:
    answers = [refusal(status, headers={"Retry-After": "7"})]
    wire = Wire(lambda body: answers.pop() if answers else good(body))

    assert wire.embedder().embed_documents(["a"]) == expect(["a"])
    assert wire.slept == [7.0]


def test_a_connection_that_fails_is_tried_again_and_then_transient() -> None:
    def answer(_: dict[str, Any]) -> httpx.Response:
        raise httpx.ConnectError(f"refused {KEY}")

    wire = Wire(answer)
    with pytest.raises(TransientError, match="Cohere could not be reached"):
        wire.embedder().embed_documents(["a"])
    assert sum(wire.slept) == 60


@pytest.mark.parametrize("failure", [httpx.InvalidURL(KEY), httpx.UnsupportedProtocol(KEY)])
def test_an_address_that_cannot_be_asked_is_not_tried_again(failure: Exception) -> None:
    def answer(_: dict[str, Any]) -> httpx.Response:
        raise failure

    wire = Wire(answer)
    with pytest.raises(ConfigError, match=r"^Cohere cannot be asked; check the network and the proxy") as caught:
        wire.embedder().embed_documents(["a"])
    assert wire.slept == []
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_text_to_another_host(status: int) -> None:
    paths: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is that of http.server
            paths.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 -- the name is that of http.server

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        try:
            embedder = CohereEmbedder(cohere_client(KEY, address), settings(base_url=address))
            with pytest.raises(ConfigError, match=rf"redirects .* \(HTTP {status}\).*; set embedding\.base_url"):
                embedder.embed_documents([TEXT])
            embedder.close()
        finally:
            server.shutdown()
            thread.join()

    assert paths == ["/v2/embed"]


def test_a_request_that_is_too_large_is_cut_and_stays_in_order() -> None:
    def answer(body: dict[str, Any]) -> httpx.Response:
        if len(body["texts"]) > 40:
            return httpx.Response(400, json={"message": "total number of texts must be at most 40"})
        return good(body)

    texts = ["x" * (1 + number % 5) for number in range(96)]

    assert Wire(answer).embedder().embed_documents(texts) == expect(texts)


@pytest.mark.parametrize("status", [200, 400, 401, 413, 422, 503])
def test_neither_key_nor_text_is_in_an_error_or_in_what_it_is_chained_to(status: int) -> None:
    wire = Wire(lambda _: refusal(status))

    with pytest.raises(ConnectorError) as caught:
        wire.embedder().embed_documents([TEXT])
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.detail
    assert KEY not in shown
    assert TEXT not in shown


@pytest.mark.parametrize("model", MODELS["cohere"])
def test_a_known_model_states_its_default_dimensions_and_its_limit(model: str) -> None:
    embedder = Wire(good).embedder(model)

    assert embedder.model == embedder.fingerprint == f"cohere/{model}"
    assert embedder.dimensions == MODELS["cohere"][model].dimensions[0]
    assert embedder.limit == MODELS["cohere"][model].limit
    assert embedder.count_tokens("hello world") == 2


def test_names_with_dimensions_and_models_that_nobody_knows() -> None:
    wire = Wire(good)

    assert wire.embedder("embed-v4.0", 256).model == "cohere/embed-v4.0@256"
    assert wire.embedder("embed-v4.0", 1536).model == "cohere/embed-v4.0"
    unknown = wire.embedder("embed-new")
    assert (unknown.dimensions, unknown.limit) == (None, None)
    unknown.embed_documents(["a"])
    assert unknown.dimensions == 4


@pytest.mark.parametrize(
    ("model", "dimensions", "hint"), [("embed-english-v3.0", 512, "leave"), ("embed-v4.0", 2048, "change")]
)
def test_dimensions_that_a_model_cannot_have_are_refused(model: str, dimensions: int, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"not {dimensions}; {hint} embedding\.dimensions"):
        Wire(good).embedder(model, dimensions)


def test_other_dimensions_than_expected_name_the_field() -> None:
    with pytest.raises(ConfigError, match=r"of 4 numbers where 1024 were expected; check embedding\.dimensions"):
        Wire(good).embedder("embed-english-v3.0").embed_documents(["a"])


def test_a_margin_is_left_for_a_tokenizer_that_is_not_at_hand() -> None:
    assert Wire(good).embedder("embed-english-v3.0").limit == TextLimit(341)


def test_a_private_deployment_is_asked_at_its_address_and_named_by_its_field() -> None:
    wire = Wire(good)
    address = "https://cohere.example.com/"
    client = cohere_client(KEY, address, http_client=wire.client)
    embedder = CohereEmbedder(client, settings(base_url=address), patience=wire.patience)

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert str(wire.requests[0].url) == "https://cohere.example.com/v2/embed"
    wire.answer = lambda _: refusal(404)
    with pytest.raises(ConfigError, match=r"check embedding\.model_name and embedding\.base_url"):
        embedder.embed_documents(["a"])


@pytest.mark.parametrize("address", ["cohere.example.com", "http://a b", "http://999.1.1.1", "http://u:p@[v1.x]"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^embedding\.base_url ") as caught:
        cohere_client(KEY, address)
    assert address not in "".join(traceback.format_exception(caught.value))


def test_what_is_left_of_a_rate_limit_holds_the_next_request() -> None:
    def answer(body: dict[str, Any]) -> httpx.Response:
        found = good(body)
        found.headers.update({"X-RateLimit-Remaining-Requests": "0", "X-RateLimit-Reset-Requests": "6"})
        return found

    wire = Wire(answer)
    embedder = wire.embedder()
    embedder.embed_documents(["a"])
    embedder.embed_documents(["b"])
    assert wire.slept == [6.0]
    assert embedder.usage.throttled_seconds == 6.0


def test_closing_lets_go_of_the_connections() -> None:
    wire = Wire(good)
    embedder = wire.embedder()
    embedder.close()

    assert wire.client.is_closed


def test_a_trial_key_that_is_used_up_for_the_month_is_not_waited_for() -> None:
    message = "You are using a Trial key, which is limited to 1000 API calls / month."
    wire = Wire(lambda _: httpx.Response(429, json={"message": message}))

    with pytest.raises(ConfigError, match="no quota left"):
        wire.embedder().embed_documents(["a"])
    assert wire.slept == []


def test_a_model_that_is_gone_is_named_as_such() -> None:
    message = "model 'embed-english-light-v2.0' was removed on September 15, 2025."
    wire = Wire(lambda _: httpx.Response(404, json={"message": message}))

    with pytest.raises(ConfigError, match=r"does not know the model in embedding\.model_name: it is .* retired by now"):
        wire.embedder().embed_documents(["a"])


class _Silent(BaseHTTPRequestHandler):
    """Takes as many requests as there should be at once, and answers only when it is told to."""

    asked = threading.Barrier(24 + 1)
    told = threading.Event()

    def do_POST(self) -> None:  # the name is that of http.server
        self.rfile.read(int(self.headers["content-length"]))
        self.asked.wait(30)
        self.told.wait(30)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_all_requests_in_flight_are_under_way_at_once_and_closing_ends_them() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server, ThreadPoolExecutor(1) as pool:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            options = config.Requests(in_flight=24, batch_size=1)
            client = cohere_client(KEY, f"http://127.0.0.1:{server.server_port}", options=options)
            asking = config.Cohere(cohere_key=SecretStr(KEY), model_name="embed-new", requests=options)
            embedder = CohereEmbedder(client, asking)
            call = pool.submit(embedder.embed_documents, [str(number) for number in range(24)])
            _Silent.asked.wait(30)
            embedder.close()

            assert isinstance(call.exception(30), TransientError)
        finally:
            _Silent.told.set()
            server.shutdown()
            thread.join()
