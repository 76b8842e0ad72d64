"""The Qdrant server that a test gets: the one that is named, else its own from the executable, else from a docker engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest
from own_server import How, OwnServer, Server, find_executable

if TYPE_CHECKING:
    from own_container import Engine


class Servers:
    """Whoever asks for a server and cannot have one is skipped, and told all that was looked for.

    Processes that share the folder look for a docker engine's image together.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    @contextmanager
    def url(self, variable: str, folder: Path, lack: str, **how: Unpack[How]) -> Iterator[str]:
        """The address that the variable names, else that of a server of the tests' own."""
        if url := os.environ.get(variable):
            yield url
            return
        with self.own(folder, f"{lack} ({variable} is not set)", **how) as server:
            yield server.url

    def own(self, folder: Path, lack: str, *, calls_back: bool = False, **how: Unpack[How]) -> Server:
        """One that may be killed, and is to be started. `calls_back`: it has to reach what listens on the loopback interface."""
        if find_executable():
            return OwnServer(folder, **how)
        found = self.engine
        if not isinstance(found, str) and calls_back and found.has_bridge:
            found = "a container of the docker engine does not reach the loopback interface of this machine"
        if isinstance(found, str):
            pytest.skip(f"{lack}: no executable called qdrant is on the PATH; {found}")
        from own_container import ContainerServer

        return ContainerServer(found, folder, **how)

    @cached_property
    def engine(self) -> Engine | str:
        """One with an image, or why there is none. The docker SDK is imported only where a server depends on it."""
        from own_container import NoEngineError, find_engine

        try:
            return find_engine(self._shared)
        except NoEngineError as error:
            return str(error)
