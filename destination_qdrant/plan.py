"""The plan command: what a sync would do with these messages, without doing it.

The messages go through the whole pipeline of `write`, between a store that writes nothing and a model that is not asked
(`rehearsal`). What is stored is looked up as `write` does it; where that would mean reading without an index, all
counts as new, and the plan says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .assembly import assemble, point_format, read_inputs, vector_cache
from .catalog import Catalog, settings_without_stream
from .collection import check_fits, check_model, known_dimensions
from .config import Config, Fake, FromField, Local
from .documents import fields_without_column
from .embedding import create_embedder
from .embedding.base import Embedder
from .errors import ConfigError
from .lookup import holds
from .model_choice import settle_model
from .model_guard import noted
from .payload import CONTENT_HASH
from .pipeline import Source, rehearse
from .points import INDEXES, of_stream
from .protocol import MessageWriter
from .qdrant import open_store
from .qdrant.base import CollectionInfo, Store, Where
from .qdrant.server.errors import ShardKeyMissingError
from .rehearsal import UnaskedEmbedder, UnwrittenStore, stand_in
from .report import Numbers, StreamReport, all_warnings, fates, table
from .site import Reuse, Site
from .tally import Tally

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """What is said, line by line; `would_fail`: a sync would end before it has written anything."""

    lines: tuple[str, ...]
    would_fail: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What of the stored counts: `notes` are sentences for the user about why something does not."""

    reuse: Reuse = field(default_factory=Reuse)
    is_empty: bool = False
    notes: tuple[str, ...] = ()
    would_fail: bool = False


def plan(
    raw_config: Any,
    raw_catalog: Any,
    source: Source,
    log: MessageWriter,
    *,
    run_id: str,
    price: float | None = None,
    deployment_mode: str = "",
) -> Told:
    """Go through the lines of `source`; returns a table for people, and notes below it.

    Args:
        raw_config: as for `write`.
        raw_catalog: as for `write`.
        source: as for `write`.
        log: is told what `write` would log on its way.
        run_id: unlike any other run's.
        price: of a million tokens, in whatever currency.
        deployment_mode: as for `write`.

    Raises:
        ConnectorError: `write` could not read these messages either.
    """
    config, catalog = read_inputs(raw_config, raw_catalog, deployment_mode=deployment_mode)
    with _opened(config, log) as store:
        config, settled = settle_model(store, config)
        with closing(create_embedder(config.embedding, tell=log.log)) as embedder:
            site, known = _site(store, config, catalog, embedder, run_id)
            reports = rehearse(source, assemble(config, catalog, site, log))
            notes = store.notes
    notes = (
        settings_without_stream(catalog, config),
        fields_without_column(catalog.streams),
        settled,
        *notes,
        *known.notes,
        *all_warnings(reports),
        *_about_chunks(reports),
        *_about_price(config, price),
    )
    table = _table(reports, None if _is_free(config) else price)
    shown = tuple(filter(None, notes))
    return Told((*table, *([""] if shown else []), *shown), known.would_fail)


@contextmanager
def _opened(config: Config, log: MessageWriter) -> Iterator[Store]:
    """The collection; a folder without one is only looked at, as opening it would make it."""
    is_folder = config.indexing.embedded_folder is not None
    with closing(open_store(config.indexing, read_only=is_folder, log=log.log)) as look:
        if not is_folder or look.describe() is None:
            yield look
            return
    with closing(open_store(config.indexing, read_only=False, log=log.log)) as store:
        yield store


def _site(store: Store, config: Config, catalog: Catalog, embedder: Embedder, run_id: str) -> tuple[Site, _Known]:
    """What `write` would prepare, as far as that is there."""
    info = store.describe()
    dimensions = known_dimensions(embedder, config, info, store.recall())
    known = _known(store, config, catalog, embedder.model, info, dimensions)
    # Of a length that only the provider knows, nothing is compared.
    vector = stand_in(dimensions or _stored_dimensions(info, config) or 1)
    form = point_format(config, embedder, run_id=run_id, loaded_at=int(time.time() * 1000))
    site = Site(
        UnwrittenStore(store, vector, is_empty=known.is_empty),
        UnaskedEmbedder(embedder, vector),
        form,
        vector.dimensions,
        reuse=known.reuse,
        cache=vector_cache(config),
        points_per_write=config.indexing.batch_size,
    )
    return site, known


def _known(
    store: Store, config: Config, catalog: Catalog, model: str, info: CollectionInfo | None, dimensions: int | None
) -> _Known:
    try:
        warning = _judged(store, config, model, info, dimensions)
        is_missing = info is not None and _is_shard_missing(store, config)
    except ConfigError as error:
        note = f"A sync would fail, so all counts as new: {error.message}"
        return _Known(is_empty=True, notes=(note,), would_fail=True)
    if info is None:
        return _Known(is_empty=True, notes=("The collection does not exist yet, so all is new.",))
    if is_missing:
        note = "The shard key in indexing.shard_key does not exist yet, so all is new."
        return _Known(is_empty=True, notes=(warning, note))
    if INDEXES.keys() - info.indexes.keys():
        missing = ", ".join(sorted(INDEXES.keys() - info.indexes.keys()))
        note = f"What is stored could not be told, so all counts as new: a sync creates indexes over {missing} first."
        return _Known(is_empty=True, notes=(warning, note))
    reuse, note = _reuse(store, config, catalog, info)
    return _Known(reuse, notes=(warning, note))


def _judged(store: Store, config: Config, model: str, info: CollectionInfo | None, dimensions: int | None) -> str:
    """Compare the collection with the configuration; returns a warning, or nothing.

    Raises:
        ConfigError: a sync would fail.
    """
    if dimensions is not None:
        check_fits(info, config, dimensions, store.place)
        return "" if info is None else check_model(store, config, model, dimensions).warning
    if info is None:
        if config.indexing.collection_management == "must_exist":
            raise ConfigError(
                f"The collection does not exist in Qdrant at {store.place}, and indexing.collection_management is must_exist: "
                "create it, correct indexing.collection, or choose create_if_missing."
            )
        return ""
    # What does not depend on the length is compared all the same.
    check_fits(info, config, _stored_dimensions(info, config) or 0, store.place)
    warning = check_model(store, config, model, 0).warning if noted(store.recall(), config.indexing.vector_name) else ""
    unknown = f"How long the vectors of {model} are only the provider knows, so that this was not compared with the collection."
    return f"{warning} {unknown}".strip()


def _stored_dimensions(info: CollectionInfo | None, config: Config) -> int | None:
    schema = info.vectors.get(config.indexing.vector_name) if info else None
    return schema.dimensions if schema else None


def _is_shard_missing(store: Store, config: Config) -> bool:
    """Whether the points will be in a shard that a sync creates first.

    Raises:
        ConfigError: it must not be created.
    """
    if config.indexing.shard_key is None:
        return False
    try:
        holds(store, Where(()))
    except ShardKeyMissingError:
        if config.indexing.collection_management == "must_exist":
            raise
        return True
    return False


def _reuse(store: Store, config: Config, catalog: Catalog, info: CollectionInfo) -> tuple[Reuse, str]:
    """What `write` need not do again, and a sentence about what could not be told (see `collection.prepare`)."""
    if not config.indexing.reuse_vectors:
        return Reuse(), ""
    known = Reuse(unchanged=info.replicas == 1, by_key=True)
    others = [stream for stream in catalog.streams if not stream.is_dedup]
    if isinstance(config.embedding, FromField) or not others:
        return known, ""
    filled = frozenset(stream.descriptor for stream in others if holds(store, Where(of_stream(stream))))
    if filled and CONTENT_HASH not in info.indexes:
        named = ", ".join(sorted(map(str, filled)))
        return known, (
            f"What could be reused of {named} could not be told, so it counts as embedded: a sync creates an index over "
            f"{CONTENT_HASH} first."
        )
    return Reuse(unchanged=known.unchanged, by_key=True, texts_of=filled), ""


# ----------------------------------------------------------------------------------------------------------
# The table


def _is_free(config: Config) -> bool:
    return isinstance(config.embedding, Fake | FromField | Local)


def _about_price(config: Config, price: float | None) -> Iterator[str]:
    if price is not None and _is_free(config):
        yield f"Embedding in mode {config.embedding.mode} costs nothing."


def _about_chunks(reports: Sequence[StreamReport]) -> Iterator[str]:
    total = sum((report.numbers.tally for report in reports), Tally())
    others = total.points - total.embedded - total.reused
    if others:
        yield f"Chunks that have no text, or whose vector came with their record: {others:,}."


def _table(reports: Sequence[StreamReport], price: float | None) -> Iterator[str]:
    streams = [(str(report.verdict.stream.descriptor), report.numbers) for report in reports]
    in_total = sum((numbers for _, numbers in streams), Numbers())
    return table([(name, _cells(numbers, price)) for name, numbers in (*streams, ("in total", in_total))])


def _cells(numbers: Numbers, price: float | None) -> Mapping[str, str]:
    """Records are written, unchanged, older, skipped or deleted; chunks are those of records to write (a point each)."""
    tally, fate = numbers.tally, fates(numbers)
    cells = {
        "records": sum(numbers.outcomes.values()),
        "written": fate.written,
        "unchanged": fate.unchanged,
        "older": fate.older,
        "skipped": fate.skipped,
        "deleted": fate.deleted,
        "chunks": tally.points,
        "reused": tally.reused,
        "embedded": tally.embedded,
        "tokens to embed": tally.tokens,
    }
    cost = {} if price is None else {"cost": f"{tally.tokens / _MILLION * price:,.4f}"}
    return {name: f"{number:,}" for name, number in cells.items()} | cost
