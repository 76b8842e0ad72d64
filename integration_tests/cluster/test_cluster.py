"""Three nodes, each shard on two of them: whatever dies in the middle of a sync, in the end every replica holds the same.

What a node holds is read from the node itself, replica by replica (`own_cluster`). Needs the executable `qdrant`. No test
waits for time to pass: a node comes back once so many tries were made without it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, cycle
from typing import Any, Self

import pytest
from command_line import Connector, Finished, Json
from fault_proxy import FaultProxy
from fault_relay import GrpcRelay, RestRelay
from loopback import HOST
from own_cluster import OwnCluster, Points, Replica
from own_server import OwnServer, find_executable
from running_write import COMPLETE, Sync, jsonl, state, state_ids
from targets import ServerTarget
from wire_double import Fault

NO_CLUSTER = "NO CLUSTER TO TEST AGAINST: no executable called qdrant is on the PATH, of which three are started"


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnCluster]:
    if not find_executable():
        pytest.skip(NO_CLUSTER)
    with OwnCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(name="cluster")
def _cluster(running: OwnCluster) -> OwnCluster:
    """All of its nodes are up, whatever the test before has done to them."""
    running.heal()
    return running


# ----------------------------------------------------------------------------------------------------------
# What is written

A_BATCH = 12
"""So many that some of them are on every shard, however they fall."""
ROUNDS = 6
KILLS = 3
COLLECTION = {"shard_number": 3, "replication_factor": 2}
CONFIG: Json = {
    "processing": {
        "chunk_size": 5,
        "text_fields": ["text"],
        "text_splitter": {"mode": "separator", "separators": ['";"']},
    },
    "embedding": {"mode": "fake"},
}

LOOKUP = r"/points/scroll$|/qdrant.Points/Scroll$"
UPSERT = r"PUT /collections/[^/]+/points$|/qdrant.Points/Upsert$"
DELETE = r"/points/delete$|/qdrant.Points/Delete$"
INDEX = r"PUT /collections/[^/]+/index$|/qdrant.Points/CreateFieldIndex$"
WRITE = f"{UPSERT}|{DELETE}"


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to write, with the requests that write: those of a batch, and those at the end of a stream."""

    name: str
    steps: tuple[str, ...]
    last_steps: tuple[str, ...] = ()
    extra: Json = field(default_factory=dict)

    @property
    def catalog(self) -> Json:
        stream = {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": self.name}
        return {"streams": [stream | self.extra]}


APPEND = Mode("append", (UPSERT,))
DEDUP = Mode("append_dedup", (LOOKUP, UPSERT, DELETE), extra={"primary_key": [["id"]]})
OVERWRITE = Mode("overwrite", (UPSERT,), (DELETE,))

transports = pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
factors = pytest.mark.parametrize("factor", [1, 2], ids=["one-confirms", "both-confirm"])


def record(number: int, text: str) -> Json:
    return {"type": "RECORD", "record": {"stream": "docs", "data": {"id": number, "text": text}}}


def old_record(number: int) -> Json:
    """Of three chunks, so that the new text is shorter."""
    return record(number, ";".join([f"old-{number} two"] * 3))


def new_record(number: int) -> Json:
    """Of one chunk."""
    return record(number, f"new-{number:03}")


A_ROUND = A_BATCH + 1
LAST = ROUNDS * A_ROUND
"""The number of the last record."""


def rounds() -> list[list[Json]]:
    """Each is a batch, its STATE, and a record more, which closes the batch."""
    made = []
    for number in range(1, ROUNDS + 1):
        *batch, one_more = map(new_record, range((number - 1) * A_ROUND + 1, number * A_ROUND + 1))
        made.append([*batch, state(number), one_more])
    return made


AT_THE_END = [state(ROUNDS + 1), COMPLETE]
EVERYTHING = [*chain(*rounds()), *AT_THE_END]


@dataclass(frozen=True, slots=True)
class Place:
    """A collection in a cluster, reached through one node."""

    cluster: OwnCluster
    target: ServerTarget
    contacted: OwnServer
    others: list[OwnServer]
    """The first one leads the consensus."""
    factor: int
    """How many replicas have to confirm a write."""

    @property
    def collection(self) -> Json:
        return {**COLLECTION, "write_consistency_factor": self.factor}

    def config(self, url: str = "", **indexing: Any) -> Json:
        """Of a sync that creates the collection where it is missing."""
        options = {"batch_size": A_BATCH, "new_collection": self.collection, **indexing}
        return CONFIG | {"indexing": {**self.target.indexing(), **options, **({"url": url} if url else {})}}

    def replicas(self) -> dict[Replica, Points]:
        return self.cluster.replicas(self.target.collection)

    def seed(self, connector: Connector, config: Json | None = None) -> None:
        """Write the records as they were before, with a sync of their own."""
        messages = map(old_record, range(1, LAST + 1))
        finished = connector.run("write", jsonl(*messages), config=config or self.config(), catalog=DEDUP.catalog)
        assert finished.code == 0, finished.error

    def points(self, shards: int = 3) -> list[Json]:
        """Every point, once all replicas are active and none differs from another of its shard."""
        self.cluster.settle(self.target.collection)
        copies_of: dict[int, list[Points]] = defaultdict(list)
        for replica, points in self.replicas().items():
            copies_of[replica.shard].append(points)
        assert [len(copies) for copies in copies_of.values()] == [2] * shards
        assert [differing(*copies) for copies in copies_of.values()] == [[]] * shards
        return [point for copies in copies_of.values() for point in copies[0].values()]


def differing(one: Points, other: Points) -> list[tuple[str, Any, Any]]:
    """The points that two replicas do not agree on, by their texts."""
    return [
        (each, *(points.get(each, {"payload": None})["payload"] for points in (one, other)))
        for each in sorted(one.keys() | other.keys())
        if one.get(each) != other.get(each)
    ]


def texts(points: list[Json]) -> list[tuple[int, str]]:
    return sorted((point["payload"]["id"], point["payload"]["text"]) for point in points)


NEW = [(number, f"text: new-{number:03}") for number in range(1, LAST + 1)]


def place_of(cluster: OwnCluster, factor: int, *, prefer_grpc: bool) -> Place:
    leader = cluster.leader()
    contacted, other = (node for node in cluster.nodes if node is not leader)
    target = ServerTarget(contacted.url, prefer_grpc=prefer_grpc)
    return Place(cluster, target, contacted, [leader, other], factor)


def test_a_point_that_one_replica_lacks_is_found_out(connector: Connector, cluster: OwnCluster) -> None:
    """The tests' own eyes. Qdrant itself says nothing of it: every replica stays active."""
    place = place_of(cluster, 2, prefer_grpc=False)
    place.seed(connector)
    (replica, points), *_ = place.replicas().items()
    cluster.remove_from(replica, place.target.collection, list(points)[:1])
    with pytest.raises(AssertionError, match="_ab_stream"):
        place.points()


# ----------------------------------------------------------------------------------------------------------
# A sync that is fed round by round


class Relayed(AbstractContextManager["Relayed"]):
    """What stands between the connector and the node that it contacts: requests are counted and held there."""

    def __init__(self, place: Place) -> None:
        self._stack = ExitStack()
        self._place = place

    def __enter__(self) -> Self:
        """Open for the connector."""
        with ExitStack() as stack:
            node = self._place.contacted
            if self._place.target.prefer_grpc:
                calls = stack.enter_context(GrpcRelay(node.grpc_port))
                self.faults: GrpcRelay | RestRelay = calls
                self.url = f"http://{HOST}:{calls.port - 1}"
            else:
                self.faults = stack.enter_context(RestRelay(node.url))
                self.url = self.faults.url
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what is held."""
        self._stack.close()

    @contextmanager
    def holding(self, step: str) -> Iterator[Fault]:
        """The next such request is not passed on before the end of the block."""
        held = self.faults.fail(step, hold=True)
        yield held
        held.release()

    def wait_for_tries(self, step: str) -> None:
        """Return when two more such requests were made and answered, and a third one came."""
        self.faults.fail(step, skip=2).wait_until_reached(60)


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


def assert_held(place: Place, acknowledged: list[int]) -> None:
    """What was acknowledged is on the nodes that are up."""
    held = {
        (point["payload"]["id"], point["payload"]["text"])
        for points in place.replicas().values()
        for point in points.values()
    }
    assert set(NEW[: len(acknowledged) * A_ROUND - bool(acknowledged)]) - held == set()


# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "prefer_grpc", "ordering"),
    [(1, False, "medium"), (2, True, "strong")],
    ids=["one-confirms-rest-medium", "both-confirm-grpc-strong"],
)
def test_every_record_is_on_each_replica(
    connector: Connector, cluster: OwnCluster, factor: int, ordering: str, *, prefer_grpc: bool
) -> None:
    place = place_of(cluster, factor, prefer_grpc=prefer_grpc)
    config = place.config(write_ordering=ordering)
    place.seed(connector, config)
    before = place.points()
    assert len(before) > 3 * LAST
    parameters = place.target.ask("GET", "")["config"]["params"]
    assert {name: parameters[name] for name in place.collection} == place.collection
    found = []
    for mode in (APPEND, DEDUP, OVERWRITE):
        finished = connector.run("write", jsonl(*EVERYTHING), config=config, catalog=mode.catalog)
        assert (finished.code, finished.error) == (0, None)
        found.append(texts(place.points()))
    assert found == [sorted([*texts(before), *NEW]), sorted([*NEW, *NEW]), NEW]


@transports
def test_a_sync_keeps_to_its_shard_key(connector: Connector, cluster: OwnCluster, *, prefer_grpc: bool) -> None:
    """It makes the collection, and in it the shards of its key; what others have stored in theirs is not looked at."""
    place = place_of(cluster, 2, prefer_grpc=prefer_grpc)
    for key in ("ours", "theirs"):
        place.seed(connector, place.config(shard_key=key))
    before = under_key(place, "theirs")
    assert len(before) > 3 * LAST
    found = []
    for mode in (DEDUP, OVERWRITE):
        config = place.config(shard_key="ours")
        finished = connector.run("write", jsonl(*EVERYTHING), config=config, catalog=mode.catalog)
        assert (finished.code, finished.error) == (0, None)
        found.append(under_key(place, "ours"))
    assert found == [NEW, NEW]
    assert under_key(place, "theirs") == before
    assert texts(place.points(shards=6)) == sorted([*NEW, *before])


def under_key(place: Place, key: str) -> list[tuple[int, str]]:
    asked = {"shard_key": key, "limit": 100_000, "with_payload": True}
    return texts(place.target.ask("POST", "/points/scroll", asked)["points"])


# ----------------------------------------------------------------------------------------------------------
# Nodes that die, or stand still


@transports
@factors
@pytest.mark.parametrize("mode", [DEDUP, OVERWRITE], ids=lambda mode: mode.name)
def test_a_node_beside_the_contacted_one_is_killed_and_comes_back(
    connector: Connector, cluster: OwnCluster, factor: int, *, mode: Mode, prefer_grpc: bool
) -> None:
    """In each kind of write. The sync goes on without it where one replica is enough, and anywhere while it catches up."""
    place = place_of(cluster, factor, prefer_grpc=prefer_grpc)
    place.seed(connector)
    feed = enumerate(rounds(), 1)
    with Relayed(place) as relay, Writing(connector, place.config(relay.url), mode) as sync:
        kills = zip(cycle(place.others), mode.steps, feed, feed, strict=False)
        for node, step, (number, messages), (after, more) in kills:
            with relay.holding(step) as held:
                sync.send(*messages)
                held.wait_until_reached()
                node.kill()
            if factor == 1:
                sync.hear_state(number)
            else:
                relay.wait_for_tries(WRITE)
            acknowledged = sync.states()
            assert acknowledged == list(range(1, number + (factor == 1)))
            assert_held(place, acknowledged)
            node.launch()
            sync.send(*more)
            sync.hear_state(after)
            node.wait_until_ready()
        sync.send(*chain(*(messages for _, messages in feed)), *AT_THE_END)
        for step in mode.last_steps:
            with relay.holding(step) as held:
                sync.close_input()
                held.wait_until_reached()
                place.others[0].kill()
            if factor == 1:
                sync.process.wait()
            else:
                relay.wait_for_tries(step)
            place.others[0].start()
        finished = sync.end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert texts(place.points()) == NEW


@pytest.mark.parametrize(
    ("mode", "factor", "prefer_grpc"),
    [(DEDUP, 1, False), (DEDUP, 2, True), (OVERWRITE, 1, True), (OVERWRITE, 2, False)],
    ids=[
        "dedup-one-confirms-rest",
        "dedup-both-confirm-grpc",
        "overwrite-one-confirms-grpc",
        "overwrite-both-confirm-rest",
    ],
)
def test_the_contacted_node_is_killed_and_comes_back(
    connector: Connector, cluster: OwnCluster, factor: int, *, mode: Mode, prefer_grpc: bool
) -> None:
    """It dies at a byte drawn by lot, having passed some of a write on to other nodes or not, and takes all connections along."""
    lot = random.Random(f"{mode.name} {factor} {prefer_grpc}")  # noqa: S311 -- it only has to be the same in every run
    place = place_of(cluster, factor, prefer_grpc=prefer_grpc)
    place.seed(connector)
    node = place.contacted
    with FaultProxy((HOST, node.grpc_port if prefer_grpc else node.port)) as proxy:
        config = place.config(f"http://{HOST}:{proxy.port - prefer_grpc}")
        with Writing(connector, config, mode) as sync:
            for number, messages in enumerate(rounds()[:KILLS], 1):
                kill = proxy.fail(*_moment(lot, over_grpc=prefer_grpc), then=lambda: _die(node, proxy))
                sync.send(*messages)
                kill.wait_until_reached()
                acknowledged = sync.states()
                assert_held(place, acknowledged)
                node.start()
                sync.hear_state(number)
            finished = sync.send(*chain(*rounds()[KILLS:]), *AT_THE_END).end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert state_ids(finished) == list(range(1, ROUNDS + 2))
    assert texts(place.points()) == NEW


def _moment(lot: random.Random, *, over_grpc: bool) -> tuple[Any, int]:
    """A way and a number of bytes that one batch surely takes that way on one connection."""
    if lot.random() < 0.5:
        return "down", lot.randrange(30)
    return "up", lot.randrange(80_000 if over_grpc else 300_000)


def _die(node: OwnServer, proxy: FaultProxy) -> None:
    """What the proxy still holds of the node's answers dies with it."""
    node.kill()
    proxy.cut()


@transports
def test_a_node_is_down_when_the_first_sync_begins(
    connector: Connector, cluster: OwnCluster, *, prefer_grpc: bool
) -> None:
    """The collection is made without it, its indexes and the records wait for it."""
    place = place_of(cluster, 2, prefer_grpc=prefer_grpc)
    away = place.others[1]
    away.kill()
    with (
        Relayed(place) as relay,
        connector.start("write", config=place.config(relay.url), catalog=DEDUP.catalog) as process,
    ):
        relay.wait_for_tries(INDEX)
        assert process.poll() is None
        away.start()
        said, errors = process.communicate(jsonl(*EVERYTHING))
    finished = Finished(process.returncode, said, errors.decode())
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert state_ids(finished) == list(range(1, ROUNDS + 2))
    assert texts(place.points()) == NEW


@pytest.mark.parametrize(
    ("factor", "prefer_grpc"), [(1, False), (2, True)], ids=["one-confirms-rest", "both-confirm-grpc"]
)
def test_a_node_beside_the_contacted_one_stands_still(
    connector: Connector, cluster: OwnCluster, factor: int, *, prefer_grpc: bool
) -> None:
    place = place_of(cluster, factor, prefer_grpc=prefer_grpc)
    place.seed(connector)
    with Relayed(place) as relay, Writing(connector, place.config(relay.url), DEDUP) as sync:
        first, *others = rounds()
        with relay.holding(UPSERT) as held:
            sync.send(*first)
            held.wait_until_reached()
            place.others[0].freeze()
        if factor == 1:
            sync.hear_state(1)
        else:
            relay.wait_for_tries(WRITE)
        assert sync.states() == [1][: factor == 1]
        place.others[0].thaw()
        finished = sync.send(*chain(*others), *AT_THE_END).end()
    assert (finished.code, finished.error, finished.stderr) == (0, None, "")
    assert texts(place.points()) == NEW


@pytest.mark.parametrize("mode", [DEDUP, OVERWRITE], ids=lambda mode: mode.name)
def test_a_removal_that_was_given_up_is_made_good_by_the_next_sync(
    connector: Connector, cluster: OwnCluster, mode: Mode
) -> None:
    """The nodes that were up have carried it out, so that they know no more of what the other one still holds."""
    place = place_of(cluster, 2, prefer_grpc=False)
    place.seed(connector)
    with (
        Relayed(place) as relay,
        Writing(connector, place.config(relay.url, retry_seconds=1), mode) as sync,
        relay.holding(DELETE) as held,
    ):
        sync.send(*EVERYTHING)
        sync.close_input()
        held.wait_until_reached()
        place.others[0].kill()
        held.release()
        given_up = sync.end()
    assert (given_up.code, (given_up.error or {})["failure_type"]) == (1, "transient_error")
    place.others[0].start()
    finished = connector.run("write", jsonl(*EVERYTHING), config=place.config(), catalog=mode.catalog)
    assert (finished.code, finished.error) == (0, None)
    assert texts(place.points()) == NEW


@transports
def test_what_the_contacted_node_has_lost_is_replaced_and_deleted_on_the_others(
    connector: Connector, cluster: OwnCluster, *, prefer_grpc: bool
) -> None:
    place = place_of(cluster, 2, prefer_grpc=prefer_grpc)
    place.seed(connector)
    for replica, points in place.replicas().items():
        if cluster.nodes[replica.node] is place.contacted:
            cluster.remove_from(replica, place.target.collection, points)
    deleted, *others = map(new_record, range(1, LAST + 1))
    deleted["record"]["data"]["_ab_cdc_deleted_at"] = "2026-01-01T00:00:00Z"
    finished = connector.run("write", jsonl(deleted, *others), config=place.config(), catalog=DEDUP.catalog)
    assert (finished.code, finished.error) == (0, None)
    assert texts(place.points()) == NEW[1:]
