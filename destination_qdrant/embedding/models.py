"""What is known of the models of all providers: one table, to be looked up and never to be a fence.

A model that is not here is used all the same: an answer tells its dimensions, and its limit is left to the chunk size.
Figures are the providers' own unless a line says otherwise; of two figures the smaller one stands here.

    OpenAI      https://platform.openai.com/docs/guides/embeddings
    Cohere      https://docs.cohere.com/docs/cohere-embed
    Voyage      https://www.mongodb.com/docs/api/doc/atlas-embedding-and-reranking-api and the package `voyageai`
    Mistral     https://docs.mistral.ai/capabilities/embeddings, and what `rig-core` 0.42 found out about inputs
    Gemini      https://developers.googleblog.com/en/gemini-embedding-available-gemini-api
    Jina        https://jina.ai/models
    NVIDIA      https://docs.nvidia.com/nim/nemo-retriever/text-embedding
    Qdrant      the models of Qdrant Cloud's inference, by their model cards
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import ConfigError
from .base import TextLimit

#: Which part of the tokens that a model takes is given to it in the connector's own, which are cl100k_base's. WordPiece,
#: the tokenizer of most models with short texts, was measured to find 1.44 times as many in rows of JSON, 1.37 times in
#: URLs and 1.29 times in numbers. Those of the models with long texts find up to a quarter more in English.
_FOREIGN_SHARE: Final = (4, 5)
_SHORT_SHARE: Final = (2, 3)
_SHORT: Final = 512


@dataclass(frozen=True, slots=True)
class Model:
    """What is documented of a model.

    `dimensions` begins with the length that nobody has to ask for; the others can be asked for.
    `any_up_to`: every length up to this one can be asked for too.
    `tokens`: the longest text, by the model's own tokenizer.
    """

    dimensions: tuple[int, ...]
    tokens: int
    any_up_to: int = 0
    is_cl100k: bool = False

    @property
    def default(self) -> int:
        """The length of its vectors when nothing is said."""
        return self.dimensions[0]

    @property
    def limit(self) -> TextLimit:
        """The longest text, in the connector's own tokens: exact where they are the model's too, else with a margin."""
        if self.is_cl100k:
            return TextLimit(self.tokens)
        share, of = _SHORT_SHARE if self.tokens <= _SHORT else _FOREIGN_SHARE
        return TextLimit(self.tokens * share // of)

    def check(self, name: str, dimensions: int | None) -> None:
        """Refuse what it cannot have.

        Raises:
            ConfigError: its vectors never have these dimensions.
        """
        if dimensions is None or dimensions in self.dimensions or dimensions <= self.any_up_to:
            return
        if self.any_up_to:
            what = f"gives at most {self.any_up_to} dimensions, not {dimensions}; lower embedding.dimensions."
        elif len(self.dimensions) > 1:
            possible = " or ".join(map(str, self.dimensions))
            what = f"gives {possible} dimensions, not {dimensions}; change embedding.dimensions, or leave it empty."
        else:
            what = (
                f"always gives {self.default} dimensions, not {dimensions}; leave embedding.dimensions empty, or "
                "choose another model."
            )
        raise ConfigError(f"The model {name} {what}")


# OpenAI says 8,192 in one place and 8,191 in another.
_SMALL: Final = Model((1536,), 8191, any_up_to=1536, is_cl100k=True)
_LARGE: Final = Model((3072,), 8191, any_up_to=3072, is_cl100k=True)
_ADA: Final = Model((1536,), 8191, is_cl100k=True)

_COHERE_V5: Final = Model((2048, 1536, 1024, 768, 512, 256), 128_000)
_COHERE_V3: Final = Model((1024,), 512)
_COHERE_V3_LIGHT: Final = Model((384,), 512)

_VOYAGE: Final = Model((1024, 2048, 512, 256), 32_000)
_VOYAGE_FIXED: Final = Model((1024,), 32_000)

_MISTRAL_EMBED: Final = Model((1024,), 8192)
_GEMINI_1: Final = Model((3072,), 2048, any_up_to=3072)

MODELS: Final[Mapping[str, Mapping[str, Model]]] = {
    "openai": {
        "text-embedding-3-small": _SMALL,
        "text-embedding-3-large": _LARGE,
        "text-embedding-ada-002": _ADA,
    },
    "cohere": {
        "embed-v5.0-pro": _COHERE_V5,
        "embed-v5.0-fast": _COHERE_V5,
        "embed-v4.0": Model((1536, 1024, 512, 256), 128_000),
        "embed-english-v3.0": _COHERE_V3,
        "embed-multilingual-v3.0": _COHERE_V3,
        "embed-english-light-v3.0": _COHERE_V3_LIGHT,
        "embed-multilingual-light-v3.0": _COHERE_V3_LIGHT,
    },
    "voyage": {
        "voyage-4-large": _VOYAGE,
        "voyage-4": _VOYAGE,
        "voyage-4-lite": _VOYAGE,
        "voyage-3-large": _VOYAGE,
        "voyage-3.5": _VOYAGE,
        "voyage-3.5-lite": _VOYAGE,
        "voyage-code-3": _VOYAGE,
        "voyage-finance-2": _VOYAGE_FIXED,
        "voyage-law-2": Model((1024,), 16_000),
    },
    "mistral": {
        "mistral-embed": _MISTRAL_EMBED,
        "mistral-embed-2312": _MISTRAL_EMBED,
        "codestral-embed": Model((1536,), 8192, any_up_to=3072),
    },
    "gemini": {
        "gemini-embedding-001": _GEMINI_1,
        "gemini-embedding-2": Model((3072,), 8192, any_up_to=3072),
    },
    "jina": {
        "jina-embeddings-v5-text-small": Model((1024,), 32_768, any_up_to=1024),
        "jina-embeddings-v5-text-nano": Model((768,), 8192, any_up_to=768),
        "jina-embeddings-v4": Model((2048,), 32_768, any_up_to=2048),
        "jina-embeddings-v3": Model((1024,), 8192, any_up_to=1024),
        "jina-embeddings-v2-base-en": Model((768,), 8192),
        "jina-embeddings-v2-base-de": Model((768,), 8192),
        "jina-embeddings-v2-base-es": Model((768,), 8192),
        "jina-embeddings-v2-base-zh": Model((768,), 8192),
    },
    "nvidia": {
        "nvidia/llama-nemotron-embed-1b-v2": Model((2048, 1024, 768, 512, 384), 8192),
        "nvidia/nv-embedqa-e5-v5": Model((1024,), 512),
    },
    # What Ollama's library says. It may cut longer texts without a word (not documented), so the margin matters here.
    "ollama": {
        "nomic-embed-text": Model((768,), 2048),
        "mxbai-embed-large": Model((1024,), 512),
        "all-minilm": Model((384,), 256),
        "bge-m3": Model((1024,), 8192),
        "embeddinggemma": Model((768,), 2048),
    },
    "openrouter": {
        "openai/text-embedding-3-small": _SMALL,
        "openai/text-embedding-3-large": _LARGE,
        "openai/text-embedding-ada-002": _ADA,
        "mistralai/mistral-embed-2312": _MISTRAL_EMBED,
        "google/gemini-embedding-001": _GEMINI_1,
    },
    "qdrant": {
        "sentence-transformers/all-minilm-l6-v2": Model((384,), 256),
        "intfloat/multilingual-e5-small": Model((384,), 512),
        "mixedbread-ai/mxbai-embed-large-v1": Model((1024,), 512),
    },
}


def known_model(provider: str, name: str) -> Model | None:
    """What the table holds of a model; an Ollama tag (`:latest`, `:v1.5`) names a build of the same one."""
    table = MODELS.get(provider, {})
    return table.get(name) or (table.get(name.partition(":")[0]) if provider == "ollama" else None)
