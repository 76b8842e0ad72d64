"""What can stand between the connector and a server: an end of TLS, and a proxy for HTTP.

    with TlsFront(double.port, context) as front, HttpProxy() as proxy:
        ...  # https to front.port, through proxy.url
        proxy.heads

For faults on the way see `fault_proxy`.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from abc import abstractmethod
from contextlib import AbstractContextManager, suppress
from typing import Self
from urllib.parse import urlsplit

from loopback import HOST

_PIECE = 64 * 1024


class GoBetween(AbstractContextManager["GoBetween"]):
    """Takes connections on a free port; each has a thread, and ends when either side does."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        """Take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Refuse them, and cut those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits there
        self._listener.close()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """Deal with one connection until it is over."""

    def pass_on(self, client: socket.socket, server_port: int, first: bytes = b"") -> None:
        """Let everything through, beginning with `first`."""
        with socket.create_connection((HOST, server_port)) as server:
            server.sendall(first)
            while True:
                # One thread for both ways: two of them must not share an end of TLS.
                for source in _readable(client, server):
                    piece = source.recv(_PIECE)
                    if not piece:
                        return
                    (server if source is client else client).sendall(piece)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with client, suppress(OSError):  # a client that hangs up is no news
            self.serve(client)
        self._open.discard(client)


class TlsFront(GoBetween):
    """Ends TLS before a server that has none."""

    def __init__(self, server_port: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._server_port = server_port
        self._context = context

    def serve(self, client: socket.socket) -> None:
        """Pass on what is in the TLS."""
        with self._context.wrap_socket(client, server_side=True) as inner:
            self.pass_on(inner, self._server_port)


class HttpProxy(GoBetween):
    """Forwards requests and opens tunnels; with a `refusal` ("407 Proxy Authentication Required") it only says that."""

    def __init__(self, refusal: str = "") -> None:
        super().__init__()
        self._refusal = refusal
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Do what the first request says."""
        head = _read_head(client)
        self.heads.append(head.decode())
        method, target, _ = head.split(b" ", 2)
        if self._refusal:
            client.sendall(f"HTTP/1.1 {self._refusal}\r\nContent-Length: 0\r\n\r\n".encode())
        elif method == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.pass_on(client, int(target.rpartition(b":")[2]))
        else:
            parts = urlsplit(target.decode())
            self.pass_on(client, parts.port or 80, head.replace(target, parts.path.encode() or b"/", 1))


def _read_head(client: socket.socket) -> bytes:
    """The first request up to its body; what came of the body as well stays at the end."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(_PIECE)
        if not piece:
            raise ConnectionAbortedError
        read += piece
    return read


def _readable(*ends: socket.socket) -> list[socket.socket]:
    """Those with something to read; what TLS has unpacked already, no system call tells of."""
    unpacked = [end for end in ends if isinstance(end, ssl.SSLSocket) and end.pending()]
    return unpacked or select.select(ends, (), ())[0]
