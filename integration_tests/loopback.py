"""Ports of the loopback interface that stay one's own, also while nothing listens on them."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def reserve(count: int = 1) -> list[socket.socket]:
    """So many neighbouring ports, each held by a socket that never listens.

    A server that sets SO_REUSEADDR (Qdrant, `socket.create_server`) can listen on them nevertheless, may die and come
    back, and no other process is given the port meanwhile.
    """
    while True:
        held = [_hold(0)]
        first = held[0].getsockname()[1]
        try:
            held += [_hold(first + step) for step in range(1, count)]
        except (OSError, OverflowError):  # the neighbour is taken, or there is none
            for each in held:
                each.close()
            continue
        for each in held:
            # Only now: a port that somebody else holds like this must not be had.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return held


def _hold(port: int) -> socket.socket:
    held = socket.socket()
    try:
        held.bind((HOST, port))
    except BaseException:
        held.close()
        raise
    return held
