"""The connection check: reach Qdrant, compare the collection, embed one text. It changes nothing."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from .collection import check_fits, probe_dimensions
from .config import Config, FromField, parse_config
from .embedding import create_embedder
from .qdrant import open_store


def check(raw_config: Any, *, deployment_mode: str = "") -> str:
    """Try a configuration; returns what was found, as a sentence.

    Raises:
        ConnectorError: what does not work, and which field to change.
    """
    config = parse_config(raw_config, deployment_mode=deployment_mode)
    with closing(open_store(config.indexing, read_only=True)) as store:
        info = store.describe()
        dimensions, model = _probe(config)
        check_fits(info, config, dimensions, store.place)
        state = "exists and fits" if info else "does not exist yet; the first sync creates it, if the key may do that"
        notes = "".join(f" {note}" for note in store.notes)
        return f"Reached Qdrant at {store.place}; the collection {state} ({model}, {dimensions} dimensions).{notes}"


def _probe(config: Config) -> tuple[int, str]:
    if isinstance(config.embedding, FromField):
        return config.embedding.dimensions, f"field '{config.embedding.field_name}'"
    embedder = create_embedder(config.embedding, read_only=True)
    return probe_dimensions(embedder), embedder.model
