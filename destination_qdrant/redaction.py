"""Masks secrets in texts that leave the process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "****"


class Redactor:
    """Replaces each secret, and the escaped forms in which programs print it, by a mask."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # The longest first: a secret may contain another one.
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def mask(self, text: str) -> str:
        """The text without any secret."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _forms(secret: str) -> Iterable[str]:
    for value in {secret, secret.strip(), *secret.splitlines()}:
        if value:
            yield value
            yield json.dumps(value)[1:-1]
            yield json.dumps(value, ensure_ascii=False)[1:-1]
            yield from _quoted_by_python(value)
            yield quote(value, safe="", errors="replace")
            yield quote(value, errors="replace")
            yield quote_plus(value, errors="replace")


def _quoted_by_python(value: str) -> Iterable[str]:
    """How `repr` and `ascii` print the value: alone, or in a longer text with quotes of both kinds."""
    for show in (repr, ascii):
        yield show(value)[1:-1]
        yield show(f"'\"{value}")[len("""'\\'\"""") : -1]
