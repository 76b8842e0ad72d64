"""What the workers of a sync are busy with, in seconds, added up over all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from time import monotonic


class Task(Enum):
    """What a worker waits for."""

    EMBEDDING = "embedding"
    QDRANT = "Qdrant"


class Busy:
    """Counts the seconds of each task, those of calls under way included. Used from several threads at once."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(Task, 0.0)
        self._workers = dict.fromkeys(Task, 0)
        self._counted_at = clock()

    @contextmanager
    def at(self, task: Task) -> Iterator[None]:
        """The calling thread is at this task meanwhile."""
        self._change(task, 1)
        try:
            yield
        finally:
            self._change(task, -1)

    def seconds(self) -> Mapping[Task, float]:
        """Seconds until now."""
        with self._lock:
            self._count()
            return dict(self._seconds)

    def _change(self, task: Task, workers: int) -> None:
        with self._lock:
            self._count()
            self._workers[task] += workers

    def _count(self) -> None:
        now = self._clock()
        for task, workers in self._workers.items():
            self._seconds[task] += workers * (now - self._counted_at)
        self._counted_at = now
