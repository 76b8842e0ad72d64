"""Each stream's documents are split as the stream wants it."""

from __future__ import annotations

from typing import Any

import pytest

from destination_qdrant.catalog import read_catalog
from destination_qdrant.chunking import Chunk
from destination_qdrant.config import Config, parse_config
from destination_qdrant.documents import Document, DocumentReader, Upsert
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.errors import ConfigError
from destination_qdrant.protocol import Descriptor, Record
from destination_qdrant.splitting import Split, splitting

Json = dict[str, Any]
WORDS = " ".join(f"w{number}" for number in range(30))
WHOLE = {"mode": "none"}
AROUND = {"mode": "template", "template": "{title}: {chunk}"}


def read(
    data: Json, name: str = "s", *, limit: TextLimit | None = None, embedding: Json | None = None, **processing: Any
) -> tuple[Document, Split]:
    """A document of this stream, and what splits it."""
    config = _config(embedding, processing)
    entries = [{"stream": {"name": each}, "destination_sync_mode": "append"} for each in ("s", "t")]
    catalog = read_catalog({"streams": entries}, config)
    stream = catalog.get(Descriptor(None, name))
    operation = DocumentReader(stream, config).read(Record(stream.descriptor, data, None, (), line=b""), 7)
    assert isinstance(operation, Upsert)
    return operation.document, splitting(catalog.streams, config, limit)


def _config(embedding: Json | None, processing: Json) -> Config:
    return parse_config(
        {
            "processing": {"chunk_size": 20, "text_fields": ["body"], **processing},
            "embedding": embedding or {"mode": "fake"},
            "indexing": {"url": "http://localhost:6333", "collection": "documents"},
        }
    )


def chunks(data: Json, name: str = "s", **options: Any) -> tuple[Chunk, ...]:
    document, split = read(data, name, **options)
    return split(document)


def test_each_stream_is_split_in_its_own_way() -> None:
    own = [{"name": "t", "text_splitter": WHOLE, "text_format": {"mode": "values"}}]

    assert len(chunks({"body": WORDS}, streams=own)) > 2
    assert chunks({"body": WORDS}, "t", chunk_size=100, streams=own) == (Chunk(0, WORDS),)
    assert [each.truncated for each in chunks({"body": WORDS}, "t", streams=own)] == [True]


def test_each_chunk_gets_the_template_around_it() -> None:
    found = chunks({"title": "T", "body": WORDS}, text_format=AROUND)

    assert " ".join(each.text.removeprefix("T: ") for each in found) == WORDS
    assert {each.text[:4] for each in found} == {"T: w"}


@pytest.mark.parametrize("form", [None, {"mode": "values"}, AROUND])
def test_headings_behind_the_name_of_a_field_are_in_the_path(form: Json | None) -> None:
    """In the default form the first line of a text is `body: # Guide`."""
    markdown = {"mode": "markdown", "split_level": 2, "heading_path": True}
    processing = {"text_splitter": markdown, **({"text_format": form} if form else {})}
    found = chunks({"body": f"# Guide\n\n{WORDS[:50]}\n\n## Install\n\n{WORDS[:50]}"}, **processing)

    assert [each.text.removeprefix(": ").startswith("Guide") for each in found[1:]] == [True] * (len(found) - 1)
    assert any("## Install" in each.text for each in found[1:])


def test_a_document_without_text_is_one_chunk_without_text() -> None:
    assert chunks({"id": 1}, records_without_text="store") == (Chunk(0, ""),)
    assert chunks({"id": 1}, records_without_text="store", text_format=AROUND) == (Chunk(0, ""),)
    assert chunks({"id": 1}, records_without_text="store", text_splitter=WHOLE) == (Chunk(0, ""),)


def test_a_text_that_must_be_whole_and_is_too_long_is_named_by_its_line_and_not_quoted() -> None:
    document, split = read({"body": WORDS}, text_splitter=WHOLE | {"when_too_long": "fail"})

    with pytest.raises(ConfigError) as caught:
        split(document)

    assert caught.value.message == (
        "The text of the record on line 7 (stream 's') is longer than processing.chunk_size allows (20 tokens), or than the "
        "model takes; raise it, set processing.text_splitter to truncate such texts or to split them, or choose other "
        "text fields."
    )
    assert caught.value.__suppress_context__


def test_a_model_that_takes_less_counts() -> None:
    found = chunks({"body": WORDS}, chunk_size=1000, limit=TextLimit(40, len))

    assert all(len(each.text) <= 40 for each in found)


@pytest.mark.parametrize("form", [AROUND, AROUND | {"template": "{title}: {chunk} {{" + "and words " * 9}])
def test_a_template_that_leaves_too_little_to_the_text_is_refused(form: Json) -> None:
    own = [{"name": "t", "text_format": form}]
    if form is AROUND:
        assert chunks({"body": "x"}, streams=own) == (Chunk(0, "body: x"),)
        return
    with pytest.raises(ConfigError, match="template of stream 't' alone fill more than half of a chunk of 20 tokens"):
        read({"body": "x"}, streams=own)


@pytest.mark.parametrize(
    ("form", "data", "shown"),
    [
        (None, {"body": WORDS}, f"body: {WORDS}"),
        (AROUND, {"body": WORDS, "title": "T"}, f"T: {WORDS}"),
        (AROUND, {"title": "T"}, "T:"),
        (AROUND, {}, ""),
    ],
)
def test_a_text_whose_vector_is_there_is_never_split(form: Json | None, data: Json, shown: str) -> None:
    given = {"mode": "from_field", "field_name": "vector", "dimensions": 2}
    processing = {"text_format": form} if form else {}

    assert chunks({**data, "vector": [1, 2]}, embedding=given, **processing) == (Chunk(0, shown),)
