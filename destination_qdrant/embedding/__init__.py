"""The embedding side: one interface (`base.Embedder`), one small file a provider.

`create_embedder` picks one by the configuration and imports nothing of the others.
"""

from __future__ import annotations

from typing import Final

from .. import config
from .base import Embedder, Tell, silent
from .requests import CHECK, WRITE, Patience

#: How long a person who waits in front of a check waits for one answer.
_CHECK_SECONDS: Final = 30.0


def create_embedder(embedding: config.Embedding, *, read_only: bool = False, tell: Tell = silent) -> Embedder:
    """The embedder of the configuration. Nothing is sent yet; a local model is loaded.

    Args:
        embedding: which one.
        read_only: for a check: a provider that is away is given up soon.
        tell: takes lines for the log, from any thread.

    Raises:
        ConfigError: the model cannot be had as configured.
    """
    patience = Patience(CHECK if read_only else WRITE)
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
        case config.QdrantInference():
            from .qdrant_inference import QdrantInferenceEmbedder

            return QdrantInferenceEmbedder(embedding.model_name, embedding.dimensions, embedding.document_prefix)
        case config.Cohere():
            return _cohere(embedding, _options(embedding.requests, read_only=read_only), patience, tell)
        case _:
            return _openai(embedding, _options(embedding.requests, read_only=read_only), patience, tell)


def _options(requests: config.Requests, *, read_only: bool) -> config.Requests:
    """As configured, except that no person waits longer for an answer than persons wait."""
    timeout = min(_CHECK_SECONDS, requests.timeout) if read_only else requests.timeout
    return requests.model_copy(update={"timeout": timeout})


def _cohere(embedding: config.Cohere, options: config.Requests, patience: Patience, tell: Tell) -> Embedder:
    from .cohere import CohereEmbedder, cohere_client

    key = embedding.cohere_key.get_secret_value()
    client = cohere_client(key, embedding.base_url, options=options)
    return CohereEmbedder(client, embedding, patience=patience, tell=tell)


def _openai(
    embedding: config.OpenAI | config.AzureOpenAI | config.OpenAICompatible,
    options: config.Requests,
    patience: Patience,
    tell: Tell,
) -> Embedder:
    from . import openai, openai_targets

    match embedding:
        case config.OpenAI():
            target = openai_targets.openai_target(embedding.model_name, embedding.dimensions, embedding.base_url)
            client = openai.openai_client(embedding.openai_key.get_secret_value(), embedding.base_url, options=options)
        case config.AzureOpenAI():
            target = openai_targets.azure_target(embedding.deployment, embedding.dimensions, embedding.model_name)
            client = openai.azure_client(
                embedding.openai_key.get_secret_value(),
                embedding.api_base,
                embedding.deployment,
                embedding.api_version,
                options=options,
            )
        case config.OpenAICompatible():
            target = openai_targets.compatible_target(embedding)
            address = openai_targets.compatible_address(embedding)
            client = openai.compatible_client(embedding.api_key.get_secret_value(), address, options=options)
    return openai.OpenAIEmbedder(client, target, options, patience=patience, tell=tell)
