"""Where a Qdrant server is: the URL of the configuration, taken apart (pure).

qdrant-client is given the parts, never the URL: its own reading adds port 6333 to `https://host` even where
another port is meant, and does so to a URL with a path as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError

FIELD: Final = "indexing.url"
REST_PORT: Final = 6333
GRPC_PORT: Final = 6334

#: URL ports beside which Qdrant's gRPC is expected on its usual port: Qdrant's own, and those of a proxy before it.
_USUAL_PORTS: Final = frozenset({REST_PORT, 80, 443})
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f:.]+(%\w+)?", re.IGNORECASE)
_PREFIX: Final = re.compile(r"(/[\w.~%!$&'()*+,;=:@-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Host as the client wants it (IPv6 in brackets); prefix is empty or begins with a slash."""

    https: bool
    host: str
    port: int
    prefix: str

    @property
    def url(self) -> str:
        """The address to show. Its path is left out: a proxy may take a secret there."""
        return f"{'https' if self.https else 'http'}://{self.host}:{self.port}{'/…' if self.prefix else ''}"

    @property
    def grpc_port(self) -> int | None:
        """Where the gRPC of the same server is expected; None where it cannot be (behind a path).

        Beside an unusual port it is the next one, as in Qdrant's own numbering: on the usual gRPC port of that
        host another Qdrant may answer, and would get the points.
        """
        if self.prefix:
            return None
        return GRPC_PORT if self.port in _USUAL_PORTS else self.port + 1

    @property
    def is_loopback(self) -> bool:
        """Whether it names the machine (inside a container: the container) that the connector runs on."""
        return self.host in {"localhost", "[::1]"} or self.host.startswith("127.")


def parse_address(url: str) -> Address:
    """Take the URL apart.

    Raises:
        ConfigError: it is no http(s) URL. The sentence never shows the URL: it may hold a password.
    """
    parts, port = _split(url.strip())
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
    return Address(parts.scheme == "https", _host(parts), port or REST_PORT, _prefix(parts))


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(
            f"{FIELD} is not a URL: its host or port cannot be read (a port is a number up to 65535)."
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
