"""Whether the address of a provider is one that can be asked (pure).

HTTP libraries find out late: some of these rules they check while they send, with exceptions of all kinds that
quote the address, which may hold a password.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError

_BLANK_OR_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f.]*:[0-9a-f:.]*(%\w+)?", re.IGNORECASE)
_VERSION: Final = re.compile(r"/v[0-9]+[a-z0-9]*(?:/|$)", re.IGNORECASE)
_PATH: Final = re.compile(r"[/\w.~%!$&'()*+,;=:@-]*", re.ASCII)


def clean_address(address: str, field: str) -> str:
    """The address without blanks around it.

    Raises:
        ConfigError: it is no http address. The sentence never shows it: it may hold a password.
    """
    address = address.strip()
    if _BLANK_OR_CONTROL.search(address):  # before it is taken apart, because urlsplit drops line breaks
        raise ConfigError(f"{field} holds a blank, a line break or another character that no address has.")
    parts = _split(address, field)
    if not _is_host(parts.hostname or ""):
        raise ConfigError(
            f"{field} names a host that cannot exist: a host has letters, digits, hyphens and underscores, "
            "at most 63 of them between two dots."
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"{field} must end before its question mark or #: the connector adds the rest itself.")
    if not _PATH.fullmatch(parts.path):
        raise ConfigError(f"{field} holds a path that is no plain URL path: write it percent-encoded.")
    return address


def has_version(address: str) -> bool:
    """Whether a part of the path is a version of an API, such as `v1` or `v1beta`."""
    return bool(_VERSION.search(urlsplit(address).path))


def unusable_address(field: str) -> ConfigError:
    """What to raise where an HTTP library refuses an address all the same."""
    return ConfigError(f"{field} is no address that can be asked; check its host and its path.")


def _split(address: str, field: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        is_http = False
    if not is_http:
        raise ConfigError(f"{field} must be an address that begins with https:// or http:// and names a host.")
    return parts


def _is_host(host: str) -> bool:
    try:
        host.encode("idna")  # as the operating system is asked for it: refuses labels that are empty or too long
    except UnicodeError:
        return False
    return bool(_HOST.fullmatch(host))
