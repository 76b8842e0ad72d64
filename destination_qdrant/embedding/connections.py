"""Connections to a provider whose answers end, in time and in size.

HTTP libraries limit the time between two bytes and not that of an answer, so a server that sends one now and then,
wherever in its answer, is waited for without end; and they keep whatever comes, and whatever that unpacks to. Here
every byte passes `_Stream`, which knows when the request of its thread has to be over and how much may come.

OpenAI's SDK brings another edition of the HTTP library than Cohere's, with equal names: who asks passes its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from .. import config
from ..errors import ConfigError
from .answers import Unusable
from .requests import CONNECT_TIMEOUT

#: The deadline is looked at before each piece that is sent.
_PIECE: Final = 64 * 1024

_MEGABYTE: Final = 1024 * 1024
#: What an answer may have besides vectors. Cohere repeats the texts, of which a request holds some megabytes at most.
_MARGIN: Final = 16 * _MEGABYTE
#: One number of an indented JSON document: 17 digits, sign, point, exponent and the blanks before it.
_NUMBER: Final = 40
#: Longer than those of any model that is known.
_LONGEST_VECTOR: Final = 8192
_LARGEST: Final = 256 * _MEGABYTE

#: What `Content-Encoding` is when nothing has been done to the content (RFC 9110, section 8.4).
_AS_IT_IS: Final = frozenset({"", "identity"})


class _Call(threading.local):
    """The request of this thread, which reads the whole answer before it sends another."""

    end: float = 0.0
    received: int = 0
    largest: int = _LARGEST
    status: int = 0
    headers: Mapping[str, str] = MappingProxyType({})

    def left(self, timeout: float | None, late: Callable[[str], Exception]) -> float:
        """What a step may take that is allowed `timeout` by itself."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise late("the answer does not end")
        return left if timeout is None else min(timeout, left)

    def count(self, piece: bytes) -> bytes:
        self.received += len(piece)
        if self.received > self.largest:
            raise Unusable(f"it is larger than the {self.largest // _MEGABYTE} MB that its vectors could need")
        return piece


_CALL: Final = _Call()


def expect(texts: int, dimensions: int | None) -> None:
    """Say how many vectors, and of what length, the next answer to this thread should hold."""
    _CALL.largest = min(_LARGEST, _MARGIN + texts * (dimensions or _LONGEST_VECTOR) * _NUMBER)


def answered() -> tuple[int, Mapping[str, str]]:
    """Status (0: none came) and headers of the last answer to this thread, for where an SDK stumbles over its body."""
    return _CALL.status, _CALL.headers


def http_client(library: Any, options: config.Requests) -> Any:
    """A client that follows no redirects: they would take the text of records to a host that nobody configured.

    Args:
        library: `httpx`, or its other edition.
        options: how long an answer may take, and how many connections are kept open.

    Raises:
        ConfigError: the environment names a proxy or certificates that cannot be used.
    """
    try:
        made = library.Client(
            follow_redirects=False,
            timeout=options.timeout,
            # Not more connections than requests are ever made, so none has to be opened anew in the middle of a sync.
            limits=library.Limits(max_connections=None, max_keepalive_connections=options.in_flight),
            event_hooks={"request": [_beginning(options.timeout)], "response": [_as_it_is]},
        )
    except OSError:
        failure = ConfigError(
            "The certificates that the environment names (SSL_CERT_FILE or SSL_CERT_DIR) cannot be read; correct the "
            "variable, or remove it."
        )
    except (ImportError, ValueError, library.InvalidURL):
        failure = ConfigError(
            "The proxy that the environment names (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; NO_PROXY names hosts that need "
            "none) cannot be used: it must look like http://proxy:3128."
        )
    else:
        _bind(made, library.ReadTimeout)
        return made
    # outside of the handler, so that the library's exception, which quotes the proxy, is not chained
    raise failure


def _beginning(seconds: float) -> Callable[[Any], None]:
    def begin(request: Any) -> None:
        _CALL.end = time.monotonic() + seconds
        _CALL.received = 0
        _CALL.status = 0
        request.headers["accept-encoding"] = "identity"  # what a small answer unpacks to would have no bound

    return begin


def _as_it_is(answer: Any) -> None:
    """Nothing is unpacked. A refusal is understood by its status, so the body of one may be unreadable."""
    _CALL.status, _CALL.headers = answer.status_code, answer.headers
    if answer.headers.get("content-encoding", "").strip().lower() in _AS_IT_IS:
        return
    if answer.is_success:
        raise Unusable("it is compressed, which was not asked for")
    del answer.headers["content-encoding"]


def _bind(client: Any, late: Callable[[str], Exception]) -> None:
    """Let everything that the client connects by pass through here: directly, and by each proxy of the environment."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 -- there is no public way
        if transport is not None:  # a host that NO_PROXY names
            pool = transport._pool  # noqa: SLF001 -- see above; a test watches over each
            pool._network_backend = _Network(pool._network_backend, late)  # noqa: SLF001 -- see above


class _Network:
    """How connections are made."""

    def __init__(self, network: Any, late: Callable[[str], Exception]) -> None:
        self._network = network
        self._late = late

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        timeout = min(CONNECT_TIMEOUT, _CALL.left(timeout, self._late))
        return _Stream(self._network.connect_tcp(host, port, timeout=timeout, **options), self._late)


class _Stream:
    """One connection, with TLS or without."""

    def __init__(self, stream: Any, late: Callable[[str], Exception]) -> None:
        self._stream = stream
        self._late = late

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return _CALL.count(self._stream.read(max_bytes, _CALL.left(timeout, self._late)))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], _CALL.left(timeout, self._late))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        timeout = _CALL.left(timeout, self._late)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._late)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
