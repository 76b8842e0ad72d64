"""The write command: wires a sync together and runs it. Decides nothing itself."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any

from .assembly import assemble, point_format, read_inputs, vector_cache
from .catalog import settings_without_stream
from .collection import prepare
from .documents import fields_without_column
from .embedding import create_embedder
from .model_choice import settle_model
from .opening import opening
from .pipeline import Source, sync
from .protocol import MessageWriter
from .qdrant import open_store
from .site import Site


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
    config, catalog = read_inputs(raw_config, raw_catalog, deployment_mode=deployment_mode)
    with closing(open_store(config.indexing, read_only=False, log=out.log)) as store:
        config, settled = settle_model(store, config)
        with closing(create_embedder(config.embedding, tell=out.log)) as embedder:
            loaded_at = int(time.time() * 1000)
            prepared = prepare(store, config, embedder, catalog, run_id=run_id, loaded_at=loaded_at)
            for fact in filter(None, (*opening(catalog.streams, config, prepared, embedder), settled)):
                out.log("INFO", fact)
            misspelt = settings_without_stream(catalog, config), fields_without_column(catalog.streams)
            warnings = (*misspelt, *store.notes, *prepared.warnings)
            for warning in filter(None, warnings):
                out.log("WARN", warning)
            out.log("INFO", f"Writing to {store.engine} at {store.place}.")
            site = Site(
                store,
                embedder,
                point_format(config, embedder, run_id=run_id, loaded_at=loaded_at),
                prepared.dimensions,
                prepared.airbyte_streams,
                replicated=prepared.replicated,
                reuse=prepared.reuse,
                cache=vector_cache(config),
                writing=threading.Semaphore(config.indexing.requests_in_flight),
                points_per_write=config.indexing.batch_size,
            )
            sync(source, assemble(config, catalog, site, out))
