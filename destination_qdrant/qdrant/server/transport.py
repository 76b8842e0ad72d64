"""REST connections whose calls end when their time is up.

The HTTP library's read timeout starts anew with every piece of an answer, so that a server which sends a byte now and
then is waited for without end. Here each call has one deadline, which reading, writing and TLS share.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import httpcore
import httpx

#: A dead host need not take a minute to be found dead.
_CONNECT_SECONDS: Final = 5.0
#: The deadline is looked at before each piece.
_PIECE: Final = 64 * 1024
#: A page of 1,000 points with the largest keys has some megabytes.
_LARGEST_ANSWER: Final = 128 * 1024 * 1024
#: Qdrant's client keeps none to the own machine, which saves no time there and has cost some.
_NO_SPARE: Final = httpx.Limits(max_keepalive_connections=0)


class RestTransport(httpx.HTTPTransport):
    """Connections to one server, through a proxy or without; the environment is not asked for one."""

    def __init__(self, context: ssl.SSLContext, *, proxy: str | None, loopback: bool) -> None:
        limits = _NO_SPARE if loopback else httpx.Limits(max_connections=100, max_keepalive_connections=20)
        super().__init__(verify=context, limits=limits, proxy=None if proxy is None else _through(proxy))
        self._deadline = _Deadline()
        pool: Any = self._pool  # the library offers no other way to hand over how a connection is made
        pool._network_backend = _Network(pool._network_backend, self._deadline)  # noqa: SLF001 -- see above

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and read the head of the answer; its body is read by the same thread, before the next request."""
        timeout = request.extensions["timeout"]
        self._deadline.at = time.monotonic() + timeout["read"]
        self._deadline.received = 0
        request.headers["accept-encoding"] = "identity"  # what a small answer unpacks to would have no bound
        timeout["connect"] = min(_CONNECT_SECONDS, timeout["connect"])
        return super().handle_request(request)


def _through(proxy: str) -> httpx.Proxy:
    """What vouches for the server of the configuration need not vouch for the proxy before it."""
    return httpx.Proxy(proxy, ssl_context=httpx.create_ssl_context() if proxy.startswith("https:") else None)


class _Deadline(threading.local):
    """When the call of this thread has to be over, and how many bytes of its answer have come."""

    at: float = 0.0
    received: int = 0

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        """What a step may take that is allowed `timeout` by itself."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise late
        return left if timeout is None else min(timeout, left)


class _Network(httpcore.NetworkBackend):
    def __init__(self, network: httpcore.NetworkBackend, deadline: _Deadline) -> None:
        self._network = network
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_tcp(host, port, timeout, local_address, socket_options), self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece = self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))
        self._deadline.received += len(piece)
        if self._deadline.received > _LARGEST_ANSWER:
            raise httpcore.ReadError
        return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = self._deadline.left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _PIECE], left)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
