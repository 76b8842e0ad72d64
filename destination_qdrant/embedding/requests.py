"""Sends texts to a provider: in requests of bounded size, several at once, again where that may help.

The vectors come back in the order of the texts, whatever order the answers came in. What a request may hold is in
`packing`, when it may go in `gate`; here is what becomes of the requests of one call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from typing import Final

from .. import config
from ..errors import TextRefusedError
from ..vectors import Dense
from .base import Tell, Usage, silent
from .flow import Flow
from .gate import CHECK, WRITE, Gate, LargerThanLimit, Patience
from .pace import MINUTE
from .packing import Bounds, Caps, Origin, Run, Size, Weighed
from .service import Measure, TooLarge
from .workers import Workers

__all__ = ["CHECK", "CONNECT_TIMEOUT", "WRITE", "Answer", "Ask", "Bounds", "Patience", "Requests"]

#: Seconds to connect in; how long an answer may take is the user's to say.
CONNECT_TIMEOUT: Final = 10.0

#: With requests of a second's worth each, 8 in flight use up a limit of tokens unless answers take longer than 8 seconds.
_SECONDS_IN_FLIGHT: Final = 8.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One good vector for each text of a request, in their order.

    `hold_seconds`: the provider said along with it that nothing is left of its limits for so long.
    """

    vectors: list[Dense]
    hold_seconds: float = 0.0


Ask = Callable[[Sequence[str]], Answer]
"""One request: as many vectors as texts, or one of the exceptions that `service` lists. Called from several threads."""


class _Obsolete(Exception):  # noqa: N818 -- a signal inside this module
    """The request need not be sent: its call has ended, or smaller requests are wanted."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A part of a call's texts on its way."""

    run: Run
    size: Size
    origin: Origin


class _Call:
    """One call of `vectors`. `lock` guards its origins and the end of it."""

    def __init__(self, texts: Weighed, ask: Ask) -> None:
        self.texts = texts
        self.ask = ask
        self.lock = threading.Lock()
        self.origins: list[Origin] = []
        self.is_over = False
        self.outcomes: SimpleQueue[tuple[Run, list[Dense]] | BaseException] = SimpleQueue()


class Requests:
    """The requests to one provider. Safe to use from several threads at once, which then share its limits.

    Args:
        service_name: how the provider is named to the user.
        bounds: what the provider takes in one request; what `options` say of that goes before.
        options: as configured.
        count: how many tokens a text is; only called where something depends on it.
        patience: for how long and by which clock requests are repeated.
        tell: takes lines for the log, from any thread.
    """

    def __init__(
        self,
        service_name: str,
        bounds: Bounds,
        options: config.Requests,
        *,
        count: Callable[[str], int],
        patience: Patience | None = None,
        tell: Tell = silent,
    ) -> None:
        patience = patience or Patience()
        budget = min(patience.policy.budget_seconds, options.retry_seconds)
        flow = Flow(
            options.in_flight,
            replace(patience.policy, budget_seconds=budget),
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
        )
        self._count = count
        self._paced_by_tokens = options.tokens_per_minute is not None
        self._caps = Caps(_bounds(bounds, options))
        self._gate = Gate(service_name, flow, patience, tell)
        self._workers = Workers(options.in_flight, "embedding")
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._closed = False

    def vectors(self, texts: Sequence[str], ask: Ask, tokens: Sequence[int] | None = None) -> list[Dense]:
        """One vector a text, in order. `tokens`: how many each text is, where that is known already.

        Raises:
            TextRefusedError: the provider does not take one of the texts even alone.
            ConnectorError: a request failed for good, or the requests have been closed meanwhile.
        """
        missing = len(texts)
        found: dict[int, list[Dense]] = {}
        with self._begun(_Call(Weighed(texts, self._count, tokens), ask)) as call:
            self._pack(call, Run(0, missing))
            while missing:
                outcome = call.outcomes.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                run, found[run.begin] = outcome
                missing -= run.end - run.begin
        return [vector for begin in sorted(found) for vector in found[begin]]

    def count(self, text: str) -> int:
        """How many tokens a text is."""
        return self._count(text)

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        return self._gate.usage

    def close(self) -> None:
        """End whatever waits, at once: calls under way raise a TransientError. Safe to call again."""
        with self._lock:
            self._closed = True
            for call in self._calls:
                call.outcomes.put(self._gate.closed())
        self._gate.close()
        self._workers.close()

    @contextmanager
    def _begun(self, call: _Call) -> Iterator[_Call]:
        with self._lock:
            if self._closed:
                raise self._gate.closed()
            self._calls.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.remove(call)
            self._end(call)
            with call.lock:
                for origin in call.origins:
                    if origin.open:  # nobody knows any more what it would have come to
                        self._caps.forget(origin.learned)

    def _end(self, call: _Call) -> None:
        """Begin nothing more of it, and learn nothing more from it."""
        with call.lock:
            call.is_over = True
        self._gate.look_again()

    def _pack(self, call: _Call, run: Run, bounds: Bounds | None = None, origin: Origin | None = None) -> None:
        """Hand over requests for a part of the texts; with an origin, for a part of a request that did not pass."""
        if self._paced_by_tokens:
            call.texts.count_tokens()
        parts = list(call.texts.pack(run, bounds or self._caps.now))
        origins = [Origin() for _ in parts] if origin is None else [origin] * len(parts)
        with call.lock:
            call.origins += origins if origin is None else ()
            for one in origins:
                one.open += 1
        requests = [_Request(part, size, one) for (part, size), one in zip(parts, origins, strict=True)]
        # what was packed before goes before what never was
        for request in requests if origin is None else reversed(requests):
            self._workers.submit(partial(self._work, call, request), first=origin is not None)

    # ------------------------------------------------------------------------------------------------------
    # In a worker

    def _work(self, call: _Call, request: _Request) -> None:
        """The entry of a thread: whatever goes wrong is the call's to raise."""
        try:
            self._settle(call, request)
        except BaseException as error:  # noqa: BLE001 -- nobody would hear of it in this thread
            self._end(call)
            call.outcomes.put(error)

    def _settle(self, call: _Call, request: _Request) -> None:
        """Send a request, or what it has to be replaced by. What is learned is learned before this thread sends again."""
        signal = self._not_passed(call, request)
        if signal is not None and call.is_over:
            return
        match signal:
            case None:
                pass
            case TooLarge() if request.size.texts == 1:
                (text,) = call.texts.texts(request.run)
                raise TextRefusedError(signal.failure.message, detail=signal.failure.detail, text=text)
            case TooLarge():
                self._divide(call, request, signal.by)
            case LargerThanLimit():
                self._divide(call, request, "tokens", by_limit=True)
            case _Obsolete():
                self._pack(call, request.run, origin=request.origin)
        # not when it raises: what was learned on the way to that has to be forgotten
        with call.lock:
            request.origin.open -= 1

    def _not_passed(self, call: _Call, request: _Request) -> TooLarge | LargerThanLimit | _Obsolete | None:
        """Why a request has to be replaced. Told and not raised, so that nothing is chained to what comes of it."""
        try:
            self._send(call, request)
        except (TooLarge, LargerThanLimit, _Obsolete) as signal:
            return signal
        return None

    def _send(self, call: _Call, request: _Request) -> None:
        size, texts = request.size, call.texts.texts(request.run)
        divisible = size.texts > 1

        def still_good() -> None:
            if call.is_over or (divisible and not self._caps.now.hold(size)):
                raise _Obsolete

        still_good()
        ticket = self._gate.enter(size.tokens or 0, size.text_bytes, divisible=divisible)
        answer = self._gate.send(ticket, lambda: call.ask(texts), still_good)
        with call.lock:
            request.origin.passed(size)
        self._caps.passed()
        call.outcomes.put((request.run, answer.vectors))

    def _divide(self, call: _Call, request: _Request, by: Measure, *, by_limit: bool = False) -> None:
        if by == "tokens":
            call.texts.count_tokens()
        size = call.texts.size(request.run)
        with call.lock:
            half, teaches = request.origin.halved(size, by)
            if by_limit:
                self._caps.guess(half)
            elif teaches and not call.is_over:
                request.origin.learned.append(half)
                self._caps.learn(half)
        self._gate.look_again()
        self._pack(call, request.run, self._caps.now.lowered(half.by, half.most), request.origin)


def _bounds(bounds: Bounds, options: config.Requests) -> Bounds:
    """What the user says goes before what the provider documents, and a limit per minute before both."""
    tokens = options.batch_tokens or bounds.tokens
    if options.tokens_per_minute is not None:
        share = _share(options.in_flight, options.requests_per_minute)
        paced = max(1, int(options.tokens_per_minute * share / MINUTE))
        tokens = paced if tokens is None else min(tokens, paced)
    return Bounds(options.batch_size or bounds.texts, bounds.text_bytes, tokens)


def _share(in_flight: int, requests_per_minute: int | None) -> float:
    """For how many seconds the tokens of one request should last under a limit per minute.

    Where requests are few, as long as it takes until the next may go: smaller ones would leave tokens unused.
    """
    apart = MINUTE / requests_per_minute if requests_per_minute else 0.0
    return max(1.0, _SECONDS_IN_FLIGHT / in_flight, apart)
