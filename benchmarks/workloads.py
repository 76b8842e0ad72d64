"""What the benchmarks load: lines of Airbyte messages, the same ones for the same workload and number.

Each workload is one that users have: vectors that come with their records, as a warehouse prints them (`short`) or as a
provider's JSON does (`long`); texts of about 2 kB, which become four chunks; and records so small that only the way counts.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Fields = Callable[[random.Random, int], str]
"""The n-th record's data, as the inside of a JSON object."""

#: Vectors are drawn once and used in turn: reading them costs the same, and drawing millions of numbers takes minutes.
_POOL = 211

_CHUNK_TOKENS = 100

_WORDS = (  # noqa: SIM905 -- easier to read than eighty literals
    "the sync reads a record from its source and writes one point per chunk into the collection while the old data is "
    "served until new data is complete so that nothing which was acknowledged is ever lost although a server may fail "
    "at any moment and a provider refuse what it took before because limits change without notice in every larger "
    "system where people share what they pay for and nobody knows when somebody else needs all of it at once again"
).split()


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of input.

    `most_us` is the most CPU of the connector that a record may take, in microseconds, and `least_rate` the fewest records
    a second; None where nothing is promised.
    `latency`: of the provider of embeddings, in seconds; None without one.
    """

    name: str
    records: int
    fields: Fields
    dimensions: int
    latency: float | None = None
    mode: str = "append"
    states_every: int = 1000
    over_grpc: bool = True
    most_us: float | None = None
    least_rate: float | None = None
    text_fields: tuple[str, ...] = ("title",)
    processing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_text(self) -> bool:
        """Whether it is embedded on the way."""
        return self.latency is not None

    def lines(self, records: int, *, states: bool = True) -> Iterator[bytes]:
        """The first so many records, with the STATEs between them."""
        chance = random.Random(self.name)  # noqa: S311 -- repeatable, not secret
        for number in range(records):
            data = f'{{"id":{number},{self.fields(chance, number)}}}'
            yield f'{{"type":"RECORD","record":{{"stream":"bench","data":{data},"emitted_at":1764547200000}}}}\n'.encode()
            if states and number % self.states_every == self.states_every - 1:
                yield _state(number)

    def catalog(self) -> Json:
        """The configured catalog."""
        stream = {"name": "bench", "json_schema": {}}
        return {"streams": [{"stream": stream, "destination_sync_mode": self.mode, "primary_key": [["id"]]}]}

    def config(self, indexing: Json, provider: str | None) -> Json:
        """The configuration, for these settings of Qdrant and this provider."""
        embedding: Json = {"mode": "from_field", "field_name": "vector", "dimensions": self.dimensions}
        if self.is_text:
            embedding = {"mode": "openai", "openai_key": "sk-bench", "base_url": f"{provider}/v1"}
        processing = {"chunk_size": _CHUNK_TOKENS, "text_fields": list(self.text_fields), **self.processing}
        return {"embedding": embedding, "processing": processing, "indexing": indexing}


def _state(number: int) -> bytes:
    stream = {"stream_descriptor": {"name": "bench"}, "stream_state": {"n": number}}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": stream}}).encode() + b"\n"


def vectors(dimensions: int, *, long: bool = False) -> list[str]:
    """Unit vectors of float32 as JSON: about 12 characters a number, or 21 where each is printed as a 64-bit float."""
    chance = random.Random(dimensions)  # noqa: S311 -- repeatable, not secret
    return [_printed(_unit(chance, dimensions), long=long) for _ in range(_POOL)]


def _unit(chance: random.Random, dimensions: int) -> list[float]:
    numbers = [chance.gauss(0, 1) for _ in range(dimensions)]
    length = sum(number * number for number in numbers) ** 0.5
    packed = struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
    return list(struct.unpack(f"<{dimensions}f", packed))


def _printed(numbers: list[float], *, long: bool) -> str:
    return f"[{','.join(repr(number) if long else f'{number:.9g}' for number in numbers)}]"


def _with_vector(dimensions: int, *, long: bool = False) -> Fields:
    pool: list[str] = []

    def fields(_: random.Random, number: int) -> str:
        if not pool:
            pool.extend(vectors(dimensions, long=long))
        return (
            f'"title":"Article {number} about loading","url":"https://example.org/articles/{number}","group":{number % 7},'
            f'"published":true,"score":{number % 100 / 4},"vector":{pool[number % _POOL]}'
        )

    return fields


def _tiny(_: random.Random, number: int) -> str:
    return f'"title":"title {number}","group":{number % 7},"vector":[0.1,0.2,0.3,0.4,0.5,0.6,0.7,{number % 97 / 100}]'


def _text(chance: random.Random, number: int) -> str:
    """Sentences in paragraphs; no two records say the same."""
    paragraphs = (" ".join(_sentences(chance, 70)) for _ in range(5))
    return f'"title":"Article {number}","body":{json.dumps(chr(10).join(paragraphs))}'


def _sentences(chance: random.Random, words: int) -> Iterator[str]:
    while words > 0:
        length = chance.randint(6, 18)
        words -= length
        yield " ".join(chance.choices(_WORDS, k=length)).capitalize() + "."


WORKLOADS = (
    Workload("384 dimensions", 40_000, _with_vector(384), 384, most_us=45),
    Workload("384 dimensions, long floats", 30_000, _with_vector(384, long=True), 384),
    Workload("384 dimensions, REST", 30_000, _with_vector(384), 384, over_grpc=False),
    Workload("1536 dimensions", 15_000, _with_vector(1536), 1536, most_us=140),
    Workload("1536 dimensions, long floats", 10_000, _with_vector(1536, long=True), 1536),
    Workload("1536 dimensions, REST", 8_000, _with_vector(1536), 1536, over_grpc=False),
    Workload("tiny", 200_000, _tiny, 8, most_us=18),
    Workload("tiny, REST", 100_000, _tiny, 8, over_grpc=False),
    Workload("tiny, a STATE every 10", 100_000, _tiny, 8, states_every=10),
    Workload("tiny, append_dedup", 50_000, _tiny, 8, mode="append_dedup"),
    Workload("text of 2 kB, 0 ms", 6_000, _text, 1536, 0.0, most_us=500, text_fields=("body",)),
    Workload("text of 2 kB, 150 ms", 12_000, _text, 1536, 0.15, least_rate=2_200, text_fields=("body",)),
)

#: The same texts, by a key: what is stored already need not be embedded again.
DEDUP_TEXT = Workload(
    "text of 2 kB, append_dedup", 6_000, _text, 1536, 0.15, mode="append_dedup", text_fields=("body",)
)
