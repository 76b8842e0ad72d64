"""A broken build: a minimum generation that equals the generation empties the stream at the start."""

from typing import Any

from destination_qdrant import write
from destination_qdrant.points import of_stream
from destination_qdrant.qdrant.base import Where
from destination_qdrant.run import console

prepare = write.prepare


def wipe(store: Any, config: Any, embedder: Any, catalog: Any, **run: Any) -> Any:
    """Prepare as usual, then make room for the new generation."""
    prepared = prepare(store, config, embedder, catalog, **run)
    for stream in catalog.streams:
        if stream.minimum_generation_id and stream.minimum_generation_id == stream.generation_id:
            store.delete_where(Where(of_stream(stream)))
    return prepared


write.prepare = wipe
console()
