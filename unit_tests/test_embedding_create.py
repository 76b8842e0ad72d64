"""`create_embedder`: the configuration picks one provider, and nothing else is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr

from destination_qdrant import config
from destination_qdrant.embedding import create_embedder
from destination_qdrant.embedding.base import Embedder
from destination_qdrant.errors import ConfigError

CONFIGS: dict[str, config.Embedding] = {
    "openai/text-embedding-3-small": config.OpenAI(openai_key=SecretStr("k")),
    "openai/text-embedding-ada-002": config.OpenAI(
        openai_key=SecretStr("k"), model_name="text-embedding-ada-002", base_url="https://eu.api.openai.com/v1"
    ),
    "openai/text-embedding-3-large@256": config.OpenAI(
        openai_key=SecretStr("k"), model_name="text-embedding-3-large", dimensions=256
    ),
    "azure_openai/dep": config.AzureOpenAI(
        openai_key=SecretStr("k"), api_base="https://res.openai.azure.com", deployment="dep"
    ),
    "azure_openai/text-embedding-3-large@256": config.AzureOpenAI(
        openai_key=SecretStr("k"),
        api_base="https://res.openai.azure.com",
        deployment="dep",
        model_name="text-embedding-3-large",
        dimensions=256,
    ),
    "openai_compatible/bge": config.OpenAICompatible(
        base_url="http://localhost:11434/v1", model_name="bge", dimensions=768
    ),
    "openai_compatible/nomic-embed-text": config.OpenAICompatible(preset="ollama"),
    "cohere/embed-v5.0-fast@512": config.Cohere(
        cohere_key=SecretStr("k"),
        model_name="embed-v5.0-fast",
        dimensions=512,
        base_url="https://cohere.example.com",
    ),
    "qdrant/sentence-transformers/all-minilm-l6-v2": config.QdrantInference(),
    "cohere/embed-v4.0": config.Cohere(cohere_key=SecretStr("k")),
    "fake": config.Fake(),
    "from_field/vector@3": config.FromField(field_name="vector", dimensions=3),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_each_mode_has_its_embedder(name: str) -> None:
    embedder: Embedder = create_embedder(CONFIGS[name])

    assert embedder.model == name
    assert embedder.fingerprint == name
    assert embedder.usage.requests == 0
    assert embedder.count_tokens("a" + " " * 1_000_000 + "b") in {0, 7816}  # at once, tiktoken panics over it
    embedder.close()


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (config.OpenAICompatible(dimensions=3), "embedding.base_url must not be empty"),
        (config.OpenAICompatible(preset="voyage"), "embedding.api_key must not be empty: Voyage answers"),
        (config.OpenAICompatible(preset="mistral", dimensions=3, api_key=SecretStr("k")), "always gives 1024"),
        (config.OpenAICompatible(base_url="localhost"), "embedding.base_url must be an address"),
        (
            config.AzureOpenAI(
                openai_key=SecretStr("k"),
                api_base="https://a.example",
                deployment="d",
                model_name="text-embedding-ada-002",
                dimensions=3,
            ),
            "always gives 1536",
        ),
        (config.Cohere(cohere_key=SecretStr("k"), base_url="cohere"), "embedding.base_url must be an address"),
    ],
)
def test_what_cannot_be_asked_is_the_users_to_change(embedding: config.Embedding, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_embedder(embedding)


@pytest.mark.parametrize(("configured", "read_only", "timeout"), [(600, True, 30), (7, True, 7), (600, False, 600)])
def test_nobody_waits_in_front_of_a_check_for_as_long_as_a_sync_would(
    configured: int, timeout: int, *, read_only: bool
) -> None:
    requests = config.Requests(timeout=configured)
    embedder: Any = create_embedder(config.OpenAI(openai_key=SecretStr("k"), requests=requests), read_only=read_only)

    assert embedder._client.timeout == timeout  # noqa: SLF001 -- an answer that takes as long would take the test as long


def test_a_service_behind_another_address_needs_no_key() -> None:
    embedding = config.OpenAICompatible(preset="nvidia", base_url="http://nim:8000/v1")

    assert create_embedder(embedding).dimensions == 2048


@pytest.mark.parametrize(
    ("build", "absent"),
    [
        ("config.Fake()", "openai cohere fastembed"),
        ("config.FromField(field_name='v', dimensions=3)", "openai cohere fastembed"),
        ("config.OpenAI(openai_key='k')", "cohere fastembed"),
        ("config.Cohere(cohere_key='k')", "openai fastembed"),
    ],
)
def test_a_mode_imports_no_other_provider(build: str, absent: str) -> None:
    code = (
        "import sys; from destination_qdrant import config; from destination_qdrant.embedding import create_embedder;"
        f"create_embedder({build}); print(*set({absent!r}.split()).intersection(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert printed.stdout.strip() == ""
