"""In front of a real server: requests that fail as those to the wire double do, over REST and over gRPC.

    with RestRelay("http://127.0.0.1:6333") as relay:
        relay.fail("PUT /collections/[^/]+/points", status=503)

`fail`, `heal` and `log` are the double's. Over gRPC a request reads "GRPC /qdrant.Points/Upsert", and an
HTTP status stands for the code that Qdrant gives in its place.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Self
from urllib.parse import urlencode, urlsplit

import grpc
import orjson
from loopback import HOST
from qdrant_client import grpc as protocol
from wire_collections import Request
from wire_double import Answer, Fault, Status, WireDouble

_SECONDS = 60
_LARGEST_BODY = 64 * 1024 * 1024


class RestRelay(WireDouble):
    """A double whose answers are a real server's. A server that does not answer costs the connection."""

    def __init__(self, server_url: str) -> None:
        super().__init__(body_limit=_LARGEST_BODY)  # the server has its own
        self._server_address = urlsplit(server_url).netloc

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        try:
            return super().receive(method, target, headers, body)
        except (OSError, http.client.HTTPException):
            return None

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        if request.problem is not None:
            return Answer.refusal(request.problem.status, request.problem.text)
        connection = http.client.HTTPConnection(self._server_address, timeout=_SECONDS)
        try:
            body = None if request.body is None else orjson.dumps(request.body)
            path = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
            headers = {"Content-Type": "application/json"} | ({"api-key": request.key} if request.key else {})
            connection.request(request.method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if update_status is not None:
            said = orjson.loads(content)
            said["result"]["status"] = update_status
            content = orjson.dumps(said)
        return Answer(answer.status, content, {"Content-Type": answer.headers["Content-Type"] or "text/plain"})


# ----------------------------------------------------------------------------------------------------------

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_UPDATE_STATUSES = {
    "acknowledged": protocol.UpdateStatus.Acknowledged,
    "completed": protocol.UpdateStatus.Completed,
    "wait_timeout": protocol.UpdateStatus.WaitTimeout,
}
_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class GrpcRelay(grpc.GenericRpcHandler, AbstractContextManager["GrpcRelay"]):
    """Passes calls on as the bytes they are.

    It cannot cut a connection, so `hang_up` is told to: that of a `FaultProxy` which stands before it.
    """

    def __init__(self, server_port: int, host: str = HOST) -> None:
        self.hang_up: Callable[[], None] = lambda: None
        self._seen = threading.Condition()
        self._log: list[Request] = []
        self._faults: list[Fault] = []
        self._channel = grpc.insecure_channel(f"{host}:{server_port}", _UNLIMITED)
        self._server = grpc.server(ThreadPoolExecutor(16), handlers=[self], options=_UNLIMITED)
        self.port: int = self._server.add_insecure_port(f"{HOST}:0")

    def __enter__(self) -> Self:
        """Take calls."""
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what is held, and stop."""
        self.heal()
        self._server.stop(None).wait()
        self._channel.close()

    # -- what the double has as well -----------------------------------------------------------------------

    @property
    def log(self) -> list[Request]:
        with self._seen:
            return list(self._log)

    def fail(self, pattern: str, **options: Any) -> Fault:
        fault = Fault(pattern, **options)
        with self._seen:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        with self._seen:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    # -- how calls pass ------------------------------------------------------------------------------------

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Any method at all, of which Qdrant's are all of one message for one message."""
        method: str = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(lambda message, context: self._serve(method, message, context))

    def _serve(self, method: str, message: bytes, context: grpc.ServicerContext) -> bytes:
        request = Request("GRPC", method, {}, None)
        with self._seen:
            self._log.append(request)
            fault = next((fault for fault in self._faults if fault.due(request)), None)
            self._seen.notify_all()
        if fault is None:
            return self._pass(method, message, context).body
        answer = fault.play(lambda: self._pass(method, message, context))
        if answer is None:
            self.hang_up()
            context.abort(grpc.StatusCode.CANCELLED, "nobody hears this")
            raise AssertionError  # abort has raised
        if answer.status in _CODES:
            _refuse(answer, context)
        return _with_status(answer.body, fault.update_status) if fault.update_status else answer.body

    def _pass(self, method: str, message: bytes, context: grpc.ServicerContext) -> Answer:
        metadata = [(key, value) for key, value in context.invocation_metadata() if key == "api-key"]
        try:
            return Answer(200, self._channel.unary_unary(method)(message, timeout=_SECONDS, metadata=metadata))
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())
            raise AssertionError from error  # abort has raised


def _refuse(answer: Answer, context: grpc.ServicerContext) -> NoReturn:
    seconds = {name.lower(): value for name, value in answer.headers.items()}.get("retry-after")
    if seconds is not None:
        context.set_trailing_metadata([("retry-after", seconds)])
    context.abort(_CODES[answer.status], orjson.loads(answer.body)["status"]["error"])
    raise AssertionError  # abort has raised


def _with_status(body: bytes, status: Status) -> bytes:
    answer = protocol.PointsOperationResponse.FromString(body)
    answer.result.status = _UPDATE_STATUSES[status]
    return bytes(answer.SerializeToString())
