"""A Qdrant server for tests, as far as the wire shows it: REST and gRPC before qdrant-client's in-memory engine.

    with WireDouble(grpc=True) as double:
        client = QdrantClient(url=double.url, grpc_port=double.grpc_port, prefer_grpc=True)

What it refuses, and how, is in `wire_collections` (strict mode in `wire_strict` and `wire_rates`), what keys may do in
`wire_rights`, what it embeds in `wire_inference`, what older servers do not know in `wire_versions`. gRPC (`wire_grpc`)
is another way to the same requests: a fault for "PUT /collections/docs/points" hits both.

`double.fail(...)` makes chosen requests go wrong, `double.log` tells what arrived. A double in another process
(`python wire_double.py --port 0` prints its URL) does the same over `POST /_control` and `GET /_control/log`.

Not modelled: snapshots, more than one node (see `own_cluster`), which points a shard key holds, indexing (only which
fields are indexed, and as what), vectors that are no numbers (a server takes them over gRPC, the engine does not).
"""

from __future__ import annotations

import argparse
import gzip
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))  # however this file is loaded: the test folders are no packages

from inference_server import InferenceService
from loopback import reserve
from wire_collections import Collections
from wire_requests import NOT_JSON, WRONG, Json, RefusalError, Request, key_in
from wire_rights import Access, Need, access_of, check_rights, visible
from wire_versions import as_answered, as_known

if TYPE_CHECKING:
    from wire_grpc import GrpcServer

Status = Literal["completed", "acknowledged", "wait_timeout"]

BODY_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, ready to be sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        body = orjson.dumps(content, default=lambda model: model.model_dump(exclude_none=True))
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def refusal(cls, status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
        return cls.of({"status": {"error": text}, "time": 0.0}, status, headers)


@dataclass(slots=True)
class Fault:
    """What happens to the requests that match `pattern`, after the first `skip` of them, `times` times.

    `applied` lets the request take effect before anything else happens. Then `hold` waits for `release()`, `close`
    cuts the connection without an answer, `status` answers with `body` (text becomes the server's error envelope
    unless a content type is given). A held request without either is answered as usual; it takes effect then, also
    when its client has gone meanwhile.
    `update_status` only replaces the word in the answer of a write.
    """

    pattern: str
    times: int = 1
    skip: int = 0
    applied: bool = False
    hold: bool = False
    close: bool = False
    status: int | None = None
    body: str | Json = "injected"
    headers: Mapping[str, str] = field(default_factory=dict)
    update_status: Status | None = None
    reached_at: float | None = field(default=None, init=False)
    """When the first request met this fault, on the monotonic clock."""
    _reached: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def release(self) -> None:
        """Let held requests go on."""
        self._released.set()

    @property
    def is_reached(self) -> bool:
        """Whether a request has met this fault."""
        return self._reached.is_set()

    def wait_until_reached(self, timeout: float = 30) -> None:
        """Return when a request has met this fault (and, with `applied`, has taken effect)."""
        if not self._reached.wait(timeout):
            raise TimeoutError(f"no request like {self.pattern!r} came")

    def wait_until_over(self, timeout: float = 30) -> None:
        """Return when a request has met this fault and is ready to be answered: what it does, it has done."""
        if not self._over.wait(timeout):
            raise TimeoutError(f"no request like {self.pattern!r} came to its end")

    def due(self, request: Request) -> bool:
        """Count a matching request; whether this fault hits it."""
        if self.times < 1 or not request.is_like(self.pattern):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    def play(self, apply: Callable[[], Answer]) -> Answer | None:
        """The answer to a hit request; None cuts the connection."""
        try:
            return self._play(apply)
        finally:
            self._over.set()

    def _play(self, apply: Callable[[], Answer]) -> Answer | None:
        answer = apply() if self.applied else None
        if self.reached_at is None:
            self.reached_at = time.monotonic()
        self._reached.set()
        if self.hold:
            self._released.wait()
        if self.close:
            return None
        if self.status is not None:
            return self._answer(self.status)
        return answer or apply()

    def _answer(self, status: int) -> Answer:
        if isinstance(self.body, dict):
            return Answer.of(self.body, status, self.headers)
        if any(name.lower() == "content-type" for name in self.headers):
            return Answer(status, self.body.encode(), self.headers)
        return Answer.refusal(status, self.body, self.headers)


def _check_query(request: Request) -> None:
    """Refuse what a server cannot read of the query."""
    why = "Deserialize error in query parameters: "
    if request.query.get("wait", "true") not in {"true", "false"}:
        raise RefusalError(400, f"{why}provided string was not `true` or `false`")
    if (ordering := request.query.get("ordering", "weak")) not in {"weak", "medium", "strong"}:
        raise RefusalError(400, f"{why}unknown variant `{ordering}`, expected one of `weak`, `medium`, `strong`")


def _writing(kind: str) -> Callable[[Collections, Request, str], Json]:
    return lambda collections, request, name: collections.write(request, name, kind)


_ONE = r"/collections/([^/]+)"
_ROUTES: Sequence[tuple[str, str, Need, Callable[..., Any]]] = (
    ("GET", "/collections", "any", Collections.list_all),
    ("POST", "/collections/aliases", "manage", Collections.change_aliases),
    ("GET", "/aliases", "any", Collections.aliases),
    ("GET", f"{_ONE}/aliases", "read", Collections.aliases),
    ("GET", f"{_ONE}/exists", "read", Collections.exists),
    ("GET", _ONE, "read", Collections.info),
    ("PUT", _ONE, "manage", Collections.create),
    ("PATCH", _ONE, "manage", Collections.update),
    ("DELETE", _ONE, "manage", Collections.delete_collection),
    ("PUT", f"{_ONE}/shards", "manage", Collections.create_shard_key),
    ("PUT", f"{_ONE}/index", "write", Collections.create_index),
    ("DELETE", f"{_ONE}/index/([^/]+)", "write", Collections.delete_index),
    ("POST", f"{_ONE}/points/scroll", "read", Collections.scroll),
    ("POST", f"{_ONE}/points/count", "read", Collections.count),
    ("POST", f"{_ONE}/points/query", "read", Collections.query),
    ("POST", f"{_ONE}/points/query/batch", "read", Collections.query_batch),
    ("POST", f"{_ONE}/points", "read", Collections.retrieve),
    ("GET", f"{_ONE}/points/([^/]+)", "read", Collections.get_point),
    ("PUT", f"{_ONE}/points", "points", _writing("upsert")),
    ("POST", f"{_ONE}/points/delete", "points", _writing("delete")),
    ("POST", f"{_ONE}/points/payload", "points", _writing("set_payload")),
    ("PUT", f"{_ONE}/points/payload", "points", _writing("overwrite_payload")),
    ("POST", f"{_ONE}/points/payload/delete", "points", _writing("delete_payload")),
    ("POST", f"{_ONE}/points/payload/clear", "points", _writing("clear_payload")),
    ("PUT", f"{_ONE}/points/vectors", "points", _writing("update_vectors")),
    ("POST", f"{_ONE}/points/vectors/delete", "points", _writing("delete_vectors")),
    ("POST", f"{_ONE}/points/batch", "points", Collections.batch),
)


# ------------------------------------------------------------------------------------------------------------
# The server.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one segment

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        double = cast("_Server", self.server).double
        answer = double.receive(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 -- the base class looks these names up

    def log_message(self, *_: Any) -> None:
        """Keep quiet: `WireDouble.log` has it all."""


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that a stopped server does not go on answering on the kept ones."""

    def __init__(self, port: int, double: WireDouble) -> None:
        self.double = double
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no news
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # its thread was faster
                continue


class WireDouble:
    """The double: a context manager; `stop` and `start` again keep the ports and what is stored.

    Args:
        port: 0 takes a free one.
        version: decides which fields and routes are known.
        grpc: serve gRPC on the port after it as well.
        api_key: may do everything. Without one, and without `keys`, no key is asked for.
        keys: other keys, and what each may do.
        strict: strict mode of new collections.
        body_limit: bytes of a REST body.
        clock: what the rate limits of strict mode go by.
        distributed: as the only node of a cluster, where shard keys can be created.
        inference: what embeds texts (`wire_inference`); without one it is a server that cannot.
    """

    def __init__(  # noqa: PLR0913 -- what a server can be configured to be
        self,
        port: int = 0,
        *,
        version: str = "1.18.3",
        grpc: bool = False,
        api_key: str | None = None,
        keys: Mapping[str, Access] | None = None,
        strict: Json | None = None,
        body_limit: int = BODY_LIMIT,
        clock: Callable[[], float] = time.monotonic,
        distributed: bool = False,
        inference: InferenceService | None = None,
    ) -> None:
        self.version = version
        self.collections = Collections(strict, clock=clock, distributed=distributed, inference=inference)
        self._held = reserve(2) if grpc and not port else []
        self._port = self._held[0].getsockname()[1] if self._held else port
        self._serves_grpc = grpc
        self._keys: Mapping[str, Access] = {**({api_key: "m"} if api_key is not None else {}), **(keys or {})}
        self._body_limit = body_limit
        self._engine_lock = threading.Lock()
        self._seen = threading.Condition()
        self._log: list[Request] = []
        self._faults: list[Fault] = []
        self._server: _Server | None = None
        self._grpc_server: GrpcServer | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, for good."""
        self.stop()
        for each in self._held:
            each.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def grpc_port(self) -> int:
        """Where the connector looks for it beside a port that is not Qdrant's usual one."""
        return self._port + 1

    @property
    def log(self) -> list[Request]:
        """The requests so far, in the order of their arrival (those to `/_control` are not among them)."""
        with self._seen:
            return list(self._log)

    def start(self) -> None:
        self._server = _Server(self._port, self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        if self._serves_grpc:
            from wire_grpc import GrpcServer

            self._grpc_server = GrpcServer(self.grpc_port, self._answer)

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        if self._grpc_server is not None:
            self._grpc_server.stop()
            self._grpc_server = None
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self.heal()
            self._server = None

    def fail(self, pattern: str, **options: Any) -> Fault:
        """Arrange a fault for requests whose "METHOD /path" holds the regular expression; options as of `Fault`."""
        fault = Fault(pattern, **options)
        with self._seen:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all faults and release what they hold."""
        with self._seen:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()

    def wait_for(self, pattern: str, count: int = 1, timeout: float = 30) -> list[Request]:
        """The requests like `pattern`, as soon as there are `count` of them."""
        with self._seen:
            if not self._seen.wait_for(lambda: len(self._like(pattern)) >= count, timeout):
                raise TimeoutError(f"fewer than {count} requests like {pattern!r} came")
            return self._like(pattern)

    def _like(self, pattern: str) -> list[Request]:
        return [request for request in self._log if request.is_like(pattern)]

    def receive(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer one request over REST; None hangs up."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path.startswith("/_control"):
            return self._control(method, parts.path, query, body)
        content, problem = self._read(headers, body)
        return self._answer(Request(method, parts.path, query, content, key_in(headers), problem, "rest", headers))

    def _answer(self, request: Request) -> Answer | None:
        with self._seen:
            self._log.append(request)
            fault = next((fault for fault in self._faults if fault.due(request)), None)
            self._seen.notify_all()
        if fault is None:
            return self._respond(request)
        return fault.play(lambda: self._respond(request, fault.update_status))

    def _read(self, headers: Mapping[str, str], body: bytes) -> tuple[Any, RefusalError | None]:
        limit = self._body_limit
        if len(body) > limit:
            text = f"JSON payload ({len(body)} bytes) is larger than allowed (limit: {limit} bytes)."
            return None, RefusalError(400, text)
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if len(body) > limit:
            return None, RefusalError(400, f"JSON payload has exceeded limit ({limit} bytes).")
        try:
            return (orjson.loads(body) if body else None), None
        except orjson.JSONDecodeError as error:
            return None, RefusalError(400, NOT_JSON + str(error))

    def _respond(self, request: Request, update_status: Status | None = None) -> Answer:
        open_to_all = self._open_to_all(request)
        if open_to_all is not None:
            return open_to_all
        try:
            result = self._route(request, self._access(request))
        except RefusalError as refusal:
            if refusal.plain:
                return Answer(refusal.status, refusal.text.encode(), {"Content-Type": "text/plain", **refusal.headers})
            return Answer.refusal(refusal.status, refusal.text, refusal.headers)
        if update_status is not None:
            for each in result if isinstance(result, list) else [result]:
                each["status"] = update_status
        return Answer.of({"result": result, "status": "ok", "time": 0.0})

    def _access(self, request: Request) -> Access:
        return access_of(request.key, self._keys) if self._keys else "m"

    def _open_to_all(self, request: Request) -> Answer | None:
        """What a server answers without asking for a key."""
        texts = {
            "/healthz": "healthz check passed",
            "/livez": "healthz check passed",
            "/readyz": "all shards are ready",
        }
        if request.path == "/":
            return Answer.of({"title": "qdrant - vector search engine", "version": self.version, "commit": "0"})
        if request.path in texts:
            return Answer(200, texts[request.path].encode(), {"Content-Type": "text/plain"})
        return None

    def _route(self, request: Request, access: Access) -> Any:
        for method, pattern, need, route in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                known = as_known(request, self.version)
                _check_query(known)
                if request.problem is not None:  # what cannot be read is refused before a right is missed
                    raise request.problem
                names = [unquote(group) for group in found.groups()]
                result = self._run(known, access, need, route, names)
                return as_answered(visible(result, access) if isinstance(result, dict) else result, self.version)
        raise RefusalError(404, "", plain=True)

    def _run(
        self, request: Request, access: Access, need: Need, route: Callable[..., Any], names: Sequence[str]
    ) -> Any:
        name = names[0] if names else None
        try:
            with self._engine_lock:
                check_rights(access, need, name, exists=name is not None and self.collections.has(name))
                return route(self.collections, request, *names)
        except ValidationError as error:
            raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum") from error
        except (ValueError, KeyError, TypeError) as error:  # the engine's own checks, and bodies of another shape
            raise RefusalError(400, WRONG + str(error).removeprefix(WRONG)) from error

    def _control(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        """`GET /_control/log[?match=…&count=…&timeout=…]`; `POST /_control` {"faults": […], "heal", "version"}."""
        if (method, path) == ("GET", "/_control/log"):
            try:
                seen = self.wait_for(
                    query.get("match", ""), int(query.get("count", 0)), float(query.get("timeout", 30))
                )
            except TimeoutError as error:
                return Answer.refusal(408, str(error))
            rows = [
                {"method": r.method, "path": r.path, "query": r.query, "body": r.body, "transport": r.transport}
                for r in seen
            ]
            return Answer.of({"requests": rows})
        order = orjson.loads(body)
        if order.get("heal"):
            self.heal()
        for fault in order.get("faults", []):
            self.fail(**fault)
        self.version = order.get("version", self.version)
        return Answer.of({})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A wire double of a Qdrant server, on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--grpc", action="store_true", help="serve gRPC on the port after it as well")
    parser.add_argument("--version", default="1.18.3")
    parser.add_argument("--api-key")
    parser.add_argument("--keys", type=orjson.loads, help='other keys: {"KEY": "r" or {"COLLECTION": "rw"}}, as JSON')
    parser.add_argument("--strict", type=orjson.loads, help="strict_mode_config of new collections, as JSON")
    parser.add_argument("--distributed", action="store_true", help="be a cluster of one node")
    with WireDouble(**vars(parser.parse_args(arguments))) as double:
        sys.stdout.write(f"{double.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
