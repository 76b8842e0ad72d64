"""Which model a configuration without one means, by what the collection holds.

Airbyte's connector had no choice of models and notes none: its vectors of OpenAI are text-embedding-ada-002, which are as long as
those of text-embedding-3-small and cannot be compared with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from .config import Config, OpenAI
from .model_guard import noted
from .payload import RUN_ID, STREAM
from .qdrant.base import CollectionInfo, Store, Where
from .vectors import UNNAMED
from .wording import LONGEST_TEXT, shown

_OPENAI: Final = "openai/"
_AIRBYTE_MODEL: Final = "text-embedding-ada-002"
_AIRBYTE_DIMENSIONS: Final = 1536

#: A collection is filled by one connector or by another, so its first points tell.
_LOOKED_AT: Final = 100


def settle_model(store: Store, config: Config) -> tuple[Config, str]:
    """The configuration with a model, and a sentence about a model that the collection has decided on."""
    embedding = config.embedding
    if not isinstance(embedding, OpenAI) or embedding.model_name is not None:
        return config, ""
    note = store.recall()
    known = noted(note, config.indexing.vector_name)
    if known is not None and known.model.startswith(_OPENAI):
        model, because = known.model.removeprefix(_OPENAI).partition("@")[0], "whose vectors the collection holds"
    elif holds_airbytes_vectors(store, store.describe(), note, config):
        model, because = _AIRBYTE_MODEL, "which Airbyte's own connector always used"
    else:
        return config, ""
    settled = config.model_copy(update={"embedding": embedding.model_copy(update={"model_name": model})})
    return (
        settled,
        f"embedding.model_name is empty, so that this is the model {shown(model, LONGEST_TEXT)}, {because}.",
    )


def holds_airbytes_vectors(
    store: Store, info: CollectionInfo | None, note: Mapping[str, Any] | None, config: Config
) -> bool:
    """Whether the collection looks as Airbyte's connector leaves one behind that embedded with OpenAI.

    That one knew neither folders nor named vectors nor shard keys.
    """
    indexing = config.indexing
    if note is not None or info is None or indexing.embedded_folder is not None or indexing.shard_key is not None:
        return False
    schema = info.vectors.get(UNNAMED)
    if indexing.vector_name != UNNAMED or schema is None or schema.dimensions != _AIRBYTE_DIMENSIONS:
        return False
    # Without a filter: in strict mode one over fields that have no index would be refused.
    first = islice(store.scroll(Where(()), (STREAM, RUN_ID)), _LOOKED_AT)
    return any(STREAM in point.payload and RUN_ID not in point.payload for point in first)


def other_than_airbytes(model: str, dimensions: int) -> str:
    """A sentence for a collection with Airbyte's points, where its model only looks like the one that is used now."""
    if not model.startswith(_OPENAI) or model == f"{_OPENAI}{_AIRBYTE_MODEL}" or dimensions != _AIRBYTE_DIMENSIONS:
        return ""
    return (
        "Airbyte's own connector has left points here. If they are of OpenAI, they are vectors of "
        f"{_AIRBYTE_MODEL}, which cannot be compared with those of {shown(model, LONGEST_TEXT)} although both have {dimensions} "
        f"dimensions: set embedding.model_name to {_AIRBYTE_MODEL}, or replace them by a full refresh with overwrite."
    )
