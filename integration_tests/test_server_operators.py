"""What operators of a server set up, and what the connector does with it: limits, refusals, notes, options, aliases.

Each rule is shown on the wire double, over REST and over gRPC, and the same on a real server where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from command_line import Json
from places import ALL, FLAT, KEYS, Place, place_of, points
from wire_double import Answer, Status, WireDouble
from wire_requests import Request

from destination_qdrant.errors import ConfigError, PointRefusedError
from destination_qdrant.qdrant.base import AnyOf, Below, Equals, PayloadIndex, VectorSchema, Where
from destination_qdrant.vectors import Dense


@pytest.fixture(name="place", params=["double-rest", "double-grpc", "server-rest", "server-grpc"])
def _place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request) as place:
        yield place


# ----------------------------------------------------------------------------------------------------------
# Limits

STRICT = {
    "enabled": True,
    "upsert_max_batchsize": 3,
    "max_query_limit": 4,
    "condition_max_size": 2,
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "search_allow_exact": False,
}


def test_requests_are_cut_to_the_limits_of_strict_mode_before_any_is_refused(place: Place) -> None:
    place.create(strict_mode_config=STRICT)
    with place.store() as store:
        store.create_indexes(KEYS)
        store.upsert(points(10))
        keys = AnyOf("key", tuple(f"k{number}" for number in range(9)))
        found = [each.id for each in store.scroll(Where((*ALL.must, keys)), ("key",))]
        store.delete_where(Where((*ALL.must, AnyOf("key", ("k0", "k1", "k2")))))
        left = {each.id for each in store.scroll(ALL, ())}

    assert sorted(found) == list(range(9))
    assert left == set(range(3, 10))
    if place.double:  # a limit that is met by a refusal would have cost more
        assert [len(each.body["points"]) for each in place.requests("^PUT .*/points$")] == [3, 3, 3, 1]
        assert {each.body["limit"] for each in place.requests("/points/scroll")} == {4}


def test_limits_that_come_into_force_in_mid_sync_are_met_as_well(place: Place) -> None:
    place.create()
    with place.store() as store:
        store.create_indexes(KEYS)
        store.upsert(points(4))
        place.ask("PATCH", body={"strict_mode_config": STRICT})
        store.upsert(points(10))
        assert {each.id for each in store.scroll(ALL, ())} == set(range(10))


def test_what_exceeds_the_write_rate_goes_in_parts_that_may_pass(place: Place) -> None:
    """A delete by filter costs what it is estimated to match; more than the bucket holds can never pass."""
    place.create(strict_mode_config={"enabled": True, "write_rate_limit": 1_000_000})
    with place.store() as store:
        store.create_indexes(KEYS)
        store.upsert(points(60))
    place.ask("PATCH", body={"strict_mode_config": {"enabled": True, "write_rate_limit": 40}})
    slept: list[float] = []

    def stop(seconds: float) -> None:
        slept.append(seconds)
        raise StopIteration

    with place.store(sleep=stop) as store:
        store.describe()
        with pytest.raises(StopIteration):
            store.delete_where(Where((*ALL.must, Below("generation", 2))))

    assert all(0 < seconds <= 60 for seconds in slept)  # it was told how long to wait, so it may pass then
    assert place.ask("POST", "/points/count", {"exact": True})["count"] == 20


@pytest.mark.parametrize("strict_mode", [{"enabled": False}, STRICT | {"filter_max_conditions": 5}])
def test_of_some_keys_only_what_is_kept_stays(place: Place, strict_mode: Json) -> None:
    place.create(strict_mode_config=strict_mode)
    with place.store() as store:
        store.create_indexes(KEYS)
        store.upsert([replace(point, payload=point.payload | {"key": f"k{point.id % 4}"}) for point in points(40)])
        # k1 keeps more ids than a filter can name there, so it is left as it is
        kept = {"k0": [0, 4], "k1": list(range(1, 30, 4)), "k2": [], "k9": [7]}
        store.keep_only(ALL.must, "key", kept)
        left = {each.id for each in store.scroll(ALL, ())}

    many = set(range(1, 40, 4)) if strict_mode["enabled"] else set(kept["k1"])
    assert left == {0, 4} | many | set(range(3, 40, 4))


# ----------------------------------------------------------------------------------------------------------
# Refusals


class Picky(WireDouble):
    """Refuses every batch that holds one of these points, for a reason that nobody knows."""

    bad: frozenset[int] = frozenset()

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        if request.is_like("^PUT .*/points$") and self.bad & {each["id"] for each in request.body["points"]}:
            return Answer.refusal(400, "Wrong input: something that no version has said yet")
        return super()._respond(request, update_status)


@pytest.mark.parametrize("bad", [{0}, {99}, {42}, {42, 43, 90}])
@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
def test_a_batch_that_is_refused_is_taken_apart_down_to_the_point_at_fault(bad: set[int], *, grpc: bool) -> None:
    with Picky(grpc=grpc) as double:
        double.bad = frozenset(bad)
        place = Place(double.url, grpc, "docs", double)
        with place.store() as store:
            store.create(FLAT)
            with pytest.raises(PointRefusedError) as raised:
                store.upsert(points(100))

    assert raised.value.index == min(bad)
    assert len(place.requests("^PUT .*/points$")) <= 15  # 2 for each halving, not one for each point


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
def test_how_large_a_request_may_be_is_learned_once(*, grpc: bool) -> None:
    """A proxy may take less than the server does, and says it only by refusing."""
    with Narrow(grpc=grpc) as double:
        place = Place(double.url, grpc, "docs", double)
        with place.store() as store:
            store.create(FLAT)
            store.upsert(points(40, text="x" * 1000))
            refused = double.refused
            store.upsert(points(40, text="x" * 1000))
        stored = place.ask("POST", "/points/count", {"exact": True})["count"]

    assert stored == 40
    assert 0 < refused == double.refused


class Narrow(WireDouble):
    """Takes ten of those points in a request, as little as a proxy might."""

    refused = 0

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        if request.is_like("^PUT .*/points$") and len(request.body["points"]) > 10:
            self.refused += 1
            if request.transport == "grpc":  # one code stands for a full disk as well; the text tells
                return Answer.refusal(507, "Received message larger than max (9999 vs. 999)")
            return Answer.refusal(413, "Payload Too Large")
        return super()._respond(request, update_status)


# ----------------------------------------------------------------------------------------------------------
# The collection


def test_a_collection_is_made_as_the_user_wants_it(place: Place) -> None:
    wanted = {
        "datatype": "float16",
        "vectors_on_disk": True,
        "payload_on_disk": False,
        "hnsw_m": 8,
        "hnsw_ef_construct": 64,
        "quantization": "scalar",
        "shard_number": 2,
        "replication_factor": 1,
        "write_consistency_factor": 1,
        "metadata": '{"team": "search"}',
    }
    with place.store(new_collection=wanted) as store:
        store.create({"text": VectorSchema("dense", 2, "manhattan")})
        store.create_indexes({"a.b": PayloadIndex("keyword", tenant=True, on_disk=True), **KEYS})
        store.create_indexes({"key": PayloadIndex("integer")})  # exists, and is left as it is
        described = store.describe()
    found = place.ask("GET")
    config, vector = found["config"], found["config"]["params"]["vectors"]["text"]

    assert (vector["distance"], vector["datatype"], vector["on_disk"]) == ("Manhattan", "float16", True)
    assert config["params"]["on_disk_payload"] is False
    assert config["params"]["shard_number"] == 2
    assert (config["hnsw_config"]["m"], config["hnsw_config"]["ef_construct"]) == (8, 64)
    assert config["quantization_config"]["scalar"]["type"] == "int8"
    assert config["metadata"] == {"team": "search"}
    assert found["payload_schema"]["a.b"]["params"] == {"type": "keyword", "is_tenant": True, "on_disk": True}
    assert described
    assert described.vectors == {"text": VectorSchema("dense", 2, "manhattan")}
    assert described.indexes == {"a.b": "keyword", "stream": "keyword", "key": "keyword", "generation": "integer"}


def test_an_index_for_bookkeeping_gets_no_links_in_the_search_graph(place: Place) -> None:
    place.create()
    with place.store() as store:
        store.create_indexes({"_ab_run_id": PayloadIndex("keyword", filters_searches=False)})

    assert place.ask("GET")["payload_schema"]["_ab_run_id"]["params"] == {"type": "keyword", "enable_hnsw": False}


def test_a_note_is_kept_in_the_metadata_beside_what_others_keep_there(place: Place) -> None:
    place.create(metadata={"team": "search"})
    with place.store() as store:
        assert store.recall() is None
        store.remember({"embedding": {"unnamed": {"model": "m-1", "dimensions": 2}}})
        store.remember({"embedding": {"unnamed": {"model": "m-2", "dimensions": 2}}})
        assert store.recall() == {"embedding": {"unnamed": {"model": "m-2", "dimensions": 2}}}

    assert place.ask("GET")["config"]["metadata"]["team"] == "search"
    assert place.ask("POST", "/points/count", {"exact": True})["count"] == 0


@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
def test_where_there_is_no_metadata_a_point_that_no_search_finds_keeps_the_note(*, grpc: bool) -> None:
    with WireDouble(version="1.15.4", grpc=grpc) as double:
        place = Place(double.url, grpc, "docs", double)
        with place.store() as store:
            store.create(FLAT)
            store.remember({"model": "m-1"})
            store.remember({"model": "m-2"})
            store.upsert(points(3))
            assert store.recall() == {"model": "m-2"}
            assert {hit.id for hit in store.search("", Dense.of([1, 1]), 10)} == {0, 1, 2}
        assert place.requests("^PATCH ") == []
        double.version = "1.18.3"
        with place.store() as store:
            assert store.recall() == {"model": "m-2"}
            store.remember({"model": "m-3"})
            assert store.recall() == {"model": "m-3"}
        assert place.ask("POST", "/points/count", {"exact": True})["count"] == 3


def test_an_alias_leads_to_its_collection_and_nothing_else_is_made(place: Place) -> None:
    place.create()
    alias = f"{place.collection}-alias"
    actions = [{"create_alias": {"collection_name": place.collection, "alias_name": alias}}]
    there = Place(place.url, place.over_grpc, alias, place.double)
    Place(place.url, over_grpc=False, collection="aliases").ask("POST", body={"actions": actions})
    with there.store() as store:
        assert store.describe()
        store.create(FLAT)  # it is there
        store.create_indexes(KEYS)
        store.remember({"model": "m"})
        store.upsert(points(5))
        store.delete_where(Where((*ALL.must, Equals("key", "k4"))))
        assert store.recall() == {"model": "m"}

    assert place.ask("POST", "/points/count", {"exact": True})["count"] == 4
    assert place.requests(f"^(PUT|DELETE) /collections/{alias}$") == []


def test_a_write_is_tried_out_by_removing_a_point_that_nobody_has(place: Place) -> None:
    place.create()
    with place.store() as store:
        store.upsert(points(5))
        store.require_write_access()

    assert place.ask("POST", "/points/count", {"exact": True})["count"] == 5


def test_a_missing_collection_is_named_when_something_needs_it(place: Place) -> None:
    with place.store() as store, pytest.raises(ConfigError, match=r"no collection .*indexing\.collection"):
        store.upsert(points(1))
    place.create()  # for the fixture to remove
