"""The Qdrant side: one interface (`base.Store`), a server and an embedded engine behind it.

`open_store` picks one by the configuration and imports nothing of the other.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, cast

from ..config import ApiKeyAuth, Indexing
from .base import Store
from .server.access import Access, Certificates
from .server.outage import Tell, silent

# Read by gRPC when it is imported, which qdrant-client does. Its library writes to stderr otherwise, past every log
# of ours, and every line there is shown as an error. Not a default only: a value that is empty lets it talk as well.
os.environ["GRPC_VERBOSITY"] = "NONE"


def open_store(
    indexing: Indexing,
    *,
    read_only: bool,
    sleep: Callable[[float], object] = time.sleep,
    log: Tell = silent,
) -> Store:
    """The collection of the configuration, in the Qdrant of the configuration.

    Args:
        indexing: where it is.
        read_only: for a check: nothing is written, and a server that is away is given up soon.
        sleep: waits between tries; it may raise to stop them.
        log: is told when the server keeps calls waiting, and when that is over; from any thread.

    Raises:
        ConfigError: the address is none, or the folder is not to be had.
    """
    if folder := indexing.embedded_folder:
        from .embedded.store import in_vain, open_embedded  # only this path needs the engine

        return open_embedded(
            folder,
            indexing.collection,
            read_only=read_only,
            new_collection=indexing.new_collection,
            notes=in_vain(indexing),
        )
    with _without("fastembed"):
        # only this path needs the client, which is slow
        from .server.store import CHECK, Options, Routing, open_server, writing

        return open_server(
            _access(indexing),
            indexing.collection,
            patience=replace(CHECK if read_only else writing(indexing.timeout, indexing.retry_seconds), log=log),
            sleep=sleep,
            options=Options(
                Routing(indexing.write_ordering, indexing.shard_key),
                indexing.new_collection,
                indexing.batch_megabytes and indexing.batch_megabytes * 1_000_000,
                may_create=indexing.collection_management == "create_if_missing",
            ),
        )


def _access(indexing: Indexing) -> Access:
    auth, pem = indexing.auth_method, indexing.tls
    return Access(
        indexing.url,
        api_key=_secret(auth.api_key) if isinstance(auth, ApiKeyAuth) else None,
        prefer_grpc=indexing.prefer_grpc,
        grpc_port=indexing.grpc_port,
        certificates=Certificates(pem.ca_certificate, pem.client_certificate, _secret(pem.client_key)),
        headers=indexing.parsed_headers,
        proxy=_secret(indexing.proxy),
    )


class _Hidden(Protocol):
    """Text of the configuration that does not show itself."""

    def get_secret_value(self) -> str: ...


def _secret(value: _Hidden | None) -> str | None:
    """Its text; an empty one counts as none."""
    return None if value is None else value.get_secret_value() or None


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let imports believe that a module is not installed, unless it is in use already.

    qdrant-client imports fastembed, and with it onnxruntime, wherever it finds it, at its own import and for each new
    client: more than half a second at every start, for functions that nothing here calls.
    """
    if module in sys.modules:
        yield
        return
    modules = cast("dict[str, Any]", sys.modules)
    modules[module] = None
    try:
        yield
    finally:
        del modules[module]
