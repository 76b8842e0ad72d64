"""Refusals of providers: what each one means, and what never reaches a message."""

from __future__ import annotations

import pytest

from destination_qdrant.embedding.service import (
    InvalidRequestError,
    Refusal,
    Service,
    TooLarge,
    check_dimensions,
    clean_address,
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


def test_a_success_that_the_library_cannot_read_is_the_providers_fault() -> None:
    assert isinstance(refused(Refusal(200, text="<html>"), SERVICE), SystemFault)


def test_only_short_identifiers_reach_the_detail() -> None:
    assert Refusal(400, code="a_code", kind="invalid.type-1").detail == "HTTP 400 a_code invalid.type-1"
    assert Refusal(400, code="Wrong key sk-123", kind="x" * 65).detail == "HTTP 400"
    assert Refusal(400, code="line\n").detail == "HTTP 400"


def test_the_providers_text_reaches_nothing() -> None:
    for status in range(200, 600):
        error = refused(Refusal(status, code="sk 1", kind="a secret", text="your secret sk-1 exceeds"), SERVICE)
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


def test_an_address_loses_the_blanks_around_it() -> None:
    assert clean_address(" http://localhost:11434/v1\n", "embedding.base_url") == "http://localhost:11434/v1"


@pytest.mark.parametrize(
    "address", ["", "localhost:80", "ftp://localhost", "http://", "http://localhost:port", "http://[::1"]
)
def test_what_is_no_http_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"embedding\.base_url must be an address"):
        clean_address(address, "embedding.base_url")
