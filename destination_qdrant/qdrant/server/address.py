"""Where a Qdrant server can be: the URL of the configuration, taken apart (pure).

qdrant-client is given the parts, never the URL: its own reading adds port 6333 to `https://host` even where
another port is meant, and does so to a URL with a path as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ...errors import ConfigError

FIELD: Final = "indexing.url"
REST_PORT: Final = 6333
GRPC_PORT: Final = 6334

#: URL ports beside which Qdrant's gRPC is expected on its usual port: Qdrant's own, and those of a proxy before it.
_USUAL_PORTS: Final = frozenset({REST_PORT, GRPC_PORT, 80, 443})
_LAST_PORT: Final = 65_535
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f:.]+(%\w+)?", re.IGNORECASE)
_PREFIX: Final = re.compile(r"(/[\w.~%!$&'()*+,;=:@-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Host as the client wants it (IPv6 in brackets); prefix is empty or begins with a slash.

    `proxy` says what names the proxy that leads there, such as a field of the configuration; empty without one.
    """

    https: bool
    host: str
    port: int
    prefix: str = ""
    proxy: str = ""

    @property
    def url(self) -> str:
        """The address to show. Its path is left out: a proxy may take a secret there."""
        return f"{'https' if self.https else 'http'}://{self.host}:{self.port}{'/…' if self.prefix else ''}"

    @property
    def grpc_port(self) -> int | None:
        """Where the gRPC of the same server is expected; None where it cannot be (behind a path).

        That is the port itself if it is the one that Qdrant has for gRPC.

        Beside an unusual port it is the next one, as in Qdrant's own numbering: on the usual gRPC port of that
        host another Qdrant may answer, and would get the points.
        """
        if self.prefix or self.port == _LAST_PORT:
            return None
        return GRPC_PORT if self.port in _USUAL_PORTS else self.port + 1

    @property
    def is_loopback(self) -> bool:
        """Whether it names the machine (inside a container: the container) that the connector runs on."""
        return self.host in {"localhost", "[::1]"} or self.host.startswith("127.")


def candidates(url: str, *, secret: bool) -> tuple[Address, ...]:
    """The addresses that the URL can mean, the likeliest first: several where it names no port.

    Args:
        url: [http(s)://]host[:port][/prefix]
        secret: whether a secret is to be sent there; it decides over TLS where the URL does not.

    Raises:
        ConfigError: it is no such URL. The sentence never shows the URL: it may hold a password.
    """
    parts, port = _split(_with_scheme(url.strip(), secret=secret))
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(
            f"{FIELD} must begin with http:// or https:// (or with file:/// for an embedded Qdrant), "
            "for example http://localhost:6333."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"{FIELD} holds a user name or password before an @, which Qdrant does not use: "
            "remove it and put the API key into indexing.auth_method."
        )
    https = parts.scheme == "https"
    ports = (REST_PORT, 443 if https else 80) if port is None else (port,)
    return tuple(Address(https, _host(parts), each, _prefix(parts)) for each in ports)


def _with_scheme(url: str, *, secret: bool) -> str:
    if "://" in url:
        return url
    return f"{'https' if secret else 'http'}://{f'[{url}]' if _is_ipv6(url) else url}"


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
        if port == 0:
            raise ValueError  # noqa: TRY301 -- no more a port than those that `parts.port` raises for
    except ValueError as error:
        raise ConfigError(
            f"{FIELD} is not a URL: its host or port cannot be read (a port is a number from 1 to 65535)."
        ) from error
    return parts, port


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ConfigError(f"{FIELD} names no host: it must look like https://host:6333.")
    return f"[{host}]" if ":" in host else host


def _prefix(parts: SplitResult) -> str:
    """The path, without the dashboard's (people copy the address of the page they look at) and closing slashes."""
    if parts.query:
        raise ConfigError(f"{FIELD} must end before the question mark: Qdrant's address has no query.")
    path = parts.path.rstrip("/").removesuffix("/dashboard").rstrip("/")
    if not _PREFIX.fullmatch(path):
        raise ConfigError(f"{FIELD} holds a path that is no plain URL path: remove it or write it percent-encoded.")
    return path
