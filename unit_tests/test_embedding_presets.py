"""Presets: what they fill in, and that each of them can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import SecretStr

from destination_qdrant import config
from destination_qdrant.embedding.address import clean_address, has_version
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.embedding.models import known_model
from destination_qdrant.embedding.openai_targets import compatible_address, compatible_target
from destination_qdrant.embedding.presets import PRESETS

NAMED = sorted(PRESETS.keys() - {"custom"})


def _embedding(preset: str, **settings: Any) -> config.OpenAICompatible:
    return config.OpenAICompatible(preset=preset, api_key=SecretStr("k"), **settings)


def test_every_choice_of_the_form_has_a_preset() -> None:
    assert set(get_args(config.OpenAICompatible.model_fields["preset"].annotation)) == set(PRESETS)


@pytest.mark.parametrize("preset", NAMED)
def test_nothing_but_a_key_has_to_be_given(preset: str) -> None:
    embedding = _embedding(preset)
    address, target = compatible_address(embedding), compatible_target(embedding)

    assert clean_address(address, "f") == address
    assert has_version(address)
    assert target.name == f"openai_compatible/{PRESETS[preset].model}"
    known = known_model(preset, target.model)
    assert (known is None) == (preset == "tei")  # which serves one model, of any name
    assert target.expected == (known.default if known else None)
    assert target.limit == (known.limit if known else None)


def test_the_platform_lets_the_connector_reach_every_preset() -> None:
    """Those at localhost are reached at an address that the user enters."""
    metadata = yaml.safe_load((Path(__file__).parent.parent / "metadata.yaml").read_text(encoding="utf-8"))
    hosts = {urlsplit(preset.base_url).hostname for preset in PRESETS.values() if preset.base_url} - {"localhost"}

    assert hosts
    assert hosts <= set(metadata["data"]["allowedHosts"]["hosts"])


@pytest.mark.parametrize("preset", NAMED)
def test_documents_and_questions_differ_where_the_service_tells_them_apart(preset: str) -> None:
    known = PRESETS[preset]

    assert known.documents.keys() == known.questions.keys()
    assert (known.documents != known.questions) == bool(known.documents)


def test_an_old_configuration_asks_for_what_it_always_asked_for() -> None:
    target = compatible_target(config.OpenAICompatible(base_url="http://h/v1", dimensions=768))

    assert target.name == "openai_compatible/text-embedding-ada-002"
    assert (target.model, target.expected, target.limit) == ("text-embedding-ada-002", 768, None)
    assert (target.documents, target.questions, target.prefix, target.has_base64) == ({}, {}, "", False)
    assert (target.bounds.texts, target.bounds.text_bytes, target.bounds.tokens) == (256, 300_000, None)
    assert target.service.name == "The embedding service"


@pytest.mark.parametrize(
    ("preset", "settings", "asked", "name"),
    [
        ("custom", {"model_name": "m", "dimensions": 9}, {}, "m"),
        ("custom", {"model_name": "m", "dimensions": 9, "send_dimensions": True}, {"dimensions": 9}, "m@9"),
        ("mistral", {"model_name": "codestral-embed"}, {}, "codestral-embed"),
        ("mistral", {"model_name": "codestral-embed", "dimensions": 1536}, {}, "codestral-embed"),
        (
            "mistral",
            {"model_name": "codestral-embed", "dimensions": 256},
            {"output_dimension": 256},
            "codestral-embed@256",
        ),
        ("gemini", {"dimensions": 768}, {"dimensions": 768}, "gemini-embedding-001@768"),
        ("mistral", {"dimensions": 1024, "send_dimensions": True}, {"output_dimension": 1024}, "mistral-embed"),
        ("ollama", {"model_name": "own", "dimensions": 9}, {}, "own"),
    ],
)
def test_dimensions_are_asked_for_in_the_services_own_way(
    preset: str, settings: dict[str, Any], asked: dict[str, int], name: str
) -> None:
    target = compatible_target(_embedding(preset, base_url="http://h/v1", **settings))

    assert (target.documents, target.questions) == (asked, asked)
    assert target.name == target.fingerprint == f"openai_compatible/{name}"


def test_what_the_user_adds_goes_before_what_the_preset_adds() -> None:
    target = compatible_target(_embedding("voyage", extra_body='{"truncation": true}', dimensions=512))

    assert target.documents == {"input_type": "document", "truncation": True, "output_dimension": 512}
    assert target.questions == {"input_type": "query", "truncation": True, "output_dimension": 512}
    assert target.service.extra == "embedding.extra_body"


def test_the_longest_text_is_the_users_to_say() -> None:
    assert compatible_target(_embedding("voyage", max_text_tokens=99)).limit == TextLimit(99)
    assert compatible_target(_embedding("custom", base_url="http://h", max_text_tokens=99)).limit == TextLimit(99)
