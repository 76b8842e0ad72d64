"""The wire double behaves as the recorded server does, seen through the real client."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from wire_double import WireDouble

UUID = "11111111-2222-5333-8444-555555555555"
POINTS = "/collections/docs/points"


@pytest.fixture
def double() -> Iterator[WireDouble]:
    with WireDouble() as running:
        yield running


def connect(double: WireDouble, **options: Any) -> QdrantClient:
    return QdrantClient(url=double.url, prefer_grpc=False, check_compatibility=False, timeout=30, **options)


@pytest.fixture
def client(double: WireDouble) -> Iterator[QdrantClient]:
    """A client whose server holds the collection `docs` with one dense and one sparse vector."""
    connected = connect(double)
    connected.create_collection(
        "docs",
        vectors_config={"text": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    yield connected
    connected.close()


def point(key: int | str, name: str = "text", vector: Any = (1.0, 0.0), **payload: Any) -> models.PointStruct:
    return models.PointStruct(id=key, vector={name: list(vector)}, payload=payload)


def matches(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def send(double: WireDouble, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
    """One bare request; its status code and the server's error text."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = httpx.request(method, double.url + path, content=content, **options)
    return answer.status_code, answer.json()["status"]["error"]


def stored(client: QdrantClient) -> list[Any]:
    return [each.id for each in client.scroll("docs", limit=1000)[0]]


# ------------------------------------------------------------------------------------------------------------
# Round trip


def test_points_come_back_page_by_page_numbers_before_uuids(client: QdrantClient) -> None:
    client.upsert("docs", [point(key, n=key) for key in (3, 1, 2)] + [point(UUID.upper(), n=9)], wait=True)

    first, following = client.scroll("docs", limit=2, with_payload=["n"])
    rest, end = client.scroll("docs", limit=2, offset=following)

    assert [(each.id, each.payload) for each in first + rest] == [
        (1, {"n": 1}), (2, {"n": 2}), (3, {"n": 3}), (UUID, {"n": 9}),
    ]  # fmt: skip
    assert (following, end) == (3, None)


def test_filters_count_delete_and_search(client: QdrantClient) -> None:
    client.upsert("docs", [point(1, s="a", g=1), point(2, s="a", g=2), point(3, "text", (0.0, 1.0), s="b", g=None)])
    older = models.FieldCondition(key="g", range=models.Range(lt=2))
    missing = models.IsEmptyCondition(is_empty=models.PayloadField(key="g"))
    one_of = models.FieldCondition(key="s", match=models.MatchAny(any=["b", "c"]))

    assert client.count("docs").count == 3
    assert client.count("docs", models.Filter(must=[matches("s", "a")], must_not=[older])).count == 1
    assert client.count("docs", models.Filter(must=[missing, one_of])).count == 1
    assert [hit.id for hit in client.query_points("docs", [0.1, 1.0], using="text", limit=1).points] == [3]

    client.delete("docs", models.FilterSelector(filter=models.Filter(must=[older])))
    client.delete("docs", models.PointIdsList(points=[3, 77]))

    assert stored(client) == [2]


def test_a_point_is_replaced_whole_and_the_last_of_two_equal_ids_wins(client: QdrantClient) -> None:
    client.upsert("docs", [point(1, a=1), point(1, b=2)])

    assert client.retrieve("docs", [1, 2], with_vectors=True)[0].model_dump(exclude_none=True) == {
        "id": 1, "payload": {"b": 2}, "vector": {"text": [1.0, 0.0]},
    }  # fmt: skip


def test_the_batch_form_of_an_upsert_is_read(client: QdrantClient) -> None:
    client.upsert("docs", models.Batch(ids=[1, 2], vectors={"text": [[1.0, 0.0], [0.0, 1.0]]}, payloads=[{"a": 1}, {}]))

    assert [each.payload for each in client.retrieve("docs", [1, 2])] == [{"a": 1}, {}]


def test_a_batch_runs_in_order_and_stops_at_the_first_failure_when_it_waits(client: QdrantClient) -> None:
    client.upsert("docs", [point(1)])
    operations: list[Any] = [
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 1}, points=[1])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 2}, points=[999, 1])),
        models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={"b": 3}, points=[1])),
    ]

    with pytest.raises(UnexpectedResponse, match="Not found: No point with id 999 found"):
        client.batch_update_points("docs", operations, wait=True)
    after_failure = client.retrieve("docs", [1])[0].payload
    statuses = [each.status for each in client.batch_update_points("docs", operations, wait=False)]

    assert after_failure == {"a": 2}
    assert statuses == ["acknowledged"] * 3
    assert client.retrieve("docs", [1])[0].payload == {"b": 3}


def test_payload_can_be_set_overwritten_and_deleted(client: QdrantClient) -> None:
    client.upsert("docs", [point(1, a=1, b=2)])
    client.set_payload("docs", {"c": 3}, points=[1])
    client.delete_payload("docs", ["a"], points=[1])
    after_deletion = client.retrieve("docs", [1])[0].payload
    client.overwrite_payload("docs", {"d": 4}, points=[1])

    assert after_deletion == {"b": 2, "c": 3}
    assert client.retrieve("docs", [1])[0].payload == {"d": 4}


def test_conditional_upserts_are_applied(client: QdrantClient) -> None:
    client.upsert("docs", [point(1, g=1), point(2, g=5)])
    older = models.Filter(must=[models.FieldCondition(key="g", range=models.Range(lt=3))])
    client.upsert("docs", [point(1, g=3), point(2, g=3), point(3, g=3)], update_filter=older)

    assert [each.payload for each in client.scroll("docs")[0]] == [{"g": 3}, {"g": 5}, {"g": 3}]


def test_payload_numbers_keep_what_a_server_keeps(double: WireDouble, client: QdrantClient) -> None:
    raw = b'{"points":[{"id":1,"vector":{},"payload":{"u":18446744073709551615,"x":18446744073709551616,"n":[null]}}]}'
    httpx.put(f"{double.url}{POINTS}?wait=true", content=raw)

    assert client.retrieve("docs", [1])[0].payload == {"u": 2**64 - 1, "x": 2.0**64, "n": [None]}


# ------------------------------------------------------------------------------------------------------------
# Collections


def test_collection_info_shows_vectors_indexes_and_limits(client: QdrantClient) -> None:
    client.create_collection("flat", models.VectorParams(size=3, distance=models.Distance.DOT))
    client.upsert("docs", [point(1, k="a"), point(2)])
    client.create_payload_index(
        "docs", "k", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True), wait=True
    )
    client.create_payload_index("docs", "g", models.PayloadSchemaType.INTEGER)
    client.update_collection("docs", metadata={"m": 1}, strict_mode_config=models.StrictModeConfig(enabled=False))
    docs, flat = client.get_collection("docs"), client.get_collection("flat")

    assert docs.config.params.vectors == {"text": models.VectorParams(size=2, distance=models.Distance.COSINE)}
    assert flat.config.params.vectors == models.VectorParams(size=3, distance=models.Distance.DOT)
    assert docs.config.params.sparse_vectors == {"words": models.SparseVectorParams()}
    assert {key: (index.data_type, index.points) for key, index in docs.payload_schema.items()} == {
        "k": ("keyword", 1), "g": ("integer", 0),
    }  # fmt: skip
    assert (docs.status, docs.points_count, docs.config.metadata) == ("green", 2, {"m": 1})
    assert docs.config.strict_mode_config == models.StrictModeConfigOutput(enabled=False)

    client.delete_payload_index("docs", "k")

    assert list(client.get_collection("docs").payload_schema) == ["g"]


def test_collections_are_listed_and_deleted_and_aliases_stand_for_them(client: QdrantClient) -> None:
    alias = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="docs", alias_name="al"))
    client.update_collection_aliases([alias])

    assert [each.alias_name for each in client.get_aliases().aliases] == ["al"]
    assert (client.collection_exists("al"), client.collection_exists("nope")) == (True, False)
    assert client.upsert("al", [point(1)]).status == "completed"
    assert client.delete_collection("al") is False
    assert client.delete_collection("docs") is True
    assert client.get_collections().collections == []


def test_the_version_can_be_chosen(double: WireDouble) -> None:
    assert connect(double).info().version == "1.18.3"
    double.version = "1.16.0"
    assert connect(double).info().version == "1.16.0"
    assert httpx.get(f"{double.url}/readyz").status_code == 200


def test_writes_that_do_not_wait_are_only_acknowledged(client: QdrantClient) -> None:
    assert client.upsert("docs", [point(1)], wait=False).status == "acknowledged"
    assert client.delete("docs", [1], wait=True).status == "completed"


# ------------------------------------------------------------------------------------------------------------
# Refusals

DIMENSION = "Wrong input: Vector dimension error: expected dim: 2, got 3 for vector 'text'"
BAD_ID = (
    "Format error in JSON body: value {} is not a valid point ID, valid values are either an unsigned integer or a UUID"
)
MISSING = "Not found: Collection `nope` doesn't exist!"


def upserting(**fields: Any) -> dict[str, Any]:
    good = {"id": 1, "vector": {"text": [1.0, 0.0]}}
    return {"points": [good, {key: value for key, value in (good | {"id": 2} | fields).items() if value != "absent"}]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("PUT", POINTS, upserting(vector={"text": [1.0, 0.0, 0.0]}), 400, DIMENSION),
        ("PUT", POINTS, upserting(vector="absent"), 400, "Format error in JSON body: missing field `vector`"),
        ("PUT", POINTS, upserting(id="absent"), 400, "Format error in JSON body: missing field `id`"),
        ("PUT", POINTS, upserting(id=-1), 400, BAD_ID.format(-1)),
        ("PUT", POINTS, upserting(id="abc"), 400, BAD_ID.format('"abc"')),
        ("PUT", POINTS, upserting(id=True), 400, BAD_ID.format("true")),
        (
            "PUT",
            POINTS,
            b'{"points":[{"id":18446744073709551616}]}',
            400,
            "Format error in JSON body: missing field `vector`",
        ),
        ("POST", f"{POINTS}/delete", b'{"points":[18446744073709551616]}', 400, BAD_ID.format(18446744073709552000)),
        ("POST", POINTS, {"ids": ["5"]}, 400, BAD_ID.format('"5"')),
        ("POST", f"{POINTS}/scroll", {"filter": {"must": [{"has_id": [-7]}]}}, 400, BAD_ID.format(-7)),
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
            "Validation error in JSON body: [points[1].vector.?.indices: must be unique]",
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
        ("POST", f"{POINTS}/query", {"query": [1.0, 2.0, 3.0], "using": "text"}, 400, DIMENSION),
        (
            "POST",
            f"{POINTS}/query",
            {"query": [1.0, 2.0], "using": "nope"},
            400,
            "Wrong input: Not existing vector name error: nope",
        ),
    ],
)
def test_refusals_have_the_servers_status_and_text(
    double: WireDouble, client: QdrantClient, method: str, path: str, body: Any, status: int, text: str
) -> None:
    assert send(double, method, path, body, params={"wait": "false"}) == (status, text)
    assert stored(client) == []


@pytest.mark.parametrize("body", [b'{"points": [', b'{"points": NaN}', b'{"a": "\\ud800"}', b'{"a": 1e400}'])
def test_what_is_no_json_for_a_server_is_refused(double: WireDouble, client: QdrantClient, body: bytes) -> None:
    status, text = send(double, "PUT", POINTS, body)

    assert (status, text.split(":")[0]) == (400, "Format error in JSON body")
    assert stored(client) == []


def test_an_unnamed_collection_names_no_vector_in_its_dimension_error(double: WireDouble) -> None:
    connect(double).create_collection("flat", models.VectorParams(size=4, distance=models.Distance.DOT))
    body = {"points": [{"id": 1, "vector": [1.0, 2.0, 3.0]}]}

    assert send(double, "PUT", "/collections/flat/points", body) == (
        400,
        "Wrong input: Vector dimension error: expected dim: 4, got 3",
    )


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
    double: WireDouble, client: QdrantClient, vector: Any, text: str
) -> None:
    good = [{"id": key, "vector": {"text": [1.0, 0.0]}} for key in (1, 2, 3, 4)]
    body = {"points": [*good, {"id": 5, "vector": vector}]}

    assert send(double, "PUT", POINTS, body, params={"wait": "true"}) == (400, text)
    assert stored(client) == [1, 3]
    assert httpx.put(f"{double.url}{POINTS}", json=body).json()["result"]["status"] == "acknowledged"


def test_a_body_over_the_limit_is_refused_packed_or_not() -> None:
    with WireDouble(body_limit=100) as small:
        body = orjson.dumps({"points": "x" * 100})
        plain = send(small, "PUT", POINTS, body)
        packed = send(small, "PUT", POINTS, gzip.compress(body), headers={"Content-Encoding": "gzip"})

    assert plain == (400, f"JSON payload ({len(body)} bytes) is larger than allowed (limit: 100 bytes).")
    assert packed == (400, "JSON payload has exceeded limit (100 bytes).")


def test_a_body_of_exactly_32_mb_passes(double: WireDouble, client: QdrantClient) -> None:
    start = b'{"points":[{"id":1,"vector":{},"payload":{"a":"'
    body = start + b"x" * (32 * 1024 * 1024 - len(start) - len(b'"}}]}')) + b'"}}]}'

    assert httpx.put(f"{double.url}{POINTS}", content=body, timeout=30).status_code == 200
    assert send(double, "PUT", POINTS, body + b" ", timeout=30) == (
        400,
        "JSON payload (33554433 bytes) is larger than allowed (limit: 33554432 bytes).",
    )
    assert stored(client) == [1]


def test_a_key_is_asked_for_except_where_a_server_asks_for_none() -> None:
    with WireDouble(api_key="secret") as locked:
        without = httpx.get(f"{locked.url}/collections")
        wrong = httpx.get(f"{locked.url}/collections", headers={"api-key": "other"})
        bearer = httpx.get(f"{locked.url}/collections", headers={"Authorization": "Bearer secret"})

        assert (without.status_code, without.text) == (401, "Must provide an API key or an Authorization bearer token")
        assert (wrong.status_code, wrong.text) == (401, "Invalid API key or JWT")
        assert bearer.status_code == 200
        assert httpx.get(locked.url).json()["version"] == "1.18.3"


# ------------------------------------------------------------------------------------------------------------
# Strict mode


@pytest.fixture
def strict() -> Iterator[QdrantClient]:
    limits = {"enabled": True, "unindexed_filtering_update": False, "unindexed_filtering_retrieve": False}
    sizes = {"upsert_max_batchsize": 2, "max_query_limit": 5, "condition_max_size": 3, "max_payload_index_count": 2}
    with WireDouble(strict=limits | sizes) as double:
        connected = connect(double)
        connected.create_collection("docs", {"text": models.VectorParams(size=2, distance=models.Distance.DOT)})
        connected.create_payload_index("docs", "uk", models.PayloadSchemaType.KEYWORD)
        yield connected
        connected.close()


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        (matches("k", "a"), "[keyword]"),
        (matches("uk", 1), "[integer]"),
        (models.FieldCondition(key="uk", range=models.Range(lt=2)), "[float, integer]"),
        (models.Filter(must_not=[matches("k", "a")]), "[keyword]"),
        (models.Filter(should=[models.Filter(must=[matches("k", 5)])]), "[integer]"),
        (models.IsNullCondition(is_null=models.PayloadField(key="k")), None),
    ],
)
def test_a_filter_needs_an_index_of_the_right_type(strict: QdrantClient, condition: Any, types: str | None) -> None:
    where = models.Filter(must=[condition])
    texts = []
    for call in (
        lambda: strict.count("docs", where),
        lambda: strict.scroll("docs", where, limit=1),
        lambda: strict.query_points("docs", [1.0, 0.0], using="text", query_filter=where, limit=1),
        lambda: strict.delete("docs", models.FilterSelector(filter=where)),
        lambda: strict.set_payload("docs", {"a": 1}, points=where),
    ):
        with pytest.raises(UnexpectedResponse) as refused:
            call()
        texts.append(orjson.loads(refused.value.content)["status"]["error"])

    assert len(set(texts)) == 1
    assert texts[0].startswith("Bad request: Index required but not found for ")
    assert f"of one of the following types: {types or '[keyword, integer, '}" in texts[0]
    assert texts[0].endswith(" Help: Create an index for this key or use a different filter.")


def test_indexed_filters_and_ids_pass_strict_mode(strict: QdrantClient) -> None:
    indexed: list[Any] = [
        matches("uk", "a"),
        models.FieldCondition(key="uk", match=models.MatchAny(any=["a", "b"])),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="uk")),
        models.HasIdCondition(has_id=[1]),
    ]

    assert strict.count("docs", models.Filter(should=indexed)).count == 0
    assert strict.upsert("docs", [point(1)], update_filter=models.Filter(must=[matches("k", 1)])).status == "completed"


def test_strict_limits_are_kept(strict: QdrantClient) -> None:
    with pytest.raises(UnexpectedResponse, match=r"Limit exceeded 3 > 2 for .*upsert limit"):
        strict.upsert("docs", [point(key) for key in (1, 2, 3)])
    with pytest.raises(UnexpectedResponse, match="Limit exceeded 6 > 5 for"):
        strict.scroll("docs", limit=6)
    with pytest.raises(UnexpectedResponse, match=r"Condition size limit reached \(4 > 3\)"):
        strict.count("docs", models.Filter(must=[models.HasIdCondition(has_id=[1, 2, 3, 4])]))
    strict.create_payload_index("docs", "g", models.PayloadSchemaType.INTEGER)
    with pytest.raises(UnexpectedResponse, match=r"maximum number of payload indices \(2\)"):
        strict.create_payload_index("docs", "g", models.PayloadSchemaType.INTEGER)


# ------------------------------------------------------------------------------------------------------------
# Faults and the log


def test_a_fault_answers_the_chosen_requests_and_no_others(double: WireDouble, client: QdrantClient) -> None:
    double.fail(r"PUT .*/points$", skip=1, times=2, status=500, body="Service internal error: x")
    client.upsert("docs", [point(1)])
    for _ in range(2):
        with pytest.raises(UnexpectedResponse, match="Service internal error: x"):
            client.upsert("docs", [point(2)])
    client.upsert("docs", [point(3)])

    assert stored(client) == [1, 3]


def test_a_rate_limit_carries_its_retry_after(double: WireDouble, client: QdrantClient) -> None:
    double.fail("points", status=429, body="Rate limiting exceeded: Write", headers={"Retry-After": "12"})
    with pytest.raises(ResourceExhaustedResponse) as limited:
        client.upsert("docs", [point(1)])

    assert limited.value.retry_after_s == 12


def test_a_proxys_page_is_sent_as_it_is(double: WireDouble, client: QdrantClient) -> None:
    double.fail("exists", status=502, body="<html>", headers={"Content-Type": "text/html"})
    with pytest.raises(UnexpectedResponse) as refused:
        client.collection_exists("docs")

    assert (refused.value.status_code, refused.value.content) == (502, b"<html>")


@pytest.mark.parametrize(("fault", "kept"), [({"close": True}, []), ({"close": True, "applied": True}, [1])])
def test_a_connection_is_cut_before_or_after_the_write(
    double: WireDouble, client: QdrantClient, fault: dict[str, Any], kept: list[int]
) -> None:
    double.fail("PUT .*/points$", **fault)
    with pytest.raises(ResponseHandlingException, match="Server disconnected without sending a response"):
        client.upsert("docs", [point(1)])

    assert stored(client) == kept


def test_an_error_may_follow_a_write_that_was_applied(double: WireDouble, client: QdrantClient) -> None:
    double.fail("PUT .*/points$", status=500, applied=True)
    with pytest.raises(UnexpectedResponse):
        client.upsert("docs", [point(1)])

    assert stored(client) == [1]


@pytest.mark.parametrize(("applied", "meanwhile"), [(False, []), (True, [1])])
def test_a_request_is_held_until_released(
    double: WireDouble, client: QdrantClient, *, applied: bool, meanwhile: list[int]
) -> None:
    fault = double.fail("PUT .*/points$", hold=True, applied=applied)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.upsert, "docs", [point(1)])
        fault.wait_until_reached()
        seen = stored(client)
        fault.release()

        assert waiting.result().status == "completed"
    assert (seen, stored(client)) == (meanwhile, [1])


@pytest.mark.parametrize("status", ["acknowledged", "wait_timeout"])
def test_a_write_may_be_answered_without_being_completed(double: WireDouble, client: QdrantClient, status: Any) -> None:
    double.fail("points", update_status=status)

    assert client.upsert("docs", [point(1)], wait=True).status == status
    assert stored(client) == [1]


def test_the_log_holds_what_arrived(double: WireDouble, client: QdrantClient) -> None:
    client.delete("docs", [1], wait=True)
    last = double.log[-1]

    assert (last.method, last.path, last.query["wait"], last.body) == (
        "POST", f"{POINTS}/delete", "true", {"points": [1]},
    )  # fmt: skip


def test_a_test_can_wait_for_requests(double: WireDouble, client: QdrantClient) -> None:
    started = threading.Thread(target=lambda: [client.count("docs") for _ in range(2)])
    started.start()

    assert len(double.wait_for("POST .*/count$", count=2)) == 2
    started.join()
    with pytest.raises(TimeoutError):
        double.wait_for("nothing", timeout=0)


def test_a_stopped_server_refuses_and_comes_back_with_its_points(double: WireDouble, client: QdrantClient) -> None:
    client.upsert("docs", [point(1)])
    with httpx.Client() as kept:
        kept.get(double.url)
        double.stop()
        with pytest.raises(httpx.TransportError):
            kept.get(double.url)
    with pytest.raises(ResponseHandlingException, match="Connection refused"):
        client.count("docs")
    double.start()

    assert stored(client) == [1]


def test_another_process_serves_and_is_controlled_over_the_wire() -> None:
    command = [sys.executable, str(Path(__file__).with_name("wire_double.py")), "--port", "0", "--version", "1.17.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            fault = {"pattern": "GET /collections$", "status": 503, "body": "busy"}
            httpx.post(f"{url}/_control", json={"faults": [fault]})
            statuses = [httpx.get(f"{url}/collections").status_code for _ in range(2)]
            log = httpx.get(f"{url}/_control/log", params={"match": "collections", "count": 2}).json()["requests"]

            assert httpx.get(url).json()["version"] == "1.17.1"
            assert statuses == [503, 200]
            assert log == [{"method": "GET", "path": "/collections", "query": {}, "body": None}] * 2
            assert httpx.get(f"{url}/_control/log", params={"count": 99, "timeout": 0}).status_code == 408
        finally:
            process.kill()
