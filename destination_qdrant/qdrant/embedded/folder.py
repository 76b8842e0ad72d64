"""The folder of an embedded collection: its name, its lock, its description, and the room that is left.

    <folder>/<collection>/lock               held by the one process that writes
    <folder>/<collection>/shard/             the engine's files
    <folder>/<collection>/collection.json    what the collection stores; written last, so it means "created".
                                             Beside it the user's metadata, and a note of the connector

Nothing here knows the engine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import ConfigError, ConnectorError, TransientError
from ..base import VectorSchema

FORMAT_VERSION = 1
#: In bytes, as a server and nearly every file system count.
MAX_NAME_LENGTH = 255
#: Characters that a Qdrant server refuses in a collection's name; the same here, so that a collection can move.
FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|\0')

#: errno values by which a file system says that it is full.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class CollectionFolder:
    """Where one embedded collection lives."""

    path: Path

    @classmethod
    def at(cls, folder: Path, collection: str) -> CollectionFolder:
        """The folder of a collection; nothing is touched.

        Raises:
            ConfigError: the name cannot be a collection's.
        """
        try:
            length = len(os.fsencode(collection))
        except UnicodeEncodeError as error:
            raise ConfigError("The field indexing.collection holds half a character; write it anew.") from error
        if not 1 <= length <= MAX_NAME_LENGTH or collection in {".", ".."}:
            raise ConfigError(
                f"The field indexing.collection must have 1 to {MAX_NAME_LENGTH} bytes (in UTF-8), and be no dots."
            )
        if not FORBIDDEN_IN_NAMES.isdisjoint(collection):
            raise ConfigError(
                'The field indexing.collection holds one of / \\ : * ? " < > | or NUL; use other characters.'
            )
        return cls(folder / collection)

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.path} (embedded)"

    @property
    def shard(self) -> Path:
        """The engine's folder."""
        return self.path / "shard"

    @property
    def description(self) -> Path:
        """The file that says what the collection stores."""
        return self.path / "collection.json"

    def has_shard(self) -> bool:
        """Whether the engine's files are there, at a glance.

        The engine itself would answer a missing part with an empty collection.
        """
        segments = self.shard / "segments"
        return (self.shard / "edge_config.json").is_file() and segments.is_dir() and any(segments.iterdir())

    def damaged(self) -> ConfigError:
        """For a collection that cannot be opened as it is: it is never recreated."""
        return ConfigError(
            f"The embedded collection at {self.path} is incomplete or damaged; restore this folder from a backup, or "
            "remove it to start anew."
        )

    # ------------------------------------------------------------------------------------------------------

    def read_description(self) -> dict[str, VectorSchema] | None:
        """What the collection stores; None when it does not exist.

        Raises:
            ConfigError: there is a collection, but not one that can be opened.
        """
        described = self._read()
        if described is None:
            return None
        try:
            return {name: VectorSchema(**schema) for name, schema in described["vectors"].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise self.damaged() from error

    def read_note(self) -> dict[str, Any] | None:
        """What `write_note` was given last; None when nothing was, or there is no collection.

        Raises:
            ConfigError: there is a collection, but not one that can be opened.
        """
        note = (self._read() or {}).get("note")
        return note if isinstance(note, dict) else None

    def _read(self) -> dict[str, Any] | None:
        with self._os_errors():
            if not os.path.lexists(self.description):
                return None
            raw = self.description.read_bytes()
            if not self.has_shard():
                raise self.damaged()
        try:
            described: dict[str, Any] = orjson.loads(raw)
            if described["format_version"] == FORMAT_VERSION:
                return described
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise self.damaged() from error
        raise ConfigError(
            f"The embedded collection at {self.path} was written in another format than {FORMAT_VERSION}, the one "
            "this version of the connector knows; use the version that wrote it, or another collection."
        )

    def write_description(self, vectors: Mapping[str, VectorSchema], metadata: Mapping[str, Any]) -> None:
        """Say durably what the collection stores; until then it does not exist."""
        described = {name: asdict(schema) for name, schema in vectors.items()}
        self._write({"format_version": FORMAT_VERSION, "vectors": described, "metadata": dict(metadata)})

    def write_note(self, note: Mapping[str, Any]) -> None:
        """Keep a note beside what the collection stores; a kill leaves the one before, or this one.

        Raises:
            ConfigError: there is no collection that can be opened, or no room.
        """
        described = self._read()
        if described is None:
            raise self.damaged()  # it was there when it was opened
        self._write(described | {"note": dict(note)})

    def _write(self, content: Mapping[str, Any]) -> None:
        with self._os_errors():
            draft = self.description.with_suffix(".new")
            if draft.is_symlink():
                raise self._link(draft)
            draft.unlink(missing_ok=True)  # a killed process may have left one
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(content))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.description)
            # A new name is durable once the folder that holds it is.
            for folder in (self.path, self.path.parent):
                _sync_folder(folder)

    # ------------------------------------------------------------------------------------------------------

    def lock(self) -> int:
        """Become the one writer, creating the folder; close the returned file descriptor to let go.

        The operating system lets go by itself when the process dies.

        Raises:
            TransientError: another process writes here.
        """
        with self._os_errors():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self.path / "lock"
            if lock.is_symlink():
                raise self._link(lock)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise self.busy() from error
            except OSError:
                os.close(descriptor)
                raise
        return descriptor

    def busy(self) -> TransientError:
        """For a second writer."""
        return TransientError(
            f"Another process is writing to the embedded collection at {self.path}; let that sync end first, or give "
            "this one another folder (indexing.url) or collection (indexing.collection)."
        )

    def require_writable(self) -> None:
        """Check, without creating anything, that the folder can be written to or made.

        Raises:
            ConfigError: it cannot.
        """
        nearest = self._nearest()
        if not nearest.is_dir():
            raise ConfigError(
                f"{nearest} is not a folder, so {self.path} cannot hold a collection; see the field indexing.url."
            )
        effective = os.access in os.supports_effective_ids
        if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=effective):
            raise self.not_writable(nearest)
        self._require_names_fit(nearest)

    def _require_names_fit(self, nearest: Path) -> None:
        """Check that the folders that are missing below `nearest` can be made under their names."""
        missing = self.path.absolute().relative_to(nearest.absolute()).parts
        with self._os_errors():
            longest = os.pathconf(nearest, "PC_NAME_MAX")  # -1 for any length
            if longest >= 0 and any(len(os.fsencode(name)) > longest for name in missing):
                raise OSError(errno.ENAMETOOLONG, "")
            if missing and os.path.lexists(nearest / missing[0]):
                raise self._link(nearest / missing[0])  # to something that is not there

    def require_space(self, needed: int) -> None:
        """Check that so many bytes are free where the collection is (or will be).

        Raises:
            ConfigError: they are not.
        """
        with self._os_errors():
            free = shutil.disk_usage(self._nearest()).free
        if free < needed:
            raise ConfigError(
                f"The disk of {self.path} has {free >> 20} MB free, but an embedded Qdrant needs {_megabytes(needed)} MB "
                "to go on writing safely; free some space, or choose another folder in the field indexing.url."
            )

    def full(self) -> ConfigError:
        """For a write that found no room after all."""
        return ConfigError(
            f"The disk of {self.path} is full; free some space, or choose another folder (indexing.url)."
        )

    def not_writable(self, path: Path) -> ConfigError:
        """For a folder or file that the process has no right to."""
        return ConfigError(
            f"{path} is not writable for the connector; give it the right, or change the field indexing.url."
        )

    def _link(self, path: Path) -> ConfigError:
        """For a link where a file is to be written: what it points to may be somebody else's."""
        return ConfigError(
            f"{path} is a symbolic link, through which the connector does not write; remove it, or change the field"
            " indexing.url."
        )

    def _nearest(self) -> Path:
        # os.path.exists, unlike Path.exists, takes "may not look" for "no".
        candidates = (self.path, *self.path.absolute().parents)
        return next(path for path in candidates if os.path.exists(path))  # noqa: PTH110

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except ConnectorError:
            raise
        except OSError as error:
            raise self._translated(error) from error

    def _translated(self, error: OSError) -> ConfigError:
        if error.errno in FULL:
            return self.full()
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return self.not_writable(self.path)
        code = errno.errorcode.get(error.errno or 0, "")
        return ConfigError(
            f"The folder {self.path} cannot be used for an embedded Qdrant ({code}); see the fields indexing.url and "
            "indexing.collection.",
            detail=code,
        )


def _megabytes(size: int) -> int:
    return -(-size >> 20)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
