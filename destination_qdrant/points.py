"""Chunks become points: ids, vectors and payloads (pure).

A field without a value is left out of the payload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalog import DestinationStream
from .chunking import Chunk
from .documents import BOOKKEEPING_BYTES, Document, json_bytes
from .fields import nulled
from .identity import PointIds, keyed_ids, run_ids
from .payload import (
    CHUNK_COUNT,
    CHUNK_INDEX,
    CONTENT_HASH,
    CURSOR,
    EXTRACTED_AT,
    GENERATION_ID,
    LOADED_AT,
    META,
    NAMESPACE,
    RECORD_ID,
    RECORD_KEY,
    RUN_ID,
    STREAM,
    SYNC_ID,
)
from .qdrant.base import Equals, Missing, PayloadIndex, Point, Where
from .vectors import FLOAT32_BYTES, UNNAMED, Dense, Vectors

#: The indexes without which the filters below would read every point, or be refused (strict mode).
INDEXES: Mapping[str, PayloadIndex] = {
    STREAM: PayloadIndex("keyword", tenant=True),  # who searches one stream of several finds its points together
    NAMESPACE: PayloadIndex("keyword", filters_searches=False),
    RECORD_KEY: PayloadIndex("keyword", filters_searches=False),
    RUN_ID: PayloadIndex("keyword", filters_searches=False),
    GENERATION_ID: PayloadIndex("integer", filters_searches=False),
}
#: Needed only where points are on several nodes (`generations.outdated`).
REPLICA_INDEXES: Mapping[str, PayloadIndex] = {LOADED_AT: PayloadIndex("integer", filters_searches=False)}
#: Needed only where points of Airbyte's connector are to be taken over.
AIRBYTE_INDEXES: Mapping[str, PayloadIndex] = {RECORD_ID: PayloadIndex("keyword", filters_searches=False)}


def of_stream(stream: DestinationStream) -> tuple[Equals, Equals]:
    """What every point of the stream fulfils, and no other."""
    return Equals(STREAM, stream.identifier), Equals(NAMESPACE, stream.descriptor.namespace or "")


def of_airbyte(stream: DestinationStream) -> Where:
    """The points that Airbyte's connector wrote for a stream of this identifier."""
    return Where((Equals(STREAM, stream.identifier), Missing(NAMESPACE), Missing(RUN_ID)))


@dataclass(frozen=True, slots=True)
class PointFormat:
    """What is the same for every point of a run; `loaded_at` is when it began, Unix time in milliseconds."""

    run_id: str
    loaded_at: int
    text_field: str
    omit_text: bool
    max_payload_bytes: int
    model: str
    vector_name: str = UNNAMED


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk and its vectors."""

    chunk: Chunk
    vectors: Vectors


def ids_of(document: Document, line_number: int, run_id: str) -> PointIds:
    """The ids of a document's points: of its key where one key has one version, else of this run and line."""
    if document.stream.is_dedup and document.key:
        return keyed_ids(document.stream.descriptor, document.key)
    return run_ids(run_id, line_number)


def to_points(
    document: Document, chunks: Sequence[EmbeddedChunk], *, count: int, ids: PointIds, form: PointFormat
) -> Iterator[Point]:
    """The points of some of a document's `count` chunks."""
    shared = _shared_payload(document, form) | {CHUNK_COUNT: count}
    for embedded in chunks:
        chunk = embedded.chunk
        payload = {
            **document.metadata,
            **shared,
            CHUNK_INDEX: chunk.index,
            CONTENT_HASH: content_hash(form.model, chunk.text, document.given),
        }
        changes = list(document.changes)
        if chunk.text and not form.omit_text:
            if _fits(document, chunk.text, form):
                payload[form.text_field] = chunk.text
            else:
                changes.append(nulled(form.text_field, "DESTINATION_RECORD_SIZE_LIMITATION"))
        if changes:
            payload[META] = {"changes": changes}
        yield Point(ids[chunk.index], embedded.vectors, payload)


def point_bytes(document: Document, text: str, dimensions: int) -> int:
    """About how much memory and wire a point takes."""
    return document.metadata_bytes + len(text) + dimensions * FLOAT32_BYTES + BOOKKEEPING_BYTES


def content_hash(model: str, text: str, given: Vectors) -> str:
    """A digest of all that a chunk's vector depends on: model and text, or the vector that came with the record."""
    digest = hashlib.blake2b(model.encode(), digest_size=16)
    digest.update(b"\0" + text.encode())
    for vector in given.values():
        if isinstance(vector, Dense):
            digest.update(b"\0" + vector.packed)
    return digest.hexdigest()


def _fits(document: Document, text: str, form: PointFormat) -> bool:
    # Nearly all are known to fit without encoding: a character takes at most 6 bytes as JSON (\u0000).
    size = document.metadata_bytes + BOOKKEEPING_BYTES
    return size + 6 * len(text) <= form.max_payload_bytes or size + json_bytes(text) <= form.max_payload_bytes


def _shared_payload(document: Document, form: PointFormat) -> dict[str, Any]:
    stream = document.stream
    fields = {
        STREAM: stream.identifier,
        NAMESPACE: stream.descriptor.namespace or "",
        RECORD_ID: document.airbyte_id,
        RECORD_KEY: document.key.text if document.key else None,
        GENERATION_ID: stream.generation_id,
        SYNC_ID: stream.sync_id,
        RUN_ID: form.run_id,
        LOADED_AT: form.loaded_at,
        EXTRACTED_AT: document.extracted_at,
        CURSOR: document.cursor,
    }
    return {name: value for name, value in fields.items() if value is not None}
