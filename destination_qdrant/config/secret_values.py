"""Where secrets stand in a configuration that is plain JSON, perhaps one that does not parse (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

#: The field whose text is lines `Name: value`.
_LINES_OF_HEADERS = "headers"


def distinct(found: Iterable[str]) -> tuple[str, ...]:
    """Each of them once, and no empty one."""
    return tuple(dict.fromkeys(secret for secret in found if secret))


def folded(name: str) -> str:
    """The name as `in_json` compares it."""
    return re.sub(r"[\s_-]", "", name).lower()


def in_json(raw: object, names: Collection[str]) -> Iterator[str]:
    """All text under one of the (folded) names, at any depth, and the passwords in URLs elsewhere."""
    pending = [(raw, "")]
    while pending:
        value, field = pending.pop()
        if isinstance(value, str):
            yield from in_field(field, value) if field else ()
            yield from in_url(value)
        elif isinstance(value, Mapping):
            named = [(inner, folded(str(key))) for key, inner in value.items()]
            pending += [(inner, name if name in names else field) for inner, name in named]
        elif isinstance(value, list | tuple):
            pending += [(inner, field) for inner in value]


def in_field(name: str, text: str) -> Iterator[str]:
    """The text of a secret field of this (folded) name, and the secrets that stand in it."""
    yield text
    for line in text.splitlines() if name == _LINES_OF_HEADERS else ():
        value = line.partition(":")[2].strip()
        yield line.strip()
        yield value
        yield from in_url(value)


def in_url(text: str) -> Iterator[str]:
    """The password in `https://user:password@host`, or the user where there is only one."""
    if "://" not in text or "@" not in text:
        return
    try:
        address = urlsplit(text.strip())
    except ValueError:
        return
    secret = address.password or address.username or ""
    yield secret
    yield unquote(secret)
