"""A broken build: what a record replaces is removed before the record is written."""

from destination_qdrant import delivery, pipeline
from destination_qdrant.batching import Batch
from destination_qdrant.delivery import CommitReceipt, Site
from destination_qdrant.run import console

deliver = delivery.deliver


def delete_first(batch: Batch, site: Site) -> CommitReceipt:
    """Remove everything that is stored of the batch's keys, then go on as usual."""
    stored = delivery._look_up(batch.entries, site)  # noqa: SLF001 -- a mutant breaks what it likes
    stale = [point_id for entry in batch.entries for point_id in stored.ids(entry)]
    if stale:
        site.store.delete(stale)
    return deliver(batch, site)


pipeline.deliver = delete_first  # type: ignore[attr-defined]
console()
