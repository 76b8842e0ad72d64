"""A provider of embeddings for tests: a real HTTP server that speaks OpenAI's, Azure's and Cohere's interface.

    with ProviderServer(dimensions=8, limits=[texts(2)]) as server:
        server.script(no_quota, times=1)
        server.hold(8)                      # answers wait until eight requests are in flight
        ...
        server.seen, server.most_in_flight

Equal texts get equal vectors (`provider_answers.vector`). What it takes is in `provider_limits`, what else it can say in
`provider_answers`. In another process (`python provider_server.py --latency 0.15` prints its URL) `GET /_control` tells
what it has seen.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast

sys.path.insert(0, str(Path(__file__).parent))  # however this file is loaded: the test folders are no packages

from loopback import HOST
from provider_answers import Asked, Dialect, Json, Odd, Reply, answer, bad_key, json_reply, refusal, rows
from provider_limits import Limit, RateLimit, count_tokens

_ROUTES: Mapping[Dialect, str] = {
    "azure": r"/openai/deployments/[^/]+/embeddings\?api-version=.+",
    "openai": r"(/[^?]*)?/embeddings",
    "cohere": r"(/[^?]*)?/v2/embed",
}
_KEYS = frozenset({"authorization", "api-key"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, in the order of arrival, and the status of its answer (0: still to come)."""

    asked: Asked
    status: int = 0


@dataclass(slots=True)
class Rule:
    """What is said in place of a good answer, after the first `skip` of the requests, `times` times."""

    odd: Odd
    times: int | None
    skip: int

    def is_due(self) -> bool:
        if self.skip:
            self.skip -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class Gate:
    """Holds requests until `until` of them are there, `waves` times; then all may pass.

    The wait has an end only so that a test that fails does so soon; `is_broken` tells.
    """

    def __init__(self, until: int, waves: int, skip: int, patience: float) -> None:
        self._changed = threading.Condition()
        self._until = until
        self._waves_left = waves
        self._skip = skip
        self._patience = patience
        self._held = 0
        self._wave = 0
        self.is_broken = False

    def release(self) -> None:
        """Let everything pass from now on."""
        with self._changed:
            self._open_for_good()

    def pass_through(self) -> None:
        with self._changed:
            if self._skip:
                self._skip -= 1
                return
            if not self._waves_left:
                return
            self._held += 1
            wave = self._wave
            if self._held == self._until:
                self._next_wave()
            elif not self._changed.wait_for(lambda: self._wave != wave, self._patience):
                self.is_broken = True
                self._open_for_good()

    def _next_wave(self) -> None:
        self._held = 0
        self._wave += 1
        self._waves_left -= 1
        self._changed.notify_all()

    def _open_for_good(self) -> None:
        self._waves_left = 1
        self._next_wave()


# ------------------------------------------------------------------------------------------------------------
# HTTP


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one segment

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        provider = cast("_Server", self.server).provider
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(provider.receive(self.command, self.path, headers, body))

    do_GET = do_POST = _serve  # noqa: N815 -- the base class looks these names up

    def _send(self, reply: Reply) -> None:
        self.close_connection = self.close_connection or reply.cut is not None
        if reply.cut is not None and reply.cut < 0:
            return
        if reply.endless:
            self._send_without_end(reply)
            return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.drip:
            self._drip(reply)
        else:
            self.wfile.write(reply.body[: reply.cut])

    def _send_without_end(self, reply: Reply) -> None:
        self.close_connection = True
        self.wfile.write(reply.body)
        self.wfile.flush()
        while not cast("_Server", self.server).stopping.wait(reply.drip):
            self.wfile.write(reply.endless)
            self.wfile.flush()

    def _drip(self, reply: Reply) -> None:
        stopping = cast("_Server", self.server).stopping
        for each in reply.body:
            self.wfile.write(bytes([each]))
            self.wfile.flush()
            if stopping.wait(reply.drip):
                return

    def log_message(self, *_: Any) -> None:
        """Keep quiet: `ProviderServer.seen` has it all."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # all that a client may have in flight connect at once

    def __init__(self, port: int, provider: ProviderServer) -> None:
        self.provider = provider
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

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
        self.stopping.set()
        for connection in list(self._open):
            with suppress(OSError):  # its thread was faster
                connection.shutdown(socket.SHUT_RDWR)


# ------------------------------------------------------------------------------------------------------------
# The provider


class ProviderServer:
    """A context manager.

    Args:
        dimensions: length of the vectors, where none is asked for.
        limits: of a single request.
        rate: of all of them.
        latency: seconds that each good answer takes; for benchmarks only.
        key: what other keys are refused for; empty for none.
        only_under: the beginning that a path must have, such as `/v1`.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        *,
        dimensions: int = 8,
        limits: Sequence[Limit] = (),
        rate: RateLimit | None = None,
        latency: float = 0.0,
        key: str = "",
        only_under: str = "",
        port: int = 0,
    ) -> None:
        self.dimensions = dimensions
        self._limits = limits
        self._rate = rate
        self._latency = latency
        self._key = key
        self._only_under = only_under
        self._port = port
        self._changed = threading.Condition()
        self._rules: list[Rule] = []
        self._gate: Gate | None = None
        self._seen: list[Seen] = []
        self._in_flight = 0
        self._most_in_flight = 0
        self._first_at: float | None = None
        self._last_at: float | None = None
        self.lost: list[str] = []
        """Requests that reached no route."""

    def __enter__(self) -> Self:
        """Start."""
        self._server = _Server(self._port, self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and cut the connections that are open."""
        if self._gate:
            self._gate.release()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def script(self, odd: Odd, *, times: int | None = None, skip: int = 0) -> Self:
        """Say this in place of good answers: always, or so many times, after so many requests."""
        with self._changed:
            self._rules.append(Rule(odd, times, skip))
        return self

    def hold(self, until: int, *, waves: int = 1, skip: int = 0, patience: float = 20) -> Gate:
        """Hold answers until so many requests are in flight, so many times."""
        self._gate = Gate(until, waves, skip, patience)
        return self._gate

    # -- what has happened ---------------------------------------------------------------------------------

    @property
    def seen(self) -> list[Seen]:
        """The requests for embeddings, in the order of their arrival."""
        with self._changed:
            return list(self._seen)

    @property
    def statuses(self) -> list[int]:
        return [each.status for each in self.seen]

    @property
    def texts(self) -> list[str]:
        """All texts that good answers were given to."""
        return [text for each in self.seen if each.status == 200 for text in each.asked.texts]

    @property
    def most_in_flight(self) -> int:
        with self._changed:
            return self._most_in_flight

    def summary(self) -> Json:
        """Everything in numbers; times are on the monotonic clock of the machine."""
        good = [each.asked for each in self.seen if each.status == 200]
        return {
            "requests": len(self.seen),
            "refused": sum(each.status == 429 for each in self.seen),
            "texts": sum(len(each.texts) for each in good),
            "tokens": sum(count_tokens(text) for each in good for text in each.texts),
            "bytes": sum(each.size for each in good),
            "most_in_flight": self.most_in_flight,
            "first_at": self._first_at,
            "last_at": self._last_at,
        }

    # -- requests ------------------------------------------------------------------------------------------

    def receive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if (method, path) == ("GET", "/_control"):
            return json_reply(self.summary())
        asked = self._read(method, path, headers, body)
        if asked is None:
            self.lost.append(f"{method} {path}")
            return json_reply({"detail": "Not Found"}, 404)
        place = self._arrive(asked)
        reply: Reply | None = None
        try:
            reply = self._reply(asked)
        finally:
            # Before it is sent: a client that has read it may ask again at once, and is not in flight twice.
            self._leave(place, asked, reply)
        return reply

    def _read(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Asked | None:
        dialect = next((name for name, route in _ROUTES.items() if re.fullmatch(route, path)), None)
        if method != "POST" or dialect is None or not path.startswith(self._only_under):
            return None
        content = json.loads(body)
        texts = content["texts" if dialect == "cohere" else "input"]
        encodings = content.get("embedding_types") or [content.get("encoding_format") or "float"]
        return Asked(
            dialect=dialect,
            path=path,
            model=content.get("model", ""),
            texts=tuple([texts] if isinstance(texts, str) else texts),
            encoding=encodings[0],
            dimensions=content.get("dimensions") or content.get("output_dimension"),
            body=content,
            headers={name: value for name, value in headers.items() if name not in _KEYS},
            size=len(body),
            key=headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer "),
        )

    def _arrive(self, asked: Asked) -> int:
        with self._changed:
            self._first_at = self._first_at or time.monotonic()
            self._seen.append(Seen(asked))
            self._in_flight += 1
            self._most_in_flight = max(self._most_in_flight, self._in_flight)
            return len(self._seen) - 1

    def _leave(self, place: int, asked: Asked, reply: Reply | None) -> None:
        with self._changed:
            self._in_flight -= 1
            self._last_at = time.monotonic()
            self._seen[place] = Seen(asked, reply.status if reply else 0)

    def _reply(self, asked: Asked) -> Reply:
        if self._gate:
            self._gate.pass_through()
        with self._changed:
            odd = next((rule.odd for rule in self._rules if rule.is_due()), None)
        refused = self._refusal(asked)
        if refused:
            return refused
        reply, headers = self._rate.admit(asked) if self._rate else (None, {})
        if reply:
            return reply
        time.sleep(self._latency)
        good = rows(asked.texts, asked.dimensions or self.dimensions)
        reply = (odd or answer)(asked, good)
        return replace(reply, headers={**headers, **reply.headers})

    def _refusal(self, asked: Asked) -> Reply | None:
        if self._key and asked.key != self._key:
            return bad_key(asked, [])
        if not asked.texts or not all(isinstance(text, str) and text for text in asked.texts):
            # Also token ids, which many servers do not take (huggingface/text-embeddings-inference#273).
            return refusal(asked, 422, "input must be texts, none of them empty")
        return next(filter(None, (limit.refuses(asked) for limit in self._limits)), None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A provider of embeddings, on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--dimensions", type=int, default=1536)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--requests-per-minute", type=float)
    parser.add_argument("--tokens-per-minute", type=float)
    parser.add_argument("--burst", type=float, default=1 / 60, help="how much of a minute may be had at once")
    options = parser.parse_args(arguments)
    rate = RateLimit(options.requests_per_minute, options.tokens_per_minute, burst=options.burst)
    with ProviderServer(dimensions=options.dimensions, latency=options.latency, rate=rate, port=options.port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
