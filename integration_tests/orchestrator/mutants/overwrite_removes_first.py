"""A broken build: an overwrite removes old data as soon as its input has ended, before the last batch is written."""

from typing import Any

from destination_qdrant import pipeline
from destination_qdrant.run import console

drain = pipeline._Run.drain  # noqa: SLF001 -- a mutant breaks what it likes


def early(run: Any) -> None:
    """Remove what the end would remove, then go on as usual."""
    for verdict in run._ends.verdicts(run._parts.site.form.run_id):  # noqa: SLF001 -- same
        if verdict.stream.sync_mode == "overwrite":
            for where in verdict.remove:
                run._parts.site.store.delete_where(where)  # noqa: SLF001 -- same
    drain(run)


pipeline._Run.drain = early  # type: ignore[method-assign]  # noqa: SLF001 -- same
console()
