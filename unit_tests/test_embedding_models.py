"""The table of known models, and what follows from an entry."""

from __future__ import annotations

import pytest

from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.embedding.models import MODELS, Model, known_model
from destination_qdrant.errors import ConfigError


@pytest.mark.parametrize(
    ("provider", "name", "dimensions"),
    [
        ("openai", "text-embedding-3-small", 1536),
        ("cohere", "embed-v5.0-pro", 2048),
        ("ollama", "nomic-embed-text", 768),
        ("ollama", "nomic-embed-text:v1.5", 768),
    ],
)
def test_a_known_model_is_found_with_its_default_dimensions(provider: str, name: str, dimensions: int) -> None:
    model = known_model(provider, name)

    assert model is not None
    assert model.default == dimensions


@pytest.mark.parametrize(
    ("provider", "name"),
    [("openai", "text-embedding-9"), ("openai", "text-embedding-3-small:a"), ("custom", "text-embedding-3-small")],
)
def test_nothing_is_known_of_other_models(provider: str, name: str) -> None:
    assert known_model(provider, name) is None


def test_the_limit_is_exact_in_the_connectors_own_tokens_and_has_a_margin_in_others_a_wider_one_for_short_texts() -> (
    None
):
    assert Model((3,), 8191, is_cl100k=True).limit == TextLimit(8191)
    assert Model((3,), 512).limit == TextLimit(341)
    assert Model((3,), 513).limit == TextLimit(410)


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        (Model((1024,), 1), None),
        (Model((1024,), 1), 1024),
        (Model((1024, 256), 1), 256),
        (Model((1536,), 1, any_up_to=3072), 3000),
    ],
)
def test_dimensions_that_a_model_has_pass(model: Model, dimensions: int | None) -> None:
    model.check("m", dimensions)

    assert dimensions in {None, *model.dimensions} or dimensions <= model.any_up_to


@pytest.mark.parametrize(
    ("model", "dimensions", "message"),
    [
        (
            Model((1024,), 1),
            3,
            "The model m always gives 1024 dimensions, not 3; leave embedding.dimensions empty, or choose another model.",
        ),
        (
            Model((1024, 256), 1),
            3,
            "The model m gives 1024 or 256 dimensions, not 3; change embedding.dimensions, or leave it empty.",
        ),
        (
            Model((1536,), 1, any_up_to=1536),
            3072,
            "The model m gives at most 1536 dimensions, not 3072; lower embedding.dimensions.",
        ),
    ],
)
def test_other_dimensions_are_refused(model: Model, dimensions: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model.check("m", dimensions)
    assert caught.value.message == message


def test_no_entry_contradicts_itself() -> None:
    for table in MODELS.values():
        for model in table.values():
            assert model.any_up_to == 0 or model.any_up_to >= max(model.dimensions)
            assert len(set(model.dimensions)) == len(model.dimensions)
            assert model.limit.tokens >= 170
