"""The wire double behaves as a server does, seen through the real client, over REST and over gRPC.

What a server could do as well is asked of one, too, where there is one: where the two differ, the double is wrong.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as protocol
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from wire_double import WireDouble
from wire_sides import DOCS, Side, Transport, closing, refusal

UUID = "11111111-2222-5333-8444-555555555555"
POINTS = "/collections/docs/points"


@pytest.fixture(name="side", params=["double", "server"])
def _side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "double":
        with WireDouble(grpc=True) as running, closing(Side.of_double(running)) as side:
            yield side
        return
    url = request.getfixturevalue("server_url")
    with closing(Side.of_server(url)) as side:
        yield side


@pytest.fixture(name="transport", params=["rest", "grpc"])
def _transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


@pytest.fixture(name="double")
def _double() -> Iterator[WireDouble]:
    with WireDouble(grpc=True) as running:
        yield running


def with_docs(connected: QdrantClient) -> QdrantClient:
    """The client, whose server holds a collection with one dense and one sparse vector."""
    connected.create_collection(
        DOCS,
        vectors_config={"text": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    return connected


@pytest.fixture(name="client")
def _client(side: Side, transport: Transport) -> QdrantClient:
    return with_docs(side.connect(transport))


@pytest.fixture(name="rest")
def _rest(side: Side) -> QdrantClient:
    """For tests that send bare requests themselves."""
    return with_docs(side.connect())


@pytest.fixture(name="victim")
def _victim(double: WireDouble, transport: Transport) -> Iterator[QdrantClient]:
    """A client of the double in `double`."""
    with closing(Side.of_double(double)) as side:
        yield with_docs(side.connect(transport))


def point(key: int | str, name: str = "text", vector: Any = (1.0, 0.0), **payload: Any) -> models.PointStruct:
    return models.PointStruct(id=key, vector={name: list(vector)}, payload=payload)


def matches(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def stored(client: QdrantClient) -> list[Any]:
    return [each.id for each in client.scroll(DOCS, limit=1000)[0]]


# ------------------------------------------------------------------------------------------------------------
# Round trip


def test_points_come_back_page_by_page_numbers_before_uuids(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(key, n=key) for key in (3, 1, 2)] + [point(UUID.upper(), n=9)], wait=True)

    first, following = client.scroll(DOCS, limit=2, with_payload=["n"])
    rest, end = client.scroll(DOCS, limit=2, offset=following)

    assert [(each.id, each.payload) for each in first + rest] == [
        (1, {"n": 1}), (2, {"n": 2}), (3, {"n": 3}), (UUID, {"n": 9}),
    ]  # fmt: skip
    assert (following, end) == (3, None)


def test_filters_count_delete_and_search(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, s="a", g=1), point(2, s="a", g=2), point(3, "text", (0.0, 1.0), s="b", g=None)])
    older = models.FieldCondition(key="g", range=models.Range(lt=2))
    missing = models.IsEmptyCondition(is_empty=models.PayloadField(key="g"))
    one_of = models.FieldCondition(key="s", match=models.MatchAny(any=["b", "c"]))

    assert client.count(DOCS).count == 3
    assert client.count(DOCS, models.Filter(must=[matches("s", "a")], must_not=[older])).count == 1
    assert client.count(DOCS, models.Filter(must=[missing, one_of])).count == 1
    assert [hit.id for hit in client.query_points(DOCS, [0.1, 1.0], using="text", limit=1).points] == [3]

    client.delete(DOCS, models.FilterSelector(filter=models.Filter(must=[older])))
    client.delete(DOCS, models.PointIdsList(points=[3, 77]))

    assert stored(client) == [2]


def test_a_point_is_replaced_whole_and_the_last_of_two_equal_ids_wins(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, a=1), point(1, b=2)])

    assert client.retrieve(DOCS, [1, 2], with_vectors=True)[0].model_dump(exclude_none=True) == {
        "id": 1, "payload": {"b": 2}, "vector": {"text": [1.0, 0.0]},
    }  # fmt: skip


def test_the_batch_form_of_an_upsert_is_read(client: QdrantClient) -> None:
    client.upsert(DOCS, models.Batch(ids=[1, 2], vectors={"text": [[1.0, 0.0], [0.0, 1.0]]}, payloads=[{"a": 1}, {}]))

    assert [each.payload for each in client.retrieve(DOCS, [1, 2])] == [{"a": 1}, {}]


def test_a_batch_runs_in_order_and_stops_at_the_first_failure_when_it_waits(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1)])
    operations: list[Any] = [
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 1}, points=[1])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 2}, points=[999, 1])),
        models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={"b": 3}, points=[1])),
    ]

    refused = refusal(lambda: client.batch_update_points(DOCS, operations, wait=True))
    after_failure = client.retrieve(DOCS, [1])[0].payload
    statuses = [each.status for each in client.batch_update_points(DOCS, operations, wait=False)]

    assert (refused, after_failure) == (("NOT_FOUND", "Not found: No point with id 999 found"), {"a": 2})
    assert statuses == ["acknowledged"] * 3
    client.delete(DOCS, [77], wait=True)  # what was acknowledged before has been applied
    assert client.retrieve(DOCS, [1])[0].payload == {"b": 3}


def test_payload_can_be_set_overwritten_and_deleted(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, a=1, b=2)])
    client.set_payload(DOCS, {"c": 3}, points=[1])
    client.delete_payload(DOCS, ["a"], points=[1])
    after_deletion = client.retrieve(DOCS, [1])[0].payload
    client.overwrite_payload(DOCS, {"d": 4}, points=[1])

    assert after_deletion == {"b": 2, "c": 3}
    assert client.retrieve(DOCS, [1])[0].payload == {"d": 4}


def test_conditional_upserts_are_applied(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, g=1), point(2, g=5)])
    older = models.Filter(must=[models.FieldCondition(key="g", range=models.Range(lt=3))])
    client.upsert(DOCS, [point(1, g=3), point(2, g=3), point(3, g=3)], update_filter=older)

    assert [each.payload for each in client.scroll(DOCS)[0]] == [{"g": 3}, {"g": 5}, {"g": 3}]


def test_conditional_upserts_insert_only_or_update_only(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, n=1)])
    client.upsert(DOCS, [point(1, n=2), point(2, n=2)], update_mode=models.UpdateMode.INSERT_ONLY)
    client.upsert(DOCS, [point(1, n=3), point(3, n=3)], update_mode=models.UpdateMode.UPDATE_ONLY)

    assert [(each.id, each.payload) for each in client.scroll(DOCS)[0]] == [(1, {"n": 3}), (2, {"n": 2})]


def test_vectors_of_every_kind_come_back(client: QdrantClient) -> None:
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.delete_collection(DOCS)
    client.create_collection(
        DOCS,
        {
            "": models.VectorParams(size=2, distance=models.Distance.DOT),
            "m": models.VectorParams(size=1, distance=models.Distance.DOT, multivector_config=multi),
        },
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    vectors: Any = {"": [0.1, 2.0], "m": [[1.0], [2.5]], "words": models.SparseVector(indices=[7], values=[0.3])}
    client.upsert(DOCS, [models.PointStruct(id=1, vector=vectors)])
    (found,) = client.retrieve(DOCS, [1], with_vectors=True)

    assert found.vector["m"] == vectors["m"]
    assert found.vector[""] == pytest.approx(vectors[""], rel=1e-7)
    assert found.vector["words"].indices == [7]
    assert found.vector["words"].values == pytest.approx([0.3], rel=1e-7)


def test_payload_numbers_keep_what_a_server_keeps(side: Side, rest: QdrantClient) -> None:
    raw = b'{"points":[{"id":1,"vector":{},"payload":{"u":18446744073709551615,"x":18446744073709551616,"n":[null]}}]}'
    side.request("PUT", f"{POINTS}?wait=true", raw)
    over_grpc = side.connect("grpc").retrieve(DOCS, [1])[0].payload

    assert rest.retrieve(DOCS, [1])[0].payload == {"u": 2**64 - 1, "x": 2.0**64, "n": [None]}
    assert over_grpc == {"u": 2.0**64, "x": 2.0**64, "n": [None]}


def test_a_payload_that_is_no_number_is_refused(client: QdrantClient, transport: Transport) -> None:
    """Over REST, the client sends a null."""
    nan = point(1, a=[float("nan")])
    if transport == "rest":
        client.upsert(DOCS, [nan])
        assert client.retrieve(DOCS, [1])[0].payload == {"a": [None]}
    else:
        assert refusal(lambda: client.upsert(DOCS, [nan])) == ("INVALID_ARGUMENT", "cannot convert to json number")


# ------------------------------------------------------------------------------------------------------------
# Collections


def test_collection_info_shows_vectors_indexes_and_limits(client: QdrantClient) -> None:
    client.upsert(DOCS, [point(1, k="a"), point(2)])
    tenant = models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=True, enable_hnsw=False)  # type: ignore[arg-type]  # as REST says it
    client.create_payload_index(DOCS, "k", tenant)
    client.create_payload_index(DOCS, "g", models.PayloadSchemaType.INTEGER)
    client.create_payload_index(DOCS, "g", models.PayloadSchemaType.FLOAT)
    client.update_collection(DOCS, strict_mode_config=models.StrictModeConfig(enabled=False))
    docs = client.get_collection(DOCS)

    assert docs.config.params.vectors == {"text": models.VectorParams(size=2, distance=models.Distance.COSINE)}
    assert docs.config.params.sparse_vectors == {"words": models.SparseVectorParams()}
    assert docs.payload_schema == {
        "k": models.PayloadIndexInfo(data_type="keyword", params=tenant, points=1),  # type: ignore[arg-type]  # as REST says it
        "g": models.PayloadIndexInfo(data_type="float", points=0),  # type: ignore[arg-type]  # as REST says it
    }
    assert docs.points_count == 2
    assert docs.config.strict_mode_config == models.StrictModeConfigOutput(enabled=False)

    client.delete_payload_index(DOCS, "k")

    assert list(client.get_collection(DOCS).payload_schema) == ["g"]


@pytest.mark.usefixtures("rest")
def test_an_index_keeps_only_the_parameters_that_its_type_has(side: Side) -> None:
    for kind in ("integer", "datetime", "text", "uuid"):
        schema = {"type": kind, "is_tenant": True, "on_disk": True, "memory": "cold"}
        side.request("PUT", "/collections/docs/index?wait=true", {"field_name": kind, "field_schema": schema})
    shown = side.request("GET", "/collections/docs").json()["result"]["payload_schema"]

    assert {key: index["params"] for key, index in shown.items()} == {
        "integer": {"type": "integer", "lookup": None, "range": None, "is_principal": None, "on_disk": True},
        "datetime": {"type": "datetime", "is_principal": None, "on_disk": True},
        "text": {"type": "text", "tokenizer": "word", "on_disk": True},
        "uuid": {"type": "uuid", "is_tenant": True, "on_disk": True},
    }


def test_metadata_is_merged_by_its_uppermost_keys(client: QdrantClient) -> None:
    client.update_collection(DOCS, metadata={"a": {"x": 1}, "b": 2, "c": [1]})
    client.update_collection(DOCS, metadata={"a": {"y": 2}, "b": None})
    client.update_collection(DOCS, metadata={})

    assert client.get_collection(DOCS).config.metadata == {"a": {"y": 2}, "c": [1]}


def test_the_options_of_a_new_collection_are_kept(side: Side, transport: Transport) -> None:
    client = side.connect(transport)
    vector = models.VectorParams(
        size=2, distance=models.Distance.MANHATTAN, datatype=models.Datatype.FLOAT16, on_disk=True
    )
    scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    client.create_collection(
        DOCS,
        vector,
        shard_number=2,
        sharding_method=models.ShardingMethod.AUTO,
        replication_factor=2,
        write_consistency_factor=2,
        on_disk_payload=False,
        hnsw_config=models.HnswConfigDiff(m=32, ef_construct=200),
        quantization_config=models.ScalarQuantization(scalar=scalar),
        metadata={"model": "m", "n": None},
    )
    config = client.get_collection(DOCS).config

    assert config.params == models.CollectionParams(
        vectors=vector,
        shard_number=2,
        sharding_method=models.ShardingMethod.AUTO,
        replication_factor=2,
        write_consistency_factor=2,
        on_disk_payload=False,
    )
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct, config.hnsw_config.on_disk) == (32, 200, False)
    assert config.quantization_config == models.ScalarQuantization(scalar=scalar)
    assert config.metadata == {"model": "m", "n": None}
    assert config.strict_mode_config is None


def test_aliases_stand_for_collections_and_are_none(client: QdrantClient) -> None:
    alias = f"alias-of-{DOCS}"

    def change(**action: Any) -> Any:
        return client.update_collection_aliases(
            [models.CreateAliasOperation(create_alias=models.CreateAlias(**action))]
        )

    change(collection_name=DOCS, alias_name=alias)
    client.update_collection(alias, metadata={"m": 1})
    wrong = [
        refusal(lambda: client.create_collection(alias, {})),
        refusal(lambda: change(collection_name=alias, alias_name="other")),
        refusal(lambda: change(collection_name=DOCS, alias_name=DOCS)),
        refusal(lambda: client.update_collection_aliases([models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name="zzz", new_alias_name="y"))])),
    ]  # fmt: skip

    assert wrong == [
        ("INVALID_ARGUMENT", f"Wrong input: Can't create collection with name {alias}. Alias with the same name already exists".replace(DOCS, "docs")),
        ("NOT_FOUND", "Not found: Collection `alias-of-docs` doesn't exist!"),
        ("ALREADY_EXISTS", "Wrong input: Collection `docs` already exists!"),
        ("NOT_FOUND", "Not found: Alias zzz does not exists!"),
    ]  # fmt: skip
    assert alias not in [each.name for each in client.get_collections().collections]
    assert alias in [each.alias_name for each in client.get_aliases().aliases]
    assert [each.alias_name for each in client.get_collection_aliases(DOCS).aliases] == [alias]
    assert client.get_collection_aliases(alias).aliases == []
    assert (client.collection_exists(alias), client.collection_exists("nope")) == (True, False)
    assert client.get_collection(alias).config.metadata == {"m": 1}
    assert client.upsert(alias, [point(1)]).status == "completed"
    assert client.delete_collection(alias) is False
    assert client.delete_collection(DOCS) is True
    assert (client.collection_exists(alias), client.collection_exists(DOCS)) == (False, False)


def test_a_shard_key_has_to_exist(client: QdrantClient) -> None:
    plain = refusal(lambda: client.upsert(DOCS, [point(1)], shard_key_selector="a"))
    read = refusal(lambda: client.scroll(DOCS, shard_key_selector=["a"]))
    client.delete_collection(DOCS)
    client.create_collection(DOCS, {}, sharding_method=models.ShardingMethod.CUSTOM)

    assert plain == ("INVALID_ARGUMENT", 'Wrong input: Shard key "a" not found')
    assert read == ("INVALID_ARGUMENT", 'Bad request: Shard key "a" not found')
    assert refusal(lambda: client.delete(DOCS, [1])) == ("INVALID_ARGUMENT", "Wrong input: Shard key not specified")
    assert refusal(lambda: client.create_shard_key(DOCS, "a")) == (
        "INVALID_ARGUMENT", "Bad request: Distributed mode disabled",
    )  # fmt: skip


def test_a_cluster_of_one_takes_points_for_the_shard_keys_that_it_was_given(transport: Transport) -> None:
    with WireDouble(grpc=True, distributed=True) as double, closing(Side.of_double(double)) as side:
        client = side.connect(transport)
        client.create_collection(DOCS, {}, sharding_method=models.ShardingMethod.CUSTOM)
        client.create_shard_key(DOCS, "a")
        again = refusal(lambda: client.create_shard_key(DOCS, "a"))
        client.upsert(
            DOCS,
            [models.PointStruct(id=1, vector={})],
            shard_key_selector="a",
            ordering=models.WriteOrdering.STRONG,
        )
        last = double.log[-1]

        assert stored(client) == [1]
    assert again == ("INVALID_ARGUMENT", 'Bad request: Sharding key "a" already exists for collection docs')
    assert (last.body["shard_key"], last.query["ordering"], last.transport) == ("a", "strong", transport)


def test_writes_that_do_not_wait_are_only_acknowledged(client: QdrantClient) -> None:
    assert client.upsert(DOCS, [point(1)], wait=False).status == "acknowledged"
    assert client.delete(DOCS, [1], wait=True).status == "completed"


# ------------------------------------------------------------------------------------------------------------
# Refusals

BARE_DIMENSION = "Wrong input: Vector dimension error: expected dim: 2, got 3"
DIMENSION = f"{BARE_DIMENSION} for vector 'text'"
BAD_ID = (
    "Format error in JSON body: value {} is not a valid point ID, valid values are either an unsigned integer or a UUID"
)
NO_CONDITION = (
    'Format error in JSON body: Expected some form of condition, which can be a field condition (like {"key": ...,'
    ' "match": ... }), or some other mentioned in the documentation:'
    " https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"
)
MISSING = "Not found: Collection `nope` doesn't exist!"


def upserting(**fields: Any) -> dict[str, Any]:
    good = {"id": 1, "vector": {"text": [1.0, 0.0]}}
    return {"points": [good, {key: value for key, value in (good | {"id": 2} | fields).items() if value != "absent"}]}


def test_refusals_have_the_servers_status_and_text(side: Side, rest: QdrantClient) -> None:
    cases: list[tuple[str, str, Any, int, str]] = [
        ("PUT", POINTS, upserting(vector={"text": [1.0, 0.0, 0.0]}), 400, DIMENSION),
        ("PUT", POINTS, upserting(vector="absent"), 400, "Format error in JSON body: missing field `vector`"),
        ("PUT", POINTS, upserting(id="absent"), 400, "Format error in JSON body: missing field `id`"),
        ("PUT", POINTS, upserting(id=-1), 400, BAD_ID.format(-1)),
        ("PUT", POINTS, upserting(id="abc"), 400, BAD_ID.format("abc")),
        ("PUT", POINTS, upserting(id=True), 400, BAD_ID.format("true")),
        (
            "PUT",
            POINTS,
            b'{"points":[{"id":18446744073709551616}]}',
            400,
            BAD_ID.format(18446744073709552000),
        ),
        ("POST", f"{POINTS}/delete", b'{"points":[18446744073709551616]}', 400, "Format error in JSON body: data did not match any variant of untagged enum PointsSelector"),
        ("POST", f"{POINTS}/payload", {"payload": {}, "points": [-1]}, 400, BAD_ID.format(-1)),
        ("POST", POINTS, {"ids": ["5"]}, 400, BAD_ID.format("5")),
        ("POST", f"{POINTS}/scroll", {"filter": {"must": [{"has_id": [-7]}]}}, 400, NO_CONDITION),
        ("PUT", POINTS, {"points": []}, 400, "Bad request: Empty update request"),
        ("POST", f"{POINTS}/delete", {"points": []}, 400, "Bad request: Empty update request"),
        (
            "PUT",
            POINTS,
            upserting(vector={"text": []}),
            422,
            "Validation error in JSON body: [points[1].vector.?.vector: dense vector must not be empty]",
        ),
        (
            "PUT",
            POINTS,
            upserting(vector={"words": {"indices": [1, 1], "values": [1.0, 2.0]}}),
            422,
            "Validation error in JSON body: [points[1].vector.?.indices: Validation error: must be unique [{}]]",
        ),
        ("PUT", "/collections/nope/points", upserting(), 404, MISSING),
        ("POST", "/collections/nope/points/delete", {"points": [1]}, 404, MISSING),
        ("POST", "/collections/nope/points/scroll", {}, 404, MISSING),
        ("POST", "/collections/nope/points/count", {}, 404, MISSING),
        ("POST", "/collections/nope/points/query", {"query": [1.0]}, 404, MISSING),
        ("PUT", "/collections/nope/index", {"field_name": "a", "field_schema": "keyword"}, 404, MISSING),
        ("GET", "/collections/nope", None, 404, MISSING),
        ("PUT", "/collections/docs", {}, 409, "Wrong input: Collection `docs` already exists!"),
        (
            "PUT",
            "/collections/new",
            {"vectors": {"size": 0, "distance": "Dot"}},
            400,
            "Format error in JSON body: data did not match any variant of untagged enum VectorsConfig",
        ),
        (
            "POST",
            f"{POINTS}/count",
            {"filter": {"must": [{"key": "a b", "match": {"value": 1}}]}},
            400,
            "Format error in JSON body: Invalid json path: 'a b'",
        ),
        ("POST", f"{POINTS}/query", {"query": [1.0, 2.0, 3.0], "using": "text"}, 400, BARE_DIMENSION),
        (
            "POST",
            f"{POINTS}/query",
            {"query": [1.0, 2.0], "using": "nope"},
            400,
            "Wrong input: Not existing vector name error: nope",
        ),
        ("PUT", f"{POINTS}?ordering=none", upserting(), 400, "Deserialize error in query parameters: unknown variant `none`, expected one of `weak`, `medium`, `strong`"),
        ("PUT", "/collections/a%3Ab", {}, 422, 'Validation error in path parameters: [collection_name: collection name cannot contain ":" char]'),
        ("PUT", "/collections/new", {"vectors": {"size": 65537, "distance": "Dot"}}, 422, "Validation error in JSON body: [vectors.size: value 65537 invalid, must be from 1 to 65536]"),
        ("PUT", "/collections/new", {"replication_factor": 0}, 422, "Validation error in JSON body: [replication_factor: value 0 invalid, must be 1 or larger]"),
        ("PATCH", "/collections/docs", {"strict_mode_config": {"max_query_limit": 0}}, 422, "Validation error in JSON body: [strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]"),
        ("PUT", "/collections/docs/index", {"field_name": "a"}, 400, "Bad request: Can't auto-detect field type, please specify `field_schema` in the request"),
        ("PUT", "/collections/docs/nothing", {}, 404, ""),
    ]  # fmt: skip

    assert [side.send(*case[:3]) for case in cases] == [case[3:] for case in cases]
    assert stored(rest) == []


def dense(*numbers: float, name: str = "text") -> protocol.Vectors:
    vector = protocol.Vector(dense=protocol.DenseVector(data=numbers))
    return protocol.Vectors(vectors=protocol.NamedVectors(vectors={name: vector}))


def packed(**fields: Any) -> protocol.UpsertPoints:
    good = {"id": protocol.PointId(num=1), "vectors": dense(1.0, 0.0)}
    given = {name: value for name, value in (good | fields).items() if value is not None}
    return protocol.UpsertPoints(collection_name=DOCS, points=[protocol.PointStruct(**given)])


def test_refusals_over_grpc_have_the_servers_code_and_text(side: Side, rest: QdrantClient) -> None:
    client = side.connect("grpc")
    points, collections = client.grpc_points, client.grpc_collections
    sparse = protocol.Vector(sparse=protocol.SparseVector(indices=[1, 1], values=[1.0, 2.0]))
    twice = protocol.Vectors(vectors=protocol.NamedVectors(vectors={"words": sparse}))
    where = "points[0].vectors.vectors_options.vectors.[].indices"
    bad_path = protocol.Filter(
        must=[protocol.Condition(field=protocol.FieldCondition(key="a b", match=protocol.Match(keyword="1")))]
    )
    named = protocol.QueryPoints(
        collection_name=DOCS,
        using="text",
        query=protocol.Query(nearest=protocol.VectorInput(dense=protocol.DenseVector(data=[1, 2, 3]))),
    )
    size = protocol.VectorsConfig(params=protocol.VectorParams(size=0, distance=protocol.Distance.Dot))
    cases: list[tuple[Any, Any, str, str]] = [
        (points.Upsert, protocol.UpsertPoints(collection_name=DOCS), "INVALID_ARGUMENT", "Bad request: Empty update request"),
        (points.Upsert, packed(id=None), "INVALID_ARGUMENT", "Empty ID is not allowed"),
        (points.Upsert, packed(id=protocol.PointId()), "INVALID_ARGUMENT", "No ID options provided"),
        (points.Upsert, packed(id=protocol.PointId(uuid="abc")), "INVALID_ARGUMENT", "Unable to parse UUID: abc"),
        (points.Upsert, packed(vectors=None), "INVALID_ARGUMENT", "Expected some vectors"),
        (points.Upsert, packed(vectors=protocol.Vectors()), "INVALID_ARGUMENT", "No Vector Provided"),
        (points.Upsert, packed(vectors=dense(1.0, 2.0, 3.0)), "INVALID_ARGUMENT", f"{BARE_DIMENSION} for vector 'text'"),
        (points.Upsert, packed(vectors=dense()), "INVALID_ARGUMENT", "Wrong input: points[0].vector.?.vector: dense vector must not be empty"),
        (points.Upsert, packed(vectors=twice), "INVALID_ARGUMENT", f"Validation error in body: [{where}: Validation error: must be unique [{{}}]]"),
        (points.Delete, protocol.DeletePoints(collection_name=DOCS), "INVALID_ARGUMENT", "PointSelector is missing"),
        (points.Scroll, protocol.ScrollPoints(collection_name=DOCS, limit=0), "INVALID_ARGUMENT", "Validation error in body: [limit: value 0 invalid, must be 1 or larger]"),
        (points.Count, protocol.CountPoints(collection_name=DOCS, filter=bad_path), "INVALID_ARGUMENT", "Invalid json path: 'a b'"),
        (points.Query, named, "INVALID_ARGUMENT", BARE_DIMENSION),
        (points.Count, protocol.CountPoints(collection_name="nope"), "NOT_FOUND", MISSING),
        (points.CreateFieldIndex, protocol.CreateFieldIndexCollection(collection_name=DOCS, field_name="a"), "INVALID_ARGUMENT", "cannot convert field_type"),
        (collections.Get, protocol.GetCollectionInfoRequest(collection_name="nope"), "NOT_FOUND", MISSING),
        (collections.Create, protocol.CreateCollection(collection_name=DOCS), "ALREADY_EXISTS", "Wrong input: Collection `docs` already exists!"),
        (collections.Create, protocol.CreateCollection(collection_name="new", vectors_config=size), "INVALID_ARGUMENT", "Validation error in body: [vectors_config.config.size: value 0 invalid, must be from 1 to 65536]"),
    ]  # fmt: skip

    assert [refusal(lambda: call(message)) for call, message, _, _ in cases] == [case[2:] for case in cases]  # noqa: B023 -- called at once
    assert stored(rest) == []


@pytest.mark.parametrize("body", [b'{"points": [', b'{"points": NaN}', b'{"a": "\\ud800"}', b'{"a": 1e400}'])
def test_what_is_no_json_for_a_server_is_refused(side: Side, rest: QdrantClient, body: bytes) -> None:
    status, text = side.send("PUT", POINTS, body)

    assert (status, text.split(":")[0]) == (400, "Format error in JSON body")
    assert stored(rest) == []


def test_an_unnamed_collection_names_no_vector_in_its_dimension_error(side: Side) -> None:
    side.connect().create_collection(DOCS, models.VectorParams(size=2, distance=models.Distance.DOT))
    body = {"points": [{"id": 1, "vector": [1.0, 2.0, 3.0]}]}

    assert side.send("PUT", POINTS, body) == (400, BARE_DIMENSION)


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        ({"nope": [1.0, 0.0]}, "Wrong input: Not existing vector name error: nope"),
        ([1.0, 0.0], "Wrong input: Not existing vector name error: "),
        ({"words": [1.0, 0.0]}, "Wrong input: Conversion between sparse and regular vectors failed"),
        ({"text": [[1.0, 0.0]]}, "Wrong input: Conversion between multi and regular vectors failed"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_after_a_part_was_stored(
    side: Side, client: QdrantClient, vector: Any, text: str
) -> None:
    """A server stores another part each time, the double always the same."""
    good = [point(key) for key in (1, 2, 3, 4)]

    refused = refusal(lambda: client.upsert(DOCS, [*good, models.PointStruct(id=5, vector=vector)]))

    assert refused == ("INVALID_ARGUMENT", text)
    assert set(stored(client)) <= {1, 2, 3, 4}
    assert side.is_server or stored(client) == [1, 3]
    assert client.upsert(DOCS, [models.PointStruct(id=5, vector=vector)], wait=False).status == "acknowledged"


def test_a_body_over_the_limit_is_refused_packed_or_not() -> None:
    with WireDouble(body_limit=100) as small:
        body = orjson.dumps({"points": "x" * 100})
        side = Side.of_double(small)
        plain = side.send("PUT", POINTS, body)
        zipped = side.send("PUT", POINTS, gzip.compress(body), headers={"Content-Encoding": "gzip"})

    assert plain == (400, f"JSON payload ({len(body)} bytes) is larger than allowed (limit: 100 bytes).")
    assert zipped == (400, "JSON payload has exceeded limit (100 bytes).")


def test_a_body_of_exactly_32_mb_passes(side: Side, rest: QdrantClient) -> None:
    start = b'{"points":[{"id":1,"vector":{},"payload":{"a":"'
    body = start + b"x" * (32 * 1024 * 1024 - len(start) - len(b'"}}]}')) + b'"}}]}'

    assert side.request("PUT", f"{POINTS}?wait=true", body).status_code == 200
    assert side.send("PUT", POINTS, body + b" ") == (
        400, "JSON payload (33554433 bytes) is larger than allowed (limit: 33554432 bytes).",
    )  # fmt: skip
    assert [each.id for each in rest.scroll(DOCS, with_payload=False)[0]] == [1]


# ------------------------------------------------------------------------------------------------------------
# Faults and the log


def test_a_fault_answers_the_chosen_requests_and_no_others(double: WireDouble, victim: QdrantClient) -> None:
    double.fail(r"PUT .*/points$", skip=1, times=2, status=500, body="Service internal error: x")
    victim.upsert(DOCS, [point(1)])
    failed = [refusal(lambda: victim.upsert(DOCS, [point(2)])) for _ in range(2)]
    victim.upsert(DOCS, [point(3)])

    assert failed == [("INTERNAL", "Service internal error: x")] * 2
    assert stored(victim) == [1, 3]


def test_a_rate_limit_carries_its_retry_after(double: WireDouble, victim: QdrantClient) -> None:
    double.fail("points", status=429, body="Rate limiting exceeded: Write", headers={"Retry-After": "12"})
    with pytest.raises(ResourceExhaustedResponse) as limited:
        victim.upsert(DOCS, [point(1)])

    assert limited.value.retry_after_s == 12


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ALREADY_EXISTS"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (507, "RESOURCE_EXHAUSTED"),
    ],
)
def test_a_status_has_its_code_over_grpc(double: WireDouble, status: int, code: str) -> None:
    side = Side.of_double(double)
    double.fail("GET /collections$", status=status, body="why")

    assert refusal(side.connect("grpc").get_collections) == (code, "why")


def test_a_proxys_page_is_sent_as_it_is(double: WireDouble) -> None:
    victim = with_docs(Side.of_double(double).connect())
    double.fail("exists", status=502, body="<html>", headers={"Content-Type": "text/html"})
    with pytest.raises(UnexpectedResponse) as refused:
        victim.collection_exists(DOCS)

    assert (refused.value.status_code, refused.value.content) == (502, b"<html>")


CUT = r"Server disconnected without sending a response|Stream removed \(Socket closed\)"


@pytest.mark.parametrize(("fault", "kept"), [({"close": True}, []), ({"close": True, "applied": True}, [1])])
def test_a_connection_is_cut_before_or_after_the_write(
    double: WireDouble, victim: QdrantClient, fault: dict[str, Any], kept: list[int]
) -> None:
    double.fail("PUT .*/points$", **fault)
    with pytest.raises((ResponseHandlingException, grpc.RpcError), match=CUT):
        victim.upsert(DOCS, [point(1)])

    assert stored(victim) == kept


def test_an_error_may_follow_a_write_that_was_applied(double: WireDouble, victim: QdrantClient) -> None:
    double.fail("PUT .*/points$", status=500, applied=True)

    assert refusal(lambda: victim.upsert(DOCS, [point(1)])) == ("INTERNAL", "injected")
    assert stored(victim) == [1]


@pytest.mark.parametrize(("applied", "meanwhile"), [(False, []), (True, [1])])
def test_a_request_is_held_until_released(
    double: WireDouble, victim: QdrantClient, *, applied: bool, meanwhile: list[int]
) -> None:
    fault = double.fail("PUT .*/points$", hold=True, applied=applied)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(victim.upsert, DOCS, [point(1)])
        fault.wait_until_reached()
        seen = stored(victim)
        fault.release()

        assert waiting.result().status == "completed"
    assert (seen, stored(victim)) == (meanwhile, [1])


@pytest.mark.parametrize("status", ["acknowledged", "wait_timeout"])
def test_a_write_may_be_answered_without_being_completed(double: WireDouble, victim: QdrantClient, status: Any) -> None:
    double.fail("points", update_status=status)

    assert victim.upsert(DOCS, [point(1)], wait=True).status == status
    assert stored(victim) == [1]


def test_the_log_holds_what_arrived(double: WireDouble, transport: Transport) -> None:
    """Whichever way it came: the twins are one request."""
    with closing(Side.of_double(double)) as side:
        client = with_docs(side.connect(transport, headers={"x-team": "search"}))
        client.upsert(DOCS, [point(1, a=None)], ordering=models.WriteOrdering.MEDIUM, timeout=9)
        client.delete(DOCS, models.Filter(must=[matches("k", "a")]), wait=False)
        upsert, delete = double.log[-2:]

    assert (upsert.method, urllib.parse.unquote(upsert.path), upsert.transport) == (
        "PUT",
        f"/collections/{DOCS}/points",
        transport,
    )
    assert upsert.query == {"wait": "true", "ordering": "medium", "timeout": "9"}
    assert upsert.body == {"points": [{"id": 1, "vector": {"text": [1.0, 0.0]}, "payload": {"a": None}}]}
    assert upsert.headers["x-team"] == "search"
    assert (delete.method, delete.path, delete.query) == (
        "POST",
        f"/collections/{DOCS}/points/delete",
        {"wait": "false"},
    )
    assert delete.body == {"filter": {"must": [{"key": "k", "match": {"value": "a"}}]}}


def test_a_test_can_wait_for_requests(double: WireDouble, victim: QdrantClient) -> None:
    started = threading.Thread(target=lambda: [victim.count(DOCS) for _ in range(2)])
    started.start()

    assert len(double.wait_for("POST .*/count$", count=2)) == 2
    started.join()
    with pytest.raises(TimeoutError):
        double.wait_for("nothing", timeout=0)


def test_a_stopped_server_refuses_and_comes_back_with_its_points(
    double: WireDouble, victim: QdrantClient, transport: Transport
) -> None:
    victim.upsert(DOCS, [point(1)])
    held = double.fail("count", hold=True)
    with httpx.Client() as kept, ThreadPoolExecutor(1) as pool:
        kept.get(double.url)
        waiting = pool.submit(victim.count, DOCS)
        held.wait_until_reached()
        double.stop()
        with pytest.raises(httpx.TransportError):
            kept.get(double.url)
        with pytest.raises((ResponseHandlingException, grpc.RpcError), match=CUT):
            waiting.result()
    with pytest.raises((ResponseHandlingException, grpc.RpcError), match="Connection refused"):
        victim.count(DOCS)
    double.start()
    again = Side.of_double(double).connect(transport, grpc_options={"grpc.use_local_subchannel_pool": 1})

    assert stored(again) == [1]  # the old channel would wait a while before it tries again
    again.close()


def test_another_process_serves_and_is_controlled_over_the_wire() -> None:
    script = str(Path(__file__).with_name("wire_double.py"))
    options = {"--port": "0", "--version": "1.17.1", "--api-key": "all", "--keys": '{"some": {"docs": "rw"}}'}
    command = [sys.executable, script, "--grpc", *(word for pair in options.items() for word in pair)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            fault = {"pattern": "GET /collections$", "status": 503, "body": "busy"}
            httpx.post(f"{url}/_control", json={"faults": [fault]})
            some = {"api-key": "some"}
            statuses = [httpx.get(f"{url}/collections", headers=some).status_code for _ in range(2)]
            with closing(Side(url, urllib.parse.urlsplit(url).port + 1, "all")) as side:  # type: ignore[operator]  # it has one
                over_grpc = side.connect("grpc", headers=some).get_collections().collections
            log = httpx.get(f"{url}/_control/log", params={"match": "GET /collections$", "count": 3}).json()["requests"]

            assert httpx.get(url).json()["version"] == "1.17.1"
            assert statuses == [503, 200]
            assert over_grpc == []
            row = {"method": "GET", "path": "/collections", "query": {}, "body": None}
            assert log[:2] == [{**row, "transport": "rest"}] * 2
            assert {**row, "transport": "grpc"} in log
            assert httpx.get(f"{url}/_control/log", params={"count": 99, "timeout": 0}).status_code == 408
        finally:
            process.kill()
