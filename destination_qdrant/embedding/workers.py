"""Threads that run jobs in the order in which they are handed over.

Not `ThreadPoolExecutor`: its threads are waited for when the interpreter ends, and one of these may be inside a request that
its provider answers in an hour.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]
"""Raises nothing; what it has to tell, it tells itself."""


class Workers:
    """At most so many threads, each started when a job finds none idle."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, job: Job, *, first: bool = False) -> None:
        """Run it in some thread, soon; `first`: before all that wait already."""
        with self._changed:
            if first:
                self._jobs.appendleft(job)
            else:
                self._jobs.append(job)
            if self._idle < len(self._jobs) and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
            self._changed.notify()

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._jobs or self._closed)
            self._idle -= 1
            return self._jobs.popleft() if self._jobs else None
