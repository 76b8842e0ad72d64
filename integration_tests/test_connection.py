"""The way to a server: which address is meant, what answers there, and TLS, headers and proxies in between.

Everything goes over real sockets of the loopback interface. Nothing waits: the store's sleep is passed in.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from command_line import Connector, Json
from fault_relay import GrpcRelay
from go_between import GoBetween, HttpProxy, TlsFront
from loopback import HOST
from qdrant_client import grpc as protocol
from servers import Servers
from wire_double import WireDouble

from destination_qdrant.config import Indexing
from destination_qdrant.errors import ConfigError, ConnectorError, TransientError
from destination_qdrant.qdrant import open_store
from destination_qdrant.qdrant.base import Point, VectorSchema
from destination_qdrant.qdrant.server import tls
from destination_qdrant.qdrant.server.access import Access, Certificates
from destination_qdrant.qdrant.server.address import Address
from destination_qdrant.qdrant.server.client import Connect, wire
from destination_qdrant.qdrant.server.discovery import Endpoint, find
from destination_qdrant.qdrant.server.store import CHECK, WRITE, Patience, ServerStore, open_server
from destination_qdrant.qdrant.server.transport import RestTransport
from destination_qdrant.qdrant.server.version import Version
from destination_qdrant.retry import RetryPolicy
from destination_qdrant.vectors import UNNAMED, Dense

KEY = "top-secret-key"
HASTY = Patience(30, RetryPolicy(0))


def opened(
    url: str, *, patience: Patience = HASTY, sleep: Callable[[float], object] = lambda _: None, **way: Any
) -> ServerStore:
    """The store at the end of this way, over REST unless that is said otherwise."""
    return open_server(Access(url, **{"prefer_grpc": False} | way), "docs", patience=patience, sleep=sleep)


def refused(url: str, **way: Any) -> str:
    """What is told about this way, which no other try would make better."""
    with pytest.raises(ConfigError) as caught:
        opened(url, **way)
    return caught.value.message


def found(*ports: int, **way: Any) -> Endpoint:
    """What is found where the URL leaves a choice of ports."""
    access = Access("", **{"prefer_grpc": False} | way)
    connects = [Connect.to(Address(https=False, host=HOST, port=port), wire(access)) for port in ports]
    return find(access, connects, 30)


# ----------------------------------------------------------------------------------------------------------
# Servers


def closed_port() -> int:
    """A port of this machine that refuses connections."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Said:
    """An answer to everything, and the requests that were answered: path and headers."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    on_request: Callable[[], object] = lambda: None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def hello(version: str = "1.18.3") -> Said:
    """A server that says of itself what Qdrant does, and nothing else."""
    return Said(200, json.dumps({"title": "qdrant - vector search engine", "version": version, "commit": "0"}))


@contextmanager
def saying(said: Said) -> Iterator[Said]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            said.on_request()
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": str(len(said.body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body.encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    said.port = server.server_port
    try:
        yield said
    finally:
        server.shutdown()
        server.server_close()


class Root(protocol.QdrantServicer):
    """The part of Qdrant's gRPC that says who it is."""

    def __init__(self, version: str = "1.18.3", title: str = "qdrant - vector search engine") -> None:
        self.reply = protocol.HealthCheckReply(title=title, version=version)
        self.metadata: dict[str, str] = {}

    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002, N802 -- gRPC's name
        self.metadata = dict(context.invocation_metadata())
        return self.reply


@contextmanager
def grpc_saying(root: Root, *, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2))
    protocol.add_QdrantServicer_to_server(root, server)
    address = f"{HOST}:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


class Hang(GoBetween):
    """Answers with these bytes and hangs up."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self._answer = answer

    def serve(self, client: socket.socket) -> None:
        """See the class."""
        client.recv(65_536)
        client.sendall(self._answer)


# ----------------------------------------------------------------------------------------------------------
# Which address


@pytest.mark.parametrize("form", ["http://{}", "{}", "{}/", "http://{}/dashboard/", "{}/dashboard#/collections/docs"])
def test_a_url_may_be_written_in_several_ways(form: str) -> None:
    with WireDouble() as double:
        store = opened(form.format(double.url.removeprefix("http://")))

        assert store.describe() is None
        assert store.place == f'{double.url} (REST), collection "docs"'


def test_a_path_in_the_url_is_kept_and_never_shown() -> None:
    with saying(hello()) as server:
        store = opened(f"{server.url}/sk-SECRET/qdrant/dashboard", prefer_grpc=True)
        server.status = 503
        with pytest.raises(TransientError) as caught:
            store.describe()

    assert [path for path, _ in server.requests] == ["/sk-SECRET/qdrant/", "/sk-SECRET/qdrant/collections/docs"]
    assert "SECRET" not in "".join([store.place, *store.notes, caught.value.message])
    assert store.notes == (
        f"indexing.prefer_grpc is on, but gRPC cannot go through the path in {server.url}/…: REST is used.",
    )


def test_of_several_ports_the_first_with_a_qdrant_is_taken() -> None:
    with saying(hello("1.17.0")) as server, saying(Said(200, "<html>")) as website:
        after_nothing = found(closed_port(), server.port)
        after_a_website = found(website.port, server.port)

    assert [each.address.url for each in (after_nothing, after_a_website)] == [server.url] * 2
    assert [each.version for each in (after_nothing, after_a_website)] == [Version(1, 17)] * 2


def test_all_ports_that_were_tried_are_told_when_none_has_a_qdrant() -> None:
    with saying(Said(200, "<html>")) as website:
        closed = closed_port()
        with pytest.raises(ConfigError) as wrong:
            found(website.port, closed)

    assert wrong.value.message == (
        f"Qdrant at {website.url} could not be reached: what answers there is not a Qdrant; check host, port and path"
        f" of indexing.url. Port {closed} was tried as well: the connection was refused."
    )


# ----------------------------------------------------------------------------------------------------------
# gRPC


def test_where_grpc_answers_no_rest_is_needed() -> None:
    closed = closed_port()
    with grpc_saying(Root("1.16.1")) as port:
        named = opened(f"http://{HOST}:{closed}", prefer_grpc=True, grpc_port=port)
        chosen = found(closed, closed_port(), prefer_grpc=True, grpc_port=port)

    assert (named.place, named.notes) == (f'http://{HOST}:{port} (gRPC), collection "docs"', ())
    assert (chosen.address.url, chosen.grpc_port, chosen.version) == (f"http://{HOST}:{port}", port, Version(1, 16, 1))


def test_a_url_that_names_the_grpc_port_works_where_grpc_is_wanted_and_is_told_where_not() -> None:
    with grpc_saying(Root()) as port:
        url = f"http://{HOST}:{port}"
        store = opened(url, prefer_grpc=True)
        message = refused(url)

    assert store.place == f'{url} (gRPC), collection "docs"'
    assert "".join(store.notes) == (
        f"indexing.url names port {port}, which is for gRPC: everything goes over gRPC."
        " The port for REST is usually 6333."
    )
    assert message == (
        f"Qdrant at {url} could not be reached: that is a port for gRPC; name the REST port in indexing.url (usually"
        " 6333), or switch indexing.prefer_grpc on."
    )


@pytest.mark.parametrize("other", ["closed", "REST", "no Qdrant"])
def test_a_grpc_port_at_which_no_qdrant_answers_is_told_and_rest_is_used(other: str) -> None:
    with (
        WireDouble() as double,
        Hang(b"HTTP/1.1 400 Bad Request\r\n\r\n") as rest,
        grpc_saying(Root(title="another")) as another,
    ):
        port, why = {
            "closed": (closed_port(), "the connection was refused"),
            "REST": (rest.port, "what answers there does not speak gRPC; check indexing.grpc_port"),
            "no Qdrant": (another, "what answers there is not a Qdrant; check host, port and path of indexing.url"),
        }[other]
        store = opened(double.url, prefer_grpc=True, grpc_port=port)

        assert store.describe() is None
        assert "REST" in store.place
        assert "".join(store.notes) == (
            f"indexing.prefer_grpc is on, but gRPC port {port} of {HOST} does not answer ({why}):"
            " REST is used, which is slower. If gRPC has another port, set indexing.grpc_port to it."
        )


def test_a_grpc_port_with_a_rate_limit_is_passed_over() -> None:
    """What stands before a server may limit even the question whether it is one."""
    with saying(hello()) as server, GrpcRelay(1) as relay:
        relay.fail("HealthCheck", status=429, headers={"Retry-After": "12"})
        store = opened(server.url, prefer_grpc=True, grpc_port=relay.port)

        assert "REST" in store.place
        assert "does not answer (the answer was 429)" in store.notes[0]
        assert [request.path for request in relay.log] == ["/qdrant.Qdrant/HealthCheck"]


def test_grpc_that_starts_while_rest_is_asked_is_used() -> None:
    port = closed_port()
    with ExitStack() as started, saying(hello()) as server:
        server.on_request = lambda: started.enter_context(grpc_saying(Root(), port=port))
        store = opened(server.url, prefer_grpc=True, grpc_port=port)

    assert ("gRPC" in store.place, store.notes) == (True, ())


def test_check_and_write_try_the_grpc_port_of_the_configuration(connector: Connector) -> None:
    with WireDouble() as double:
        port = closed_port()
        config = with_config({"url": double.url, "collection": "docs", "grpc_port": port})
        checked = connector.run("check", config=config)
        stream = {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "append"}
        written = connector.run("write", config=config, catalog={"streams": [stream]})

    (message,) = checked.of("CONNECTION_STATUS")
    status = message["connectionStatus"]
    assert (checked.stderr, written.stderr, status["status"]) == ("", "", "SUCCEEDED")
    assert f'Reached Qdrant 1.18.3 at {double.url} (REST), collection "docs"' in status["message"]
    warning = f"indexing.prefer_grpc is on, but gRPC port {port} of {HOST} does not answer"
    assert warning in status["message"]
    assert [line for line in written.log if line.startswith(f"WARN {warning}")]


def with_config(indexing: Json) -> Json:
    return {
        "processing": {"chunk_size": 100, "text_fields": ["body"]},
        "embedding": {"mode": "fake"},
        "indexing": indexing,
    }


# ----------------------------------------------------------------------------------------------------------
# What answers


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Said(200, "<html>Welcome</html>"), "is not a Qdrant; check host, port and path of indexing.url"),
        (Said(200, "[]"), "is not a Qdrant"),
        (Said(200, '{"result": 5}'), "is not a Qdrant"),
        (Said(200, '{"name": "node", "version": {"number": "8.1.0"}}'), "is not a Qdrant"),
        (Said(200, '{"title": "other", "version": "1.18.3"}'), "is not a Qdrant"),
        (Said(200, '{"title": "qdrant", "version": "hunter2"}'), "is not a Qdrant"),
        (Said(404, "<html>Gone</html>"), "is not a Qdrant"),
        (Said(400, "Client sent something else"), "is not a Qdrant"),
        (Said(407), "is not a Qdrant"),
        (Said(401, "hunter2"), "set indexing.auth_method or indexing.headers to what it asks for"),
        (Said(403), "set indexing.auth_method or indexing.headers to what it asks for"),
        (Said(307, headers={"Location": "http://elsewhere"}), "set indexing.url to the address"),
    ],
)
def test_what_is_no_qdrant_is_told(said: Said, told: str) -> None:
    with saying(said):
        message = refused(said.url)

    assert told in message
    assert "hunter2" not in message


@pytest.mark.parametrize("answer", [b"220 mail.example ESMTP\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"\0\0\0\0"])
def test_what_does_not_speak_http_is_told(answer: bytes) -> None:
    with Hang(answer) as server:
        message = refused(f"http://{HOST}:{server.port}")

    assert "what answers there does not speak HTTP; check the port of indexing.url" in message


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_is_busy_is_asked_again(status: int) -> None:
    with saying(replace(hello(), status=status)) as server, pytest.raises(TransientError):
        opened(server.url)


@pytest.mark.parametrize("version", ["1.11.5", "1.12.0-dev", "0.9"])
def test_a_server_that_is_too_old_is_told(version: str) -> None:
    with saying(hello(version)) as server, grpc_saying(Root(version)) as port:
        over_rest = refused(server.url)
        over_grpc = refused(server.url, prefer_grpc=True, grpc_port=port)

    assert over_rest == over_grpc
    assert over_rest == (
        f"Qdrant at {server.url} is version {Version.parse(version)}, and this connector needs 1.12 or newer:"
        " update the server, or let indexing.url name another one."
    )


# ----------------------------------------------------------------------------------------------------------
# A server that is away


class Time:
    """A clock that only a sleep moves, and what was told meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def log(self, level: str, _message: str) -> None:
        self.told.append(level)

    def of(self, patience: Patience) -> Patience:
        return replace(patience, clock=self.clock, log=self.log)


@pytest.mark.parametrize(("patience", "seconds"), [(CHECK, 10), (WRITE, 60)])
def test_a_server_that_never_answers_is_given_up_in_time(patience: Patience, seconds: float) -> None:
    time = Time()
    with pytest.raises(TransientError, match=r"host\.docker\.internal"):
        opened(f"http://{HOST}:{closed_port()}", patience=time.of(patience), sleep=time.sleep)

    assert time.now == pytest.approx(seconds)
    assert time.told == ["WARN"]


def test_a_server_that_starts_late_is_waited_for_and_used_over_grpc() -> None:
    time, double = Time(), WireDouble(grpc=True)
    with double:
        double.stop()

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            if time.now > 30:
                double.start()

        store = opened(double.url, prefer_grpc=True, patience=time.of(WRITE), sleep=sleep)

        assert store.describe() is None
        assert ("gRPC" in store.place, store.notes) == (True, ())
        assert time.told == ["WARN", "INFO"]


def test_a_host_that_does_not_resolve_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # some networks answer for every name
    with pytest.raises(TransientError, match=r"could not be resolved\.$"):
        opened("http://host.invalid")


@pytest.mark.parametrize("host", ["two..dots", "-ß", "x" * 64])
def test_a_host_name_that_cannot_be_is_told_like_one_that_does_not_resolve(host: str) -> None:
    with pytest.raises(TransientError, match=r"could not be resolved\.$"):
        opened(f"http://{host}:6333")


def test_a_host_that_takes_no_connection_is_out_of_reach() -> None:
    with socket.socket() as full, ExitStack() as waiting:
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(2):  # as many as the system keeps for one that accepts none
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        with pytest.raises(TransientError, match="no connection came about; check host and port of"):
            opened(f"http://{HOST}:{full.getsockname()[1]}", patience=replace(HASTY, timeout=1))


# ----------------------------------------------------------------------------------------------------------
# TLS

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def pem(*blobs: trustme.Blob) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


def certificates(client: trustme.LeafCert | None = None) -> Certificates:
    if client is None:
        return Certificates(pem(AUTHORITY.cert_pem))
    return Certificates(pem(AUTHORITY.cert_pem), pem(*client.cert_chain_pems), pem(client.private_key_pem))


TRUSTING = certificates()
KNOWN = certificates(AUTHORITY.issue_cert("client@example.org"))
UNKNOWN = certificates(STRANGER.issue_cert("client@example.org"))


def server_side(
    issued: trustme.LeafCert, *, asks: bool = False, newest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(made)
    if newest is not None:
        made.maximum_version = newest
    if asks:
        AUTHORITY.configure_trust(made)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


SERVER = AUTHORITY.issue_cert(HOST)


def grpc_side() -> grpc.ServerCredentials:
    """Those of a server that asks for a client certificate."""
    chain = [(SERVER.private_key_pem.bytes(), b"".join(each.bytes() for each in SERVER.cert_chain_pems))]
    return grpc.ssl_server_credentials(chain, AUTHORITY.cert_pem.bytes(), require_client_auth=True)


LONG_AGO = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))
EXPIRED = AUTHORITY.issue_cert(HOST, not_before=LONG_AGO[0], not_after=LONG_AGO[1])
CLIENT_FIELDS = "set indexing.tls.client_certificate and indexing.tls.client_key"


@pytest.mark.parametrize("form", ["https://{}", "{}"])
@pytest.mark.parametrize("asks", [False, True])
def test_tls_is_used_with_the_certificates_of_the_configuration(form: str, *, asks: bool) -> None:
    with saying(hello()) as server, TlsFront(server.port, server_side(SERVER, asks=asks)) as front:
        store = opened(form.format(f"{HOST}:{front.port}"), certificates=KNOWN if asks else TRUSTING)

    assert (store.place, store.notes) == (f'https://{HOST}:{front.port} (REST), collection "docs"', ())


@pytest.mark.parametrize(
    ("scheme", "side", "given", "told"),
    [
        ("https", server_side(SERVER), Certificates(), "indexing.tls.ca_certificate"),
        ("https", server_side(EXPIRED), TRUSTING, "has expired, or is not valid yet"),
        ("https", server_side(AUTHORITY.issue_cert("other.example")), TRUSTING, "for another host name"),
        ("https", server_side(SERVER, asks=True), TRUSTING, CLIENT_FIELDS),
        ("https", server_side(SERVER, asks=True), UNKNOWN, CLIENT_FIELDS),
        ("https", server_side(SERVER, asks=True, newest=ssl.TLSVersion.TLSv1_2), TRUSTING, "(indexing.tls)"),
        ("http", server_side(SERVER), Certificates(), "write https:// instead of http:// in indexing.url"),
        ("http", server_side(SERVER, asks=True), Certificates(), "write https:// instead of http:// in indexing.url"),
    ],
    ids=[
        "unknown authority",
        "expired",
        "other name",
        "no client",
        "unknown client",
        "no client 1.2",
        "http",
        "http 2",
    ],
)
def test_a_tls_connection_that_does_not_come_about_says_why(
    scheme: str, side: ssl.SSLContext, given: Certificates, told: str
) -> None:
    with saying(hello()) as server, TlsFront(server.port, side) as front:
        assert told in refused(f"{scheme}://{HOST}:{front.port}", certificates=given)


def test_a_server_that_hangs_up_on_a_client_it_does_not_trust_is_asked_why() -> None:
    """What it says can be lost: the request that crosses its answer is refused by the system."""
    address = Address(https=True, host=HOST, port=0)
    with (
        TlsFront(closed_port(), server_side(SERVER, asks=True)) as asking,
        TlsFront(closed_port(), server_side(SERVER)) as mute,
    ):
        told = tls.told_after_handshake(replace(address, port=asking.port), tls.context(TRUSTING))
        mute_told = tls.told_after_handshake(replace(address, port=mute.port), tls.context(TRUSTING))

    assert (told, mute_told) == ("client certificate", None)


def test_https_to_a_server_without_tls_says_so() -> None:
    with saying(hello()) as server:
        message = refused(server.url.replace("http:", "https:"))

    assert "the server has no TLS there; write http:// instead of https:// in indexing.url" in message


def test_grpc_uses_the_certificates_of_the_configuration_and_says_why_it_cannot() -> None:
    with grpc_saying(Root(), credentials=grpc_side()) as port, saying(hello()) as server:
        with TlsFront(server.port, server_side(SERVER)) as front:
            url = f"https://{HOST}:{front.port}"
            known = opened(url, prefer_grpc=True, grpc_port=port, certificates=KNOWN)
            unknown = opened(url, prefer_grpc=True, grpc_port=port, certificates=TRUSTING)
            named = opened(f"https://{HOST}:{port}", prefer_grpc=True, certificates=KNOWN)
        message = refused(server.url.replace("http:", "https:"), prefer_grpc=True, grpc_port=port)

    assert ("gRPC" in known.place, known.notes) == (True, ())
    assert "REST" in unknown.place
    assert f"gRPC port {port} of {HOST} does not answer" in unknown.notes[0]
    assert f"names port {port}, which is for gRPC" in named.notes[0]
    assert f"gRPC port {port} was tried as well: the certificate of the server is signed by none" in message


@contextmanager
def a_tls_server(servers: Servers, folder: Path) -> Iterator[str]:
    """A real server that speaks nothing but TLS, and over REST only with clients that show a certificate."""

    def is_ready(port: int) -> bool:
        try:
            return opened(f"https://{HOST}:{port}", certificates=KNOWN).describe() is None
        except ConnectorError:
            return False

    environment = {
        "QDRANT__SERVICE__ENABLE_TLS": "true",
        "QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE": "true",
    }
    files = {
        "QDRANT__TLS__CERT": pem(*SERVER.cert_chain_pems),
        "QDRANT__TLS__KEY": pem(SERVER.private_key_pem),
        "QDRANT__TLS__CA_CERT": pem(AUTHORITY.cert_pem),
    }
    lack = "NO SERVER THAT A TEST MAY START WITH TLS"
    with servers.own(folder, lack, environment=environment, files=files, is_ready=is_ready) as server:
        yield f"https://{HOST}:{server.port}"


def test_a_real_server_with_tls_is_written_to(servers: Servers, tmp_path: Path) -> None:
    with a_tls_server(servers, tmp_path / "server") as url:
        for prefer_grpc in (True, False):
            store = opened(url, prefer_grpc=prefer_grpc, certificates=KNOWN, api_key="any")
            if prefer_grpc:
                store.create({UNNAMED: VectorSchema("dense", 4, "cos")})
            store.upsert([Point(int(prefer_grpc), {UNNAMED: Dense.of([1, 0, 0, 1])}, {"kind": "a"})])
            assert (store.notes, "gRPC" in store.place) == ((), prefer_grpc)
            store.close()
        assert "https:// instead of http://" in refused(url.replace("https", "http"))
        assert "asks for a client certificate" in refused(url, certificates=TRUSTING)


# ----------------------------------------------------------------------------------------------------------
# Headers and keys


@pytest.mark.parametrize("prefer_grpc", [False, True], ids=["rest", "grpc"])
def test_the_headers_go_with_every_call_and_the_key_only_where_it_is_asked_for(*, prefer_grpc: bool) -> None:
    """Whatever listens at the address is asked what it is, so that question carries no key."""
    headers = (("X-Tenant", "a b"), ("Authorization", "Bearer c"))
    with WireDouble(grpc=True, api_key=KEY) as double:
        store = opened(double.url, prefer_grpc=prefer_grpc, api_key=KEY, headers=headers)
        store.describe()
        sent = [(each.path, each.headers) for each in double.log]

    assert {each.transport for each in double.log} == {"grpc" if prefer_grpc else "rest"}
    assert {(heads["x-tenant"], heads["authorization"]) for _, heads in sent} == {("a b", "Bearer c")}
    assert [heads.get("api-key") for path, heads in sent if path == "/"] == [None]
    assert {heads.get("api-key") for path, heads in sent if path != "/"} == {KEY}


def test_all_that_the_configuration_says_is_heeded() -> None:
    with (
        saying(hello()) as server,
        TlsFront(server.port, server_side(SERVER, asks=True)) as front,
        HttpProxy() as proxy,
    ):
        indexing = {
            "url": f"{HOST}:{front.port}/prefix",
            "collection": "docs",
            "auth_method": {"mode": "api_key_auth", "api_key": KEY},
            "tls": {
                "ca_certificate": KNOWN.authority,
                "client_certificate": KNOWN.client,
                "client_key": KNOWN.client_key,
            },
            "headers": "X-Tenant: a\nX-Other: b: c",
            "proxy": proxy.url,
        }
        store = open_store(Indexing.model_validate(indexing), read_only=True)

    assert store.place == f'https://{HOST}:{front.port}/… (REST), collection "docs"'
    names = ("api-key", "x-tenant", "x-other")
    assert [(path, *map(sent.get, names)) for path, sent in server.requests] == [("/prefix/", None, "a", "b: c")]
    assert [head.split("\r\n")[0] for head in proxy.heads] == [f"CONNECT {HOST}:{front.port} HTTP/1.1"]


def test_a_key_over_http_is_warned_of_once() -> None:
    with WireDouble(api_key=KEY) as double:
        store = opened(double.url, api_key=KEY)

        assert store.describe() is None
        assert "".join(store.notes) == (
            "The API key is sent without encryption, because indexing.url does not begin with https://;"
            " use https where the server has it."
        )


def test_what_cannot_be_sent_is_refused_before_anything_is() -> None:
    with WireDouble() as double:
        assert "indexing.tls.ca_certificate" in refused(double.url, certificates=Certificates("c"))
        assert "indexing.proxy" in refused(double.url, proxy="socks5://c")

        assert double.log == []


# ----------------------------------------------------------------------------------------------------------
# Proxies

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "NO_PROXY")


@pytest.fixture(name="environment")
def _environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One without proxies, which a test may name."""
    for name in (*PROXIES, "no_grpc_proxy"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back as well
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(("names", "value"), [(PROXIES[:-2], "http://127.0.0.1:9"), (PROXIES[-2:], HOST)])
def test_the_proxy_of_the_configuration_is_used_whatever_the_environment_says(
    environment: pytest.MonkeyPatch, names: Sequence[str], value: str
) -> None:
    for name in names:
        environment.setenv(name, value)
    with ExitStack() as running:
        server = running.enter_context(saying(hello()))
        front = running.enter_context(TlsFront(server.port, server_side(SERVER)))
        port = running.enter_context(grpc_saying(Root()))
        proxy = running.enter_context(HttpProxy())
        through = proxy.url.replace("//", "//ada:p%40ss@")
        opened(server.url, proxy=through)
        opened(f"https://{HOST}:{front.port}", proxy=through, certificates=TRUSTING)
        store = opened(server.url, proxy=through, prefer_grpc=True, grpc_port=port)
    firsts = [head.split("\r\n")[0] for head in proxy.heads]
    targets = [f"GET {server.url}/", f"CONNECT {HOST}:{front.port}", f"CONNECT {HOST}:{port}"]
    assert firsts == [f"{target} HTTP/1.1" for target in targets]
    assert ["authorization: basic ywrhonbac3m=" in head.lower() for head in proxy.heads] == [True] * 3
    assert store.notes == ()


def test_the_proxy_of_the_environment_is_used_where_the_configuration_names_none(
    environment: pytest.MonkeyPatch,
) -> None:
    with saying(hello()) as server, HttpProxy() as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        opened(server.url)
        environment.setenv("NO_PROXY", HOST)
        opened(server.url)

    assert [head.split("\r\n")[0] for head in proxy.heads] == [f"GET {server.url}/ HTTP/1.1"]


@pytest.mark.parametrize("named_by", ["indexing.proxy", "the environment"])
@pytest.mark.parametrize(
    ("scheme", "refusal", "kind", "told"),
    [
        ("http", None, TransientError, "refused the connection; check its address"),
        ("https", None, TransientError, "refused the connection; check its address"),
        ("http", "407 Proxy Authentication Required", ConfigError, "asks for a user name and a password"),
        ("https", "407 Proxy Authentication Required", ConfigError, "asks for a user name and a password"),
        ("https", "403 Forbidden", TransientError, "did not let it through"),
    ],
)
def test_a_proxy_that_fails_is_named_by_what_names_it(
    environment: pytest.MonkeyPatch,
    named_by: str,
    scheme: str,
    refusal: str | None,
    kind: type[Exception],
    told: str,
) -> None:
    with HttpProxy(refusal or "") as proxy:
        url = proxy.url.replace("//", "//ada:hunter2@") if refusal else f"http://{HOST}:{closed_port()}"
        way = {"proxy": url} if named_by == "indexing.proxy" else {}
        if not way:
            environment.setenv(f"{scheme.upper()}_PROXY", url)
        with pytest.raises(kind) as caught:
            opened(f"{scheme}://{HOST}:6333", **way)

    assert isinstance(caught.value, ConnectorError)
    assert f"the proxy that {named_by}" in caught.value.message
    assert told in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_proxy_that_cannot_lead_grpc_is_told(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "authority.pem")
    environment.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with saying(hello()) as server, HttpProxy() as proxy, TlsFront(proxy.port, server_side(SERVER)) as front:
        store = opened(server.url, proxy=f"https://{HOST}:{front.port}", prefer_grpc=True)

    assert len(proxy.heads) == 1
    assert "".join(store.notes) == (
        "indexing.prefer_grpc is on, but gRPC cannot go through a proxy whose address begins with https://:"
        " REST is used."
    )


# ----------------------------------------------------------------------------------------------------------
# Deadlines


class Dripping(GoBetween):
    """Sends its answer byte by byte, slowly enough that it would take a minute."""

    def __init__(self, at_once: bytes, slowly: bytes) -> None:
        super().__init__()
        self._at_once = at_once
        self._slowly = slowly
        self.sent = 0
        self.hung_up = threading.Event()

    def serve(self, client: socket.socket) -> None:
        """See the class."""
        client.recv(65_536)
        client.sendall(self._at_once)
        pace = threading.Event()
        try:
            for byte in self._slowly:
                client.sendall(bytes([byte]))
                self.sent += 1
                pace.wait(0.2)
        except OSError:
            self.hung_up.set()


@pytest.mark.parametrize(
    ("at_once", "slowly"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", b" " * 300),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 300),
    ],
    ids=["body", "head"],
)
def test_an_answer_that_drips_is_cut_at_the_deadline(at_once: bytes, slowly: bytes) -> None:
    with Dripping(at_once, slowly) as server:
        with pytest.raises(TransientError, match="no answer came in time"):
            opened(f"http://{HOST}:{server.port}", patience=replace(HASTY, timeout=1))

        assert server.hung_up.wait(30)
        assert server.sent < 300


def test_a_host_that_is_dead_is_found_dead_within_seconds() -> None:
    asked = dict.fromkeys(("connect", "read", "write", "pool"), 60)
    request = httpx.Request("GET", f"http://{HOST}:{closed_port()}", extensions={"timeout": asked})
    with pytest.raises(httpx.ConnectError):
        RestTransport(tls.context(Certificates()), proxy=None, loopback=True).handle_request(request)

    assert asked == {"connect": 5, "read": 60, "write": 60, "pool": 60}


# ----------------------------------------------------------------------------------------------------------
# Standard error


def test_nothing_of_all_this_reaches_standard_error() -> None:
    """Libraries warn there, and every line there is shown as an error."""
    script = """
import sys
from destination_qdrant.config import Indexing
from destination_qdrant.errors import ConnectorError
from destination_qdrant.qdrant import open_store
from destination_qdrant.qdrant.server.access import Access, Certificates
from destination_qdrant.qdrant.server.store import Patience, open_server
from destination_qdrant.retry import RetryPolicy
plain, tls, grpc_tls, authority = sys.argv[1:]
ways = [
    Access(plain, api_key="k", certificates=Certificates(authority)),
    Access(plain, grpc_port=int(grpc_tls)),
    Access(plain, proxy="http://127.0.0.1:9"),
    Access(tls, grpc_port=int(grpc_tls)),
    Access(tls, grpc_port=int(grpc_tls), certificates=Certificates(authority)),
    Access(tls.replace("https", "http")),
    Access(plain.replace("http", "https")),
]
for way in ways:
    try:
        store = open_server(way, "docs", patience=Patience(30, RetryPolicy(0)))
        print(store.place.split()[1])
        store.close()
    except ConnectorError as error:
        print(error.detail)
"""
    with (
        saying(hello()) as server,
        grpc_saying(Root(), credentials=grpc_side()) as port,
        TlsFront(server.port, server_side(SERVER)) as front,
    ):
        arguments = [server.url, f"https://{HOST}:{front.port}", str(port), pem(AUTHORITY.cert_pem)]
        done = subprocess.run(
            [sys.executable, "-W", "default", "-c", script, *arguments], capture_output=True, text=True, check=False
        )

    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "(REST),",
        "(REST),",
        "refused",
        "untrusted",
        "(REST),",
        "TLS only",
        "no TLS",
        "",
    ]
