"""Servers that fail, over REST and gRPC: whatever was acknowledged is there, and the content ends as if nothing had been.

Every test writes the same records over the same old ones, and what is stored in the end is compared with a run that
nothing disturbed. No test waits for time to pass: faults end after so many requests, bytes or connections. What
outlasts the retries says so itself (Retry-After), or meets a sync that has a second for them (`indexing.retry_seconds`).
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

import pytest
from command_line import Connector, Finished, Json
from fault_proxy import FaultProxy
from fault_relay import GrpcRelay, RestRelay
from loopback import HOST
from own_server import Server
from running_write import COMPLETE, Sync, jsonl, state, state_ids
from targets import EmbeddedTarget, ServerTarget
from wire_double import WireDouble

from destination_qdrant.qdrant.server.address import Address, candidates

# ----------------------------------------------------------------------------------------------------------
# What is written

A_BATCH = 3
ROUNDS = 6
CONFIG: Json = {
    "processing": {
        "chunk_size": 5,
        "text_fields": ["text"],
        "text_splitter": {"mode": "separator", "separators": ['";"']},
    },
    "embedding": {"mode": "fake"},
}


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to write, with the requests that a batch and the end of a stream take in it."""

    name: str
    steps: tuple[str, ...]
    last_steps: tuple[str, ...] = ()
    extra: Json = field(default_factory=dict)

    @property
    def catalog(self) -> Json:
        stream = {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": self.name}
        return {"streams": [stream | self.extra]}


LOOKUP = r"/points/scroll$|/qdrant.Points/Scroll$"
UPSERT = r"PUT /collections/[^/]+/points$|/qdrant.Points/Upsert$"
DELETE = r"/points/delete$|/qdrant.Points/Delete$"
COUNT = r"/points/count$|/qdrant.Points/Count$"

APPEND = Mode("append", (UPSERT,))
DEDUP = Mode("append_dedup", (LOOKUP, UPSERT, DELETE), extra={"primary_key": [["id"]]})
OVERWRITE = Mode("overwrite", (UPSERT,), (COUNT, DELETE))
MODES = pytest.mark.parametrize("mode", [APPEND, DEDUP, OVERWRITE], ids=lambda mode: mode.name)


def record(number: int, text: str) -> Json:
    return {"type": "RECORD", "record": {"stream": "docs", "data": {"id": number, "text": text}}}


def word(number: int) -> str:
    """The text of a record: of one chunk, and in no request but the one that writes it."""
    return f"new-{number:03}"


def rounds_of(count: int) -> list[list[Json]]:
    """So many batches, each as what completes it: STATE n comes when records 1 to n * A_BATCH are stored.

    A batch closes with the first record of the next one, so that nothing has to grow old. (On a slow machine that record
    may grow old alone, and become a batch of its own: no test may mind.)
    """
    rounds: list[list[Json]] = [[record(1, word(1))]]
    for number in range(1, count + 1):
        first = (number - 1) * A_BATCH + 1
        rest = [record(each, word(each)) for each in range(first + 1, first + A_BATCH)]
        rounds.append([*rest, state(number), record(first + A_BATCH, word(first + A_BATCH))])
    return [[*rounds[0], *rounds[1]], *rounds[2:]]


def messages_of(count: int, *, after: int = 0) -> list[Json]:
    """The whole input, or what the source sends again when STATE `after` was the last one acknowledged."""
    everything = [message for each in rounds_of(count) for message in each]
    everything += [state(count + 1), COMPLETE]
    return everything[everything.index(state(after)) + 1 :] if after else everything


def old_records(count: int) -> list[Json]:
    """One for each key, of three chunks, so that the new text is shorter."""
    return [record(each, f"old-{each} two;old-{each} two;old-{each} two") for each in range(1, count * A_BATCH + 2)]


def content(points: list[Json] | None) -> list[str]:
    """The payloads but for the name of the run, in an order of their own."""
    return sorted(
        json.dumps(
            {name: value for name, value in point["payload"].items() if name not in {"_ab_run_id", "_ab_loaded_at"}},
            sort_keys=True,
        )
        for point in points or []
    )


def assert_readable(points: list[Json] | None, acknowledged: list[int], count: int = ROUNDS) -> int:
    """Every record up to the last acknowledged STATE is stored with its new text; returns how many these are."""
    payloads = [point["payload"] for point in points or []]
    stored = {payload["id"] for payload in payloads if payload["text"] == f"text: {word(payload['id'])}"}
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    expected = set(range(1, min(len(acknowledged) * A_BATCH, count * A_BATCH + 1) + 1))
    assert expected - stored == set()
    return len(expected)


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The points before and after a sync that nothing disturbs."""

    before: list[Json]
    after: list[str]


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mode, int], Undisturbed]:
    """Runs each mode once, in a folder."""
    known: dict[tuple[str, int], Undisturbed] = {}

    def undisturbed(mode: Mode, count: int = ROUNDS) -> Undisturbed:
        if (mode.name, count) not in known:
            folder = tmp_path_factory.mktemp(mode.name)
            target, connector = EmbeddedTarget(folder), Connector(folder)
            config = CONFIG | {"indexing": target.indexing()}
            found = []
            for messages in (old_records(count), messages_of(count)):
                finished = connector.run("write", jsonl(*messages), config=config, catalog=mode.catalog)
                assert finished.code == 0, finished.error
                found.append(target.points() or [])
            known[mode.name, count] = Undisturbed(found[0], content(found[1]))
        return known[mode.name, count]

    return undisturbed


# ----------------------------------------------------------------------------------------------------------
# Where it is written to


@dataclass(slots=True)
class Wire:
    """A server with everything before it that can go wrong: connector, `proxy`, `faults`, server.

    `target` looks past all of it.
    """

    target: ServerTarget
    proxy: FaultProxy
    faults: WireDouble | GrpcRelay
    server: tuple[str, int]

    @property
    def over_grpc(self) -> bool:
        return self.target.prefer_grpc

    def config(self, **indexing: Any) -> Json:
        # gRPC is expected on the port after that of the URL.
        port = self.proxy.port - self.over_grpc
        return config_of(f"http://{HOST}:{port}", self.target, **indexing)


def config_of(url: str, target: ServerTarget, **indexing: Any) -> Json:
    return CONFIG | {"indexing": {**target.indexing(), "url": url, "batch_size": A_BATCH, **indexing}}


@pytest.fixture(name="wire", params=["double", "server-rest", "server-grpc"])
def _wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with ExitStack() as stack:
        if request.param == "double":
            double = stack.enter_context(WireDouble())
            address = _address(double.url)
            yield Wire(ServerTarget(double.url), stack.enter_context(FaultProxy(address)), double, address)
            return
        target = ServerTarget(request.getfixturevalue("server_url"), prefer_grpc=request.param == "server-grpc")
        stack.callback(target.remove)
        yield real_wire(stack, target)


def real_wire(stack: ExitStack, target: ServerTarget) -> Wire:
    """Everything before a real server."""
    if not target.prefer_grpc:
        relay = stack.enter_context(RestRelay(target.url))
        proxy = stack.enter_context(FaultProxy(_address(relay.url)))
        return Wire(target, proxy, relay, _address(target.url))
    address = _parts(target.url)
    server = (address.host, address.grpc_port or 0)
    calls = stack.enter_context(GrpcRelay(server[1], server[0]))
    proxy = stack.enter_context(FaultProxy((HOST, calls.port)))
    calls.hang_up = proxy.cut
    return Wire(target, proxy, calls, server)


def _address(url: str) -> tuple[str, int]:
    address = _parts(url)
    return address.host, address.port


def _parts(url: str) -> Address:
    return candidates(url, secret=False)[0]


class Writing(Sync):
    """A `write` that is fed round by round. Made when it is ready for its input: what fails then, fails in the middle."""

    def __init__(self, connector: Connector, config: Json, mode: Mode) -> None:
        self.process = connector.start("write", config=config, catalog=mode.catalog)
        self.said = b""
        self.asked = 0
        self.hear("LOG", "Writing to")

    def hear_state(self, number: int) -> None:
        """Read on until this STATE, unless it was heard."""
        while number not in state_ids(Finished(0, self.said, "")):
            self.hear("STATE")

    def close_input(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None  # else `end` would close it again, and fail


def seed(target: ServerTarget, points: list[Json]) -> None:
    """Store old points as they are in another Qdrant."""
    target.seed(len(points[0]["vector"]), points)


# ----------------------------------------------------------------------------------------------------------
# Requests that fail once

LIMITED = "Rate limiting exceeded: Write rate limit exceeded, request would exceed rate limiter capacity."
FAILED = "Service internal error: 1 out of 1 shards failed to apply operation. First error captured: a disk hiccup"
PASSING: dict[str, Json] = {
    "500": {"status": 500, "body": FAILED},
    "503, come back at once": {"status": 503, "headers": {"Retry-After": "0"}},
    "429": {"status": 429, "body": LIMITED},
    "not confirmed": {"update_status": "wait_timeout"},
    "request lost": {"close": True},
    "answer lost": {"applied": True, "close": True},
}
assert len(PASSING) == ROUNDS


@MODES
def test_a_request_that_fails_and_then_does_not_costs_nothing(
    connector: Connector, wire: Wire, mode: Mode, undisturbed: Callable[[Mode], Undisturbed]
) -> None:
    """Every request of a batch fails once in every way; its STATE leaves only when the last of them has passed."""
    history = undisturbed(mode)
    seed(wire.target, history.before)
    with Writing(connector, wire.config(), mode) as sync:
        for number, (messages, fault) in enumerate(zip(rounds_of(ROUNDS), PASSING.values(), strict=True), 1):
            failing = [wire.faults.fail(step, **fault) for step in mode.steps if _can_meet(step, fault)]
            held = wire.faults.fail(mode.steps[-1], hold=True, times=99)
            sync.send(*messages)
            held.wait_until_reached()
            assert sync.states() == list(range(1, number))
            held.times = 0
            held.release()
            sync.hear_state(number)
            assert [each.times for each in failing] == [0] * len(failing)
            assert_readable(wire.target.points(), sync.states())
            assert mode is DEDUP or {*content(history.before)} <= {*content(wire.target.points())}
        at_the_end = [wire.faults.fail(step, **PASSING["answer lost"]) for step in mode.last_steps]
        sync.send(state(ROUNDS + 1), COMPLETE)
        finished = sync.end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert state_ids(finished) == list(range(1, ROUNDS + 2))
    assert [each.times for each in at_the_end] == [0] * len(at_the_end)
    assert content(wire.target.points()) == history.after


def _can_meet(step: str, fault: Json) -> bool:
    """Whether an answer to this request has what the fault changes: only writes are confirmed."""
    return step in {UPSERT, DELETE} or "update_status" not in fault


def test_a_server_that_asks_for_a_second_is_given_it(connector: Connector, wire: Wire) -> None:
    asked = [wire.faults.fail(UPSERT, status=429, body=LIMITED, headers={"Retry-After": "1"}) for _ in range(2)]
    passed = wire.faults.fail(UPSERT, applied=True)
    messages = jsonl(record(1, word(1)), state(1))
    finished = connector.run("write", messages, config=wire.config(), catalog=APPEND.catalog)
    assert (finished.code, finished.error, state_ids(finished)) == (0, None, [1])
    assert [point["payload"]["id"] for point in wire.target.points() or []] == [1]
    times = [fault.reached_at or 0 for fault in (*asked, passed)]
    assert [later - sooner >= 1 for sooner, later in itertools.pairwise(times)] == [True, True], times


STARTING = (
    r"GET /collections/[^/]+$|/qdrant.Collections/Get$",
    r"PUT /collections/[^/]+$|/qdrant.Collections/Create$",
    r"PUT /collections/[^/]+/index$|/qdrant.Points/CreateFieldIndex$",
    LOOKUP,
)


def test_every_request_before_the_first_record_may_fail(connector: Connector, wire: Wire) -> None:
    failing = [wire.faults.fail(step, **PASSING[fault]) for step in STARTING for fault in ("500", "answer lost")]
    messages = jsonl(record(1, word(1)), state(1))
    finished = connector.run("write", messages, config=wire.config(), catalog=APPEND.catalog)
    assert (finished.code, finished.error, state_ids(finished)) == (0, None, [1])
    assert [each.times for each in failing] == [0] * len(failing)
    assert [point["payload"]["id"] for point in wire.target.points() or []] == [1]


# ----------------------------------------------------------------------------------------------------------
# Requests that go on failing


@dataclass(frozen=True, slots=True)
class Lasting:
    """An answer after which it is of no use to go on, and what the user is told."""

    status: int
    body: str
    failure_type: str
    told: tuple[str, ...]
    headers: Json = field(default_factory=dict)
    codes: tuple[str, str] = ("", "")
    """How the answer is called over REST and over gRPC, where that is told as well."""


#: Longer than any patience, so that the sync need not spend its own to find out.
LATER = {"Retry-After": "9999"}
LASTING = {
    "429": Lasting(429, LIMITED, "transient_error", ("rate limit", "raise it", "9999 seconds"), LATER),
    "500": Lasting(500, FAILED, "transient_error", ("it failed", "log of the server"), LATER, ("500", "INTERNAL")),
    "503": Lasting(503, "", "transient_error", ("not available", "running and healthy"), LATER, ("503", "UNAVAILABLE")),
    "401": Lasting(401, "Must provide an API key", "config_error", ("asks for an API key", "indexing.auth_method")),
    "403": Lasting(403, "Forbidden: no", "config_error", ("lacks the right", "indexing.auth_method")),
    "404": Lasting(404, "Not found: Collection `docs` doesn't exist!", "config_error", ("does not exist",)),
    "507": Lasting(507, "the quota is used up", "config_error", ("used up", "enlarge it"), LATER),
}
#: Over gRPC only a rate limit can say how long to wait. What else lasts there meets a sync with only a second.
SAYS_NO_TIME = {500, 503}
#: Nothing that a server says over gRPC stands for it.
REST_ONLY = {"507"}
FAILING: dict[str, list[tuple[str, str]]] = {
    "append": [(UPSERT, "503"), (UPSERT, "507"), (UPSERT, "404")],
    "append_dedup": [(LOOKUP, "429"), (UPSERT, "500"), (UPSERT, "403"), (DELETE, "429")],
    "overwrite": [(UPSERT, "429"), (COUNT, "401"), (DELETE, "503"), (DELETE, "429")],
}


@MODES
def test_a_failure_that_lasts_is_told_and_a_later_sync_heals_it(
    connector: Connector, wire: Wire, mode: Mode, undisturbed: Callable[[Mode], Undisturbed]
) -> None:
    """One sync after the other fails at another request; each goes on where the platform would let it."""
    history = undisturbed(mode)
    seed(wire.target, history.before)
    after = 0
    for step, status in FAILING[mode.name]:
        if wire.over_grpc and status in REST_ONLY:
            continue
        finished = failing_sync(connector, wire, mode, after=after, step=step, lasting=LASTING[status])
        points = wire.target.points()
        assert_told(finished, wire, LASTING[status])
        acknowledged = [*range(1, after + 1), *state_ids(finished)]
        assert len(acknowledged) == (after + 1 if step in mode.steps else ROUNDS + 1)
        assert_readable(points, acknowledged)
        assert_old_is_kept(mode, history.before, points, acknowledged)
        after = 0 if mode is OVERWRITE else len(acknowledged)

    messages = messages_of(ROUNDS, after=after)
    healed = connector.run("write", jsonl(*messages), config=wire.config(), catalog=mode.catalog)
    assert (healed.code, healed.error) == (0, None)
    points = wire.target.points()
    if mode is APPEND:  # what was stored without being acknowledged is there twice
        assert {*content(points)} == {*history.after}
    else:
        assert content(points) == history.after


def failing_sync(connector: Connector, wire: Wire, mode: Mode, *, after: int, step: str, lasting: Lasting) -> Finished:
    """A sync that goes on after a STATE, gets to the next one, and then meets a failure that lasts."""
    messages = messages_of(ROUNDS, after=after)
    middle = messages.index(state(after + 1)) + 2
    patience = {"retry_seconds": 1} if wire.over_grpc and lasting.status in SAYS_NO_TIME else {}
    with Writing(connector, wire.config(**patience), mode) as sync:
        sync.send(*messages[:middle])
        sync.hear_state(after + 1)
        wire.faults.fail(step, times=99, status=lasting.status, body=lasting.body, headers=lasting.headers)
        finished = sync.send(*messages[middle:]).end()
    wire.faults.heal()
    return finished


def assert_told(finished: Finished, wire: Wire, lasting: Lasting) -> None:
    """One error, of the right kind, in a sentence that says what was found and what to do."""
    assert (finished.code, finished.stderr) == (1, "")
    assert finished.error is not None
    assert finished.error["failure_type"] == lasting.failure_type
    message = finished.error["message"]
    assert [text for text in lasting.told if text not in message] == [], message
    assert lasting.codes[wire.over_grpc] in message
    assert wire.target.collection in message
    assert "new-" not in message


def assert_old_is_kept(mode: Mode, before: list[Json], points: list[Json] | None, acknowledged: list[int]) -> None:
    """Nothing is gone but what an acknowledged newer version of its key has replaced."""
    if mode is DEDUP:
        kept = {point["id"] for point in before if point["payload"]["id"] > len(acknowledged) * A_BATCH}
        assert kept <= {point["id"] for point in points or []}
        assert {point["payload"]["id"] for point in before} == {point["payload"]["id"] for point in points or []}
    else:
        assert {*content(before)} <= {*content(points)}


@pytest.mark.parametrize("status", ["429", "403"])
def test_a_check_tells_a_failure_that_lasts(connector: Connector, wire: Wire, status: str) -> None:
    lasting = LASTING[status]
    wire.target.seed(4, [{"id": 1, "vector": [1, 0, 0, 0], "payload": {}}])
    wire.faults.fail(STARTING[0], times=99, status=lasting.status, body=lasting.body, headers=lasting.headers)
    finished = connector.run("check", config=wire.config())
    assert (finished.code, finished.stderr, len(finished.messages)) == (0, "", 1)
    said = finished.of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert said["status"] == "FAILED"
    assert [text for text in lasting.told if text not in said["message"]] == []


# ----------------------------------------------------------------------------------------------------------
# Connections that break

HALF = 1_000
"""Bytes: less than the last point of a batch takes, which follows the one with the marker."""


def marker_of(number: int) -> bytes:
    """In the last but one record of a round."""
    return word(number * A_BATCH - 1).encode()


def cut_a_request(wire: Wire, sync: Writing, number: int) -> None:
    """The server gets the first half of it."""
    cut = wire.proxy.fail("up", after=HALF, marker=marker_of(number))
    sync.send(*rounds_of(ROUNDS)[number - 1])
    cut.wait_until_reached()


def hang_in_a_request(wire: Wire, sync: Writing, number: int) -> None:
    """Nothing passes any more, in either direction, until long after the request was begun."""
    hang = wire.proxy.fail("up", after=HALF, marker=marker_of(number), then="hang")
    sync.send(*rounds_of(ROUNDS)[number - 1])
    hang.wait_until_reached()
    assert sync.states() == list(range(1, number))
    wire.proxy.release()


def drop_idle_connections(wire: Wire, sync: Writing, number: int) -> None:
    """As a balancer does that tidies up."""
    wire.proxy.cut()
    sync.send(*rounds_of(ROUNDS)[number - 1])


def drop_new_connections(wire: Wire, sync: Writing, number: int) -> None:
    """As a balancer does that has no server to pass them on to."""
    wire.proxy.cut()
    wire.proxy.reject(2)
    sync.send(*rounds_of(ROUNDS)[number - 1])
    wire.proxy.wait_for_rejected()


def cut_an_answer(wire: Wire, sync: Writing, number: int) -> None:
    """The write has taken effect, and the connector gets the first bytes of that news."""
    held = wire.faults.fail(UPSERT, applied=True, hold=True)
    sync.send(*rounds_of(ROUNDS)[number - 1])
    held.wait_until_reached()
    cut = wire.proxy.fail("down", after=20)
    held.release()
    cut.wait_until_reached()


def die_in_a_request(wire: Wire, sync: Writing, number: int) -> None:
    """The half of it that came is lost, and so is every connection."""
    death = wire.proxy.fail("up", after=HALF, marker=marker_of(number), then=wire.proxy.refuse)
    sync.send(*rounds_of(ROUNDS)[number - 1])
    death.wait_until_reached()


def die_before_answering(wire: Wire, sync: Writing, number: int) -> None:
    """The write has taken effect."""
    held = wire.faults.fail(UPSERT, applied=True, hold=True)
    sync.send(*rounds_of(ROUNDS)[number - 1])
    held.wait_until_reached()
    wire.proxy.refuse()
    held.release()


def die_between_requests(wire: Wire, sync: Writing, number: int) -> None:
    """It is gone before there is anything to ask it."""
    wire.proxy.refuse()
    sync.send(*rounds_of(ROUNDS)[number - 1])


@MODES
def test_a_server_that_dies_and_comes_back_costs_nothing(
    connector: Connector, wire: Wire, mode: Mode, undisturbed: Callable[[Mode], Undisturbed]
) -> None:
    """As far as the wire shows it: what stands before the server refuses everybody, and later does not."""
    history = undisturbed(mode)
    seed(wire.target, history.before)
    with Writing(connector, wire.config(), mode) as sync:
        for number, die_somewhere in enumerate((die_in_a_request, die_before_answering, die_between_requests) * 2, 1):
            die_somewhere(wire, sync, number)
            assert sync.states() == list(range(1, number))
            wire.proxy.accept()
            sync.hear_state(number)
            assert_readable(wire.target.points(), sync.states())
        finished = sync.send(state(ROUNDS + 1), COMPLETE).end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert content(wire.target.points()) == history.after


@MODES
def test_a_connection_that_breaks_anywhere_costs_nothing(
    connector: Connector, wire: Wire, mode: Mode, undisturbed: Callable[[Mode], Undisturbed]
) -> None:
    history = undisturbed(mode)
    seed(wire.target, history.before)
    relay = wire.proxy.upstream
    wire.proxy.upstream = wire.server  # half a request is for the server itself to deal with
    with Writing(connector, wire.config(), mode) as sync:
        breaks = (cut_a_request, hang_in_a_request, drop_idle_connections, drop_new_connections)
        for number, break_it in enumerate(breaks, 1):
            break_it(wire, sync, number)
            sync.hear_state(number)
            assert_readable(wire.target.points(), sync.states())
        wire.proxy.upstream = relay
        wire.proxy.cut()
        for number in (len(breaks) + 1, len(breaks) + 2):
            cut_an_answer(wire, sync, number)
            sync.hear_state(number)
            assert_readable(wire.target.points(), sync.states())
        finished = sync.send(state(ROUNDS + 1), COMPLETE).end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert content(wire.target.points()) == history.after


# ----------------------------------------------------------------------------------------------------------
# A server that dies, or stands still

KILLS = 6
transports = pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])


def behind_proxy(server: Server, proxy: FaultProxy, target: ServerTarget) -> Json:
    proxy.upstream = (HOST, server.grpc_port if target.prefer_grpc else server.port)
    return config_of(f"http://{HOST}:{proxy.port - target.prefer_grpc}", target)


@transports
@pytest.mark.parametrize("mode", [DEDUP, OVERWRITE], ids=lambda mode: mode.name)
def test_a_server_that_is_killed_and_comes_back_has_lost_nothing(
    connector: Connector,
    own_server: Server,
    *,
    mode: Mode,
    prefer_grpc: bool,
    undisturbed: Callable[[Mode, int], Undisturbed],
    record_property: Callable[[str, object], None],
) -> None:
    """It dies at a byte drawn by lot: in a request, or in an answer, of lookups, writes and removals alike."""
    lot = random.Random(f"{mode.name} {prefer_grpc}")  # noqa: S311 -- it only has to be the same in every run
    history = undisturbed(mode, KILLS)
    target = ServerTarget(own_server.url, prefer_grpc=prefer_grpc)
    seed(target, history.before)
    checked = 0
    with FaultProxy((HOST, 0)) as proxy, Writing(connector, behind_proxy(own_server, proxy, target), mode) as sync:
        for number, messages in enumerate(rounds_of(KILLS), 1):
            kill = proxy.fail(*_moment(lot, over_grpc=prefer_grpc), then=lambda: die(own_server, proxy))
            sync.send(*messages)
            kill.wait_until_reached()
            acknowledged = sync.states()
            own_server.start()
            checked += assert_readable(target.points(), acknowledged, KILLS)
            sync.hear_state(number)
        finished = sync.send(state(KILLS + 1), COMPLETE).end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert state_ids(finished) == list(range(1, KILLS + 2))
    assert content(target.points()) == history.after
    record_property("server kills", KILLS)
    record_property("acknowledged records looked for after kills", checked)


def die(server: Server, proxy: FaultProxy) -> None:
    """What the proxy still holds of the server's answers dies with it."""
    server.kill()
    proxy.cut()


def _moment(lot: random.Random, *, over_grpc: bool) -> tuple[Any, int]:
    """A way and a number of bytes that one batch surely takes that way on one connection."""
    if lot.random() < 0.5:
        return "down", lot.randrange(30)
    return "up", lot.randrange(8_000 if over_grpc else 30_000)


@transports
def test_a_server_that_is_killed_while_old_data_is_removed_comes_back_to_the_end_of_it(
    connector: Connector, own_server: Server, *, prefer_grpc: bool, undisturbed: Callable[[Mode], Undisturbed]
) -> None:
    """Once before it has removed anything, and once when it has and could not say so."""
    history = undisturbed(OVERWRITE)
    target = ServerTarget(own_server.url, prefer_grpc=prefer_grpc)
    seed(target, history.before)
    with ExitStack() as stack:
        wire = real_wire(stack, target)
        sync = stack.enter_context(Writing(connector, wire.config(), OVERWRITE))
        kills = [wire.faults.fail(DELETE, applied=applied, hold=True, close=True) for applied in (False, True)]
        sync.send(*messages_of(ROUNDS))
        sync.close_input()
        for kill in kills:
            kill.wait_until_reached()
            own_server.kill()
            own_server.start()
            kill.release()
        finished = sync.end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert content(target.points()) == history.after


@transports
def test_a_server_that_stands_still_is_waited_for(
    connector: Connector, own_server: Server, *, prefer_grpc: bool
) -> None:
    target = ServerTarget(own_server.url, prefer_grpc=prefer_grpc)
    with FaultProxy((HOST, 0)) as proxy, Writing(connector, behind_proxy(own_server, proxy, target), APPEND) as sync:
        freeze = proxy.fail("up", after=HALF, marker=marker_of(1), then=own_server.freeze)
        sync.send(*rounds_of(ROUNDS)[0])
        freeze.wait_until_reached()
        assert sync.states() == []
        own_server.thaw()
        sync.hear_state(1)
        assert_readable(target.points(), [1])
        assert sync.end().code == 0


@transports
def test_a_server_that_is_away_between_batches_is_waited_for(
    connector: Connector, own_server: Server, *, prefer_grpc: bool
) -> None:
    """Nothing stands before it: its ports are closed meanwhile."""
    target = ServerTarget(own_server.url, prefer_grpc=prefer_grpc)
    with Writing(connector, config_of(own_server.url, target), APPEND) as sync:
        for number, messages in enumerate(rounds_of(ROUNDS), 1):
            own_server.kill()
            sync.send(*messages)
            assert sync.states() == list(range(1, number))
            own_server.start()
            sync.hear_state(number)
            assert_readable(target.points(), sync.states())
        assert sync.end().code == 0
    assert len(target.points() or []) == ROUNDS * A_BATCH + 1


# ----------------------------------------------------------------------------------------------------------
# A server that does not come back

#: For the sync that is to end in the middle; whatever has to succeed has the ordinary patience.
HASTY = {"timeout": 3, "retry_seconds": 1}


@transports
@pytest.mark.parametrize(
    ("end", "told"),
    [
        (methodcaller("kill"), r"refused; check host and port|lost without an answer; check that Qdrant is running"),
        (methodcaller("freeze"), "no answer came in time: check that it is not overloaded"),
    ],
    ids=["killed", "frozen"],
)
def test_a_server_that_stays_away_is_told_and_a_later_sync_goes_on(
    connector: Connector,
    own_server: Server,
    end: Callable[[Server], None],
    told: str,
    *,
    prefer_grpc: bool,
    undisturbed: Callable[[Mode], Undisturbed],
) -> None:
    target = ServerTarget(own_server.url, prefer_grpc=prefer_grpc)
    patient = config_of(own_server.url, target)
    seeding = connector.run("write", jsonl(*old_records(ROUNDS)), config=patient, catalog=DEDUP.catalog)
    assert seeding.code == 0, seeding.error
    with Writing(connector, config_of(own_server.url, target, **HASTY), DEDUP) as sync:
        first, *others = rounds_of(ROUNDS)
        sync.send(*first)
        sync.hear_state(1)
        end(own_server)
        finished = sync.send(*itertools.chain(*others)).end()
    assert (finished.code, finished.stderr, state_ids(finished)) == (1, "", [1])
    assert finished.error
    assert finished.error["failure_type"] == "transient_error"
    assert re.search(told, finished.error["message"])
    assert target.collection in finished.error["message"]

    own_server.kill()
    own_server.start()
    assert_readable(target.points(), [1])
    healed = connector.run("write", jsonl(*messages_of(ROUNDS, after=1)), config=patient, catalog=DEDUP.catalog)
    assert (healed.code, healed.error) == (0, None)
    assert content(target.points()) == undisturbed(DEDUP).after
