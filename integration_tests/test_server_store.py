"""The server store against a wire: the REST double where it models what is asked, a scripted HTTP server elsewhere.

Failures are real HTTP statuses, cut connections, closed ports. No test waits: the store's sleep is passed in.
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import grpc as protocol

from destination_qdrant.errors import ConfigError, PointRefusedError, SystemFault, TransientError
from destination_qdrant.lines import StdinLines
from destination_qdrant.protocol import MessageWriter
from destination_qdrant.qdrant import open_store
from destination_qdrant.qdrant.base import (
    AnyOf,
    Below,
    Equals,
    Missing,
    PayloadIndex,
    Point,
    StoredVector,
    VectorSchema,
    Where,
)
from destination_qdrant.qdrant.server.access import Access
from destination_qdrant.qdrant.server.store import DEFAULTS, WRITE, Options, Patience, ServerStore, open_server
from destination_qdrant.retry import RetryPolicy
from destination_qdrant.vectors import UNNAMED, Dense, Multi, Sparse
from destination_qdrant.write import write

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from wire_double import WireDouble
from wire_requests import Request

APPEND = Path(__file__).parent / "scenarios" / "append"
KEY = "top-secret-key"
PATIENT = Patience(30, RetryPolicy(60, first_wait=0, longest_wait=0))
HASTY = Patience(30, RetryPolicy(0))
UNNAMED_4 = {UNNAMED: VectorSchema("dense", 4, "cos")}
KEYWORD = PayloadIndex("keyword")
INTEGER = PayloadIndex("integer")
ALL = Where((Equals("kind", "a"),))
OLD = Where((*ALL.must, Below("generation", 1)))  # a filter with an upper bound matches nothing that comes later
WRITES = "PUT /collections/docs/points$"
DELETES = "POST /collections/docs/points/delete"


class Naps:
    """A sleep that only remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def open_docs(
    url: str,
    *,
    patience: Patience = PATIENT,
    sleep: Callable[[float], object] = lambda _: None,
    options: Options = DEFAULTS,
    **way: Any,
) -> ServerStore:
    """Over REST, unless that is said otherwise."""
    access = Access(url, **{"prefer_grpc": False} | way)
    return open_server(access, "docs", patience=patience, sleep=sleep, options=options)


def point(number: int, **payload: Any) -> Point:
    return Point(number, {UNNAMED: Dense.of([1.0, 0.0, 0.0, number])}, {"kind": "a", **payload})


@pytest.fixture
def double() -> Iterator[WireDouble]:
    with WireDouble() as double:
        yield double


@pytest.fixture
def store(double: WireDouble) -> Iterator[ServerStore]:
    """A store whose collection exists, with one unnamed vector of four dimensions."""
    store = open_docs(double.url)
    store.create(UNNAMED_4)
    yield store
    store.close()


def sent(double: WireDouble, pattern: str = WRITES) -> list[list[Any]]:
    """The points (or ids) of each request that arrived."""
    return [request.body["points"] for request in double.log if request.is_like(pattern)]


# ----------------------------------------------------------------------------------------------------------
# Round trips


def test_points_come_back_as_they_were_written(store: ServerStore) -> None:
    store.upsert([point(1, text="one", nothing=None), point(2, text="two")])

    found = sorted(store.scroll(ALL, ["text", "nothing"]), key=lambda stored: stored.id)

    assert [(stored.id, stored.payload) for stored in found] == [
        (1, {"text": "one", "nothing": None}),
        (2, {"text": "two"}),
    ]


def test_every_write_waits(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(1)])
    store.delete([1])
    store.delete_where(OLD)
    store.create_indexes({"kind": KEYWORD})

    writes = [request for request in double.log if request.is_like("points$|points/delete|index")]
    assert [request.query for request in writes] == [{"wait": "true"}] * 4


def test_the_nearest_points_are_found_best_first(store: ServerStore) -> None:
    store.upsert([point(number) for number in range(5)])

    found = store.search(UNNAMED, Dense.of([1.0, 0.0, 0.0, 0.0]), 2)

    assert [hit.id for hit in found] == [0, 1]
    assert found[0].score == pytest.approx(1)
    assert found[0].payload == {"kind": "a"}


def test_conditions_mean_what_they_say(store: ServerStore) -> None:
    store.upsert([point(number, generation=number) for number in range(4)])
    store.upsert([Point(9, {UNNAMED: Dense.of([1, 1, 1, 1])}, {"kind": "b", "odd key.": "x"})])

    assert store.count(ALL) == 4
    assert store.count(Where((AnyOf("kind", ("a", "b")),))) == 5
    assert store.count(Where((AnyOf("kind", ()),))) == 0
    assert store.count(Where((Below("generation", 2),))) == 2
    assert store.count(Where((Missing("generation"),))) == 1
    assert store.count(Where((Equals("kind", "a"),), must_not=(Below("generation", 2),))) == 2
    assert store.count(Where((Equals("odd key.", "x"),))) == 1


def test_deletions_take_what_they_name_and_nothing_else(store: ServerStore) -> None:
    store.upsert([point(number, generation=number) for number in range(6)])
    store.delete([0, 77])
    store.delete_where(Where((Below("generation", 3),)))
    store.delete_where(Where((AnyOf("kind", ()),)))

    assert sorted(stored.id for stored in store.scroll(ALL, ())) == [3, 4, 5]


def test_a_deletion_of_very_many_goes_by_id_page_by_page_and_tells_how_far_it_is() -> None:
    with WireDouble(strict={"enabled": True, "max_query_limit": 10}) as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)
        store.create_indexes({"kind": KEYWORD})
        store.upsert([point(number) for number in range(520)])
        store.upsert([Point(999, {UNNAMED: Dense.of([1, 1, 1, 1])}, {"kind": "b"})])
        million = {"result": {"count": 1_000_000}, "status": "ok", "time": 0.0}
        double.fail("points/count", status=200, body=million)
        told: list[int] = []
        store.delete_where(ALL, told.append)
        deletes = [request.body for request in double.log if request.is_like(DELETES)]
        left = [stored.id for stored in store.scroll(Where((AnyOf("kind", ("a", "b")),)), ())]
        store.close()
    assert told == [500]
    assert [len(body["points"]) for body in deletes] == [10] * 52
    assert left == [999]


def test_a_removal_of_other_runs_that_is_carried_out_again_later_spares_what_came_meanwhile(
    double: WireDouble, store: ServerStore
) -> None:
    store.upsert([point(number, run="one") for number in range(1_500)] + [point(9_000, run="two")])
    store.delete_where(Where((Equals("kind", "a"),), must_not=(Equals("run", "two"), Missing("run"))))
    assert [stored.id for stored in store.scroll(ALL, ())] == [9_000]
    removals = [request for request in double.log if request.is_like(DELETES)]
    store.upsert([point(9_001, run="three")])
    for request in removals:
        httpx.post(double.url + request.path, params={"wait": "true"}, json=request.body).raise_for_status()

    assert len(removals) == 2
    assert sorted(stored.id for stored in store.scroll(ALL, ())) == [9_000, 9_001]


def test_a_removal_of_old_generations_is_one_request(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(number, generation=number) for number in range(1_500)])
    store.delete_where(Where((Below("generation", 1_499),), must_not=(Missing("kind"),)))

    assert store.count(ALL) == 1
    assert ["filter" in request.body for request in double.log if request.is_like(DELETES)] == [True]


def test_a_deletion_without_a_condition_is_refused(double: WireDouble, store: ServerStore) -> None:
    with pytest.raises(SystemFault):
        store.delete_where(Where((), must_not=(Equals("kind", "a"),)))

    assert sent(double, DELETES) == []


def test_a_scroll_goes_over_all_pages(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(number) for number in range(2_300)])

    assert sorted(stored.id for stored in store.scroll(ALL, ())) == list(range(2_300))
    pages = [request.body for request in double.log if request.is_like("scroll")]
    assert [page["limit"] for page in pages] == [1_000] * 3
    assert [page["with_payload"] for page in pages] == [False] * 3


def test_a_scroll_that_is_given_up_asks_for_no_further_page(double: WireDouble, store: ServerStore) -> None:
    hashes = tuple(f"{number:032x}" for number in range(500))
    store.upsert([point(number, hash=hashes[number % 500]) for number in range(1_100)])

    found = list(islice(store.scroll(Where((*ALL.must, AnyOf("hash", hashes))), ("hash",)), 1_000))

    assert [each.payload["hash"] for each in found] == [hashes[number % 500] for number in range(1_000)]
    assert len([request for request in double.log if request.is_like("scroll")]) == 1


@pytest.mark.parametrize("over_grpc", [False, True])
def test_vectors_are_read_in_pages_of_a_few_megabytes_with_the_payload_that_is_asked_for(*, over_grpc: bool) -> None:
    with WireDouble(grpc=True) as double:
        store = open_docs(double.url, prefer_grpc=over_grpc)
        store.create({"text": VectorSchema("dense", 3_072, "dot"), "title": VectorSchema("dense", 2, "dot")})
        written = {number: Dense.of([number, *range(1, 3_072)]) for number in range(330)}
        store.upsert([Point(number, {"text": vector}, {"a": 1}) for number, vector in written.items()])
        store.upsert([Point(400, {"title": Dense.of([1, 2])}, {})])

        found = store.retrieve_vectors([*written, 400, 401, 0], "text")
        beside = store.retrieve_vectors([1], "text", ("a", "b c"))
        *asked, last = [request.body for request in double.log if request.is_like("points/scroll")]

    assert found == {number: StoredVector(vector, {}) for number, vector in written.items()}
    assert beside == {1: StoredVector(written[1], {"a": 1})}
    assert last["with_payload"] in (["a", '"b c"'], {"include": ["a", '"b c"']})
    assert [body["limit"] for body in asked] == ([325, 7] if over_grpc else [108, 108, 108, 8])
    assert [(body["with_payload"], body["with_vector"]) for body in asked] == [(False, ["text"])] * len(asked)


def test_vectors_are_read_again_after_a_failure_and_within_the_limits_of_strict_mode(double: WireDouble) -> None:
    naps = Naps()
    store = open_docs(double.url, sleep=naps)
    store.create(UNNAMED_4)
    store.upsert([point(number) for number in range(8)])
    double.fail("scroll", status=503)
    double.fail("scroll", status=429, headers={"Retry-After": "7"})
    limits = {"enabled": True, "max_query_limit": 5, "condition_max_size": 7, "read_rate_limit": 60}
    change = Request("PATCH", "", {}, {"strict_mode_config": limits})

    before = store.retrieve_vectors(range(6), UNNAMED)
    double.collections.update(change, "docs")
    unlearned = store.retrieve_vectors(range(6), UNNAMED)
    store.describe()
    learned = store.retrieve_vectors(range(8), UNNAMED)
    told = store.with_vector(range(8), UNNAMED)

    assert sorted(before) == sorted(unlearned) == [*range(6)]
    assert sorted(learned) == sorted(told) == [*range(8)]
    limits_asked = [request.body["limit"] for request in double.log if request.is_like("scroll")]
    assert limits_asked == [6, 6, 6, 6, 3, 3, 5, 3, 5, 3]
    assert naps.seconds[-1] == 7


@pytest.mark.parametrize("over_grpc", [False, True])
@pytest.mark.parametrize(("version", "reads_numbers"), [("1.12.6", True), ("1.13.0", False)])
def test_whether_there_is_a_vector_is_told_without_its_numbers_by_servers_that_know(
    version: str, *, over_grpc: bool, reads_numbers: bool
) -> None:
    with WireDouble(grpc=True, version=version) as double:
        store = open_docs(double.url, prefer_grpc=over_grpc)
        store.create(UNNAMED_4)
        store.upsert([point(1), Point(2, {}, {})])

        assert store.with_vector([1, 2, 3], UNNAMED) == {1}
        (asked,) = [request.body for request in double.log if request.is_like("scroll")]
        store.close()
    assert bool(asked.get("with_vector")) is reads_numbers
    assert asked["with_payload"] is False


@pytest.mark.parametrize("over_grpc", [False, True])
def test_catching_up_is_one_removal_by_filter_that_any_strict_mode_lets_pass(*, over_grpc: bool) -> None:
    limits = {"condition_max_size": 1, "filter_max_conditions": 1, "unindexed_filtering_update": False}
    with WireDouble(grpc=True, strict={"enabled": True, "write_rate_limit": 12, **limits}) as double:
        naps = Naps()
        store = open_docs(double.url, sleep=naps, prefer_grpc=over_grpc)
        store.create(UNNAMED_4)
        store.upsert([point(number) for number in range(4)])  # the first write counts twice
        double.fail(DELETES, status=503)
        for _ in range(4):  # what is left in the bucket, at one token each
            store.catch_up()
        removals = [request for request in double.log if request.is_like(DELETES)]
        left = store.count(ALL)
        store.close()
    assert left == 4
    assert len(naps.seconds) == 1  # after the failure
    assert [request.query for request in removals] == [{"wait": "true"}] * 5
    named = [request.body["filter"]["must"][0]["has_id"] for request in removals]
    assert (
        len({each for ids in named for each in ids}) == len(named) - 1
    )  # a new id each time, but for the one sent again


def test_named_sparse_and_multi_vectors_are_created_and_written(double: WireDouble) -> None:
    shape = {
        "text": VectorSchema("dense", 2, "dot"),
        "late": VectorSchema("multi", 2, "manhattan"),
        "words": VectorSchema("sparse"),
    }
    store = open_docs(double.url)
    store.create(shape)
    store.upsert(
        [
            Point(
                "5c56c793-69f3-4fbf-87e6-c4bf54c28c26",
                {
                    "text": Dense.of([1, 2]),
                    "late": Multi((Dense.of([1, 2]).packed, Dense.of([3, 4]).packed)),
                    "words": Sparse((7, 9), Dense.of([0.5, 2]).packed),
                },
                {},
            )
        ]
    )

    described = store.describe()
    assert described is not None
    assert described.vectors == shape
    assert sent(double)[0][0]["vector"] == {
        "text": [1.0, 2.0],
        "late": [[1.0, 2.0], [3.0, 4.0]],
        "words": {"indices": [7, 9], "values": [0.5, 2.0]},
    }
    assert [hit.id for hit in store.search("text", Dense.of([1, 1]), 5)] == ["5c56c793-69f3-4fbf-87e6-c4bf54c28c26"]


def test_a_point_that_does_not_fit_is_not_sent(double: WireDouble, store: ServerStore) -> None:
    with pytest.raises(SystemFault):
        store.upsert([point(1), Point(2, {UNNAMED: Dense.of([1.0])}, {})])

    assert sent(double) == []


# ----------------------------------------------------------------------------------------------------------
# The collection


def test_a_missing_collection_has_no_shape(double: WireDouble) -> None:
    assert open_docs(double.url).describe() is None


def test_writing_into_a_missing_collection_is_a_matter_of_configuration(double: WireDouble) -> None:
    with pytest.raises(ConfigError, match=r"indexing\.collection"):
        open_docs(double.url).upsert([point(1)])


def test_a_collection_that_vanishes_during_the_sync_is_a_matter_of_configuration(
    double: WireDouble, store: ServerStore
) -> None:
    store.upsert([point(1)])
    double.fail(WRITES, status=404, body="Not found: Collection `docs` doesn't exist!")

    with pytest.raises(ConfigError, match="does not exist"):
        store.upsert([point(1)])


def test_an_existing_collection_is_never_created_again(double: WireDouble, store: ServerStore) -> None:
    store.create({UNNAMED: VectorSchema("dense", 99, "dot")})

    assert len([request for request in double.log if request.is_like("PUT /collections/docs$")]) == 1
    described = store.describe()
    assert described is not None
    assert described.vectors == UNNAMED_4


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 409, "body": "Wrong input: Collection `docs` already exists!"},
        {"status": 500, "body": "Waiting for consensus operation commit failed. Timeout set at: 10 seconds"},
        {"close": True},
    ],
)
def test_a_creation_that_took_effect_in_spite_of_its_answer_is_a_success(
    double: WireDouble, fault: dict[str, Any]
) -> None:
    double.fail("PUT /collections/docs$", applied=True, **fault)
    store = open_docs(double.url, patience=HASTY)
    store.create(UNNAMED_4)

    assert store.describe() is not None
    assert len([request for request in double.log if request.is_like("PUT /collections/docs$")]) == 1


def test_a_creation_that_took_no_effect_is_tried_again(double: WireDouble) -> None:
    double.fail("PUT /collections/docs$", status=500, times=2)
    store = open_docs(double.url)
    store.create(UNNAMED_4)

    assert store.describe() is not None


def test_a_creation_that_is_forbidden_says_what_is_missing(double: WireDouble) -> None:
    double.fail("PUT /collections/docs$", status=403, body="Forbidden: Global access is required")

    with pytest.raises(ConfigError, match="global manage rights"):
        open_docs(double.url).create(UNNAMED_4)


def test_only_missing_indexes_are_created(double: WireDouble, store: ServerStore) -> None:
    store.create_indexes({"kind": KEYWORD})
    store.create_indexes({"kind": INTEGER, "generation": INTEGER, "at": PayloadIndex("datetime")})

    described = store.describe()
    assert described is not None
    assert described.indexes == {"kind": "keyword", "generation": "integer", "at": "datetime"}
    assert len([request for request in double.log if request.is_like("index$")]) == 3


@pytest.mark.parametrize("fault", [{"status": 500, "times": 99}, {"update_status": "wait_timeout", "times": 99}])
def test_an_index_that_is_there_in_the_end_is_a_success(double: WireDouble, fault: dict[str, Any]) -> None:
    double.fail("PUT /collections/docs/index$", applied=True, **fault)
    store = open_docs(double.url, patience=HASTY)
    store.create(UNNAMED_4)
    store.create_indexes({"kind": KEYWORD})

    described = store.describe()
    assert described is not None
    assert described.indexes == {"kind": "keyword"}


def test_a_forbidden_index_says_what_is_missing(double: WireDouble, store: ServerStore) -> None:
    double.fail("index$", status=403, body="Forbidden: Only points access is allowed for collection docs")

    with pytest.raises(ConfigError, match="not to points only"):
        store.create_indexes({"kind": KEYWORD})


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ({"size": 4, "distance": "Cosine"}, {UNNAMED: VectorSchema("dense", 4, "cos")}),
        (
            {"": {"size": 4, "distance": "Euclid"}, "x": {"size": 2, "distance": "Manhattan"}},
            {UNNAMED: VectorSchema("dense", 4, "euc"), "x": VectorSchema("dense", 2, "manhattan")},
        ),
        (
            {"late": {"size": 2, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}},
            {"late": VectorSchema("multi", 2, "dot")},
        ),
        (None, {}),
    ],
)
def test_all_forms_of_a_shape_are_understood(vectors: Any, expected: dict[str, VectorSchema]) -> None:
    params = {"vectors": vectors} if vectors else {}
    with scripted(lambda _path: (200, {}, collection_info(params))) as url:
        described = open_docs(url).describe()

    assert described is not None
    assert described.vectors == expected


# ----------------------------------------------------------------------------------------------------------
# Failures that heal


@pytest.mark.parametrize("fault", [{"status": status} for status in (408, 429, 500, 502, 503, 504)] + [{"close": True}])
@pytest.mark.parametrize("applied", [False, True])
def test_a_write_that_can_heal_is_sent_again_whole(
    double: WireDouble, store: ServerStore, fault: dict[str, Any], *, applied: bool
) -> None:
    double.fail(WRITES, times=3, applied=applied, **fault)
    store.upsert([point(1), point(2)])

    assert [[row["id"] for row in request] for request in sent(double)] == [[1, 2]] * 4
    assert store.count(ALL) == 2


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"close": True}])
def test_deletions_and_reads_heal_too(double: WireDouble, store: ServerStore, fault: dict[str, Any]) -> None:
    store.upsert([point(1), point(2), point(3)])
    for path in (DELETES, "scroll", "count", "query", "GET /collections/docs$"):
        double.fail(path, **fault)

    store.delete([1])
    double.fail(DELETES, **fault)
    store.delete_where(Where((Equals("kind", "b"),)))

    assert len(list(store.scroll(ALL, ()))) == 2
    assert store.count(ALL) == 2
    assert len(store.search(UNNAMED, Dense.of([1, 0, 0, 0]), 1)) == 1
    assert store.describe() is not None


@pytest.mark.parametrize("status", ["acknowledged", "wait_timeout"])
def test_a_write_counts_only_when_it_is_completed(double: WireDouble, store: ServerStore, status: str) -> None:
    double.fail(f"{WRITES}|{DELETES}", update_status=status)
    store.upsert([point(1)])
    double.fail(DELETES, update_status=status)
    store.delete([5])
    double.fail(DELETES, update_status=status)
    store.delete_where(OLD)

    assert (len(sent(double)), len([r for r in double.log if r.is_like(DELETES)])) == (2, 4)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("status", ["acknowledged", "wait_timeout"])
def test_a_write_that_is_never_completed_is_transient(double: WireDouble, status: str) -> None:
    double.fail(WRITES, update_status=status, times=9)
    hasty = open_docs(double.url, patience=HASTY)

    with pytest.raises(TransientError, match="did not confirm"):
        hasty.upsert([point(1)])


@pytest.mark.usefixtures("store")
def test_retry_after_is_obeyed(double: WireDouble) -> None:
    naps = Naps()
    patient = open_docs(double.url, sleep=naps)
    double.fail(WRITES, status=429, headers={"Retry-After": "12"}, body="Rate limiting exceeded: Retry after 12s")
    double.fail(WRITES, status=503, headers={"Retry-After": "3"})
    patient.upsert([point(1)])

    assert naps.seconds == [12, 3]


def test_a_retry_after_that_is_a_date_is_a_plain_retry(double: WireDouble, store: ServerStore) -> None:
    double.fail(WRITES, status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    store.upsert([point(1)])

    assert len(sent(double)) == 2


def test_a_retry_after_beyond_the_budget_is_transient_at_once(double: WireDouble, store: ServerStore) -> None:
    double.fail(WRITES, status=429, headers={"Retry-After": "3600"})

    with pytest.raises(TransientError, match="rate limit"):
        store.upsert([point(1)])


@pytest.mark.parametrize("seconds", ["-5", "9" * 30, "9" * 400])
def test_a_retry_after_that_is_no_sensible_number_is_a_plain_retry(
    double: WireDouble, store: ServerStore, seconds: str
) -> None:
    double.fail(WRITES, status=429, headers={"Retry-After": seconds})
    store.upsert([point(1)])

    assert len(sent(double)) == 2


@pytest.mark.parametrize(
    ("status", "body"), [(404, "default backend - 404"), (200, "<html>Back soon</html>"), (200, "[]")]
)
@pytest.mark.parametrize("pattern", [WRITES, "points/count"])
def test_an_answer_of_something_else_during_a_sync_is_waited_out(
    double: WireDouble, store: ServerStore, pattern: str, status: int, body: str
) -> None:
    store.upsert([point(1)])
    double.fail(pattern, status=status, body=body, headers={"Content-Type": "text/html"}, times=2)
    store.upsert([point(2)])

    assert store.count(ALL) == 2
    assert len([request for request in double.log if request.is_like(pattern)]) >= 3


@pytest.mark.usefixtures("store")
def test_an_answer_of_something_else_that_lasts_is_transient(double: WireDouble) -> None:
    hasty = open_docs(double.url, patience=HASTY)
    assert hasty.count(ALL) == 0
    double.fail("points/count", status=404, body="default backend", headers={"Content-Type": "text/html"})

    with pytest.raises(TransientError, match="something else answered in its place"):
        hasty.count(ALL)


@pytest.mark.usefixtures("store")
def test_a_full_disk_is_a_matter_of_configuration_in_the_end(double: WireDouble) -> None:
    hasty = open_docs(double.url, patience=HASTY)
    text = "Service internal error: No space left on device: WAL buffer size exceeds available disk space"
    double.fail(WRITES, status=500, body=text)

    with pytest.raises(ConfigError, match="free space on the server's disk"):
        hasty.upsert([point(1)])


def test_a_full_disk_that_clears_goes_unnoticed(double: WireDouble, store: ServerStore) -> None:
    double.fail(WRITES, status=500, body="Service internal error: No space left on device: WAL")
    store.upsert([point(1)])

    assert store.count(ALL) == 1


# ----------------------------------------------------------------------------------------------------------
# Failures that do not heal


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (400, "nobody knows ada@example.org", PointRefusedError, "HTTP 400"),
        (401, "Invalid API key or JWT", ConfigError, "api_key"),
        (403, "Forbidden: Write access to collection docs is required", ConfigError, "write points into"),
        (404, "Not found: Collection `docs` doesn't exist!", ConfigError, "does not exist"),
        (409, "conflict", ConfigError, "exists"),
        (422, "[points[1].vector: ada@example.org]", PointRefusedError, "HTTP 422"),
        (500, "Service internal error: InferenceService URL not configured", ConfigError, "embedding"),
        (400, "Wrong input: Vector dimension error: expected dim: 9, got 4", ConfigError, "of 9 dimensions"),
        (400, "Disk usage is at 70% of total capacity, exceeding the configured limit of 1%.", ConfigError, "70%"),
        (307, "", ConfigError, "redirected"),
    ],
)
def test_what_cannot_heal_is_sent_once(
    double: WireDouble, store: ServerStore, status: int, text: str, kind: type[Exception], said: str
) -> None:
    double.fail(WRITES, status=status, body=text, times=9)

    with pytest.raises(kind, match=said) as caught:
        store.upsert([point(1)])

    assert len(sent(double)) == 1
    assert "ada@" not in str(caught.value)


def test_after_a_refusal_the_shape_is_looked_at_again(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(1)])
    double.fail(WRITES, status=400, body="Wrong input: Not existing vector name error: x")
    with pytest.raises(ConfigError):
        store.upsert([point(1)])
    looks = len([request for request in double.log if request.is_like("GET /collections/docs$")])
    store.upsert([point(1)])

    assert len([request for request in double.log if request.is_like("GET /collections/docs$")]) == looks + 1


def test_a_filter_on_a_field_without_index_names_the_field_if_it_is_the_connectors() -> None:
    with WireDouble(strict={"enabled": True, "unindexed_filtering_update": False}) as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)

        with pytest.raises(ConfigError, match='"_ab_stream" because the field has no index of type keyword'):
            store.delete_where(Where((Equals("_ab_stream", "a"), Below("_ab_generation_id", 1))))
        with pytest.raises(ConfigError, match='"_ab_content_hash" because the field has no index of type keyword'):
            store.delete_where(Where((Equals("_ab_content_hash", "a"), Below("_ab_generation_id", 1))))
        with pytest.raises(ConfigError, match="on a field because the field has no fitting index"):
            store.delete_where(OLD)


def test_an_exact_count_that_is_refused_becomes_an_estimate() -> None:
    with WireDouble(strict={"enabled": True, "search_allow_exact": False}) as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)
        store.upsert([point(1)])

        assert store.count(ALL) == 1


def test_a_wrong_key_never_shows() -> None:
    with WireDouble(api_key=KEY) as double:
        with pytest.raises(ConfigError, match=r"indexing\.auth_method") as missing:
            open_docs(double.url).describe()
        with pytest.raises(ConfigError, match=r"indexing\.auth_method\.api_key") as wrong:
            open_docs(double.url, api_key="wrong-secret-key").describe()

        assert open_docs(double.url, api_key=KEY).describe() is None
        assert "secret" not in str(missing.value) + str(wrong.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_no_collection_can_have_is_refused(double: WireDouble, name: str) -> None:
    with pytest.raises(ConfigError, match=r"indexing\.collection"):
        open_server(Access(double.url, prefer_grpc=False), name)


@pytest.mark.parametrize("name", ["a*b", "a:b", "x" * 256])
def test_a_name_that_cannot_be_created_is_refused(double: WireDouble, name: str) -> None:
    store = open_server(Access(double.url, prefer_grpc=False), name)

    with pytest.raises(ConfigError, match=r"indexing\.collection"):
        store.create(UNNAMED_4)


# ----------------------------------------------------------------------------------------------------------
# Sizes


def test_requests_are_bounded_in_points(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(number) for number in range(4_197)])

    assert [len(request) for request in sent(double)] == [4_096, 101]


def test_requests_are_bounded_in_bytes(double: WireDouble, store: ServerStore) -> None:
    store.upsert([point(number, text="x" * 1_500_000) for number in range(5)])

    assert [len(request) for request in sent(double)] == [2, 2, 1]


def test_a_body_that_the_server_finds_too_large_is_halved() -> None:
    with WireDouble(body_limit=6_000) as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)
        store.upsert([point(number, text="x" * 1_000) for number in range(16)])

        assert store.count(ALL) == 16


def test_a_single_point_that_is_too_large_is_a_matter_of_configuration() -> None:
    with WireDouble(body_limit=6_000) as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)

        with pytest.raises(ConfigError, match="a single point"):
            store.upsert([point(1, text="x" * 10_000)])


def test_a_batch_larger_than_the_rate_limit_is_halved(double: WireDouble, store: ServerStore) -> None:
    text = "Rate limiting exceeded: request larger than rate limiter capacity, please try to split your request"
    double.fail(WRITES, status=429, body=text)
    double.fail(DELETES, status=429, body=text)
    store.upsert([point(number) for number in range(5)])
    store.delete([0, 1, 2])

    assert [len(request) for request in sent(double)] == [5, 3, 2]
    assert [len(request) for request in sent(double, DELETES)] == [3, 2, 1]


def test_a_filter_deletion_larger_than_the_rate_limit_is_carried_out_by_id(
    double: WireDouble, store: ServerStore
) -> None:
    store.upsert([point(number) for number in range(1_200)])
    double.fail(DELETES, status=429, body="request larger than rate limiter capacity, please try to split your request")
    store.delete_where(ALL)

    assert store.count(ALL) == 0


def test_limits_of_strict_mode_that_come_in_mid_sync_are_learned() -> None:
    limits = {"enabled": True, "upsert_max_batchsize": 4, "max_query_limit": 3}
    with WireDouble() as double:
        store = open_docs(double.url)
        store.create(UNNAMED_4)
        store.describe()
        double.collections.update(Request("PATCH", "", {}, {"strict_mode_config": limits}), "docs")
        store.upsert([point(number) for number in range(9)])
        store.upsert([point(number) for number in range(9)])

        assert [len(request) for request in sent(double)] == [9, 4, 4, 1, 4, 4, 1]
        assert len(list(store.scroll(ALL, ()))) == 9


# ----------------------------------------------------------------------------------------------------------
# Connections


def closed_port() -> int:
    """A port of this machine that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_comes_back_is_used_again(double: WireDouble, store: ServerStore) -> None:
    def start(_seconds: float) -> None:
        double.start()

    patient = open_docs(double.url, sleep=start)
    double.stop()
    patient.upsert([point(1)])

    assert store.count(ALL) == 1


def test_several_threads_share_one_store(double: WireDouble, store: ServerStore) -> None:
    double.fail(WRITES, status=503, times=5)
    with ThreadPoolExecutor(8) as pool:
        wait([pool.submit(store.upsert, [point(number)]) for number in range(40)])

    assert store.count(ALL) == 40


@pytest.mark.usefixtures("store")
def test_a_sleep_that_raises_stops_the_waiting(double: WireDouble) -> None:
    def stop(_seconds: float) -> None:
        raise InterruptedError

    double.fail(WRITES, status=503, times=9)
    stoppable = open_docs(double.url, sleep=stop)
    with pytest.raises(InterruptedError):
        stoppable.upsert([point(1)])

    assert len(sent(double)) == 1


# ----------------------------------------------------------------------------------------------------------
# gRPC


class Points(protocol.PointsServicer):
    """Plays what it is told to, one after the other; then it completes."""

    def __init__(self, *failures: tuple[grpc.StatusCode, str]) -> None:
        self.failures = list(failures)
        self.statuses: list[Any] = []
        self.upserts: list[Any] = []

    def Upsert(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 -- gRPC's name
        self.upserts.append(request)
        if self.failures:
            code, text = self.failures.pop(0)
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "Retry after" in text:
                context.set_trailing_metadata((("retry-after", "7"),))
            context.abort(code, text)
        status = self.statuses.pop(0) if self.statuses else protocol.UpdateStatus.Completed
        return protocol.PointsOperationResponse(result=protocol.UpdateResult(status=status))


class Collections(protocol.CollectionsServicer):
    """One collection of four dimensions."""

    def Get(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 -- gRPC's name
        if request.collection_name != "docs":
            context.abort(grpc.StatusCode.NOT_FOUND, "Not found: Collection `x` doesn't exist!")
        params = protocol.VectorParams(size=4, distance=protocol.Distance.Cosine)
        config = protocol.CollectionConfig(
            params=protocol.CollectionParams(shard_number=1, vectors_config=protocol.VectorsConfig(params=params)),
            hnsw_config=protocol.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000),
            optimizer_config=protocol.OptimizersConfigDiff(
                deleted_threshold=0.2, vacuum_min_vector_number=1_000, default_segment_number=0, flush_interval_sec=5
            ),
            wal_config=protocol.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
        )
        info = protocol.CollectionInfo(
            status=protocol.CollectionStatus.Green,
            optimizer_status=protocol.OptimizerStatus(ok=True),
            config=config,
            segments_count=1,
        )
        return protocol.GetCollectionInfoResponse(result=info)


class Root(protocol.QdrantServicer):
    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802 -- gRPC's name
        return protocol.HealthCheckReply(title="qdrant", version="1.18.3")


@contextmanager
def grpc_server(points: Points) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    protocol.add_PointsServicer_to_server(points, server)
    protocol.add_CollectionsServicer_to_server(Collections(), server)
    protocol.add_QdrantServicer_to_server(Root(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def open_grpc(port: int, **options: Any) -> ServerStore:
    return open_docs("http://127.0.0.1:6333", prefer_grpc=True, grpc_port=port, **options)


def test_grpc_is_used_when_it_answers() -> None:
    points = Points()
    with grpc_server(points) as port:
        store = open_grpc(port)
        store.upsert([point(1, text="one")])

        assert store.notes == ()
        assert "gRPC" in store.place
        assert points.upserts[0].wait is True
        assert points.upserts[0].points[0].payload["text"].string_value == "one"
        store.close()


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_grpc_failures_that_can_heal_are_sent_again(code: grpc.StatusCode) -> None:
    points = Points((code, "x"), (code, "x"))
    with grpc_server(points) as port:
        open_grpc(port).upsert([point(1)])

    assert len(points.upserts) == 3


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "nobody knows ada@example.org", PointRefusedError),
        (grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT", ConfigError),
        (grpc.StatusCode.PERMISSION_DENIED, "ExpiredSignature", ConfigError),
        (grpc.StatusCode.NOT_FOUND, "Not found: Collection `docs` doesn't exist!", ConfigError),
        (grpc.StatusCode.ALREADY_EXISTS, "x", ConfigError),
        (grpc.StatusCode.UNIMPLEMENTED, "x", ConfigError),
    ],
)
def test_grpc_failures_that_cannot_heal_are_sent_once(code: grpc.StatusCode, text: str, kind: type[Exception]) -> None:
    points = Points(*[(code, text)] * 9)
    with grpc_server(points) as port, pytest.raises(kind) as caught:
        open_grpc(port).upsert([point(1)])

    assert len(points.upserts) == 1
    assert "ada@" not in str(caught.value)


def test_a_grpc_rate_limit_is_waited_for_or_halved() -> None:
    naps = Naps()
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    points = Points(
        (exhausted, "Rate limiting exceeded: Write rate limit exceeded. Retry after 7s"),
        (
            exhausted,
            "Rate limiting exceeded: request larger than rate limiter capacity, please try to split your request",
        ),
    )
    with grpc_server(points) as port:
        open_grpc(port, sleep=naps).upsert([point(1), point(2)])

    assert naps.seconds == [7]
    assert [len(request.points) for request in points.upserts] == [2, 2, 1, 1]


def test_a_grpc_write_counts_only_when_it_is_completed() -> None:
    points = Points()
    points.statuses = [protocol.UpdateStatus.Acknowledged, protocol.UpdateStatus.WaitTimeout]
    with grpc_server(points) as port:
        open_grpc(port).upsert([point(1)])

    assert len(points.upserts) == 3


def test_a_grpc_server_that_went_away_is_transient() -> None:
    with grpc_server(Points()) as port:
        store = open_grpc(port, patience=HASTY)
        assert store.describe() is not None

    with pytest.raises(TransientError):
        store.upsert([point(1)])


@pytest.mark.parametrize("verbosity", [None, "", "INFO"])
def test_nothing_reaches_stderr_when_a_grpc_server_goes_away(
    monkeypatch: pytest.MonkeyPatch, verbosity: str | None
) -> None:
    if verbosity is None:
        monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    else:
        monkeypatch.setenv("GRPC_VERBOSITY", verbosity)
    script = """
import sys
from destination_qdrant.errors import TransientError
from destination_qdrant.qdrant.base import Equals, Where
from destination_qdrant.qdrant.server.access import Access
from destination_qdrant.qdrant.server.store import Patience, open_server
from destination_qdrant.retry import RetryPolicy
url, port = sys.argv[1:]
hasty = Patience(30, RetryPolicy(0))
store = open_server(Access(url, grpc_port=int(port)), "docs", patience=hasty)
print(store.describe() is not None, flush=True)
sys.stdin.readline()
try:
    store.count(Where((Equals("kind", "a"),)))
except TransientError as error:
    print(error.detail)
"""
    with grpc_server(Points()) as port:
        child = subprocess.Popen(
            [sys.executable, "-c", script, "http://127.0.0.1:6333", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"

    assert child.communicate("the server is gone\n") == ("refused\n", "")


def test_a_missing_collection_has_no_shape_over_grpc() -> None:
    with grpc_server(Points()) as port:
        store = open_server(Access("http://127.0.0.1:6333", grpc_port=port), "x")

        assert store.describe() is None


class Log:
    """What was told, by level."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: str, message: str) -> None:
        self.lines.append((level, message))


class Time:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_server_that_answered_before_is_waited_for_during_a_sync(double: WireDouble) -> None:
    time = Time()
    store = open_docs(double.url, patience=replace(WRITE, clock=time.clock), sleep=time.sleep)
    store.describe()
    double.fail("GET /collections/docs$", status=503, times=10_000)

    with pytest.raises(TransientError):
        store.describe()

    assert time.now == pytest.approx(300)


@pytest.mark.usefixtures("store")
def test_an_outage_of_a_hundred_seconds_is_told_of_twice_and_its_end_once(double: WireDouble) -> None:
    time, log = Time(), Log()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if (
            time.now > 101
        ):  # a wait is at most 30 s long: one begins within 90 s of the first warning, which comes by 10 s
            double.heal()

    patient = open_docs(double.url, patience=replace(WRITE, clock=time.clock, log=log), sleep=sleep)
    patient.describe()
    double.fail(WRITES, status=503, times=10_000)
    patient.upsert([point(1, text="ada@example.org")])

    assert [level for level, _ in log.lines] == ["WARN", "WARN", "INFO"]
    assert all(message.startswith(f"Qdrant at {double.url} ") for _, message in log.lines)
    assert "HTTP 503). Trying again for up to 300 seconds." in log.lines[0][1]
    assert "ada@" not in str(log.lines)


def test_the_log_of_a_sync_tells_of_an_outage(double: WireDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_store.__kwdefaults__, "sleep", lambda _seconds: None)  # a sync chooses no other
    double.fail(WRITES, status=503, headers={"Retry-After": "12"})
    config, catalog = (json.loads((APPEND / name).read_bytes()) for name in ("config.json", "catalog.json"))
    config["indexing"] = {"url": double.url, "collection": "docs", "prefer_grpc": False}
    out = io.BytesIO()
    with (APPEND / "messages.jsonl").open("rb") as messages:
        write(config, catalog, StdinLines(messages.fileno()), MessageWriter(out), run_id="one")

    logs = [message["log"] for message in map(json.loads, out.getvalue().splitlines()) if message["type"] == "LOG"]
    assert [log["level"] for log in logs if "Trying again for up to" in log["message"]] == ["WARN"]
    assert [log["level"] for log in logs if "answers again" in log["message"]] == ["INFO"]


# ----------------------------------------------------------------------------------------------------------
# A server that answers as told

Script = Callable[[str], tuple[int, dict[str, str], str]]
#: What it says when it is asked for its name.
HELLO: tuple[int, dict[str, str], str] = (200, {}, '{"title": "qdrant", "version": "1.18.3"}')


@contextmanager
def scripted(answer: Script) -> Iterator[str]:
    """The URL of an HTTP server that answers with what `answer` makes of the path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = HELLO if self.path == "/" else answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def collection_info(params: dict[str, Any]) -> str:
    """The body of a collection's description."""
    config = {
        "params": params,
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
        "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1_000, "flush_interval_sec": 5}
        | {"default_segment_number": 0},
    }
    result = {"status": "green", "optimizer_status": "ok", "segments_count": 2, "config": config, "payload_schema": {}}
    return json.dumps({"result": result, "status": "ok", "time": 0.0})
