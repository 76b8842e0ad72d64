"""Masks secrets in texts that leave the process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "****"

#: Below this many characters a secret (the value of a header, say) counts only as a word: in the middle of words it
#: would mask everything.
_SHORT = 6

#: Where a word begins: also after an escaped line break or tab, and after a sign in a URL.
_BEGIN = r"(?:(?<!\w)|(?<=\\[nrt])|(?<=%(?:2[0-9A-Fa-f]|3[A-Fa-f]|40)))"
_END = r"(?!\w)"


class Redactor:
    """Replaces each secret, and the escaped forms in which programs print it, by a mask."""

    def __init__(self, secrets: Iterable[str | None]) -> None:
        patterns = {
            (form, _pattern(value, form)) for each in secrets for value in _values(each) for form in _forms(value)
        }
        # The longest first: a secret may contain another one.
        ordered = [pattern for _, pattern in sorted(patterns, key=lambda pair: len(pair[0]), reverse=True)]
        self._pattern = re.compile("|".join(ordered)) if ordered else None

    def mask(self, text: str) -> str:
        """The text without any secret."""
        pattern = self._pattern
        # A mask makes a word of what stands beside it. This ends, because a secret is never asterisks alone.
        while pattern and (masked := pattern.sub(MASK, text)) != text:
            text = masked
        return text


def _values(secret: str | None) -> Iterator[str]:
    """What counts as the secret: all of it, and each of its lines. Blanks and asterisks alone hide nothing."""
    whole = secret or ""
    yield from (value for value in (whole, whole.strip(), *whole.splitlines()) if value.replace("*", "").strip())


def _pattern(value: str, form: str) -> str:
    """The form; that of a short value only where no word goes on before or after it.

    Where a sign stands at its edge, none can go on. The last sign of an escape may be a letter, so that edge is the
    value's.
    """
    if len(value) >= _SHORT:
        return re.escape(form)
    begin, end = (re.match(r"\w", edge) is not None for edge in (form[0], value[-1]))
    return f"{_BEGIN if begin else ''}{re.escape(form)}{_END if end else ''}"


def _forms(value: str) -> Iterator[str]:
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
