"""Points as the records that they are chunks of (pure)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .story import Json, Stream

#: A record: the label of its stream, and its data as JSON with sorted members. `_ab_meta` is one of them: what the
#: record lost on the way.
Row = tuple[str, str]

#: What the connector adds to a record (see the README); everything else in a payload is the record's own.
ADDED = frozenset(
    {
        "text",
        "_ab_stream",
        "_ab_namespace",
        "_ab_record_id",
        "_ab_record_key",
        "_ab_chunk_index",
        "_ab_chunk_count",
        "_ab_extracted_at",
        "_ab_cursor",
        "_ab_loaded_at",
        "_ab_generation_id",
        "_ab_sync_id",
        "_ab_run_id",
        "_ab_content_hash",
        "_ab_record_hash",
    }
)


#: When every record of every scenario was read, in whatever unit its sender says so.
_MOMENT = "2023-11-14T"


@dataclass(frozen=True, slots=True)
class Copies:
    """How often a record is there with all of its `count` chunks, which of them are, and whether any is left over."""

    whole: int
    torn: bool = False
    count: int = 0
    places: frozenset[int] = frozenset()


Content = Mapping[Row, Copies]


def row(label: str, data: Any) -> Row:
    return label, json.dumps(data, sort_keys=True, ensure_ascii=False)


def content_of(points: Iterable[Json], streams: Iterable[Stream]) -> Content:
    """The records in a collection.

    Raises:
        AssertionError: a point belongs to no stream or to another moment, the chunks of a record do not make up its
            text, or a chunk has not its text's vector.
    """
    points = list(points)
    _verify_vectors(points)
    labels = {(each.namespace or "", _identifier(each)): each.label for each in streams}
    chunks: defaultdict[Row, list[Json]] = defaultdict(list)
    for point in points:
        payload = point["payload"]
        assert payload["_ab_extracted_at"].startswith(_MOMENT), payload["_ab_extracted_at"]
        label = labels[payload["_ab_namespace"], payload["_ab_stream"]]
        data = {name: value for name, value in payload.items() if name not in ADDED}
        chunks[row(label, data)].append(payload)
    return {each: _copies(json.loads(each[1]), payloads) for each, payloads in chunks.items()}


def _verify_vectors(points: Iterable[Json]) -> None:
    """The embedder gives each text a vector of its own, so that equal texts have equal ones and no others do."""
    beginnings: defaultdict[str, set[tuple[float, ...]]] = defaultdict(set)
    for point in points:
        beginnings[point["payload"]["text"]].add(tuple(round(number, 4) for number in point["vector"][:8]))
    assert all(len(each) == 1 for each in beginnings.values()), "one text has several vectors"
    assert len(set().union(*beginnings.values())) == len(beginnings), "several texts have one vector"


def _identifier(stream: Stream) -> str:
    return f"{stream.namespace}_{stream.name}" if stream.namespace else stream.name


def _copies(data: Json, payloads: list[Json]) -> Copies:
    (count,) = {payload["_ab_chunk_count"] for payload in payloads}
    found = Counter(payload["_ab_chunk_index"] for payload in payloads)
    whole = min(found[index] for index in range(count))
    if whole and isinstance(data.get("body"), str):
        texts = {payload["_ab_chunk_index"]: payload["text"] for payload in payloads}
        together = "".join(texts[index] for index in range(count))
        assert _letters(together) == _letters(f"body: {data['body']}"), (together, data)
    return Copies(whole, set(found.values()) != {whole} or len(found) != count, count, frozenset(found))


def _letters(text: str) -> str:
    return "".join(text.replace("\0", "").split())  # NUL is in no text of a chunk
