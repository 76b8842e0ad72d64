"""The wire double and the server that it stands for, side by side: what a test says of one has to hold for the other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import grpc
import httpx
import orjson
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse
from wire_double import WireDouble

Transport = Literal["rest", "grpc"]

DOCS = f"docs-{os.getpid()}"
"""The collection of a test: tests of other processes may use the same server."""

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    507: "RESOURCE_EXHAUSTED",
}


@dataclass
class Side:
    """A server, or the double, in whose requests and answers the collection of the test is called "docs"."""

    url: str
    grpc_port: int
    key: str | None = None
    is_server: bool = False
    _clients: list[QdrantClient] = field(default_factory=list)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(verify=False, timeout=30))  # noqa: S501 -- no TLS here

    @classmethod
    def of_server(cls, url: str, key: str | None = None) -> Side:
        return cls(url.rstrip("/"), (urlsplit(url).port or 6333) + 1, key, is_server=True)

    @classmethod
    def of_double(cls, double: WireDouble, key: str | None = None) -> Side:
        return cls(double.url, double.grpc_port, key)

    def connect(self, transport: Transport = "rest", **options: Any) -> QdrantClient:
        """A client, closed with the side."""
        connected = QdrantClient(
            url=self.url,
            grpc_port=self.grpc_port,
            prefer_grpc=transport == "grpc",
            check_compatibility=False,
            timeout=30,
            **options,
        )
        self._clients.append(connected)
        return connected

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One bare request, with the side's key unless another one, or None, is given."""
        headers = {"api-key": self.key} if self.key else {}
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        content = content.replace(b'"docs"', orjson.dumps(DOCS))
        headers |= {"Content-Type": "application/json"} | options.get("headers", {})
        options["headers"] = {name: value for name, value in headers.items() if value is not None}
        url = self.url + path.replace("/docs", f"/{DOCS}")
        return self._http.request(method, url, content=content or None, **options)

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """Its status and its text: the server's error, if it is one."""
        answer = self.request(method, path, body, **options)
        return answer.status_code, text_of(answer.content)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.request("DELETE", "/collections/docs")
        self._http.close()


@contextmanager
def closing(side: Side) -> Iterator[Side]:
    """The side, without the collection of the test before and after it."""
    side.request("DELETE", "/collections/docs")
    try:
        yield side
    finally:
        side.close()


def text_of(body: bytes) -> str:
    """The error in an answer, without the place in the JSON where it was found; or the answer as it is."""
    try:
        text = str(orjson.loads(body)["status"]["error"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return body.decode()
    return re.sub(r" at line \d+ column \d+$", "", text).replace(DOCS, "docs")


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """How a call of a client is refused: the code of gRPC, also where REST's status stands for it, and the text."""
    try:
        call()
    except UnexpectedResponse as error:
        return _CODES[error.status_code or 0], text_of(error.content)
    except ResourceExhaustedResponse as error:
        return f"RESOURCE_EXHAUSTED, retry after {error.retry_after_s}", error.message
    except grpc.RpcError as error:
        return error.code().name, error.details().replace(DOCS, "docs")
    raise AssertionError("it was not refused")
