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

from .assembly import assemble, point_format, read_inputs
from .catalog import Catalog, settings_without_stream
from .checkpoints import Outcome
from .collection import check_fits, check_model, known_dimensions, settle_model
from .config import Config, Fake, FromField, Local
from .embedding import create_embedder
from .embedding.base import Embedder
from .errors import ConfigError
from .lookup import holds
from .payload import CONTENT_HASH
from .pipeline import Source, rehearse
from .points import INDEXES, of_stream
from .protocol import MessageWriter
from .qdrant import open_store
from .qdrant.base import CollectionInfo, Store, Where
from .rehearsal import UnaskedEmbedder, UnwrittenStore, stand_in
from .report import Numbers, StreamReport, warnings
from .site import Reuse, Site

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What of the stored counts: `notes` are sentences for the user about why something does not."""

    reuse: Reuse = field(default_factory=Reuse)
    is_empty: bool = False
    notes: tuple[str, ...] = ()


def plan(
    raw_config: Any,
    raw_catalog: Any,
    source: Source,
    log: MessageWriter,
    *,
    run_id: str,
    price: float | None = None,
    deployment_mode: str = "",
) -> str:
    """Go through the lines of `source`; returns a table for people.

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
            site, notes = _site(store, config, catalog, embedder, run_id)
            reports = rehearse(source, assemble(config, catalog, site, log))
    notes = (
        settings_without_stream(catalog, config),
        settled,
        *notes,
        *_warnings(reports),
        *_about_price(config, price),
    )
    return _told(reports, None if _is_free(config) else price, tuple(filter(None, notes)))


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


def _site(
    store: Store, config: Config, catalog: Catalog, embedder: Embedder, run_id: str
) -> tuple[Site, tuple[str, ...]]:
    """What `write` would prepare, as far as that is there."""
    info = store.describe()
    schema = info.vectors.get(config.indexing.vector_name) if info else None
    dimensions = known_dimensions(embedder, config, info, store.recall()) or (schema.dimensions if schema else None)
    known = _known(store, config, catalog, embedder.model, info, dimensions)
    vector = stand_in(dimensions or 1)  # of a length that only the provider knows, nothing is compared
    form = point_format(config, embedder, run_id=run_id, loaded_at=int(time.time() * 1000))
    site = Site(
        UnwrittenStore(store, vector, is_empty=known.is_empty),
        UnaskedEmbedder(embedder, vector),
        form,
        vector.dimensions,
        reuse=known.reuse,
        points_per_write=config.indexing.batch_size,
    )
    return site, (*store.notes, *known.notes)


def _known(
    store: Store, config: Config, catalog: Catalog, model: str, info: CollectionInfo | None, dimensions: int | None
) -> _Known:
    warning = ""
    try:
        if dimensions is not None:
            check_fits(info, config, dimensions, store.place)
            warning = "" if info is None else check_model(store, config, model, dimensions).warning
    except ConfigError as error:
        return _Known(is_empty=True, notes=(f"A sync would fail, so all counts as new: {error.message}",))
    if info is None:
        return _Known(is_empty=True, notes=("The collection does not exist yet, so all is new.",))
    if INDEXES.keys() - info.indexes.keys():
        missing = ", ".join(sorted(INDEXES.keys() - info.indexes.keys()))
        note = f"What is stored could not be told, so all counts as new: a sync creates indexes over {missing} first."
        return _Known(is_empty=True, notes=(warning, note))
    reuse, note = _reuse(store, config, catalog, info)
    return _Known(reuse, notes=(warning, note))


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


def _warnings(reports: Sequence[StreamReport]) -> Iterator[str]:
    for report in reports:
        for warning in warnings(report):
            yield f"Stream '{report.verdict.stream.descriptor}': {warning}"


def _is_free(config: Config) -> bool:
    return isinstance(config.embedding, Fake | FromField | Local)


def _about_price(config: Config, price: float | None) -> Iterator[str]:
    if price is not None and _is_free(config):
        yield f"Embedding in mode {config.embedding.mode} costs nothing."


def _told(reports: Sequence[StreamReport], price: float | None, notes: Sequence[str]) -> str:
    streams = [(str(report.verdict.stream.descriptor), report.numbers) for report in reports]
    in_total = sum((numbers for _, numbers in streams), Numbers())
    rows = [{"stream": name, **_cells(numbers, price)} for name, numbers in (*streams, ("in total", in_total))]
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in rows[0]}
    lines = [_line(row, widths) for row in ({column: column for column in widths}, *rows)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _line(row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    """The name to the left, numbers to the right."""
    name, *numbers = row
    return "  ".join([row[name].ljust(widths[name]), *(row[column].rjust(widths[column]) for column in numbers)])


def _cells(numbers: Numbers, price: float | None) -> Mapping[str, str]:
    tally, outcomes = numbers.tally, numbers.outcomes
    cells = {
        "records": sum(outcomes.values()),
        "unchanged": tally.unchanged,
        "skipped": outcomes.get(Outcome.SKIPPED, 0),
        "deleted": outcomes.get(Outcome.DELETED, 0),
        "chunks": tally.chunks,
        "reused": tally.reused,
        "embedded": tally.embedded,
        "tokens": tally.tokens,
    }
    cost = {} if price is None else {"cost": f"{tally.tokens / _MILLION * price:,.4f}"}
    return {name: f"{number:,}" for name, number in cells.items()} | cost
