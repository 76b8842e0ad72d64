"""The collection of a sync: does it fit, does it exist, has it the indexes that filters need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .catalog import Catalog
from .config import Config, FromField, QdrantInference
from .embedding.base import Embedder
from .errors import ConfigError, ConnectorError
from .generations import outdated, replaces
from .lookup import holds
from .model_choice import holds_airbytes_vectors, other_than_airbytes
from .model_guard import Judgement, judge, making, noted
from .payload import CONTENT_HASH, LOADED_AT, RECORD_KEY
from .points import AIRBYTE_INDEXES, INDEXES, REPLICA_INDEXES, REUSE_INDEXES, of_airbyte, of_stream
from .protocol import Descriptor
from .qdrant.base import Below, CollectionInfo, PayloadIndex, Store, VectorSchema, Where
from .qdrant.validation import check_schema, describe_vector, is_path, plain_path
from .site import Reuse
from .vectors import Dense

#: What `check` embeds to see that the provider answers.
PROBE = "A short text to see that embedding works."


@dataclass(frozen=True, slots=True)
class Prepared:
    """A collection that a sync may write to.

    `dimensions`: length of its vectors. `vector`: what they are, in words. `is_new`: it was created just now.
    `airbyte_streams`: streams under whose identifier Airbyte's connector has left
    points. `replicated`: each point is on several nodes. `reuse`: what need not be done again. `warnings`: sentences.
    """

    dimensions: int
    vector: str
    is_new: bool
    airbyte_streams: frozenset[Descriptor]
    replicated: bool
    reuse: Reuse
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


def probe_dimensions(embedder: Embedder, store: Store, config: Config, known: int | None = None) -> int:
    """How long the embedder's vectors really are, by having one short text embedded.

    A server that embeds itself tells no length, but refuses one that does not fit its collection; `known` is then it.

    Raises:
        ConfigError: nothing can be embedded, or nobody knows the length.
    """
    vector = embedder.embed_documents([PROBE])[0]
    if isinstance(vector, Dense):
        return vector.dimensions
    store.require_inference(vector, config.indexing.vector_name)
    if known is None:
        raise ConfigError("The vector size of this model is not known; set embedding.dimensions.")
    return known


def known_dimensions(
    embedder: Embedder, config: Config, info: CollectionInfo | None, note: Mapping[str, Any] | None
) -> int | None:
    """The length of the vectors, as far as it can be told without asking the provider."""
    if embedder.dimensions:
        return embedder.dimensions
    name = config.indexing.vector_name
    known = noted(note, name)
    if info is not None and known is not None and known.model == embedder.model:
        return known.dimensions
    if info is not None and isinstance(config.embedding, QdrantInference):
        schema = info.vectors.get(name)
        return schema.dimensions if schema else None
    return None


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
    return _judge(store.recall(), config, model, dimensions)


def _judge(note: Mapping[str, Any] | None, config: Config, model: str, dimensions: int) -> Judgement:
    now = making(config, model, dimensions)
    return judge(note, config.indexing.vector_name, now, guarded=config.indexing.model_guard)


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
    info, note = store.describe(), store.recall()
    known = known_dimensions(embedder, config, info, note)
    untried = isinstance(config.embedding, QdrantInference) and noted(note, config.indexing.vector_name) is None
    dimensions = probe_dimensions(embedder, store, config, known) if known is None or untried else known
    is_new = info is None
    info = _existing(store, config, info, dimensions)
    judgement = _judge(note, config, embedder.model, dimensions)
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
    reuse, reuse_warning = _ready_reuse(store, config, catalog, info)
    if reuse.unchanged and any(stream.is_dedup for stream in catalog.streams):
        # What a killed run has sent may still be waiting to be carried out, and a read would not know of it.
        store.catch_up()
    if judgement.note is not None:
        store.remember(judgement.note)  # before the first vector, or a kill would leave some that nobody knows of
    airbyte_warning = other_than_airbytes(embedder.model, dimensions)
    if not (airbyte_warning and (found or holds_airbytes_vectors(store, info, note, config))):
        airbyte_warning = ""
    warnings = (*index_warnings(info, config), replica_warning, judgement.warning, reuse_warning, airbyte_warning)
    name = config.indexing.vector_name
    vector = describe_vector(name, info.vectors[name])
    return Prepared(dimensions, vector, is_new, found, replicated, reuse, tuple(filter(None, warnings)))


def _ready_reuse(store: Store, config: Config, catalog: Catalog, info: CollectionInfo) -> tuple[Reuse, str]:
    """What need not be done again, and a sentence about what has to be."""
    if not config.indexing.reuse_vectors:
        return Reuse(), ""
    # A replica that was read may hold what another one lacks: only writing makes them equal.
    unchanged = info.replicas == 1
    others = [stream for stream in catalog.streams if not stream.is_dedup]
    reuse = Reuse(unchanged=unchanged, by_key=True)
    if not others or isinstance(config.embedding, FromField):
        return reuse, ""
    without = f"Without an index over {CONTENT_HASH} (keyword), text of streams that are not deduplicated is embedded again in each sync: "
    found = info.indexes.get(CONTENT_HASH, "keyword")
    if found != "keyword":
        return reuse, f"{without}the field is indexed as {found}; remove that index."
    try:
        store.create_indexes(REUSE_INDEXES)
    except ConnectorError as error:  # also one that takes too long: the sync can do without it
        return reuse, f"{without}{error.message}"
    filled = frozenset(stream.descriptor for stream in others if holds(store, Where(of_stream(stream))))
    return replace(reuse, texts_of=filled), ""


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


def _existing(store: Store, config: Config, info: CollectionInfo | None, dimensions: int) -> CollectionInfo:
    """The collection, created if need be and allowed; its shape fits."""
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
