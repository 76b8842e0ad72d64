"""A file of upserts, each after its length: `null_sink.py` writes it, `loaders.py` sends them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LENGTH_BYTES = 4


def keep(file: BinaryIO, body: bytes) -> None:
    """Add an upsert."""
    file.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
    file.flush()


def kept(path: str) -> Iterator[bytes]:
    """The upserts in the file."""
    with Path(path).open("rb") as file:
        while head := file.read(_LENGTH_BYTES):
            yield file.read(int.from_bytes(head, "big"))
