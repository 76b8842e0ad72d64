"""Mode `qdrant`: texts that stay texts."""

from __future__ import annotations

from typing import cast

import pytest

from destination_qdrant.embedding.base import Embedder, TextLimit
from destination_qdrant.embedding.qdrant_inference import QdrantInferenceEmbedder
from destination_qdrant.errors import ConfigError
from destination_qdrant.vectors import ServerText

MINI = "sentence-transformers/all-minilm-l6-v2"


def test_texts_are_handed_on_in_order_with_their_prefix() -> None:
    embedder: Embedder = QdrantInferenceEmbedder(MINI, document_prefix="passage: ")

    assert embedder.embed_documents(["one", "two\ud800"], [1, 2]) == [
        ServerText("passage: one", MINI),
        ServerText("passage: two?", MINI),
    ]


@pytest.mark.parametrize(
    ("name", "said", "dimensions"),
    [
        (MINI, None, 384),
        ("sentence-transformers/all-MiniLM-L6-v2", 384, 384),
        ("openai/text-embedding-3-large", None, 3072),
        ("cohere/embed-multilingual-v3.0", None, 1024),
        ("somebody/new", 77, 77),
        ("somebody/new", None, None),
    ],
)
def test_dimensions_are_known_of_a_model_or_said(name: str, said: int | None, dimensions: int | None) -> None:
    assert QdrantInferenceEmbedder(name, said).dimensions == dimensions


def test_only_a_known_model_has_a_limit() -> None:
    assert cast("TextLimit", QdrantInferenceEmbedder(MINI).limit).tokens <= 256
    assert QdrantInferenceEmbedder("somebody/new", 7).limit is None


def test_the_fingerprint_is_the_model_unless_a_prefix_is_said() -> None:
    plain, prefixed = (QdrantInferenceEmbedder(MINI, document_prefix=prefix) for prefix in ("", "passage: "))

    assert plain.model == prefixed.model == plain.fingerprint == f"qdrant/{MINI}"
    assert prefixed.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("name", "dimensions", "said"),
    [
        (MINI, 1536, "gives 384 dimensions, not 1536: leave embedding.dimensions empty"),
        ("Qdrant/BM25", None, "makes sparse vectors"),
        ("answerdotai/answerai-colbert-small-v1", 96, "makes several vectors"),
    ],
)
def test_a_model_that_cannot_be_used_so_is_refused(name: str, dimensions: int | None, said: str) -> None:
    with pytest.raises(ConfigError, match=r"embedding\.model_name") as caught:
        QdrantInferenceEmbedder(name, dimensions)

    assert said in str(caught.value)


def test_tokens_are_counted_with_the_prefix_and_nothing_is_asked_for() -> None:
    embedder = QdrantInferenceEmbedder(MINI, document_prefix="a a ")

    assert embedder.count_tokens("a") == 3
    assert (embedder.usage.requests, embedder.usage.limit) == (0, 0)
    embedder.close()


def test_a_query_is_refused_with_the_field_to_change() -> None:
    with pytest.raises(ConfigError, match=r"embedding\.mode"):
        QdrantInferenceEmbedder(MINI).embed_query("some text")
