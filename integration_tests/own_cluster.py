"""A Qdrant cluster of the tests' own: `qdrant` executables on free ports of the loopback interface, joined by consensus.

    with OwnCluster(folder) as cluster:
        cluster.nodes[1].kill()
        cluster.nodes[1].start()
        cluster.settle("docs")
        for replica, points in cluster.replicas("docs").items(): ...

A scroll through a node is no look at that node: it asks one replica of each shard, the node's own where it has one and any
other's where it has none, so that with fewer replicas than nodes some replicas are never looked at. What a node itself
holds is told by the service through which the nodes read each other, `qdrant.PointsInternal` on the consensus port: with
a shard's number it answers from the local replica alone, whatever state that is in.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import grpc
from loopback import HOST, reserve
from own_server import OwnServer
from qdrant_client import grpc as protocol
from qdrant_client.conversions.conversion import GrpcToRest

_SETTLE_SECONDS = 60
_LOOK_SECONDS = 0.1
_MOST_POINTS = 100_000
_UNLIMITED = [("grpc.max_receive_message_length", -1)]

Json = dict[str, Any]
Points = Mapping[str, Json]
"""Point id -> payload and vector."""


class Replica(NamedTuple):
    """One copy of a shard: on which node, counted from 0."""

    shard: int
    node: int


class OwnCluster(AbstractContextManager["OwnCluster"]):
    """Three nodes, each of which may be killed, frozen and started again. The first one is where the others join."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self._held = [reserve(1)[0] for _ in range(size)]
        self._ports = [each.getsockname()[1] for each in self._held]
        self.nodes = [self._node(folder / f"node-{number}", number) for number in range(size)]
        self._stack = ExitStack()

    def _node(self, folder: Path, number: int) -> OwnServer:
        own, first = (f"http://{HOST}:{self._ports[each]}" for each in (number, 0))
        joins = ("--bootstrap", first) if number else ()
        environment = {"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(self._ports[number])}
        return OwnServer(folder, arguments=("--uri", own, *joins), environment=environment)

    def __enter__(self) -> Self:
        """Start, and return when every node knows every other."""
        with ExitStack() as stack:
            for held in self._held:
                stack.callback(held.close)
            for node in self.nodes:
                stack.push(node)
            for node in self.nodes:
                node.start()
            self._until(self._have_met)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave neither a process nor a port behind; the folder is the caller's."""
        self._stack.close()

    def heal(self) -> None:
        """Bring back every node that was killed or stands still."""
        for node in self.nodes:
            if node.is_running:
                node.thaw()
            else:
                node.launch()
        for node in self.nodes:
            node.wait_until_ready()
        self._until(self._have_met)

    # ------------------------------------------------------------------------------------------------------
    # When everything is there again

    def leader(self) -> OwnServer:
        """The node that leads the consensus, as the first one sees it."""
        leader = self._ask(0, "/cluster")["raft_info"]["leader"]
        return self.nodes[self._peers().index(leader)]

    def settle(self, collection: str) -> None:
        """Return when every node sees every replica active, and none on its way from one node to another."""
        self._until(lambda: self._have_met() and self._is_settled(collection))

    def _is_settled(self, collection: str) -> bool:
        return all(
            not shards["shard_transfers"]
            and {each["state"] for each in (*shards["local_shards"], *shards["remote_shards"])} == {"Active"}
            for shards in self._ask_all(f"/collections/{collection}/cluster")
        )

    def _have_met(self) -> bool:
        return all(
            len(seen["peers"]) == len(self.nodes) and seen["raft_info"]["leader"] is not None
            for seen in self._ask_all("/cluster")
        )

    def _peers(self) -> list[int]:
        return [seen["peer_id"] for seen in self._ask_all("/cluster")]

    def _until(self, looks_well: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not looks_well():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cluster was not well after {_SETTLE_SECONDS} seconds, see {self.nodes[0].log}")
            threading.Event().wait(_LOOK_SECONDS)

    def _ask_all(self, path: str) -> Iterator[Any]:
        return (self._ask(node, path) for node in range(len(self.nodes)))

    def _ask(self, node: int, path: str) -> Any:
        with urllib.request.urlopen(f"{self.nodes[node].url}{path}", timeout=30) as answer:  # noqa: S310 -- a loopback URL
            return json.load(answer)["result"]

    # ------------------------------------------------------------------------------------------------------
    # What each node holds

    def replicas(self, collection: str) -> dict[Replica, Points]:
        """Every point of every replica, as the node that holds it has it; those of killed nodes are left out."""
        found = {}
        for node in (number for number, each in enumerate(self.nodes) if each.is_running):
            for shard in self._ask(node, f"/collections/{collection}/cluster")["local_shards"]:
                replica = Replica(shard["shard_id"], node)
                found[replica] = self._held_by(replica, collection)
        return dict(sorted(found.items()))

    def _held_by(self, replica: Replica, collection: str) -> Points:
        asked = protocol.ScrollPoints(collection_name=collection, limit=_MOST_POINTS)
        asked.with_payload.enable = asked.with_vectors.enable = True
        answer = protocol.ScrollResponse.FromString(self._tell(replica, "Scroll", asked))
        assert not answer.HasField("next_page_offset")
        records = map(GrpcToRest.convert_retrieved_point, answer.result)
        return {str(each.id): each.model_dump(include={"payload", "vector"}) for each in records}

    def remove_from(self, replica: Replica, collection: str, points: Iterable[str]) -> None:
        """Delete points from one replica alone, as an outage may."""
        asked = protocol.DeletePoints(collection_name=collection, wait=True)
        for point in points:
            asked.points.points.ids.add(uuid=point)
        self._tell(replica, "Delete", asked)

    def _tell(self, replica: Replica, method: str, public: Any) -> bytes:
        """The internal calls hold the public one as their first field, and the shard as their second."""
        message = bytes(public.SerializeToString())
        internal = b"\x0a" + _varint(len(message)) + message + b"\x10" + _varint(replica.shard)
        with grpc.insecure_channel(f"{HOST}:{self._ports[replica.node]}", _UNLIMITED) as channel:
            answer: bytes = channel.unary_unary(f"/qdrant.PointsInternal/{method}")(internal, timeout=30)
        return answer


def _varint(number: int) -> bytes:
    """A number as the wire format of Protocol Buffers has it."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
