"""Scenarios: what a connection goes through, told once and in no sender's dialect.

A folder in `scenarios/` holds one `scenario.yaml`:

    about:    one sentence: what holds
    keys_show: false where what is stored does not show a record's key (the reason in a comment): after a kill
              nothing can be said of versions then, only of what the retry leaves
    config:   merged over `BASE_CONFIG`
    streams:  what the source has, by label: name (the label unless given), namespace, key, cursor, schema,
              sync (incremental unless given, or full_refresh)
    syncs:    one after the other; each has
      streams:  label -> {mode, generation, minimum, refresh}: how the connection is set. Modes are the four that a
                user sees: append, append_dedup, overwrite, overwrite_dedup. The generation is 0 unless given. A `key` or
                `cursor` here stands in for the stream's own. With `refresh: true` (and in the overwriting modes) the
                stream is being replaced: its minimum is its generation
      source:   what the source says, in order
                  - LABEL: {...}                 a record
                  - LABEL: {...}, changes: [...]  with `meta.changes`
                  - LABEL: {...}, becomes: {...}  what is stored of it, where that is not what was sent; null for nothing
                  - state: LABEL, at: VALUE      a STATE of the stream; null for a reset
                  - global: VALUE, of: {NAME or LABEL: VALUE}     a GLOBAL state
                  - legacy: VALUE                a LEGACY state
                  - complete: LABEL              } said by the source itself; without them a source that succeeds
                  - incomplete: LABEL            } completes each stream after its last record
                A member `letters of F: N` of a record gives it a field F with a text of N letters, and `small fields: N`
                N fields of a few letters each; so it does in `becomes` and `stored`
      repeated: how often the source says all of it (1 unless given); "{n}" in a text becomes 1, 2, …, and so does a "{n}"
                that is alone, as a number
      ends:     succeeded (unless given) | failed | {killed: N}: killed when N of its STATEs were acknowledged, and
                nothing after the last of them had been sent
      again: true   instead of `streams`: the next attempt of the sync before, as the platform would make it; `source` is
                    what the source then says beyond what it had said before
      then:     what holds afterwards
                  stored: {LABEL: [{...}, ...]}   the records of each stream, in any order; a label that is missing: none
                  exit: 0 unless given;  error: the failure type;  says: texts in the error or in lines of the log,
                        which begin with their level
                  numbers: {STREAM: {COLUMN: N}}  what is not zero in the table at the end of the log; columns that are
                        missing here may have any number
                  acked: how many STATEs came back; all that were sent unless given
      in registry / in custom image / in PyAirbyte:   what differs from `then` in that dialect
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

Json = dict[str, Any]

SCENARIOS = Path(__file__).parent / "scenarios"

#: Whatever form a leaked key takes, this part of it looks the same.
SECRET = "s3cret-8d1f"

BASE_CONFIG: Json = {
    "processing": {"chunk_size": 20, "text_fields": ["body"]},
    "embedding": {"mode": "fake"},
    # Small batches: many of them are under way at once, and STATEs come back while others wait.
    "indexing": {"batch_size": 2, "auth_method": {"mode": "api_key_auth", "api_key": SECRET + "\"key\\with/marks'"}},
}

#: How much of a record's text gives it away, at its start, in the middle or at its end.
_TELLING_LETTERS = 32


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the source."""

    label: str
    name: str
    namespace: str | None
    key: tuple[tuple[str, ...], ...]
    cursor: tuple[str, ...]
    schema: Json
    sync_mode: str


@dataclass(frozen=True, slots=True)
class Selected:
    """A stream as one sync has it."""

    stream: Stream
    mode: str
    generation: int = 0
    minimum: int = 0

    @property
    def is_replaced(self) -> bool:
        return self.mode.startswith("overwrite") or self.minimum > 0


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that the source says. `labels`: the streams it is about."""

    kind: Literal["record", "state", "global", "legacy", "complete", "incomplete"]
    labels: tuple[str, ...] = ()
    value: Any = None
    more: Json = field(default_factory=dict)

    @property
    def is_state(self) -> bool:
        return self.kind in ("state", "global", "legacy")


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync: how the connection is set, what the source says, and how that ends. All attempts of a `job` have its number."""

    selected: Mapping[str, Selected]
    said: tuple[Said, ...]
    succeeds: bool = True
    kill_after: int | None = None
    is_retry: bool = False
    job: int = 1
    then: Mapping[str, Json] = field(default_factory=dict)

    def expected(self, dialect: str) -> Json:
        """What holds afterwards, in this dialect."""
        return {**self.then.get("", {}), **self.then.get(dialect, {})}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A folder of `scenarios/`."""

    name: str
    about: str
    config: Json
    syncs: tuple[Sync, ...]
    keys_show: bool = True


_DIALECTS = ("registry", "custom image", "PyAirbyte")
_MORE = {"state": ("at",), "global": ("of",), "legacy": (), "complete": (), "incomplete": ()}


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: no dates, and only true and false are booleans."""


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool", ":int", ":float"))
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _letters in (
    ("bool", "true|false", "tf"),
    ("int", "-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|-?\.inf|\.nan", "-.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_letters))


def names() -> list[str]:
    """Every scenario, by name."""
    return sorted(path.parent.name for path in SCENARIOS.glob("*/scenario.yaml"))


def load(name: str) -> Scenario:
    """Read a scenario."""
    with (SCENARIOS / name / "scenario.yaml").open(encoding="utf-8") as file:
        raw = yaml.load(file, Loader=_Loader)  # noqa: S506 -- a SafeLoader with fewer types
    _known(raw, "about", "keys_show", "config", "streams", "syncs")
    streams = {label: _stream(label, each or {}) for label, each in raw["streams"].items()}
    syncs: list[Sync] = []
    for each in raw["syncs"]:
        syncs.append(_sync(each, streams, syncs[-1] if syncs else None))
    return Scenario(
        name, raw["about"], _merged(BASE_CONFIG, raw.get("config", {})), tuple(syncs), raw.get("keys_show", True)
    )


def _known(raw: Json, *names: str) -> None:
    """A misspelt expectation would never be looked at."""
    assert raw.keys() <= set(names), raw.keys() - set(names)


def _merged(base: Json, over: Json) -> Json:
    """`over` on top of `base`, object by object; an object with a mode of its own replaces."""
    merged = dict(base)
    for name, value in over.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict) and "mode" not in value
        merged[name] = _merged(base[name], value) if nested else value
    return merged


def _stream(label: str, raw: Json) -> Stream:
    _known(raw, "name", "namespace", "key", "cursor", "schema", "sync")
    return Stream(
        label=label,
        name=raw.get("name", label),
        namespace=raw.get("namespace"),
        key=tuple(map(tuple, raw.get("key", ()))),
        cursor=tuple(raw.get("cursor", ())),
        schema=raw.get("schema", {}),
        sync_mode=raw.get("sync", "incremental"),
    )


def _sync(raw: Json, streams: Mapping[str, Stream], before: Sync | None) -> Sync:
    dialects = {name.removeprefix("in "): _expected(raw[name]) for name in raw if name.startswith("in ")}
    _known(raw, "streams", "source", "repeated", "ends", "again", "then", *(f"in {each}" for each in _DIALECTS))
    ends = raw.get("ends", "succeeded")
    kill_after = ends["killed"] if isinstance(ends, dict) else None
    assert kill_after is None or kill_after > 0, "a kill comes after a STATE"
    common = {
        "succeeds": ends == "succeeded",
        "kill_after": kill_after,
        "then": {"": _expected(raw.get("then", {})), **dialects},
    }
    said = tuple(
        _said(_numbered(each, number), streams)
        for number in range(1, raw.get("repeated", 1) + 1)
        for each in raw.get("source", ())
    )
    if raw.get("again"):
        assert before is not None
        assert not before.is_retry, "an attempt is retried once"
        return Sync(before.selected, (*before.said, *said), is_retry=True, job=before.job, **common)
    selected = {label: _selected(streams[label], each or {}) for label, each in raw["streams"].items()}
    return Sync(selected, said, job=before.job + 1 if before else 1, **common)


def _selected(stream: Stream, raw: Json) -> Selected:
    _known(raw, "mode", "generation", "minimum", "refresh", "key", "cursor")
    mode, generation = raw.get("mode", "append"), raw.get("generation", 0)
    replaced = raw.get("refresh", False) or mode.startswith("overwrite")
    stream = replace(
        stream,
        key=tuple(map(tuple, raw["key"])) if "key" in raw else stream.key,
        cursor=tuple(raw.get("cursor", stream.cursor)),
    )
    return Selected(stream, mode, generation, raw.get("minimum", generation if replaced else 0))


def _grown(data: Any) -> Any:
    """A record with the long texts and the many fields that it only names."""
    if not isinstance(data, dict):
        return data
    grown: Json = {}
    for name, value in data.items():
        if name.startswith("letters of "):
            grown[name.removeprefix("letters of ")] = ("plenty " * (value // 7 + 1))[:value].strip()
        elif name == "small fields":
            grown |= {f"field_{number}": f"small value {number}" for number in range(value)}
        else:
            grown[name] = value
    return grown


def _expected(raw: Json) -> Json:
    """What holds, with the stored records grown."""
    _known(raw, "stored", "exit", "error", "says", "numbers", "acked")
    if "stored" not in raw:
        return raw
    return {**raw, "stored": {label: [_grown(each) for each in rows] for label, rows in raw["stored"].items()}}


def _numbered(each: Any, number: int) -> Any:
    if isinstance(each, dict):
        return {_numbered(name, number): _numbered(value, number) for name, value in each.items()}
    if isinstance(each, list):
        return [_numbered(value, number) for value in each]
    if each == "{n}":
        return number
    return each.replace("{n}", str(number)) if isinstance(each, str) else each


def _said(raw: Json, streams: Mapping[str, Stream]) -> Said:
    (kind, value), *more = raw.items()
    rest = dict(more)
    _known(rest, *_MORE.get(kind, ("changes", "becomes")))
    if kind == "state":
        return Said("state", (value,), rest["at"])
    if kind == "global":
        return Said("global", tuple(rest.get("of", {})), value, rest.get("of", {}))
    if kind == "legacy":
        return Said("legacy", (), value)
    if kind in ("complete", "incomplete"):
        return Said(kind, (value,))  # type: ignore[arg-type]
    assert kind in streams, f"{kind} is no stream of this scenario"
    if "becomes" in rest:
        rest["becomes"] = _grown(rest["becomes"])
    return Said("record", (kind,), _grown(value), rest)


def record_texts(sync: Sync) -> Iterator[str]:
    """The texts in a sync's records that must not be seen in any output, JSON-escaped as they would be there."""
    for said in sync.said:
        if said.kind == "record":
            for part in _parts(said.value):
                yield json.dumps(part)[1:-1]
                if not part.isascii():
                    yield json.dumps(part, ensure_ascii=False)[1:-1]


def _parts(value: Any) -> Iterator[str]:
    for text in _texts(value):
        last = max(0, len(text) - _TELLING_LETTERS)
        for start in sorted({0, last // 2, last}):
            yield text[start : start + _TELLING_LETTERS]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
