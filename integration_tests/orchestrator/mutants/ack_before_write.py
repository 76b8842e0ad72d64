"""A broken build: STATEs come back as soon as they have come in."""

from destination_qdrant.checkpoints import Checkpoint, CheckpointLedger
from destination_qdrant.run import console

whole = CheckpointLedger.release


def release(ledger: CheckpointLedger) -> list[Checkpoint]:
    """Take every record before the STATE for settled."""
    held = [(segment, segment.open) for segment in ledger._segments]  # noqa: SLF001 -- a mutant breaks what it likes
    for segment, _ in held:
        segment.open = 0
    released = whole(ledger)
    for segment, count in held:
        segment.open = count
    return released


CheckpointLedger.release = release  # type: ignore[method-assign]
console()
