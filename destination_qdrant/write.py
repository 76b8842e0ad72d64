"""The write command: wires a sync together and runs it. Decides nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from .batching import BatchBounds
from .catalog import Catalog, read_catalog
from .chunking import Chunk, Splitter
from .collection import prepare
from .config import Config, FromField, parse_config
from .delivery import Site
from .documents import Document, DocumentReader, missing_text_fields
from .embedding import create_embedder
from .embedding.base import Embedder
from .pipeline import Bounds, Plan, Source, sync
from .points import PointFormat
from .protocol import MessageWriter
from .qdrant import open_store


def write(
    raw_config: Any,
    raw_catalog: Any,
    source: Source,
    out: MessageWriter,
    *,
    run_id: str,
    deployment_mode: str = "",
) -> None:
    """Run a sync from the lines of `source`; `run_id` must be unlike any other run's.

    Raises:
        ConnectorError: the sync failed; the exception says how to go on.
    """
    config = parse_config(raw_config, deployment_mode=deployment_mode)
    catalog = read_catalog(raw_catalog, config)
    if not isinstance(config.embedding, FromField):
        _require_text_fields(catalog)
    embedder = create_embedder(config.embedding)
    with closing(open_store(config.indexing, read_only=False, log=out.log)) as store:
        loaded_at = int(time.time() * 1000)
        prepared = prepare(store, config, embedder, catalog, run_id=run_id, loaded_at=loaded_at)
        for warning in (*store.notes, *prepared.warnings):
            out.log("WARN", warning)
        out.log(
            "INFO", f"Writing to {store.engine} at {store.place}, with vectors of {embedder.model or 'the records'}."
        )
        form = PointFormat(
            run_id=run_id,
            loaded_at=loaded_at,
            text_field=config.indexing.text_field,
            omit_text=config.omit_raw_text,
            max_payload_bytes=config.processing.max_payload_bytes,
            model=embedder.model,
            vector_name=config.indexing.vector_name,
        )
        readers = {stream.descriptor: DocumentReader(stream, config) for stream in catalog.streams}
        split = _splitting(config, embedder)
        size = config.indexing.batch_size
        site = Site(
            store, embedder, form, prepared.airbyte_streams, replicated=prepared.replicated, points_per_write=size
        )
        bounds = Bounds(config.indexing.requests_in_flight, batch=BatchBounds(points=size))
        sync(source, Plan(catalog, site, out, readers, split, bounds))


def _require_text_fields(catalog: Catalog) -> None:
    for stream in catalog.streams:
        error = missing_text_fields(stream)
        if error:
            raise error


def _splitting(config: Config, embedder: Embedder) -> Callable[[Document], tuple[Chunk, ...]]:
    """How a document becomes chunks: not at all where its vector came with it."""
    if isinstance(config.embedding, FromField):
        return lambda document: (Chunk(0, document.text),)
    processing = config.processing
    splitter = Splitter(
        processing.text_splitter,
        chunk_size=processing.chunk_size,
        chunk_overlap=processing.chunk_overlap,
        limit=embedder.limit,
    )
    return lambda document: splitter.split(document.text)
