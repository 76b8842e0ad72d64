"""Connections whose answers end. What a provider can do with them is in the integration tests."""

from __future__ import annotations

import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from destination_qdrant import config
from destination_qdrant.embedding import connections
from destination_qdrant.embedding.answers import Unusable
from destination_qdrant.errors import ConfigError

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda it: it.__name__)
HASTY = config.Requests().model_copy(update={"timeout": 0.3})
LONG = config.Requests()


@contextmanager
def saying(begin: bytes, again: bytes = b"", pace: float = 0.05) -> Iterator[str]:
    """A server, or a proxy, that takes a request and answers with this, and perhaps something again and again."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    client.recv(65_536)
                    client.sendall(begin)
                    while again and not stop.wait(pace):
                        client.sendall(again)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@LIBRARIES
@pytest.mark.parametrize("url", ["", "http://provider.example/v1", "https://provider.example/v1"])
def test_no_answer_lasts_longer_than_its_time_directly_or_through_a_proxy(
    library: ModuleType, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with saying(b"HTTP/1.1 200 OK\r\nx-long: ", b"x") as address:
        if url:
            monkeypatch.setenv("HTTP_PROXY", address)
            monkeypatch.setenv("HTTPS_PROXY", address)
        with (
            closing(connections.http_client(library, HASTY)) as client,
            pytest.raises(library.ReadTimeout),
        ):
            client.post(url or address)


@LIBRARIES
def test_each_request_has_its_own_time_and_its_own_size(library: ModuleType) -> None:
    body = b"x" * (connections._MARGIN // 2)  # noqa: SLF001 -- two such answers are larger than one may be
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
    with saying(head + body) as address, closing(connections.http_client(library, LONG)) as client:
        for _ in range(3):
            connections.expect(1, 8)
            assert len(client.post(address).content) == len(body)
            assert connections.answered()[0] == 200


@LIBRARIES
def test_a_size_is_that_of_the_vectors_which_were_asked_for(library: ModuleType) -> None:
    body = b"x" * 2 * connections._MARGIN  # noqa: SLF001 -- larger than one small vector may be
    with (
        saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body) as address,
        closing(connections.http_client(library, LONG)) as client,
    ):
        connections.expect(256, 2048)
        assert len(client.post(address).content) == len(body)
        connections.expect(1, 1536)
        with pytest.raises(Unusable, match="it is larger than the 16 MB that its vectors could need"):
            client.post(address)
        connections.expect(2048, None)
        assert len(client.post(address).content) == len(body)


SECRET = "password"


@LIBRARIES
@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("HTTPS_PROXY", f"htp://user:{SECRET}@proxy:3128", r"^The proxy that the environment names \(HTTP_PROXY"),
        ("ALL_PROXY", f"socks5://user:{SECRET}@proxy:1080", r"^The proxy that the environment names \(HTTP_PROXY"),
        ("HTTP_PROXY", f"http://user:{SECRET}@proxy:port", r"^The proxy that the environment names \(HTTP_PROXY"),
        ("SSL_CERT_FILE", f"/no/{SECRET}.pem", r"^The certificates that the environment names \(SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named_and_not_shown(
    library: Any, variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    if value.startswith("socks5"):
        monkeypatch.setitem(sys.modules, "socksio", None)

    with pytest.raises(ConfigError, match=sentence) as caught:
        connections.http_client(library, LONG)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
