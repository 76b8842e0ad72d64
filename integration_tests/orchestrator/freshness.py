"""What may be in Qdrant after a kill, and what must be (pure).

A model of the promises in `docs/delivery.md`, written without the connector's code:

1.  A record whose STATE came back is there with all its chunks; in append_dedup, it or a version of its key that
    is no older (of which chunks may be missing while it is on its way), or nothing where a delete of it was sent.
2.  What was there before is there still, unless this sync sent a newer version of its key, or the stream was being
    replaced and everything of it had been sent and stored.
3.  Of a key whose STATE came back no older version is left, not even a chunk.
4.  Nothing is there that nobody sent.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .content import Content, Copies, Row, row
from .dialects import mode_of
from .story import Json, Selected, Stream, Sync

_NOBODY = Copies(0)

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as it was sent: what is stored of it (None for a delete), and whether a STATE after it came back."""

    data: Json
    stored: Row | None
    is_acked: bool


def losses(sync: Sync, dialect: str, acked: int, before: Content, after: Content) -> list[str]:
    """What is missing, or should not be there, after a kill of this sync when so many of its STATEs had come back."""
    found: list[str] = []
    for label, selected in sync.selected.items():
        sent = list(_sent(sync, label, dialect, acked))
        old = {each: copies for each, copies in before.items() if each[0] == label}
        new = {each: copies for each, copies in after.items() if each[0] == label}
        is_dedup = mode_of(selected, dialect) == "append_dedup"
        check = _dedup_losses if is_dedup else _append_losses
        found += check(selected, sent, old, new)
        alien = new.keys() - old.keys() - {each.stored for each in sent}
        found += [f"nobody sent {each}" for each in alien]
    return found


def _sent(sync: Sync, label: str, dialect: str, acked: int) -> Iterator[Sent]:
    selected = sync.selected[label]
    states = [at for at, said in enumerate(sync.said) if said.is_state]
    covering = (at for at in states[:acked] if sync.said[at].kind != "state" or label in sync.said[at].labels)
    reached = max(covering, default=-1)
    deletes = mode_of(selected, dialect) == "append_dedup"
    for at, said in enumerate(sync.said):
        if said.kind == "record" and said.labels == (label,):
            form = None if deletes and is_delete(said.value) else said.more.get("becomes", stored_form(said.value))
            yield Sent(said.value, form and row(label, form), at < reached)


def is_delete(data: Json) -> bool:
    return data.get("_ab_cdc_deleted_at") is not None


def stored_form(data: Json) -> Json | None:
    """What a record looks like in Qdrant; None for one without text, which is not stored."""
    body = data.get("body")
    if not isinstance(body, str) or not body.strip():
        return None
    return {name: _stored_value(value) for name, value in data.items()}


def _stored_value(value: Any) -> Any:
    match value:
        case dict():
            return {name: _stored_value(each) for name, each in value.items()}
        case list():
            return [_stored_value(each) for each in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _append_losses(selected: Selected, sent: Sequence[Sent], old: Content, new: Content) -> Iterator[str]:
    needed = Counter(each.stored for each in sent if each.is_acked and each.stored)
    all_of_it = Counter(each.stored for each in sent if each.stored)
    gone = [each for each, copies in old.items() if new.get(each, _NOBODY).whole < copies.whole]
    if selected.is_replaced and not any(_missing(all_of_it, new)):
        return  # all that is new is there, so that all that is old may be gone, or not yet
    yield from (f"old record {each} is gone" for each in gone)
    for each, copies in old.items():
        needed[each] += copies.whole
    yield from (f"acknowledged record {each} is not there" for each in _missing(needed, new))


def _missing(needed: Mapping[Row, int], there: Content) -> Iterator[Row]:
    return (each for each, count in needed.items() if there.get(each, _NOBODY).whole < count)


def _dedup_losses(selected: Selected, sent: Sequence[Sent], old: Content, new: Content) -> Iterator[str]:
    stream = selected.stream
    sent_by_key: defaultdict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        sent_by_key[key_of(stream, each.data)].append(each)
    old_by_key, new_by_key = _by_key(stream, old), _by_key(stream, new)
    everything = all(
        _allowed(selected, old_by_key[key], versions, len(versions)) & {None, *new}
        for key, versions in sent_by_key.items()
    )
    for key in sent_by_key.keys() | old_by_key.keys():
        versions, had, has = sent_by_key[key], old_by_key[key], new_by_key[key]
        whole = {each for each in has if new[each].whole}
        acked = sum(each.is_acked for each in versions)
        allowed = _allowed(selected, had, versions, acked)
        if not acked:
            allowed |= set(had)
        if not versions and selected.is_replaced and everything:
            allowed.add(None)
        later = {each.stored for each in versions[acked:]}
        stands = any(_stands(each, later, old, new) for each in allowed - later if each)
        if not stands and not whole & (allowed | later) and None not in allowed:
            yield f"no version of key {key} that may be there is there: {sorted(has)} instead of {allowed}"
        if acked:
            yield from (f"a stale version of key {key} is left: {each}" for each in has if each not in allowed | later)


def _stands(version: Row, later: set[Row | None], old: Content, new: Content) -> bool:
    """Whether every chunk of a version is there, but for those whose places later ones have taken on their way."""
    known = new.get(version) or old.get(version)
    taken = frozenset().union(*(new[each].places for each in later if each in new))
    if known is None:
        return bool(taken)  # nothing is left of it, nor is it known how many chunks it had
    return set(range(known.count)) <= taken | new.get(version, _NOBODY).places


def _allowed(selected: Selected, had: Sequence[Row], versions: Sequence[Sent], at_least: int) -> set[Row | None]:
    """The versions of a key that may be there.

    In a replaced stream only its own generation counts, which content does not show: what was there may be of it, from
    an attempt before, or it may be what is being replaced.
    """
    allowed = _may_be_there(selected.stream, had, versions, at_least)
    if selected.is_replaced and versions:
        allowed |= _may_be_there(selected.stream, [], versions, max(at_least, 1))
    return allowed


def _by_key(stream: Stream, content: Iterable[Row]) -> defaultdict[str, list[Row]]:
    by_key: defaultdict[str, list[Row]] = defaultdict(list)
    for each in content:
        by_key[key_of(stream, json.loads(each[1]))].append(each)
    return by_key


def _may_be_there(stream: Stream, had: Sequence[Row], versions: Sequence[Sent], at_least: int) -> set[Row | None]:
    """The versions of a key that win after so many of its records, or after more of them; None for no version."""
    winners: set[Row | None] = set()
    winner: tuple[Json, Row | None] | None = None
    for each in had:
        winner = _newer(stream, winner, (json.loads(each[1]), each))
    for number in range(len(versions) + 1):
        if number >= at_least:
            winners.add(winner[1] if winner else None)
        if number < len(versions):
            winner = _newer(stream, winner, (versions[number].data, versions[number].stored))
    return winners


def _newer(
    stream: Stream, one: tuple[Json, Row | None] | None, other: tuple[Json, Row | None]
) -> tuple[Json, Row | None]:
    """The version that stays, of an earlier and a later arrival. What was deleted is forgotten."""
    if one is None or one[1] is None or not stream.cursor:
        return other
    return one if _is_older(_at(other[0], stream.cursor), _at(one[0], stream.cursor)) else other


def _is_older(one: Any, other: Any) -> bool:
    if other is None or one is None:
        return other is not None
    for read in (_number, _instant):
        left, right = read(one), read(other)
        if left is not None and right is not None:
            return bool(left < right)
    return False


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _instant(value: Any) -> float | None:
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return (read if read.tzinfo else datetime.fromisoformat(f"{read.isoformat()}+00:00")).timestamp()


def key_of(stream: Stream, data: Json) -> str:
    """A key as text, with its types; a record without any part of its key is its own key."""
    parts = [_at(data, path, _MISSING) for path in stream.key]
    if all(part is None or part is _MISSING for part in parts):
        return json.dumps({name: data[name] for name in data if not name.startswith("_ab_")}, sort_keys=True)
    return json.dumps([[] if part is _MISSING else [_plain(part)] for part in parts], sort_keys=True)


def _plain(value: Any) -> Any:
    """A value such that equal numbers are written equally, and as they are stored."""
    match value:
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
    return value


def _at(data: Any, path: Iterable[str], default: Any = None) -> Any:
    for name in path:
        if not isinstance(data, dict) or name not in data:
            return default
        data = data[name]
    return data
