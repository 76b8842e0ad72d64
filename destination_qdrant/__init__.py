"""Airbyte destination for Qdrant.

Read it in the order of a sync:

run             the command line                    spec, check, write    one module a command
lines           stdin                               protocol              Airbyte's messages
catalog         what each stream asks for           config                what the user asks for
documents       record -> operation                 identity, fields      keys, ids, field paths
chunking        document -> chunks                  batching              operations -> batches
pipeline        the sync itself                     delivery              a batch's way into Qdrant
lookup          what is stored already              embedding/            text -> vectors
points          chunks -> points                    qdrant/               points -> Qdrant
checkpoints     which STATE may leave               generations           what a replacement removes
opening         what a sync says before it begins   progress, report      what it says on its way and at its end
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .destination import DestinationQdrant

__all__ = ["DestinationQdrant"]

# onnxruntime reports to its maker from the moment it is imported; the hub client of local models counts downloads.
# Nothing leaves this process unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import the CDK's base class only for those who ask for it."""
    if name == "DestinationQdrant":
        from .destination import DestinationQdrant

        return DestinationQdrant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
