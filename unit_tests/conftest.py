"""What the unit tests share: their own modules can be imported, and nothing reaches beyond this machine."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages


class OtherMachineError(AssertionError):
    """A unit test tried to talk to another machine."""


def _is_loopback(address: object) -> bool:
    """Whether a socket address (a path, or a tuple that begins with a host) stays on this machine."""
    host = address[0] if isinstance(address, tuple) else None
    if not isinstance(host, str):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def _refuse_others(address: object) -> None:
    if not _is_loopback(address):
        raise OtherMachineError(f"Unit tests stay on this machine; this one asked for {address!r}.")


@pytest.fixture(scope="module", autouse=True)  # not of the session: other folders may ask for other names
def stay_on_this_machine() -> Iterator[None]:
    """Refuse every connection and every look-up of a name beyond loopback."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        _refuse_others(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_others(address)
        return connect_ex(self, address)

    def checked_look_up(host: Any, *rest: Any, **options: Any) -> Any:
        _refuse_others((host.decode() if isinstance(host, bytes) else host,))
        return look_up(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked_connect)
        patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
        patch.setattr(socket, "getaddrinfo", checked_look_up)
        yield
