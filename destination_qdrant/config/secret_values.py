"""Where secrets stand in a configuration that is plain JSON, perhaps one that does not parse (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit


def distinct(found: Iterable[str]) -> tuple[str, ...]:
    """Each of them once, and no empty one."""
    return tuple(dict.fromkeys(secret for secret in found if secret))


def folded(name: str) -> str:
    """The name as `in_json` compares it."""
    return re.sub(r"[\s_-]", "", name).lower()


def in_json(raw: object, names: Collection[str]) -> Iterator[str]:
    """All text under one of the (folded) names, at any depth, and the passwords in URLs elsewhere."""
    pending = [(raw, False)]
    while pending:
        value, secret = pending.pop()
        if isinstance(value, str):
            yield from (value,) if secret else ()
            yield from in_url(value)
        elif isinstance(value, Mapping):
            pending += [(inner, secret or folded(str(key)) in names) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(inner, secret) for inner in value]


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
