"""Taking the URL of a Qdrant server apart."""

from __future__ import annotations

import pytest

from destination_qdrant.errors import ConfigError
from destination_qdrant.qdrant.server.address import Address, candidates


def parse_address(url: str) -> Address:
    """The likeliest address, with nothing secret to send."""
    return candidates(url, secret=False)[0]


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://localhost", "http://localhost:6333"),
        ("http://localhost:6333/", "http://localhost:6333"),
        (" https://db.example \n", "https://db.example:6333"),
        ("https://db.example:443", "https://db.example:443"),
        ("https://db.example:443/qdrant/", "https://db.example:443/…"),
        ("http://db.example/a/b//", "http://db.example:6333/…"),
        ("http://localhost:6333/dashboard", "http://localhost:6333"),
        ("http://localhost:6333/dashboard/#/collections/docs", "http://localhost:6333"),
        ("http://localhost/qdrant/dashboard/", "http://localhost:6333/…"),
        ("HTTP://Localhost:7000", "http://localhost:7000"),
        ("http://[::1]:6333", "http://[::1]:6333"),
        ("http://qdrant_db:6333", "http://qdrant_db:6333"),
        ("localhost", "http://localhost:6333"),
        ("qdrant_db:7000/dashboard", "http://qdrant_db:7000"),
        ("db.example/qdrant", "http://db.example:6333/…"),
        ("127.0.0.1:6334", "http://127.0.0.1:6334"),
        ("::1", "http://[::1]:6333"),
        ("[::1]:7000", "http://[::1]:7000"),
        ("http:6333", "http://http:6333"),
    ],
)
def test_urls_that_are_understood(url: str, whole: str) -> None:
    assert parse_address(url).url == whole


@pytest.mark.parametrize(
    ("url", "secret", "tried"),
    [
        ("https://host", False, ["https://host:6333", "https://host:443"]),
        ("http://host", True, ["http://host:6333", "http://host:80"]),
        ("host", False, ["http://host:6333", "http://host:80"]),
        ("host", True, ["https://host:6333", "https://host:443"]),
        ("host:7000", True, ["https://host:7000"]),
        ("https://host:443", False, ["https://host:443"]),
    ],
)
def test_a_url_without_port_or_scheme_leaves_a_choice(url: str, tried: list[str], *, secret: bool) -> None:
    assert [each.url for each in candidates(url, secret=secret)] == tried


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("https://proxy/sk-SECRET/qdrant/", "/sk-SECRET/qdrant"),
        ("http://localhost/qdrant/dashboard/", "/qdrant"),
        ("http://localhost/", ""),
    ],
)
def test_a_path_is_used_and_not_shown(url: str, prefix: str) -> None:
    address = parse_address(url)

    assert address.prefix == prefix
    assert "SECRET" not in address.url


@pytest.mark.parametrize(
    "url",
    [
        "",
        ":6333",
        "localhost:0",
        "localhost:port",
        "ada:hunter2@host",
        "grpc://localhost:6334",
        "file:///folder",
        "http://",
        "http://:6333",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://ho st:6333",
        "http://host/a b",
        "http://host/{x}",
        "http://host:6333?api-key=hunter2",
        "http://ada:hunter2@host:6333",
        "http://hunter2@host:6333",
    ],
)
def test_urls_that_are_refused_are_never_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^indexing\.url ") as caught:
        parse_address(url)

    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://host", 6334),
        ("https://host:443", 6334),
        ("http://host:16333", 16334),
        ("http://host:6334", 6334),
        ("http://host:65535", None),
        ("http://host/qdrant", None),
    ],
)
def test_where_grpc_is_expected(url: str, port: int | None) -> None:
    assert parse_address(url).grpc_port == port


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost", True),
        ("http://127.0.0.1", True),
        ("http://127.1.2.3", True),
        ("http://[::1]", True),
        ("http://qdrant", False),
    ],
)
def test_addresses_of_the_own_machine(url: str, *, local: bool) -> None:
    assert parse_address(url).is_loopback is local
