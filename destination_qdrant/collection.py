"""The collection of a sync: does it fit, does it exist, has it the indexes that filters need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .catalog import Catalog
from .config import Config
from .embedding.base import Embedder
from .errors import ConfigError
from .generations import outdated, replaces
from .lookup import holds
from .model_guard import Judgement, judge, making
from .payload import LOADED_AT, RECORD_KEY
from .points import AIRBYTE_INDEXES, INDEXES, REPLICA_INDEXES, of_airbyte, of_stream
from .protocol import Descriptor
from .qdrant.base import Below, CollectionInfo, PayloadIndex, Store, VectorSchema
from .qdrant.validation import check_schema, describe_vector, is_path, plain_path

#: What `check` embeds to see that the provider answers.
PROBE = "A short text to see that embedding works."


@dataclass(frozen=True, slots=True)
class Prepared:
    """A collection that a sync may write to.

    `airbyte_streams`: streams under whose identifier Airbyte's connector has left points. `replicated`: each point is
    on several nodes. `warnings`: sentences.
    """

    airbyte_streams: frozenset[Descriptor]
    replicated: bool
    warnings: tuple[str, ...]


def wanted_vector(config: Config, dimensions: int) -> VectorSchema:
    """The vector that the configuration asks for."""
    return VectorSchema("dense", dimensions, config.indexing.distance_metric)


def wanted_indexes(config: Config, *, replicated: bool = False) -> Mapping[str, PayloadIndex]:
    """The indexes of the bookkeeping, and those that the configuration asks for, by path.

    Raises:
        ConfigError: a field of the configuration is no path, is the connector's own, or is named twice.
    """
    wanted: dict[str, PayloadIndex] = {}
    for option in config.indexing.payload_indexes:
        if not is_path(option.field):
            raise ConfigError(
                f"The field {option.field!r} in indexing.payload_indexes is no path that Qdrant can read: join names "
                "with dots, write [] after a list of objects, and put a name that has other characters than letters, "
                'digits, _ and - into double quotes, as in comments[]."reply to".'
            )
        path = plain_path(option.field)
        if path.startswith(("_ab_", '"_ab_')):
            raise ConfigError(
                f"The field {path} in indexing.payload_indexes begins with _ab_, which marks the connector's own "
                "fields: leave it out, those have the indexes that they need."
            )
        if path in wanted:
            raise ConfigError(
                f"indexing.payload_indexes names the field {path} twice, and a field has one index: leave one out."
            )
        wanted[path] = PayloadIndex(option.type, tenant=option.tenant, on_disk=option.on_disk)
    return {**INDEXES, **(REPLICA_INDEXES if replicated else {}), **wanted}


def probe_dimensions(embedder: Embedder) -> int:
    """How long the embedder's vectors really are, by embedding one short text."""
    return embedder.embed_documents([PROBE])[0].dimensions


def check_fits(info: CollectionInfo | None, config: Config, dimensions: int, place: str) -> None:
    """Compare a collection, or its absence, with the configuration.

    Raises:
        ConfigError: the vectors do not fit, or the collection is missing and must not be created.
    """
    name, wanted = config.indexing.vector_name, wanted_vector(config, dimensions)
    if info is not None:
        check_schema(info, name, wanted, place=place)
    elif config.indexing.collection_management == "must_exist":
        raise ConfigError(
            f"The collection does not exist in Qdrant at {place}, and indexing.collection_management is must_exist: "
            f"create it for {describe_vector(name, wanted)}, correct indexing.collection, or choose create_if_missing."
        )


def check_model(store: Store, config: Config, model: str, dimensions: int) -> Judgement:
    """Compare what was noted about the vectors of the collection with what makes vectors now; notes nothing.

    Raises:
        ConfigError: they are another model's.
    """
    now = making(config, model, dimensions)
    return judge(store.recall(), config.indexing.vector_name, now, guarded=config.indexing.model_guard)


def index_warnings(info: CollectionInfo, config: Config) -> Iterator[str]:
    """A sentence about the indexes that are there with another type than they are wanted."""
    other = [
        f"{path} is indexed as {info.indexes[path]}, not as {index.type}"
        for path, index in wanted_indexes(config, replicated=info.replicas > 1).items()
        if info.indexes.get(path, index.type) != index.type
    ]
    if other:
        yield f"Payload indexes that exist are left as they are: {'; '.join(other)}."


def missing_indexes(info: CollectionInfo, config: Config) -> Iterator[str]:
    """A sentence about the indexes that a sync will create."""
    wanted = wanted_indexes(config, replicated=info.replicas > 1)
    missing = [f"{path} ({index.type})" for path, index in wanted.items() if path not in info.indexes]
    if missing:
        yield f"The first sync creates indexes over {', '.join(missing)}, which takes write access to the whole collection."


def prepare(
    store: Store, config: Config, embedder: Embedder, catalog: Catalog, *, run_id: str, loaded_at: int
) -> Prepared:
    """Create the collection when it is missing, and the indexes that are missing, before any filter runs.

    `loaded_at`: when the run began, Unix time in milliseconds.

    Raises:
        ConfigError: the collection does not fit, or Qdrant refuses what the end of the sync will need.
    """
    wanted_indexes(config)  # what is no path is refused before anything is asked for
    dimensions = embedder.dimensions or probe_dimensions(embedder)
    info = _existing(store, config, dimensions)
    judgement = check_model(store, config, embedder.model, dimensions)
    replicated = info.replicas > 1
    store.create_indexes(wanted_indexes(config))
    replica_warning = _ready_replicas(store) if replicated else ""
    replicated = replicated and not replica_warning
    for stream in catalog.streams if replicated else ():
        store.keep_only((*of_stream(stream), Below(LOADED_AT, loaded_at)), RECORD_KEY, {})  # may be refused as well
    for stream in filter(replaces, catalog.streams):
        for where in outdated(stream, run_id, loaded_before=loaded_at if replicated else None):
            holds(store, where)  # a limit that refuses the filter is better met now than after all the work
    found = frozenset(stream.descriptor for stream in catalog.streams if holds(store, of_airbyte(stream)))
    if found:
        store.create_indexes(AIRBYTE_INDEXES)
    if judgement.note is not None:
        store.remember(judgement.note)  # before the first vector, or a kill would leave some that nobody knows of
    warnings = (*index_warnings(info, config), replica_warning, judgement.warning)
    return Prepared(found, replicated, tuple(filter(None, warnings)))


def _ready_replicas(store: Store) -> str:
    """Create what is needed only with replicas; why that could not be done, as a sentence."""
    try:
        store.create_indexes(REPLICA_INDEXES)
    except ConfigError as error:
        return (
            f"Without an index over {LOADED_AT} (integer), what an outage leaves on one replica only is not removed"
            f" by later syncs: {error.message}"
        )
    return ""


def _existing(store: Store, config: Config, dimensions: int) -> CollectionInfo:
    """The collection, created if need be and allowed; its shape fits."""
    info = store.describe()
    check_fits(info, config, dimensions, store.place)
    if info is not None:
        return info
    store.create({config.indexing.vector_name: wanted_vector(config, dimensions)})
    info = store.describe()
    if info is None:
        raise ConfigError(
            f"The collection was created in Qdrant at {store.place} and is not there; "
            "check indexing.collection and who else manages that Qdrant."
        )
    check_fits(info, config, dimensions, store.place)
    return info
