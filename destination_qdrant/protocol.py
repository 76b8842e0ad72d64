"""The one door to Airbyte's messages: lines in, our own frozen types out; our facts in, lines out.

Reading is tolerant, because the protocol marks nearly every object as open for more: unknown types, keys and
enumeration values, null members, duplicate keys (PyAirbyte sends them), NaN literals and lone surrogates all pass.
What cannot be read is never dropped in silence.

Airbyte's own dataclasses are not used: they drop `id` and every other unknown member of a STATE, and the
platform refuses a STATE that comes back without its `id` (`docs/decisions/0003-states-are-echoed-raw.md`).
"""

from __future__ import annotations

import codecs
import json
import math
import re
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import orjson

from .errors import ConnectorError, SystemFault, TransientError
from .redaction import Redactor
from .wording import printable

#: Python's own limit for reading an integer (`sys.int_info.default_max_str_digits`).
_LONGEST_INTEGER = 4_300

#: What may be a number that a 64-bit float does not keep: more than 15 digits, or an exponent.
_MANY_DIGITS = re.compile(rb"[\d.]{17}|\d[eE][+-]?\d")

StateKind = Literal["STREAM", "GLOBAL", "LEGACY"]
LogLevel = Literal["INFO", "WARN", "ERROR"]

#: orjson reads integers from here on as floats, which would change keys and cursors.
_EXACT_BELOW = 2**63

#: Below this a time is seconds, and from the other one on none at all.
_MILLISECONDS = 10**11
_NO_TIME = 10**15

#: Levels of nesting in a RECORD or a STATE: 900 in a field of a record's data. Python's own JSON gives up somewhere below
#: 1000 calls.
_DEEPEST = 902

#: What the platform accepts at most in a message and in a stack trace (it cuts what is longer).
_MESSAGE_LIMIT = 50_000
_TRACE_LIMIT = 100_000


# The types that every record passes through are named tuples: as frozen as dataclasses, and made and hashed much faster.


class Descriptor(NamedTuple):
    """A stream's identity. A namespace of "" and none at all are the same to the platform."""

    namespace: str | None
    name: str

    @classmethod
    def of(cls, namespace: object, name: object) -> Descriptor:
        """From members of a message, whatever their types."""
        return cls(namespace if isinstance(namespace, str) and namespace else None, str(name))

    def __str__(self) -> str:
        """For a sentence: `namespace.name` or `name`."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class Record(NamedTuple):
    """A RECORD. `emitted_at` is in milliseconds, also where the sender counted seconds; `line` is where it came from."""

    descriptor: Descriptor
    data: dict[str, Any]
    emitted_at: int | None
    changes: tuple[Mapping[str, Any], ...]
    line: bytes


@dataclass(frozen=True, slots=True)
class State:
    """A STATE, kept as the bytes that came in. `streams` are the descriptors it speaks of.

    `is_reset`: a stream state in it is null or empty, or there is nothing in it at all, which is how a clear looks.
    """

    raw: bytes
    kind: StateKind
    streams: tuple[Descriptor, ...]
    is_reset: bool


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A TRACE of type STREAM_STATUS."""

    descriptor: Descriptor
    status: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that asks nothing of a destination, or a line that is no message at all."""

    is_message: bool


Message = Record | State | StreamStatus | Ignored

_TYPES = frozenset(
    {"RECORD", "STATE", "TRACE", "LOG", "SPEC", "CONNECTION_STATUS", "CATALOG", "CONTROL", "DESTINATION_CATALOG"}
)

_NO_MESSAGE = Ignored(is_message=False)
_IGNORED = Ignored(is_message=True)


class UnreadableLine(ValueError):  # noqa: N818 -- a signal between two functions, translated where the line number is known
    """The line claims to be a message that matters, and cannot be read."""


# ----------------------------------------------------------------------------------------------------------
# Lines in


def read_message(line: bytes, vectors: Container[str] = ()) -> Message:
    """Read one line; what a record has in the fields `vectors` is not looked into, because it may be many numbers.

    Raises:
        UnreadableLine: it starts like a JSON object and is none, or is a RECORD, STATE or status out of shape.
    """
    if not line.startswith(b"{"):
        line = line.strip().removeprefix(codecs.BOM_UTF8)  # a file written on Windows may begin with it
    if not line.startswith(b"{"):
        if b'"RECORD"' in line or b'"STATE"' in line:
            raise UnreadableLine  # something stands before a message, or around it
        return _NO_MESSAGE
    message = _parse(line)
    kind = message.get("type")
    if kind == "RECORD":
        return _read_record(message, line, vectors)
    if not isinstance(kind, str) or kind not in _TYPES:
        if isinstance(message.get("record"), dict) or isinstance(message.get("state"), dict):
            raise UnreadableLine  # it carries what may not be lost, under a name that nobody knows
        return _IGNORED
    read = _READERS.get(kind)
    return read(message, line.rstrip()) if read else _IGNORED


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        parsed = _parse_tolerant(line.strip())  # of blanks that are none to JSON, too
    if not isinstance(parsed, dict):
        raise UnreadableLine
    return parsed


def _parse_tolerant(line: bytes) -> Any:
    """The standard parser: exact integers of any length, NaN literals, lone surrogates.

    Bytes that are no UTF-8 become lone surrogates too, so that keys which differ in them stay different.
    """
    try:
        return json.loads(line.decode("utf-8", errors="surrogateescape"), strict=False, parse_int=_integer)
    except (ValueError, RecursionError):
        raise UnreadableLine from None


def _integer(digits: str) -> int | str:
    """Python reads integers of some thousand digits at most; longer ones stay the text they are."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else digits


def _fraction(digits: str) -> Decimal | str:
    """Decimals have an end too, at exponents of eighteen digits; what lies beyond stays the text it is."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits


def whole_data(record: Record) -> Mapping[str, Any]:
    """The data of a record with its integers exact, also those in fields that were not looked into."""
    data: Mapping[str, Any] = _parse_tolerant(record.line.strip())["record"]["data"]
    return data


def exact_data(record: Record) -> Mapping[str, Any]:
    """The data of a record with its fractions as `Decimal`, where a float would lose digits; else the data as it is."""
    if not _MANY_DIGITS.search(record.line):
        return record.data
    text = record.line.strip().decode("utf-8", errors="surrogateescape")
    parsed = json.loads(text, strict=False, parse_int=_integer, parse_float=_fraction)
    data: Mapping[str, Any] = parsed["record"]["data"]
    return data


def _is_exact(body: dict[str, Any]) -> bool:
    """Of the body of a message, whether no float is so large that it may have been an integer beyond 64 bits.

    Raises:
        UnreadableLine: something in it is nested too deeply.
    """
    is_exact, level = True, [body]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for value in level:
            is_exact &= _look_into(value, below)
        if not below:
            return is_exact
        level = below
    raise UnreadableLine


def _look_into(value: Any, below: list[Any]) -> bool:
    """Whether the floats among its members are exact; members that have members themselves are added to `below`.

    Types are compared and not asked for their kin: these are all the types that a parser makes, and every value passes.
    """
    is_exact = True
    for member in value.values() if type(value) is dict else value:
        kind = type(member)
        if kind is float:
            is_exact &= -_EXACT_BELOW < member < _EXACT_BELOW
        elif kind is dict:
            below.append(member)
        elif kind is list:
            below.append(() if _is_narrow_vector(member) else member)
    return is_exact


def _is_narrow_vector(values: list[Any]) -> bool:
    """Whether it is a list of numbers and none of them is wide: their distance from zero is longer than any of them."""
    try:
        return math.hypot(*values) < _EXACT_BELOW
    except (TypeError, OverflowError):
        return False


def _read_record(message: dict[str, Any], line: bytes, vectors: Container[str]) -> Message:
    record = message.get("record")
    if not isinstance(record, dict):
        raise UnreadableLine
    name, data = record.get("stream"), record.get("data")
    if not isinstance(name, str) or not isinstance(data, dict):
        raise UnreadableLine
    seen = {field: value for field, value in data.items() if field not in vectors} if vectors else data
    if not _is_exact({**record, "data": seen}):
        record = _parse_tolerant(line.strip())["record"]
        data = record["data"]
    meta = record.get("meta")
    changes = meta.get("changes") if isinstance(meta, dict) else None
    return Record(
        descriptor=Descriptor.of(record.get("namespace"), name),
        data=data,
        emitted_at=_milliseconds(record.get("emitted_at")),
        changes=tuple(change for change in changes if isinstance(change, dict)) if isinstance(changes, list) else (),
        line=line,
    )


def _milliseconds(emitted_at: object) -> int | None:
    """PyAirbyte's cache sends seconds; below 10^11 milliseconds would be a moment before March 1973."""
    if type(emitted_at) is int and _MILLISECONDS <= emitted_at < _NO_TIME:
        return emitted_at
    if isinstance(emitted_at, bool) or not isinstance(emitted_at, int | float):
        return None
    if not 0 <= emitted_at < _NO_TIME:  # NaN fails this too
        return None
    return int(emitted_at * 1000) if emitted_at < _MILLISECONDS else int(emitted_at)


def _read_state(message: dict[str, Any], line: bytes) -> Message:
    state = message.get("state")
    if not isinstance(state, dict):
        raise UnreadableLine
    if not _is_exact(state):
        state = _parse_tolerant(line)["state"]
    kind = _state_kind(state)
    if kind == "STREAM":
        stream = state["stream"]
        return State(line, kind, _descriptors([stream]), is_reset=not stream.get("stream_state"))
    if kind == "GLOBAL":
        listed = state["global"].get("stream_states") or []
        if not isinstance(listed, list):
            raise UnreadableLine
        listed = [stream for stream in listed if isinstance(stream, dict)]
        is_reset = not all(stream.get("stream_state") for stream in listed) or not (
            listed or state["global"].get("shared_state")
        )
        return State(line, kind, _descriptors(listed), is_reset=is_reset)
    return State(line, kind, (), is_reset=not state.get("data"))


def _state_kind(state: dict[str, Any]) -> StateKind:
    """The kind that `type` names; where it names none, the one that the members show."""
    named = state.get("type")
    for kind, member in _KINDS.items():
        if named == kind and not isinstance(state.get(member), dict):
            raise UnreadableLine
    if named in ("STREAM", "GLOBAL", "LEGACY"):
        return cast("StateKind", named)
    return next((kind for kind, member in _KINDS.items() if isinstance(state.get(member), dict)), "LEGACY")


_KINDS: Mapping[StateKind, str] = {"STREAM": "stream", "GLOBAL": "global"}


def _descriptors(streams: list[dict[str, Any]]) -> tuple[Descriptor, ...]:
    found = (stream.get("stream_descriptor") for stream in streams)
    return tuple(Descriptor.of(each.get("namespace"), each.get("name")) for each in found if isinstance(each, dict))


def _read_trace(message: dict[str, Any], _line: bytes) -> Message:
    trace = message.get("trace")
    status = trace.get("stream_status") if isinstance(trace, dict) else None
    if not isinstance(status, dict):
        return _IGNORED
    descriptor = status.get("stream_descriptor")
    name = descriptor.get("name") if isinstance(descriptor, dict) else None
    if not isinstance(descriptor, dict) or not isinstance(name, str) or not isinstance(status.get("status"), str):
        raise UnreadableLine
    return StreamStatus(Descriptor.of(descriptor.get("namespace"), name), status["status"])


_READERS: Mapping[str, Callable[[dict[str, Any], bytes], Message]] = {
    "STATE": _read_state,
    "TRACE": _read_trace,
}


# ----------------------------------------------------------------------------------------------------------
# Lines out


class MessageWriter:
    """Writes messages to a binary stream, one line each, flushed each (a pipe is block-buffered otherwise).

    Texts are masked before they are serialized, so that a mask can neither break the JSON nor miss an
    escaped secret. STATEs are never touched.
    """

    def __init__(self, stream: BinaryIO, redactor: Redactor | None = None) -> None:
        self._stream = stream
        self._redactor = redactor or Redactor(())
        self._lock = threading.Lock()

    def redact(self, redactor: Redactor) -> None:
        """Mask these secrets from now on."""
        self._redactor = redactor

    def state(self, line: bytes) -> None:
        """Emit a STATE as it is."""
        self._write(line)

    def spec(self, spec: Mapping[str, Any]) -> None:
        """Emit the connector's specification."""
        self._emit({"type": "SPEC", "spec": spec})

    def connection_status(self, *, succeeded: bool, message: str) -> None:
        """Emit the outcome of a check."""
        status, text = "SUCCEEDED" if succeeded else "FAILED", self._mask(message)[:_MESSAGE_LIMIT]
        self._emit({"type": "CONNECTION_STATUS", "connectionStatus": {"status": status, "message": text}})

    def log(self, level: LogLevel, message: str) -> None:
        """Emit a log line."""
        self._emit({"type": "LOG", "log": {"level": level, "message": self._mask(message)[:_MESSAGE_LIMIT]}})

    def error(self, error: ConnectorError, stack_trace: str = "") -> None:
        """Emit the TRACE that tells the platform why the sync fails and whether to try again."""
        body = {
            "message": self._mask(error.message)[:_MESSAGE_LIMIT],
            "internal_message": self._mask(error.internal_message)[:_MESSAGE_LIMIT],
            "stack_trace": self._mask(stack_trace)[:_TRACE_LIMIT],
            "failure_type": error.failure_type,
        }
        self._emit({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": time.time() * 1000, "error": body}})

    def _mask(self, text: str) -> str:
        return self._redactor.mask(text).encode("utf-8", errors="replace").decode()

    def _emit(self, message: Mapping[str, Any]) -> None:
        self._write(orjson.dumps(message))

    def _write(self, line: bytes) -> None:
        with self._lock:
            self._stream.write(line + b"\n")
            self._stream.flush()


class TextWriter(MessageWriter):
    """The same for a person at a terminal: what is said comes as lines of text, and no STATE does.

    Names come from sources, and a terminal obeys some characters: what is not printable is shown as Python writes it.
    """

    def state(self, line: bytes) -> None:
        """Nothing: nobody keeps it."""

    def log(self, level: LogLevel, message: str) -> None:
        """Write a line of text."""
        del level
        self._write(printable(self._mask(message)).encode())

    def error(self, error: ConnectorError, stack_trace: str = "") -> None:
        """Write what went wrong, and not where."""
        del stack_trace
        self.log("ERROR", error.message)


# ----------------------------------------------------------------------------------------------------------
# The one change a STATE may suffer

_DECODER = json.JSONDecoder(strict=False, parse_int=str)  # values are not looked at, and may have any length
_BLANKS = " \t\r\n"


def with_counts(
    raw: bytes, record_count: int, rejected_count: int = 0, additional: Mapping[str, float] | None = None
) -> bytes:
    """The STATE line with `destinationStats` set, every other byte as it came.

    Counts are JSON floats because the protocol says so. `additional` are numbers of the destination's own, by names
    that need no escape (`additionalStats`, protocol 0.19). Works on the text, since no parser keeps integers,
    number spellings, duplicate members and lone surrogates all at once.
    """
    stats = f'"recordCount":{float(record_count)}'
    if rejected_count:
        stats += f',"rejectedRecordCount":{float(rejected_count)}'
    if additional:
        members = ",".join(f'"{name}":{float(number)}' for name, number in additional.items())
        stats += f',"additionalStats":{{{members}}}'
    text = raw.decode("utf-8", errors="surrogateescape")
    states = [span for name, *span in _members(text, text.index("{")) if name == "state"]
    start, end = states[-1]  # of duplicate members the last one counts
    old = [span for name, *span in _members(text, start) if name == "destinationStats"]
    if old:
        for old_start, old_end in reversed(old):
            text = f"{text[:old_start]}{{{stats}}}{text[old_end:]}"
    else:
        comma = "" if text[start + 1 : end - 1].strip(_BLANKS) == "" else ","
        text = f'{text[: end - 1]}{comma}"destinationStats":{{{stats}}}{text[end - 1 :]}'
    return text.encode("utf-8", errors="surrogateescape")


def _members(text: str, start: int) -> list[tuple[str, int, int]]:
    """The members of the JSON object that starts at `start`: name, and where the value begins and ends."""
    members = []
    at = _skip_blanks(text, start + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        value_at = _skip_blanks(text, _skip_blanks(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value_at)
        members.append((name, value_at, end))
        at = _skip_blanks(text, end)
        if text[at] == ",":
            at = _skip_blanks(text, at + 1)
    return members


def _skip_blanks(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at


def unreadable(line_number: int) -> SystemFault:
    """The failure for an input line that matters and cannot be read; its content is not shown."""
    return SystemFault(
        f"Line {line_number} of the input is not a readable Airbyte message, so the sync stops before anything is lost; "
        "look at that line of the source's output."
    )


def is_cut_off(line: bytes) -> bool:
    """Whether a line that cannot be read is the beginning of a message: no newline, and no complete JSON."""
    text = line.strip().removeprefix(codecs.BOM_UTF8)
    if line.endswith(b"\n") or not text.startswith(b"{"):
        return False
    try:
        json.loads(text.decode("utf-8", errors="surrogateescape"), strict=False, parse_int=_integer)
    except RecursionError:
        return False  # too deep to tell, which is reason enough to stop
    except ValueError:
        return True
    return False


def cut_off(line_number: int) -> TransientError:
    """The failure for a last line that has no end and cannot be read: the sender was gone before it had said it."""
    return TransientError(
        f"The input ended in the middle of line {line_number}; what was acknowledged is stored, and the next sync brings what is missing."
    )


def too_long(line_number: int, limit: int) -> SystemFault:
    """The failure for an input line that does not end within `limit` bytes."""
    return SystemFault(
        f"Line {line_number} of the input is longer than {limit // 2**20} MiB, which no record is; "
        "look at that line of the source's output."
    )
