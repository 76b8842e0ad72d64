"""The collection of a sync: does it fit, does it exist, has it the indexes that filters need."""

from __future__ import annotations

from .catalog import Catalog
from .config import Config
from .embedding.base import Embedder
from .errors import ConfigError
from .generations import outdated, replaces
from .lookup import holds
from .points import AIRBYTE_INDEXES, INDEXES, of_airbyte
from .protocol import Descriptor
from .qdrant.base import CollectionInfo, Store, VectorSchema
from .qdrant.validation import check_schema
from .vectors import UNNAMED

#: What `check` embeds to see that the provider answers.
PROBE = "A short text to see that embedding works."


def wanted_vector(config: Config, dimensions: int) -> VectorSchema:
    """The vector that the configuration asks for."""
    return VectorSchema("dense", dimensions, config.indexing.distance_metric)


def probe_dimensions(embedder: Embedder) -> int:
    """How long the embedder's vectors really are, by embedding one short text."""
    return embedder.embed_documents([PROBE])[0].dimensions


def check_fits(info: CollectionInfo | None, config: Config, dimensions: int, place: str) -> None:
    """Compare an existing collection with the configuration.

    Raises:
        ConfigError: the vectors do not fit.
    """
    if info is not None:
        check_schema(info, UNNAMED, wanted_vector(config, dimensions), place=place)


def prepare(
    store: Store, config: Config, embedder: Embedder, catalog: Catalog, *, run_id: str
) -> frozenset[Descriptor]:
    """Create the collection when it is missing, and the indexes that are missing, before any filter runs.

    Returns the streams under whose identifier Airbyte's connector has left points.

    Raises:
        ConfigError: the collection does not fit, or Qdrant refuses what the end of the sync will need.
    """
    dimensions = embedder.dimensions or probe_dimensions(embedder)
    info = store.describe()
    if info is None:
        store.create({UNNAMED: wanted_vector(config, dimensions)})
        info = store.describe()
        if info is None:
            raise ConfigError(
                f"The collection was created in Qdrant at {store.place} and is not there; "
                "check indexing.collection and who else manages that Qdrant."
            )
    check_fits(info, config, dimensions, store.place)
    store.create_indexes(INDEXES)
    for stream in catalog.streams:
        for where in outdated(stream, run_id) if replaces(stream) else ():
            holds(store, where)  # a limit that refuses the filter is better met now than after all the work
    found = frozenset(stream.descriptor for stream in catalog.streams if holds(store, of_airbyte(stream)))
    if found:
        store.create_indexes(AIRBYTE_INDEXES)
    return found
