"""The connection check: reach Qdrant, compare the collection, embed one text. It changes no data.

Whether the key may write is found out by removing a point that nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from .collection import (
    check_fits,
    check_model,
    index_warnings,
    known_dimensions,
    missing_indexes,
    probe_dimensions,
    wanted_indexes,
)
from .config import Config, FromField, parse_config
from .embedding import create_embedder
from .errors import TransientError
from .model_choice import holds_airbytes_vectors, other_than_airbytes, settle_model
from .qdrant import open_store
from .qdrant.base import CollectionInfo, Store


def check(raw_config: Any, *, deployment_mode: str = "") -> str:
    """Try a configuration; returns what was found, as a sentence.

    Raises:
        ConnectorError: what does not work, and which field to change.
    """
    config = parse_config(raw_config, deployment_mode=deployment_mode)
    wanted_indexes(config)
    with closing(open_store(config.indexing, read_only=True)) as store:
        config, settled = settle_model(store, config)
        info = store.describe()
        dimensions, model = _probe(store, info, config)
        check_fits(info, config, dimensions, store.place)
        warnings = () if info is None else _check_existing(store, info, config, dimensions, model)
        state = "exists and fits" if info else "does not exist yet; the first sync creates it, if the key may do that"
        notes = "".join(f" {note}" for note in (settled, *store.notes, *warnings) if note)
        return f"Reached {store.engine} at {store.place}; the collection {state} ({model}, {dimensions} dimensions).{notes}"


def _check_existing(store: Store, info: CollectionInfo, config: Config, dimensions: int, model: str) -> tuple[str, ...]:
    judgement = check_model(store, config, model, dimensions)
    airbyte_warning = other_than_airbytes(model, dimensions)
    if not (airbyte_warning and holds_airbytes_vectors(store, info, store.recall(), config)):
        airbyte_warning = ""
    return (
        judgement.warning,
        airbyte_warning,
        *index_warnings(info, config),
        *missing_indexes(info, config),
        *_write_access(store),
    )


def _write_access(store: Store) -> Iterator[str]:
    """Try to write. That it does not work at the moment is no verdict on the configuration: a sync waits that out."""
    try:
        store.require_write_access()
    except TransientError as error:
        yield f"Whether the key may write could not be found out: {error.message}"


def _probe(store: Store, info: CollectionInfo | None, config: Config) -> tuple[int, str]:
    if isinstance(config.embedding, FromField):
        return config.embedding.dimensions, f"field '{config.embedding.field_name}'"
    with closing(create_embedder(config.embedding, read_only=True)) as embedder:
        known = known_dimensions(embedder, config, info, None)
        return probe_dimensions(embedder, store, config, known), embedder.model
