"""The configured catalog, as this destination sees it: one `DestinationStream` for each stream."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .config import Config, FieldsFormat, SeparatorSplitter, StreamProcessing, TextFormat, TextSplitter
from .errors import ConfigError, SystemFault
from .protocol import Descriptor

_SURROGATE = re.compile("[\ud800-\udfff]")

_NAMES_SHOWN = 10

_USUAL_FORMAT = FieldsFormat()
_USUAL_SPLITTER = SeparatorSplitter()

SyncMode = Literal["append", "overwrite", "append_dedup"]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DestinationStream:
    """What one stream asks for, and where it goes.

    `generation_id` and `minimum_generation_id` are None where the sender knows no refreshes.
    `collection` and `version_guard` are equal for all streams as yet.
    `version_guard`: an older version of a record never replaces a newer one.
    """

    descriptor: Descriptor
    sync_mode: SyncMode
    primary_key: tuple[Path, ...]
    cursor: Path
    generation_id: int | None
    minimum_generation_id: int
    sync_id: int | None
    json_schema: Mapping[str, Any]
    collection: str
    text_fields: tuple[str, ...]
    metadata_fields: tuple[str, ...]
    version_guard: bool = True
    text_format: TextFormat = _USUAL_FORMAT
    text_splitter: TextSplitter = _USUAL_SPLITTER

    @property
    def identifier(self) -> str:
        """The stream as Airbyte's connector writes it into `_ab_stream`."""
        namespace, name = self.descriptor.namespace, self.descriptor.name
        return f"{namespace}_{name}" if namespace else name

    @property
    def is_dedup(self) -> bool:
        """Whether one key has one version."""
        return self.sync_mode == "append_dedup"

    @property
    def compares_versions(self) -> bool:
        """Whether cursors decide which version of a record stays, and not the order of arrival."""
        return self.version_guard and bool(self.cursor)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The streams of a sync."""

    streams: tuple[DestinationStream, ...]

    def find(self, descriptor: Descriptor) -> DestinationStream | None:
        """The stream a descriptor means, or None.

        Without a namespace it means the only stream of that name: PyAirbyte's cache sends records so.

        Raises:
            ConfigError: several streams of that name, in different namespaces, could be meant.
        """
        same_name = [stream for stream in self.streams if stream.descriptor.name == descriptor.name]
        for stream in same_name:
            if stream.descriptor == descriptor:
                return stream
        if descriptor.namespace is not None or not same_name:
            return None
        if len(same_name) > 1:
            raise ConfigError(
                f"A message of stream {descriptor.name!r} has no namespace, but the catalog has that stream in "
                f"{len(same_name)} namespaces; sync them in separate connections or let the source send namespaces."
            )
        return same_name[0]

    def mentioned(self, descriptor: Descriptor) -> DestinationStream | None:
        """The stream that a STATE speaks of, which unlike a record may speak of others, or be ambiguous."""
        try:
            return self.find(descriptor)
        except ConfigError:
            return None

    def get(self, descriptor: Descriptor) -> DestinationStream:
        """The stream a record or status belongs to.

        Raises:
            ConfigError: the catalog does not have it.
        """
        stream = self.find(descriptor)
        if stream is None:
            raise ConfigError(
                f"The source sent a record of stream '{descriptor}', which the configured catalog does not have; "
                "refresh the schema of the connection, or remove the stream from the source."
            )
        return stream


def read_catalog(raw: object, config: Config) -> Catalog:
    """Read a ConfiguredAirbyteCatalog.

    Raises:
        ConfigError: it is out of shape, or asks for something this destination cannot do.
    """
    listed = raw.get("streams") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise ConfigError('The catalog is not a configured catalog: it needs a list named "streams".')
    streams = tuple(_read_stream(entry, config) for entry in listed)
    seen: set[Descriptor] = set()
    for stream in streams:
        if stream.descriptor in seen:
            raise ConfigError(f"The catalog lists stream '{stream.descriptor}' twice; remove one of them.")
        seen.add(stream.descriptor)
    return Catalog(streams)


def _read_stream(entry: object, config: Config) -> DestinationStream:
    stream = entry.get("stream") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(stream, dict) or not isinstance(stream.get("name"), str):
        raise ConfigError('The catalog has an entry without a stream name; each entry needs "stream": {"name": …}.')
    descriptor = Descriptor.of(stream.get("namespace"), stream["name"])
    if _SURROGATE.search(str(descriptor)):
        raise ConfigError(
            "The catalog has a stream whose name or namespace is not valid Unicode; rename it at the source."
        )
    mode: Any = entry.get("destination_sync_mode")
    if mode not in get_args(SyncMode):
        raise ConfigError(
            f"Stream '{descriptor}' asks for a destination sync mode that this destination does not have; "
            "choose append, overwrite or append_dedup."
        )
    schema = stream.get("json_schema")
    processing, its = config.processing, _settings(config, descriptor)
    generation, minimum = _generations(entry, descriptor)
    read = DestinationStream(
        descriptor=descriptor,
        sync_mode=mode,
        primary_key=_paths(entry.get("primary_key"), descriptor, "primary_key"),
        cursor=_cursor(entry.get("cursor_field"), descriptor),
        generation_id=generation,
        minimum_generation_id=minimum,
        sync_id=_integer(entry, "sync_id", descriptor),
        json_schema=schema if isinstance(schema, dict) else {},
        collection=config.indexing.collection,
        text_fields=its.text_fields or processing.text_fields,
        metadata_fields=its.metadata_fields or processing.metadata_fields,
        version_guard=config.indexing.version_guard,
        text_format=its.own_text_format or processing.text_format,
        text_splitter=its.own_text_splitter or processing.text_splitter,
    )
    if read.is_dedup and not read.primary_key:
        raise ConfigError(
            f"Stream '{descriptor}' is to be deduplicated but has no primary key; "
            "choose a primary key for it in the connection, or the sync mode append."
        )
    return read


def _settings(config: Config, descriptor: Descriptor) -> StreamProcessing:
    """What the configuration says of this stream alone: an entry of its namespace, or else one for all namespaces."""
    by_namespace = {each.namespace: each for each in config.processing.streams if each.name == descriptor.name}
    everywhere = by_namespace.get(None, StreamProcessing(name=descriptor.name))
    return by_namespace.get(descriptor.namespace, everywhere)


def settings_without_stream(catalog: Catalog, config: Config) -> str:
    """A warning about settings for streams that the catalog does not have; empty when there are none.

    No error, because a catalog need not have all streams of a source.
    """
    streams = {stream.descriptor for stream in catalog.streams}
    names = {descriptor.name for descriptor in streams}
    unused = [
        str(Descriptor(each.namespace, each.name))
        for each in config.processing.streams
        if (each.name not in names if each.namespace is None else Descriptor(each.namespace, each.name) not in streams)
    ]
    if not unused:
        return ""
    return (
        f"processing.streams has settings for {_listed(unused)}, which the catalog of this sync does not have; if that is "
        "not meant, correct the name or the namespace there."
    )


def _listed(names: Sequence[str]) -> str:
    shown, more = names[:_NAMES_SHOWN], len(names) - _NAMES_SHOWN
    return ", ".join(f"'{name}'" for name in shown) + (f" and {more} more" if more > 0 else "")


def _generations(entry: Mapping[str, Any], descriptor: Descriptor) -> tuple[int | None, int]:
    generation = _integer(entry, "generation_id", descriptor)
    minimum = _integer(entry, "minimum_generation_id", descriptor) or 0
    if minimum > (generation or 0):
        raise SystemFault(
            f"Stream '{descriptor}' has minimum_generation_id {minimum} above its generation_id {generation or 0}, "
            "which no refresh can mean; nothing was written."
        )
    return generation, minimum


def _integer(entry: Mapping[str, Any], name: str, descriptor: Descriptor) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"In the catalog, {name} of stream '{descriptor}' must be a whole number from 0 up.")
    return value


def _paths(value: object, descriptor: Descriptor, name: str) -> tuple[Path, ...]:
    """Field paths, sorted, so that the order of key columns in the catalog does not matter."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ConfigError(f"In the catalog, {name} of stream '{descriptor}' must be a list of paths.")
    return tuple(sorted({_path(each, descriptor, name) for each in value if each}))


def _path(value: object, descriptor: Descriptor, name: str) -> Path:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(f"In the catalog, {name} of stream '{descriptor}' must be made of field names.")
    return tuple(parts)


def _cursor(value: object, descriptor: Descriptor) -> Path:
    return _path(value, descriptor, "cursor_field") if value else ()
