"""Chunks become points: ids, vectors and payloads (pure).

A field without a value is left out of the payload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from .catalog import DestinationStream
from .chunking import Chunk
from .documents import BOOKKEEPING_BYTES, Document, json_bytes
from .fields import nulled, truncated
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
    RECORD_HASH,
    RECORD_ID,
    RECORD_KEY,
    RUN_ID,
    STREAM,
    SYNC_ID,
)
from .qdrant.base import Equals, Missing, PayloadIndex, Point, PointId, Where
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
#: Needed only to find vectors by their text, which deduplicated streams find by their keys. On disk, because it is as
#: large as there are texts, and asked once a batch.
REUSE_INDEXES: Mapping[str, PayloadIndex] = {
    CONTENT_HASH: PayloadIndex("keyword", on_disk=True, filters_searches=False)
}
#: Needed only where points of Airbyte's connector are to be taken over.
AIRBYTE_INDEXES: Mapping[str, PayloadIndex] = {RECORD_ID: PayloadIndex("keyword", filters_searches=False)}


def of_stream(stream: DestinationStream) -> tuple[Equals, Equals]:
    """What every point of the stream fulfils, and no other."""
    return Equals(STREAM, stream.identifier), Equals(NAMESPACE, stream.descriptor.namespace or "")


def of_airbyte(stream: DestinationStream) -> Where:
    """The points that Airbyte's connector wrote for a stream of this identifier."""
    return Where((Equals(STREAM, stream.identifier), Missing(NAMESPACE), Missing(RUN_ID)))


#: Part of every record hash: another number, and every record counts as changed.
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class PointFormat:
    """What is the same for every point of a run.

    `loaded_at` is when it began, Unix time in milliseconds; `fingerprint` is the embedder's.
    """

    run_id: str
    loaded_at: int
    text_field: str
    omit_text: bool
    max_payload_bytes: int
    fingerprint: str
    vector_name: str = UNNAMED


class Placed(NamedTuple):
    """A chunk and where it goes.

    `position` is the line of its record, `chunk_count` the number of its chunks. `content_hash` is None for a chunk without a
    vector, `record_hash` where one key may have many versions.
    """

    position: int
    document: Document
    chunk: Chunk
    chunk_count: int
    ids: PointIds
    content_hash: str | None
    record_hash: str | None

    @property
    def id(self) -> PointId:
        """The id of its point."""
        return self.ids[self.chunk.index]


def place(document: Document, chunks: Sequence[Chunk], position: int, form: PointFormat) -> list[Placed]:
    """The chunks of a document with their places."""
    ids = ids_of(document, position, form.run_id)
    hashes = [content_hash(form.fingerprint, chunk.text, document.given) for chunk in chunks]
    whole = None
    if document.stream.is_dedup and document.key:
        whole = record_hash(document, hashes, form, is_cut=any(chunk.truncated for chunk in chunks))
    return [
        Placed(position, document, chunk, len(chunks), ids, digest, whole)
        for chunk, digest in zip(chunks, hashes, strict=True)
    ]


def ids_of(document: Document, line_number: int, run_id: str) -> PointIds:
    """The ids of a document's points: of its key where one key has one version, else of this run and line."""
    if document.stream.is_dedup and document.key:
        return keyed_ids(document.stream.descriptor, document.key)
    return run_ids(run_id, line_number)


def to_point(placed: Placed, vectors: Vectors, form: PointFormat) -> Point:
    """The point of a chunk."""
    document, chunk = placed.document, placed.chunk
    payload = _payload(placed, form)
    changes = list(document.changes)
    if chunk.text and not form.omit_text:
        if _fits(document, chunk.text, form):
            payload[form.text_field] = chunk.text
        else:
            changes.append(nulled(form.text_field, "DESTINATION_RECORD_SIZE_LIMITATION"))
    if chunk.truncated:
        changes.append(truncated(form.text_field, "DESTINATION_FIELD_SIZE_LIMITATION"))
    if changes:
        payload[META] = {"changes": changes}
    return Point(placed.id, vectors, payload)


def point_bytes(document: Document, text: str, dimensions: int) -> int:
    """About how much memory and wire a point takes."""
    return document.metadata_bytes + len(text) + dimensions * FLOAT32_BYTES + BOOKKEEPING_BYTES


def content_hash(fingerprint: str, text: str, given: Vectors) -> str | None:
    """A digest of all that a chunk's vector depends on: model and text, or the vector that came with the record.

    None for a chunk without a vector.
    """
    if not text and not given:
        return None
    digest = _begun(fingerprint).copy()
    digest.update(text.encode())
    for vector in given.values():
        if isinstance(vector, Dense):
            digest.update(b"\0" + vector.packed)
    return digest.hexdigest()


@lru_cache(maxsize=8)  # an embedder has one
def _begun(fingerprint: str) -> hashlib.blake2b:
    return hashlib.blake2b(fingerprint.encode() + b"\0", digest_size=16)


def record_hash(
    document: Document, content_hashes: Sequence[str | None], form: PointFormat, *, is_cut: bool = False
) -> str:
    """A digest of all that is stored of a record, but for what tells when and by which run it was.

    `is_cut`: the end of its text is missing, which is noted.
    """
    parts = [
        _FORMAT,
        content_hashes,
        document.metadata,
        document.changes,
        document.cursor,
        document.airbyte_id,
        [form.vector_name, form.text_field, form.omit_text, form.max_payload_bytes],
        *(["cut"] if is_cut else []),
    ]
    # Sorted, because columns may come in another order tomorrow.
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _fits(document: Document, text: str, form: PointFormat) -> bool:
    # Nearly all are known to fit without encoding: a character takes at most 6 bytes as JSON (\u0000).
    size = document.metadata_bytes + BOOKKEEPING_BYTES
    return size + 6 * len(text) <= form.max_payload_bytes or size + json_bytes(text) <= form.max_payload_bytes


def _payload(placed: Placed, form: PointFormat) -> dict[str, Any]:
    document, stream = placed.document, placed.document.stream
    payload: dict[str, Any] = {
        **document.metadata,
        **_of_run(
            stream.identifier,
            stream.descriptor.namespace,
            stream.generation_id,
            stream.sync_id,
            form.run_id,
            form.loaded_at,
        ),
        CHUNK_COUNT: placed.chunk_count,
        CHUNK_INDEX: placed.chunk.index,
    }
    if document.key:
        payload[RECORD_KEY] = document.key.text
    if document.extracted_at is not None:
        payload[EXTRACTED_AT] = document.extracted_at
    if document.cursor is not None:
        payload[CURSOR] = document.cursor
    if document.airbyte_id is not None:
        payload[RECORD_ID] = document.airbyte_id
    if placed.content_hash is not None:
        payload[CONTENT_HASH] = placed.content_hash
    if placed.record_hash is not None:
        payload[RECORD_HASH] = placed.record_hash
    return payload


@lru_cache(maxsize=1024)  # as many as a sync has streams, or nearly
def _of_run(
    identifier: str,
    namespace: str | None,
    generation_id: int | None,
    sync_id: int | None,
    run_id: str,
    loaded_at: int,
) -> Mapping[str, Any]:
    """What all points of a stream have in common."""
    fields = {
        STREAM: identifier,
        NAMESPACE: namespace or "",
        GENERATION_ID: generation_id,
        SYNC_ID: sync_id,
        RUN_ID: run_id,
        LOADED_AT: loaded_at,
    }
    return {name: value for name, value in fields.items() if value is not None}
