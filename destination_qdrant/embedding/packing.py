"""Which texts go into one request, and what refusals teach about that (pure, but for a lock).

1.  A request holds texts that follow one another, within bounds by number, bytes and tokens. A text that exceeds a
    bound alone is a request of its own: the provider has the last word about it.
2.  A refused request is halved in what the refusal speaks of, and the half is a bound from then on: the next
    request that is packed larger would be refused too.
3.  What was learned on the way to a single text that is refused alone was that text's doing. It is forgotten, as is
    what was learned on a way that nobody went to its end.
4.  Nothing is learned from a refusal once as large a part of the same request has passed.
5.  What is only concluded (a rate limit that a request meets again and again may be too low for it, or merely used up,
    and a server that does not answer in time too slow or merely busy) holds for some requests, then larger ones are
    tried again, each time after twice as many.

Tokens are counted only where something depends on them, and a token is at least one byte: what has no more bytes than
it may have tokens need not be counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from .service import Measure

#: For so many requests a first conclusion holds.
_FIRST_TRIAL: Final = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much a request holds; `tokens` is None where nobody has counted them."""

    texts: int
    text_bytes: int
    tokens: int | None = None

    def measured(self, by: Measure) -> int:
        """One of the three, tokens by what they are at most."""
        if by == "texts":
            return self.texts
        return self.text_bytes if by == "bytes" or self.tokens is None else self.tokens


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may hold at most; a text that is larger alone is a request of its own."""

    texts: int
    text_bytes: int
    tokens: int | None = None

    def lowered(self, by: Measure, most: int) -> Bounds:
        """The same with one of them at most this."""
        if by == "texts":
            return replace(self, texts=min(self.texts, most))
        if by == "bytes":
            return replace(self, text_bytes=min(self.text_bytes, most))
        return replace(self, tokens=most if self.tokens is None else min(self.tokens, most))

    def hold(self, size: Size) -> bool:
        """Whether a request of this size is within them."""
        return (
            size.texts <= self.texts
            and size.text_bytes <= self.text_bytes
            and (self.tokens is None or size.measured("tokens") <= self.tokens)
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A part of the texts of one call: from `begin`, before `end`."""

    begin: int
    end: int


def text_bytes(text: str) -> int:
    """How many bytes a text is in a request; half a surrogate pair, which the provider will refuse, is counted too."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))


class Weighed:
    """The texts of one call, and how large each is."""

    def __init__(self, texts: Sequence[str], count: Callable[[str], int], tokens: Sequence[int] | None = None) -> None:
        self._texts = texts
        self._bytes = [text_bytes(text) for text in texts]
        self._count = count
        self._tokens = tokens

    def texts(self, run: Run) -> Sequence[str]:
        """The texts themselves."""
        return self._texts[run.begin : run.end]

    def count_tokens(self) -> None:
        """Know the tokens of all of them from now on."""
        if self._tokens is None:
            self._tokens = [self._count(text) for text in self._texts]

    def size(self, run: Run) -> Size:
        """How much a part holds."""
        tokens = None if self._tokens is None else sum(self._tokens[run.begin : run.end])
        return Size(run.end - run.begin, sum(self._bytes[run.begin : run.end]), tokens)

    def pack(self, run: Run, bounds: Bounds) -> Iterator[tuple[Run, Size]]:
        """The texts of a part in order, in runs that stay within the bounds."""
        if bounds.tokens is not None and self.size(run).measured("tokens") > bounds.tokens:
            self.count_tokens()
        begin, size = run.begin, Size(0, 0, None if self._tokens is None else 0)
        for at in range(run.begin, run.end):
            grown = self._grown(size, at)
            if at > begin and not bounds.hold(grown):
                yield Run(begin, at), size
                begin, grown = at, self.size(Run(at, at + 1))
            size = grown
        if begin < run.end:
            yield Run(begin, run.end), size

    def _grown(self, size: Size, at: int) -> Size:
        tokens = None if size.tokens is None or self._tokens is None else size.tokens + self._tokens[at]
        return Size(size.texts + 1, size.text_bytes + self._bytes[at], tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Cap:
    """One thing learned: no request with more than so much passes. Each is its own, equal ones included."""

    by: Measure
    most: int


class Caps:
    """The bounds as they are now. Safe to use from several threads at once."""

    def __init__(self, bounds: Bounds) -> None:
        self._given = self._now = bounds
        self._learned: list[Cap] = []
        self._guess: Cap | None = None
        self._trial = _FIRST_TRIAL
        self._passes_left = 0
        self._lock = threading.Lock()

    @property
    def now(self) -> Bounds:
        """What a request may hold now."""
        return self._now

    def learn(self, cap: Cap) -> None:
        """Hold requests to this as well."""
        with self._lock:
            self._learned.append(cap)
            self._apply()

    def guess(self, cap: Cap) -> None:
        """Hold requests to this for a while."""
        with self._lock:
            self._guess, self._passes_left = cap, self._trial
            self._apply()

    def passed(self) -> None:
        """A request has passed, which is how the time of a guess is measured."""
        if self._guess is None:
            return
        with self._lock:
            self._passes_left -= 1
            if self._passes_left <= 0:
                self._guess, self._trial = None, self._trial * 2
                self._apply()

    def forget(self, caps: Collection[Cap]) -> None:
        """Hold requests no longer to these; what others have taught stays."""
        with self._lock:
            self._learned = [cap for cap in self._learned if cap not in caps]
            self._apply()

    def _apply(self) -> None:
        now = self._given
        for cap in (*self._learned, *([] if self._guess is None else [self._guess])):
            now = now.lowered(cap.by, cap.most)
        self._now = now


@dataclass(slots=True, eq=False)
class Origin:
    """A request as it was packed first, and what has become of its parts. `open`: so many of them are on their way."""

    open: int = 0
    learned: list[Cap] = field(default_factory=list)
    _passed: list[Size] = field(default_factory=list)

    def halved(self, size: Size, by: Measure) -> tuple[Cap, bool]:
        """What the parts of a refused request may hold, and whether that teaches anything for other requests."""
        whole = size.measured(by)
        teaches = all(part.measured(by) < whole for part in self._passed)
        return Cap(by, max(1, (whole + 1) // 2 if by == "texts" else whole // 2)), teaches

    def passed(self, size: Size) -> None:
        """Remember that a part has passed."""
        self._passed.append(size)
