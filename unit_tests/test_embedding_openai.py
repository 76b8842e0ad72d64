"""OpenAI, Azure OpenAI and compatible services, seen from the wire."""

from __future__ import annotations

import base64
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx2
import pytest
from pydantic import SecretStr

from destination_qdrant import config
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.embedding.openai import OpenAIEmbedder, azure_client, compatible_client, openai_client
from destination_qdrant.embedding.openai_targets import (
    Target,
    azure_target,
    compatible_address,
    compatible_target,
    openai_target,
)
from destination_qdrant.embedding.requests import Patience
from destination_qdrant.errors import ConfigError, ConnectorError, SystemFault, TextRefusedError, TransientError
from destination_qdrant.retry import RetryPolicy
from destination_qdrant.vectors import Dense, pack

KEY = "sk-very-secret"
ONE_BY_ONE = config.Requests(in_flight=1, retry_seconds=60)
TEXT = "the secret text of a record"


class Wire:
    """The library's own transport seam: remembers requests, answers with what a test wants."""

    def __init__(self, answer: Callable[[dict[str, Any]], httpx2.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []
        self.slept: list[float] = []
        self.client = httpx2.Client(transport=httpx2.MockTransport(self._take))
        self.patience = Patience(
            RetryPolicy(60, first_wait=1), clock=lambda: sum(self.slept), sleep=self.slept.append, jitter=lambda: 1.0
        )

    def _take(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answer(json.loads(request.content))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def openai(self, model: str | None = "text-embedding-3-small", dimensions: int | None = 4) -> OpenAIEmbedder:
        client = openai_client(f" {KEY}\n", http_client=self.client)
        return OpenAIEmbedder(client, openai_target(model, dimensions), ONE_BY_ONE, patience=self.patience)

    def azure(self, dimensions: int | None = None, model: str | None = None) -> OpenAIEmbedder:
        client = azure_client(
            KEY, "https://res.openai.azure.com/", "my deployment", "2024-10-21", http_client=self.client
        )
        target = azure_target("my deployment", dimensions, model)
        return OpenAIEmbedder(client, target, ONE_BY_ONE, patience=self.patience)

    def compatible(self, **settings: Any) -> OpenAIEmbedder:
        given = {"base_url": "http://localhost:11434/v1", "model_name": "nomic", "dimensions": 4, **settings}
        embedding = config.OpenAICompatible(**given)
        client = compatible_client(
            embedding.api_key.get_secret_value(), compatible_address(embedding), http_client=self.client
        )
        return OpenAIEmbedder(client, compatible_target(embedding), ONE_BY_ONE, patience=self.patience)


def numbers(text: str, dimensions: int = 4) -> list[float]:
    return [float(len(text)), *[0.5] * (dimensions - 1)]


def encoded(values: list[float]) -> str:
    return base64.b64encode(pack(values)).decode()


def data(*items: object) -> httpx2.Response:
    return httpx2.Response(200, json={"data": [{"index": at, "embedding": item} for at, item in enumerate(items)]})


def good(body: dict[str, Any]) -> httpx2.Response:
    return data(*(encoded(numbers(text, body.get("dimensions", 4))) for text in body["input"]))


def shuffled(body: dict[str, Any]) -> httpx2.Response:
    answer = json.loads(good(body).content)
    return httpx2.Response(200, json={"data": answer["data"][::-1]})


def refusal(status: int, code: str | None = None, *, headers: dict[str, str] | None = None) -> httpx2.Response:
    error = {"message": f"Wrong key {KEY} for {TEXT}", "code": code, "type": "a_type"}
    return httpx2.Response(status, json={"error": error}, headers=headers)


def first(answer: httpx2.Response) -> Callable[[dict[str, Any]], httpx2.Response]:
    """This answer once, good ones afterwards."""
    answers = [answer]
    return lambda body: answers.pop() if answers else good(body)


def _at_v1(wire: Wire) -> Callable[[httpx2.Request], httpx2.Response]:
    """A server that knows its paths: what `wire` answers is only behind /v1."""

    def take(request: httpx2.Request) -> httpx2.Response:
        wire.requests.append(request)
        if request.url.path != "/v1/embeddings":
            return httpx2.Response(404, text="404 page not found")
        return wire.answer(json.loads(request.content))

    return take


def expect(texts: list[str], dimensions: int = 4) -> list[Dense]:
    return [Dense.of(numbers(text, dimensions)) for text in texts]


# ----------------------------------------------------------------------------------------------------------
# What is asked


def test_openai_gets_the_model_base64_and_the_dimensions() -> None:
    wire = Wire(good)

    assert wire.openai(dimensions=512).embed_documents(["a", "bb"]) == expect(["a", "bb"], 512)
    (request,) = wire.requests
    assert str(request.url) == "https://api.openai.com/v1/embeddings"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert wire.bodies == [
        {"input": ["a", "bb"], "model": "text-embedding-3-small", "encoding_format": "base64", "dimensions": 512}
    ]


def test_azure_gets_the_deployment_in_the_address_and_the_key_in_its_own_header() -> None:
    wire = Wire(good)

    assert wire.azure().embed_documents(["a"]) == expect(["a"])
    (request,) = wire.requests
    assert str(request.url) == (
        "https://res.openai.azure.com/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21"
    )
    assert request.headers["api-key"] == KEY
    assert "dimensions" not in wire.bodies[0]


def test_a_compatible_service_is_never_sent_dimensions_and_needs_no_key() -> None:
    wire = Wire(good)

    assert wire.compatible().embed_query("abc") == expect(["abc"])[0]
    (request,) = wire.requests
    assert str(request.url) == "http://localhost:11434/v1/embeddings"
    assert wire.bodies == [{"input": ["abc"], "model": "nomic", "encoding_format": "base64"}]


@pytest.mark.parametrize("build", [Wire.openai, Wire.azure, Wire.compatible])
def test_nothing_of_the_environment_reaches_a_request(
    build: Callable[[Wire], OpenAIEmbedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(good)
    build(wire).embed_documents(["a"])
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.setenv(name, "http://localhost:9")
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.setenv(name, "stray-key")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_VERSION"):
        monkeypatch.setenv(name, "stray")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Stray: stray\nAuthorization: Bearer stray\napi-key: stray")
    build(wire).embed_documents(["a"])

    plain, under_variables = wire.requests
    assert plain.url == under_variables.url
    assert plain.headers == under_variables.headers


def test_requests_are_bounded_by_texts_by_tokens_and_by_bytes() -> None:
    wire = Wire(good)
    texts = ["x"] * 300 + ["word " * 30_000] * 4 + [" " * 400_000] * 4

    assert wire.openai().embed_documents(texts) == expect(texts)
    assert [len(body["input"]) for body in wire.bodies] == [256, 44 + 3, 1 + 3, 1]


def test_no_texts_are_no_request() -> None:
    wire = Wire(good)

    assert wire.openai().embed_documents([]) == []
    assert wire.requests == []


def test_openai_is_asked_at_the_address_of_a_region() -> None:
    wire = Wire(good)
    address = "https://eu.api.openai.com/v1"
    target = openai_target("text-embedding-3-small", 4, address)
    client = openai_client(KEY, address, http_client=wire.client)
    OpenAIEmbedder(client, target, ONE_BY_ONE, patience=wire.patience).embed_documents(["a"])

    assert [str(request.url) for request in wire.requests] == [f"{address}/embeddings"]
    assert target.service.address == "embedding.base_url"
    with pytest.raises(ConfigError, match=r"^embedding\.base_url must be an address"):
        openai_client(KEY, "eu.api.openai.com")


def test_the_prefix_goes_before_documents_only_and_is_counted() -> None:
    wire = Wire(good)
    embedder = wire.compatible(document_prefix="passage: ", max_text_tokens=100)

    assert embedder.embed_documents(["abc"]) == expect(["passage: abc"])
    assert embedder.embed_query("abc") == expect(["abc"])[0]
    assert [body["input"] for body in wire.bodies] == [["passage: abc"], ["abc"]]
    assert embedder.count_tokens("abc") == 4
    assert embedder.limit == TextLimit(96)


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^embedding\.document_prefix leaves no room .* takes 3 tokens"):
        Wire(good).compatible(document_prefix="passage: ", max_text_tokens=3)


def test_a_service_is_sent_what_the_user_adds_and_dimensions_where_the_user_says_so() -> None:
    wire = Wire(good)
    wire.compatible(extra_body='{"truncate": "NONE"}', send_dimensions=True).embed_documents(["a"])

    common = {"input": ["a"], "model": "nomic", "encoding_format": "base64"}
    assert wire.bodies == [{**common, "truncate": "NONE", "dimensions": 4}]


def test_a_preset_fills_in_address_model_and_fields_and_tells_documents_from_questions() -> None:
    wire = Wire(lambda body: data(*(encoded([1.0] * body["output_dimension"]) for _ in body["input"])))
    embedder = wire.compatible(preset="voyage", api_key=SecretStr(KEY), base_url=None, model_name=None, dimensions=256)
    embedder.embed_documents(["a"])
    embedder.embed_query("b")

    common = {"model": "voyage-4", "encoding_format": "base64", "output_dimension": 256, "truncation": False}
    assert wire.bodies == [
        {"input": ["a"], "input_type": "document", **common},
        {"input": ["b"], "input_type": "query", **common},
    ]
    assert {str(request.url) for request in wire.requests} == {"https://api.voyageai.com/v1/embeddings"}
    assert embedder.model == "openai_compatible/voyage-4@256"


def test_what_the_user_says_goes_before_a_preset() -> None:
    wire = Wire(good)
    own = {"truncation": True, "user": "me"}
    settings = {"base_url": "http://localhost:9/v1", "model_name": "own", "extra_body": json.dumps(own)}
    embedder = wire.compatible(preset="voyage", max_text_tokens=7, **settings)

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert wire.bodies == [
        {"input": ["a"], "model": "own", "encoding_format": "base64", "input_type": "document", **own}
    ]
    assert str(wire.requests[0].url) == "http://localhost:9/v1/embeddings"
    assert (embedder.dimensions, embedder.limit) == (4, TextLimit(7))


def test_dimensions_of_a_known_model_need_no_asking() -> None:
    embedder = Wire(good).compatible(preset="mistral", api_key=SecretStr(KEY), model_name=None, dimensions=None)

    assert (embedder.model, embedder.dimensions) == ("openai_compatible/mistral-embed", 1024)


def test_the_fingerprint_is_the_model_unless_more_is_said() -> None:
    build = Wire(good).compatible
    said = [
        build(),
        build(document_prefix="passage: "),
        build(document_prefix="query: "),
        build(extra_body='{"input_type": "document"}'),
        build(extra_body='{"input_type": "document", "truncate": "END"}'),
    ]

    assert said[0].fingerprint == said[0].model == "openai_compatible/nomic"
    assert len({embedder.fingerprint for embedder in said}) == len(said)
    assert {embedder.fingerprint.partition("#")[0] for embedder in said} == {"openai_compatible/nomic"}
    other_order = build(extra_body='{"truncate": "END", "input_type": "document"}')
    assert other_order.fingerprint == said[-1].fingerprint
    # written down once: a change would make every stored point look changed
    assert said[1].fingerprint == "openai_compatible/nomic#fdd9fafb801df87e"


def test_a_model_that_nobody_names_is_told_from_others_by_its_address() -> None:
    def fingerprint(address: str | None, **settings: Any) -> str:
        return compatible_target(config.OpenAICompatible(base_url=address, **settings)).fingerprint

    here = fingerprint("http://one:80/v1")
    assert here == "openai_compatible/text-embedding-ada-002#bb6253fda64789d7"  # see above
    assert here == fingerprint("https://user:password@ONE:80/v1/")
    addresses = {here, fingerprint("http://two:80/v1"), fingerprint("http://one:80/v2")}
    assert len(addresses) == 3
    assert not addresses & {fingerprint("http://one:80/v1", document_prefix="a")}
    assert fingerprint(None, preset="tei") != fingerprint("http://one:80/v1", preset="tei")
    assert fingerprint("http://one/v1", model_name="m") == fingerprint("http://two/v1", model_name="m")
    assert fingerprint("http://one/v1", preset="ollama") == fingerprint("http://two/v1", preset="ollama")


# ----------------------------------------------------------------------------------------------------------
# An address without the version


def test_a_version_that_is_missing_from_the_address_is_found_and_remembered() -> None:
    wire = Wire(good)
    wire.client = httpx2.Client(transport=httpx2.MockTransport(_at_v1(wire)))
    embedder = wire.compatible(base_url="http://localhost:11434")

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert embedder.embed_documents(["b"]) == expect(["b"])
    assert [request.url.path for request in wire.requests] == ["/embeddings", "/v1/embeddings", "/v1/embeddings"]


def test_what_is_found_at_the_version_says_what_is_wrong() -> None:
    wire = Wire(lambda _: httpx2.Response(404, json={"error": {"message": 'model "nomic" not found, try pulling it'}}))
    wire.client = httpx2.Client(transport=httpx2.MockTransport(_at_v1(wire)))

    with pytest.raises(ConfigError, match=r"does not know the model in embedding\.model_name") as caught:
        wire.compatible(base_url="http://localhost:11434/").embed_documents(["a"])
    assert caught.value.detail == "HTTP 404"


@pytest.mark.parametrize(
    ("address", "paths"),
    [
        ("http://localhost:1", ["/embeddings", "/v1/embeddings"]),
        ("http://localhost:1/openai", ["/openai/embeddings", "/openai/v1/embeddings"]),
        ("http://localhost:1/v1", ["/v1/embeddings"]),
        ("http://localhost:1/v1beta/openai/", ["/v1beta/openai/embeddings"]),
    ],
)
def test_where_nothing_is_found_the_address_and_the_model_are_named(address: str, paths: list[str]) -> None:
    wire = Wire(lambda _: httpx2.Response(404, text="404 page not found"))

    with pytest.raises(ConfigError, match=r"check embedding\.model_name and embedding\.base_url"):
        wire.compatible(base_url=address).embed_documents(["a"])
    assert [request.url.path for request in wire.requests] == paths


def test_no_version_is_missing_from_the_address_of_a_deployment() -> None:
    wire = Wire(lambda _: httpx2.Response(404, json={"error": {"code": "404", "message": "Resource not found"}}))

    with pytest.raises(ConfigError, match=r"check embedding\.deployment and embedding\.api_base"):
        wire.azure().embed_documents(["a"])
    assert len(wire.requests) == 1


def test_the_environment_reaches_no_request_at_the_version_either(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(good)
    wire.client = httpx2.Client(transport=httpx2.MockTransport(_at_v1(wire)))
    embedder = wire.compatible(base_url="http://localhost:11434")
    monkeypatch.setenv("OPENAI_ORG_ID", "stray")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Stray: stray")
    embedder.embed_documents(["a"])

    first_try, second_try = wire.requests
    assert first_try.headers == second_try.headers


# ----------------------------------------------------------------------------------------------------------
# What is left of a rate limit


def test_a_refusal_waits_for_what_is_used_up() -> None:
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6.5s"}
    wire = Wire(first(refusal(429, "rate_limit_exceeded", headers=headers)))

    assert wire.openai().embed_documents(["a"]) == expect(["a"])
    assert wire.slept == [6.5]


def test_a_success_that_used_something_up_holds_the_next_request() -> None:
    def answer(body: dict[str, Any]) -> httpx2.Response:
        found = good(body)
        found.headers.update({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0m30s"})
        return found

    wire = Wire(answer)
    embedder = wire.openai()
    embedder.embed_documents(["a"])
    assert wire.slept == []
    embedder.embed_documents(["b"])
    assert wire.slept == [30.0]
    assert embedder.usage.throttled_seconds == 30.0
    assert embedder.usage.requests == 2


# ----------------------------------------------------------------------------------------------------------
# What is answered


@pytest.mark.parametrize("build", [Wire.openai, Wire.azure, Wire.compatible])
def test_the_order_is_that_of_the_texts(build: Callable[[Wire], OpenAIEmbedder]) -> None:
    texts = ["a", "bb", "ccc"]

    assert build(Wire(shuffled)).embed_documents(texts) == expect(texts)


def test_lists_instead_of_base64_are_read() -> None:
    wire = Wire(lambda body: data(*map(numbers, body["input"])))

    assert wire.compatible().embed_documents(["a", "bb"]) == expect(["a", "bb"])
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        data(encoded(numbers("a"))),
        data(),
        data(encoded(numbers("a")), encoded([float("nan")] * 4)),
        data(encoded(numbers("a")), encoded([0.0] * 4)),
        data(encoded(numbers("a")), encoded([1.0])),
        data(encoded(numbers("a")), None),
        httpx2.Response(200, html=f"<html>{TEXT}</html>"),
        httpx2.Response(200, text=""),
        httpx2.Response(200, json={"error": {"message": TEXT}}),
        httpx2.Response(200, json=[TEXT]),
        httpx2.Response(200, json={"data": TEXT}),
    ],
    ids=["short", "empty", "nan", "zeros", "lengths", "null", "html", "nothing", "error", "list", "text"],
)
@pytest.mark.parametrize("build", [Wire.openai, Wire.compatible])
def test_a_broken_answer_is_a_fault_and_not_a_vector(
    answer: httpx2.Response, build: Callable[[Wire], OpenAIEmbedder]
) -> None:
    wire = Wire(lambda _: httpx2.Response(200, content=answer.content, headers=answer.headers))

    with pytest.raises(SystemFault, match="sent an answer that cannot be used") as caught:
        build(wire).embed_documents([TEXT, TEXT])
    assert TEXT not in "".join(traceback.format_exception(caught.value))
    assert wire.slept == []


@pytest.mark.parametrize("build", [Wire.openai, Wire.compatible])
def test_other_dimensions_than_expected_name_the_field(build: Callable[[Wire], OpenAIEmbedder]) -> None:
    wire = Wire(lambda body: data(*(encoded([1.0, 2.0]) for _ in body["input"])))

    with pytest.raises(ConfigError, match=r"of 2 numbers where 4 were expected; check embedding\.dimensions"):
        build(wire).embed_documents(["a"])


def test_dimensions_that_nobody_knows_are_learned_from_the_first_answer_and_kept() -> None:
    answers = iter([data(encoded([1.0, 2.0, 3.0])), data(encoded([1.0, 2.0]))])
    embedder = Wire(lambda _: next(answers)).azure()

    assert embedder.dimensions is None
    embedder.embed_documents(["a"])
    assert embedder.dimensions == 3
    with pytest.raises(ConfigError, match="of 2 numbers where 3"):
        embedder.embed_documents(["a"])


def _no_base64(body: dict[str, Any]) -> httpx2.Response:
    return refusal(400) if body["encoding_format"] == "base64" else data(*map(numbers, body["input"]))


def _quarter(body: dict[str, Any]) -> httpx2.Response:
    """What some servers send for base64: something that decodes to fewer numbers."""
    items = [numbers(text) for text in body["input"]]
    return data(*(encoded(item[:1]) if body["encoding_format"] == "base64" else item for item in items))


def _unreadable(body: dict[str, Any]) -> httpx2.Response:
    return data(*("?" if body["encoding_format"] == "base64" else numbers(text) for text in body["input"]))


@pytest.mark.parametrize("answer", [_no_base64, _quarter])
def test_a_service_without_base64_is_asked_for_numbers_from_then_on(
    answer: Callable[[dict[str, Any]], httpx2.Response],
) -> None:
    wire = Wire(answer)
    embedder = wire.compatible()

    assert embedder.embed_documents(["a", "bb"]) == expect(["a", "bb"])
    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert [body["encoding_format"] for body in wire.bodies] == ["base64", "float", "float"]


def test_what_cannot_be_read_is_base64s_fault_when_it_comes_again() -> None:
    wire = Wire(_unreadable)
    embedder = wire.compatible()

    for text in ("a", "bb", "ccc"):
        assert embedder.embed_documents([text]) == expect([text])
    assert [body["encoding_format"] for body in wire.bodies] == ["base64", "float", "base64", "float", "float"]


def test_one_broken_answer_does_not_end_base64() -> None:
    wire = Wire(first(data()))
    embedder = wire.compatible()

    for text in ("a", "bb", "ccc"):
        assert embedder.embed_documents([text]) == expect([text])
    assert [body["encoding_format"] for body in wire.bodies] == ["base64", "float", "base64", "base64"]


def test_a_service_that_has_answered_well_may_stumble_for_a_moment() -> None:
    answers = iter([good, lambda _: data(), good])
    wire = Wire(lambda body: next(answers)(body))  # noqa: PLW0108 -- another one each time
    embedder = wire.openai()

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert embedder.embed_documents(["bb"]) == expect(["bb"])
    assert wire.slept == [1.0]

    wire.answer = lambda _: data()
    with pytest.raises(SystemFault, match="it holds 0 embeddings for 1 texts"):
        embedder.embed_documents(["a"])
    assert sum(wire.slept) == 1 + 10


def test_dimensions_that_nobody_knows_are_not_learned_from_base64_which_may_be_a_part_of_them() -> None:
    wire = Wire(_quarter)
    embedder = wire.compatible(dimensions=None)

    assert embedder.embed_documents(["a"]) == expect(["a"])
    assert embedder.dimensions == 4
    assert embedder.embed_documents(["bb"]) == expect(["bb"])
    assert [body["encoding_format"] for body in wire.bodies] == ["float", "base64", "float"]


def test_a_request_that_both_encodings_do_not_mend_is_the_users_to_change() -> None:
    wire = Wire(lambda _: refusal(400, "unsupported_value"))

    with pytest.raises(ConfigError, match=r"embedding\.model_name") as caught:
        wire.compatible().embed_documents([TEXT, TEXT])
    assert caught.value.detail == "HTTP 400 unsupported_value"
    assert [body["encoding_format"] for body in wire.bodies] == ["base64", "float"]


# ----------------------------------------------------------------------------------------------------------
# What is refused


def test_a_refused_text_is_handed_to_its_caller_without_the_prefix() -> None:
    def answer(body: dict[str, Any]) -> httpx2.Response:
        too_long = any(len(text) > 20 for text in body["input"])
        return httpx2.Response(400, json={"error": {"message": "context length exceeded"}}) if too_long else good(body)

    with pytest.raises(TextRefusedError, match=r"lower processing\.chunk_size") as caught:
        Wire(answer).compatible(document_prefix="passage: ").embed_documents(["short", "this is too long"])
    assert caught.value.text == "this is too long"


@pytest.mark.parametrize(
    ("status", "code", "match"),
    [
        (401, "invalid_api_key", r"does not accept the key in embedding\.openai_key"),
        (403, "unsupported_country_region_territory", r"embedding\.openai_key"),
        (404, "model_not_found", r"embedding\.model_name"),
        (429, "insufficient_quota", "no quota left"),
    ],
)
def test_what_the_user_must_change_is_not_tried_again(status: int, code: str, match: str) -> None:
    wire = Wire(lambda _: refusal(status, code))

    with pytest.raises(ConfigError, match=match) as caught:
        wire.openai().embed_documents([TEXT])
    assert caught.value.detail == f"HTTP {status} {code}"
    assert (len(wire.requests), wire.slept) == (1, [])


@pytest.mark.parametrize(
    ("status", "match"),
    [(401, r"key in embedding\.openai_key"), (402, "no quota left"), (404, r"embedding\.model_name")],
)
def test_a_refusal_inside_of_a_success_is_one(status: int, match: str) -> None:
    """Gateways put the status of what they pass on into the body."""
    wire = Wire(lambda _: httpx2.Response(200, json={"error": {"code": status, "message": TEXT}}))

    with pytest.raises(ConfigError, match=match):
        wire.openai().embed_documents(["a"])
    assert len(wire.requests) == 1


def test_a_rate_limit_inside_of_a_success_is_waited_for() -> None:
    hidden = httpx2.Response(200, json={"error": {"code": 429}}, headers={"retry-after": "7"})
    wire = Wire(first(hidden))

    assert wire.openai().embed_documents(["a"]) == expect(["a"])
    assert wire.slept == [7.0]


@pytest.mark.parametrize("build", [Wire.openai, Wire.azure, Wire.compatible])
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_may_pass_later_is_tried_again(status: int, build: Callable[[Wire], OpenAIEmbedder]) -> None:
    wire = Wire(first(refusal(status, "rate_limit_exceeded", headers={"retry-after": "7"})))

    assert build(wire).embed_documents(["a"]) == expect(["a"])
    assert wire.slept == [7.0]


def test_what_never_passes_is_transient_once_patience_ends() -> None:
    wire = Wire(lambda _: refusal(503))

    with pytest.raises(TransientError, match="HTTP 503"):
        wire.openai().embed_documents(["a"])
    assert sum(wire.slept) == 60


def test_a_connection_that_fails_is_tried_again() -> None:
    failures = iter([httpx2.ConnectError("refused"), httpx2.ReadTimeout("slow")])

    def answer(body: dict[str, Any]) -> httpx2.Response:
        for failure in failures:
            raise failure
        return good(body)

    wire = Wire(answer)
    assert wire.openai().embed_documents(["a"]) == expect(["a"])
    assert len(wire.requests) == 3


def test_a_request_that_is_too_large_is_cut_and_stays_in_order() -> None:
    def answer(body: dict[str, Any]) -> httpx2.Response:
        if len(body["input"]) > 32:
            return httpx2.Response(422, json={"message": "batch size 256 > maximum allowed batch size 32"})
        return good(body)

    wire = Wire(answer)
    texts = ["x" * (1 + number % 7) for number in range(300)]
    embedder = wire.compatible()

    assert embedder.embed_documents(texts) == expect(texts)
    refused = sum(len(body["input"]) > 32 for body in wire.bodies)
    assert 0 < refused < 10
    embedder.embed_documents(texts)
    assert refused == sum(len(body["input"]) > 32 for body in wire.bodies)


@pytest.mark.parametrize(
    "failure",
    [httpx2.InvalidURL(KEY), httpx2.UnsupportedProtocol(KEY), UnicodeError(KEY)],
    ids=lambda it: type(it).__name__,
)
def test_an_address_that_is_found_bad_only_when_sending_is_the_users_to_change(failure: Exception) -> None:
    def answer(_: dict[str, Any]) -> httpx2.Response:
        raise failure

    wire = Wire(answer)
    with pytest.raises(ConfigError, match=r"^embedding\.base_url is no address that can be asked") as caught:
        wire.compatible().embed_documents(["a"])
    assert (len(wire.requests), wire.slept) == (1, [])
    assert KEY not in "".join(traceback.format_exception(caught.value))

    with pytest.raises(ConfigError, match=r"^OpenAI cannot be asked; check the network and the proxy settings"):
        wire.openai().embed_documents(["a"])


def test_a_request_that_cannot_be_written_is_not_the_fault_of_its_address() -> None:
    wire = Wire(good)

    with pytest.raises(ConfigError, match="half of a character") as caught:
        wire.compatible().embed_documents([f"{TEXT} \ud800"])
    assert wire.requests == []
    assert TEXT not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("answered", ["text-embedding-3-small", "text-embedding-ada-002", "ada", None, 7])
def test_a_deployment_of_another_model_than_the_configured_one_is_noticed(answered: object) -> None:
    wire = Wire(lambda body: httpx2.Response(200, json={**json.loads(good(body).content), "model": answered}))

    assert wire.azure(4).embed_documents(["a"]) == expect(["a"])
    embedder = wire.azure(4, "text-embedding-3-small")
    if answered == "text-embedding-ada-002":
        with pytest.raises(ConfigError, match=r"embedding\.deployment answers with the model text-embedding-ada-002"):
            embedder.embed_documents(["a"])
    else:
        assert embedder.embed_documents(["a"]) == expect(["a"])


def test_a_code_that_echoes_the_key_or_the_text_is_not_shown() -> None:
    error = {"message": "no", "code": KEY, "type": TEXT.split()[1]}
    wire = Wire(lambda _: httpx2.Response(403, json={"error": error}))

    with pytest.raises(ConfigError) as caught:
        wire.openai().embed_documents([TEXT])
    assert caught.value.detail == "HTTP 403"


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400),
        refusal(401),
        refusal(413),
        refusal(422),
        refusal(503),
        httpx2.Response(404, text=f"{KEY} {TEXT}"),
        httpx2.Response(400, json={"message": f"maximum length exceeded by {TEXT}"}),
    ],
)
def test_neither_key_nor_text_is_in_an_error_or_in_what_it_is_chained_to(answer: httpx2.Response) -> None:
    wire = Wire(lambda _: httpx2.Response(answer.status_code, content=answer.content, headers=answer.headers))

    with pytest.raises(ConnectorError) as caught:
        wire.openai().embed_documents([TEXT])
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.detail
    assert KEY not in shown
    assert TEXT not in shown


# ----------------------------------------------------------------------------------------------------------
# What is known of models


@pytest.mark.parametrize(
    ("model", "dimensions", "name", "expected", "sent"),
    [
        (None, None, "openai/text-embedding-3-small", 1536, None),
        (" ", 512, "openai/text-embedding-3-small@512", 512, 512),
        ("text-embedding-ada-002", 1536, "openai/text-embedding-ada-002", 1536, None),
        ("text-embedding-3-small", None, "openai/text-embedding-3-small", 1536, None),
        ("text-embedding-3-small", 1536, "openai/text-embedding-3-small", 1536, 1536),
        ("text-embedding-3-small", 512, "openai/text-embedding-3-small@512", 512, 512),
        ("text-embedding-3-large", None, "openai/text-embedding-3-large", 3072, None),
        ("text-embedding-9", None, "openai/text-embedding-9", None, None),
        ("text-embedding-9", 7, "openai/text-embedding-9@7", 7, 7),
    ],
)
def test_a_model_of_openai_is_looked_up(
    model: str | None, dimensions: int | None, name: str, expected: int | None, sent: int | None
) -> None:
    target = openai_target(model, dimensions)

    assert (name, expected, sent) == (target.name, target.expected, target.documents.get("dimensions"))
    assert target.fingerprint == target.name


@pytest.mark.parametrize(
    ("model", "dimensions", "match"),
    [
        ("text-embedding-ada-002", 512, r"always gives 1536 dimensions, not 512; leave embedding\.dimensions empty"),
        ("text-embedding-3-small", 1537, r"at most 1536 dimensions, not 1537; lower embedding\.dimensions"),
    ],
)
def test_dimensions_that_a_model_cannot_have_are_refused(model: str | None, dimensions: int, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        openai_target(model, dimensions)


def test_names_and_limits_of_the_other_services() -> None:
    assert azure_target("dep", None).name == "azure_openai/dep"
    assert azure_target("dep", 256).name == "azure_openai/dep@256"
    assert Wire(good).compatible(model_name=" m ").model == "openai_compatible/m"
    limit = Wire(good).azure().limit
    assert limit is not None
    assert (limit.tokens, limit.count) == (8191, None)
    assert Wire(good).compatible().limit is None


def test_a_bad_key_or_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match=r"embedding\.openai_key"):
        openai_client("sk-1\nsk-2")
    with pytest.raises(ConfigError, match=r"embedding\.api_base"):
        azure_client(KEY, "my-resource", "dep", "2024-10-21")
    with pytest.raises(ConfigError, match=r"embedding\.base_url"):
        compatible_client("", "localhost:80")


# ----------------------------------------------------------------------------------------------------------
# A real server


class _Service(BaseHTTPRequestHandler):
    """Answers well, every second request after a 429."""

    asked = 0

    def do_POST(self) -> None:  # the name is that of http.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).asked += 1
        answer = refusal(429) if type(self).asked % 2 else shuffled(body)
        self.send_response(answer.status_code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler] = _Service) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/"
        finally:
            server.shutdown()
            thread.join()


def _target(address: str) -> Target:
    return compatible_target(config.OpenAICompatible(base_url=address, dimensions=4))


def test_a_real_server_is_asked_through_the_sdks_own_client() -> None:
    texts = ["a", "bb"]
    with _served() as address:
        patience = Patience(RetryPolicy(60), sleep=lambda _: None)
        embedder = OpenAIEmbedder(compatible_client("", address), _target(address), patience=patience)

        assert embedder.embed_documents(texts) == expect(texts)

    patience = Patience(RetryPolicy(0), sleep=lambda _: None)
    embedder = OpenAIEmbedder(compatible_client("", address), _target(address), patience=patience)
    with pytest.raises(TransientError, match=r"could not be reached; check embedding\.base_url"):
        embedder.embed_documents(texts)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(("kind", "field"), [("compatible", "embedding.base_url"), ("azure", "embedding.api_base")])
def test_a_redirect_takes_no_text_to_another_host(kind: str, field: str, status: int) -> None:
    paths: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name is that of http.server
            paths.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 -- the name is that of http.server

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    patience = Patience(RetryPolicy(0), sleep=lambda _: None)
    with _served(Redirecting) as address:
        if kind == "azure":
            client = azure_client(KEY, address, "dep", "2024-10-21")
            embedder = OpenAIEmbedder(client, azure_target("dep", None), patience=patience)
        else:
            embedder = OpenAIEmbedder(compatible_client(KEY, address), _target(address), patience=patience)
        with pytest.raises(ConfigError, match=rf"redirects to another address \(HTTP {status}\).*{field}"):
            embedder.embed_documents([TEXT])

    assert len(paths) == 1
    assert "/elsewhere" not in paths


def test_openai_itself_is_asked_without_following_redirects() -> None:
    client = openai_client(KEY)

    assert client._client.follow_redirects is False  # noqa: SLF001 -- no server here can redirect its fixed address


class _Silent(BaseHTTPRequestHandler):
    """Takes a request and answers only when it is told to."""

    asked = threading.Event()
    told = threading.Event()

    def do_POST(self) -> None:  # the name is that of http.server
        self.rfile.read(int(self.headers["content-length"]))
        self.asked.set()
        self.told.wait(30)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_closing_ends_what_is_under_way_at_once() -> None:
    with _served(_Silent) as address, ThreadPoolExecutor(1) as pool:
        embedder = OpenAIEmbedder(compatible_client("", address), _target(address))
        call = pool.submit(embedder.embed_documents, ["a"])
        assert _Silent.asked.wait(30)
        embedder.close()

        assert isinstance(call.exception(30), TransientError)
        _Silent.told.set()


class _Keeping(BaseHTTPRequestHandler):
    """Keeps its connections, and answers when as many requests are under way as there should be at once."""

    protocol_version = "HTTP/1.1"
    together = threading.Barrier(24)
    opened: ClassVar[set[Any]] = set()

    def do_POST(self) -> None:  # the name is that of http.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.opened.add(self.client_address)
        self.together.wait(30)
        answer = good(body)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_every_request_in_flight_has_a_connection_that_is_used_again() -> None:
    options = config.Requests(in_flight=24, batch_size=1)
    with _served(_Keeping) as address:
        client = compatible_client("", address, options=options)
        embedder = OpenAIEmbedder(client, _target(address), options)
        for _ in range(2):
            embedder.embed_documents([str(number) for number in range(24)])
        embedder.close()

    assert len(_Keeping.opened) == 24
    assert client.is_closed()
