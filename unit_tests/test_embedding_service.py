"""Refusals of providers: what each one means, and what never reaches a message."""

from __future__ import annotations

import pytest

from destination_qdrant.embedding.service import (
    InvalidRequestError,
    Refusal,
    Service,
    TooLarge,
    check_dimensions,
    clean_key,
    refused,
    seconds,
    unreachable,
)
from destination_qdrant.errors import ConfigError, SystemFault, TransientError
from destination_qdrant.retry import Retryable
from destination_qdrant.vectors import Dense

SERVICE = Service("Service", key="embedding.key", model="embedding.model_name", address="embedding.base_url")


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        (Refusal(401), "embedding.key"),
        (Refusal(403), "embedding.key"),
        (Refusal(404), "embedding.model_name and embedding.base_url"),
        (Refusal(410), "embedding.model_name"),
        (Refusal(400, code="model_not_found"), "embedding.model_name"),
        (Refusal(402), "billing"),
        (Refusal(429, code="insufficient_quota"), "billing"),
        (Refusal(429, kind="insufficient_quota"), "billing"),
        (Refusal(400), "embedding.dimensions"),
        (Refusal(422, text="unknown option"), "embedding.dimensions"),
        (Refusal(405), "embedding.base_url"),
        (Refusal(302), "embedding.base_url"),
    ],
)
def test_what_waiting_does_not_mend_is_the_users_to_change(refusal: Refusal, field: str) -> None:
    error = refused(refusal, SERVICE)

    assert isinstance(error, ConfigError)
    assert field in error.message


@pytest.mark.parametrize("status", [408, 409, 425, 429, 499, 500, 502, 503, 504, 529])
def test_what_may_pass_later_is_tried_again(status: int) -> None:
    error = refused(Refusal(status, retry_after=7.0), SERVICE)

    assert isinstance(error, Retryable)
    assert isinstance(error.failure, TransientError)
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(413),
        # what servers say: OpenAI (three limits), TEI, DashScope, Mistral, Cohere, Ollama, llama.cpp
        Refusal(400, text="This model's maximum context length is 8192 tokens, however you requested 9000"),
        Refusal(400, text="Requested 400000 tokens, max 300000 tokens per request"),
        Refusal(400, text="Invalid 'input': array too long. Expected an array with maximum length 2048"),
        Refusal(422, text="batch size 64 > maximum allowed batch size 32"),
        Refusal(400, text="batch size is invalid, it should not be larger than 10"),
        Refusal(400, text="Too many tokens overall, split into more batches."),
        Refusal(400, text="invalid request: total number of texts must be at most 96 - received 97"),
        Refusal(400, text="the input length exceeds the context length"),
        Refusal(500, text="input (900 tokens) is too large to process. increase the physical batch size"),
    ],
)
def test_what_is_about_size_asks_for_fewer_texts(refusal: Refusal) -> None:
    error = refused(refusal, SERVICE)

    assert isinstance(error, TooLarge)
    assert "processing.chunk_size" in error.failure.message


@pytest.mark.parametrize("text", ["encoding_format must be at most float", "base64 exceeds what this server can"])
def test_what_is_about_the_encoding_is_not_about_size(text: str) -> None:
    assert isinstance(refused(Refusal(400, text=text), SERVICE), InvalidRequestError)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirection_names_the_address_or_what_stands_between(status: int) -> None:
    configured = refused(Refusal(status), SERVICE)
    fixed = refused(Refusal(status), Service("Service", key="embedding.key", model="embedding.model_name"))

    assert str(configured) == (
        f"Service redirects to another address (HTTP {status}), which the connector does not send records to; "
        "set embedding.base_url to the address of the service itself."
    )
    assert str(fixed) == (
        f"Something between the connector and Service redirects to another address (HTTP {status}), which the "
        "connector does not send records to; check the network and the proxy settings of the connector's environment."
    )
    assert isinstance(configured, ConfigError)
    assert isinstance(fixed, ConfigError)


def test_a_success_that_the_library_cannot_read_is_the_providers_fault() -> None:
    assert isinstance(refused(Refusal(200, text="<html>"), SERVICE), SystemFault)


@pytest.mark.parametrize(
    ("code", "kind", "detail"),
    [
        ("invalid_api_key", "invalid_request_error", "HTTP 400 invalid_api_key invalid_request_error"),
        ("DeploymentNotFound", "", "HTTP 400 DeploymentNotFound"),
        ("", "rate_limit_error", "HTTP 400 rate_limit_error"),
        ("sk-123", "Alice", "HTTP 400"),
        ("invalid_api_key_sk-123", "invalid_api_key\n", "HTTP 400"),
        ("Wrong key sk-123", "x" * 65, "HTTP 400"),
    ],
)
def test_only_known_codes_reach_the_detail(code: str, kind: str, detail: str) -> None:
    """A server can put part of the key, or a word of a record, in the place of a code."""
    assert Refusal(400, code=code, kind=kind).detail == detail


def test_the_providers_text_reaches_nothing() -> None:
    for status in range(200, 600):
        error = refused(Refusal(status, code="secret", kind="a_secret", text="your secret sk-1 exceeds"), SERVICE)
        shown = getattr(error, "failure", error)
        assert "secret" not in f"{error} {shown.message} {shown.detail}"


def test_a_provider_that_does_not_answer_may_answer_later() -> None:
    signal = unreachable(SERVICE, "ConnectError")

    assert isinstance(signal.failure, TransientError)
    assert "embedding.base_url" in signal.failure.message


def test_vectors_of_another_length_name_the_field() -> None:
    with pytest.raises(ConfigError, match=r"of 2 numbers where 3 were expected; check embedding\.dimensions"):
        check_dimensions([Dense.of([1, 2])], 3, SERVICE)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert expected == seconds(headers)


def test_keys_lose_the_blanks_around_them() -> None:
    assert clean_key(" sk-1\n", "embedding.key") == "sk-1"


@pytest.mark.parametrize("key", ["", "  ", "sk-1\nsk-2", "sk-\u2013", "sk\0"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^embedding\.key (?:must not be empty|holds a line break)") as caught:
        clean_key(key, "embedding.key")

    assert "sk" not in caught.value.message.removeprefix("embedding.key")
