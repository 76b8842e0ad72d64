"""The collection itself on a server: its shape, its creation, its indexes, its note.

After an error of any of these calls it is looked up whether it took effect: a cluster may carry out later what it did
not confirm in time, and an answer may be lost on the way. Nothing is ever created blindly, recreated or removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from qdrant_client import QdrantClient, models

from ...config import NewCollection
from ...errors import ConfigError, ConnectorError
from ...payload import NOTE
from ...retry import Retryable
from ..base import CollectionInfo, PayloadIndex, VectorSchema
from ..validation import MAX_INTEGER_ID
from .calls import Calls
from .client import completed, translated
from .errors import AlreadyExistsError, Call, CollectionMissingError, MissingRightError, ShardKeyMissingError
from .limits import Limits
from .models import collection_info, create_arguments, index_params
from .version import Version

#: The metadata of a collection, and its point in the fallback: whatever else is kept there is not ours.
METADATA_KEY: Final = "airbyte_destination"

#: Where the note is kept when metadata may not be written: a point without vectors, which no search returns.
NOTE_POINT: Final = "a1b6e0c4-5d2f-5c8e-9f3a-0d7c4e2b1a60"

#: Older servers drop metadata silently.
_METADATA_SINCE: Final = Version(1, 16)

_LONGEST_NAME: Final = 255


class ServerCollection:
    """One collection on a server, without its points. `shard_key` is where points go in custom sharding."""

    def __init__(
        self,
        client: QdrantClient,
        calls: Calls,
        *,
        version: Version,
        new_collection: NewCollection,
        shard_key: str | None,
        may_create: bool,
    ) -> None:
        """`may_create`: whether a missing shard key is created."""
        self._client = client
        self._calls = calls
        self._name = calls.collection
        self._keeps_metadata = version >= _METADATA_SINCE
        self._new = new_collection
        self._shard_key = shard_key
        self._may_create = may_create
        # These only ever change from one valid value to another, so threads need no lock around them.
        self._read_last: models.CollectionInfo | None = None
        self._info: CollectionInfo | None = None
        self.limits = Limits()

    # ------------------------------------------------------------------------------------------------------

    def describe(self) -> CollectionInfo | None:
        """See `base.Store`; reads the limits as well."""
        self._info = self._calls.run(self._reading(), self._read)
        return self._info

    def shape(self, *, fresh: bool = False) -> CollectionInfo:
        """As `describe`, for calls that need the collection."""
        info = self.describe() if fresh else self._info or self.describe()
        if info is None:
            call = self._reading()
            raise ConfigError(f'Qdrant at {call.place} has no collection "{self._name}"; check indexing.collection.')
        return info

    def forget(self) -> None:
        """It may have been changed by someone: look again before the next write."""
        self._info = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What its state means for a sync."""
        return tuple(_state_notes(self._read_last)) if self._read_last else ()

    def _read(self) -> CollectionInfo | None:
        try:
            found = self._client.get_collection(self._name)
        except Exception as error:  # translated here to tell a collection that is missing from a failure
            failure = translated(error, self._reading())
            if isinstance(failure, CollectionMissingError):
                return None
            raise failure from error
        self._read_last = found
        strict_mode = found.config.strict_mode_config
        self.limits = Limits.of(strict_mode.model_dump() if strict_mode else {})
        return collection_info(found)

    def _reading(self) -> Call:
        return self._calls.about("read", "read access")

    # ------------------------------------------------------------------------------------------------------

    def create(self, vectors: Mapping[str, VectorSchema]) -> None:
        """See `base.Store`."""
        _check_new_name(self._name)
        if self._shard_key is not None and self.describe() is None:
            self._require_cluster()
        call = self._calls.about("create", "global manage rights, unless the collection is created beforehand")
        arguments = create_arguments(vectors, self._new, custom_sharding=self._shard_key is not None)
        if not self._keeps_metadata:
            arguments.pop("metadata", None)

        def create() -> None:
            self._client.create_collection(self._name, **arguments)

        self._calls.run(call, lambda: self._once(create, lambda: self._read() is not None, call))
        self._info = None

    def _once(self, attempt: Callable[[], object], is_done: Callable[[], bool], call: Call) -> None:
        """One try of what need not be done twice; that an answer was lost on the way is no failure."""
        if is_done():
            return
        try:
            attempt()
        except Exception as error:
            # Whatever went wrong: what else the look shows or raises is dealt with by `Calls.run`, which also
            # translates this error if it was one.
            failure = translated(error, call)
            if isinstance(failure, AlreadyExistsError):
                return
            if isinstance(failure, Retryable) and is_done():
                return
            raise failure from error

    def require_shard_key(self) -> None:
        """Create the shard key of the configuration where it is missing and may be created."""
        key = self._shard_key
        if key is None:
            return
        self.check_shard_key()
        call = self._calls.about("create a shard key in", "global manage rights, unless the shard key exists")
        self._calls.run(call, lambda: self._once(self._create_shard_key, lambda: self._has_shard_key(key), call))

    def check_shard_key(self) -> None:
        """Refuse a shard key that cannot be used, without creating anything."""
        key = self._shard_key
        if key is None:
            return
        self._require_custom_sharding()
        if self._has_shard_key(key):
            return
        if _is_number(key) and self._has_shard_key(int(key)):
            raise ConfigError(
                f'The shard key in indexing.shard_key is a number in collection "{self._name}", and the connector writes'
                " to keys that are texts only: choose a key that is no number."
            )
        if not self._may_create:
            raise ConfigError(
                f'Collection "{self._name}" has no shard key as in indexing.shard_key, and'
                " indexing.collection_management is must_exist: create the key, correct it, or choose create_if_missing."
            )

    def _create_shard_key(self) -> None:
        self._client.create_shard_key(self._name, self._shard_key or "")

    def _has_shard_key(self, key: str | int) -> bool:
        """Asked by a count, because servers before 1.17 cannot list their keys."""
        call = self._calls.about("read points of", "read access")
        try:
            self._calls.run(call, lambda: self._client.count(self._name, exact=False, shard_key_selector=key))
        except ShardKeyMissingError:
            return False
        return True

    def _require_cluster(self) -> None:
        """Refuse a shard key on a server that is no cluster, before a collection is made that nobody can use.

        Of a collection that is missing, a cluster says so, and a single server that it has no shard keys.
        """
        call = self._calls.about("create a shard key in", "global manage rights")
        with suppress(CollectionMissingError):
            self._calls.run(call, self._create_shard_key)

    def _require_custom_sharding(self) -> None:
        self.shape()
        found = self._read_last
        if found is None:
            return
        if found.config.params.sharding_method is not models.ShardingMethod.CUSTOM:
            call = self._reading()
            raise ConfigError(
                f'Qdrant at {call.place} does not divide collection "{self._name}" by shard keys: leave'
                " indexing.shard_key empty, or choose another collection."
            )

    # ------------------------------------------------------------------------------------------------------

    def create_indexes(self, indexes: Mapping[str, PayloadIndex]) -> None:
        """See `base.Store`. An index of another type is left alone: creating it again would replace it."""
        existing = self.shape(fresh=True).indexes
        for path, index in indexes.items():
            if path not in existing:
                self._create_index(path, index)
        self._info = None

    def _create_index(self, path: str, index: PayloadIndex) -> None:
        call = self._calls.about(
            f'create an index over "{path}" ({index.type}) in',
            "write access to the whole collection (not to points only)",
        )

        def create() -> None:
            completed(self._client.create_payload_index(self._name, path, index_params(index), wait=True), call)

        try:
            self._calls.run(call, create)
        except ConnectorError:
            # another writer's, or that of a try whose answer was lost
            if path not in self.shape(fresh=True).indexes:
                raise

    # ------------------------------------------------------------------------------------------------------

    def recall(self) -> Mapping[str, Any] | None:
        """See `base.Store`. The point wins: it is there only while metadata could not be written."""
        if (self._info or self.describe()) is None:
            return None
        for note in (self._note_of_point(), self._note_of_metadata()):
            if isinstance(note, dict):
                return note
        return None

    def _note_of_metadata(self) -> object:
        found = self._read_last
        return (found.config.metadata or {}).get(METADATA_KEY) if found else None

    def _note_of_point(self) -> object:
        call = self._calls.about("read points of", "read access")
        try:
            found = self._calls.run(
                call, lambda: self._client.retrieve(self._name, [NOTE_POINT], shard_key_selector=self._shard_key)
            )
        except ShardKeyMissingError:
            return None
        return (found[0].payload or {}).get(NOTE) if found else None

    def keep_in_metadata(self, note: Mapping[str, Any]) -> bool:
        """Keep the note in the metadata; False where the server has none, or the key may not write it."""
        if not self._keeps_metadata:
            return False
        call = self._calls.about("change the metadata of", "global manage rights")

        def change() -> None:
            self._client.update_collection(self._name, metadata={METADATA_KEY: dict(note)})

        def is_done() -> bool:
            return self._read() is not None and self._note_of_metadata() == note

        try:
            self._calls.run(call, lambda: self._once(change, is_done, call))
        except MissingRightError:
            return False
        self._info = None
        return True


def _is_number(key: str) -> bool:
    """Whether it is how a number key of Qdrant's is written."""
    return key.isdecimal() and str(int(key)) == key and int(key) <= MAX_INTEGER_ID


def _state_notes(found: models.CollectionInfo) -> Iterator[str]:
    if found.status is models.CollectionStatus.RED:
        yield (
            "The collection's status is red: an operation has failed in Qdrant, whose log tells more;"
            " writes may fail until that is mended."
        )
    if found.config.optimizer_config.prevent_unoptimized:
        yield (
            "The collection makes writes wait for its optimizer (prevent_unoptimized), which slows the sync down;"
            " raise indexing.timeout if requests run into it."
        )


def _check_new_name(collection: str) -> None:
    """Checked for creation only: collections of old servers may still have such names."""
    if re.search(r'[<>:"/\\|?*\0\x1f]', collection) or len(collection.encode()) > _LONGEST_NAME:
        raise ConfigError(
            "indexing.collection names a collection that does not exist and cannot be created:"
            f' a name holds none of < > : " \\ | ? * and at most {_LONGEST_NAME} bytes.'
        )
