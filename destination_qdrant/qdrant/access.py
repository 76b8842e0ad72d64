"""How the configuration gets to a Qdrant server, as far as it can be judged before anything is sent (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ..errors import ConfigError

_KEY: Final = re.compile(r"[!-~]+")
#: What HTTP and gRPC both take: gRPC has no other characters in names.
_HEADER: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
_VALUE: Final = re.compile(r"[ -~]*")
#: Set by the client or by HTTP itself, or meant for the proxy and not for the server.
_OWN_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "api-key",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts; None where the usual authorities, or no client certificate, are meant."""

    authority: str | None = None
    client: str | None = None
    client_key: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return not (self.authority is self.client is self.client_key is None)


@dataclass(frozen=True, slots=True)
class Access:
    """What the configuration says about the way to the server. `grpc_port` None: where it usually is."""

    url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    prefer_grpc: bool = True
    grpc_port: int | None = None
    certificates: Certificates = Certificates()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)

    @property
    def has_secret(self) -> bool:
        """Whether what is sent should not be read on the way."""
        return self.api_key is not None or bool(self.certificates) or "authorization" in self.all_headers()

    def all_headers(self) -> dict[str, str]:
        """Header -> value, the key among them: given as `api_key`, the client warns on stderr about http.

        Raises:
            ConfigError: one of them cannot be sent. The sentence shows no value.
        """
        found = {} if self.api_key is None else {"api-key": _key(self.api_key)}
        for name, value in self.headers:
            known = name.strip().lower()
            _check_header(known, value.strip())
            if known in found:
                raise ConfigError(f'indexing.headers names the header "{known}" twice; leave one of them out.')
            found[known] = value.strip()
        return found


def _key(key: str) -> str:
    if not _KEY.fullmatch(key.strip()):
        raise ConfigError("indexing.auth_method.api_key is empty or holds characters that no API key has.")
    return key.strip()


def _check_header(name: str, value: str) -> None:
    if not _HEADER.fullmatch(name):
        raise ConfigError(
            "indexing.headers holds a name that cannot be sent over gRPC: a name has letters, digits, hyphens, dots and"
            " underscores, does not begin with grpc- and does not end with -bin."
        )
    if name in _OWN_HEADERS:
        raise ConfigError(
            f'indexing.headers holds "{name}", which the connection sets itself: leave it out'
            " (an API key goes into indexing.auth_method, a proxy's password into indexing.proxy)."
        )
    if not _VALUE.fullmatch(value):
        raise ConfigError(f'indexing.headers has a value for "{name}" with characters that no header can hold.')
