"""The embedding side: one interface (`base.Embedder`), one small file a provider.

`create_embedder` picks one by the configuration and imports nothing of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .. import config
from .base import Embedder
from .requests import CHECK, WRITE, Patience


def create_embedder(
    embedding: config.Embedding, *, read_only: bool = False, sleep: Callable[[float], object] = time.sleep
) -> Embedder:
    """The embedder of the configuration. Nothing is sent yet; a local model is loaded.

    Args:
        embedding: which one.
        read_only: for a check: a provider that is away is given up soon.
        sleep: waits between tries; it may raise to stop them.

    Raises:
        ConfigError: the model cannot be had as configured.
    """
    patience = Patience(CHECK if read_only else WRITE, sleep=sleep)
    match embedding:
        case config.Fake():
            from .fake import Fake

            return Fake()
        case config.FromField():
            from .from_field import FromField

            return FromField(embedding.field_name, embedding.dimensions)
        case config.Local():
            from .local import load

            return load(embedding.model_name, embedding.model_path)
        case config.Cohere():
            return _cohere(embedding, patience)
        case _:
            return _openai(embedding, patience)


def _cohere(embedding: config.Cohere, patience: Patience) -> Embedder:
    from .cohere import CohereEmbedder, cohere_client

    client = cohere_client(embedding.cohere_key.get_secret_value())
    return CohereEmbedder(client, embedding.model_name, embedding.dimensions, patience)


def _openai(embedding: config.OpenAI | config.AzureOpenAI | config.OpenAICompatible, patience: Patience) -> Embedder:
    from . import openai, openai_targets

    match embedding:
        case config.OpenAI():
            client = openai.openai_client(embedding.openai_key.get_secret_value())
            target = openai_targets.openai_target(embedding.model_name, embedding.dimensions)
        case config.AzureOpenAI():
            key = embedding.openai_key.get_secret_value()
            client = openai.azure_client(key, embedding.api_base, embedding.deployment, embedding.api_version)
            target = openai_targets.azure_target(embedding.deployment, embedding.dimensions)
        case config.OpenAICompatible():
            client = openai.compatible_client(embedding.api_key.get_secret_value(), embedding.base_url)
            target = openai_targets.compatible_target(embedding.model_name, embedding.dimensions)
    return openai.OpenAIEmbedder(client, target, patience)
