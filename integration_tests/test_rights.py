"""What a sync needs a key for, and what is said when the key does not have it.

Each key is tried on the wire double, which tells every request, and on a real server that knows tokens, where there is one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from command_line import Connector, Finished, Json
from servers import Servers
from wire_double import WireDouble

NO_SERVER = "NO REAL SERVER WITH RIGHTS TO TEST AGAINST"
MANAGER = "the-key-that-may-do-everything"
Right = Literal["r", "rw", "prw"]
STREAM = {
    "stream": {"name": "users", "json_schema": {}},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append_dedup",
    "primary_key": [["id"]],
    "generation_id": 2,
    "minimum_generation_id": 2,
    "sync_id": 7,
}
COMPLETE = {
    "type": "TRACE",
    "trace": {
        "type": "STREAM_STATUS",
        "emitted_at": 1,
        "stream_status": {"stream_descriptor": {"name": "users"}, "status": "COMPLETE"},
    },
}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that asks for keys."""

    url: str
    over_grpc: bool
    double: WireDouble | None = None

    def key(self, access: Json | str, *, expired: bool = False) -> str:
        """A key with these rights: the double knows its keys, a server believes what is signed with its own."""
        if self.double:
            return _name("expired" if expired else access)
        claims = {"access": access} if isinstance(access, str) else {"access": _grants(access)}
        return _signed(claims | ({"exp": int(time.time()) - 3600} if expired else {}))

    def indexing(self, key: str) -> Json:
        auth = {"mode": "api_key_auth", "api_key": key}
        return {"url": self.url, "collection": "docs", "prefer_grpc": self.over_grpc, "auth_method": auth}

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 -- a loopback URL of the test itself
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "api-key": MANAGER},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- same
            return json.load(answer)["result"]

    def create(self, size: int = 2) -> None:
        self.ask("PUT", "/collections/docs", {"vectors": {"size": size, "distance": "Cosine"}})

    def payloads(self) -> list[Json]:
        found = self.ask("POST", "/collections/docs/points/scroll", {"limit": 100, "with_payload": True})["points"]
        return [each["payload"] for each in found]


def _grants(access: Json) -> list[Json]:
    return [{"collection": name, "access": right} for name, right in access.items()]


def _signed(claims: Json) -> str:
    """A JSON web token, signed with the server's API key (HS256, RFC 7519)."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    body = b".".join(map(_base64, parts))
    return (body + b"." + _base64(hmac.digest(MANAGER.encode(), body, hashlib.sha256))).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _name(access: Any) -> str:
    """A key of the double, named after what it may do."""
    return json.dumps([access], separators=(",", ":"))


#: Every key of the tests, as the double is told of it.
KEYS: list[Any] = ["r", "m", "expired", *({"docs": right} for right in ("r", "rw", "prw")), {"other": "rw"}]


@pytest.fixture(name="guarded", params=["double-rest", "double-grpc", "server-rest", "server-grpc"])
def _guarded(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Guarded]:
    kind, _, transport = request.param.partition("-")
    over_grpc = transport == "grpc"
    if kind == "double":
        with WireDouble(grpc=over_grpc, api_key=MANAGER, keys={_name(key): key for key in KEYS}) as double:
            yield Guarded(double.url, over_grpc, double)
        return
    environment = {"QDRANT__SERVICE__API_KEY": MANAGER, "QDRANT__SERVICE__JWT_RBAC": "true"}
    with servers.own(tmp_path / "server", NO_SERVER, environment=environment) as server:
        yield Guarded(server.url, over_grpc)


def config(indexing: Json) -> Json:
    embedding = {"mode": "from_field", "field_name": "v", "dimensions": 2}
    processing = {"chunk_size": 100, "metadata_fields": ["id", "version"]}
    return {"processing": processing, "embedding": embedding, "indexing": indexing}


def write(connector: Connector, indexing: Json, version: int) -> Finished:
    records = [
        {
            "type": "RECORD",
            "record": {
                "stream": "users",
                "emitted_at": 1,
                "data": {"id": number, "version": version, "v": [1, number]},
            },
        }
        for number in range(5)
    ]
    stdin = "\n".join(map(json.dumps, [*records, COMPLETE])).encode() + b"\n"
    stream = STREAM | {"generation_id": version, "minimum_generation_id": version}
    return connector.run("write", stdin, config=config(indexing), catalog={"streams": [stream]})


def test_a_key_for_the_collection_is_enough(guarded: Guarded, connector: Connector) -> None:
    """The points of an old generation are replaced, the model is noted; no request is one that such a key may not make."""
    guarded.create()
    indexing = guarded.indexing(guarded.key({"docs": "rw"}))
    results = [write(connector, indexing, version) for version in (2, 3)]

    assert [each.code for each in results] == [0, 0], results[-1].error
    records = [each for each in guarded.payloads() if "_ab_note" not in each]
    assert [each["version"] for each in records] == [3] * 5
    assert len([each for each in guarded.payloads() if "_ab_note" in each]) == 1
    other_model = config(indexing)
    other_model["embedding"] = {"mode": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", "dimensions": 2}
    stopped = connector.run("write", b"", config=other_model, catalog={"streams": [STREAM]})
    assert "model_guard" in (stopped.error or {})["message"]


def test_a_key_for_points_is_enough_where_the_indexes_are_there(guarded: Guarded, connector: Connector) -> None:
    guarded.create()
    points_only = guarded.indexing(guarded.key({"docs": "prw"}))
    refused = write(connector, points_only, 2)
    assert refused.error
    assert refused.error["failure_type"] == "config_error"
    assert "it needs write access to the whole collection (not to points only)" in refused.error["message"]

    assert write(connector, guarded.indexing(MANAGER), 2).code == 0
    assert write(connector, points_only, 3).code == 0
    assert [each["version"] for each in guarded.payloads() if "_ab_note" not in each] == [3] * 5


@pytest.mark.parametrize(
    ("access", "expired", "said"),
    [
        ({"docs": "r"}, False, "lacks the right: it needs write access"),
        ("r", False, "lacks the right: it needs write access"),
        ({"other": "rw"}, False, "has no access to this collection"),
        ("m", True, "has expired"),
    ],
)
def test_check_finds_a_key_that_will_not_do(
    guarded: Guarded, connector: Connector, access: Any, said: str, *, expired: bool
) -> None:
    guarded.create()
    guarded.ask("PUT", "/collections/docs/points?wait=true", {"points": [{"id": 1, "vector": [1, 0]}]})
    mark = len(guarded.double.log) if guarded.double else 0
    checked = connector.run("check", config=config(guarded.indexing(guarded.key(access, expired=expired))))
    status = checked.of("CONNECTION_STATUS")[0]["connectionStatus"]

    assert status["status"] == "FAILED"
    assert said in status["message"]
    assert len(guarded.payloads()) == 1
    if guarded.double:
        reads = {"scroll", "count", "query", "points"}
        asked = [each for each in guarded.double.log[mark:] if each.path.rpartition("/")[2] not in reads]
        assert [each.path for each in asked if each.method != "GET"] in ([], ["/collections/docs/points/delete"])


def test_check_passes_with_a_key_that_will_do(guarded: Guarded, connector: Connector) -> None:
    guarded.create()
    checked = connector.run("check", config=config(guarded.indexing(guarded.key({"docs": "rw"}))))

    assert checked.of("CONNECTION_STATUS")[0]["connectionStatus"]["status"] == "SUCCEEDED", checked.log
    assert guarded.payloads() == []


def test_what_only_a_manager_may_do_is_named(guarded: Guarded, connector: Connector) -> None:
    failed = write(connector, guarded.indexing(guarded.key({"docs": "rw"})), 2)

    assert failed.error
    assert failed.error["failure_type"] == "config_error"
    assert "it needs global manage rights, unless the collection is created beforehand" in failed.error["message"]


def test_that_writing_does_not_work_at_the_moment_is_no_verdict_on_the_configuration(connector: Connector) -> None:
    """A platform checks before each sync, and the sync is what waits for a node to come back."""
    with WireDouble() as double:
        place = Guarded(double.url, over_grpc=False, double=double)
        place.create()
        double.fail("points/delete", status=503, headers={"Retry-After": "3600"}, times=99)
        checked = connector.run("check", config=config({"url": double.url, "collection": "docs"}))
    status = checked.of("CONNECTION_STATUS")[0]["connectionStatus"]

    assert status["status"] == "SUCCEEDED"
    assert "Whether the key may write could not be found out" in status["message"]
