"""Extra headers for a Qdrant, as lines `Name: value`, and which can be sent over REST and over gRPC (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: What HTTP and gRPC both take: gRPC has no other characters in names, and two reserved forms.
_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
_VALUE: Final = re.compile(r"[ -~]*")

#: Set by the client or by HTTP itself, or meant for the proxy and not for the server.
_OWN: Final = frozenset(
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


def folded(name: str) -> str:
    """The name as gRPC sends it."""
    return name.strip().lower()


def problem_of_name(name: str) -> str:
    """What is wrong with the name in a line, said after that line; empty for nothing."""
    if not _NAME.fullmatch(folded(name)):
        return (
            "must begin with the name of a header that gRPC can send too, such as X-Tenant: letters, digits, hyphens,"
            " dots and underscores, without grpc- at its beginning and -bin at its end"
        )
    if folded(name) in _OWN:
        return (
            "must not hold a header that the connection sets itself (an API key goes into indexing.auth_method, a"
            " proxy's password into indexing.proxy)"
        )
    return ""


def problem_of_value(value: str) -> str:
    """What is wrong with the value in a line, said after that line; empty for nothing. The value is not shown."""
    return "" if _VALUE.fullmatch(value) else "holds characters that no header can hold"


def problem_of(text: str) -> str:
    """What is wrong with the first bad line, said after the field; empty for nothing. No line is shown."""
    seen = set[str]()
    for number, (name, colon, value) in _parted(text):
        if not colon:
            return f"must have a colon after the name in line {number}, as in X-Tenant: blue"
        if wrong := problem_of_name(name) or problem_of_value(value):
            return f"in line {number} {wrong}"
        if folded(name) in seen:
            return f"must not name a header twice, as line {number} does"
        seen.add(folded(name))
    return ""


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Each header's name and value, without the blanks around them."""
    return tuple((name.strip(), value) for _, (name, _, value) in _parted(text))


def _parted(text: str) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Of each line that is not blank: its number, and what stands before, at and after its first colon."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            name, colon, value = line.partition(":")
            yield number, (name, colon, value.strip())
