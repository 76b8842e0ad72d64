"""Addresses of providers: what can be asked, and what is refused before anything is sent."""

from __future__ import annotations

import traceback

import pytest

from destination_qdrant.embedding.address import clean_address, has_version
from destination_qdrant.embedding.openai import azure_client, compatible_client
from destination_qdrant.errors import ConfigError

FIELD = "embedding.base_url"


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:11434/v1",
        "https://my-resource.openai.azure.com/",
        "http://embedding_server:8080/a/b%20c/~d",
        "http://[::1]:80/v1",
        "http://bücher.example/v1",
        f"http://{'a' * 63}.example./v1",
        "http://user:password@localhost/v1",
    ],
)
def test_an_address_that_can_be_asked_is_kept_as_it_is(address: str) -> None:
    assert clean_address(address, FIELD) == address
    assert compatible_client("", address).base_url.host


def test_an_address_loses_the_blanks_around_it() -> None:
    assert clean_address(" http://localhost:11434/v1\n", FIELD) == "http://localhost:11434/v1"


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        *(
            (address, "must be an address that begins with")
            for address in (
                *("", "localhost:80", "ftp://localhost", "http://", "http://localhost:port", "http://h:99999"),
                "http://[::1",
            )
        ),
        *(
            (address, "holds a blank, a line break")
            for address in (
                "http://a b/v1",
                "http://a\nb/v1",
                "http://h/a b",
                "http://h/\0",
                "http://h/\x85a",
                "http://h\t/",
            )
        ),
        *(
            (f"http://{host}/v1", "names a host that cannot exist")
            for host in ("a" * 70, "é" * 60, "a..b", ".a", "a%41", "a\\b", "a,b")
        ),
        ("https://h/openai/deployments/d/embeddings?api-version=1", "must end before its question mark"),
        ("https://h/v1#a", "must end before its question mark"),
        ("http://h/é", "holds a path that is no plain URL path"),
        ("http://h/a\\b", "holds a path that is no plain URL path"),
    ],
)
def test_what_cannot_be_asked_is_refused_without_being_quoted(address: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        clean_address(address, FIELD)

    assert caught.value.message.startswith(f"{FIELD} {problem}")
    assert address in {"", "http://"} or address not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("host", ["999.1.1.1", "[v1.x]", "a²"])
def test_what_only_the_http_library_refuses_names_the_field_as_well(host: str) -> None:
    address = f"http://user:hunter2@{host}/v1"
    with pytest.raises(ConfigError, match=r"^embedding\.base_url is no address") as compatible:
        compatible_client("", address)
    with pytest.raises(ConfigError, match=r"^embedding\.api_base is no address") as azure:
        azure_client("k", address, "dep", "2024-10-21")

    for caught in (compatible.value, azure.value):
        assert (caught.__cause__, caught.__context__) == (None, None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://h", False),
        ("http://v1", False),
        ("http://h/", False),
        ("http://h/api", False),
        ("http://h/vision", False),
        ("http://h/v1", True),
        ("http://h/V1/", True),
        ("http://h/api/v2/models", True),
        ("http://h/v1beta/openai", True),
    ],
)
def test_a_version_in_the_path_is_recognised(address: str, *, expected: bool) -> None:
    assert has_version(address) is expected
