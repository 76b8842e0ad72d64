"""Runs the connector as the platform does: feeds it, listens to it, and ends it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from time import monotonic
from typing import IO, Any, Protocol

from .contract import Output
from .dialects import Wire
from .story import Json

#: What never comes ends here, with a failure.
_PATIENCE_SECONDS = 120.0

#: What the log says when the collection is ready and the first line of the input is about to be read.
READY = b"Writing to"


class Process(Protocol):
    """What is asked of a `write` that was started; `subprocess.Popen` has it."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


#: Starts `write` with a configuration and a catalog.
Start = Callable[[Json, Json], Process]


class Running(AbstractContextManager["Running"]):
    """A `write` that is under way. Nothing of it is left behind, whatever goes wrong."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._started_at = monotonic()
        self._ready_at = 0.0
        self._said = b""
        self._stderr = b""
        self._ended = False
        self._heard = threading.Condition()
        self._threads = [self._thread(self._listen), self._thread(self._listen_to_stderr)]

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        if self.process.poll() is None:
            self.kill()

    def feed(self, wire: Wire, *, close: bool = True) -> None:
        """Send a wire's lines from now on, then close standard input, unless told otherwise."""

        def send() -> None:
            assert self.process.stdin
            with suppress(BrokenPipeError):  # it has ended, which its exit code tells
                for line in wire.lines:
                    self.process.stdin.write(line.raw)
                self.process.stdin.flush()
                if close:
                    self.process.stdin.close()

        self._threads.append(self._thread(send))

    def wait_for(self, text: bytes, times: int = 1) -> None:
        """Return when this was said so often.

        Raises:
            AssertionError: it ended before.
        """
        with self._heard:
            self._heard.wait_for(lambda: self._said.count(text) >= times or self._ended, _PATIENCE_SECONDS)
            assert self._said.count(text) >= times, (times, text, self._said[-2000:])

    def ends_within(self, seconds: float) -> bool:
        """Let it run for so long; whether it has ended by then."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def kill(self) -> Output:
        """End it as nobody can prevent, and return what it had said."""
        self.process.kill()
        return self.finish()

    def finish(self) -> Output:
        """Wait for its end."""
        # The threads first: they end with its pipes, at once, while waiting with a limit only looks every now and then.
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)
        code = self.process.wait(_PATIENCE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]  # all three are pipes
        ready_at = self._ready_at or monotonic()
        started_in, worked_for = ready_at - self._started_at, monotonic() - ready_at
        return Output(code, self._said, self._stderr.decode(), started_in, worked_for)

    def _thread(self, target: Callable[[], Any]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    def _listen(self) -> None:
        assert self.process.stdout
        while line := self.process.stdout.readline():
            with self._heard:
                self._said += line
                if READY in line and not self._ready_at:
                    self._ready_at = monotonic()
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def _listen_to_stderr(self) -> None:
        assert self.process.stderr
        self._stderr = self.process.stderr.read()


def run(start: Start, config: Json, wire: Wire, *, kill_after: int | None = None) -> Output:
    """Run a sync to its end, or until so many STATEs came back; then nothing after the last of them has been sent."""
    with Running(start(config, wire.catalog)) as running:
        if kill_after is None:
            running.feed(wire)
            return running.finish()
        running.feed(wire.up_to_state(kill_after), close=False)
        running.wait_for(b'"STATE"', kill_after)
        return running.kill()
