"""What a Qdrant server asks to embed texts for it: a real HTTP server in the dialect of Qdrant's setting inference.address.

    with InferenceServer(InferenceService()) as server:
        servers.own(folder, lack, calls_back=True, environment={"QDRANT__INFERENCE__ADDRESS": server.url})

The dialect is that of `src/common/inference/service.rs` of Qdrant 1.18. The wire double asks the service itself.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from loopback import HOST

Json = dict[str, Any]

#: A model for dense vectors, one whose name the connector knows, and one for sparse ones.
SMALL, MINI, WORDS = "test/small", "sentence-transformers/all-minilm-l6-v2", "test/words"
_DIMENSIONS: Mapping[str, int] = {SMALL: 4, MINI: 384}


def vector_of(text: str, dimensions: int) -> list[float]:
    """Whole numbers from 1 to 256, which a 32-bit float holds exactly."""
    return [float(byte + 1) for byte in hashlib.shake_256(text.encode()).digest(dimensions)]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP."""

    status: int
    content: Json
    headers: Mapping[str, str] = field(default_factory=dict)


class InferenceService:
    """Answers requests; keeps what they were, and the keys of other providers that came with them.

    `refused` is a word: a text with it in it is refused, and the request with it.
    """

    def __init__(self, *, refused: str = "") -> None:
        self.seen: list[Json] = []
        self.keys: list[Json] = []
        self._refused = refused
        self._failures: list[Reply] = []
        self._lock = threading.Lock()

    @property
    def sizes(self) -> list[int]:
        """How many texts each request had."""
        return [len(body["inputs"]) for body in self.seen]

    def fail(self, status: int, headers: Mapping[str, str] | None = None, *, times: int = 1) -> None:
        """What is said to the next requests, whatever they are."""
        self._failures += [Reply(status, {"error": "quoting ada@example.org"}, headers or {})] * times

    def answer(self, body: Json, headers: Mapping[str, str]) -> Reply:
        """What it says to one request; of its headers a server hands on what ends like a key of another provider."""
        with self._lock:
            self.seen.append(body)
            self.keys.append({name: value for name, value in headers.items() if name.lower().endswith("-api-key")})
            if self._failures:
                return self._failures.pop(0)
        inputs: Sequence[Json] = body["inputs"]
        for each in inputs:
            if each["model"] not in {*_DIMENSIONS, WORDS} or (self._refused and self._refused in each["data"]):
                return Reply(400, {"error": f"cannot embed {each['data']} with {each['model']}"})
        return Reply(200, {"embeddings": [_embedded(each["data"], each["model"]) for each in inputs], "usage": None})


def _embedded(text: str, model: str) -> Any:
    if model == WORDS:
        return {"indices": [len(text)], "values": [1.0]}
    return vector_of(text, _DIMENSIONS[model])


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = cast("_Server", self.server).service.answer(body, dict(self.headers))
        content = json.dumps(reply.content).encode()
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: `InferenceService.seen` has it all."""


class _Server(ThreadingHTTPServer):
    service: InferenceService


class InferenceServer:
    """A context manager; `service` may be exchanged at any time."""

    def __init__(self, service: InferenceService) -> None:
        self._server = _Server((HOST, 0), _Handler)
        self._server.service = service

    @property
    def service(self) -> InferenceService:
        return self._server.service

    @service.setter
    def service(self, service: InferenceService) -> None:
        self._server.service = service

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/embed"

    def __enter__(self) -> Self:
        """Start."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, for good."""
        self._server.shutdown()
        self._server.server_close()
