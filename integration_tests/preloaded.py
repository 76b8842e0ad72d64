"""The connector as a fork of a process that has loaded it: loading takes ten times as long as a small sync.

A run of it is a process of its own, with pipes, signals and an exit code as ever; only what Python has imported, and the
vocabulary of the tokenizer, are there already. Tests of scenarios and kills start it so, some thousand times; all
others start it afresh (`command_line`), and so does everything where the kernel is not Linux.

    with Loaded() as loaded:
        process = loaded.start(["main.py", "write", ...], folder)

Run as a program, this file is the process that is forked. It forks twice: the first fork stays, to tell how the second
one, the run, has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import IO, Any, NoReturn

from command_line import MAIN, Connector, Finished

#: On other systems libraries do not bear a fork.
IS_POSSIBLE = sys.platform == "linux"

#: All that a `write` imports sooner or later.
_EMBEDDERS = tuple(f"embedding.{name}" for name in ("cohere", "fake", "from_field", "openai"))
_LOADED = (
    *(f"destination_qdrant.{name}" for name in ("lines", "run", "write", *_EMBEDDERS)),
    *(f"destination_qdrant.qdrant.{name}" for name in ("embedded.store", "server.store")),
    "grpc._channel",
    "grpc._simple_stubs",
)

_NUMBER_BYTES = 8


class Run(AbstractContextManager["Run"]):
    """One run; what `subprocess.Popen` would be."""

    def __init__(self, report: int, stdin: int, stdout: int, stderr: int) -> None:
        self._report = report
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb")
        self.stderr: IO[bytes] = os.fdopen(stderr, "rb")
        self.returncode: int | None = None
        self.pid = self._number()

    def __exit__(self, *_: object) -> None:
        """Close the pipes, and wait."""
        for stream in (self.stdin, self.stdout, self.stderr):
            with suppress(BrokenPipeError):
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; negative where a signal ended it."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self.returncode = self._number()
            os.close(self._report)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def communicate(self, stdin: bytes, timeout: float) -> tuple[bytes, bytes]:
        """Send all of this, and read all that comes, within so many seconds."""
        said: dict[IO[bytes], bytes] = {}

        def send() -> None:
            with suppress(BrokenPipeError), self.stdin:
                self.stdin.write(stdin)

        def listen(stream: IO[bytes]) -> None:
            said[stream] = stream.read()

        tasks = [send, partial(listen, self.stdout), partial(listen, self.stderr)]
        threads = [threading.Thread(target=task, daemon=True) for task in tasks]
        deadline = monotonic() + timeout
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        if any(thread.is_alive() for thread in threads):
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return said[self.stdout], said[self.stderr]

    def _number(self) -> int:
        read = os.read(self._report, _NUMBER_BYTES)
        assert len(read) == _NUMBER_BYTES, "the process that was forked is gone"
        return int.from_bytes(read, signed=True)


class Loaded(AbstractContextManager["Loaded"]):
    """The process that has loaded the connector; it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, __file__, str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(words, env=Connector(Path()).environment, pass_fds=[theirs.fileno()])

    def __exit__(self, *_: object) -> None:
        """End it; runs that are under way go on."""
        self._socket.close()
        self._process.wait()

    def start(self, words: Sequence[str], folder: Path) -> Run:
        """Fork it, to become a script with these arguments, the first of which is its path, in this folder."""
        pipes = [os.pipe() for _ in range(4)]
        (stdin, to_stdin), *others = pipes
        theirs = [stdin, *(each[1] for each in others)]
        request = json.dumps({"words": list(words), "folder": str(folder)}).encode()
        socket.send_fds(self._socket, [request], theirs)
        for each in theirs:
            os.close(each)
        from_stdout, from_stderr, report = (each[0] for each in others)
        return Run(report, to_stdin, from_stdout, from_stderr)


class PreloadedConnector(Connector):
    """Runs the command line without loading it."""

    def __init__(self, folder: Path, loaded: Loaded, program: Path = MAIN) -> None:
        super().__init__(folder, program)
        self._loaded = loaded

    def run(self, name: str, stdin: bytes = b"", *, timeout: float = 120, **files: Any) -> Finished:
        with self.start(name, **files) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except BaseException:  # a test that is stopped meanwhile as well
                process.kill()
                raise
            return Finished(process.wait(), stdout, stderr.decode())

    def start(self, name: str, **files: Any) -> Run:  # type: ignore[override]  # it does what is asked of a process here
        return self._loaded.start(self.command(name, **files)[1:], self._folder)


def quick(folder: Path, loaded: Loaded | None, program: Path = MAIN) -> Connector:
    """A connector that starts as quickly as this machine lets it."""
    return PreloadedConnector(folder, loaded, program) if loaded else Connector(folder, program)


# ----------------------------------------------------------------------------------------------------------
# The process that is forked


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(MAIN.parent)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the ones that stay have ended
    _load()
    while True:
        request, streams, _, _ = socket.recv_fds(connection, 1 << 16, 4)
        if not request:
            return
        if not _fork():
            connection.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(streams, **json.loads(request))
        for each in streams:
            os.close(each)


def _load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    importlib.import_module("destination_qdrant.tokens").cl100k()
    gc.collect()
    gc.freeze()  # a collection would write to every page that the forks share


def _run(streams: Sequence[int], words: Sequence[str], folder: str) -> NoReturn:
    """Stay, and tell the number of the run and how it ended."""
    *standard, report = streams
    pid = _fork()
    if not pid:
        os.close(report)
        _become(words, folder, standard)
    for each in standard:
        os.close(each)
    _tell(report, pid)
    _tell(report, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _become(words: Sequence[str], folder: str, standard: Sequence[int]) -> NoReturn:
    for place, each in enumerate(standard):
        os.dup2(each, place)
        os.close(each)
    os.chdir(folder)
    sys.argv = list(words)
    runpy.run_path(words[0], run_name="__main__")
    sys.exit()


def _tell(report: int, number: int) -> None:
    with suppress(BrokenPipeError):
        os.write(report, number.to_bytes(_NUMBER_BYTES, signed=True))


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns where other threads could hold locks; those of numpy's library wait for work, and none comes.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


if __name__ == "__main__":
    main()
