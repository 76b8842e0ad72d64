"""A TCP proxy of our own between the connector and a server: it loses, holds and cuts what passes, REST and gRPC alike.

    with FaultProxy(("127.0.0.1", 6334)) as proxy:
        cut = proxy.fail("up", after=1000, marker=b"a word of the request", then="cut")
        ...
        cut.wait_until_reached()

It counts bytes and never time. It understands nothing of what passes; for faults of whole requests see `fault_relay`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Literal, Self

from loopback import HOST, reserve

Way = Literal["up", "down"]
"""From the connector to the server, or back."""

_CHUNK = 65_536


class _Connection:
    """Two sockets, one towards each side. Compared by identity."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.tail = b""
        """The last bytes that went up, where a marker may have begun."""

    def ends(self, way: Way) -> tuple[socket.socket, socket.socket]:
        return (self.client, self.server) if way == "up" else (self.server, self.client)

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):  # it was gone already
                end.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class ByteFault:
    """What happens once `after` bytes went the given way on a connection, on so many connections as `times` says.

    They are counted from the end of the first `marker` that goes up on that connection; without a marker, from the
    next byte on. The byte that would be one too many is not passed on before `then` is done.
    """

    way: Way
    after: int
    marker: bytes
    times: int
    then: Callable[[_Connection], None]
    _counted: dict[_Connection, int] = field(default_factory=dict, init=False, repr=False)
    _reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def wait_until_reached(self, timeout: float = 30) -> None:
        """Return when the fault has happened (once)."""
        if not self._reached.wait(timeout):
            raise TimeoutError(f"no {self.after} bytes went {self.way} after {self.marker!r}")

    def room(self, connection: _Connection, way: Way, chunk: bytes) -> int | None:
        """How many bytes of the chunk may pass before the fault; None when it does not hit."""
        if not self.times:
            return None
        start = 0
        if connection not in self._counted:
            found = self._find(connection, way, chunk)
            if found is None:
                return None
            start = found
            self._counted[connection] = 0
        if way != self.way:
            return None
        counted = self._counted[connection]
        if counted + len(chunk) - start <= self.after:
            self._counted[connection] = counted + len(chunk) - start
            return None
        self.times -= 1
        del self._counted[connection]
        return start + self.after - counted

    def _find(self, connection: _Connection, way: Way, chunk: bytes) -> int | None:
        """Where counting begins in this chunk."""
        if not self.marker:
            return 0 if way == self.way else None
        if way == "down":
            return None
        tail = connection.tail[len(connection.tail) + 1 - len(self.marker) :]  # too short to hold a whole marker
        at = (tail + chunk).find(self.marker)
        return None if at < 0 else at + len(self.marker) - len(tail)

    def happen(self, connection: _Connection) -> None:
        self.then(connection)
        self._reached.set()


class FaultProxy(AbstractContextManager["FaultProxy"]):
    """Listens on a port of its own. `upstream` may be changed; it holds for the connections that come then."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        (self._held,) = reserve()
        self.port: int = self._held.getsockname()[1]
        self._changed = threading.Condition()
        self._connections = 0
        self._rejecting = 0
        self._open: set[_Connection] = set()
        self._faults: list[ByteFault] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        """Take connections."""
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut everything and let go of the port."""
        self.refuse()
        self.release()
        self._held.close()

    # -- what may go wrong ---------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Cut what is open and refuse what comes, as a machine does on which the server is not running."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            listener.close()
        self.cut()

    def accept(self) -> None:
        """Take connections (again)."""
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def reject(self, times: int) -> None:
        """Take so many connections only to drop each at once; `wait_for_rejected` tells when they were."""
        with self._changed:
            self._rejecting = times

    def wait_for_rejected(self, timeout: float = 30) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._rejecting, timeout):
                raise TimeoutError(f"{self._rejecting} connections less came than were to be rejected")

    def cut(self) -> None:
        """Drop the connections that are open."""
        with self._changed:
            connections = list(self._open)
        for connection in connections:
            connection.cut()

    def hang(self) -> None:
        """Pass nothing on until `release`; connections are still taken."""
        self._flowing.clear()

    def release(self) -> None:
        """Pass on what was held, and what comes."""
        self._flowing.set()

    def fail(
        self,
        way: Way,
        after: int = 0,
        *,
        marker: bytes = b"",
        times: int = 1,
        then: Literal["cut", "hang"] | Callable[[], None] = "cut",
    ) -> ByteFault:
        """Arrange a fault: see `ByteFault`."""

        def happen(connection: _Connection) -> None:
            if callable(then):
                then()
            elif then == "cut":
                connection.cut()
            else:
                self.hang()

        fault = ByteFault(way, after, marker, times, happen)
        with self._changed:
            self._faults.append(fault)
        return fault

    @property
    def connections(self) -> int:
        """How many connections have come."""
        with self._changed:
            return self._connections

    # -- how it passes things on ---------------------------------------------------------------------------

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: connections are refused from now on
                return
            with self._changed:
                self._connections += 1
                rejected = self._rejecting > 0
                self._rejecting -= rejected
                self._changed.notify_all()
            if rejected:
                client.close()
            else:
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.upstream)
        except OSError:  # nobody is there
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, server)
        with self._changed:
            self._open.add(connection)
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        down = threading.Thread(target=self._pump, args=(connection, "down"), daemon=True)
        down.start()
        self._pump(connection, "up")
        down.join()
        with self._changed:
            self._open.discard(connection)
        connection.client.close()
        connection.server.close()

    def _pump(self, connection: _Connection, way: Way) -> None:
        source, sink = connection.ends(way)
        with suppress(OSError):  # one of the sides is gone, and the other one will be told
            while chunk := source.recv(_CHUNK):
                self._pass(connection, way, chunk, sink)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _pass(self, connection: _Connection, way: Way, chunk: bytes, sink: socket.socket) -> None:
        self._flowing.wait()
        hit = self._hit(connection, way, chunk)
        if hit is not None:
            fault, room = hit
            sink.sendall(chunk[:room])
            fault.happen(connection)
            self._flowing.wait()
            chunk = chunk[room:]
        sink.sendall(chunk)

    def _hit(self, connection: _Connection, way: Way, chunk: bytes) -> tuple[ByteFault, int] | None:
        """The first fault that hits this chunk. All of them get to see it, as they count."""
        with self._changed:
            rooms = [(fault, fault.room(connection, way, chunk)) for fault in self._faults]
            if way == "up":
                connection.tail = (connection.tail + chunk)[-_CHUNK:]
        return next(((fault, room) for fault, room in rooms if room is not None), None)
