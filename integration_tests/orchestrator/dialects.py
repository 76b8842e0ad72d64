"""One sync as each sender puts it on the wire (pure).

registry      Airbyte with `supportsRefreshes: true`: overwriting modes arrive as append modes whose minimum generation is their
              generation; only RECORD and STATE pass; COMPLETE for all streams at the end, if the source succeeded.
custom image  Airbyte with a connector that is not in its registry: `overwrite` (also for overwrite + deduped, and for what would be a
              refresh, which that dialect does not have), and never a status.
PyAirbyte     ids 1/1/1 in every sync, `sync_mode` incremental for all, statuses in the middle, unset fields as null, duplicate
              keys in STATE, times in seconds, records without namespace.

Sources: `StreamStatusCompletionTracker.kt`, `StateEnricher.kt` and `DefaultProtocolSerializer.kt` of airbytehq/airbyte-platform; `airbyte/_message_iterators.py` and `shared/catalog_providers.py` of airbytehq/PyAirbyte.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from .story import Json, Said, Selected, Stream, Sync

REGISTRY, CUSTOM_IMAGE, PYAIRBYTE = DIALECTS = ("registry", "custom image", "PyAirbyte")

_MILLISECONDS = 1_700_000_000_000

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line on the wire. `record_count`: of a STATE, how many records it acknowledges."""

    raw: bytes
    said: Said | None = None
    record_count: float | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """What a `write` gets: its catalog and its input."""

    catalog: Json
    lines: tuple[Line, ...]

    @property
    def states(self) -> list[Line]:
        return [line for line in self.lines if line.said and line.said.is_state]

    def up_to_state(self, number: int) -> Wire:
        """The input up to the STATE of this number, which counts from 1."""
        at = [at for at, line in enumerate(self.lines) if line in self.states][number - 1]
        return Wire(self.catalog, self.lines[: at + 1])


def on_the_wire(sync: Sync, dialect: str) -> Wire:
    """A sync in a sender's dialect."""
    catalog = {"streams": [_configured(each, dialect, sync.job) for each in sync.selected.values()]}
    return Wire(catalog, tuple(_LINES[dialect](sync)))


def mode_of(selected: Selected, dialect: str) -> str:
    """The `destination_sync_mode` that arrives."""
    if dialect == REGISTRY:
        return {"overwrite": "append", "overwrite_dedup": "append_dedup"}.get(selected.mode, selected.mode)
    return "overwrite" if selected.is_replaced else selected.mode


def retried(sync: Sync, acked: int, dialect: str) -> Sync:
    """The next attempt of a sync of which so many STATEs came back.

    A stream that resumes goes on after its last acknowledged STATE, in the same generation; any other one begins
    again, in the next one (`GenerationBumper.kt`: a retry bumps the streams of full refreshes).
    """
    states = [at for at, said in enumerate(sync.said) if said.is_state]
    reached = dict.fromkeys(sync.selected, -1)
    for at in states[:acked]:
        for label in sync.selected if sync.said[at].kind != "state" else sync.said[at].labels:
            reached[label] = at
    resuming = {label for label, each in sync.selected.items() if _resumes(each, dialect)}
    last = states[acked - 1] if acked else -1

    def comes_again(at: int, said: Said) -> bool:
        if said.kind == "record":
            return said.labels[0] not in resuming or at > reached[said.labels[0]]
        if said.kind == "state":
            return said.labels[0] not in resuming or at > last
        return not said.is_state or at > last or not resuming

    selected = {label: each if label in resuming else _bumped(each) for label, each in sync.selected.items()}
    return replace(
        sync,
        selected=selected,
        said=tuple(said for at, said in enumerate(sync.said) if comes_again(at, said)),
    )


def _resumes(selected: Selected, dialect: str) -> bool:
    return selected.stream.sync_mode == "incremental" and mode_of(selected, dialect) != "overwrite"


def _bumped(selected: Selected) -> Selected:
    minimum = selected.generation + 1 if selected.is_replaced else 0
    return replace(selected, generation=selected.generation + 1, minimum=minimum)


def _configured(selected: Selected, dialect: str, job: int) -> Json:
    stream, mode = selected.stream, mode_of(selected, dialect)
    described: Json = {"name": stream.name, "json_schema": stream.schema, "supported_sync_modes": [stream.sync_mode]}
    if stream.namespace is not None:
        described["namespace"] = stream.namespace
    entry: Json = {"stream": described, "sync_mode": stream.sync_mode, "destination_sync_mode": mode}
    if stream.key:
        entry["primary_key"] = [list(path) for path in stream.key]
    if stream.cursor:
        entry["cursor_field"] = list(stream.cursor)
    if dialect == PYAIRBYTE:
        described |= {"is_resumable": False, "is_file_based": False}
        return {**entry, "sync_mode": "incremental", "generation_id": 1, "minimum_generation_id": 1, "sync_id": 1}
    return {
        **entry,
        "generation_id": selected.generation,
        "minimum_generation_id": selected.minimum,
        "sync_id": 1000 + job,
    }


# ----------------------------------------------------------------------------------------------------------
# Airbyte


def _airbyte_lines(sync: Sync) -> Iterator[Line]:
    counts = _Counts()
    number = 0
    for at, said in enumerate(sync.said):
        if said.kind == "record":
            counts.record(said)
            stream = sync.selected[said.labels[0]].stream
            record: Json = {"stream": stream.name, "data": said.value, "emitted_at": _MILLISECONDS + at, **_meta(said)}
            if stream.namespace is not None:
                record["namespace"] = stream.namespace
            yield Line(_compact({"type": "RECORD", "record": record}), said)
        elif said.is_state:
            number += 1
            count = counts.state(said)
            # Members that the protocol does not name must come back too; the id is one of them.
            state = {**_state(said, sync), "sourceStats": {"recordCount": count}, "id": number, "from": {"later": None}}
            yield Line(_compact({"type": "STATE", "state": state}), said, count)


def _registry_lines(sync: Sync) -> Iterator[Line]:
    yield from _airbyte_lines(sync)
    if sync.succeeds:
        for selected in sync.selected.values():
            yield Line(_compact(_status(selected.stream, "COMPLETE", _MILLISECONDS)))


def _meta(said: Said) -> Json:
    return {"meta": {"changes": said.more["changes"]}} if "changes" in said.more else {}


class _Counts:
    """The platform's own count of the records that each STATE stands for."""

    def __init__(self) -> None:
        self._by_stream: Counter[str] = Counter()
        self._since_global = 0

    def record(self, said: Said) -> None:
        self._by_stream[said.labels[0]] += 1
        self._since_global += 1

    def state(self, said: Said) -> float:
        if said.kind == "state":
            return float(self._by_stream.pop(said.labels[0], 0))
        count, self._since_global = self._since_global, 0
        return float(count)


def _state(said: Said, sync: Sync) -> Json:
    if said.kind == "state":
        stream = sync.selected[said.labels[0]].stream
        return {"type": "STREAM", "stream": {"stream_descriptor": _descriptor(stream), "stream_state": said.value}}
    if said.kind == "legacy":
        return {"type": "LEGACY", "data": said.value}
    # GLOBAL states are not mapped: a descriptor may have the source's own name.
    streams = [
        {
            "stream_descriptor": _descriptor(sync.selected[label].stream)
            if label in sync.selected
            else {"name": label},
            "stream_state": value,
        }
        for label, value in said.more.items()
    ]
    return {"type": "GLOBAL", "global": {"shared_state": said.value, "stream_states": streams}}


def _descriptor(stream: Stream) -> Json:
    return {"name": stream.name} if stream.namespace is None else {"name": stream.name, "namespace": stream.namespace}


def _status(stream: Stream, status: str, emitted_at: float) -> Json:
    trace = {"stream_descriptor": _descriptor(stream), "status": status}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": emitted_at, "stream_status": trace}}


def _compact(message: Json) -> bytes:
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    if _SURROGATE.search(text):  # only an escape can bring half of a character
        text = json.dumps(message, separators=(",", ":"))
    return text.encode() + b"\n"


# ----------------------------------------------------------------------------------------------------------
# PyAirbyte

_UNSET = ("log", "spec", "connectionStatus", "catalog", "record", "state", "trace", "control", "destination_catalog")


def _pyairbyte_lines(sync: Sync) -> Iterator[Line]:
    counts = _Counts()
    started: set[str] = set()
    ends = _ends(sync)
    for at, said in enumerate(sync.said):
        if said.kind == "record":
            counts.record(said)
            if said.labels[0] not in started:
                started.add(said.labels[0])
                yield from _pyairbyte_start(sync, said.labels[0], at)
            yield Line(_with_nulls("RECORD", record=_pyairbyte_record(said, sync, at)), said)
        elif said.is_state:
            yield Line(_pyairbyte_state(said, sync), said, counts.state(said))
        for label, word in ends.get(at, ()):
            yield _pyairbyte_status(sync, label, word, at)
    for label, word in ends.get(len(sync.said), ()):
        yield from _pyairbyte_start(sync, label, len(sync.said))
        yield _pyairbyte_status(sync, label, word, len(sync.said))


def _pyairbyte_start(sync: Sync, label: str, at: int) -> Iterator[Line]:
    """What a source says besides its records is passed on as well."""
    unset = dict.fromkeys(("error", "estimate", "stream_status", "analytics"))
    seconds = _MILLISECONDS / 1000
    estimate = {"name": sync.selected[label].stream.name, "type": "STREAM", "namespace": None, "row_estimate": 9}
    yield _pyairbyte_status(sync, label, "STARTED", at)
    yield Line(_with_nulls("LOG", log={"level": "INFO", "message": "Reading.", "stack_trace": None}))
    for kind, content in (("ESTIMATE", estimate), ("ANALYTICS", {"type": "read", "value": "1"})):
        trace = {"type": kind, "emitted_at": seconds, **unset, kind.lower(): content}
        yield Line(_with_nulls("TRACE", trace=trace))
    yield _pyairbyte_status(sync, label, "RUNNING", at)


def _ends(sync: Sync) -> dict[int, list[tuple[str, str]]]:
    """After what a stream's end is said: where the source says it, else behind the last record or STATE of the stream."""
    ends: dict[int, list[tuple[str, str]]] = {}
    silent = set(sync.selected) if sync.succeeds else set()
    for at, said in enumerate(sync.said):
        if said.kind in ("complete", "incomplete"):
            silent -= set(said.labels)
            ends.setdefault(at, []).append((said.labels[0], said.kind.upper()))
    last = {said.labels[0]: at for at, said in enumerate(sync.said) if said.kind in ("record", "state")}
    for label in sorted(silent):
        ends.setdefault(last.get(label, len(sync.said)), []).append((label, "COMPLETE"))
    return ends


def _pyairbyte_status(sync: Sync, label: str, word: str, at: int) -> Line:
    trace = _status(sync.selected[label].stream, word, _MILLISECONDS / 1000 + at / 7)["trace"]
    trace |= {"error": None, "estimate": None, "analytics": None}
    trace["stream_status"]["reasons"] = None
    trace["stream_status"]["stream_descriptor"]["namespace"] = None
    return Line(_with_nulls("TRACE", trace=trace))


def _pyairbyte_record(said: Said, sync: Sync, at: int) -> Json:
    return {
        "namespace": None,
        "stream": sync.selected[said.labels[0]].stream.name,
        "data": said.value,
        "emitted_at": _MILLISECONDS // 1000 + at,
        "meta": _meta(said).get("meta"),
        "file_reference": None,
    }


def _with_nulls(kind: str, **content: Json) -> bytes:
    return _compact({"type": kind, **dict.fromkeys(_UNSET), **content})


def _pyairbyte_state(said: Said, sync: Sync) -> bytes:
    state = {"stream": None, "global": None, "data": None, **_state(said, sync), "sourceStats": None}
    members = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in state.items())
    twice = f'{{{members},"destinationStats":null,"global_":null,"global_":null}}'
    others = "".join(f',"{name}":null' for name in _UNSET if name != "state")
    return f'{{"type":"STATE","state":{twice}{others}}}\n'.encode()


_LINES: Mapping[str, Callable[[Sync], Iterator[Line]]] = {
    REGISTRY: _registry_lines,
    CUSTOM_IMAGE: _airbyte_lines,
    PYAIRBYTE: _pyairbyte_lines,
}
