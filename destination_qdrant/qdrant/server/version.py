"""Versions of a Qdrant server, as it tells them (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_FORM: Final = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(-[\w.+-]{1,64})?(?:\+[\w.-]{1,64})?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Later versions are greater; one that is not released yet comes before the release that bears its numbers."""

    major: int
    minor: int
    patch: int = 0
    released: bool = True

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read "1.18.3" or "1.19.0-dev"; None for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        return cls(int(found[1]), int(found[2]), int(found[3] or 0), released=not found[4])

    def __str__(self) -> str:
        """Numbers only: what else a server writes there is its own."""
        return f"{self.major}.{self.minor}.{self.patch}{'' if self.released else ' (not released)'}"


#: The first one with what every sync needs; what later ones have more is used where it is there.
OLDEST: Final = Version(1, 12)

#: The first one that hands texts to an inference service.
EMBEDS: Final = Version(1, 12, 2)

#: The first one that filters points by whether they have a vector.
KNOWS_VECTORS: Final = Version(1, 13)
