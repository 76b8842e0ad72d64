"""The wire double keeps the rules of a server's operator as a server does: strict mode, rate limits, rights, versions.

What a server could do as well is asked of one, too, where there is one: where the two differ, the double is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from qdrant_client import models

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from servers import Servers
from wire_double import WireDouble
from wire_sides import DOCS, Side, Transport, closing, refusal

Json = dict[str, Any]

COLLECTION = "/collections/docs"
POINTS = f"{COLLECTION}/points"
WAIT = {"params": {"wait": "true"}}


@pytest.fixture(name="side", params=["double", "server"])
def _side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param == "double":
        with WireDouble(grpc=True, clock=lambda: 0.0) as running, closing(Side.of_double(running)) as side:
            yield side
        return
    with closing(Side.of_server(request.getfixturevalue("server_url"))) as side:
        yield side


@pytest.fixture(name="transport", params=["rest", "grpc"])
def _transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


def create(side: Side, **strict: Any) -> None:
    """A new collection without points."""
    side.request("DELETE", COLLECTION)
    limits = {"strict_mode_config": {"enabled": True, **strict}} if strict else {}
    done = side.request("PUT", COLLECTION, {"vectors": {"size": 2, "distance": "Dot"}, **limits})
    assert done.status_code == 200, done.text


def index(side: Side, field: str, kind: str = "keyword") -> None:
    side.request("PUT", f"{COLLECTION}/index", {"field_name": field, "field_schema": kind}, **WAIT)


def points(*ids: int) -> Json:
    """Half of them, those with an odd id, have the key "a"."""
    return {"points": [{"id": each, "vector": [1, 0], "payload": {"k": "ba"[each % 2], "n": each}} for each in ids]}


def where(*conditions: Json) -> Json:
    return {"filter": {"must": list(conditions)}}


def match(key: str, **kind: Any) -> Json:
    return {"key": key, "match": kind}


def texts(side: Side, calls: Mapping[str, tuple[str, str, Json]]) -> dict[str, str]:
    """How each call is refused with 400; "passes" when it is not."""
    found = {}
    for name, call in calls.items():
        status, text = side.send(*call)
        assert status in {200, 400}, (name, status, text)
        found[name] = "passes" if status == 200 else text
    return found


# ------------------------------------------------------------------------------------------------------------
# Strict mode


def exceeded(actual: int, allowed: int, label: str) -> str:
    hint = f'Help: Reduce the "{label}" parameter to or below {allowed}.'
    return f'Bad request: Limit exceeded {actual} > {allowed} for "{label}". {hint}'


def test_sizes_are_limited(side: Side) -> None:
    create(side, upsert_max_batchsize=2, max_query_limit=5, search_max_batchsize=2, max_timeout=5)
    vectors = [{"id": each, "vector": [0, 1]} for each in (1, 2, 3)]
    query = {"query": [1, 0], "limit": 3}

    assert texts(
        side,
        {
            "upsert": ("PUT", POINTS, points(1, 2, 3)),
            "upsert in a batch": ("POST", f"{POINTS}/batch", {"operations": [{"upsert": points(1)}, {"upsert": points(1, 2, 3)}]}),
            "batch form": ("PUT", POINTS, {"batch": {"ids": [1, 2, 3], "vectors": [[1, 0]] * 3}}),
            "vectors": ("PUT", f"{POINTS}/vectors", {"points": vectors}),
            "scroll": ("POST", f"{POINTS}/scroll", {"limit": 6}),
            "query": ("POST", f"{POINTS}/query", {"query": [1, 0], "limit": 6}),
            "query without a limit": ("POST", f"{POINTS}/query", {"query": [1, 0]}),
            "prefetch": ("POST", f"{POINTS}/query", {"prefetch": {"query": [1, 0], "limit": 6}, **query}),
            "queries": ("POST", f"{POINTS}/query/batch", {"searches": [query] * 3}),
            "timeout": ("PUT", f"{POINTS}?timeout=6", points(1)),
            "scroll without a limit": ("POST", f"{POINTS}/scroll", {}),
            "ids": ("POST", POINTS, {"ids": [1, 2, 3, 4, 5, 6]}),
            "deletion of ids": ("POST", f"{POINTS}/delete", {"points": [1, 2, 3, 4, 5, 6]}),
        },
    ) == {
        "upsert": exceeded(3, 2, "upsert limit"),
        "upsert in a batch": exceeded(3, 2, "upsert limit"),
        "batch form": exceeded(3, 2, "upsert limit"),
        "vectors": exceeded(3, 2, "update limit"),
        "scroll": exceeded(6, 5, "limit"),
        "query": exceeded(6, 5, "limit"),
        "query without a limit": exceeded(10, 5, "limit"),
        "prefetch": exceeded(6, 5, "limit"),
        "queries": exceeded(3, 2, "search batch size"),
        "timeout": exceeded(6, 5, "timeout"),
        "scroll without a limit": "passes",
        "ids": "passes",
        "deletion of ids": "passes",
    }  # fmt: skip
    assert side.request("POST", f"{POINTS}/count", {}).json()["result"] == {"count": 0}


def test_filters_are_limited_in_conditions_and_in_the_size_of_each(side: Side) -> None:
    create(side, filter_max_conditions=2, condition_max_size=3)
    three = [match("k", value="a")] * 3
    conditions = (
        "Bad request: Filter condition limit reached (3 > 2). Help: Reduce the amount of conditions of your filter."
    )
    size = "Bad request: Condition size limit reached (4 > 3). Help: Reduce the size of your condition."

    assert texts(
        side,
        {
            "three": ("POST", f"{POINTS}/count", where(*three)),
            "nested": ("POST", f"{POINTS}/scroll", where(three[0], {"should": three[1:]})),
            "any": ("POST", f"{POINTS}/count", where(match("k", any=["a", "b", "c", "d"]))),
            "ids": ("POST", f"{POINTS}/count", where({"has_id": [1, 2, 3, 4]})),
            "deletion": ("POST", f"{POINTS}/delete", where(match("k", any=["a", "b", "c", "d"]))),
            "condition of an upsert": ("PUT", POINTS, points(1) | {"update_filter": where(*three, {"has_id": [1, 2, 3, 4]})["filter"]}),
            "deletion of ids": ("POST", f"{POINTS}/delete", {"points": [1, 2, 3, 4]}),
        },
    ) == {
        "three": conditions, "nested": conditions, "any": size, "ids": size, "deletion": size,
        "condition of an upsert": "passes", "deletion of ids": "passes",
    }  # fmt: skip


ALL_TYPES = "bool, datetime, float, geo, integer, keyword, text, text (with phrase_matching: true), uuid"


@pytest.mark.parametrize("updates", [False, True])
def test_a_filter_needs_an_index_of_the_right_type(side: Side, *, updates: bool) -> None:
    create(side, **{"unindexed_filtering_update" if updates else "unindexed_filtering_retrieve": False})
    index(side, "uk")
    filters: dict[str, tuple[Json, str]] = {
        "text": (match("k", value="a"), '"k" [keyword]'),
        "texts": (match("k", any=["a", "b"]), '"k" [keyword]'),
        "uuid": (match("k", value="11111111-2222-5333-8444-555555555555"), '"k" [keyword, uuid]'),
        "integer on a keyword index": (match("uk", value=1), '"uk" [integer]'),
        "range": ({"key": "uk", "range": {"lt": 2}}, '"uk" [float, integer]'),
        "dates": ({"key": "k", "range": {"lt": "2026-01-01T00:00:00Z"}}, '"k" [datetime]'),
        "words": (match("k", text="a"), '"k" [text]'),
        "inverted": ({"must_not": [match("k", value=True)]}, '"k" [bool]'),
        "deep": ({"should": [{"must": [match("k", value=5)]}]}, '"k" [integer]'),
        "nested": ({"nested": {"key": "list", "filter": {"must": [match("k", value="a")]}}}, '"list[].k" [keyword]'),
        "null": ({"is_null": {"key": "k"}}, f'"k" [{ALL_TYPES}]'),
        "empty": ({"is_empty": {"key": "k"}}, f'"k" [{ALL_TYPES}]'),
        "indexed": (match("uk", any=["a", "b"]), ""),
        "indexed empty": ({"is_empty": {"key": "uk"}}, ""),
        "ids": ({"has_id": [1]}, ""),
    }
    expected = {name: unindexed(found) for name, (_, found) in filters.items()}
    kinds: dict[str, tuple[str, Json]] = {
        "scroll": ("scroll", {}),
        "count": ("count", {}),
        "query": ("query", {"query": [1, 0]}),
    }
    if updates:
        kinds = {"delete": ("delete", {}), "payload": ("payload", {"payload": {"a": 1}})}

    for path, body in kinds.values():
        assert (
            texts(side, {name: ("POST", f"{POINTS}/{path}", body | where(one)) for name, (one, _) in filters.items()})
            == expected
        )
    others = texts(side, {
        "other side": ("POST", f"{POINTS}/{'count' if updates else 'delete'}", where(match("k", value="a"))),
        "condition of an upsert": ("PUT", POINTS, points(1) | {"update_filter": {"must": [match("k", value=1)]}}),
    })  # fmt: skip
    assert set(others.values()) == {"passes"}


def unindexed(found: str) -> str:
    if not found:
        return "passes"
    key, types = found.split(" ", 1)
    hint = "Help: Create an index for this key or use a different filter."
    return f"Bad request: Index required but not found for {key} of one of the following types: {types}. {hint}"


def test_a_batch_with_an_unindexed_filter_writes_nothing(side: Side) -> None:
    create(side, unindexed_filtering_update=False)
    operations = [{"upsert": points(1)}, {"delete": where(match("k", value="a"))}]

    assert side.send("POST", f"{POINTS}/batch", {"operations": operations}, **WAIT) == (400, unindexed('"k" [keyword]'))
    assert side.request("POST", f"{POINTS}/count", {}).json()["result"] == {"count": 0}


def test_indexes_are_counted_and_exact_searches_refused_while_it_is_enabled(side: Side) -> None:
    create(side, max_payload_index_count=1, search_allow_exact=False)
    index(side, "a")
    most = "Collection already has the maximum number of payload indices (1)."
    full = f"Bad request: {most} Help: Please delete an existing index before creating a new one."
    exact = "Bad request: Exact search disabled!. Help: Set exact=false."
    calls: dict[str, tuple[str, str, Json]] = {
        "again": ("PUT", f"{COLLECTION}/index", {"field_name": "a", "field_schema": "keyword"}),
        "another": ("PUT", f"{COLLECTION}/index", {"field_name": "b", "field_schema": "keyword"}),
        "count": ("POST", f"{POINTS}/count", {}),
        "query": ("POST", f"{POINTS}/query", {"query": [1, 0], "params": {"exact": True}}),
        "estimate": ("POST", f"{POINTS}/count", {"exact": False}),
    }

    enabled = texts(side, calls)
    side.request("PATCH", COLLECTION, {"strict_mode_config": {"enabled": False, "search_allow_exact": None}})

    assert enabled == {"again": full, "another": full, "count": exact, "query": exact, "estimate": "passes"}
    assert set(texts(side, calls).values()) == {"passes"}
    assert side.request("GET", COLLECTION).json()["result"]["config"]["strict_mode_config"] == {
        "enabled": False, "max_payload_index_count": 1, "search_allow_exact": False,
    }  # fmt: skip


def test_the_number_of_points_is_looked_at_every_32nd_upsert(side: Side) -> None:
    create(side, max_points_count=5)
    full = (400, "Bad request: Max points count limit of 5 reached!")

    def upserts(count: int) -> list[int]:
        return [side.send("PUT", POINTS, points(each), **WAIT)[0] for each in range(count)]

    assert upserts(31) == [200] * 31
    assert side.send("PUT", POINTS, points(1), **WAIT) == full
    assert side.send("POST", f"{POINTS}/payload", {"payload": {"a": 1}, "points": [1]}, **WAIT)[0] == 200
    assert side.send("POST", f"{POINTS}/delete", {"points": list(range(31))}, **WAIT)[0] == 200
    assert upserts(32) == [400] * 31 + [200]


def test_strict_mode_refuses_over_grpc_as_well(side: Side) -> None:
    create(side, upsert_max_batchsize=1, unindexed_filtering_update=False)
    client = side.connect("grpc")
    two = [models.PointStruct(id=each, vector=[1, 0]) for each in (1, 2)]
    by_key = models.Filter(must=[models.FieldCondition(key="k", match=models.MatchAny(any=["a"]))])

    assert refusal(lambda: client.upsert(DOCS, two)) == ("INVALID_ARGUMENT", exceeded(2, 1, "upsert limit"))
    assert refusal(lambda: client.delete(DOCS, by_key)) == ("INVALID_ARGUMENT", unindexed('"k" [keyword]'))


# ------------------------------------------------------------------------------------------------------------
# Rate limits

SPLIT = "request larger than rate limiter capacity, please try to split your request"


def limit(side: Side, **limits: int) -> None:
    """The collection as it is, with full buckets; something has been written to it before."""
    side.request("PATCH", COLLECTION, {"strict_mode_config": {"enabled": True, **limits}})


def available(text: str) -> float:
    found = re.search(r"but only (\d+\.\d) were available", text)
    assert found, text
    return float(found[1])


def left_to_write(side: Side) -> float:
    """Tokens of a bucket of 10."""
    status, text = side.send("PUT", POINTS, points(*range(10)), **WAIT)
    return 10.0 if status == 200 else available(text)


def left_to_read(side: Side) -> float:
    status, text = side.send("POST", POINTS, {"ids": list(range(10))})
    return 10.0 if status == 200 else available(text)


def close_to(side: Side, left: Mapping[str, float]) -> Any:
    """A server's bucket goes on being filled, with a token every six seconds."""
    return pytest.approx(left, abs=0.9 if side.is_server else 0)


def test_a_write_costs_its_points_or_what_its_filter_is_estimated_to_match(side: Side) -> None:
    create(side)
    index(side, "k")
    calls: dict[str, tuple[str, str, Json | None, float]] = {
        "upsert": ("PUT", POINTS, points(1, 2, 3), 3),
        "conditional upsert": ("PUT", POINTS, points(1, 2, 3) | {"update_filter": {}}, 3),
        "vectors": ("PUT", f"{POINTS}/vectors", {"points": [{"id": 1, "vector": [0, 1]}]}, 1),
        "ids": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, "points": [1, 2]}, 2),
        "ids of nothing": ("POST", f"{POINTS}/delete", {"points": [77, 78, 79]}, 3),
        "indexed, none": ("POST", f"{POINTS}/delete", where(match("k", value="z")), 1),
        "indexed": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, **where(match("k", value="a"))}, 4),
        "indexed, any": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, **where(match("k", any=["a", "b"]))}, 6),
        "unindexed": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, **where(match("n", value=99))}, 4),
        "inverted": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, "filter": {"must_not": [match("k", value="a")]}}, 4),
        "everything": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, "filter": {}}, 8),
        "batch": ("POST", f"{POINTS}/batch", {"operations": [{"upsert": points(1, 2)}, {"delete": {"points": [77]}}]}, 3),
        "index": ("PUT", f"{COLLECTION}/index", {"field_name": "k", "field_schema": "keyword"}, 2),
        "no more index": ("DELETE", f"{COLLECTION}/index/none", None, 0),
        "metadata": ("PATCH", COLLECTION, {"metadata": {"a": 1}}, 0),
        "refused before": ("PUT", POINTS, {"points": [{"id": 1, "vector": [1]}]}, 0),
        "refused later": ("PUT", POINTS, {"points": [{"id": 1, "vector": {"no": [1]}}]}, 1),
        "too much": ("PUT", POINTS, points(*range(11)), 0),
        "a read": ("POST", f"{POINTS}/scroll", {}, 0),
    }  # fmt: skip
    left = {}
    for name, (method, path, body, _) in calls.items():
        limit(side, write_rate_limit=1000)
        side.request("POST", f"{POINTS}/delete", {"filter": {}}, **WAIT)
        side.request("PUT", POINTS, points(*range(8)), **WAIT)
        limit(side, write_rate_limit=10)
        side.request(method, path, body, **WAIT)
        left[name] = left_to_write(side)

    assert left == close_to(side, {name: 10 - call[3] for name, call in calls.items()})


def test_a_read_costs_one_and_its_conditions_or_its_ids(side: Side) -> None:
    create(side)
    side.request("PUT", POINTS, points(1, 2, 3), **WAIT)
    one, two = where(match("k", any=["a", "b"])), where(match("k", value="a"), {"should": [{"has_id": [1, 2]}]})
    query = {"query": [1, 0], "limit": 1}
    calls: dict[str, tuple[str, str, Json | None, float]] = {
        "scroll": ("POST", f"{POINTS}/scroll", {"limit": 3}, 1),
        "count": ("POST", f"{POINTS}/count", one, 2),
        "count two": ("POST", f"{POINTS}/count", two, 3),
        "query": ("POST", f"{POINTS}/query", query, 1),
        "queries": ("POST", f"{POINTS}/query/batch", {"searches": [query, query | one]}, 3),
        "ids": ("POST", POINTS, {"ids": [1, 2, 77, 78]}, 4),
        "one": ("GET", f"{POINTS}/1", None, 1),
        "collection": ("GET", COLLECTION, None, 0),
        "upsert": ("PUT", POINTS, points(1, 2, 3), 0),
    }
    left = {}
    for name, (method, path, body, _) in calls.items():
        limit(side, read_rate_limit=10)
        side.request(method, path, body)
        left[name] = left_to_read(side)

    assert left == close_to(side, {name: 10 - call[3] for name, call in calls.items()})


def test_a_request_beyond_the_limit_is_told_when_to_come_again(side: Side) -> None:
    create(side)
    side.request("PUT", POINTS, points(1), **WAIT)
    limit(side, write_rate_limit=10, read_rate_limit=10)
    side.request("PUT", POINTS, points(*range(4)), **WAIT)
    later = side.request("PUT", POINTS, points(*range(10)))
    never = side.request("PUT", POINTS, points(*range(11)))
    read = side.request("POST", POINTS, {"ids": list(range(11))})

    text = later.json()["status"]["error"]
    seconds = int(later.headers["Retry-After"])
    assert (later.status_code, never.status_code, read.status_code) == (429, 429, 429)
    assert text == (
        "Rate limiting exceeded: Write rate limit exceeded: Operation requires 10 tokens but only"
        f" {available(text)} were available. Retry after {seconds}s"
    )
    assert seconds == pytest.approx(24, abs=6 if side.is_server else 0)
    assert never.json()["status"]["error"] == f"Rate limiting exceeded: Write rate limit exceeded, {SPLIT}"
    assert read.json()["status"]["error"] == f"Rate limiting exceeded: Read rate limit exceeded, {SPLIT}"
    assert "Retry-After" not in {**never.headers, **read.headers}


def test_the_first_write_to_a_collection_is_charged_twice(side: Side) -> None:
    create(side, write_rate_limit=10)

    assert side.send("PUT", POINTS, points(*range(6)), **WAIT)[1] == (
        "Rate limiting exceeded: Write rate limit exceeded: Operation requires 6 tokens but only 4.0 were available."
        " Retry after 12s"
    )
    assert side.send("PUT", POINTS, points(1, 2), **WAIT)[0] == 200
    assert left_to_write(side) == close_to(side, 2)  # type: ignore[arg-type]  # approx takes a number as well


@pytest.mark.parametrize("wait", ["true", "false"])
def test_a_batch_beyond_the_limit_is_applied_up_to_there(side: Side, wait: str) -> None:
    create(side)
    side.request("PUT", POINTS, points(1), **WAIT)
    limit(side, write_rate_limit=10)
    operations = [{"upsert": points(2, 3, 4, 5, 6, 7)}, {"upsert": points(8, 9, 10, 11, 12, 13)}]
    answer = side.request("POST", f"{POINTS}/batch", {"operations": operations}, params={"wait": wait})
    limit(side, write_rate_limit=1000)
    side.request("POST", f"{POINTS}/delete", {"points": [77]}, **WAIT)  # what was taken before has been applied

    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert side.request("POST", f"{POINTS}/count", {}).json()["result"] == {"count": 7}


def test_a_rate_limit_over_grpc_says_how_long_in_its_trailer(side: Side) -> None:
    create(side)
    side.request("PUT", POINTS, points(1), **WAIT)
    limit(side, write_rate_limit=2)
    client = side.connect("grpc")
    one = [models.PointStruct(id=1, vector=[1, 0])]
    client.upsert(DOCS, one * 2)
    code, text = refusal(lambda: client.upsert(DOCS, one))

    assert re.sub(r"\d+", "#", code) == "RESOURCE_EXHAUSTED, retry after #"
    assert text.startswith("Rate limiting exceeded: Write rate limit exceeded: Operation requires 1 tokens but only 0.")
    assert refusal(lambda: client.upsert(DOCS, one * 3)) == (
        "RESOURCE_EXHAUSTED", f"Rate limiting exceeded: Write rate limit exceeded, {SPLIT}",
    )  # fmt: skip


def test_a_bucket_is_refilled_within_a_minute_and_by_any_change_of_strict_mode() -> None:
    seconds = [0.0]
    with WireDouble(grpc=True, clock=lambda: seconds[-1]) as double, closing(Side.of_double(double)) as side:
        create(side)
        side.request("PUT", POINTS, points(1), **WAIT)
        limit(side, write_rate_limit=10)
        left_to_write(side)
        left = [left_to_write(side) for now in (0, 6, 30, 60) if seconds.append(now) is None]
        limit(side, max_query_limit=5)
        left.append(left_to_write(side))

    assert left == [0, 1, 5, 10, 10]


# ------------------------------------------------------------------------------------------------------------
# Rights

SECRET = "the-key-of-the-server"
LOCKED = {"QDRANT__SERVICE__API_KEY": SECRET, "QDRANT__SERVICE__JWT_RBAC": "true"}


def token(claims: Json) -> str:
    """A token as the server's owner signs it."""

    def encoded(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signed = encoded(orjson.dumps({"alg": "HS256", "typ": "JWT"})) + b"." + encoded(orjson.dumps(claims))
    return (signed + b"." + encoded(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


ALIAS = f"alias-of-{DOCS}"
ACCESS: dict[str, Any] = {
    "rw": {DOCS: "rw"},
    "prw": {DOCS: "prw"},
    "r": {DOCS: "r"},
    "alias": {ALIAS: "rw"},
    "all r": "r",
    "all m": "m",
}


def claims_of(access: Any) -> Json:
    if isinstance(access, str):
        return {"access": access}
    return {"access": [{"collection": name, "access": right} for name, right in access.items()]}


KEYS = {name: token(claims_of(access)) for name, access in ACCESS.items()}
EXPIRED = token({"access": "m", "exp": 1})


@contextmanager
def locked_double() -> Iterator[Side]:
    keys = {KEYS[name]: access for name, access in ACCESS.items()} | {EXPIRED: "expired"}
    with WireDouble(grpc=True, api_key=SECRET, keys=keys) as double:
        yield Side.of_double(double, SECRET)


@contextmanager
def locked_server(servers: Servers, folder: Path) -> Iterator[Side]:
    with servers.own(folder, "NO SERVER WITH KEYS TO TEST AGAINST", environment=LOCKED) as server:
        yield Side.of_server(server.url, SECRET)


@pytest.fixture(name="locked", params=["double", "server"], scope="module")
def _locked(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Side]:
    """It asks for keys, and has a collection with an alias."""
    is_double = request.param == "double"
    made = locked_double() if is_double else locked_server(servers, tmp_path_factory.mktemp("locked"))
    with made as open_side, closing(open_side) as side:
        create(side)
        alias = {"create_alias": {"collection_name": "docs", "alias_name": ALIAS}}
        side.request("POST", "/collections/aliases", {"actions": [alias]})
        side.request("PUT", POINTS, points(1), **WAIT)
        yield side


def test_each_key_may_do_what_its_rights_allow(locked: Side) -> None:
    ok, forbidden = "ok", "Forbidden: "
    elsewhere = f"{forbidden}Access to collection docs is required"
    readable = {"rw": ok, "prw": ok, "r": ok, "alias": elsewhere, "all r": ok, "all m": ok}
    manage = f"{forbidden}Global manage access is required"
    points_only = readable | {"r": f"{forbidden}Write access to collection docs is required", "all r": manage}
    writable = points_only | {"prw": f"{forbidden}Only points access is allowed for collection docs"}
    managed = dict.fromkeys(["rw", "prw", "r", "alias"], f"{forbidden}Global access is required") | {
        "all r": manage,
        "all m": ok,
    }
    missing = dict.fromkeys(["rw", "prw", "r", "alias"], f"{forbidden}Access to collection nope is required")
    not_found = "Not found: Collection `nope` doesn't exist!"
    through_alias = dict.fromkeys(["rw", "prw", "r"], f"{forbidden}Access to collection alias-of-docs is required") | {
        "alias": ok,
        "all m": ok,
    }
    calls: dict[str, tuple[str, str, Any, dict[str, str]]] = {
        "version": ("GET", "/", None, dict.fromkeys(ACCESS, ok)),
        "collections": ("GET", "/collections", None, dict.fromkeys(ACCESS, ok)),
        "aliases": ("GET", "/aliases", None, dict.fromkeys(ACCESS, ok)),
        "info": ("GET", COLLECTION, None, readable),
        "exists": ("GET", f"{COLLECTION}/exists", None, readable),
        "exists elsewhere": ("GET", "/collections/nope/exists", None, missing | {"all r": ok, "all m": ok}),
        "its aliases": ("GET", f"{COLLECTION}/aliases", None, readable),
        "scroll": ("POST", f"{POINTS}/scroll", {}, readable),
        "count": ("POST", f"{POINTS}/count", {}, readable),
        "query": ("POST", f"{POINTS}/query", {"query": [1, 0]}, readable),
        "ids": ("POST", POINTS, {"ids": [1]}, readable),
        "upsert": ("PUT", POINTS, points(1), points_only),
        "upsert elsewhere": ("PUT", "/collections/nope/points", points(1), missing | {"all r": not_found, "all m": not_found}),
        "delete": ("POST", f"{POINTS}/delete", {"points": [77]}, points_only),
        "delete by filter": ("POST", f"{POINTS}/delete", where(match("k", value="z")), points_only),
        "payload": ("POST", f"{POINTS}/payload", {"payload": {"z": 1}, "points": [1]}, points_only),
        "batch": ("POST", f"{POINTS}/batch", {"operations": [{"upsert": points(1)}]}, points_only),
        "index": ("PUT", f"{COLLECTION}/index", {"field_name": "k", "field_schema": "keyword"}, writable),
        "no index": ("DELETE", f"{COLLECTION}/index/k", None, writable),
        "create": ("PUT", COLLECTION, {}, managed | {"all m": "Wrong input: Collection `docs` already exists!"}),
        "metadata": ("PATCH", COLLECTION, {"metadata": {"a": 1}}, managed),
        "drop": ("DELETE", "/collections/nope", None, managed),
        "alias": ("POST", "/collections/aliases", {"actions": []}, managed),
        "info of the alias": ("GET", f"/collections/{ALIAS}", None, through_alias | {"all r": ok}),
        "upsert to the alias": ("PUT", f"/collections/{ALIAS}/points", points(1), through_alias | {"all r": manage}),
        "unreadable": ("PUT", POINTS, b"{", dict.fromkeys(ACCESS, "Format error in JSON body")),
        "no route": ("GET", "/nope", None, dict.fromkeys(ACCESS, "")),
    }  # fmt: skip

    found = {
        name: {key: said(locked, method, path, body, KEYS[key]) for key in ACCESS}
        for name, (method, path, body, _) in calls.items()
    }

    assert found == {name: call[3] for name, call in calls.items()}


def said(side: Side, method: str, path: str, body: Any, key: str) -> str:
    status, text = side.send(method, path, body, headers={"api-key": key})
    if status == 200:
        return "ok"
    return text.split(":")[0] if text.startswith("Format error") else text


def test_a_key_is_asked_for_except_where_a_server_asks_for_none(locked: Side) -> None:
    keys = {
        "none": {"api-key": None},
        "empty": {"api-key": ""},
        "wrong": {"api-key": "garbage"},
        "expired": {"api-key": EXPIRED},
        "bearer": {"api-key": None, "Authorization": f"Bearer {KEYS['rw']}"},
    }
    answers = {name: locked.request("GET", f"{COLLECTION}/exists", headers=headers) for name, headers in keys.items()}
    version = [locked.request("GET", path, headers=keys["wrong"]).status_code for path in ("/", "/healthz", "/readyz")]

    assert {name: (answer.status_code, answer.text) for name, answer in answers.items() if name != "bearer"} == {
        "none": (401, "Must provide an API key or an Authorization bearer token"),
        "empty": (401, "Invalid API key or JWT"),
        "wrong": (401, "Invalid API key or JWT"),
        "expired": (403, "ExpiredSignature"),
    }
    assert (answers["bearer"].status_code, version) == (200, [200, 200, 200])


def test_lists_show_a_scoped_key_only_its_collections_and_no_alias(locked: Side) -> None:
    def names(key: str) -> tuple[list[str], list[str]]:
        headers = {"api-key": KEYS[key]}
        collections = locked.request("GET", "/collections", headers=headers).json()["result"]["collections"]
        aliases = locked.request("GET", "/aliases", headers=headers).json()["result"]["aliases"]
        return [each["name"] for each in collections], [each["alias_name"] for each in aliases]

    assert {key: names(key) for key in ACCESS} == {
        "rw": ([DOCS], []), "prw": ([DOCS], []), "r": ([DOCS], []), "alias": ([], []),
        "all r": ([DOCS], [ALIAS]), "all m": ([DOCS], [ALIAS]),
    }  # fmt: skip


def test_rights_have_their_codes_over_grpc(locked: Side) -> None:
    def client(key: str) -> Any:
        return locked.connect("grpc", headers={"api-key": key})

    one = [models.PointStruct(id=1, vector=[1, 0])]

    assert client("garbage").info().version
    assert refusal(client("garbage").get_collections) == ("UNAUTHENTICATED", "Invalid API key or JWT")
    assert refusal(client(EXPIRED).get_collections) == ("PERMISSION_DENIED", "ExpiredSignature")
    assert refusal(lambda: client(KEYS["r"]).upsert(DOCS, one)) == (
        "PERMISSION_DENIED", "Forbidden: Write access to collection docs is required",
    )  # fmt: skip
    assert refusal(lambda: client(KEYS["rw"]).update_collection(DOCS, metadata={"a": 1})) == (
        "PERMISSION_DENIED", "Forbidden: Global access is required",
    )  # fmt: skip
    assert client(KEYS["prw"]).upsert(DOCS, one).status == "completed"


# ------------------------------------------------------------------------------------------------------------
# Versions


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("1.15.5", {"payload": {"v": "third"}}),
        ("1.16.3", {"metadata": {"m": 1}, "payload": {"v": "second"}}),
        ("1.17.1", {"metadata": {"m": 1}, "payload": {"v": "first"}, "enable_hnsw": False, "update_queue": {"length": 0}}),
        ("1.18.3", {"metadata": {"m": 1}, "payload": {"v": "first"}, "enable_hnsw": False, "update_queue": {"length": 0}}),
    ],
)  # fmt: skip
def test_an_older_server_ignores_what_it_does_not_know(transport: Transport, version: str, shown: Json) -> None:
    with WireDouble(grpc=True, version=version) as double, closing(Side.of_double(double)) as side:
        client = side.connect(transport)
        client.create_collection(DOCS, models.VectorParams(size=2, distance=models.Distance.DOT), metadata={"m": 1})
        plain = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False, on_disk=True)
        client.create_payload_index(DOCS, "k", plain)

        def upsert(value: str, **options: Any) -> None:
            client.upsert(DOCS, [models.PointStruct(id=1, vector=[1, 0], payload={"v": value})], **options)

        upsert("first")
        upsert("second", update_mode=models.UpdateMode.INSERT_ONLY)
        upsert("third", update_filter=models.Filter(must=[models.HasIdCondition(has_id=[2])]))
        info = client.get_collection(DOCS).model_dump(mode="json", exclude_none=True)

        assert client.info().version == version
        assert {
            **({"metadata": info["config"]["metadata"]} if "metadata" in info["config"] else {}),
            "payload": client.retrieve(DOCS, [1])[0].payload,
            **{key: value for key, value in info["payload_schema"]["k"]["params"].items() if key == "enable_hnsw"},
            **({"update_queue": {"length": 0}} if "update_queue" in info else {}),
        } == shown
        assert double.wait_for("PUT .*/points$", 3)[2].body["update_filter"] == {"must": [{"has_id": [2]}]}


def test_before_strict_mode_nothing_of_it_acts_and_missing_routes_are_not_found() -> None:
    with WireDouble(grpc=True, version="1.9.0") as double, closing(Side.of_double(double)) as side:
        create(side, upsert_max_batchsize=1)

        assert side.send("PUT", POINTS, points(1, 2), **WAIT)[0] == 200
        assert side.send("POST", f"{POINTS}/query", {"query": [1, 0]}) == (404, "")
        assert refusal(lambda: side.connect("grpc").query_points(DOCS, [1.0, 0.0])) == ("UNIMPLEMENTED", "")
