"""Which model a configuration without one means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from builders import config, config_with
from memory_store import MemoryStore

from destination_qdrant.config import Config, OpenAI
from destination_qdrant.model_choice import holds_airbytes_vectors, other_than_airbytes, settle_model
from destination_qdrant.payload import RUN_ID, STREAM
from destination_qdrant.qdrant.base import VectorSchema
from destination_qdrant.vectors import UNNAMED

FITTING = VectorSchema("dense", 1536, "cos")
NOTED = {"model": "openai/text-embedding-3-large", "dimensions": 3072}


def _openai(model_name: str | None = None, **indexing: Any) -> Config:
    return config_with(**indexing).model_copy(update={"embedding": OpenAI(openai_key="k", model_name=model_name)})


def _airbytes(shape: Mapping[str, VectorSchema] | None = None) -> MemoryStore:
    store = MemoryStore(shape or {UNNAMED: FITTING})
    store.put("by hand", text="x")
    store.put("theirs", **{STREAM: "users"})
    return store


def _settled(store: MemoryStore, of: Config) -> tuple[str | None, str]:
    settled, sentence = settle_model(store, of)
    assert isinstance(settled.embedding, OpenAI)
    return settled.embedding.model_name, sentence


def test_a_new_or_empty_collection_leaves_the_choice_open() -> None:
    assert _settled(MemoryStore(), _openai()) == (None, "")
    assert _settled(MemoryStore({UNNAMED: FITTING}), _openai()) == (None, "")


def test_a_collection_of_airbytes_connector_has_its_model() -> None:
    model, sentence = _settled(_airbytes(), _openai())

    assert model == "text-embedding-ada-002"
    assert sentence == (
        "embedding.model_name is empty, so that this is the model text-embedding-ada-002, which Airbyte's own connector "
        "always used."
    )


@pytest.mark.parametrize("noted", ["openai/text-embedding-3-large", "openai/text-embedding-3-large@256"])
def test_a_noted_model_is_kept(noted: str) -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.note = {"embedding": {"unnamed": {**NOTED, "model": noted}}}
    model, sentence = _settled(store, _openai())

    assert model == "text-embedding-3-large"
    assert "whose vectors the collection holds" in sentence


def test_a_noted_name_that_somebody_made_up_is_shown_cut() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.note = {"embedding": {"unnamed": {**NOTED, "model": "openai/\x1b[31m" + "A" * 5000}}}
    _, sentence = _settled(store, _openai())

    assert len(sentence) < 400
    assert sentence.isprintable()


def test_another_providers_model_is_left_to_the_guard() -> None:
    store = _airbytes()
    store.note = {"embedding": {"unnamed": {**NOTED, "model": "cohere/embed-v4.0"}}}

    assert _settled(store, _openai()) == (None, "")


def test_a_model_that_is_configured_is_not_looked_into() -> None:
    store = _airbytes()

    assert _settled(store, _openai("text-embedding-3-small")) == ("text-embedding-3-small", "")
    assert settle_model(store, config()) == (config(), "")
    assert store.calls == []


@pytest.mark.parametrize(
    "indexing", [{"vector_name": "title"}, {"shard_key": "europe"}, {"url": "file:///data/qdrant"}], ids=str
)
def test_what_airbytes_connector_cannot_have_filled_is_not_read(indexing: dict[str, Any]) -> None:
    store = _airbytes({UNNAMED: FITTING, "title": FITTING})

    assert _settled(store, _openai(**indexing)) == (None, "")
    assert store.called("scroll") == []


@pytest.mark.parametrize(
    "store",
    [
        _airbytes({UNNAMED: VectorSchema("dense", 384, "cos")}),
        _airbytes({"text": FITTING}),
    ],
    ids=["another length", "a named vector"],
)
def test_a_collection_of_another_shape_is_not_airbytes(store: MemoryStore) -> None:
    assert _settled(store, _openai()) == (None, "")


def test_points_of_others_and_of_this_connector_are_not_airbytes() -> None:
    store = MemoryStore({UNNAMED: FITTING})
    store.put("by hand", text="x")
    store.put("ours", **{STREAM: "users", RUN_ID: "before"})

    assert not holds_airbytes_vectors(store, store.describe(), None, _openai())


@pytest.mark.parametrize(
    ("model", "dimensions", "is_told"),
    [
        ("openai/text-embedding-3-small", 1536, True),
        ("openai/text-embedding-3-large@1536", 1536, True),
        ("openai/text-embedding-ada-002", 1536, False),
        ("openai/text-embedding-3-small@512", 512, False),
        ("cohere/embed-v4.0", 1536, False),
    ],
)
def test_only_an_openai_model_of_the_same_length_can_be_mistaken(model: str, dimensions: int, *, is_told: bool) -> None:
    assert bool(other_than_airbytes(model, dimensions)) is is_told
