"""What a sync is made of, out of configuration and catalog; `write` and `plan` share it."""

from __future__ import annotations

from typing import Any

from .batching import BatchBounds
from .catalog import Catalog, read_catalog
from .config import Config, FromField, QdrantInference, Requests, parse_config
from .documents import DocumentReader, missing_text_fields
from .embedding.base import Embedder
from .pipeline import Bounds, Parts
from .points import PointFormat
from .protocol import MessageWriter
from .site import Site
from .splitting import splitting
from .vector_cache import VectorCache

#: Texts in an embedding request, where the user leaves it to the provider's bounds.
_USUAL_TEXTS = 256


def read_inputs(raw_config: Any, raw_catalog: Any, *, deployment_mode: str) -> tuple[Config, Catalog]:
    """The configuration and the catalog.

    Raises:
        ConfigError: something in them is wrong, or they do not fit each other.
    """
    config = parse_config(raw_config, deployment_mode=deployment_mode)
    catalog = read_catalog(raw_catalog, config)
    errors = () if isinstance(config.embedding, FromField) else map(missing_text_fields, catalog.streams)
    for error in filter(None, errors):
        raise error
    return config, catalog


def point_format(config: Config, embedder: Embedder, *, run_id: str, loaded_at: int) -> PointFormat:
    """What is the same for every point of a run; `loaded_at` is when it began, Unix time in milliseconds."""
    return PointFormat(
        run_id=run_id,
        loaded_at=loaded_at,
        text_field=config.indexing.text_field,
        omit_text=config.omit_raw_text,
        max_payload_bytes=config.processing.max_payload_bytes,
        fingerprint=embedder.fingerprint,
        vector_name=config.indexing.vector_name,
    )


def assemble(config: Config, catalog: Catalog, site: Site, out: MessageWriter) -> Parts:
    """All that a sync needs."""
    return Parts(
        catalog,
        site,
        out,
        readers={stream.descriptor: DocumentReader(stream, config) for stream in catalog.streams},
        split=splitting(catalog.streams, config, site.embedder.limit),
        bounds=Bounds(_workers(config), batch=BatchBounds(points=config.indexing.batch_size)),
        vector_fields=_vector_fields(config, catalog),
    )


def _vector_fields(config: Config, catalog: Catalog) -> frozenset[str]:
    """The field that brings vectors, unless it is part of a key or a cursor, whose every digit counts."""
    if not isinstance(config.embedding, FromField):
        return frozenset()
    paths = (path for stream in catalog.streams for path in (*stream.primary_key, stream.cursor))
    return frozenset({config.embedding.field_name}) - {path[0] for path in paths if path}


def _workers(config: Config) -> int:
    """As many batches as are written at once, and as many more as hold the text of all embedding requests in flight."""
    requests: Requests | None = getattr(config.embedding, "requests", None)
    if requests is None:
        return config.indexing.requests_in_flight
    texts = requests.in_flight * (requests.batch_size or _USUAL_TEXTS)
    return config.indexing.requests_in_flight + min(requests.in_flight, -(-texts // config.indexing.batch_size))


def vector_cache(config: Config) -> VectorCache:
    """What keeps the vectors of a run; of a server that embeds there are none to keep."""
    return VectorCache(is_shared=not isinstance(config.embedding, QdrantInference))
