"""The proxy that breaks connections, by itself: one that cuts elsewhere would leave the tests that use it green."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from fault_proxy import FaultProxy
from loopback import HOST, reserve


class Mirror:
    """Sends back what it gets, and remembers it by connection."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server((HOST, 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._ended = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def wait_for_end(self) -> None:
        assert self._ended.acquire(timeout=30)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.heard.append(b"")
                self._mirror(connection)
            self._ended.release()

    def _mirror(self, connection: socket.socket) -> None:
        try:
            while piece := connection.recv(1024):
                self.heard[-1] += piece
                connection.sendall(piece)
        except OSError:
            return


@pytest.fixture(name="mirror")
def _mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture(name="proxy")
def _proxy(mirror: Mirror) -> Iterator[FaultProxy]:
    with FaultProxy(mirror.address) as proxy:
        yield proxy


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=30)


def exchange(client: socket.socket, sent: bytes) -> bytes:
    """What comes back of it: all of it, unless the connection ends before."""
    client.sendall(sent)
    return received(client, len(sent))


def received(client: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (piece := client.recv(1024)):
        got += piece
    return got


@pytest.mark.parametrize("pieces", [(b"..MARK123456",), (b"..MA", b"RK123456"), (b"..MARK", b"123", b"456")])
def test_a_request_is_cut_so_many_bytes_after_the_marker_wherever_its_pieces_end(
    mirror: Mirror, proxy: FaultProxy, pieces: tuple[bytes, ...]
) -> None:
    cut = proxy.fail("up", after=4, marker=b"MARK")
    with connect(proxy) as client:
        for piece in pieces:
            exchange(client, piece)
        cut.wait_until_reached()
        mirror.wait_for_end()
        assert client.recv(1) == b""
    assert mirror.heard == [b"..MARK1234"]


def test_an_answer_is_cut_so_many_bytes_after_now(mirror: Mirror, proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        assert exchange(client, b"before") == b"before"
        proxy.fail("down", after=2)
        assert exchange(client, b"answer") == b"an"
    assert mirror.heard == [b"beforeanswer"]


def test_a_fault_happens_on_as_many_connections_as_it_says(proxy: FaultProxy) -> None:
    proxy.fail("down", times=2)
    for expected in (b"", b"", b"third"):
        with connect(proxy) as client:
            assert exchange(client, b"third") == expected
    assert proxy.connections == 3


def test_what_hangs_goes_on_where_it_stopped(mirror: Mirror, proxy: FaultProxy) -> None:
    hang = proxy.fail("up", after=3, then="hang")
    with connect(proxy) as client:
        client.sendall(b"abcdef")
        hang.wait_until_reached()
        assert mirror.heard in ([], [b""], [b"abc"])  # but never more
        proxy.release()
        assert received(client, 6) == b"abcdef"


def test_connections_are_rejected_refused_and_taken_again(proxy: FaultProxy) -> None:
    proxy.reject(1)
    with connect(proxy) as client:
        assert client.recv(1) == b""
    proxy.wait_for_rejected()
    with connect(proxy) as client:
        assert exchange(client, b"open") == b"open"
        proxy.refuse()
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.accept()
    with connect(proxy) as client:
        assert exchange(client, b"again") == b"again"


def test_an_upstream_that_is_away_costs_the_connection(proxy: FaultProxy) -> None:
    with reserve()[0] as nobody:
        proxy.upstream = nobody.getsockname()
        with connect(proxy) as client:
            assert client.recv(1) == b""


def test_neighbouring_ports_are_held_against_others_and_free_for_a_server() -> None:
    first, second = reserve(2)
    with first, second:
        assert second.getsockname()[1] == first.getsockname()[1] + 1
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(second.getsockname())
        with socket.create_server(second.getsockname()), socket.create_connection(second.getsockname()):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(second.getsockname())
