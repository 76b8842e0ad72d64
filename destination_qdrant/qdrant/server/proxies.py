"""Which proxy leads to a server, if any: that of the configuration before that of the environment."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ...errors import ConfigError
from .address import Address

FIELD: Final = "indexing.proxy"
ENVIRONMENT: Final = "the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; NO_PROXY names hosts that need none)"


def of_environment(address: Address) -> str | None:
    """The proxy that the environment names for REST to this address. gRPC's library has its own look at it."""
    named = getproxies()
    found = named.get("https" if address.https else "http") or named.get("all")
    if not found or any(map(proxy_bypass, (f"{address.host}:{address.port}", address.host.strip("[]")))):
        return None
    return with_port(found, ENVIRONMENT)


def with_port(url: str, source: str) -> str:
    """The URL of a proxy with scheme and port, which not every library adds by itself; `source` is what names it.

    Raises:
        ConfigError: it cannot be used. The sentence does not show it: it may hold a password.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if not port or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"The proxy that {source} names cannot be used: it must look like http://proxy:3128.")
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{user}{at}{host}:{port}"
