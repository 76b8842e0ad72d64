"""Calls to a Qdrant server: tried again while that may help, and their failures translated, here and nowhere else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ...errors import ConnectorError
from ...retry import Retryable, RetryPolicy
from ...retry import call as with_retries
from .address import Address
from .client import translated
from .errors import Call
from .outage import Outage, Tell, silent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take, how long it is repeated, and who is told when that takes long.

    Until something was answered, the address may be wrong or the server off: that is to be said within minutes.
    """

    timeout: int
    retry: RetryPolicy
    first_seconds: float = 60
    clock: Callable[[], float] = time.monotonic
    log: Tell = silent

    def policy(self, *, answered: bool) -> RetryPolicy:
        """How to repeat a call, once there has been an answer or before."""
        if answered:
            return self.retry
        return replace(self.retry, budget_seconds=min(self.first_seconds, self.retry.budget_seconds))


def writing(timeout: int, retry_seconds: float) -> Patience:
    """For a sync: a cluster with a hanging node answers after 10 s, a collection that waits for its optimizer after much more."""
    return Patience(timeout, RetryPolicy(retry_seconds, first_wait=0.5, longest_wait=30))


WRITE: Final = writing(60, 300)
CHECK: Final = Patience(10, RetryPolicy(10, first_wait=0.25, longest_wait=2))


class Calls:
    """Makes calls about one collection, from several threads at once."""

    def __init__(
        self,
        address: Address,
        collection: str,
        *,
        patience: Patience,
        sleep: Callable[[float], object],
        answered: bool = False,
    ) -> None:
        """`sleep` waits between tries; it may raise to stop them. `answered`: the server has answered before."""
        self.collection = collection
        self._address = address
        self._patience = patience
        self._sleep = sleep
        self._outage = Outage(address.url, patience.log, patience.clock)
        self._answered = answered  # it only ever changes to True, so threads need no lock around it

    def about(self, verb: str, right: str) -> Call:
        """A call that is to do this to the collection, and the right that it takes."""
        return Call(
            f'{verb} collection "{self.collection}"',
            right,
            self._address.url,
            loopback=self._address.is_loopback,
            answered=self._answered,
            proxy=self._address.proxy,
        )

    def run(self, call: Call, attempt: Callable[[], T]) -> T:
        """The attempt's result; its foreign exceptions are translated here and nowhere else."""

        def once() -> T:
            try:
                return attempt()
            except (Retryable, ConnectorError):
                raise
            except Exception as error:  # the client raises what its HTTP library and its converters raise
                raise translated(error, call) from error

        with self._outage.watch() as on_wait:
            result = with_retries(
                self._patience.policy(answered=self._answered),
                once,
                clock=self._patience.clock,
                sleep=self._sleep,
                jitter=random.random,  # spreads waits, guards nothing
                on_wait=on_wait,
            )
        self._answered = True
        return result
