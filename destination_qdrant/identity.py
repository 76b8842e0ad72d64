"""Who a record is, and which point ids its chunks get (pure).

Rules:

1.  A key is the list of (path, value) pairs sorted by path, written as canonical JSON: values keep their type
    (true is not 1, "1" is not 1), 1 equals 1.0, null is not a missing field. No separator can collide.
    A number that no 64-bit float holds keeps all of its digits. A text above 1,024 characters is its own digest.
2.  A key whose parts are all null or missing identifies nothing. Such a record is identified by its whole
    content, so that it is never merged with another one and a repeated delivery changes nothing.
3.  Point ids are UUIDv5, always over a JSON list whose first member names the kind of identity, so that no two
    kinds can meet. A keyed id holds no generation: one key has one version, whatever refresh wrote it.

`unit_tests/golden_ids.json` pins both: an id that changes would double every point already stored.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from .catalog import DestinationStream, Path
from .fields import declared_types
from .protocol import Descriptor

#: The UUID under which all ids of this connector live. Never change it.
_NAMESPACE = bytes.fromhex("8f0c0b3e5a6d5f0e9c3b7d1a4e2f6a90")

#: The first digit of an id's fourth group: its upper two bits are 10 (RFC 9562).
_VARIANT = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}

_ABSENT = object()

#: A longer key is stored as its digest: it would stand in every chunk of its record.
_LONGEST_KEY = 1024

#: Digits of the widest integer that a fraction with an exponent is turned into.
_WIDEST_INTEGER = 400


class RecordKey(NamedTuple):
    """What makes a record itself within its stream, as canonical JSON text.

    `is_content`: the text stands for the whole content, because the key columns were empty.
    """

    text: str
    is_content: bool = False


def record_key(data: Mapping[str, Any], paths: tuple[Path, ...]) -> RecordKey:
    """The key of a record by these (sorted) paths."""
    pairs, is_empty = [], True
    for path in paths:
        value = value_at(data, path)
        is_empty = is_empty and (value is None or value is _ABSENT)
        pairs.append(_pair(_name(path), value))
    if is_empty:
        return RecordKey(canonical({"content": _digest(canonical(data))}), is_content=True)
    text = f"[{','.join(pairs)}]"
    return RecordKey(text if len(text) <= _LONGEST_KEY else canonical({"digest": _digest(text)}))


@lru_cache(maxsize=1024)  # as many as a sync has key columns, or nearly
def _name(path: Path) -> str:
    return canonical(path)


def _pair(name: str, value: Any) -> str:
    """Path and value as canonical JSON; the path is that already."""
    if type(value) is int or type(value) is str:
        return f"[{name},{_scalar(value)}]"
    if value is _ABSENT:
        return f"[{name}]"
    plain = _plain(value) if isinstance(value, Decimal) else value
    if isinstance(plain, Decimal):
        sign, digits, exponent = plain.as_tuple()
        shown = "".join(map(str, digits)).lstrip("0")
        short = shown.rstrip("0")  # 1.20 and 1.2 are one number
        return f'[{name},"{"-" * sign}{short}e{int(exponent) + len(shown) - len(short)}","decimal"]'
    return f"[{name},{_scalar(plain)}]"


def _scalar(value: Any) -> str:
    """`canonical`, in a tenth of the time for what nearly all keys are."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    return str(value) if type(value) is int else canonical(value)


def _plain(number: Decimal) -> Decimal | float:
    """The integer or float that is exactly this number; the number itself when there is none."""
    if number.is_zero():
        return 0
    if number.adjusted() > _WIDEST_INTEGER:
        return number
    if number == number.to_integral_value():
        return int(number)
    near = float(number)
    return near if math.isfinite(near) and Decimal(repr(near)) == number else number


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def value_at(data: Mapping[str, Any], path: Path, default: Any = _ABSENT) -> Any:
    """The value at a path of names; `default` when there is none."""
    value: Any = data
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return default
        value = value[name]
    return value


def canonical(value: Any) -> str:
    """One text per JSON value: sorted members, no blanks, numbers that are equal written equally."""
    return json.dumps(_normal(value), sort_keys=True, separators=(",", ":"))


def _normal(value: Any) -> Any:
    """A copy with whole numbers as integers; made without recursion, as a record may be nested more than Python calls."""
    copy = [value]
    pending: list[Any] = [copy]
    while pending:
        container = pending.pop()
        for place, member in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(member, float | Decimal):  # a decimal inside a value is the float that others read there
                number = float(member)
                container[place] = int(number) if number.is_integer() else number
            elif isinstance(member, dict | list | tuple):
                container[place] = dict(member) if isinstance(member, dict) else list(member)
                pending.append(container[place])
    return copy[0]


class PointIds:
    """The point ids of one record, by chunk index."""

    __slots__ = ("_begun",)

    def __init__(self, kind: str, *parts: str | int) -> None:
        # Hashing the common beginnings once is what makes this cheaper than uuid.uuid5, with the same result.
        *common, own = parts
        self._begun = _begun(kind, *common).copy()
        self._begun.update(f"{_scalar(own)},".encode())

    def __getitem__(self, chunk_index: int) -> str:
        """The id of a chunk, as a lower-case hyphenated UUID."""
        digest = self._begun.copy()
        digest.update(b"%d]" % chunk_index)
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


@lru_cache(maxsize=1024)  # as many as a sync has streams, or nearly
def _begun(kind: str, *parts: str | int) -> hashlib._Hash:
    """The hash of what the ids of many records begin with."""
    beginning = f"{canonical([kind, *parts])[:-1]},"
    return hashlib.sha1(_NAMESPACE + beginning.encode(), usedforsecurity=False)


def keyed_ids(descriptor: Descriptor, key: RecordKey) -> PointIds:
    """Ids that every sync gives to the record of this key (append_dedup)."""
    return PointIds("key", descriptor.namespace or "", descriptor.name, key.text)


def run_ids(run_id: str, line_number: int) -> PointIds:
    """Ids that only this run gives to the record of this input line (append, overwrite)."""
    return PointIds("run", run_id, line_number)


# ----------------------------------------------------------------------------------------------------------
# The identity that Airbyte's connector gave to records, which points of its syncs still carry


def airbyte_record_id(data: Mapping[str, Any], stream: DestinationStream) -> str:
    """`_ab_record_id` as Airbyte's connector writes it: readable, and ambiguous."""
    values = (value_at(data, path, "__not_found__") for path in stream.primary_key)
    return f"{stream.identifier}_{'_'.join(map(str, values))}"


def is_plain_identifier(descriptor: Descriptor) -> bool:
    """Whether `_ab_stream` of Airbyte's connector can mean no other stream.

    It joins namespace and name by an underscore, so `a_b` may be the stream b of namespace a.
    """
    return descriptor.namespace is None and "_" not in descriptor.name[:-1]


def is_plain_record_id(data: Mapping[str, Any], stream: DestinationStream) -> bool:
    """Whether `airbyte_record_id` can mean no other key of this stream.

    It joins the values by underscores and forgets their types: ("a_b", "c") meets ("a", "b_c"), 1 meets "1".
    """
    values = [value_at(data, path) for path in stream.primary_key]
    if len(values) > 1 and any("_" in str(value) for value in values):
        return False
    return all(
        _type_is_certain(value, path, stream.json_schema)
        for value, path in zip(values, stream.primary_key, strict=True)
    )


def _type_is_certain(value: Any, path: Path, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    if isinstance(value, str) and not _could_be_other_type(value):
        return True
    declared: Any = schema
    for name in path:
        properties = declared.get("properties") if isinstance(declared, dict) else None
        declared = properties.get(name) if isinstance(properties, dict) else None
    return declared_types(declared) - {"null"} == {"string" if isinstance(value, str) else "integer"}


def _could_be_other_type(text: str) -> bool:
    if text in {"None", "True", "False", "__not_found__"}:
        return True
    try:
        float(text)
    except ValueError:
        return text[:1] in "[{"
    return True
