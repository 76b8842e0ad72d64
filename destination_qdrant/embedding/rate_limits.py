"""How long a provider wants to be left alone, by the headers of its answer (pure).

    retry-after-ms                      milliseconds; OpenAI's finer form of the next one
    retry-after                         seconds, or a date (RFC 9110, section 10.2.3)
    x-ratelimit-remaining-requests      what is left of an allowance; -tokens likewise
    x-ratelimit-reset-requests          when there is some again, as a Go duration (`1s`, `6m0s`, `20ms`, `1h2m`) or in
                                        seconds; -tokens likewise

What cannot be read, or is longer than a day, was not said: headers are written by anybody, and none breaks a sync.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_PLAIN: Final = re.compile(_NUMBER, re.ASCII)
_PART: Final = re.compile(rf"({_NUMBER})(ms|us|\u00b5s|\u03bcs|ns|h|m|s|d)")
_DURATION: Final = re.compile(rf"(?:{_NUMBER}(?:ms|us|\u00b5s|\u03bcs|ns|h|m|s|d)){{1,8}}")
_UNITS: Final = {
    "d": 86_400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ns": 1e-9,
}

#: Allowances are per minute or per day; more is a time stamp, or nonsense.
_LONGEST: Final = 86_400.0
_LONGEST_VALUE: Final = 64


def hold(headers: Mapping[str, str]) -> float:
    """Seconds until something is allowed again, when nothing is; 0 when something is."""
    waits = (_reset(headers, what) for what in ("requests", "tokens") if _is_exhausted(headers, what))
    return max(waits, default=0.0)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a refusal asks to wait; None when it does not say."""
    milliseconds = _plain(_value(headers, "retry-after-ms"))
    if milliseconds is not None and (wait := _sane(milliseconds / 1000)) is not None:
        return wait
    after = _value(headers, "retry-after")
    for read in (_sane(_plain(after)), _until(after, _value(headers, "date"))):
        if read is not None:
            return read
    return hold(headers) or None


def _value(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    return value if len(value) <= _LONGEST_VALUE else ""


def _is_exhausted(headers: Mapping[str, str], what: str) -> bool:
    """Only at zero: some gateways say -1 for "nobody counts"."""
    return _plain(_value(headers, f"x-ratelimit-remaining-{what}")) == 0


def _reset(headers: Mapping[str, str], what: str) -> float:
    value = _value(headers, f"x-ratelimit-reset-{what}")
    return _sane(_plain(value)) or _sane(_duration(value)) or 0.0


def _plain(value: str) -> float | None:
    return float(value) if _PLAIN.fullmatch(value) else None


def _duration(value: str) -> float | None:
    if not _DURATION.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))


def _until(date: str, now: str) -> float | None:
    """Seconds from the answer's own date to another, so that no clock here has to agree with the provider's."""
    then, today = _date(date), _date(now)
    return None if then is None or today is None else _sane(max(0.0, (then - today).total_seconds()))


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _sane(seconds: float | None) -> float | None:
    return seconds if seconds is not None and seconds <= _LONGEST else None
