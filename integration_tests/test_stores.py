"""The contract of `qdrant.base.Store`, kept by the embedded engine, the wire double and a real server alike.

A server is used where there is one (QDRANT_API_KEY is the key of that which QDRANT_URL names). Below the contract: what
only a folder does.
"""

from __future__ import annotations

import json
import math
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge

from destination_qdrant.config import Indexing, NewCollection
from destination_qdrant.errors import ConfigError, SystemFault, TransientError
from destination_qdrant.qdrant.base import (
    AnyOf,
    Below,
    CollectionInfo,
    Condition,
    Equals,
    Missing,
    PayloadIndex,
    Point,
    PointId,
    Store,
    StoredPoint,
    StoredVector,
    VectorSchema,
    Where,
)
from destination_qdrant.qdrant.embedded.store import EmbeddedStore, in_vain, open_embedded
from destination_qdrant.vectors import UNNAMED, Dense, Multi, ServerText, Sparse, Vector, pack

DENSE = {UNNAMED: VectorSchema("dense", 4, "cos")}
KEYWORD = PayloadIndex("keyword")
INTEGER = PayloadIndex("integer")
DATETIME = PayloadIndex("datetime")
EVERYTHING = Where(())
ROOT = Path(__file__).resolve().parent.parent


def uuid(number: int) -> str:
    return f"0a000000-0000-5000-8000-{number:012x}"


def point(point_id: PointId, **payload: Any) -> Point:
    return Point(point_id, {UNNAMED: Dense.of([1, 2, 3, 4])}, payload)


def ids(points: Sequence[StoredPoint] | Iterator[StoredPoint]) -> list[PointId]:
    """Integers ascending, then UUIDs: the order in which Qdrant scrolls."""
    return sorted((each.id for each in points), key=lambda found: (isinstance(found, str), found))


def vectors(found: Mapping[PointId, StoredVector]) -> dict[PointId, Dense]:
    return {point_id: each.vector for point_id, each in found.items()}


def stored(store: Store, *fields: str) -> dict[PointId, dict[str, Any]]:
    return {each.id: dict(each.payload) for each in store.scroll(EVERYTHING, fields)}


# ----------------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """Opens stores on one fresh collection and closes them in the end.

    `send` asks a server itself: a method, a path after that of the collection, and a body.
    """

    connect: Callable[[], Store]
    send: Callable[[str, str, Any], None] = lambda *_: None
    opened: list[Store] = field(default_factory=list)

    def open(self) -> Store:
        store = self.connect()
        self.opened.append(store)
        return store

    def close(self) -> None:
        for store in self.opened:
            store.close()


@pytest.fixture(name="wire", scope="module")
def _wire() -> Iterator[str]:
    sys.path.insert(0, str(ROOT / "integration_tests"))  # the test folders are no packages
    from wire_double import WireDouble

    with WireDouble() as double:
        yield double.url


@pytest.fixture(name="place", params=["embedded", "double", "server", "server-grpc"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    collection = f"test-{secrets.token_hex(8)}"
    if request.param == "embedded":
        place = Place(lambda: open_embedded(tmp_path / "qdrant", collection))
        yield place
        place.close()
        return
    from destination_qdrant.qdrant.server.access import Access
    from destination_qdrant.qdrant.server.store import open_server

    real, over_grpc = request.param.startswith("server"), request.param == "server-grpc"
    url = request.getfixturevalue("server_url" if real else "wire")
    key = os.environ.get("QDRANT_API_KEY") if real else None

    def send(method: str, path: str, body: Any) -> None:
        headers = {"content-type": "application/json"} | ({} if key is None else {"api-key": key})
        target = f"{url}/collections/{collection}{path}"
        request = urllib.request.Request(target, json.dumps(body).encode(), headers, method=method)  # noqa: S310  # a URL of this test
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  # same

    place = Place(lambda: open_server(Access(url, api_key=key, prefer_grpc=over_grpc), collection), send)
    yield place
    assert [store.notes for store in place.opened if store.notes] == []  # gRPC was not given up silently
    place.close()
    drop(url, collection, key)


def drop(url: str, collection: str, key: str | None) -> None:
    headers = {} if key is None else {"api-key": key}
    request = urllib.request.Request(f"{url}/collections/{collection}", method="DELETE", headers=headers)  # noqa: S310  # a URL of this test
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30):  # noqa: S310  # same
        pass


@pytest.fixture(name="absent")
def _absent(place: Place) -> Store:
    """A store whose collection does not exist yet."""
    return place.open()


@pytest.fixture(name="store")
def _store(absent: Store) -> Store:
    """A store with a collection of unnamed vectors of four dimensions."""
    absent.create(DENSE)
    return absent


# ----------------------------------------------------------------------------------------------------------


def test_a_missing_collection_is_described_as_none(absent: Store) -> None:
    assert absent.describe() is None


@pytest.mark.parametrize("distance", ["cos", "dot", "euc", "manhattan"])
def test_describes_what_was_created(absent: Store, distance: Any) -> None:
    vectors = {UNNAMED: VectorSchema("dense", 4, distance)}

    absent.create(vectors)

    assert absent.describe() == CollectionInfo(vectors)


def test_named_sparse_and_multi_vectors_are_described(absent: Store) -> None:
    vectors = {
        "text": VectorSchema("dense", 4, "cos"),
        "words": VectorSchema("sparse"),
        "rows": VectorSchema("multi", 2, "dot"),
    }

    absent.create(vectors)

    assert absent.describe() == CollectionInfo(vectors)


def test_creating_twice_keeps_the_collection(store: Store) -> None:
    store.upsert([point(1)])

    store.create(DENSE)

    assert store.count(EVERYTHING) == 1


def test_indexes_show_and_stay_as_they_are_when_asked_for_again(store: Store) -> None:
    store.create_indexes({"stream": KEYWORD, "generation": INTEGER})
    store.create_indexes({"stream": INTEGER, "at": DATETIME})

    described = store.describe()

    assert described == CollectionInfo(DENSE, {"stream": "keyword", "generation": "integer", "at": "datetime"})


def test_an_index_on_a_dotted_field_is_on_that_field(store: Store) -> None:
    store.create_indexes({'"a.b"': KEYWORD})
    store.upsert([point(1, **{"a.b": "x"}), point(2, a={"b": "x"})])

    assert ids(store.scroll(Where((Equals("a.b", "x"),)), [])) == [1]
    assert store.describe() == CollectionInfo(DENSE, {'"a.b"': "keyword"})


def test_every_type_of_index_can_be_had_on_any_path_with_its_options(store: Store) -> None:
    wanted = {
        "_ab_stream": PayloadIndex("keyword", tenant=True),
        "at.last": PayloadIndex("datetime", on_disk=True),
        "comments[].author": PayloadIndex("uuid", tenant=True, on_disk=True),
        "place": PayloadIndex("geo"),
        "price": PayloadIndex("float", filters_searches=False),
        "body": PayloadIndex("text", on_disk=True),
        '"two words".x': PayloadIndex("integer", filters_searches=False),
        "flag": PayloadIndex("bool", filters_searches=False),
    }
    store.create_indexes(wanted)
    store.upsert([point(1, flag=True, price=1.5, at={"last": "2026-01-01"}, comments=[{"author": uuid(1)}])])

    assert store.describe() == CollectionInfo(DENSE, {path: index.type for path, index in wanted.items()})
    assert store.count(EVERYTHING) == 1


def test_a_note_outlives_points_and_closing_and_is_replaced_whole(place: Place) -> None:
    first = place.open()
    before = first.recall()
    first.create(DENSE)
    fresh = first.recall()
    first.remember({"embedding": {"unnamed": {"model": "a/ü", "dimensions": 4, "chunking": None}}, "old": 1})
    first.create_indexes({"s": KEYWORD})
    first.upsert([point(1, s="x")])
    first.delete_where(Where((Equals("s", "x"),)))
    first.close()
    second = place.open()
    found = second.recall()
    second.remember({"embedding": {"text": {"model": "b", "dimensions": 4, "chunking": "c"}}})

    assert (before, fresh) == (None, None)
    assert found == {"embedding": {"unnamed": {"model": "a/ü", "dimensions": 4, "chunking": None}}, "old": 1}
    assert second.recall() == {"embedding": {"text": {"model": "b", "dimensions": 4, "chunking": "c"}}}
    assert second.count(EVERYTHING) == 0


def test_finding_out_whether_it_may_be_written_to_changes_nothing(store: Store) -> None:
    store.upsert([point(number) for number in range(5)])

    store.require_write_access()

    assert ids(store.scroll(EVERYTHING, [])) == [0, 1, 2, 3, 4]


def test_an_upsert_replaces_the_whole_payload(store: Store) -> None:
    store.upsert([point(1, a=1, b=2)])
    store.upsert([point(1, b=3)])

    assert stored(store, "a", "b") == {1: {"b": 3}}


def test_scroll_returns_the_fields_that_were_asked_for(store: Store) -> None:
    store.upsert([point(1, a=1, b=2), point(2, c=3)])

    assert stored(store, "a", "c") == {1: {"a": 1}, 2: {"c": 3}}
    assert stored(store) == {1: {}, 2: {}}


def test_integer_and_uuid_ids_come_back_as_written(store: Store) -> None:
    written: list[PointId] = [0, 7, 2**64 - 1, uuid(1), uuid(2**48 - 1)]

    store.upsert([point(each) for each in written])

    assert ids(store.scroll(EVERYTHING, [])) == written


def test_delete_by_id_ignores_ids_that_are_not_there(store: Store) -> None:
    store.upsert([point(1), point(2), point(uuid(3)), point(uuid(4))])

    store.delete([2, uuid(3), 99, uuid(99)])
    store.delete([])

    assert ids(store.scroll(EVERYTHING, [])) == [1, uuid(4)]


FILTERED = [
    point(1, stream="a", generation=1, namespace=""),
    point(2, stream="b", generation=2, namespace="n"),
    point(3, stream="", generation=3, namespace=None),
    point(4, stream="a", generation=0, namespace=[]),
    point(5, generation=-5),
    point(6, stream=["a", "c"], namespace="n"),
]

CASES: list[tuple[tuple[Condition, ...], tuple[Condition, ...], list[int]]] = [
    ((), (), [1, 2, 3, 4, 5, 6]),
    ((Equals("stream", "a"),), (), [1, 4, 6]),
    ((Equals("stream", ""),), (), [3]),
    ((AnyOf("stream", ("b", "c", "never")),), (), [2, 6]),
    ((AnyOf("stream", ()),), (), []),
    ((Below("generation", 2),), (), [1, 4, 5]),
    ((Missing("stream"),), (), [5]),
    ((Missing("namespace"),), (), [3, 4, 5]),
    ((Missing("nowhere"),), (), [1, 2, 3, 4, 5, 6]),
    ((), (Equals("stream", "a"),), [2, 3, 5]),
    ((), (AnyOf("stream", ("a", "b")),), [3, 5]),
    ((), (Below("generation", 2),), [2, 3, 6]),
    ((), (Missing("namespace"),), [1, 2, 6]),
    ((Equals("stream", "a"), Below("generation", 1)), (), [4]),
    ((Equals("stream", "a"),), (Missing("namespace"),), [1, 6]),
    ((Equals("stream", "a"),), (Missing("generation"), Equals("namespace", "")), [4]),
    ((), (Equals("stream", "a"), Equals("stream", "b")), [3, 5]),
]


def index_all_or_none(store: Store, *, indexed: bool) -> None:
    """Index the fields of `CASES`, or see whether the server filters without."""
    if indexed:
        fields = ("stream", "namespace", "nowhere")
        store.create_indexes({"generation": INTEGER, **dict.fromkeys(fields, KEYWORD)})
        return
    try:
        store.count(Where((Equals("stream", "a"),)))
    except ConfigError as error:
        if "(strict mode)" not in error.message:
            raise
        pytest.skip("the strict mode of this server refuses filters without an index")


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "unindexed"])
def test_every_condition_selects_alone_and_combined(store: Store, *, indexed: bool) -> None:
    """In particular, `Missing` does not take the empty string for nothing."""
    index_all_or_none(store, indexed=indexed)
    store.upsert(FILTERED)

    for must, must_not, expected in CASES:
        where = Where(must, must_not)
        assert (where, ids(store.scroll(where, []))) == (where, expected)
        assert (where, store.count(where)) == (where, len(expected))


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "unindexed"])
def test_delete_where_deletes_what_scroll_shows(store: Store, *, indexed: bool) -> None:
    index_all_or_none(store, indexed=indexed)
    everything = {1, 2, 3, 4, 5, 6}

    for must, must_not, expected in (case for case in CASES if case[0]):
        store.upsert(FILTERED)
        store.delete_where(Where(must, must_not))
        assert (must, must_not, set(ids(store.scroll(EVERYTHING, [])))) == (must, must_not, everything - set(expected))


@pytest.mark.parametrize("where", [EVERYTHING, Where((), (Equals("stream", "a"),))])
def test_a_deletion_in_which_nothing_must_hold_is_refused(store: Store, where: Where) -> None:
    store.upsert(FILTERED)

    with pytest.raises(SystemFault, match="without a condition"):
        store.delete_where(where)

    assert store.count(EVERYTHING) == len(FILTERED)


def test_any_of_takes_a_thousand_values(store: Store) -> None:
    store.create_indexes({"key": KEYWORD})
    store.upsert([point(number, key=f"k{number}") for number in range(1200)])
    where = Where((AnyOf("key", tuple(f"k{number}" for number in range(100, 1100))),))

    assert store.count(where) == 1000
    store.delete_where(where)

    assert ids(store.scroll(EVERYTHING, [])) == [*range(100), *range(1100, 1200)]


def test_scroll_shows_each_of_many_points_once(store: Store) -> None:
    written = [point(number if number % 2 else uuid(number), n=number) for number in range(2500)]
    store.upsert(written)

    found = list(store.scroll(EVERYTHING, ["n"]))

    assert len(found) == 2500
    assert {each.id: each.payload["n"] for each in found} == {each.id: each.payload["n"] for each in written}


def test_scroll_goes_on_when_its_points_are_deleted_meanwhile(store: Store) -> None:
    store.upsert([point(number) for number in range(2500)])
    seen = []

    for each in store.scroll(EVERYTHING, []):
        seen.append(each.id)
        # Every second one at once, the next page's first among them.
        if len(seen) == 1:
            store.delete([1000, 1001])
        if len(seen) % 100 == 0:
            store.delete(seen[-100:])

    assert seen[:1000] == list(range(1000))
    assert seen[-1498:] == list(range(1002, 2500))
    assert store.count(EVERYTHING) == 2500 - 2 - len(seen) // 100 * 100 + len({1000, 1001} & set(seen))


def test_search_returns_the_nearest_first_with_payload(store: Store) -> None:
    angles = {1: 0.9, 2: 0.1, 3: 0.5}
    vectors = {each: Dense.of([math.cos(angle), math.sin(angle), 0, 0]) for each, angle in angles.items()}
    store.upsert([Point(each, {UNNAMED: vector}, {"id": each}) for each, vector in vectors.items()])

    found = store.search(UNNAMED, Dense.of([1, 0, 0, 0]), 2)

    assert [(hit.id, hit.payload) for hit in found] == [(2, {"id": 2}), (3, {"id": 3})]
    assert [hit.score for hit in found] == pytest.approx([math.cos(0.1), math.cos(0.5)], abs=1e-5)


def test_search_by_a_named_vector(absent: Store) -> None:
    absent.create({"title": VectorSchema("dense", 2, "euc"), "text": VectorSchema("dense", 2, "dot")})
    absent.upsert(
        [
            Point(1, {"title": Dense.of([1, 1]), "text": Dense.of([0, 1])}, {}),
            Point(2, {"title": Dense.of([5, 5]), "text": Dense.of([9, 9])}, {}),
        ]
    )

    assert [hit.id for hit in absent.search("title", Dense.of([1, 2]), 5)] == [1, 2]
    assert [hit.id for hit in absent.search("text", Dense.of([1, 2]), 5)] == [2, 1]


def test_points_of_every_kind_of_vector_and_of_none(absent: Store) -> None:
    absent.create(
        {
            "text": VectorSchema("dense", 2, "cos"),
            "words": VectorSchema("sparse"),
            "rows": VectorSchema("multi", 2, "dot"),
        }
    )
    sparse = Sparse((3, 2**32 - 1), pack([0.5, 1]))
    absent.upsert(
        [
            Point(
                1, {"text": Dense.of([1, 2]), "words": sparse, "rows": Multi((pack([1, 2]), pack([3, 4])))}, {"n": 1}
            ),
            Point(2, {"words": sparse}, {"n": 2}),
            Point(3, {}, {"n": 3}),
        ]
    )

    assert stored(absent, "n") == {1: {"n": 1}, 2: {"n": 2}, 3: {"n": 3}}
    assert [hit.id for hit in absent.search("text", Dense.of([1, 2]), 5)] == [1]


VECTORS = {
    1: Dense.of([0.1, 1 / 3, -1e-20, 3.4e38]),  # whatever a 32-bit float can be comes back to the bit
    2**64 - 1: Dense.of([1, -0.0, 2, 1e-45]),
    uuid(3): Dense.of([0, 0, 0, 1]),
}


@pytest.mark.parametrize("shape", [{}, {"words": VectorSchema("sparse")}])
def test_an_unnamed_vector_is_read_as_it_was_written(absent: Store, shape: dict[str, VectorSchema]) -> None:
    absent.create({UNNAMED: VectorSchema("dense", 4, "dot"), **shape})
    absent.upsert([Point(each, {UNNAMED: vector}, {"n": 1}) for each, vector in VECTORS.items()])
    absent.upsert([Point(4, {}, {})])

    asked = [1, uuid(3), 9, 2**64 - 1, 1, 4, uuid(9)]
    assert absent.retrieve_vectors(asked, UNNAMED) == {each: StoredVector(VECTORS[each], {}) for each in VECTORS}
    assert absent.with_vector(asked, UNNAMED) == set(VECTORS)
    assert (absent.retrieve_vectors([], UNNAMED), absent.with_vector([], UNNAMED)) == ({}, frozenset())


def test_a_vector_comes_with_the_fields_that_were_asked_for(store: Store) -> None:
    store.upsert([point(1, text="one", n=1, **{"odd key.": ["a", {"b": None}]}), point(2, n=2)])

    found = store.retrieve_vectors([1, 2, 3], UNNAMED, ("text", "odd key.", "none"))

    assert {each: dict(one.payload) for each, one in found.items()} == {
        1: {"text": "one", "odd key.": ["a", {"b": None}]},
        2: {},
    }
    assert vectors(found) == vectors(store.retrieve_vectors([1, 2], UNNAMED))


def test_a_named_vector_is_read_and_other_kinds_are_none(absent: Store) -> None:
    absent.create(
        {
            "text": VectorSchema("dense", 4, "cos"),
            "title": VectorSchema("dense", 4, "dot"),
            "words": VectorSchema("sparse"),
            "rows": VectorSchema("multi", 2, "dot"),
        }
    )
    others: dict[str, Vector] = {"words": Sparse((3,), pack([0.5])), "rows": Multi((pack([1, 2]),))}
    title = Dense.of([1, 2, 3, 4])
    absent.upsert([Point(1, {"text": Dense.of([0, 3, 4, 0]), "title": title, **others}, {}), Point(2, others, {})])

    names = ("text", "title", "words", "rows", "none")
    found = {name: vectors(absent.retrieve_vectors([1, 2, 3], name)) for name in names}

    assert found == {"text": {1: Dense.of([0, 0.6, 0.8, 0])}, "title": {1: title}, "words": {}, "rows": {}, "none": {}}
    assert {name: absent.with_vector([1, 2, 3], name) for name in names} == {name: set(found[name]) for name in names}


def test_many_large_vectors_are_read_whole(absent: Store) -> None:
    absent.create({UNNAMED: VectorSchema("dense", 3_072, "dot")})
    written = {number: Dense.of([number, *range(3_071)]) for number in range(400)}
    absent.upsert([Point(number, {UNNAMED: vector}, {}) for number, vector in written.items()])

    assert vectors(absent.retrieve_vectors(list(written), UNNAMED)) == written


def test_of_many_points_those_with_a_vector_are_told(absent: Store) -> None:
    absent.create({"text": VectorSchema("dense", 1, "dot"), "title": VectorSchema("dense", 1, "dot")})
    names = ["text" if number % 3 else "title" for number in range(1_200)]
    absent.upsert([Point(number, {name: Dense.of([1])}, {}) for number, name in enumerate(names)])

    assert absent.with_vector(range(2_100), "text") == {number for number in range(1_200) if number % 3}


@pytest.mark.parametrize("place", ["server", "server-grpc"], indirect=True)
def test_what_was_sent_before_and_not_waited_for_is_done_after_catching_up(absent: Store, place: Place) -> None:
    place.send("PUT", "", {"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": 3})
    slow = {"type": "text", "tokenizer": "prefix"}
    place.send("PUT", "/index?wait=true", {"field_name": "text", "field_schema": slow})
    absent.upsert([point(number) for number in range(60)])
    words = [" ".join(f"{word * 2_654_435_761:x}" for word in range(start, start + 120)) for start in range(1, 51)]
    for start in range(100, 1_100, 100):
        queued = [
            {"id": start + number, "vector": [1, 2, 3, number], "payload": {"text": words[number % 50]}}
            for number in range(100)
        ]
        place.send("PUT", "/points?wait=false", {"points": queued})
    place.send("POST", "/points/delete?wait=false", {"points": [*range(60)]})

    absent.catch_up()

    assert absent.with_vector(range(60), UNNAMED) == frozenset()
    assert absent.count(EVERYTHING) == 1_000


BAD_VECTORS: list[tuple[str, Vector]] = [
    (UNNAMED, Dense.of([1, 2, 3])),
    (UNNAMED, Dense.of([1, 2, 3, math.nan])),
    (UNNAMED, Dense.of([1, 2, 3, 1e39])),
    (UNNAMED, Sparse((1,), pack([1]))),
    (UNNAMED, Multi((pack([1, 2, 3, 4]),))),
    ("title", Dense.of([1, 2, 3, 4])),
]


@pytest.mark.parametrize(("name", "vector"), BAD_VECTORS)
def test_one_bad_vector_keeps_the_whole_batch_out(store: Store, name: str, vector: Vector) -> None:
    store.upsert([point(1, version="old")])
    good = [point(number, version="new") for number in range(1, 1000)]

    with pytest.raises(SystemFault):
        store.upsert([*good, Point(1000, {name: vector}, {})])

    assert stored(store, "version") == {1: {"version": "old"}}


@pytest.mark.parametrize("payload", [{"a": object()}, {"a": "\ud800"}, {"a": 2**64}])
def test_one_bad_payload_keeps_the_whole_batch_out(store: Store, payload: dict[str, Any]) -> None:
    with pytest.raises(SystemFault):
        store.upsert([point(1), point(2, **payload)])

    assert store.count(EVERYTHING) == 0


def test_a_search_of_the_wrong_dimension_is_refused(store: Store) -> None:
    """What searches was configured with another model than what wrote."""
    with pytest.raises(ConfigError, match=r"\b4.dimension"):
        store.search(UNNAMED, Dense.of([1, 2]), 5)


def test_odd_payload_keys_and_values_come_back_exactly(store: Store) -> None:
    payload = {
        "": "empty key",
        "a.b": 1,
        "a": {"b": 2},
        "with space": 3,
        "list[]": [1, "x", None, {"y": []}],
        "ключ 🗝": "значение 🧩\u0000\u2028",
        'quote"': True,
        "none": None,
        "float": 0.5,
        "whole": 1.0,
    }
    store.upsert([Point(1, {UNNAMED: Dense.of([1, 2, 3, 4])}, payload)])

    assert stored(store, "a.b", "a", "with space", "list[]", "ключ 🗝") == {
        1: {key: payload[key] for key in ("a.b", "a", "with space", "list[]", "ключ 🗝")}
    }
    (hit,) = store.search(UNNAMED, Dense.of([1, 2, 3, 4]), 1)
    assert hit.payload == payload


def test_integers_of_64_bits_stay_exact(store: Store) -> None:
    numbers = [-(2**63), -(2**53) - 1, 0, 2**53 + 1, 2**63 - 1]
    store.create_indexes({"n": INTEGER})

    store.upsert([point(number, n=value) for number, value in enumerate(numbers)])

    assert [payload["n"] for payload in stored(store, "n").values()] == numbers


def test_a_big_payload_comes_back_whole(store: Store) -> None:
    text = "0123456789abcdef" * (1 << 16)
    store.upsert([point(number, text=text) for number in range(12)])

    assert [payload["text"] == text for payload in stored(store, "text").values()] == [True] * 12


def test_four_threads_write_at_once(store: Store) -> None:
    store.create_indexes({"key": KEYWORD})
    failures: list[Exception] = []

    def write(thread: int) -> None:
        try:
            for batch in range(10):
                start = thread * 10_000 + batch * 100
                store.upsert([point(start + number, key=f"{thread}-{batch}") for number in range(100)])
                store.delete_where(Where((Equals("key", f"{thread}-{batch - 1}"),)))
                store.count(EVERYTHING)
            store.flush()
        except Exception as error:  # noqa: BLE001  # handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert ids(store.scroll(EVERYTHING, [])) == [
        thread * 10_000 + 900 + number for thread in range(4) for number in range(100)
    ]


def test_a_text_is_refused_where_nothing_embeds_it(store: Store) -> None:
    """By an engine in a folder, and by a server without an inference service."""
    text = ServerText("of ada@example.org", "some/model")

    for attempt in (
        lambda: store.require_inference(text, UNNAMED),
        lambda: store.upsert([point(1), Point(2, {UNNAMED: text}, {})]),
    ):
        with pytest.raises(ConfigError, match=r"embedding\.mode") as caught:
            attempt()
        assert "ada@" not in str(caught.value)
    assert store.count(EVERYTHING) == 0


def test_all_is_there_after_flush_close_and_open(place: Place) -> None:
    first = place.open()
    first.create(DENSE)
    first.create_indexes({"stream": KEYWORD, "generation": INTEGER, "at": DATETIME})
    first.upsert([point(number, stream="s", n=number) for number in range(1500)])
    first.delete([3])
    before = first.describe()
    first.flush()
    first.close()

    second = place.open()

    assert second.describe() == before
    assert stored(second, "n") == {number: {"n": number} for number in range(1500) if number != 3}
    assert second.count(Where((Equals("stream", "s"),))) == 1499


def test_closing_twice_is_harmless(store: Store) -> None:
    store.close()
    store.close()


# ----------------------------------------------------------------------------------------------------------
# Embedded only.


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "folder"


def filled(folder: Path) -> EmbeddedStore:
    store = open_embedded(folder, "docs")
    store.create(DENSE)
    store.upsert([point(1)])
    return store


def listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def in_python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Run code in another process that can import the package."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def test_looking_creates_nothing(folder: Path) -> None:
    with_nothing = open_embedded(folder, "docs", read_only=True)

    assert with_nothing.describe() is None
    assert with_nothing.place == f"{folder / 'docs'} (embedded)"
    assert not folder.exists()
    assert not folder.parent.exists()


def test_looking_at_a_collection_leaves_no_trace(folder: Path) -> None:
    filled(folder).close()
    before = listing(folder)

    assert open_embedded(folder, "docs", read_only=True).describe() == CollectionInfo(DENSE)
    assert listing(folder) == before


def test_looking_works_while_another_writes(folder: Path) -> None:
    writer = filled(folder)

    assert open_embedded(folder, "docs", read_only=True).describe() == CollectionInfo(DENSE)

    writer.upsert([point(2)])
    writer.close()


def test_a_store_for_looking_does_not_write(folder: Path) -> None:
    looking = open_embedded(folder, "docs", read_only=True)

    with pytest.raises(SystemFault):
        looking.create(DENSE)
    with pytest.raises(SystemFault):
        looking.upsert([point(1)])
    assert not folder.exists()


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for read_only in (True, False):
        with pytest.raises(ConfigError, match=r"indexing\.url"):
            open_embedded(tmp_path / "file" / "sub", "docs", read_only=read_only)


def test_a_folder_without_the_right_to_write_is_reported(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        for read_only in (True, False):
            with pytest.raises(ConfigError, match=r"is not writable for the connector.*indexing\.url"):
                open_embedded(folder, "docs", read_only=read_only)
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_of_another_user_are_reported() -> None:
    with tempfile.TemporaryDirectory() as base:  # not tmp_path, into which no other user can look
        Path(base).chmod(0o755)
        filled(Path(base)).close()
        (Path(base) / "docs" / "lock").chmod(0o666)
        try:
            os.seteuid(65534)
            with pytest.raises(ConfigError, match="docs is not writable for the connector"):
                open_embedded(Path(base), "docs")
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a:b", "a*", "a?", 'a"', "<a", ">a", "a|b", "a\0b", "x" * 256]
)
def test_names_that_a_server_refuses_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"indexing\.collection"):
        open_embedded(folder, name)
    assert not folder.exists()


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("name", ["ж" * 128, "half \ud800"])
def test_a_name_that_no_file_can_have_is_refused(folder: Path, name: str, *, read_only: bool) -> None:
    with pytest.raises(ConfigError, match=r"indexing\.collection"):
        open_embedded(folder, name, read_only=read_only)
    assert not folder.exists()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_folder_name_too_long_for_the_file_system_is_reported(tmp_path: Path, *, read_only: bool) -> None:
    with pytest.raises(ConfigError, match=r"ENAMETOOLONG.*indexing\.url"):
        open_embedded(tmp_path / "some" / ("ж" * 128) / "folder", "docs", read_only=read_only)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_link_to_nowhere_in_place_of_the_folder_is_reported(tmp_path: Path, *, read_only: bool) -> None:
    (tmp_path / "docs").symlink_to(tmp_path / "nowhere")

    with pytest.raises(ConfigError, match=r"indexing\.url"):
        open_embedded(tmp_path, "docs", read_only=read_only)


@pytest.mark.parametrize("name", ["lock", "collection.new"])
@pytest.mark.parametrize("exists", [True, False])
def test_links_in_place_of_the_connectors_files_are_not_followed(folder: Path, name: str, *, exists: bool) -> None:
    victim = folder / "victim"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / name).symlink_to(victim)
    if exists:
        victim.write_text("untouched")

    with pytest.raises(ConfigError, match=f"{name} is a symbolic link"):
        filled(folder)

    assert (victim.read_text() if exists else victim.exists()) == ("untouched" if exists else False)


def test_a_draft_that_a_killed_process_left_is_replaced(folder: Path) -> None:
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "collection.new").write_text("x" * 10_000)

    filled(folder).close()

    assert open_embedded(folder, "docs", read_only=True).describe() == CollectionInfo(DENSE)


def test_the_folder_of_a_collection_may_be_a_link(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(parents=True)
    (folder / "docs").symlink_to(elsewhere)

    filled(folder).close()

    assert (elsewhere / "collection.json").exists()
    assert open_embedded(folder, "docs", read_only=True).describe() == CollectionInfo(DENSE)


@pytest.mark.parametrize("name", ["x" * 255, "мои документы", "a b", ".hidden", "-"])
def test_odd_names_work(folder: Path, name: str) -> None:
    store = open_embedded(folder, name)
    store.create(DENSE)
    store.upsert([point(1)])
    store.close()

    again = open_embedded(folder, name)
    assert again.count(EVERYTHING) == 1
    again.close()


def test_a_second_writer_is_turned_away_until_the_first_is_done(folder: Path) -> None:
    first = filled(folder)

    with pytest.raises(TransientError, match="Another process is writing"):
        open_embedded(folder, "docs")
    other = open_embedded(folder, "other")
    first.close()
    second = open_embedded(folder, "docs")

    assert second.count(EVERYTHING) == 1
    second.close()
    other.close()


def test_a_second_writer_is_turned_away_before_there_is_a_collection(folder: Path) -> None:
    first = open_embedded(folder, "docs")

    with pytest.raises(TransientError, match="Another process is writing"):
        open_embedded(folder, "docs")
    first.close()


def test_a_second_process_is_turned_away(folder: Path) -> None:
    first = filled(folder)
    code = (
        "import sys, pathlib\n"
        "from destination_qdrant.errors import TransientError\n"
        "from destination_qdrant.qdrant.embedded.store import open_embedded\n"
        "try: open_embedded(pathlib.Path(sys.argv[1]), 'docs')\n"
        "except TransientError as error: print(error.message)\n"
    )

    with in_python(code, folder) as process:
        printed, _ = process.communicate()
    first.close()

    assert printed.startswith(f"Another process is writing to the embedded collection at {folder / 'docs'};")


def test_a_creation_killed_halfway_is_finished_by_the_next(folder: Path) -> None:
    filled(folder).close()
    shutil.rmtree(folder / "docs" / "shard" / "segments")
    (folder / "docs" / "collection.json").unlink()

    healed = open_embedded(folder, "docs")
    assert healed.describe() is None
    healed.create({"text": VectorSchema("dense", 2, "dot")})
    healed.upsert([Point(1, {"text": Dense.of([1, 2])}, {})])

    assert healed.count(EVERYTHING) == 1
    healed.close()


def test_a_creation_killed_before_its_description_is_finished_by_the_next(folder: Path) -> None:
    store = open_embedded(folder, "docs")
    store.create(DENSE)
    store.close()
    (folder / "docs" / "collection.json").unlink()

    healed = open_embedded(folder, "docs")
    healed.create(DENSE)

    assert healed.describe() == CollectionInfo(DENSE)
    healed.close()


def test_points_are_never_taken_for_an_unfinished_creation(folder: Path) -> None:
    filled(folder).close()
    description = folder / "docs" / "collection.json"
    content = description.read_bytes()
    description.unlink()

    store = open_embedded(folder, "docs")
    with pytest.raises(ConfigError, match="incomplete or damaged"):
        store.create(DENSE)
    store.close()

    description.write_bytes(content)
    again = open_embedded(folder, "docs")
    assert again.count(EVERYTHING) == 1
    again.close()


def remove_shard(at: Path) -> None:
    shutil.rmtree(at / "shard")


def remove_segments(at: Path) -> None:
    shutil.rmtree(at / "shard" / "segments")


def spoil_segment(at: Path) -> None:
    next(at.glob("shard/segments/*/segment.json")).write_text("{")


def spoil_description(at: Path) -> None:
    (at / "collection.json").write_text("[1]")


def empty_description(at: Path) -> None:
    (at / "collection.json").write_text("")


@pytest.mark.parametrize("damage", [remove_shard, remove_segments, spoil_segment, spoil_description, empty_description])
def test_a_damaged_collection_is_reported_and_left_as_it_is(folder: Path, damage: Callable[[Path], None]) -> None:
    filled(folder).close()
    damage(folder / "docs")
    before = listing(folder)

    with pytest.raises(ConfigError, match="is incomplete or damaged; restore"):
        open_embedded(folder, "docs")

    assert listing(folder) == before


def test_looking_sees_missing_files(folder: Path) -> None:
    filled(folder).close()
    remove_shard(folder / "docs")

    with pytest.raises(ConfigError, match="is incomplete or damaged"):
        open_embedded(folder, "docs", read_only=True).describe()


def test_a_collection_is_made_as_asked_for(folder: Path) -> None:
    """What the engine makes of it is looked up in its own file; the rest is beside the description."""
    wanted = NewCollection(
        datatype="float16",
        vectors_on_disk=True,
        payload_on_disk=False,
        hnsw_m=0,
        quantization="product",
        metadata='{"team": {"name": "search"}}',
    )
    store = open_embedded(folder, "docs", new_collection=wanted)
    store.create({"text": VectorSchema("dense", 32, "manhattan")})
    store.upsert([Point(1, {"text": Dense.of([0.5] * 32)}, {"n": 1})])
    store.remember({"a": 1})
    (hit,) = store.search("text", Dense.of([0.5] * 32), 2)
    store.close()
    made = json.loads((folder / "docs" / "shard" / "edge_config.json").read_text())

    assert (hit.score, hit.payload) == (0, {"n": 1})
    assert made["vectors"] == {"text": {"size": 32, "distance": "Manhattan", "memory": "cold", "datatype": "float16"}}
    assert made["payload_memory"] == "cached"
    assert {name: made["hnsw_config"][name] for name in ("m", "ef_construct")} == {"m": 0, "ef_construct": 100}
    assert made["quantization_config"] == {"product": {"compression": "x16", "memory": "pinned"}}
    assert json.loads((folder / "docs" / "collection.json").read_text()) == {
        "format_version": 1,
        "vectors": {"text": {"kind": "dense", "dimensions": 32, "distance": "manhattan"}},
        "metadata": {"team": {"name": "search"}},
        "note": {"a": 1},
    }


def test_indexes_are_made_as_asked_for(folder: Path) -> None:
    store = filled(folder)
    store.create_indexes(
        {
            "tenant": PayloadIndex("keyword", tenant=True),
            "own": PayloadIndex("integer", filters_searches=False),
            "large": PayloadIndex("text", on_disk=True),
        }
    )
    store.close()
    engine = qdrant_edge.EdgeShard.load(str(folder / "docs" / "shard"))
    found = {path: index.params for path, index in engine.info().payload_schema.items()}
    engine.close()

    assert {path: params.enable_hnsw for path, params in found.items()} == {"tenant": None, "own": False, "large": None}
    assert {path: str(params.memory) for path, params in found.items()} == {
        "tenant": "None",
        "own": "None",
        "large": "Memory.Cold",
    }
    assert found["tenant"].is_tenant


@pytest.mark.parametrize("quantization", ["none", "scalar", "binary"])
@pytest.mark.parametrize("datatype", ["float32", "uint8"])
def test_every_way_to_store_numbers_takes_points(folder: Path, quantization: Any, datatype: Any) -> None:
    store = open_embedded(folder, "docs", new_collection=NewCollection(quantization=quantization, datatype=datatype))
    store.create(DENSE)
    store.upsert([point(1)])

    assert [hit.id for hit in store.search(UNNAMED, Dense.of([1, 2, 3, 4]), 1)] == [1]
    store.close()


def test_options_that_only_a_server_knows_are_named(folder: Path) -> None:
    indexing: dict[str, Any] = {"url": folder.as_uri(), "collection": "docs"}
    new = {"shard_number": 2, "replication_factor": 2, "write_consistency_factor": 1}
    for_servers = {
        "tls": {"ca_certificate": "PEM"},
        "shard_key": "eu",
        "write_ordering": "strong",
        "new_collection": new,
    }
    store = open_embedded(folder, "docs", notes=in_vain(Indexing.model_validate(indexing | for_servers)))
    store.close()
    (note,) = store.notes

    assert in_vain(Indexing.model_validate(indexing)) == ()
    assert note == (
        "These options are for servers and have no effect on an embedded Qdrant: indexing.tls, indexing.write_ordering, "
        "indexing.shard_key, indexing.new_collection.shard_number, indexing.new_collection.replication_factor."
    )


def test_a_note_can_be_read_by_who_only_looks_and_is_written_by_nobody_else(folder: Path) -> None:
    looking = open_embedded(folder, "docs", read_only=True)
    writer = filled(folder)
    before = looking.recall()
    writer.remember({"n": 1})

    assert (before, looking.recall()) == (None, {"n": 1})
    looking.require_write_access()
    with pytest.raises(SystemFault, match="read-only"):
        looking.remember({"n": 2})
    writer.close()
    with pytest.raises(SystemFault, match="after it was closed"):
        writer.remember({"n": 2})
    assert looking.recall() == {"n": 1}


def test_a_collection_of_an_earlier_version_of_the_connector_has_no_note_and_gets_one(folder: Path) -> None:
    filled(folder).close()
    description = folder / "docs" / "collection.json"
    description.write_text(
        '{"format_version": 1, "vectors": {"": {"kind": "dense", "dimensions": 4, "distance": "cos"}}}'
    )
    store = open_embedded(folder, "docs")

    assert store.recall() is None
    store.remember({"n": 1})
    assert (store.recall(), store.describe()) == ({"n": 1}, CollectionInfo(DENSE))
    store.close()


def test_a_collection_of_another_format_is_reported(folder: Path) -> None:
    filled(folder).close()
    (folder / "docs" / "collection.json").write_text('{"format_version":2,"vectors":{}}')

    with pytest.raises(ConfigError, match="written in another format than 1"):
        open_embedded(folder, "docs")


def test_a_failed_opening_lets_go_of_the_lock(folder: Path) -> None:
    filled(folder).close()
    description = folder / "docs" / "collection.json"
    content = description.read_bytes()
    description.write_text("{}")
    with pytest.raises(ConfigError):
        open_embedded(folder, "docs")
    description.write_bytes(content)

    open_embedded(folder, "docs").close()


# ----------------------------------------------------------------------------------------------------------

WRITE_FOREVER = """
import itertools, pathlib, sys
from destination_qdrant.qdrant.base import PayloadIndex, Point, VectorSchema
from destination_qdrant.qdrant.embedded.store import open_embedded
from destination_qdrant.vectors import Dense
store = open_embedded(pathlib.Path(sys.argv[1]), "docs")
store.create({"": VectorSchema("dense", 4, "cos")})
store.create_indexes({"batch": PayloadIndex("keyword")})
for batch in itertools.count():
    points = [Point(batch * 700 + n, {"": Dense.of([1, 2, 3, n])}, {"batch": str(batch), "n": n}) for n in range(700)]
    store.upsert(points)
    if batch % 3 == 2:
        store.flush()
    print(batch, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(folder: Path) -> None:
    """The log holds what an `upsert` returned from; `flush` is for a loss of power, which no test here can make."""
    acknowledged = -1
    for kill_after in (1, 8, 14):
        shutil.rmtree(folder, ignore_errors=True)
        with in_python(WRITE_FOREVER, folder) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged = int(line)
                if acknowledged == kill_after:
                    process.send_signal(signal.SIGKILL)
        store = open_embedded(folder, "docs")
        found = {each.id for each in store.scroll(EVERYTHING, [])}
        store.close()

        assert acknowledged >= kill_after
        assert set(range((acknowledged + 1) * 700)) - found == set()


WRITE_UNTIL_REFUSED = """
import itertools, os, pathlib, random, sys
from destination_qdrant.errors import ConfigError
from destination_qdrant.qdrant.base import PayloadIndex, Point, VectorSchema, Where
from destination_qdrant.qdrant.embedded.store import open_embedded
from destination_qdrant.vectors import Dense
folder, reserve = pathlib.Path(sys.argv[1]), int(sys.argv[2])
store = open_embedded(folder, "docs", reserve_bytes=reserve)
written = 0
try:
    store.create({"": VectorSchema("dense", 256, "cos")})
    store.create_indexes({"key": PayloadIndex("keyword")})
    while True:
        vector = Dense.of([random.random() for _ in range(256)])
        store.upsert([
            Point(written + n, {"": vector}, {"key": str(written + n), "text": os.urandom(2000).hex()}) for n in range(700)
        ])
        written += 700
except ConfigError as error:
    print(error.message)
store.flush()
store.close()
store = open_embedded(folder, "docs", reserve_bytes=64 << 20)
print(store.count(Where(())) >= written > 0)
"""


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["/bin/umount", disk], check=True)


def test_a_disk_that_fills_up_ends_the_writing_with_an_error_and_not_the_process(small_disk: Path) -> None:
    with in_python(WRITE_UNTIL_REFUSED, small_disk, 128 << 20) as process:
        printed, _ = process.communicate()

    sentence, *rest = printed.splitlines()
    assert process.returncode == 0
    assert sentence.startswith(f"The disk of {small_disk / 'docs'} has ")
    assert "MB free, but an embedded Qdrant needs " in sentence
    assert rest == ["True"]


def test_a_reserve_that_no_disk_has_refuses_every_write(folder: Path) -> None:
    filled(folder).close()
    huge = 1 << 60

    for read_only in (True, False):
        with pytest.raises(ConfigError, match=rf"The disk of {folder / 'docs'} has \d+ MB free"):
            open_embedded(folder, "docs", read_only=read_only, reserve_bytes=huge)
    fresh = open_embedded(folder, "fresh", reserve_bytes=huge)
    with pytest.raises(ConfigError, match="MB free"):
        fresh.create(DENSE)
    fresh.close()


def test_a_batch_larger_than_the_engine_takes_at_once_is_written_whole(folder: Path) -> None:
    store = filled(folder)
    generator = random.Random(1)  # noqa: S311  # test data
    sizes = [generator.choice([0, 100, 3_000_000]) for _ in range(30)] + [10] * 1100

    store.upsert([point(number, text="x" * size) for number, size in enumerate(sizes)])

    assert [len(payload["text"]) for payload in stored(store, "text").values()] == sizes
    store.close()


def test_use_after_close_is_a_fault(folder: Path) -> None:
    store = filled(folder)
    store.close()

    with pytest.raises(SystemFault, match="after it was closed"):
        store.count(EVERYTHING)
    with pytest.raises(SystemFault, match="after it was closed"):
        store.create(DENSE)
