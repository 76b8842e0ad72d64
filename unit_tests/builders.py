"""Streams, records and operations for tests: whatever a test does not name is ordinary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from destination_qdrant.batching import Batch, BatchBounds, BatchBuffer, Entry
from destination_qdrant.catalog import Catalog, DestinationStream, read_catalog
from destination_qdrant.chunking import Chunk
from destination_qdrant.config import Config, parse_config
from destination_qdrant.documents import Document, DocumentReader, Skip, Upsert
from destination_qdrant.embedding.fake import Fake
from destination_qdrant.points import PointFormat
from destination_qdrant.protocol import Descriptor, Record
from destination_qdrant.vectors import Dense

RUN = "run-now"
FORM = PointFormat(
    run_id=RUN,
    loaded_at=1_700_000_000_000,
    text_field="text",
    omit_text=False,
    max_payload_bytes=2**20,
    fingerprint="fake",
)


class RecordingEmbedder(Fake):
    """The fake embedder, which remembers the texts of each request."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        self.requests.append(list(texts))
        return super().embed_documents(texts, tokens)

    def count_tokens(self, text: str) -> int:
        return len(text)

    @property
    def texts(self) -> list[str]:
        """Every text that was embedded, in order."""
        return [text for request in self.requests for text in request]


@cache
def config() -> Config:
    """A configuration that embeds the field `text` and keeps every field."""
    return config_with()


def config_with(**indexing: Any) -> Config:
    """The same with other options under `indexing`."""
    return parse_config(
        {
            "embedding": {"mode": "fake"},
            "processing": {"chunk_size": 1000, "text_fields": ["text"]},
            "indexing": {
                "url": "http://localhost:6333",
                "collection": "things",
                "auth_method": {"mode": "no_auth"},
                **indexing,
            },
        },
        deployment_mode="",
    )


def stream(name: str = "users", namespace: str | None = None, **entry: Any) -> DestinationStream:
    """A configured stream, `append_dedup` by the column `id` unless said otherwise."""
    return catalog({"stream": {"name": name, "namespace": namespace}, **entry}).streams[0]


def catalog(*entries: dict[str, Any]) -> Catalog:
    """A catalog of such streams."""
    ordinary = {"destination_sync_mode": "append_dedup", "primary_key": [["id"]]}
    return read_catalog({"streams": [ordinary | entry for entry in entries]}, config())


def words(document: Document) -> tuple[Chunk, ...]:
    """Split so that a test sees what it gets: each word of the text is a chunk."""
    return tuple(Chunk(index, word) for index, word in enumerate(document.text.removeprefix("text: ").split()))


def entry(position: int, of: DestinationStream, /, *, size_bytes: int = 1, **data: Any) -> Entry:
    """The entry of a record with this data, each word of whose `text` is a chunk."""
    record = Record(of.descriptor, data, emitted_at=1_700_000_000_000, changes=(), line=b" " * size_bytes)
    operation = DocumentReader(of, config()).read(record, position)

    assert not isinstance(operation, Skip)
    chunks = words(operation.document) if isinstance(operation, Upsert) else ()
    return Entry.of(position, operation, chunks, size_bytes)


def batch(*entries: Entry) -> Batch:
    """These entries as one batch, the superseded ones among them set aside."""
    buffer = BatchBuffer(BatchBounds(points=10**9, size_bytes=10**9))
    for each in entries:
        assert buffer.add(each, 0.0) is None
    closed = buffer.close()
    assert closed is not None
    return closed


# ----------------------------------------------------------------------------------------------------------
# Lines of input


def record_line(of: Descriptor | str, **data: Any) -> bytes:
    """A RECORD."""
    return _line({"type": "RECORD", "record": {**_named(of, "stream"), "data": data, "emitted_at": 1_700_000_000_000}})


def state_line(of: Descriptor | str, number: int = 0) -> bytes:
    """A STREAM state whose `id` is the number."""
    body = {"stream_descriptor": _named(of, "name"), "stream_state": {"at": number}}
    return _line({"type": "STATE", "state": {"type": "STREAM", "stream": body, "id": number}})


def status_line(of: Descriptor | str, status: str = "COMPLETE") -> bytes:
    """A stream status."""
    body = {"stream_descriptor": _named(of, "name"), "status": status}
    return _line({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 0, "stream_status": body}})


def _named(of: Descriptor | str, member: str) -> dict[str, Any]:
    descriptor = of if isinstance(of, Descriptor) else Descriptor(None, of)
    return {member: descriptor.name, "namespace": descriptor.namespace}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
