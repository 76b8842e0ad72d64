"""Services with OpenAI's embeddings API that have a name of their own: what each fills in where the user left a gap.

Where a figure comes from stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .packing import Bounds

#: For services whose caps are not documented; cautious.
_CAUTIOUS: Final = Bounds(texts=128, text_bytes=1_000_000, tokens=100_000)


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a service.

    `documents` and `questions` are sent along with each request of that kind, unless the user says what to send.
    `dimensions` is the option that asks for a length of vectors.
    `has_base64`: it is documented that vectors can be had in base64, so that nobody needs to try.
    """

    title: str
    model: str
    base_url: str | None = None
    bounds: Bounds = _CAUTIOUS
    documents: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)
    needs_key: bool = True
    dimensions: str = "dimensions"
    has_base64: bool = False


PRESETS: Final[Mapping[str, Preset]] = {
    # A server of unknown make: what most of them take at once. `Requests` finds out when it is too much. The model is
    # the one that Airbyte's connector asks for when none is configured.
    "custom": Preset(
        "The embedding service",
        model="text-embedding-ada-002",
        bounds=Bounds(texts=256, text_bytes=300_000),
        needs_key=False,
    ),
    # 1,000 texts; 120,000 tokens for the models that take least (API reference, July 2026). Voyage's tokenizer finds
    # more tokens than cl100k_base does. Without `truncation` it cuts long texts without a word.
    "voyage": Preset(
        "Voyage",
        model="voyage-4",
        base_url="https://api.voyageai.com/v1",
        bounds=Bounds(texts=256, text_bytes=1_000_000, tokens=90_000),
        documents={"input_type": "document", "truncation": False},
        questions={"input_type": "query", "truncation": False},
        dimensions="output_dimension",
        has_base64=True,
    ),
    # 256 texts (rig-core 0.42 found that 257 are refused); 16,384 tokens are what users report to be refused beyond.
    "mistral": Preset(
        "Mistral",
        model="mistral-embed",
        base_url="https://api.mistral.ai/v1",
        bounds=Bounds(texts=256, text_bytes=1_000_000, tokens=13_000),
        dimensions="output_dimension",
    ),
    # 100 texts (what its own client sends at once); a cap of tokens is not documented; cautious.
    "gemini": Preset(
        "Gemini",
        model="gemini-embedding-001",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        bounds=Bounds(texts=100, text_bytes=1_000_000, tokens=16_000),
    ),
    # `task` is documented for v3 and later, and the caps of a request are not documented; cautious.
    "jina": Preset(
        "Jina",
        model="jina-embeddings-v3",
        base_url="https://api.jina.ai/v1",
        documents={"task": "retrieval.passage"},
        questions={"task": "retrieval.query"},
    ),
    # `input_type` must be said (API reference of the embedding NIM); 50 texts are what langchain sends at once.
    "nvidia": Preset(
        "NVIDIA",
        model="nvidia/llama-nemotron-embed-1b-v2",
        base_url="https://integrate.api.nvidia.com/v1",
        bounds=Bounds(texts=50, text_bytes=1_000_000, tokens=100_000),
        documents={"input_type": "passage", "truncate": "NONE"},
        questions={"input_type": "query", "truncate": "NONE"},
    ),
    # It has no cap; it computes texts one after another, so small requests are answered within the timeout.
    "ollama": Preset(
        "Ollama",
        model="nomic-embed-text",
        base_url="http://localhost:11434/v1",
        bounds=Bounds(texts=64, text_bytes=1_000_000),
        needs_key=False,
    ),
    # 32 texts and 2 MB are the defaults of its options --max-client-batch-size and --payload-limit. It serves one
    # model, whatever name is asked for.
    "tei": Preset(
        "Text Embeddings Inference",
        model="text-embeddings-inference",
        base_url="http://localhost:8080/v1",
        bounds=Bounds(texts=32, text_bytes=1_500_000),
        needs_key=False,
    ),
    # It passes requests on to providers of all kinds, whose caps differ.
    "openrouter": Preset(
        "OpenRouter",
        model="openai/text-embedding-3-small",
        base_url="https://openrouter.ai/api/v1",
    ),
}
