"""`create_embedder`: the configuration picks one provider, and nothing else is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr

from destination_qdrant import config
from destination_qdrant.embedding import create_embedder

CONFIGS: dict[str, config.Embedding] = {
    "openai/text-embedding-ada-002": config.OpenAI(openai_key=SecretStr("k")),
    "openai/text-embedding-3-large@256": config.OpenAI(
        openai_key=SecretStr("k"), model_name="text-embedding-3-large", dimensions=256
    ),
    "azure_openai/dep": config.AzureOpenAI(
        openai_key=SecretStr("k"), api_base="https://res.openai.azure.com", deployment="dep"
    ),
    "openai_compatible/text-embedding-ada-002": config.OpenAICompatible(
        base_url="http://localhost:11434/v1", dimensions=768
    ),
    "cohere/embed-v4.0": config.Cohere(cohere_key=SecretStr("k")),
    "fake": config.Fake(),
    "from_field/vector@3": config.FromField(field_name="vector", dimensions=3),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_each_mode_has_its_embedder(name: str) -> None:
    assert create_embedder(CONFIGS[name]).model == name


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
