"""What providers of embeddings answer, and what becomes of it: through the command line, over HTTP, on the loopback interface.

What every form of provider does with an odd answer, and in whose words a request can be too large, is tried on the
embedder itself: starting the connector for each adds nothing.
"""

from __future__ import annotations

import re
import struct
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import provider_limits as limits
import pytest
from command_line import Connector, Finished, Json
from provider_answers import (
    Odd,
    all_zeros,
    bad_gateway,
    bad_key,
    base64_ignored,
    base64_refused,
    bomb,
    cut_off,
    dimensions_refused,
    duplicate_index,
    endless_body,
    endless_chunk_head,
    endless_header,
    endless_hints,
    error_with_200,
    forbidden,
    half_of_json,
    html_page,
    hung_up,
    in_milliseconds,
    in_seconds,
    infinite,
    model_gone,
    no_data,
    no_model,
    no_quota,
    not_a_number,
    null_embeddings,
    overloaded,
    packed_overload,
    paused,
    quarter_of_base64,
    redirect,
    server_error,
    shuffled,
    slow_drip,
    too_few,
    too_many,
    uneven_lengths,
    vector,
    wrong_length,
)
from provider_limits import Limit, RateLimit
from provider_server import ProviderServer
from running_write import APPEND, jsonl, record, state, state_ids
from targets import EmbeddedTarget

from destination_qdrant.config import Embedding, parse_config
from destination_qdrant.embedding import create_embedder
from destination_qdrant.errors import ConnectorError, SystemFault, TransientError

KEY = "sk-test-0123456789abcdef"
SECRET = "confidential"  # a word of every record's text

Mode = Literal["openai", "azure_openai", "openai_compatible", "cohere"]
MODES: Sequence[Mode] = ("openai", "azure_openai", "openai_compatible", "cohere")

#: Cohere's models have no shorter vectors.
SIZE: Mapping[Mode, int] = {"openai": 8, "azure_openai": 8, "openai_compatible": 8, "cohere": 256}


def embedding(mode: Mode, server: ProviderServer, *, requests: Json | None = None, **fields: Any) -> Json:
    """The form of a provider, filled in to lead to this server; nothing is tried twice unless `requests` says so."""
    own = {
        "openai": {"openai_key": KEY, "model_name": "text-embedding-3-small", "base_url": f"{server.url}/v1"},
        "azure_openai": {"openai_key": KEY, "api_base": server.url, "deployment": "my-embeddings"},
        "openai_compatible": {"api_key": KEY, "model_name": "any", "base_url": f"{server.url}/v1"},
        "cohere": {"cohere_key": KEY, "model_name": "embed-v4.0", "base_url": server.url},
    }
    said = {"retry_seconds": 0, **(requests or {})}
    return {"mode": mode, **own[mode], "dimensions": SIZE[mode], "requests": said, **fields}


def with_embedding(form: Json, target: EmbeddedTarget) -> Json:
    processing = {"chunk_size": 100, "text_fields": ["text"]}
    return {"processing": processing, "embedding": form, "indexing": target.indexing()}


def records(count: int) -> list[Json]:
    return [record(number, text=f"{SECRET} {number}") for number in range(count)]


def vectors(target: EmbeddedTarget) -> dict[str, list[float]]:
    """The stored vectors, by their text."""
    return {point["payload"]["text"]: point["vector"] for point in target.points() or []}


def assert_vectors_are_right(target: EmbeddedTarget, count: int, *, size: int = 8, prefix: str = "") -> None:
    found = vectors(target)
    assert len(found) == count
    for text, numbers in found.items():
        assert numbers == pytest.approx(vector(prefix + text, size), abs=1e-5)


def assert_nothing_leaked(finished: Finished) -> None:
    said = finished.stdout.decode() + finished.stderr
    assert KEY not in said
    assert SECRET not in said


@dataclass(frozen=True, slots=True)
class Run:
    """The connector, which writes small syncs with one embedding into one folder."""

    connector: Connector
    target: EmbeddedTarget

    def write(self, form: Json, messages: Sequence[Json]) -> Finished:
        finished = self.connector.run(
            "write", jsonl(*messages), config=with_embedding(form, self.target), catalog=APPEND
        )
        assert_nothing_leaked(finished)
        return finished

    def check(self, form: Json) -> tuple[str, str]:
        """Whether it succeeded, and what it said."""
        finished = self.connector.run("check", config=with_embedding(form, self.target))
        assert_nothing_leaked(finished)
        assert finished.code == 0
        (message,) = finished.of("CONNECTION_STATUS")
        return message["connectionStatus"]["status"], message["connectionStatus"].get("message", "")


@pytest.fixture(name="run")
def _run(quick_connector: Connector, quick_folder: Path) -> Run:
    return Run(quick_connector, EmbeddedTarget(quick_folder))


# ----------------------------------------------------------------------------------------------------------
# Good answers


@pytest.mark.parametrize("mode", MODES)
def test_every_form_of_provider_is_asked_as_it_wants_to_be_and_fills_a_collection(mode: Mode, run: Run) -> None:
    with ProviderServer(key=KEY) as server:
        finished = run.write(embedding(mode, server), [*records(3), state(1)])
        status, message = run.check(embedding(mode, server))
    assert finished.code == 0, finished.error
    assert state_ids(finished) == [1]
    assert_vectors_are_right(run.target, 3, size=SIZE[mode])
    assert (status, server.lost) == ("SUCCEEDED", []), message
    first = server.seen[0].asked
    assert len(first.texts) == 3  # no text of the connector's own goes before: the vector size is configured
    if mode == "cohere":
        assert first.body["input_type"] == "search_document"
    assert {each.asked.encoding for each in server.seen} == {"base64"}


def test_a_service_without_a_key_and_with_more_fields_gets_them_and_the_prefix_which_is_not_stored(run: Run) -> None:
    fields = {"document_prefix": "passage: ", "extra_body": '{"input_type": "document"}', "api_key": ""}
    with ProviderServer() as server:
        finished = run.write(embedding("openai_compatible", server, **fields), records(2))
    assert finished.code == 0, finished.error
    (seen,) = server.seen
    assert all(text.startswith("passage: ") for text in seen.asked.texts)
    assert seen.asked.body["input_type"] == "document"
    assert "dimensions" not in seen.asked.body
    assert not any("passage" in text for text in vectors(run.target))
    assert_vectors_are_right(run.target, 2, prefix="passage: ")


def test_the_vector_size_is_asked_for_where_it_is_wanted(run: Run) -> None:
    with ProviderServer(dimensions=16) as server:
        finished = run.write(embedding("openai_compatible", server, send_dimensions=True), records(1))
    assert finished.code == 0, finished.error
    assert [each.asked.body.get("dimensions") for each in server.seen] == [8]
    assert_vectors_are_right(run.target, 1)


# ----------------------------------------------------------------------------------------------------------
# Odd answers


@dataclass(frozen=True, slots=True)
class Case:
    """An odd answer to a request of two texts, and what the user hears of it (a pattern)."""

    odd: Odd
    failure: Literal["config_error", "transient_error", "system_error"]
    sentence: str
    shows_in_check: bool = True  # which embeds a single text


ODD_ANSWERS = (
    Case(too_few, "system_error", r"it holds [01] embeddings for [12] texts"),
    Case(too_many, "system_error", r"it holds [32] embeddings for [12] texts"),
    Case(duplicate_index, "system_error", "its embeddings are not numbered one by one", shows_in_check=False),
    Case(uneven_lengths, "system_error", "different lengths, from 7 to 8|vectors of 7 numbers where 8 were expected"),
    Case(wrong_length, "config_error", "gives vectors of 7 numbers where 8 were expected; check embedding.dimensions"),
    Case(not_a_number, "system_error", "sent an answer that cannot be used"),
    Case(infinite, "system_error", "sent an answer that cannot be used"),
    Case(all_zeros, "system_error", "an embedding is all zeros"),
    Case(null_embeddings, "system_error", "sent an answer that cannot be used"),
    Case(no_data, "system_error", "it holds 0 embeddings for"),
    Case(html_page, "system_error", "it is no JSON"),
    Case(error_with_200, "system_error", "it holds no list of embeddings"),
    Case(half_of_json, "system_error", "it is no JSON"),
    Case(cut_off, "transient_error", "could not be reached; check embedding.base_url and the network"),
    Case(hung_up, "transient_error", "could not be reached; check embedding.base_url and the network"),
    Case(redirect, "config_error", r"redirects to another address \(HTTP 307\)"),
    Case(no_quota, "config_error", "no quota left; check its plan and billing"),
    Case(bad_key, "config_error", "does not accept the key in embedding.api_key"),
    Case(forbidden, "config_error", "embedding.model_name"),
    Case(no_model, "config_error", "embedding.model_name"),
    Case(model_gone, "config_error", "embedding.model_name"),
    Case(server_error, "transient_error", r"could not answer \(HTTP 500\); try again later"),
    Case(bad_gateway, "transient_error", r"could not answer \(HTTP 502\); try again later"),
    Case(overloaded, "transient_error", r"could not answer \(HTTP 503\); try again later"),
)
NAMES = [case.odd.__name__ for case in ODD_ANSWERS]


@pytest.mark.parametrize("case", ODD_ANSWERS, ids=NAMES)
def test_an_odd_answer_ends_in_a_sentence_and_stores_nothing(case: Case, run: Run) -> None:
    with ProviderServer().script(case.odd) as server:
        form = embedding("openai_compatible", server)
        finished = run.write(form, [*records(2), state(1)])
        status, said = run.check(form)
    assert finished.code == 1
    assert finished.error
    assert (finished.error["failure_type"], state_ids(finished), vectors(run.target)) == (case.failure, [], {})
    assert re.search(case.sentence, finished.error["message"])
    assert (status, bool(re.search(case.sentence, said))) == (
        ("FAILED", True) if case.shows_in_check else ("SUCCEEDED", False)
    ), said


def embedder_of(form: Json) -> Any:
    return create_embedder(parsed(form))


def parsed(form: Json) -> Embedding:
    raw = {"processing": {"chunk_size": 100}, "embedding": form, "indexing": {"url": "http://h", "collection": "c"}}
    return parse_config(raw).embedding


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        pytest.param(case, mode, id=f"{name}-{mode}")
        for case, name in zip(ODD_ANSWERS, NAMES, strict=True)
        for mode in ("openai", "azure_openai", "cohere")
        if (case.odd, mode) != (duplicate_index, "cohere")  # whose answers are not numbered
    ],
)
def test_no_form_of_provider_takes_an_odd_answer(case: Case, mode: Mode) -> None:
    with (
        ProviderServer(dimensions=SIZE[mode]).script(case.odd) as server,
        closing(embedder_of(embedding(mode, server))) as embedder,
        pytest.raises(ConnectorError) as raised,
    ):
        embedder.embed_documents([f"{SECRET} 1", f"{SECRET} 2"])
    assert raised.value.failure_type == case.failure
    told = "".join(traceback.format_exception(raised.value))
    assert f"{type(raised.value).__name__}: " in told
    assert KEY not in told
    assert f"{SECRET} 1" not in told


@pytest.mark.parametrize("mode", MODES)
def test_an_exhausted_quota_is_asked_for_once(mode: Mode, run: Run) -> None:
    with ProviderServer().script(no_quota) as server:
        finished = run.write(embedding(mode, server, requests={"retry_seconds": 600}), records(2))
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("odd", "mode"),
    [
        (slow_drip, "openai"),
        (endless_hints, "openai_compatible"),
        (endless_header, "cohere"),
        (endless_chunk_head, "openai_compatible"),
    ],
)
def test_an_answer_that_never_ends_is_given_up(odd: Odd, mode: Mode) -> None:
    with (
        ProviderServer().script(odd) as server,
        closing(embedder_of(embedding(mode, server, requests={"timeout": 1}))) as embedder,
        pytest.raises(TransientError, match="did not answer in time"),
    ):
        embedder.embed_documents(["a"])
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [(bomb, "it is compressed, which was not asked for"), (endless_body, r"it is larger than the \d+ MB that")],
)
@pytest.mark.parametrize("mode", ["openai_compatible", "cohere"])
def test_no_answer_fills_the_memory(odd: Odd, sentence: str, mode: Mode) -> None:
    with (
        ProviderServer().script(odd) as server,
        closing(embedder_of(embedding(mode, server))) as embedder,
        pytest.raises(SystemFault, match=sentence),
    ):
        embedder.embed_documents(["a"])
    assert {each.asked.headers["accept-encoding"] for each in server.seen} == {"identity"}


@pytest.mark.parametrize("mode", ["openai_compatible", "cohere"])
def test_a_refusal_is_understood_although_its_words_are_packed(mode: Mode) -> None:
    with (
        ProviderServer().script(packed_overload) as server,
        closing(embedder_of(embedding(mode, server))) as embedder,
        pytest.raises(TransientError, match="HTTP 503"),
    ):
        embedder.embed_documents(["a"])


@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_cannot_shorten_its_vectors_is_told_from_other_mistakes(mode: Mode, run: Run) -> None:
    fields = {"send_dimensions": True} if mode == "openai_compatible" else {}
    with ProviderServer().script(dimensions_refused) as server:
        finished = run.write(embedding(mode, server, **fields), records(1))
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    assert "embedding.dimensions" in finished.error["message"]


def test_a_provider_that_comes_back_is_asked_again(run: Run) -> None:
    with ProviderServer() as server:
        for odd in (overloaded, cut_off):
            server.script(odd, times=1)
        form = embedding("openai_compatible", server, requests={"retry_seconds": 60})
        finished = run.write(form, records(2))
    assert finished.code == 0, finished.error
    assert server.statuses == [503, 200, 200]
    assert_vectors_are_right(run.target, 2)


def test_a_base_url_may_be_given_without_its_version(run: Run) -> None:
    with ProviderServer(only_under="/v1") as server:
        form = embedding("openai_compatible", server, base_url=server.url, requests={"in_flight": 1, "batch_size": 1})
        status, said = run.check(form)
        finished = run.write(form, records(3))
    assert (status, finished.code) == ("SUCCEEDED", 0), (said, finished.error)
    assert_vectors_are_right(run.target, 3)
    assert server.lost == ["POST /embeddings"] * 2  # once in each run


def test_a_key_that_is_withdrawn_in_the_middle_leaves_every_acknowledged_record_stored(run: Run) -> None:
    messages = [each for number, one in enumerate(records(40)) for each in (one, state(number))]
    with ProviderServer().script(bad_key, skip=5) as server:
        form = embedding("openai", server)
        config = with_embedding(form, run.target)
        config["indexing"]["batch_size"] = 4
        finished = run.connector.run("write", jsonl(*messages), config=config, catalog=APPEND)
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    acknowledged, stored = state_ids(finished), {point["payload"]["id"] for point in run.target.points() or []}
    assert stored
    assert set(acknowledged) <= stored
    assert acknowledged == list(range(len(acknowledged)))


def test_a_provider_that_is_not_there_is_named_by_the_field_of_its_address(run: Run) -> None:
    with ProviderServer() as server:
        form = embedding("openai_compatible", server)
    status, said = run.check(form)
    assert status == "FAILED"
    assert "could not be reached; check embedding.base_url and the network" in said


# ----------------------------------------------------------------------------------------------------------
# base64


@pytest.mark.parametrize("odd", [base64_refused, base64_ignored, quarter_of_base64])
@pytest.mark.parametrize("dimensions", [8, None], ids=["size-known", "size-unknown"])
def test_a_service_without_base64_is_asked_for_numbers_and_that_is_remembered(
    odd: Odd, dimensions: int | None, run: Run
) -> None:
    with ProviderServer().script(odd) as server:
        requests = {"in_flight": 1, "batch_size": 2}
        form = embedding("openai_compatible", server, requests=requests, dimensions=dimensions)
        finished = run.write(form, records(12))
    assert finished.code == 0, finished.error
    assert_vectors_are_right(run.target, 12)
    asked = [each.asked.encoding for each in server.seen]
    if odd is base64_ignored:
        assert asked.count("base64") >= len(asked) - 1  # lists are read as they are; one probe may ask for them
    else:
        assert asked.count("base64") == 1
    assert len(asked) <= 6 + 2


# ----------------------------------------------------------------------------------------------------------
# Requests at once


def test_as_many_requests_are_in_flight_as_configured_and_no_more(run: Run) -> None:
    with ProviderServer().script(shuffled) as server:
        gate = server.hold(8, waves=3)
        form = embedding("openai", server, requests={"in_flight": 8, "batch_size": 2})
        finished = run.write(form, [*records(48), state(1)])
    assert finished.code == 0, finished.error
    assert not gate.is_broken
    assert (server.most_in_flight, len(server.seen)) == (8, 24)
    assert_vectors_are_right(run.target, 48)


def test_one_request_at_a_time_brings_the_same_vectors(run: Run) -> None:
    with ProviderServer().script(shuffled) as server:
        form = embedding("openai", server, requests={"in_flight": 1, "batch_size": 4})
        finished = run.write(form, records(16))
    assert finished.code == 0, finished.error
    assert (server.most_in_flight, len(server.seen)) == (1, 4)
    assert [text for each in server.seen for text in each.asked.texts] == [
        f"text: {SECRET} {number}" for number in range(16)
    ]
    assert_vectors_are_right(run.target, 16)


def test_a_text_that_is_on_its_way_is_not_sent_again(run: Run) -> None:
    with ProviderServer() as server:
        form = embedding("openai", server, requests={"in_flight": 8, "batch_size": 1})
        finished = run.write(form, [record(number, text=f"{SECRET} {number % 2}") for number in range(16)])
    assert finished.code == 0, finished.error
    assert sorted(server.texts) == [f"text: {SECRET} 0", f"text: {SECRET} 1"]
    assert len(run.target.points() or []) == 16


# ----------------------------------------------------------------------------------------------------------
# Requests that are too large


#: Twelve texts of five tokens are sent; three of them are taken at once.
TOO_LARGE = (
    limits.texts(3),
    limits.tokens(19),
    limits.tokens(19, limits.mistral),
    limits.texts(3, limits.tei_texts),
    limits.texts(3, limits.cohere_texts),
    limits.tokens(19, limits.voyage_tokens),
    limits.texts(3, limits.gemini_texts),
    limits.texts(3, limits.dashscope_texts),
    limits.body_bytes(175),
)


@pytest.mark.parametrize("limit", TOO_LARGE, ids=lambda limit: limit.words.__name__)
def test_a_request_that_is_too_large_is_halved_and_its_size_remembered(limit: Limit) -> None:
    texts = [f"{SECRET} is text {number:03}." for number in range(24)]
    with ProviderServer(limits=[limit]) as server:
        form = embedding("openai_compatible", server, requests={"in_flight": 1, "batch_size": 12})
        with closing(embedder_of(form)) as embedder:
            found = embedder.embed_documents(texts)
            asked = len(server.seen)
            again = embedder.embed_documents(texts)
    assert [each.packed for each in found] == [struct.pack("<8f", *vector(text, 8)) for text in texts]
    assert found == again
    assert sorted(server.texts) == sorted(2 * texts)
    assert set(server.statuses[asked:]) == {200}
    refused = [len(each.asked.texts) for each in server.seen if each.status != 200]
    # Of each size one, and at most one more, which left before it was known that it is too large.
    assert sorted({*refused}) == [6, 12]
    assert len(refused) <= 4


@pytest.mark.parametrize(
    ("mode", "count", "requests", "sizes"),
    [
        ("cohere", 100, {}, [96, 4]),
        ("openai", 300, {}, [256, 44]),
        ("openai_compatible", 12, {"batch_tokens": 19}, [4, 4, 4]),
        ("openai_compatible", 12, {"batch_size": 5, "batch_tokens": 100}, [5, 5, 2]),
    ],
)
def test_a_request_holds_no_more_than_is_known_or_configured(
    mode: Mode, count: int, requests: Json, sizes: list[int]
) -> None:
    with ProviderServer() as server:
        form = embedding(mode, server, requests={"in_flight": 1, **requests})
        with closing(embedder_of(form)) as embedder:
            embedder.embed_documents(["This is text."] * count)  # four tokens
    assert [len(each.asked.texts) for each in server.seen] == sizes


@pytest.mark.parametrize("mode", MODES)
def test_a_sync_finds_out_what_fits_into_a_request(mode: Mode, run: Run) -> None:
    words = limits.cohere_texts if mode == "cohere" else limits.openai_texts
    with ProviderServer(limits=[limits.texts(3, words)]) as server:
        finished = run.write(embedding(mode, server), [*records(24), state(1)])
    assert finished.code == 0, finished.error
    assert state_ids(finished) == [1]
    assert_vectors_are_right(run.target, 24, size=SIZE[mode])
    refused = [len(each.asked.texts) for each in server.seen if each.status != 200]
    assert set(refused) == {24, 12, 6}
    assert len(refused) <= 1 + 2 + 4  # halves are on their way together


@pytest.mark.parametrize(
    "words", [limits.openai_text, limits.tei_text, limits.cohere_text, limits.vllm_text, limits.llama_text]
)
def test_a_single_text_that_is_too_long_ends_in_a_sentence(words: limits.Words, run: Run) -> None:
    with ProviderServer(limits=[limits.tokens_of_a_text(20, words)]) as server:
        long = record(9, text=f"{SECRET} " * 60)
        finished = run.write(embedding("openai_compatible", server), [*records(3), long])
    assert finished.error
    assert finished.error["failure_type"] == "config_error"
    assert "chunk_size" in finished.error["message"]


# ----------------------------------------------------------------------------------------------------------
# Rate limits


@pytest.mark.parametrize(
    ("header", "seconds"), [(in_milliseconds, 0.3), (in_seconds, 1)], ids=["milliseconds", "seconds"]
)
@pytest.mark.parametrize("mode", ["openai", "cohere"])
def test_nothing_is_asked_before_the_time_that_a_rate_limit_names(
    mode: Mode, header: Any, seconds: float, run: Run
) -> None:
    with ProviderServer().script(paused(seconds, header)) as server:
        form = embedding(mode, server, requests={"in_flight": 1, "batch_size": 2, "retry_seconds": 60})
        finished = run.write(form, records(6))
    assert finished.code == 0, finished.error
    assert server.statuses == [429, 200, 200, 200]
    assert_vectors_are_right(run.target, 6, size=SIZE[mode])


def test_a_rate_limit_stops_all_requests_that_are_in_flight_together(run: Run) -> None:
    with ProviderServer().script(paused(0.5, in_milliseconds)) as server:
        gate = server.hold(8)
        form = embedding("openai", server, requests={"in_flight": 8, "batch_size": 1, "retry_seconds": 60})
        finished = run.write(form, records(16))
    assert finished.code == 0, finished.error
    assert not gate.is_broken
    assert server.statuses == [429] * 8 + [200] * 16
    assert_vectors_are_right(run.target, 16)
    assert len([line for line in finished.log if "rate limit" in line.lower()]) <= 1


@pytest.mark.parametrize("rate", [{"requests": 1200}, {"tokens": 12_000}], ids=["requests", "tokens"])
def test_a_sync_that_is_held_back_by_a_rate_limit_loses_nothing(rate: dict[str, float], run: Run) -> None:
    with ProviderServer(rate=RateLimit(**rate, burst=1 / 240)) as server:
        form = embedding("openai", server, requests={"in_flight": 8, "batch_size": 2, "retry_seconds": 60})
        finished = run.write(form, [*records(48), state(1)])
    assert finished.code == 0, finished.error
    assert state_ids(finished) == [1]
    assert_vectors_are_right(run.target, 48)


def test_nothing_is_asked_while_the_headers_of_a_good_answer_say_that_nothing_is_left(run: Run) -> None:
    with ProviderServer(rate=RateLimit(requests=1200, burst=1 / 1200)) as server:
        form = embedding("openai", server, requests={"in_flight": 1, "batch_size": 2, "retry_seconds": 60})
        finished = run.write(form, records(8))
    assert finished.code == 0, finished.error
    assert server.statuses == [200] * 4


def test_a_rate_limit_that_outlasts_the_patience_fails_the_sync_as_transient(run: Run) -> None:
    with ProviderServer().script(paused(3600, in_seconds)) as server:
        form = embedding("openai", server, requests={"retry_seconds": 1})
        finished = run.write(form, [*records(2), state(1)])
    assert finished.error
    assert (finished.error["failure_type"], state_ids(finished)) == ("transient_error", [])
    assert "rate limit" in finished.error["message"]
    assert len(server.seen) == 1
