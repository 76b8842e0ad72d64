"""Which of two cursor values is the newer one (pure).

Rules: numbers and decimal strings compare as numbers, dates and RFC 3339 times as instants (no zone: UTC, since
some senders lose it); a missing value is older than any other; what cannot be compared is a tie, and the
caller lets the later arrival win a tie.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,30}))?)?)?"
    r"\s?(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
#: Longer texts are no number or time; they are not compared, and not stored with every chunk.
_LONGEST = 128


def cursor_text(value: Any) -> str | None:
    """A cursor value as it is stored: exact, since a payload does not keep every double; None when missing."""
    if value is None:
        return None
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else ""
    if isinstance(value, bool | dict | list):
        return ""  # cannot be compared, yet is not missing
    if isinstance(value, float) and not math.isfinite(value):
        return None
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _LONGEST else ""


def is_newer(one: str | None, other: str | None) -> bool:
    """Whether cursor `one` is certainly newer than `other` (both as `cursor_text` gives them)."""
    if one is None:
        return False
    if other is None:
        return True
    if one == other:
        return False
    for read in (_number, _instant):
        left, right = read(one), read(other)
        if left is not None and right is not None:
            return left > right
    return False


def _number(text: str) -> Decimal | None:
    text = text.strip()
    return Decimal(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else None


def _instant(text: str) -> Decimal | None:
    """Seconds since year 1, exact to the last digit given."""
    text = text.strip()
    found = _TIME.fullmatch(text) if len(text) <= _LONGEST else None
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        days = dt.date(int(year), int(month), int(day)).toordinal()
    except ValueError:
        return None
    seconds = days * 86_400 + int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0) - _offset(zone)
    return Decimal(f"{seconds}.{fraction or 0}")


def _offset(zone: str | None) -> int:
    """Seconds east of UTC."""
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return seconds if zone[0] == "+" else -seconds
