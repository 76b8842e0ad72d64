"""What the configuration says about the way to a server, before anything is sent."""

from __future__ import annotations

import pytest

from destination_qdrant.errors import ConfigError
from destination_qdrant.qdrant.server import proxies
from destination_qdrant.qdrant.server.access import Access, Certificates
from destination_qdrant.qdrant.server.address import candidates

URL = "http://host:6333"
SECRET = "hunter2"


def test_the_key_and_the_headers_are_sent_together() -> None:
    access = Access(URL, api_key=SECRET, headers=(("X-Tenant", "a b"), ("cf-access.id", "")))

    assert access.all_headers() == {"api-key": SECRET, "x-tenant": "a b", "cf-access.id": ""}


@pytest.mark.parametrize(
    ("access", "secret"),
    [
        (Access("host"), False),
        (Access("host", headers=(("x-tenant", "a"),)), False),
        (Access("host", headers=(("Authorization", "Bearer a"),)), True),
        (Access("host", api_key="a"), True),
        (Access("host", certificates=Certificates("a")), True),
        (Access("host", certificates=Certificates(client="a", client_key="b")), True),
    ],
)
def test_what_is_not_to_be_read_on_the_way(access: Access, *, secret: bool) -> None:
    assert access.has_secret is secret


def test_no_secret_is_in_what_python_shows() -> None:
    access = Access(
        f"http://{SECRET}",
        api_key=SECRET,
        headers=(("a", SECRET),),
        certificates=Certificates("", "", SECRET),
        proxy=SECRET,
    )

    assert SECRET not in repr(access)


# ----------------------------------------------------------------------------------------------------------
# Proxies


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        (" http://proxy/ ", "http://proxy:80"),
        ("https://proxy", "https://proxy:443"),
        ("http://ada:p%40ss@proxy:3128", "http://ada:p%40ss@proxy:3128"),
        ("http://[::1]", "http://[::1]:80"),
    ],
)
def test_a_proxy_gets_its_port(given: str, whole: str) -> None:
    assert proxies.with_port(given, "x") == whole


@pytest.mark.parametrize(
    "given", ["", "http://", "socks5://hunter2@proxy:1080", "http://hunter2:port@proxy:x", "http://[hunter2"]
)
def test_a_proxy_that_cannot_be_used_is_refused_and_never_shown(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^The proxy that indexing\.proxy names cannot be used") as caught:
        proxies.with_port(given, proxies.FIELD)

    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("url", "named", "proxy"),
    [
        ("http://host", {}, None),
        ("http://host", {"HTTP_PROXY": "plain:1", "HTTPS_PROXY": "tls:1"}, "http://plain:1"),
        ("https://host", {"HTTP_PROXY": "plain:1", "HTTPS_PROXY": "tls:1"}, "http://tls:1"),
        ("https://host", {"ALL_PROXY": "all:1"}, "http://all:1"),
        ("http://host", {"HTTP_PROXY": "plain:1", "NO_PROXY": "a,host"}, None),
        ("http://host:7000", {"HTTP_PROXY": "plain:1", "NO_PROXY": "host:7000"}, None),
        ("http://host:7001", {"HTTP_PROXY": "plain:1", "NO_PROXY": "host:7000"}, "http://plain:1"),
        ("http://[::1]", {"HTTP_PROXY": "plain:1", "NO_PROXY": "::1"}, None),
        ("http://host", {"HTTP_PROXY": "plain:1", "NO_PROXY": "*"}, None),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, url: str, named: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)

    assert proxies.of_environment(candidates(url, secret=False)[0]) == proxy
