"""A broken build: nobody asks what the strict mode of a collection allows."""

from collections.abc import Mapping
from typing import Any

from destination_qdrant.qdrant.server.limits import Limits
from destination_qdrant.run import console


def unread(_strict_mode: Mapping[str, Any]) -> Limits:
    """As of a collection that has none."""
    return Limits()


Limits.of = unread  # type: ignore[assignment]
console()
