"""Time that passes only where somebody sleeps."""

from __future__ import annotations

from dataclasses import dataclass, field

from destination_qdrant.embedding.gate import Patience


@dataclass
class Time:
    """A clock that sleeping moves."""

    now: float = 0.0
    naps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 1.0)
