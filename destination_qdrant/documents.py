"""Records become operations: a document to write, a key to delete, or nothing to do (pure)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import orjson

from .catalog import DestinationStream
from .config import Config, FromField, TemplateFormat
from .config.template import CHUNK
from .cursors import cursor_text
from .errors import ConfigError
from .fields import Change, FieldPath, note, nulled, select, storable_fields, whole
from .frames import Frame
from .given import BadVector, read_vector
from .identity import RecordKey, airbyte_record_id, is_plain_identifier, is_plain_record_id, record_key, value_at
from .payload import RESERVED
from .protocol import Record, exact_data, whole_data
from .text_format import TextReader, renamed, sources
from .vectors import Vectors

#: A column that CDC sources fill when the row was deleted.
CDC_DELETED_AT = "_ab_cdc_deleted_at"

#: A payload's own bookkeeping, generously counted.
BOOKKEEPING_BYTES = 1024

#: The size of an empty list.
_NO_CHANGES = 2

#: A longer id in the manner of Airbyte's connector is left out, and so is a longer value of a key column that nobody
#: asked for: it would stand in every chunk of its record.
_LONGEST_KEPT = 1024


class Document(NamedTuple):
    """The text and the metadata of one record.

    `text` is empty, and says no `frame` anything, where the record has no text and is stored all the same.
    `key` is None where the catalog has no key. `given` holds vectors that came with the record.
    `airbyte_id` is the record's id in the manner of Airbyte's connector (append_dedup only); `takes_over` says
    that points of that connector under this id can be no other record's.
    `metadata` is ready to be stored, `metadata_bytes` its size as JSON, with the notes about what was left out.
    """

    stream: DestinationStream
    key: RecordKey | None
    cursor: str | None
    text: str
    given: Vectors
    metadata: Mapping[str, Any]
    metadata_bytes: int
    changes: tuple[Mapping[str, Any], ...]
    extracted_at: str | None
    airbyte_id: str | None
    takes_over: bool
    frame: Frame | None = None
    line_number: int = 0


class Upsert(NamedTuple):
    """Write this document."""

    document: Document


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove what is stored of this key: its row was deleted at the source, or has no text any more."""

    stream: DestinationStream
    key: RecordKey
    cursor: str | None
    airbyte_id: str | None
    because: Literal["deleted", "no_text"]


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do for this record."""

    stream: DestinationStream
    because: Literal["no_text", "deleted"]


Operation = Upsert | Delete | Skip


class DocumentReader:
    """Reads the records of one stream: everything that is fixed for a stream is worked out once."""

    def __init__(self, stream: DestinationStream, config: Config) -> None:
        self._stream = stream
        self._mappings = config.processing.field_name_mappings
        self._text = TextReader(stream.text_format, stream.text_fields, self._mappings)
        self._without_text = config.processing.records_without_text
        self._metadata_paths = tuple(map(FieldPath, stream.metadata_fields))
        self._vector_name = config.indexing.vector_name
        self._room = config.processing.max_payload_bytes - BOOKKEEPING_BYTES
        embedding = config.embedding
        self._from_field = embedding if isinstance(embedding, FromField) else None
        columns = (name for path in stream.primary_key for name in (path[0], ".".join(path)))
        self._kept = frozenset(map(self._stored_name, columns))
        self._text_names = tuple(map(self._stored_name, sources(stream.text_format, stream.text_fields)))
        self._exact_paths = tuple(filter(None, (*stream.primary_key, stream.cursor)))
        self._plain = is_plain_identifier(stream.descriptor)
        chunk_text = None if config.omit_raw_text else config.indexing.text_field
        # Where the chunk's text goes, another column of that name cannot be; a text field is in the chunk itself.
        self._taken = RESERVED | ({chunk_text} if chunk_text and self._text_names else set()) - set(self._text_names)

    def read(self, record: Record, line_number: int) -> Operation:
        """The operation a record asks for.

        Raises:
            ConfigError: the record's vector is missing or does not fit, or the record has no text and must have one.
        """
        stream, data = self._stream, record.data
        exact = self._exact(record) if self._exact_paths else data
        key = self._key(record, exact) if stream.primary_key else None
        cursor = self._cursor(exact) if stream.cursor else None
        airbyte_id = self._airbyte_id(data) if stream.is_dedup else None
        takes_over = airbyte_id is not None and self._plain and is_plain_record_id(data, stream)
        deleted = data.get(CDC_DELETED_AT) is not None
        if deleted and stream.is_dedup and key:
            return Delete(stream, key, cursor, airbyte_id if takes_over else None, "deleted")
        if self._from_field:
            data = dict(data)
            if data.pop(self._from_field.field_name, None) is None and deleted:
                return Skip(stream, "deleted")
        said = self._text.read(data)
        if self._from_field is None and self._without_text != "store" and not said.anything:
            if self._without_text == "fail":
                raise self._no_text(line_number)
            if stream.is_dedup and key:
                return Delete(stream, key, cursor, airbyte_id if takes_over else None, "no_text")
            return Skip(stream, "no_text")
        changes: list[Change] = []
        for change in record.changes:
            note(change, changes)
        own = len(orjson.dumps((key.text if key else None, cursor, airbyte_id)))
        metadata, size = self._metadata(data, changes, own)
        return Upsert(
            Document(
                stream=stream,
                key=key,
                cursor=cursor,
                text=said.text,
                given=self._given(record.data, line_number, self._from_field) if self._from_field else {},
                metadata=metadata,
                metadata_bytes=size,
                changes=tuple(changes),
                extracted_at=_timestamp(record.emitted_at),
                airbyte_id=airbyte_id,
                takes_over=takes_over,
                frame=said.frame,
                line_number=line_number,
            )
        )

    def _key(self, record: Record, exact: Mapping[str, Any]) -> RecordKey:
        key = record_key(exact, self._stream.primary_key)
        # A key of all its data is one of the vector too, which nobody has looked into yet.
        if key.is_content and self._from_field and exact is record.data:
            return record_key(whole_data(record), self._stream.primary_key)
        return key

    def _exact(self, record: Record) -> Mapping[str, Any]:
        """The data from which key and cursor are read: exact where they hold numbers that a float may not keep."""
        for path in self._exact_paths:
            if isinstance(value_at(record.data, path, None), float):
                return exact_data(record)
        return record.data

    def _airbyte_id(self, data: Mapping[str, Any]) -> str | None:
        airbyte_id = whole(airbyte_record_id(data, self._stream))
        return airbyte_id if len(airbyte_id) <= _LONGEST_KEPT else None

    def _cursor(self, data: Mapping[str, Any]) -> str | None:
        text = cursor_text(value_at(data, self._stream.cursor, None))
        return None if text is None else whole(text)

    def _stored_name(self, name: str) -> str:
        """The name that a selected field has in the payload."""
        return next(iter(renamed({name: None}, self._mappings)))

    def _given(self, data: Mapping[str, Any], line_number: int, mode: FromField) -> Vectors:
        field = mode.field_name
        try:
            return {self._vector_name: read_vector(data.get(field), mode.dimensions)}
        except BadVector as error:
            raise ConfigError(
                f"The vector in field '{field}' of the record on line {line_number} (stream '{self._stream.descriptor}') "
                f"{error}; check embedding.field_name and embedding.dimensions, or the source."
            ) from None

    def _no_text(self, line_number: int) -> ConfigError:
        fields = ", ".join(sources(self._stream.text_format, self._stream.text_fields)) or "any field"
        return ConfigError(
            f"The record on line {line_number} (stream '{self._stream.descriptor}') has no text in {fields}; correct it at "
            "the source, choose other text fields, or set processing.records_without_text to skip or store."
        )

    def _metadata(self, data: Mapping[str, Any], changes: list[Change], own: int) -> tuple[Mapping[str, Any], int]:
        """What is stored beside the text, and its size with the notes and `own`, which nothing can take out."""
        selected = select(data, self._metadata_paths)
        if self._metadata_paths:
            selected |= self._unselected_key(data, selected)
        selected = renamed(selected, self._mappings)
        if self._taken.isdisjoint(selected):
            metadata = storable_fields(selected, changes)
        else:
            metadata = self._without_taken(selected, changes)
        size = own + len(orjson.dumps(metadata))
        if not changes and size + _NO_CHANGES <= self._room:
            return metadata, size + _NO_CHANGES
        return metadata, self._shrink(metadata, size, changes)

    def _without_taken(self, selected: Mapping[str, Any], changes: list[Change]) -> dict[str, Any]:
        """What can be stored; the changes are noted in the order of the fields, which record hashes depend on."""
        metadata: dict[str, Any] = {}
        for name, value in selected.items():
            if name in self._taken:
                note(nulled(name, "DESTINATION_SERIALIZATION_ERROR"), changes)
            else:
                metadata |= storable_fields({name: value}, changes)
        return metadata

    def _unselected_key(self, data: Mapping[str, Any], selected: Mapping[str, Any]) -> dict[str, Any]:
        """The key columns that are not among the selected fields: without them nobody could tell records apart."""
        key = {}
        for path in self._stream.primary_key:
            value = value_at(data, path, None)
            outer = (".".join(path[:length]) for length in range(1, len(path) + 1))
            is_short = isinstance(value, str | int | float) and len(str(value)) <= _LONGEST_KEPT
            if is_short and selected.keys().isdisjoint(outer):
                key[".".join(path)] = value
        return key

    def _shrink(self, metadata: dict[str, Any], size: int, changes: list[Change]) -> int:
        """Take fields out until the rest fits: the text fields first (their text is in the chunks), then the largest.

        Returns what is left, with the notes about what is not.
        """
        for name in self._by_urgency(metadata) if size + json_bytes(changes) > self._room else ():
            if size + json_bytes(changes) <= self._room:
                break
            size -= json_bytes({name: metadata.pop(name)}) - 1
            note(nulled(name, "DESTINATION_RECORD_SIZE_LIMITATION"), changes)
        return size + json_bytes(changes)

    def _by_urgency(self, metadata: Mapping[str, Any]) -> list[str]:
        """The fields that may be left out, the first one first."""
        texts = frozenset(self._text_names)
        free = (name for name in metadata if name not in self._kept)
        return sorted(free, key=lambda name: (name not in texts, -json_bytes({name: metadata[name]})))


def missing_text_fields(stream: DestinationStream) -> ConfigError | None:
    """The error for a stream of whose schema no configured text field can come; None when all is well."""
    properties = stream.json_schema.get("properties")
    fields = sources(stream.text_format, stream.text_fields)
    if not fields or not isinstance(properties, dict) or not properties:
        return None
    if any(FieldPath(path).may_exist(stream.json_schema) for path in fields):
        return None
    known = ", ".join(sorted(properties)[:20]) + (", …" if len(properties) > 20 else "")  # noqa: PLR2004 -- a line's worth
    place = "processing.text_fields"
    if isinstance(stream.text_format, TemplateFormat):
        place = (
            f"{place} and processing.text_format.template"
            if stream.text_format.parsed.holds_chunk
            else ("processing.text_format.template")
        )
    return ConfigError(
        f"None of the text fields ({', '.join(fields)}) exists in stream '{stream.descriptor}', whose fields "
        f"are: {known}; change {place}. Nothing was written."
    )


def fields_without_column(streams: Sequence[DestinationStream]) -> str:
    """A sentence about fields that look misspelt, because the schema says that no record can have them; empty for none.

    A template's fields are looked for in each stream, for nothing stands in their places. A text field may be meant for some
    of the streams only, and is told where it can come from none of them.
    """
    absent = _absent_from_templates(streams)
    absent = {**_absent_text_fields(streams), **absent}
    if not absent:
        return ""
    named = [f"{name} (in {_some(using, 3)})" for name, using in absent.items()]
    return (
        f"By the schema no record has these fields, so no text comes from them: {_some(named, 10)}; if that is not meant, "
        "correct the names in processing.text_fields, in the template, or in processing.streams."
    )


def _absent_from_templates(streams: Sequence[DestinationStream]) -> Mapping[str, list[str]]:
    absent: dict[str, list[str]] = {}
    for stream in streams:
        for name in _named_in_template(stream):
            if not _may_have(stream, name):
                absent.setdefault(name, []).append(f"'{stream.descriptor}'")
    return absent


def _absent_text_fields(streams: Sequence[DestinationStream]) -> Mapping[str, list[str]]:
    users: dict[str, list[DestinationStream]] = {}
    for stream in streams:
        for name in sources(stream.text_format, stream.text_fields):
            users.setdefault(name, []).append(stream)
    return {
        name: [f"'{stream.descriptor}'" for stream in using]
        for name, using in users.items()
        if not any(_may_have(stream, name) for stream in using)
    }


def _named_in_template(stream: DestinationStream) -> list[str]:
    form = stream.text_format
    return (
        [name for name in dict.fromkeys(form.parsed.fields) if name != CHUNK]
        if isinstance(form, TemplateFormat)
        else []
    )


def _may_have(stream: DestinationStream, name: str) -> bool:
    """Whether a record can have the field, as far as the schema says anything."""
    return not stream.json_schema.get("properties") or FieldPath(name).may_exist(stream.json_schema)


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def json_bytes(value: Any) -> int:
    """The size of a storable value as JSON."""
    return len(orjson.dumps(value))


@lru_cache(maxsize=256)  # a source reads many records in one millisecond
def _timestamp(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        moment = dt.datetime.fromtimestamp(milliseconds / 1000, tz=dt.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
