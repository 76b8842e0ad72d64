"""The client of a Qdrant server: how it is made, and what its exceptions mean (see `server` for the rest).

qdrant-client wraps REST failures in its own exceptions and lets gRPC's through as they are.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, Final

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import httpx
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.conversions.conversion import GrpcToRest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ..errors import ConfigError, ConnectorError, SystemFault
from ..retry import Retryable
from .address import Address
from .server_errors import Answer, Call, NoAnswer, refused, unanswered, unfinished
from .server_upserts import json_point, json_request, packed_point, packed_request

PROBE_SECONDS: Final = 3
_CONNECT_SECONDS: Final = 5.0

#: Pings find a connection that died silently; without the http2 limit gRPC notices only after a minute.
#: After an outage the client is back within a second instead of several.
_GRPC_OPTIONS: Final = {
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.http2.ping_timeout_ms": 5_000,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


def headers(api_key: str | None) -> dict[str, str]:
    """The key as a header: given as `api_key`, the client warns on stderr about http, which is the user's choice."""
    if api_key is None:
        return {}
    key = api_key.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigError("indexing.auth_method.api_key is empty or holds characters that no API key has.")
    return {"api-key": key}


@dataclass(frozen=True, slots=True)
class Connect:
    """Makes clients for one address."""

    address: Address
    headers: dict[str, str]

    def client(self, timeout: int, grpc_port: int | None) -> QdrantClient:
        """A client whose calls take at most `timeout` seconds each; over gRPC when there is a port for it."""
        return QdrantClient(
            host=self.address.host,
            port=self.address.port,
            https=self.address.https,
            prefix=self.address.prefix or None,
            headers=self.headers,
            timeout=timeout,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 0,
            grpc_options=dict(_GRPC_OPTIONS),
            check_compatibility=False,  # it warns on stderr, and from a thread
            cloud_inference=True,  # texts for the server to embed are passed on, not embedded by the client
            event_hooks={"request": [_limit_connect]},
        )

    def answers_grpc(self, port: int | None) -> bool:
        """Whether a Qdrant answers there (this call needs no key)."""
        if port is None:
            return False
        probe = self.client(PROBE_SECONDS, port)
        try:
            probe.info()
        except (grpc.RpcError, QdrantException):  # the second one is a rate limit that says how long
            return False
        finally:
            probe.close()
        return True


def _limit_connect(request: httpx.Request) -> None:
    """The client knows one timeout for everything; a dead host need not take a minute to be found dead."""
    timeout = request.extensions["timeout"]
    timeout["connect"] = min(_CONNECT_SECONDS, timeout["connect"])


class BulkOverGrpc:
    """Upserts as bytes over the client's own channel, which its generated stub would only take as models."""

    encode = staticmethod(packed_point)
    most_bytes = 16_000_000

    def __init__(self, client: QdrantClient, collection: str, timeout: int) -> None:
        self._collection = collection
        self._timeout = timeout
        client.grpc_points  # noqa: B018 -- opens the channel
        (channel, *_) = client._client._grpc_channel_pool  # type: ignore[attr-defined]  # noqa: SLF001 -- there is no other way to it
        self._call = channel.unary_unary(
            "/qdrant.Points/Upsert", response_deserializer=messages.PointsOperationResponse.FromString
        )

    def upsert(self, points: Sequence[bytes]) -> models.UpdateResult:
        """Send them; returns what became of them."""
        answer = self._call(packed_request(self._collection, points), timeout=self._timeout)
        return GrpcToRest.convert_update_result(answer.result)


class BulkOverRest:
    """Upserts as bytes over the client's own connections."""

    encode = staticmethod(json_point)
    most_bytes = 4_000_000

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._collection = collection
        self._rest = client.http.client

    def upsert(self, points: Sequence[bytes]) -> models.UpdateResult:
        """Send them; returns what became of them."""
        answer = self._rest.request(
            type_=dict[str, Any],
            method="PUT",
            url="/collections/{collection_name}/points",
            path_params={"collection_name": self._collection},
            params={"wait": "true"},
            headers={"Content-Type": "application/json"},
            content=json_request(points),
        )
        try:
            return models.UpdateResult(**answer["result"])
        except (LookupError, TypeError, ValueError) as error:
            raise ResponseHandlingException(ValueError("no result")) from error


# ----------------------------------------------------------------------------------------------------------
# What it raises


def translated(  # noqa: PLR0911 -- one line for each kind
    error: Exception, call: Call
) -> Retryable | ConnectorError:
    """What any exception of a call to the client means."""
    match error:
        case Retryable() | ConnectorError():
            return error
        case ResourceExhaustedResponse():
            return refused(Answer(429, error.message, _seconds(str(error.retry_after_s)), "429"), call)
        case QdrantException():  # its message holds a Retry-After that is no number
            return refused(Answer(429, code="429"), call)
        case UnexpectedResponse():
            return refused(_rest_answer(error), call)
        case grpc.RpcError():
            return _rpc_failure(error, call)
        case ResponseHandlingException(source=httpx.TransportError() as source):
            return unanswered(_lost(source), call)
        case JSONDecodeError() | ResponseHandlingException(source=ValueError()):
            return unanswered("not Qdrant", call)
    return SystemFault(
        f"A request to {call.doing} on Qdrant at {call.place} could not be made, or its answer not read; this is a bug.",
        detail=type(error).__name__,
    )


def _rest_answer(error: UnexpectedResponse) -> Answer:
    status = error.status_code or 0
    try:
        text = error.structured()["status"]["error"]
    except (ValueError, LookupError, TypeError):
        text = None
    genuine = isinstance(text, str)
    body = text if genuine else error.content.decode(errors="replace")
    return Answer(status, body, _seconds(error.headers.get("retry-after")), f"HTTP {status}", genuine=genuine)


def _seconds(header: str | None) -> float | None:
    """Retry-After as a number; its other form, a date, is not worth trusting two clocks for."""
    return float(header) if header and re.fullmatch(r"\d{1,6}", header) else None


#: The HTTP twins of gRPC's codes, as Qdrant gives them.
_TWINS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.CANCELLED: 408,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.ABORTED: 503,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def _rpc_failure(error: grpc.RpcError, call: Call) -> Retryable | ConnectorError:
    """A gRPC failure of the server, or of the way to it."""
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and (kind := _unreachable(text)):
        return unanswered(kind, call)
    status = _exhausted(text) if code is grpc.StatusCode.RESOURCE_EXHAUSTED else _TWINS.get(code, 0)
    return refused(Answer(status, text, code=f"gRPC {code.name}"), call)


def _unreachable(text: str) -> NoAnswer | None:
    if "Connection refused" in text:
        return "refused"
    if "DNS resolution failed" in text:
        return "unknown host"
    return "lost" if re.search(r"Stream removed|Socket closed|failed to connect|ping timeout", text) else None


def _exhausted(text: str) -> int:
    """One gRPC code says three things: a message too large, a rate limit, a server that is full."""
    if re.match(r"(?:CLIENT: |SERVER: )?(?:Sent|Received|Decompressed) message larger than", text):
        return 413
    return 429 if text.startswith("Rate limiting exceeded") else 507


def _lost(error: httpx.TransportError) -> NoAnswer:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "unknown host"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refused"
    if any(isinstance(cause, ssl.SSLError) and not _cut(cause) for cause in causes):
        return "tls"
    if isinstance(error, httpx.ProxyError):
        return "proxy"
    return "timeout" if isinstance(error, httpx.TimeoutException) else "lost"


def _cut(error: ssl.SSLError) -> bool:
    """Whether the other side merely went away in the middle."""
    return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def completed(result: models.UpdateResult, call: Call) -> None:
    """Raise unless the write has taken effect."""
    if result.status is not models.UpdateStatus.COMPLETED:
        raise unfinished(result.status.value, call)
