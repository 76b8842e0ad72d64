"""Vectors of a run by content hash, so that no text is embedded twice: not later in the run, and not at the same time.

What was used least recently goes first. A hash that one caller is making is waited for by the others, who get what
it gets, its failure included, unless that was about a text of its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from .errors import TextRefusedError
from .vectors import Dense, Vector

Coming = Future[Mapping[str, Vector]]
"""What one call makes; all of its texts have the same."""

Make = Callable[[Mapping[str, str]], Mapping[str, Vector]]
"""Content hash -> text in, a vector for each out."""

#: 2,500 vectors of 1536 numbers: what repeats, mostly does so soon.
SIZE_BYTES: Final = 16_000_000

#: What an entry takes besides its numbers: key, object, links.
_OVERHEAD: Final = 300


class VectorCache:
    """Safe to use from several threads at once.

    Args:
        size_bytes: how much is kept.
        is_shared: False where there is nothing to share, because the server makes the vectors.
    """

    def __init__(self, size_bytes: int = SIZE_BYTES, *, is_shared: bool = True) -> None:
        self._room = size_bytes
        self._is_shared = is_shared
        self._known: OrderedDict[str, Dense] = OrderedDict()
        self._coming: dict[str, Coming] = {}
        self._lock = threading.Lock()

    def __contains__(self, content_hash: str) -> bool:
        """Whether the vector is here, or on its way; who asks will want it soon, so that it is kept a little longer."""
        with self._lock:
            if content_hash in self._known:
                self._known.move_to_end(content_hash)
                return True
            return content_hash in self._coming

    def vectors(self, texts: Mapping[str, str], make: Make) -> Mapping[str, Vector]:
        """A vector for each content hash; `make` is asked once, for those that nobody has or is making."""
        if not self._is_shared:
            return make(texts) if texts else {}
        found, mine, awaited = self._divide(texts)
        if mine:
            found |= self._made({each: texts[each] for each in mine}, make)
        # After the own ones are done, so that no two callers wait for each other.
        refused: dict[str, str] = {}
        for each, future in awaited.items():
            try:
                found[each] = future.result()[each]
            except TextRefusedError:  # perhaps of another text that was sent along with it
                refused[each] = texts[each]
        return {**found, **self.vectors(refused, make)} if refused else found

    def _divide(self, texts: Mapping[str, str]) -> tuple[dict[str, Vector], list[str], dict[str, Coming]]:
        """What is here, what this call has to make, and what others are making."""
        found: dict[str, Vector] = {}
        mine: list[str] = []
        awaited: dict[str, Coming] = {}
        coming: Coming = Future()
        with self._lock:
            for each in texts:
                if each in self._known:
                    self._known.move_to_end(each)
                    found[each] = self._known[each]
                elif each in self._coming:
                    awaited[each] = self._coming[each]
                else:
                    mine.append(each)
                    self._coming[each] = coming
        return found, mine, awaited

    def _made(self, texts: Mapping[str, str], make: Make) -> Mapping[str, Vector]:
        coming = self._coming[next(iter(texts))]  # the same for all of them
        try:
            made = {each: vector for each, vector in make(texts).items() if each in texts}
            if made.keys() != texts.keys():
                raise KeyError("a vector is missing")  # noqa: TRY301 -- whoever waits has to hear of it too
        except BaseException as error:
            with self._lock:
                self._forget_coming(texts)
            coming.set_exception(error)
            raise
        with self._lock:
            self._forget_coming(texts)
            for each, vector in made.items():
                self._keep(each, vector)
        coming.set_result(made)
        return made

    def _forget_coming(self, texts: Iterable[str]) -> None:
        for each in texts:
            del self._coming[each]

    def _keep(self, content_hash: str, vector: Vector) -> None:
        if not isinstance(vector, Dense):
            return
        self._known[content_hash] = vector
        self._room -= _weight(vector)
        while self._room < 0:
            _, oldest = self._known.popitem(last=False)
            self._room += _weight(oldest)


def _weight(vector: Dense) -> int:
    return len(vector.packed) + _OVERHEAD
