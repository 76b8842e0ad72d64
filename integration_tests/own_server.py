"""A Qdrant server of the tests' own: the `qdrant` executable on free ports of the loopback interface.

    with OwnServer(folder) as server:
        server.kill()   # as hard as a machine that dies
        server.start()  # the same ports, the same data

It knows nothing of pytest, so that whatever plays a server's death can use it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Self

from loopback import HOST, reserve

_START_SECONDS = 60
_LOOK_SECONDS = 0.05

#: Becomes the command after it, which the kernel (Linux) kills when the thread that started it is gone, however it went.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL)) or os.getppid() != int(parent):
    sys.exit("it could not be tied to the process that started it")
os.execv(command[0], command)
"""


def find_executable() -> str | None:
    """Where the executable is, if it is anywhere on the PATH."""
    return shutil.which("qdrant")


class OwnServer(AbstractContextManager["OwnServer"]):
    """One node. Its gRPC port is the one after the REST port, where the connector expects it.

    `arguments` and `environment` are the executable's own, beside those that give it its ports and its folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._arguments = arguments
        self._extra_environment = environment
        self._held = reserve(2)
        self.port, self.grpc_port = (each.getsockname()[1] for each in self._held)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start. On Linux the server belongs to this thread, and ends with it."""
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave neither a process nor a port behind; the folder is the caller's."""
        self.kill()
        for each in self._held:
            each.close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed."""
        return self._process is not None

    def start(self) -> None:
        """Return when it is ready; what was stored before is there."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Return while it is still starting, which takes a cluster's other nodes."""
        executable = find_executable()
        assert executable is not None, "there is no executable called qdrant on the PATH"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _tied_to_this_process([executable, *self._arguments]),
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Return when it is ready; one that does not get there is ended."""
        assert self._process is not None, "the server is not running"
        try:
            self._look_until_ready(self._process)
        except BaseException:  # a test that is stopped meanwhile as well
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "QDRANT__SERVICE__HOST": HOST,
            "QDRANT__SERVICE__HTTP_PORT": str(self.port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.folder / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
            **self._extra_environment,
        }

    def _look_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"qdrant was not ready after {_START_SECONDS} seconds, see {self.log}")
            try:
                code = process.wait(_LOOK_SECONDS)  # a pause that an early death cuts short
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"qdrant ended with {code}: {self.log.read_text(errors='replace')[-2000:]}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 -- a loopback URL
                return True
        except (OSError, http.client.HTTPException):  # refused, or 503 while it loads; or no answer of HTTP
            return False


def _tied_to_this_process(command: list[str]) -> list[str]:
    """The command that runs it and, where the kernel can, leaves it behind under no circumstances."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
