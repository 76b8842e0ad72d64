"""Standard input as lines, read on the main thread.

Between reads the reader asks its caller what is due, and waits no longer than it is told: the platform's writer is
buffered, so stdin can be silent for long while a batch grows old. A worker that fails wakes it up.
"""

from __future__ import annotations

import io
import math
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

#: The platform passes records of about 20 MB; a line beyond this is no record but a way to fill the memory.
LONGEST_LINE = 64 * 1024 * 1024

_BUFFER = 1024 * 1024


class LineTooLong(ValueError):  # noqa: N818 -- a signal to the caller, who knows the line's number
    """A line longer than `LONGEST_LINE`."""


class StdinLines:
    """Iterates over the lines of a file descriptor.

    `on_wait` is called before every wait; it does what is due and returns after how many seconds it wants to be
    called again (None: not before there is input). What it raises comes out of the iteration.
    """

    def __init__(self, descriptor: int) -> None:
        self.on_wait: Callable[[], float | None] = lambda: None
        self._raw = _WaitingReader(descriptor, lambda: self.on_wait())  # noqa: PLW0108 -- on_wait is set later

    def __iter__(self) -> Iterator[bytes]:
        """Every line, the last one also without its newline."""
        with io.BufferedReader(self._raw, _BUFFER) as reader:
            while line := reader.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise LineTooLong
                yield line

    def wake(self) -> None:
        """Make a waiting reader ask `on_wait` now. Callable from any thread."""
        self._raw.wake()


class _WaitingReader(io.RawIOBase):
    def __init__(self, descriptor: int, on_wait: Callable[[], float | None]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._on_wait = on_wait
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        self._wake_reader, self._wake_writer = os.fdopen(wake_reader, "rb", 0), os.fdopen(wake_writer, "wb", 0)
        self._waking = threading.Lock()
        self._poll = select.poll()
        for watched in (descriptor, wake_reader):
            self._poll.register(watched, select.POLLIN)

    def readable(self) -> bool:
        return True

    def wake(self) -> None:
        # A worker may fail when all is read. Closed, the descriptor's number may be another file's by now, so this and
        # closing exclude each other, and a closed file object refuses.
        with self._waking, suppress(ValueError):
            self._wake_writer.write(b"!")

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed asks for any writable buffer
        while True:
            timeout = self._on_wait()
            ready = self._poll.poll(None if timeout is None else math.ceil(timeout * 1000))
            if any(descriptor != self._descriptor for descriptor, _ in ready):
                self._wake_reader.read(4096)
            elif ready:
                return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        with self._waking:
            self._wake_reader.close()
            self._wake_writer.close()
        super().close()
