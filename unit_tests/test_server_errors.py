"""What refusals of a Qdrant server mean, by status and text; the texts are those a server really sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from destination_qdrant.errors import ConfigError, ConnectorError, SystemFault, TransientError
from destination_qdrant.qdrant.server.errors import (
    AlreadyExistsError,
    Answer,
    Call,
    CollectionMissingError,
    ContentRefusedError,
    ExactCountError,
    NoAnswer,
    TextNotEmbeddedError,
    TooLargeError,
    refused,
    unanswered,
    unfinished,
)
from destination_qdrant.retry import Retryable

CALL = Call('write points into collection "docs"', "write access", "http://db:6333")
QUOTED = "value 4711-0815 of ada@example.org"


def meaning(status: int, text: str = "", *, retry_after: float | None = None, genuine: bool = True) -> Exception:
    return refused(Answer(status, text, retry_after, f"HTTP {status}", genuine=genuine), CALL)


def failure(found: Exception) -> ConnectorError:
    """What the user gets to see in the end."""
    found = found.failure if isinstance(found, Retryable) else found
    assert isinstance(found, ConnectorError)
    return found


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_can_heal_is_retried_and_transient_in_the_end(status: int) -> None:
    found = meaning(status)

    assert isinstance(found, Retryable)
    assert type(found.failure) is TransientError
    assert found.failure.detail == f"HTTP {status}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422, 301, 501, 418, 0])
def test_what_cannot_heal_is_not_retried(status: int) -> None:
    assert isinstance(meaning(status), ConnectorError)


@pytest.mark.parametrize("status", [400, 422, 418, 0])
def test_an_unknown_refusal_is_a_fault_with_the_status_only(status: int) -> None:
    found = meaning(status, QUOTED)

    assert isinstance(found, SystemFault)
    assert isinstance(found, ContentRefusedError) is (status in {400, 422})  # what a batch is taken apart for
    assert f"(HTTP {status})" in found.message


@pytest.mark.parametrize(
    "status", [301, 400, 401, 403, 404, 405, 408, 409, 413, 418, 422, 429, 500, 501, 502, 503, 504, 507]
)
@pytest.mark.parametrize(
    "text",
    [
        QUOTED,
        f'Index required but not found for "{QUOTED}" of one of the following types: [keyword]',
        f"Wrong input: Not existing vector name error: {QUOTED}",
        f"Vector dimension error: expected dim: {QUOTED}, got {QUOTED}",
        f"Forbidden: Access to collection {QUOTED} is required",
        f"No space left on device: {QUOTED}",
    ],
)
def test_no_text_of_the_server_is_shown(status: int, text: str) -> None:
    shown = failure(meaning(status, text))

    assert "4711" not in shown.message + shown.detail
    assert "ada@" not in shown.message + shown.detail


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize(
    "words",
    [
        'Index required but not found for "_ab_stream" of one of the following types: [keyword]',
        "Wrong input: Vector dimension error: expected dim: 4, got 4711",
        "Wrong input: Not existing vector name error: x",
        'Bad request: Limit exceeded 4711 > 3 for "limit"',
        "Filter condition limit reached (4711 > 3)",
        "Disk usage is at 47% of total capacity, exceeding the configured limit of 11%",
        "Max points count limit of 4711 reached!",
        "Collection already has the maximum number of payload indices (4711)",
        "JSON payload (4711 bytes) is larger than allowed (limit: 1 bytes)",
        "Exact search disabled!",
        "Can't create collection with name x. Alias with the same name already exists",
        "Must provide an API key",
        "ExpiredSignature",
        "InvalidSignature",
        "Forbidden: Access to collection x is required",
        "request larger than rate limiter capacity, please try to split your request",
        "No space left on device",
        "InferenceService",
        "Inference request validation failed",
        "Too many requests for inference service",
        "not implemented",
    ],
)
def test_words_of_a_payload_that_a_text_quotes_are_not_taken_for_the_servers(status: int, words: str) -> None:
    found, plain = (meaning(status, f'Format error in JSON body: "{quoted}"') for quoted in (words, ""))

    assert type(found) is type(plain)
    assert str(found) == str(plain)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (413, ""),
        (429, "Rate limiting exceeded: request larger than rate limiter capacity, please try to split your request"),
        (400, 'Bad request: Limit exceeded 5 > 2 for "upsert limit". Help: x'),
        (400, "Bad request: Inference can't process request (413 Payload Too Large): x"),
    ],
)
def test_what_is_too_large_is_said_in_one_sentence_that_can_be_extended(status: int, text: str) -> None:
    found = meaning(status, text)

    assert isinstance(found, TooLargeError)
    assert found.message.endswith("raise that limit on the server.")
    assert found.message.count(". ") == 0
    assert found.at("stream users, line 7").message.endswith("(stream users, line 7)")


def test_retry_after_is_handed_on() -> None:
    found = meaning(429, "Rate limiting exceeded: Write rate limit exceeded", retry_after=12)

    assert isinstance(found, Retryable)
    assert found.retry_after == 12


def test_a_request_larger_than_the_rate_limit_is_to_be_made_smaller() -> None:
    text = "Rate limiting exceeded: request larger than rate limiter capacity, please try to split your request"

    assert isinstance(meaning(429, text), TooLargeError)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "JSON payload (33554433 bytes) is larger than allowed (limit: 33554432 bytes)."),
        (400, "JSON payload has exceeded limit (33554432 bytes)."),
        (413, ""),
    ],
)
def test_a_body_that_is_too_large_is_to_be_made_smaller(status: int, text: str) -> None:
    found = meaning(status, text)

    assert isinstance(found, TooLargeError)
    assert found.allowed is None


def test_a_limit_of_strict_mode_says_how_much_is_allowed() -> None:
    found = meaning(400, 'Bad request: Limit exceeded 600 > 250 for "upsert limit". Help: Reduce it.')

    assert isinstance(found, TooLargeError)
    assert found.allowed == 250


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (400, "Wrong input: Vector dimension error: expected dim: 4, got 3 for vector 'text'", "of 4 dimensions"),
        (400, "Wrong input: Not existing vector name error: nope", "indexing.collection"),
        (400, "Wrong input: Conversion between sparse and regular vectors failed", "indexing.collection"),
        (
            400,
            'Index required but not found for "_ab_stream" of one of the following types: [keyword]. Help: Create',
            '"_ab_stream" because the field has no index of type keyword',
        ),
        (400, 'Index required but not found for "a b c"', "on a field because the field has no fitting index"),
        (400, 'Bad request: Index required but not found for "mail_of_ada" of one of', "on a field because"),
        (400, 'Bad request: Index required but not found for ""a b"" of one of the following', "on a field because"),
        (
            400,
            'Bad request: Index required but not found for "_ab_record_id" of one of the following types: [uuid]',
            '"_ab_record_id" because the field has no index of type keyword',
        ),
        (
            400,
            (
                "Wrong input: 2 out of 3 shards failed to apply operation. First error captured: Wrong input: Invalid"
                "Argument: code: 'Client specified an invalid argument', message: \"Wrong input: Not existing vector name"
            ),
            "has other vectors",
        ),
        (400, "Filter condition limit reached (4 > 3). Help: Reduce", "of 3 conditions and was sent 4"),
        (400, "Condition size limit reached (11 > 10). Help: Reduce", "of 10 values and was sent 11"),
        (
            400,
            "Disk usage is at 70% of total capacity, exceeding the configured limit of 60%. Help: x",
            "70% of its room",
        ),
        (400, "Bad request: Max points count limit of 100 reached!", "(100)"),
        (400, "Max vector storage size limit of 0.0015258789MB reached!", "(0.0015258789)"),
        (400, "Collection already has the maximum number of payload indices (2). Help: x", "no more than 2 indexes"),
        (400, "Wrong input: Can't create collection with name al. Alias with the same name already exists", "alias"),
        (400, 'Bad request: Shard key "eu" not found', "no shard key as in indexing.shard_key"),
        (400, "Wrong input: Shard key not specified", "say in indexing.shard_key"),
        (400, "Bad request: Shard Key cannot be created with Auto sharding method", "leave indexing.shard_key empty"),
        (400, "Bad request: Distributed mode disabled", "is no cluster"),
        (400, 'Bad request: Sharding key "eu" already exists for collection c1', "exists already"),
        (401, "Must provide an API key or an Authorization bearer token", "set indexing.auth_method"),
        (401, "Invalid API key or JWT", "indexing.auth_method.api_key"),
        (403, "ExpiredSignature", "has expired"),
        (403, "InvalidSignature", "not its own"),
        (403, "Forbidden: Write access to collection docs is required", "it needs write access"),
        (403, "Forbidden: Access to collection docs is required", "create it beforehand or use a key with global"),
        (500, "Service internal error: InferenceService URL not configured", "choose another embedding.mode"),
        (500, "Inference error: Service internal error: InferenceService URL not configured", "inference.address"),
        (500, "Service internal error: Authentication failed for inference service (401): x", "openai-api-key"),
        (400, "Bad request: Sparse vector from document inference should be named", "makes dense vectors"),
        (500, "Exception deserializing response!", "switch indexing.prefer_grpc off"),
        (500, "Segment DB create panicked: not implemented: turbo4", "current version of Qdrant"),
        (308, "", "redirected"),
        (501, "", "check indexing.url"),
    ],
)
def test_what_the_user_can_mend_is_said(status: int, text: str, said: str) -> None:
    found = meaning(status, text)

    assert isinstance(found, ConfigError)
    assert said in found.message
    assert 'write points into collection "docs"' in found.message
    assert "http://db:6333" in found.message


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "Rate limiting exceeded: Too many requests for inference service (429): {quoted}"),
        (500, "Inference error: Rate limiting exceeded: Too many requests for inference service (429): {quoted}"),
        (500, "Service internal error: Inference service error (503 Service Unavailable): {quoted}"),
        (500, "Inference error: Service internal error: Failed to send inference request: {quoted}"),
        (500, "Service internal error: Inference service returned no vectors. Check if models are properly loaded."),
    ],
)
def test_an_inference_service_that_is_away_or_busy_is_waited_for(status: int, text: str) -> None:
    found = meaning(status, text.format(quoted=QUOTED))

    assert isinstance(found, Retryable)
    assert "inference service" in failure(found).message
    assert "4711" not in failure(found).message


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "Bad request: Inference request validation failed: {quoted}"),
        (400, "Bad request: Inference can't process request (404 Not Found): {quoted}"),
        (400, "Bad request: Invalid inference request: {quoted}"),
        (500, "Inference error: Bad request: Inference request validation failed: {quoted}"),  # a query over gRPC
    ],
)
def test_what_an_inference_service_refuses_may_be_one_text(status: int, text: str) -> None:
    found = meaning(status, text.format(quoted=QUOTED))

    assert isinstance(found, TextNotEmbeddedError)
    assert isinstance(found, ContentRefusedError)  # what a batch is taken apart for
    assert "embedding.model_name" in found.message
    assert "4711" not in found.message


def test_a_missing_collection_is_told_from_a_wrong_address() -> None:
    assert isinstance(meaning(404, "Not found: Collection `docs` doesn't exist!"), CollectionMissingError)
    assert "path" in failure(meaning(404, "<html>", genuine=False)).message


def test_what_exists_already_can_be_told() -> None:
    assert isinstance(meaning(409, "Wrong input: Collection `docs` already exists!"), AlreadyExistsError)


def test_a_refused_exact_count_can_be_told() -> None:
    assert isinstance(meaning(400, "Exact search disabled!. Help: Set exact=false."), ExactCountError)


@pytest.mark.parametrize(
    ("status", "text"),
    [(500, "Service internal error: No space left on device: WAL buffer size exceeds available disk space"), (507, "")],
)
def test_a_full_server_is_waited_for_shortly_and_then_a_matter_of_configuration(status: int, text: str) -> None:
    found = meaning(status, text)

    assert isinstance(found, Retryable)
    assert found.within == 30
    assert type(found.failure) is ConfigError


@pytest.mark.parametrize("kind", ["refused", "unknown host", "out of reach", "proxy", "timeout", "lost"])
def test_a_lost_connection_is_retried(kind: NoAnswer) -> None:
    assert type(failure(unanswered(kind, CALL))) is TransientError
    assert isinstance(unanswered(kind, CALL), Retryable)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("proxy login", "http://user:password@proxy:3128"),
        ("login", "indexing.auth_method or indexing.headers"),
        ("no TLS", "http:// instead of https:// in indexing.url"),
        ("TLS only", "https:// instead of http:// in indexing.url"),
        ("untrusted", "indexing.tls.ca_certificate"),
        ("other name", "indexing.url"),
        ("expired", "clocks"),
        ("client certificate", "indexing.tls.client_certificate and indexing.tls.client_key"),
        ("tls", "indexing.tls"),
        ("not HTTP", "the port of indexing.url"),
        ("gRPC only", "the REST port in indexing.url"),
        ("not gRPC", "indexing.grpc_port"),
        ("not Qdrant", "host, port and path of indexing.url"),
    ],
)
def test_what_answers_something_else_is_a_matter_of_configuration(kind: NoAnswer, field: str) -> None:
    found = unanswered(kind, CALL)

    assert type(found) is ConfigError
    assert field in found.message
    assert found.detail == kind


@pytest.mark.parametrize("kind", ["refused", "unknown host", "out of reach", "timeout", "lost", "proxy", "proxy login"])
def test_what_happens_at_a_proxy_names_what_names_the_proxy(kind: NoAnswer) -> None:
    through = replace(CALL, proxy="indexing.proxy", loopback=True)
    message = failure(unanswered(kind, through)).message

    assert "the proxy that indexing.proxy names" in message
    assert "localhost" not in message


def test_what_answers_in_the_place_of_a_server_that_answered_before_is_retried() -> None:
    known = replace(CALL, answered=True)
    for found in (
        unanswered("not Qdrant", known),
        unanswered("not HTTP", known),
        unanswered("not gRPC", known),
        refused(Answer(404, "default backend", genuine=False), known),
    ):
        assert isinstance(found, Retryable)
        assert type(found.failure) is TransientError
        assert "something else answered in its place" in found.failure.message


def test_a_collection_that_is_missing_is_missing_also_on_a_server_that_answered_before() -> None:
    assert type(refused(Answer(404), replace(CALL, answered=True))) is CollectionMissingError
    assert type(unanswered("tls", replace(CALL, answered=True))) is ConfigError


def test_a_refused_connection_to_localhost_gets_a_hint_about_containers() -> None:
    local = Call("read collection", "read access", "http://localhost:6333", loopback=True)

    assert "host.docker.internal" in failure(unanswered("refused", local)).message
    assert "host.docker.internal" not in failure(unanswered("refused", CALL)).message
    assert "host.docker.internal" not in failure(unanswered("timeout", local)).message


def test_an_unconfirmed_write_is_retried_and_transient_in_the_end() -> None:
    found = unfinished("wait_timeout", CALL)

    assert type(found.failure) is TransientError
    assert found.failure.detail == "wait_timeout"


@pytest.mark.parametrize(
    "text",
    [
        (
            "Service internal error: Tonic status error: code: 'The service is currently unavailable', message: "
            '"Failed to connect to http://127.0.0.1:17423/, error: transport error"'
        ),
        (
            "Service internal error: 2 out of 3 shards failed to apply operation. First error captured: Service internal"
            " error: Tonic status error: code: 'The service is currently unavailable', message: \"tcp connect error\""
        ),
    ],
)
def test_a_node_that_is_away_is_told_and_waited_for(text: str) -> None:
    found = meaning(500, text)

    assert isinstance(found, Retryable)
    assert "a node of its cluster does not answer" in found.failure.message


@pytest.mark.parametrize(
    ("status", "text"), [(403, "<html>Request blocked</html>"), (401, "<html>Log in"), (403, ""), (401, "")]
)
def test_what_blocks_the_way_is_not_taken_for_a_missing_right(status: int, text: str) -> None:
    found = meaning(status, text, genuine=False)

    assert type(found) is ConfigError
    assert "something before it blocked the request" in found.message
