"""A broken build: what a record leaves over of an older version is removed before the record is written."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from destination_qdrant import delivery, pipeline
from destination_qdrant.batching import Batch
from destination_qdrant.delivery import CommitReceipt, Site
from destination_qdrant.qdrant.base import Point
from destination_qdrant.run import console

deliver = delivery.deliver


class Backwards:
    """A store that holds points back until it has removed something."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._points: list[Point] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's own."""
        return getattr(self._store, name)

    def upsert(self, points: Sequence[Point]) -> None:
        """Keep them for later."""
        self._points += points

    def write(self) -> None:
        """Later."""
        self._store.upsert(self._points)


def delete_first(batch: Batch, site: Site) -> CommitReceipt:
    """Deliver as usual, but for the order."""
    backwards = Backwards(site.store)
    receipt = deliver(batch, replace(site, store=backwards))
    backwards.write()
    return receipt


pipeline.deliver = delete_first  # type: ignore[attr-defined]
console()
