"""A Qdrant server of the tests' own: what each has, and the `qdrant` executable on free ports of the loopback interface.

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
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self, TypedDict, Unpack

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


def answers(port: int) -> bool:
    """Whether a server is ready for requests, without TLS."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5):
            return True
    except (OSError, http.client.HTTPException):  # refused, or 503 while it loads; or no answer of HTTP
        return False


class How(TypedDict, total=False):
    """What may be said of a server, however it is run."""

    environment: Mapping[str, str]
    """Qdrant's settings, beside those that give it its ports."""

    files: Mapping[str, str]
    """Settings that name a file, with what is in it."""

    is_ready: Callable[[int], bool]
    """Whether it takes requests at its REST port."""


class Server(AbstractContextManager["Server"]):
    """One node. Its gRPC port is the one after the REST port, where the connector expects it."""

    def __init__(self, folder: Path, **how: Unpack[How]) -> None:
        self.folder = folder
        self._environment = how.get("environment", {})
        self._files = how.get("files", {})
        self._is_ready = how.get("is_ready", answers)
        self._held = reserve(2)
        self.port, self.grpc_port = (each.getsockname()[1] for each in self._held)

    def __enter__(self) -> Self:
        """Start. On Linux an executable belongs to this thread, and ends with it."""
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
        """What it said; that of a container is there when it has ended."""
        return self.folder / "log"

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it was started and not killed."""

    def start(self) -> None:
        """Return when it is ready; what was stored before is there."""
        self.launch()
        self.wait_until_ready()

    @abstractmethod
    def launch(self) -> None:
        """Return while it is still starting, which takes a cluster's other nodes."""

    def wait_until_ready(self) -> None:
        """Return when it is ready; one that does not get there is ended."""
        assert self.is_running, "the server is not running"
        try:
            self._look_until_ready()
        except BaseException:  # a test that is stopped meanwhile as well
            self.kill()
            raise

    def _look_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready(self.port):
            if time.monotonic() > deadline:
                raise TimeoutError(f"qdrant was not ready after {_START_SECONDS} seconds, see {self.log}")
            code = self._ended_within(_LOOK_SECONDS)  # a pause that an early death cuts short
            if code is not None:
                self.kill()
                raise RuntimeError(f"qdrant ended with {code}: {self.log.read_text(errors='replace')[-2000:]}")

    @abstractmethod
    def _ended_within(self, seconds: float) -> int | None:
        """Wait so long for its end: its exit code, or None when it goes on."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop it where it stands: connections stay open and nothing is answered."""

    @abstractmethod
    def thaw(self) -> None:
        """Let a frozen one go on; one that runs runs on."""

    def _settings(self, host: str) -> dict[str, str]:
        """The environment of one that listens on this address."""
        return {
            "QDRANT__SERVICE__HOST": host,
            "QDRANT__SERVICE__HTTP_PORT": str(self.port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__TELEMETRY_DISABLED": "true",
            **self._environment,
        }


class OwnServer(Server):
    """The executable, with its data in the folder; `arguments` are its own."""

    def __init__(self, folder: Path, *, arguments: Sequence[str] = (), **how: Unpack[How]) -> None:
        super().__init__(folder, **how)
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def launch(self) -> None:
        executable = find_executable()
        assert executable is not None, "there is no executable called qdrant on the PATH"
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "QDRANT__STORAGE__STORAGE_PATH": str(self.folder / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.folder / "snapshots"),
            **self._settings(HOST),
        }
        for name, content in self._files.items():
            path = self.folder / name
            path.write_text(content, encoding="utf-8")
            environment[name] = str(path)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _tied_to_this_process([executable, *self._arguments]),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ended_within(self, seconds: float) -> int | None:
        assert self._process is not None, "the server is not running"
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)


def _tied_to_this_process(command: list[str]) -> list[str]:
    """The command that runs it and, where the kernel can, leaves it behind under no circumstances."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
