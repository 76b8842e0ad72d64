"""A Qdrant server for tests, as far as the wire shows it: REST in front of qdrant-client's in-memory engine.

    with WireDouble() as double:
        client = QdrantClient(url=double.url)

What it refuses, and how, is in `wire_collections`. `double.fail(...)` makes chosen requests go wrong, `double.log`
tells what arrived. A double in another process (`python wire_double.py --port 0` prints its URL) does the same over
`POST /_control` and `GET /_control/log`.

Not modelled: server-side embedding (answered as by a server without an inference service), snapshots, clusters,
rate limiters (use a fault), indexing (only which fields are indexed, and as what).
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
from typing import Any, Literal, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parent))  # however this file is loaded: the test folders are no packages

from wire_collections import NOT_JSON, WRONG, Collections, Json, RefusalError, Request

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


def _writing(kind: str) -> Callable[[Collections, Request, str], Json]:
    return lambda collections, request, name: collections.write(request, name, kind)


_ONE = r"/collections/([^/]+)"
_ROUTES: Sequence[tuple[str, str, Callable[..., Any]]] = (
    ("GET", "/collections", Collections.list_all),
    ("POST", "/collections/aliases", Collections.change_aliases),
    ("GET", "/aliases", Collections.aliases),
    ("GET", f"{_ONE}/aliases", Collections.aliases),
    ("GET", f"{_ONE}/exists", Collections.exists),
    ("GET", _ONE, Collections.info),
    ("PUT", _ONE, Collections.create),
    ("PATCH", _ONE, Collections.update),
    ("DELETE", _ONE, Collections.delete_collection),
    ("PUT", f"{_ONE}/index", Collections.create_index),
    ("DELETE", f"{_ONE}/index/([^/]+)", Collections.delete_index),
    ("POST", f"{_ONE}/points/scroll", Collections.scroll),
    ("POST", f"{_ONE}/points/count", Collections.count),
    ("POST", f"{_ONE}/points/query", Collections.query),
    ("POST", f"{_ONE}/points/query/batch", Collections.query_batch),
    ("POST", f"{_ONE}/points", Collections.retrieve),
    ("GET", f"{_ONE}/points/([^/]+)", Collections.get_point),
    ("PUT", f"{_ONE}/points", _writing("upsert")),
    ("POST", f"{_ONE}/points/delete", _writing("delete")),
    ("POST", f"{_ONE}/points/payload", _writing("set_payload")),
    ("PUT", f"{_ONE}/points/payload", _writing("overwrite_payload")),
    ("POST", f"{_ONE}/points/payload/delete", _writing("delete_payload")),
    ("POST", f"{_ONE}/points/payload/clear", _writing("clear_payload")),
    ("PUT", f"{_ONE}/points/vectors", _writing("update_vectors")),
    ("POST", f"{_ONE}/points/vectors/delete", _writing("delete_vectors")),
    ("POST", f"{_ONE}/points/batch", Collections.batch),
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
    """The double: a context manager; `stop` and `start` again keep the port and what is stored."""

    def __init__(
        self,
        port: int = 0,
        *,
        version: str = "1.18.3",
        api_key: str | None = None,
        strict: Json | None = None,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self.version = version
        self.collections = Collections(strict)
        self._port = port
        self._api_key = api_key
        self._body_limit = body_limit
        self._engine_lock = threading.Lock()
        self._seen = threading.Condition()
        self._log: list[Request] = []
        self._faults: list[Fault] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> list[Request]:
        """The requests so far, in the order of their arrival (those to `/_control` are not among them)."""
        with self._seen:
            return list(self._log)

    def start(self) -> None:
        self._server = _Server(self._port, self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
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
        """Answer one request; None hangs up."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path.startswith("/_control"):
            return self._control(method, parts.path, query, body)
        key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ") or None
        content, problem = self._read(headers, body)
        request = Request(method, parts.path, query, content, key, problem)
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
        if self._api_key is not None and request.key != self._api_key:
            text = (
                "Invalid API key or JWT" if request.key else "Must provide an API key or an Authorization bearer token"
            )
            return Answer(401, text.encode(), {"Content-Type": "text/plain"})
        try:
            if request.problem is not None:
                raise request.problem
            result = self._route(request)
        except RefusalError as refusal:
            return Answer.refusal(refusal.status, refusal.text)
        if update_status is not None:
            for each in result if isinstance(result, list) else [result]:
                each["status"] = update_status
        return Answer.of({"result": result, "status": "ok", "time": 0.0})

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

    def _route(self, request: Request) -> Any:
        for method, pattern, route in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return self._run(route, request, [unquote(group) for group in found.groups()])
        raise RefusalError(404, "")

    def _run(self, route: Callable[..., Any], request: Request, names: Sequence[str]) -> Any:
        try:
            with self._engine_lock:
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
            rows = [{"method": r.method, "path": r.path, "query": r.query, "body": r.body} for r in seen]
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
    parser = argparse.ArgumentParser(description="A REST wire double of a Qdrant server, on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--version", default="1.18.3")
    parser.add_argument("--api-key")
    parser.add_argument("--strict", type=orjson.loads, help="strict_mode_config of new collections, as JSON")
    chosen = parser.parse_args(arguments)
    with WireDouble(chosen.port, version=chosen.version, api_key=chosen.api_key, strict=chosen.strict) as double:
        sys.stdout.write(f"{double.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
