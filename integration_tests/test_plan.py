"""The dry run: what it tells is what `write` then does, and neither Qdrant nor the provider hears of it."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import Connector, Finished, Json
from provider_server import ProviderServer
from running_write import COMPLETE, jsonl, state
from tables import numbers_in, table_in
from targets import EmbeddedTarget, ServerTarget, Target
from wire_double import WireDouble

from destination_qdrant.run import main

PROCESSING = {"chunk_size": 100, "text_fields": ["text"]}
DOCS = {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "append_dedup", "primary_key": [["id"]]}
NEWS = {"stream": {"name": "news", "json_schema": {}}, "destination_sync_mode": "append"}
CATALOG = {"streams": [DOCS, NEWS]}

#: Requests that change nothing, by method and end of the path.
READS = ("GET ", "POST .*/points/(scroll|count|query)$", "POST .*/points$")


def record(stream: str, number: int, text: str, **data: Any) -> Json:
    return {"type": "RECORD", "record": {"stream": stream, "data": {"id": number, "text": text, **data}}}


def config(indexing: Json, **embedding: Any) -> Json:
    return {"processing": PROCESSING, "embedding": {"mode": "fake", **embedding}, "indexing": indexing}


def provided(provider: ProviderServer, model: str = "some-model") -> Json:
    return {
        "mode": "openai_compatible",
        "base_url": f"{provider.url}/v1",
        "model_name": model,
        "dimensions": 8,
        "api_key": "a-key-to-be-masked",
    }


def table(finished: Finished, *, code: int = 0) -> dict[str, dict[str, str]]:
    """The rows by name, each by column."""
    assert (finished.code, finished.stderr) == (code, "")
    return table_in(finished.stdout.decode().splitlines())


def numbers(finished: Finished, name: str = "in total", *, code: int = 0) -> dict[str, int]:
    """What is not zero in a row, whose parts add up."""
    found = Counter({column: int(cell) for column, cell in table(finished, code=code)[name].items()})
    assert found["records"] == sum(found[kind] for kind in ("written", "unchanged", "older", "skipped", "deleted"))
    return dict(+found)


def notes(finished: Finished) -> str:
    return finished.stdout.decode().partition("\n\n")[2]


MESSAGES = [
    record("docs", 1, "one"),
    record("docs", 2, "two"),
    record("docs", 3, ""),
    record("news", 1, "one"),
    record("news", 2, "three"),
    record("news", 3, "three"),
    state(1),
]
CHANGED = [record("docs", 1, "new"), *MESSAGES[1:]]


@pytest.mark.parametrize("target", ["embedded", "double-rest", "double-grpc"], indirect=True)
def test_a_plan_tells_what_a_sync_then_does(quick_connector: Connector, target: Target) -> None:
    def run(command: str, messages: list[Json]) -> Finished:
        return quick_connector.run(
            command, jsonl(*messages), config=config(target.indexing()), catalog=CATALOG, timeout=60
        )

    before = run("plan", MESSAGES)

    assert numbers(before) == {"records": 6, "written": 5, "skipped": 1, "chunks": 5, "reused": 2, "embedded": 3}
    assert numbers(before, "docs")["records"] == 3
    assert "The collection does not exist yet, so all is new." in notes(before)
    assert target.points() is None
    assert not isinstance(target, EmbeddedTarget) or not target.folder.exists()

    written = run("write", MESSAGES)

    assert numbers_in(written.log)["in total"] == {
        "records": 6,
        "written": 5,
        "skipped": 1,
        "points": 5,
        "embedded": 3,
        "reused": 2,
    }

    stored = target.points()
    again = run("plan", CHANGED)

    assert numbers(again, "docs") == {
        "records": 3,
        "written": 1,
        "unchanged": 1,
        "skipped": 1,
        "chunks": 1,
        "embedded": 1,
    }
    assert numbers(again, "news") == {"records": 3, "written": 3, "chunks": 3, "reused": 3}
    assert notes(again) == "Stream 'docs': 1 record had no text in text and was skipped.\n"
    assert target.points() == stored
    in_total = numbers_in(run("write", CHANGED).log)["in total"]
    assert in_total | {"removed": 0} == {
        "records": 6,
        "written": 4,
        "unchanged": 1,
        "skipped": 1,
        "points": 4,
        "embedded": 1,
        "reused": 3,
        "removed": 0,
    }


def test_nothing_is_written_and_nothing_is_embedded(quick_connector: Connector) -> None:
    with WireDouble() as double, ProviderServer(dimensions=8) as provider:
        files = {"config": config(ServerTarget(double.url).indexing(), **provided(provider)), "catalog": CATALOG}
        runs = []
        for command in ("plan", "write", "plan"):
            seen, asked = len(double.log), len(provider.seen)
            finished = quick_connector.run(command, jsonl(*MESSAGES), **files)
            runs.append((finished, double.log[seen:], len(provider.seen) - asked))
    (first, *_), (_, writes, _), (second, *_) = runs

    assert (numbers(first)["embedded"], "embedded" in numbers(second)) == (3, False)
    assert any(not any(map(request.is_like, READS)) for request in writes)
    for _, requests, asked in (runs[0], runs[2]):
        assert requests
        assert [request for request in requests if not any(map(request.is_like, READS))] == []
        assert asked == 0


def test_a_price_makes_it_an_estimate_of_the_cost(connector: Connector, tmp_path: Path) -> None:
    with ProviderServer(dimensions=8) as provider:
        files = {"config": config(EmbeddedTarget(tmp_path).indexing(), **provided(provider)), "catalog": CATALOG}
        command = [*connector.command("plan", **files), "--price-per-million-tokens", "200000"]
        ran = subprocess.run(command, input=jsonl(*MESSAGES), capture_output=True, check=False, timeout=60)
    total = table(Finished(ran.returncode, ran.stdout, ran.stderr.decode()))["in total"]

    assert (total["embedded"], total["tokens to embed"], total["cost"]) == ("3", "9", "1.8000")


def test_a_model_that_is_free_has_no_cost(connector: Connector, tmp_path: Path) -> None:
    files = {"config": config(EmbeddedTarget(tmp_path).indexing()), "catalog": CATALOG}
    command = [*connector.command("plan", **files), "--price-per-million-tokens", "2"]
    ran = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=60)

    assert b"cost " not in ran.stdout
    assert ran.stdout.endswith(b"Embedding in mode fake costs nothing.\n")


@pytest.mark.parametrize("price", ["-1", "nan", "inf", "much"])
def test_a_price_that_is_none_is_a_wrong_argument(price: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--config=c", "--catalog=c", f"--price-per-million-tokens={price}"])

    assert ended.value.code == 2
    assert f"--price-per-million-tokens: invalid price value: '{price}'" in capsys.readouterr().err


def test_a_collection_of_another_model_counts_as_empty_and_the_plan_says_that_a_sync_would_fail(
    quick_connector: Connector, tmp_path: Path
) -> None:
    indexing = EmbeddedTarget(tmp_path).indexing()
    with ProviderServer(dimensions=8) as provider:
        one, other = (config(indexing, **provided(provider, model)) for model in ("one", "other"))
        assert quick_connector.run("write", jsonl(*MESSAGES), config=one, catalog=CATALOG).code == 0
        finished = quick_connector.run("plan", jsonl(*MESSAGES), config=other, catalog=CATALOG)

        config_of_unknown_length = config(indexing, **provided(provider, "unheard-of") | {"dimensions": None})
        unknown = quick_connector.run("plan", jsonl(*MESSAGES), config=config_of_unknown_length, catalog=CATALOG)

    assert numbers(finished, code=1)["embedded"] == 3
    assert "A sync would fail, so all counts as new: The collection holds vectors of" in notes(finished)
    assert "/other (8 dimensions): they cannot" in notes(finished)
    assert numbers(unknown, code=1)["embedded"] == 3
    assert "/unheard-of (unknown dimensions): they cannot" in notes(unknown)


def test_without_the_index_over_texts_their_reuse_is_not_told(quick_connector: Connector) -> None:
    with WireDouble() as double:
        target = ServerTarget(double.url)
        files = {"config": config(target.indexing()), "catalog": CATALOG}
        assert quick_connector.run("write", jsonl(*MESSAGES), **files).code == 0
        target.ask("DELETE", "/index/_ab_content_hash?wait=true")
        finished = quick_connector.run("plan", jsonl(*MESSAGES), **files)

    assert numbers(finished, "docs") == {"records": 3, "unchanged": 2, "skipped": 1}
    assert numbers(finished, "news") == {"records": 3, "written": 3, "chunks": 3, "reused": 1, "embedded": 2}
    assert "What could be reused of news could not be told" in notes(finished)


def test_in_a_collection_without_our_indexes_nothing_is_looked_for(quick_connector: Connector) -> None:
    with WireDouble() as double:
        target = ServerTarget(double.url)
        target.seed(1536, [])
        finished = quick_connector.run("plan", jsonl(*MESSAGES), config=config(target.indexing()), catalog=CATALOG)
        scrolled = [request for request in double.log if request.is_like("scroll$")]

    assert numbers(finished)["embedded"] == 3
    assert "What is stored could not be told, so all counts as new" in notes(finished)
    assert scrolled == []


@pytest.mark.parametrize(
    ("management", "code", "told"),
    [
        ("create_if_missing", 0, "The shard key in indexing.shard_key does not exist yet, so all is new.\n"),
        ("must_exist", 1, "A sync would fail, so all counts as new: Qdrant at"),
    ],
)
def test_a_shard_that_does_not_exist_yet_is_empty(
    quick_connector: Connector, management: str, code: int, told: str
) -> None:
    with WireDouble(distributed=True) as double:
        indexing = ServerTarget(double.url).indexing()
        here = config(indexing | {"shard_key": "here"})
        elsewhere = config(indexing | {"shard_key": "elsewhere", "collection_management": management})
        assert quick_connector.run("write", jsonl(*MESSAGES), config=here, catalog=CATALOG).code == 0
        finished = quick_connector.run("plan", jsonl(*MESSAGES), config=elsewhere, catalog=CATALOG)

    assert numbers(finished, code=code)["embedded"] == 3
    assert notes(finished).startswith(told)
    assert "indexing.shard_key" in notes(finished)


def test_what_is_odd_about_the_input_is_told_by_plan_and_by_write(quick_connector: Connector, tmp_path: Path) -> None:
    """A text that is cut, a field that is misspelt, versions that are older, and a name that a terminal would obey."""
    name = "docs\x1b]0;mine\x07"
    schema = {"properties": {"id": {}, "text": {}}}
    processing = {
        "chunk_size": 8,
        "text_splitter": {"mode": "none"},
        "text_format": {"mode": "template", "template": "{titel}: {text}"},
        "records_without_text": "store",
    }
    files = {
        "config": {**config(EmbeddedTarget(tmp_path).indexing()), "processing": processing},
        "catalog": {"streams": [{**DOCS, "stream": {"name": name, "json_schema": schema}}]},
    }
    stdin = jsonl(record(name, 1, "older"), record(name, 1, "word " * 20), record(name, 2, ""))
    planned = quick_connector.run("plan", stdin, **files)
    written = quick_connector.run("write", stdin, **files)

    assert b"\x1b" not in planned.stdout
    assert numbers(planned) == {"records": 3, "written": 2, "older": 1, "chunks": 2, "embedded": 1}
    assert set(table(planned)) == {r"docs\x1b]0;mine\x07", "in total"}
    assert "Chunks that have no text, or whose vector came with their record: 1.\n" in notes(planned)
    for told in (notes(planned), "".join(written.log)):
        assert "no text comes from them: titel (in 'docs" in told
        assert "1 record had more text than processing.chunk_size or the model allows" in told


def test_the_help_says_where_messages_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("plan", "write"):
        with pytest.raises(SystemExit):
            main([command, "--help"])

        assert "messages that come on standard input" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b'{"type": "RECORD", "rec\n', "Line 1 of the input is not a readable Airbyte message"),
        (b'{"type": "RECORD", "rec', "The input ended in the middle of line 1"),
        (jsonl(record("nobody's", 1, "text that is private")), "nobody's"),
    ],
)
def test_what_write_could_not_read_is_one_sentence_on_standard_error(
    quick_connector: Connector, tmp_path: Path, stdin: bytes, told: str
) -> None:
    indexing = EmbeddedTarget(tmp_path).indexing()
    finished = quick_connector.run("plan", stdin, config=config(indexing), catalog=CATALOG)

    assert (finished.code, finished.stdout) == (1, b"")
    assert told in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert "private" not in finished.stderr


def test_secrets_are_masked_for_people_too(quick_connector: Connector, tmp_path: Path) -> None:
    secret = "sk-secret-secret"
    indexing = {**EmbeddedTarget(tmp_path).indexing(), "collection": secret, "collection_management": "must_exist"}
    files = {"config": config(indexing, mode="openai", openai_key=secret), "catalog": CATALOG}
    told = quick_connector.run("plan", jsonl(record("docs", 1, "one")), **files)
    failed = quick_connector.run("plan", jsonl(record(secret, 1, "one")), **files)

    assert "A sync would fail, so all counts as new: The collection does not exist in Qdrant at" in notes(told)
    assert (told.code, failed.code) == (1, 1)
    assert secret not in notes(told) + failed.stderr


@pytest.mark.parametrize(("end", "is_told"), [([], True), ([COMPLETE], False)])
def test_an_input_that_is_not_complete_is_told(
    quick_connector: Connector, tmp_path: Path, end: list[Json], *, is_told: bool
) -> None:
    refresh = {**DOCS, "generation_id": 2, "minimum_generation_id": 2}
    indexing = EmbeddedTarget(tmp_path).indexing()
    stdin = jsonl(record("docs", 1, "one"), *end)
    finished = quick_connector.run("plan", stdin, config=config(indexing), catalog={"streams": [refresh]})

    assert numbers(finished)["embedded"] == 1
    assert ("Stream 'docs': was to be replaced but is not complete" in notes(finished)) is is_told
