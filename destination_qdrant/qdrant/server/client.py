"""The client of a Qdrant server: how it is made, and what its exceptions mean (see `store` for the rest).

qdrant-client wraps REST failures in its own exceptions and lets gRPC's through as they are.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import JSONDecodeError
from typing import Any, Final, Self

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from ...errors import ConnectorError, SystemFault
from ...retry import Retryable
from . import proxies, tls
from .access import Access
from .address import Address
from .errors import Answer, Call, NoAnswer, refused, unanswered, unfinished
from .transport import RestTransport

#: Pings find a connection that died silently; without the http2 limit gRPC notices only after a minute.
#: After an outage the client is back within a second instead of several. What gRPC's library calls the shortest wait
#: between tries is how long one may take: TCP, TLS and HTTP/2 are three or four ways there and back.
_GRPC_OPTIONS: Final = {
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.http2.ping_timeout_ms": 5_000,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 5_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """What all clients of one configuration have in common. `proxy` is that of the configuration."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    context: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)
    credentials: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)


def wire(access: Access) -> Wire:
    """Get ready.

    Raises:
        ConfigError: a key, a header, a certificate or the proxy cannot be used; names the field.
    """
    return Wire(
        headers=access.all_headers(),
        context=tls.context(access.certificates),
        credentials=tls.grpc_credentials(access.certificates),
        proxy=None if access.proxy is None else proxies.with_port(access.proxy, proxies.FIELD),
    )


@dataclass(frozen=True, slots=True)
class Connect:
    """Makes clients for one address. `rest_proxy` is a URL, `address.proxy` says what names it."""

    address: Address
    wire: Wire = field(default_factory=Wire)
    rest_proxy: str | None = field(default=None, repr=False)

    @classmethod
    def to(cls, address: Address, wire: Wire) -> Self:
        """Find out which proxy leads there, if any."""
        if wire.proxy is not None:
            return cls(replace(address, proxy=proxies.FIELD), wire, wire.proxy)
        proxy = proxies.of_environment(address)
        return cls(replace(address, proxy=proxies.ENVIRONMENT if proxy else ""), wire, proxy)

    def client(self, timeout: int, grpc_port: int | None) -> QdrantClient:
        """A client whose calls take at most `timeout` seconds each; over gRPC when there is a port for it."""
        address = self.address
        return QdrantClient(
            host=address.host,
            port=address.port,
            https=address.https,
            prefix=address.prefix or None,
            headers=dict(self.wire.headers),
            timeout=timeout,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 0,
            grpc_options=self._grpc_options(),
            check_compatibility=False,  # it warns on stderr, and from a thread
            cloud_inference=True,  # texts for the server to embed are passed on, not embedded by the client
            transport=RestTransport(self.wire.context, proxy=self.rest_proxy, loopback=address.is_loopback),
        )

    def ask(self, seconds: int, grpc_port: int | None) -> tuple[str, str]:
        """What the server says it is, and of which version; what is raised is for `outcome`.

        This takes no key, and gets none: it is asked of whatever listens there.
        """
        headers = {name: value for name, value in self.wire.headers.items() if name != "api-key"}
        client = replace(self, wire=replace(self.wire, headers=headers)).client(seconds, grpc_port)
        try:
            info = client.info()
        finally:
            client.close()
        return info.title, info.version

    @property
    def leads_grpc(self) -> bool:
        """Whether gRPC's library can go through the proxy of the configuration: it passes over one that speaks TLS."""
        return self.wire.proxy is None or self.wire.proxy.startswith("http:")

    def _grpc_options(self) -> dict[str, Any]:
        options = {**_GRPC_OPTIONS, **self.wire.credentials}
        if self.wire.proxy is not None:
            # Else gRPC's library would let NO_PROXY win over the configuration; it reads both only then.
            os.environ["no_grpc_proxy"] = ""  # noqa: SIM112 -- its name in that library
            options["grpc.http_proxy"] = self.wire.proxy
        return options


# ----------------------------------------------------------------------------------------------------------
# What it raises


def translated(error: Exception, call: Call) -> Retryable | ConnectorError:
    """What any exception of a call to the client means."""
    if isinstance(error, Retryable | ConnectorError):
        return error
    match outcome(error):
        case Answer() as answer:
            return refused(answer, call)
        case str() as kind:
            return unanswered(kind, call)
    return SystemFault(
        f"A request to {call.doing} on Qdrant at {call.place} could not be made, or its answer not read; this is a bug.",
        detail=type(error).__name__,
    )


def outcome(error: Exception) -> Answer | NoAnswer | None:  # noqa: PLR0911 -- one line for each kind
    """What became of the call that raised this; None for what no call should raise."""
    match error:
        case QdrantException():
            return _rate_limit(error)
        case UnexpectedResponse():
            return _rest_answer(error)
        case grpc.RpcError():
            return _rpc_failure(error)
        case ResponseHandlingException(source=httpx.TransportError() as source):
            return _lost(source)
        case httpx.InvalidURL() | ResponseHandlingException(source=UnicodeError()):
            return "unknown host"  # what no name server could be asked for
        case (
            JSONDecodeError()
            | RecursionError()
            | ResponseHandlingException(source=ValueError() | RecursionError() | httpx.DecodingError())
        ):
            return "not Qdrant"
    return None


def _rate_limit(error: QdrantException) -> Answer:
    if isinstance(error, ResourceExhaustedResponse):
        text = error.message if isinstance(error.message, str) else ""
        return Answer(429, text, _seconds(str(error.retry_after_s)), "429")
    return Answer(429, code="429")  # its message holds a Retry-After that is no number


def _rest_answer(error: UnexpectedResponse) -> Answer:
    status = error.status_code or 0
    try:
        text = error.structured()["status"]["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
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


def _rpc_failure(error: grpc.RpcError) -> Answer | NoAnswer:
    """A gRPC failure of the server, or of the way to it."""
    code, text = error.code(), error.details() or ""
    if gateway := _GATEWAY.match(text):  # a proxy's answer in HTTP, which gRPC's library puts into codes of its own
        return Answer(int(gateway[1]), code=f"HTTP {gateway[1]}", genuine=False)
    if code is grpc.StatusCode.UNAVAILABLE and (kind := _unreachable(text)):
        return kind
    status = _exhausted(text) if code is grpc.StatusCode.RESOURCE_EXHAUSTED else _TWINS.get(code, 0)
    return Answer(status, text, code=f"gRPC {code.name}")


def _unreachable(text: str) -> NoAnswer | None:
    if "SSL_ERROR_SSL" in text or "Verification Check failed" in text:
        return tls.kind_of_text(text)
    for pattern, kind in _BY_TEXT:
        if pattern.search(text):
            return kind
    return None


_GATEWAY: Final = re.compile(r"Received http2 header with status: (\d{3})")

_BY_TEXT: Final[tuple[tuple[re.Pattern[str], NoAnswer], ...]] = (
    (re.compile("HTTP proxy returned response code 407"), "proxy login"),
    (re.compile("HTTP proxy returned"), "proxy"),
    (re.compile("Connection refused"), "refused"),
    (re.compile("DNS resolution failed|errors resolving"), "unknown host"),
    (re.compile("No route to host|Network is unreachable"), "out of reach"),
    (re.compile("Trying to connect an http1"), "not gRPC"),
    (re.compile("Stream removed|Socket closed|failed to connect|ping timeout"), "lost"),
)


#: In the words of gRPC's libraries for C, Rust, Go and Java.
_TOO_LARGE: Final = re.compile(
    r"(?:CLIENT: |SERVER: |grpc: )?(?:Sent|Received|Decompressed|received|trying to send) message larger than"
    r"|gRPC message exceeds maximum size"
)


def _exhausted(text: str) -> int:
    """One gRPC code says three things: a message too large, a rate limit, a server that is full."""
    if _TOO_LARGE.match(text):
        return 413
    return 429 if text.startswith("Rate limiting exceeded") else 507


def _lost(error: httpx.TransportError) -> NoAnswer:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "unknown host"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refused"
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and not _cut(cause):
            return tls.kind_of(cause)
    return _lost_on_the_way(error, causes)


_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT})


def _lost_on_the_way(error: httpx.TransportError, causes: Sequence[BaseException]) -> NoAnswer:
    if isinstance(error, httpx.ProxyError):
        return "proxy login" if str(error).startswith("407") else "proxy"
    if isinstance(error, httpx.RemoteProtocolError) and str(error).startswith("illegal"):
        return "not HTTP"
    if isinstance(error, httpx.ConnectTimeout) or _NO_WAY.intersection(getattr(each, "errno", 0) for each in causes):
        return "out of reach"
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
