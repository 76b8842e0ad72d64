"""Which model made the vectors of a collection, and what is said when another one is to."""

from __future__ import annotations

from typing import Any

import pytest
from builders import config

from destination_qdrant.config import Config, parse_config
from destination_qdrant.errors import ConfigError
from destination_qdrant.model_guard import Judgement, Making, judge, making
from destination_qdrant.vectors import UNNAMED

NOW = Making("openai/large", 1536, "512 tokens")
ENTRY = {"model": "openai/large", "dimensions": 1536, "chunking": "512 tokens"}


def _config(processing: dict[str, Any], embedding: dict[str, Any] | None = None) -> Config:
    indexing = {"url": "http://localhost:6333", "collection": "things"}
    embedding = embedding or {"mode": "fake"}
    return parse_config({"embedding": embedding, "processing": processing, "indexing": indexing})


@pytest.mark.parametrize("note", [None, {}, {"embedding": None}, {"embedding": {"unnamed": 5}}])
def test_what_nobody_noted_is_noted_silently(note: Any) -> None:
    assert judge(note, UNNAMED, NOW, guarded=True) == Judgement({"embedding": {"unnamed": ENTRY}})


def test_the_same_model_is_not_noted_again() -> None:
    assert judge({"embedding": {"unnamed": ENTRY}}, UNNAMED, NOW, guarded=True) == Judgement()


def test_other_vectors_and_unknown_members_of_a_note_are_kept() -> None:
    other = {"model": "another", "dimensions": 3, "chunking": None}
    note = {"more": [1], "embedding": {"unnamed": other, "text": {"by": "hand", "dimensions": 1536}}}

    assert judge(note, "text", NOW, guarded=True).note == {
        "more": [1],
        "embedding": {"unnamed": other, "text": {"by": "hand", **ENTRY}},
    }


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"text": ENTRY}, 'vector "text"'),
        ({"text": ENTRY, "unnamed": ENTRY, "by hand": 5}, 'vector "text" and the unnamed vector'),
        ({"te\nxt": ENTRY}, 'vector "te xt"'),
        ({"x" * 300: ENTRY}, f'vector "{"x" * 91}…{"x" * 99}"'),
    ],
)
def test_that_another_vector_of_the_collection_is_written_is_told_once(others: dict[str, Any], named: str) -> None:
    told = (
        f"This connector also writes {named} of this collection; a record that both syncs have keeps only the vectors "
        "of the one that wrote it last: use another indexing.collection, or different streams."
    )
    first = judge({"embedding": others}, "mine", NOW, guarded=True)
    changed = judge({"embedding": {**others, "mine": {**ENTRY, "chunking": "3"}}}, "mine", NOW, guarded=True)

    assert first == Judgement({"embedding": {**others, "mine": ENTRY}}, told)
    assert changed.warning.endswith(f"until each is synced again. {told}")
    assert judge(first.note, "mine", NOW, guarded=True) == Judgement()


@pytest.mark.parametrize("unreadable", [{"model": ["a"], "dimensions": "256"}, {"dimensions": True, "chunking": 7}])
def test_a_noted_part_of_another_type_contradicts_nothing_and_is_replaced(unreadable: dict[str, Any]) -> None:
    note = {"embedding": {"unnamed": {**ENTRY, **unreadable}}}

    assert judge(note, UNNAMED, NOW, guarded=True) == Judgement({"embedding": {"unnamed": ENTRY}})


def test_what_anybody_may_have_noted_is_shown_cut_and_on_one_line() -> None:
    long = "m\x1b\n\u2028" * 201
    told = "m\\x1b " * 16 + "m\\x…\\x1b" + " m\\x1b" * 16
    models = judge({"embedding": {"unnamed": {**ENTRY, "model": long}}}, UNNAMED, NOW, guarded=False)
    chunkings = judge({"embedding": {"unnamed": {**ENTRY, "chunking": long}}}, UNNAMED, NOW, guarded=False)

    assert f"holds vectors of {told} (1536 dimensions)" in models.warning
    assert f"until now ({told}; now" in chunkings.warning


@pytest.mark.parametrize(
    ("noted", "held"),
    [
        ({**ENTRY, "model": "cohere/v4", "chunking": "3"}, "cohere/v4 (1536 dimensions)"),
        ({**ENTRY, "dimensions": 256}, "openai/large (256 dimensions)"),
        ({**ENTRY, "model": "records", "chunking": None}, "the records (1536 dimensions)"),
        ({"dimensions": 256}, "an unknown model (256 dimensions)"),
    ],
)
def test_another_model_is_refused_or_replaces_the_note(noted: dict[str, Any], held: str) -> None:
    note = {"embedding": {"unnamed": noted}}
    found = (
        f"The collection holds vectors of {held}, and this sync makes vectors of openai/large (1536 dimensions): "
        "they cannot be compared"
    )
    with pytest.raises(ConfigError) as caught:
        judge(note, UNNAMED, NOW, guarded=True)

    assert caught.value.message == (
        f"{found}. Configure the model that the collection holds, choose another indexing.collection, or switch "
        "indexing.model_guard off to mix them until all records are synced again."
    )
    assert judge(note, UNNAMED, NOW, guarded=False) == Judgement(
        {"embedding": {"unnamed": ENTRY}},
        f"{found}, so searches find the right records only when all of them are synced again.",
    )


@pytest.mark.parametrize("guarded", [True, False])
def test_other_chunking_is_told_and_noted(*, guarded: bool) -> None:
    note = {"embedding": {"unnamed": {**ENTRY, "chunking": "100 tokens"}}}

    assert judge(note, UNNAMED, NOW, guarded=guarded) == Judgement(
        {"embedding": {"unnamed": ENTRY}},
        "Text was split otherwise until now (100 tokens; now 512 tokens): records split in both ways stand side by "
        "side until each is synced again.",
    )


def test_vectors_of_records_have_no_model_whatever_their_field_is_called() -> None:
    made = {
        making(_config({"chunk_size": size}, {"mode": "from_field", "field_name": name, "dimensions": 3}), name, 3)
        for size, name in ((10, "v"), (20, "w"))
    }

    assert made == {Making("records", 3, None)}


def test_everything_that_decides_where_text_is_cut_is_in_the_fingerprint() -> None:
    separated = {"mode": "separator", "separators": ['"\\n"', '". "'], "keep_separator": True}
    chunkings = {
        making(_config({"chunk_size": 9, **processing}), "m", 3).chunking
        for processing in (
            {},
            {"chunk_size": 8},
            {"chunk_overlap": 2},
            {"text_splitter": separated},
            {"text_splitter": separated | {"separators": ['". "']}},
            {"text_splitter": separated | {"keep_separator": False}},
            {"text_splitter": {"mode": "markdown"}},
            {"text_splitter": {"mode": "markdown", "split_level": 2}},
            {"text_splitter": {"mode": "code", "language": "go"}},
            {"text_splitter": {"mode": "code", "language": "rust"}},
            {"text_splitter": {"mode": "none"}},
            {"text_splitter": {"mode": "markdown", "heading_path": True}},
            {"text_format": {"mode": "values"}},
            {"text_format": {"mode": "template", "template": "{a}: {chunk}"}},
            {"text_format": {"mode": "template", "template": "{a}\n{chunk}" + " and a word" * 9}},
            {"text_format": {"mode": "template", "template": "{a}\n{chunk}" + " and a text" * 9}},
            {"streams": [{"name": "s", "text_splitter": {"mode": "none"}}]},
            {"streams": [{"name": "s", "text_splitter": {"mode": "none"}, "text_format": {"mode": "fields"}}]},
            {"streams": [{"name": "s", "namespace": "n", "text_splitter": {"mode": "none"}}]},
            {"streams": [{"name": "s", "text_format": {"mode": "values"}}]},
        )
    }

    assert len(chunkings) == 20
    assert '9 tokens, 0 repeated, separators "\\n" ". " kept' in chunkings
    assert making(config(), "fake", 1536).chunking == (
        '1000 tokens, 0 repeated, separators "\\n\\n" "\\n" " " "" dropped'
    )


@pytest.mark.parametrize(
    ("processing", "told"),
    [
        (
            {"streams": [{"name": "s", "text_fields": ["a"]}], "text_format": {"mode": "fields"}},
            '9 tokens, 0 repeated, separators "." kept',
        ),
        ({"text_splitter": {"mode": "none"}}, "9 tokens, whole texts"),
        ({"text_splitter": {"mode": "none", "when_too_long": "fail"}, "chunk_overlap": 2}, "9 tokens, whole texts"),
        (
            {
                "text_splitter": {"mode": "markdown", "heading_path": True},
                "text_format": {"mode": "template", "template": 'A "{b}"\n{chunk}'},
            },
            '9 tokens, 0 repeated, Markdown headings to level 1 with their path, template "A \\"{b}\\"\\n{chunk}"',
        ),
        (
            {"text_format": {"mode": "values"}, "streams": [{"name": "s", "text_format": {"mode": "fields"}}]},
            '9 tokens, 0 repeated, separators "." kept, values alone, some streams otherwise (98643178)',
        ),
        (
            {"text_format": {"mode": "template", "template": "{a} " * 49}, "text_splitter": {"mode": "none"}},
            "9 tokens, whole texts, template 5002c0b6",
        ),
    ],
)
def test_the_fingerprint_is_one_readable_line(processing: dict[str, Any], told: str) -> None:
    dots = {"mode": "separator", "separators": ['"."'], "keep_separator": True}

    assert making(_config({"chunk_size": 9, "text_splitter": dots, **processing}), "m", 3).chunking == told
