"""Where the batches of a run go, and what is the same for all of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from .busy import Busy
from .embedding.base import Embedder
from .points import PointFormat
from .protocol import Descriptor
from .qdrant.base import Store
from .vector_cache import VectorCache


@dataclass(frozen=True, slots=True)
class Reuse:
    """What need not be done again.

    `unchanged`: records that are stored as they are need not be written. `texts_of`: streams whose stored vectors are
    found by their text, because one key may have many versions; the others find theirs by the key, if `by_key`.
    """

    unchanged: bool = False
    by_key: bool = False
    texts_of: frozenset[Descriptor] = frozenset()


@dataclass(frozen=True, slots=True)
class Site:
    """A prepared collection, and the way there.

    `dimensions`: length of its vectors. `airbyte_streams`: streams under whose identifier Airbyte's connector has left
    points. `replicated`: each point is on several nodes, of which a read sees one. `writing`: how many may write at once.
    `busy`: with what the workers are.
    """

    store: Store
    embedder: Embedder
    form: PointFormat
    dimensions: int
    airbyte_streams: frozenset[Descriptor] = frozenset()
    replicated: bool = False
    reuse: Reuse = Reuse()
    cache: VectorCache = field(default_factory=VectorCache)
    writing: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(4))
    busy: Busy = field(default_factory=Busy)
    points_per_write: int = 512
    bytes_per_write: int = 8_000_000
