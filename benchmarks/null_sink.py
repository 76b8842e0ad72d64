"""A Qdrant server that takes every point and keeps none, over REST and gRPC: what is left is the cost of the client.

    python benchmarks/null_sink.py      prints its URL; gRPC is on the port after it

Everything but upserts is answered by the wire double of the tests, so that the connector meets a real collection, which
stays empty. `GET /_seen` tells what came: requests, points, bytes, and how many requests were in flight at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parent.parent / "integration_tests"))  # the test folders are no packages

import kept
from loopback import HOST, reserve
from qdrant_client import grpc as messages
from wire_double import Answer, WireDouble
from wire_grpc import GrpcCalls
from wire_requests import Request

_UPSERT = "/qdrant.Points/Upsert"
_THREADS = 32
_UNLIMITED = [("grpc.max_receive_message_length", -1)]
_COMPLETED = messages.PointsOperationResponse(
    result=messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)
).SerializeToString()
#: A field that each point of the connector has once.
_ONCE = b'"_ab_run_id"'


class Tally:
    """What came in; each upsert takes `latency` seconds, and is answered after `release` where it is `held`."""

    def __init__(self, latency: float, *, held: bool, keep: str | None = None) -> None:
        self._latency = latency
        self._kept = Path(keep).open("ab") if keep else None  # noqa: SIM115 -- open until the process is killed
        self._released = threading.Event()
        if not held:
            self._released.set()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._seen = {"requests": 0, "points": 0, "bytes": 0, "most_in_flight": 0}

    def take(self, body: bytes, once: bytes) -> None:
        """One upsert, whose points hold `once` once each."""
        with self._lock:
            self._in_flight += 1
            self._seen["most_in_flight"] = max(self._seen["most_in_flight"], self._in_flight)
        self._released.wait()
        if self._latency:
            time.sleep(self._latency)
        points = body.count(once)
        with self._lock:
            self._in_flight -= 1
            self._seen["requests"] += 1
            self._seen["points"] += points
            self._seen["bytes"] += len(body)
            if self._kept is not None:
                kept.keep(self._kept, body)

    def release(self) -> None:
        """Answer everything from now on."""
        self._released.set()

    def seen(self) -> bytes:
        """The numbers, as JSON."""
        with self._lock:
            return json.dumps(self._seen).encode()


class Rest(WireDouble):
    """The double over REST, without its log, and without points."""

    def __init__(self, port: int, tally: Tally) -> None:
        super().__init__(port)
        self._tally = tally
        self._completed = Answer.of({"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.0})

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Take upserts, tell what was seen, and leave the rest to the double."""
        if target in ("/_seen", "/_release"):
            if target == "/_release":
                self._tally.release()
            return Answer(200, self._tally.seen())
        if method == "PUT" and target.partition("?")[0].endswith("/points"):
            self._tally.take(body, _ONCE)
            return self._completed
        return super().receive(method, target, headers, body)

    def answer(self, request: Request) -> Answer | None:
        """The answer to anything else."""
        return self._respond(request)

    _answer = answer


class Upserts(grpc.GenericRpcHandler):
    """Takes upserts over gRPC as the bytes they are."""

    def __init__(self, tally: Tally) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(lambda body, _: self._take(body))
        self._tally = tally

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """What grpcio asks for."""
        return self._handler if handler_call_details.method == _UPSERT else None

    def _take(self, body: bytes) -> bytes:
        self._tally.take(body, b"_ab_run_id")
        return _COMPLETED


def serve(tally: Tally) -> None:
    """Serve until killed."""
    held = reserve(2)
    port = held[0].getsockname()[1]
    rest = Rest(port, tally)
    calls: list[Any] = [Upserts(tally), GrpcCalls(rest.answer, lambda _: None)]
    over_grpc = grpc.server(ThreadPoolExecutor(_THREADS), handlers=calls, options=_UNLIMITED)
    for each in held:
        each.close()
    over_grpc.add_insecure_port(f"{HOST}:{port + 1}")
    over_grpc.start()
    with rest:
        sys.stdout.write(f"{rest.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each upsert takes")
    parser.add_argument("--held", action="store_true", help="answer no upsert before GET /_release")
    parser.add_argument("--keep", metavar="FILE", help="add every upsert to this file, after its length")
    options = parser.parse_args()
    serve(Tally(options.latency, held=options.held, keep=options.keep))


if __name__ == "__main__":
    main()
