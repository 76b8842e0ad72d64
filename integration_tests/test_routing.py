"""Where requests go and what comes back instead: shard keys, write ordering, the bucket that writers share, gateways.

Most of it is shown on the wire double, which tells every request; `cluster/test_cluster.py` has real nodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier, Lock
from typing import Any
from urllib.error import HTTPError

import pytest
from command_line import Json
from places import ALL, FLAT, KEYS, Place, place_of, points
from running_write import APPEND
from wire_double import Answer, Status, WireDouble
from wire_requests import Request

from destination_qdrant.catalog import read_catalog
from destination_qdrant.check import check
from destination_qdrant.collection import prepare
from destination_qdrant.config import parse_config
from destination_qdrant.embedding import create_embedder
from destination_qdrant.errors import ConfigError, PointRefusedError
from destination_qdrant.qdrant.base import Below, Equals, Store, Where
from destination_qdrant.qdrant.server.access import Access
from destination_qdrant.qdrant.server.errors import CollectionMissingError, MissingRightError
from destination_qdrant.qdrant.server.store import open_server, writing
from destination_qdrant.vectors import Dense

transports = pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])

EU: Json = {"shard_key": "eu"}
CUSTOM: Json = {"sharding_method": "custom"}


@pytest.fixture(name="cluster", params=["rest", "grpc"])
def _cluster(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A cluster, of one node."""
    over_grpc = request.param == "grpc"
    with WireDouble(grpc=over_grpc, distributed=True) as double:
        yield Place(double.url, over_grpc, "docs", double)


@pytest.fixture(name="single", params=["double-rest", "double-grpc", "server-rest", "server-grpc"])
def _single(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server that is no cluster."""
    with place_of(request) as place:
        yield place


# ----------------------------------------------------------------------------------------------------------
# What travels with requests


def do_everything(place: Place, **indexing: Any) -> None:
    """Every call of a store that reads or writes points, and every way that it has to do so."""
    assert place.double
    late = Below("generation", 2)
    with place.store(**indexing) as store:
        store.create(FLAT)
        store.create_indexes(KEYS)
        store.upsert(points(9))
        assert len(list(store.scroll(ALL, ("key",)))) == store.count(ALL) == 9
        assert len(store.search("", Dense.of([1, 1]), 3)) == 3
        assert len(store.retrieve_vectors([1, 2, 99], "")) == len(store.with_vector([1, 2, 99], "")) == 2
        store.catch_up()
        store.delete([0])
        store.delete_where(Where((late, Equals("key", "k1"))))  # by filter
        store.delete_where(Where((*ALL.must, Equals("key", "k2"))))  # page by page
        store.keep_only((*ALL.must, late), "key", {"k3": [], "k4": [4]})
        store.require_write_access()
        store.remember({"model": "m-1"})
        place.double.fail("^PATCH ", status=403, body="Forbidden: Global manage access is required")
        store.remember({"model": "m-2"})  # now at a point
        assert store.recall() == {"model": "m-2"}
        assert {point.id for point in store.scroll(ALL, ())} == {4, 5, 6, 7, 8}


def routes(requests: list[Request]) -> Mapping[str, set[tuple[Any, str | None]]]:
    """For each route to points, which shard key and which ordering it was asked with."""
    found: dict[str, set[tuple[Any, str | None]]] = {}
    for each in requests:
        said = each.body.get("shard_key"), each.query.get("ordering")
        found.setdefault(f"{each.method} {each.path.removeprefix('/collections/docs')}", set()).add(said)
    return found


def test_every_request_about_points_goes_to_the_shard_key_and_every_write_in_the_wanted_order(cluster: Place) -> None:
    do_everything(cluster, shard_key="eu", write_ordering="strong")

    read, write = {("eu", None)}, {("eu", "strong")}
    assert routes(cluster.requests("/points")) == {
        "PUT /points": write,
        "POST /points/delete": write,
        "POST /points": read,
        "POST /points/scroll": read,
        "POST /points/count": read,
        "POST /points/query": read,
    }


def test_without_them_no_request_says_anything_about_either(cluster: Place) -> None:
    do_everything(cluster)

    said = routes(cluster.requests("/points"))
    assert len(said) == 6
    assert set.union(*said.values()) == {(None, None)}
    assert cluster.requests("/shards") == []


# ----------------------------------------------------------------------------------------------------------
# The shard key itself


def test_a_missing_shard_key_is_created_once(cluster: Place) -> None:
    """Also when it is told to have failed, in a collection of its own making and in one that was there."""
    assert cluster.double
    there = replace(cluster, collection="there")
    there.create(**CUSTOM)
    slept: list[float] = []
    # whether the server is a cluster is found out by a first try, before the collection is made
    for place, tries in ((cluster, 2), (there, 1)):
        path = f"^PUT /collections/{place.collection}/shards$"
        cluster.double.fail(path, skip=tries - 1, applied=True, status=500)
        for _ in range(2):
            with place.store(**EU, sleep=slept.append) as store:
                store.create(FLAT)
                store.create_indexes(KEYS)
                store.upsert(points(2))

        assert [each.body for each in place.requests(path)] == [EU] * tries
        assert place.ask("GET")["config"]["params"]["sharding_method"] == "custom"
        assert place.ask("POST", "/points/count", EU)["count"] == 2
    assert slept == []


def refusals(place: Place, **indexing: Any) -> list[str]:
    """What a check says, and what a write before it reads its first record."""
    said = place.config(**indexing)
    config = parse_config(said)
    with pytest.raises(ConfigError) as checked:
        check(said)
    with place.store(**indexing) as store, pytest.raises(ConfigError) as written:
        prepare(store, config, create_embedder(config.embedding), read_catalog(APPEND, config), run_id="r", loaded_at=1)
    return [checked.value.message, written.value.message]


CHANGING = "^(PUT|PATCH|DELETE) "


def test_a_collection_that_is_not_divided_by_keys_is_refused(cluster: Place) -> None:
    cluster.create()
    for message in refusals(cluster, **EU):
        assert 'does not divide collection "docs" by shard keys' in message
        assert "indexing.shard_key" in message

    assert len(cluster.requests(CHANGING)) == 1  # that of the test


def test_a_key_that_is_a_number_there_is_refused(cluster: Place) -> None:
    cluster.create(**CUSTOM)
    cluster.ask("PUT", "/shards", {"shard_key": 7})
    with cluster.store(shard_key="7") as store, pytest.raises(ConfigError, match=r"indexing\.shard_key is a number"):
        store.create_indexes(KEYS)

    assert len(cluster.requests(CHANGING)) == 2
    for text in ("007", "9" * 30):  # no way in which a number is written, or one that no key can be
        with cluster.store(shard_key=text) as store:
            store.create_indexes({})
    assert len(cluster.requests(CHANGING)) == 4

    cluster.ask("PUT", "/shards", {"shard_key": "7"})  # the text beside the number
    with cluster.store(shard_key="7") as store:
        store.create_indexes(KEYS)


def test_a_server_that_is_no_cluster_is_refused_before_a_collection_is_made(single: Place) -> None:
    with single.store(**EU) as store, pytest.raises(ConfigError, match=r"is no cluster.*indexing\.shard_key"):
        store.create(FLAT)
    with pytest.raises(HTTPError, match="404"):
        single.ask("GET")

    single.create()  # for the fixture to remove


def test_with_collection_management_must_exist_a_missing_shard_key_is_not_created(cluster: Place) -> None:
    cluster.create(**CUSTOM)
    must_exist: Json = {**EU, "collection_management": "must_exist"}
    for message in refusals(cluster, **must_exist):
        assert "no shard key as in indexing.shard_key" in message
        assert "indexing.collection_management is must_exist" in message
    assert len(cluster.requests(CHANGING)) == 1

    cluster.ask("PUT", "/shards", EU)
    with cluster.store(**must_exist) as store:
        store.create_indexes(KEYS)
        store.upsert(points(1))
    assert len(cluster.requests("^PUT .*/shards$")) == 1


# ----------------------------------------------------------------------------------------------------------
# The state of a collection


class Red(WireDouble):
    """Something has failed in its collections."""

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        answer = super()._respond(request, update_status)
        if request.is_like("^GET /collections/[^/]+$") and answer.status == 200:
            content = json.loads(answer.body)
            content["result"]["status"] = "red"
            return Answer.of(content)
        return answer


@transports
def test_notes_tell_of_a_collection_that_has_failed_and_of_one_that_makes_writes_wait(*, grpc: bool) -> None:
    waiting = {"optimizers_config": {"prevent_unoptimized": True}}
    with WireDouble(grpc=grpc) as healthy, Red(grpc=grpc) as red:
        found = {}
        for double in (healthy, red):
            for name, more in (("plain", {}), ("waiting", waiting)):
                place = Place(double.url, grpc, name, double)
                place.create(**more)
                with place.store() as store:
                    store.describe()
                    found[double, name] = store.notes
                assert all(note in check(place.config()) for note in found[double, name])

    (failed,), (waits,) = found[red, "plain"], found[healthy, "waiting"]
    assert "status is red" in failed
    assert "prevent_unoptimized" in waits
    assert found[healthy, "plain"] == ()
    assert found[red, "waiting"] == (failed, waits)


# ----------------------------------------------------------------------------------------------------------
# One bucket for several writers

BUCKET = 10
WRITERS = 4
ROUNDS = 3


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = Lock()

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


def test_writers_that_share_a_bucket_take_turns() -> None:
    """Each write takes all of the bucket, which is full again after a minute; one that is passed over twice has to give up."""
    now = Time()
    with WireDouble(clock=now) as double:
        place = Place(double.url, over_grpc=False, collection="docs", double=double)
        place.create()
        place.ask("PUT", "/points?wait=true", {"points": [{"id": 0, "vector": [1, 0]}]})  # the first one costs twice
        place.ask("PATCH", body={"strict_mode_config": {"enabled": True, "write_rate_limit": BUCKET}})
        patience = replace(writing(60, 90), clock=now)
        with closing(open_server(Access(double.url), "docs", patience=patience, sleep=now.sleep)) as store:
            together(WRITERS, lambda number: fill_and_empty(store, number))

    writes = 2 * ROUNDS * WRITERS
    assert now() == (writes - 1) * 60
    assert len(place.requests("^(PUT .*/points|POST .*/points/delete)$")) == 1 + writes + (writes - 1)


def together(count: int, act: Callable[[int], None]) -> None:
    """Let so many threads begin at once, and raise what the first of them raises."""
    begin = Barrier(count)

    def run(number: int) -> None:
        begin.wait()
        act(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, number) for number in range(count)]:
            done.result()


def fill_and_empty(store: Store, number: int) -> None:
    own = [replace(point, id=point.id + number * BUCKET) for point in points(BUCKET) if isinstance(point.id, int)]
    for _ in range(ROUNDS):
        store.upsert(own)
        store.delete([point.id for point in own])


# ----------------------------------------------------------------------------------------------------------
# A gateway before gRPC that answers in HTTP

#: What the double has to be told for gRPC's library to end with the code that it gives a gateway's status: recorded from
#: grpcio before an HTTP/2 server.
_TOLD_AS = {401: 401, 403: 403, 404: 501, 413: 413, 429: 503, 500: 418, 502: 503}


def answers(status: int) -> Json:
    """A fault: the gateway's answer."""
    return {"status": _TOLD_AS[status], "body": f"Received http2 header with status: {status}"}


def never(_seconds: float) -> None:
    raise AssertionError("it waits for what does not pass")


class Gateway(WireDouble):
    """Takes few points in a request, and says so in HTTP."""

    most = 10
    refused = 0

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        if request.is_like("^PUT .*/points$") and len(request.body["points"]) > self.most:
            self.refused += 1
            said = answers(413)
            return Answer.refusal(said["status"], said["body"])
        return super()._respond(request, update_status)


def test_what_is_too_large_for_a_gateway_before_grpc_goes_in_halves() -> None:
    with Gateway(grpc=True) as double:
        place = Place(double.url, over_grpc=True, collection="docs", double=double)
        with place.store(sleep=never) as store:
            store.create(FLAT)
            store.upsert(points(40))
            refused = double.refused
            store.upsert(points(40))
            assert store.count(Where((Equals("stream", "s"),))) == 40
            double.most = 0
            with pytest.raises(PointRefusedError, match="larger than what is taken in one request"):
                store.upsert(points(1))

    assert 0 < refused == double.refused - 1


@pytest.mark.parametrize("status", [404, 429, 500, 502])
def test_what_a_gateway_before_grpc_says_in_passing_is_waited_out(status: int) -> None:
    """A 404 of its own is none of Qdrant's: the collection is there."""
    slept: list[float] = []
    with WireDouble(grpc=True) as double:
        place = Place(double.url, over_grpc=True, collection="docs", double=double)
        place.create()
        double.fail("^GET /collections/docs$", **answers(status))
        double.fail("^PUT .*/points$", **answers(status))
        with place.store(sleep=slept.append) as store:
            assert store.describe()
            store.upsert(points(1))

    assert len(slept) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_gateway_before_grpc_that_blocks_is_not_taken_for_qdrants_rights(status: int) -> None:
    with WireDouble(grpc=True) as double:
        place = Place(double.url, over_grpc=True, collection="docs", double=double)
        place.create()
        double.fail("^PUT .*/points$", **answers(status))
        with (
            place.store(sleep=never) as store,
            pytest.raises(ConfigError, match="something before it blocked") as raised,
        ):
            store.upsert(points(1))

    assert not isinstance(raised.value, MissingRightError | CollectionMissingError)
    assert "auth_method" not in raised.value.message
    assert raised.value.detail == f"HTTP {status}"
