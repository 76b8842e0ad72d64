"""What a sync says before it begins: once, what it is about to do and with what (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .catalog import DestinationStream
from .collection import Prepared
from .config import Config, FromField
from .embedding.base import Embedder
from .generations import is_certain
from .release import VERSION
from .wording import counted, shown

_STREAMS_SHOWN = 20
_MODES = {"append": "append", "overwrite": "overwrite", "append_dedup": "append + deduped"}


def opening(
    streams: Sequence[DestinationStream], config: Config, prepared: Prepared, embedder: Embedder
) -> Iterator[str]:
    """Sentences for the log."""
    yield f"destination-qdrant {VERSION}, {_streams(streams)}."
    yield f"Collection {config.indexing.collection}: {_collection(config, prepared)}."
    yield f"{_embedding(config, prepared, embedder)}."


def _streams(streams: Sequence[DestinationStream]) -> str:
    named = [f"'{shown(str(stream.descriptor))}' ({_mode(stream)})" for stream in streams[:_STREAMS_SHOWN]]
    if len(streams) > len(named):
        named.append(f"and {len(streams) - len(named):,} more")
    return ": ".join(filter(None, (counted(len(streams), "stream"), ", ".join(named))))


def _mode(stream: DestinationStream) -> str:
    """How the stream is written; a refresh arrives as an append mode whose minimum generation says so."""
    refresh = ", a refresh" if is_certain(stream) and stream.sync_mode != "overwrite" else ""
    return _MODES[stream.sync_mode] + refresh


def _collection(config: Config, prepared: Prepared) -> str:
    indexing = config.indexing
    parts = ["new" if prepared.is_new else "exists", prepared.vector]
    if prepared.replicated:
        parts.append("with replicas")
    at_once = "" if indexing.embedded_folder else f", {counted(indexing.requests_in_flight, 'request')} at once"
    return f"{', '.join(parts)}; up to {counted(indexing.batch_size, 'point')} are written together{at_once}"


def _embedding(config: Config, prepared: Prepared, embedder: Embedder) -> str:
    if isinstance(config.embedding, FromField):
        return f"Vectors come with the records, in the field {config.embedding.field_name}"
    requests = embedder.usage.limit
    at_once = f", up to {counted(requests, 'request')} at once" if requests else ""
    again = (
        "text that is stored already is not embedded again" if prepared.reuse.by_key else "all text is embedded anew"
    )
    # A warning may be about just that, and says more.
    return f"Embedding with {embedder.model}{at_once}" + ("" if prepared.warnings else f"; {again}")
