"""Refusals of providers: what each one means, and what never reaches a message."""

from __future__ import annotations

import pytest

from destination_qdrant.embedding.service import (
    InvalidRequestError,
    Measure,
    NotThereError,
    Overloaded,
    Refusal,
    Service,
    Throttled,
    TimedOut,
    TooLarge,
    check_dimensions,
    clean_key,
    misaddressed,
    refused,
    said,
    unreachable,
)
from destination_qdrant.errors import ConfigError, ProviderError, SystemFault, TransientError
from destination_qdrant.retry import Retryable
from destination_qdrant.vectors import Dense

SERVICE = Service("Service", key="embedding.key", model="embedding.model_name", address="embedding.base_url")


@pytest.mark.parametrize(
    "refusal",
    [
        # what LiteLLM says (thrice) and DashScope; others have words of the same kind
        Refusal(400, text="Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", kind="budget_exceeded"),
        Refusal(429, text="Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", retry_after=1.0),
        Refusal(400, text="ExceededBudget: User=u over budget. Spend=11, Budget=10, maximum"),
        Refusal(400, code="Arrearage", text="Access denied, please make sure your account is in good standing."),
        Refusal(400, text="You requested up to 9 tokens, but your credits only cover the maximum of 3"),
        Refusal(422, text="Insufficient account balance, limit of input reached"),
        Refusal(400, text="Your quota of input tokens is exceeded"),
    ],
)
def test_a_used_up_budget_is_neither_waited_for_nor_blamed_on_a_text(refusal: Refusal) -> None:
    error = refused(refusal, SERVICE)

    assert isinstance(error, ProviderError)
    assert error.message == "Service refuses because the account has no quota left; check its plan and billing."


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(429, text="3 requests per minute until you choose a plan with more tokens a month"),
        Refusal(429, text="You are using a Trial key, 40 calls / minute, 1000 / month", retry_after=20.0),
        Refusal(429, text="You are using a Trial key, 40 calls / minute, 1000 / month", code="rate_limit_exceeded"),
        Refusal(429, text="You exceeded your current quota, please check your plan and billing details."),
    ],
)
def test_a_limit_per_minute_that_mentions_more_is_waited_for(refusal: Refusal) -> None:
    assert isinstance(refused(refusal, SERVICE), Throttled)


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        (Refusal(401), "embedding.key"),
        (Refusal(403), "embedding.key"),
        (Refusal(404), "embedding.model_name and embedding.base_url"),
        (Refusal(400, text="API key not valid. Please pass a valid API key."), "embedding.key"),
        (Refusal(429, text="You are using a Trial key, which is limited to 1000 API calls / month."), "billing"),
        (Refusal(410), "embedding.model_name"),
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
    assert isinstance(error, Throttled) == (status == 429)
    assert isinstance(error, Overloaded) == (status in {503, 504, 529})
    assert isinstance(error, TimedOut) == (status == 504)


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "RateLimitReached", "throttling_error"])
def test_a_rate_limit_is_known_by_its_code_too(code: str) -> None:
    assert isinstance(refused(Refusal(503, code=code), SERVICE), Throttled)
    assert isinstance(refused(Refusal(503, kind=code), SERVICE), Throttled)


@pytest.mark.parametrize(
    ("refusal", "by"),
    [
        (Refusal(413), "bytes"),
        (Refusal(413, text="Payload Too Large"), "bytes"),
        (Refusal(400, text="request body exceeds 2 MB"), "bytes"),
        # what servers say: OpenAI (four limits), TEI (two), DashScope, Mistral, Cohere, Ollama, llama.cpp
        (Refusal(400, text="This model's maximum context length is 8192 tokens, however you requested 9000"), "tokens"),
        (Refusal(400, text="Requested 400000 tokens, max 300000 tokens per request"), "tokens"),
        (Refusal(400, text="Invalid 'input': array too long. Expected an array with maximum length 2048"), "texts"),
        (Refusal(429, code="rate_limit_exceeded", text="Request too large for m: Limit 10, Requested 20"), "tokens"),
        (Refusal(422, text="batch size 64 > maximum allowed batch size 32"), "texts"),
        (Refusal(413, text="Input validation error: `inputs` must have less than 512 tokens. Given: 600"), "tokens"),
        (Refusal(400, text="batch size is invalid, it should not be larger than 10"), "texts"),
        (Refusal(400, text="Too many tokens overall, split into more batches."), "tokens"),
        (Refusal(400, text="Too many inputs in request, split into more batches."), "texts"),
        (Refusal(400, text="invalid request: total number of texts must be at most 96 - received 97"), "texts"),
        (Refusal(400, text="the input length exceeds the context length"), "tokens"),
        (Refusal(400, text="the input exceeds the token budget of a request"), "tokens"),
        (Refusal(500, text="input (900 tokens) is too large to process. increase the physical batch size"), "tokens"),
    ],
)
def test_what_is_about_size_asks_for_less_of_what_it_speaks_of(refusal: Refusal, by: Measure) -> None:
    error = refused(refusal, SERVICE)

    assert isinstance(error, TooLarge)
    assert error.by == by
    assert "processing.chunk_size" in error.failure.message


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(400, code="model_not_found"),
        Refusal(404, code="DeploymentNotFound"),
        # what servers say: OpenAI, Cohere, Voyage, Mistral, Ollama, vLLM
        Refusal(404, text="The model `text-embedding-ada-002` has been deprecated, learn more here"),
        Refusal(404, text="model 'embed-english-light-v2.0' was removed on September 15, 2025"),
        Refusal(400, text="Model voyage-01 is not supported. Supported models are ['voyage-4']"),
        Refusal(400, text="Invalid model: mistral-embedd"),
        Refusal(404, text='model "nomic" not found, try pulling it first'),
        Refusal(404, text="The model `m` does not exist."),
    ],
)
def test_a_model_that_is_unknown_or_retired_is_said_to_be(refusal: Refusal) -> None:
    error = refused(refusal, SERVICE)

    assert type(error) is ProviderError
    assert str(error) == (
        "Service does not know the model in embedding.model_name: it is misspelt, retired by now, or not open to this key."
    )


@pytest.mark.parametrize(
    "text",
    [
        "encoding_format is not supported by this model",
        "The model does not exist with dimensions of 7",
        "this model does not support base64",
    ],
)
def test_an_option_that_a_model_lacks_is_no_unknown_model(text: str) -> None:
    assert isinstance(refused(Refusal(400, text=text), SERVICE), InvalidRequestError)


def test_nothing_there_may_be_another_address() -> None:
    assert isinstance(refused(Refusal(404, text="404 page not found"), SERVICE), NotThereError)


def test_what_is_said_leaves_out_what_is_repeated_of_the_request() -> None:
    body = {
        "detail": [{"type": "string_too_long", "msg": "too long", "input": "maximum", "ctx": {"max": "token"}}],
        "object": "error",
        "inputs": ["maximum"],
        "code": 400,
    }

    assert said(body) == "string_too_long too long error"
    assert said("plain words") == "plain words"
    assert said(None) == ""
    nested: object = "deep"
    for _ in range(10_000):
        nested = [nested]
    assert said(nested) == ""
    assert len(said(["x" * 9_000] * 50)) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        "encoding_format must be at most float",
        "base64 exceeds what this server can",
        "dimensions must be at most 1024",
        "Unknown parameter: max; at most four are known",
    ],
)
def test_what_is_about_an_option_is_not_about_size(text: str) -> None:
    assert isinstance(refused(Refusal(400, text=text), SERVICE), InvalidRequestError)


def test_what_is_about_a_key_is_not_about_size() -> None:
    error = refused(Refusal(400, text="API key exceeds the maximum of its lifetime"), SERVICE)

    assert isinstance(error, ProviderError)
    assert "embedding.key" in error.message


@pytest.mark.parametrize("status", [302, 401, 402, 403, 404, 405, 410])
def test_what_is_about_the_provider_is_about_no_part_of_the_input(status: int) -> None:
    error = refused(Refusal(status), SERVICE)

    assert isinstance(error, ProviderError)
    with pytest.raises(ProviderError):
        check_dimensions([Dense.of([1, 2])], 3, SERVICE)


@pytest.mark.parametrize("address", ["embedding.base_url", ""])
def test_an_address_that_cannot_be_asked_is_about_no_part_of_the_input(address: str) -> None:
    error = misaddressed(Service("Service", key="k", model="m", address=address))

    assert isinstance(error, ProviderError)
    assert error.message.startswith(address or "Service cannot be asked; check the network")


@pytest.mark.parametrize("refusal", [Refusal(400), Refusal(413)])
def test_what_may_be_about_a_text_is_about_a_part_of_the_input(refusal: Refusal) -> None:
    error = refused(refusal, SERVICE)
    failure = error.failure if isinstance(error, TooLarge) else error

    assert isinstance(failure, ConfigError)
    assert failure.at("in line 3 of the input").message.endswith(" (in line 3 of the input)")


def test_an_invalid_request_names_the_field_that_adds_to_it_where_it_does() -> None:
    adding = Service("Service", key="k", model="m", extra="embedding.extra_body")

    assert "check m and embedding.dimensions and embedding.extra_body" in str(refused(Refusal(400), adding))


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
    assert not isinstance(signal, Overloaded)


@pytest.mark.parametrize("name", ["ReadTimeout", "WriteTimeout", "APITimeoutError"])
def test_a_provider_that_does_not_answer_in_time_does_not_keep_up(name: str) -> None:
    signal = unreachable(SERVICE, name)

    assert isinstance(signal, TimedOut)
    assert isinstance(signal.failure, TransientError)
    assert signal.failure.detail == name
    assert signal.failure.message == (
        "Service did not answer in time; raise embedding.requests.timeout, or lower embedding.requests.batch_size or "
        "in_flight."
    )


def test_vectors_of_another_length_name_the_field() -> None:
    with pytest.raises(ConfigError, match=r"of 2 numbers where 3 were expected; check embedding\.dimensions"):
        check_dimensions([Dense.of([1, 2])], 3, SERVICE)


def test_keys_lose_the_blanks_around_them() -> None:
    assert clean_key(" sk-1\n", "embedding.key") == "sk-1"


@pytest.mark.parametrize("key", ["", "  ", "sk-1\nsk-2", "sk-\u2013", "sk\0"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^embedding\.key (?:must not be empty|holds a line break)") as caught:
        clean_key(key, "embedding.key")

    assert "sk" not in caught.value.message.removeprefix("embedding.key")
