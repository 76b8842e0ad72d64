"""Finds the server that the configuration means: at which port it answers, over what, and which version it is.

The order is

1.  gRPC, where it is preferred: if it answers, REST is not needed, and a firewall may be in its way.
2.  REST at each address that the URL can mean.
3.  Where something answers that is no REST, a look at what it is: TLS, or gRPC.

All of that is asked with calls that take no key, so it proves nothing about rights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...errors import ConfigError, ConnectorError
from ...retry import Retryable
from . import tls
from .access import Access
from .address import Address
from .client import Connect, outcome, translated
from .errors import Answer, Call, NoAnswer, reason, unanswered
from .version import OLDEST, Version

#: How long a server may take to say what it is, in seconds. To do without gRPC costs no more than speed.
_REST_SECONDS: Final = 10
_GRPC_SECONDS: Final = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Qdrant that answered: over gRPC where there is a port for it. `notes` are sentences for a warning log."""

    connect: Connect
    version: Version
    grpc_port: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.connect.address


@dataclass(frozen=True, slots=True)
class _Miss:
    """No Qdrant at a port (None: there is no way to one): why, and as what it is raised."""

    port: int | None
    kind: NoAnswer | None
    why: str
    failure: Retryable | ConnectorError


def find(access: Access, connects: Sequence[Connect], timeout: int) -> Endpoint:
    """The first of these addresses at which a Qdrant answers.

    Args:
        access: what the configuration says.
        connects: the way to each address that its URL can mean, the likeliest first.
        timeout: no call takes longer, in seconds.

    Raises:
        Retryable: none answers, and that may change.
        ConnectorError: none answers, and that will not change by itself; or the one that does is too old.
    """
    no_grpc = None
    if access.prefer_grpc:
        found = _over_grpc(access, connects, timeout)
        if isinstance(found, Endpoint):
            return found
        no_grpc = found
    misses = []
    for connect in connects:
        answer = _over_rest(access, connect, timeout)
        if isinstance(answer, Endpoint):
            return answer if no_grpc is None or answer.grpc_port else _without_grpc(answer, no_grpc)
        misses.append(answer)
        if answer.kind == "unknown host":
            break  # it has no other port either
    raise _failure(misses, no_grpc)


# ----------------------------------------------------------------------------------------------------------
# gRPC


def _over_grpc(access: Access, connects: Sequence[Connect], timeout: int) -> Endpoint | _Miss:
    connect = connects[0]
    address = connect.address
    port = access.grpc_port or address.grpc_port
    if port is None:
        return _no_way(address, f"gRPC cannot go through the path in {address.url}")
    if not connect.leads_grpc:
        return _no_way(address, "gRPC cannot go through a proxy whose address begins with https://")
    found = _version(connect, min(timeout, _GRPC_SECONDS), port)
    if isinstance(found, _Miss):
        return found
    if access.grpc_port is None and port == address.port:
        return _named_by_url(connect, found)
    if len(connects) > 1:  # which of the ports has REST need not be known
        connect = replace(connect, address=replace(address, port=port, prefix=""))
    return Endpoint(connect, found, port)


def _no_way(address: Address, why: str) -> _Miss:
    return _Miss(None, None, why, ConfigError(f"Qdrant at {address.url} could not be reached: {why}."))


def _named_by_url(connect: Connect, version: Version) -> Endpoint:
    port = connect.address.port
    note = (
        f"indexing.url names port {port}, which is for gRPC: everything goes over gRPC."
        " The port for REST is usually 6333."
    )
    return Endpoint(connect, version, port, (note,))


def _without_grpc(rest: Endpoint, no_grpc: _Miss) -> Endpoint:
    """What to make of it that REST answers, and gRPC, which is preferred, did not."""
    port, host = no_grpc.port, rest.address.host
    if port is None:
        return replace(rest, notes=(f"indexing.prefer_grpc is on, but {no_grpc.why}: REST is used.",))
    if no_grpc.kind in {"refused", "timeout"}:  # the server may have started in between, or be busy
        found = _version(rest.connect, _GRPC_SECONDS, port)
        if isinstance(found, Version):
            return Endpoint(rest.connect, found, port)
    note = (
        f"indexing.prefer_grpc is on, but gRPC port {port} of {host} does not answer ({no_grpc.why}):"
        " REST is used, which is slower. If gRPC has another port, set indexing.grpc_port to it."
    )
    return replace(rest, notes=(note,))


# ----------------------------------------------------------------------------------------------------------
# REST


def _over_rest(access: Access, connect: Connect, timeout: int) -> Endpoint | _Miss:
    address = connect.address
    found = _version(connect, min(timeout, _REST_SECONDS), None)
    if isinstance(found, Version):
        return Endpoint(connect, found)
    kind = _looked_at(connect, found.kind)
    if kind in {"lost", "not HTTP", "tls"} and connect.leads_grpc:
        over_grpc = _version(connect, min(timeout, _GRPC_SECONDS), address.port)
        if isinstance(over_grpc, Version):
            if access.prefer_grpc:
                return _named_by_url(connect, over_grpc)
            kind = "gRPC only"
    return found if kind is None or kind == found.kind else _missed(address, None, kind)


def _looked_at(connect: Connect, kind: NoAnswer | None) -> NoAnswer | None:
    """What has answered, if a look at it shows more than its answer to REST has."""
    address = connect.address
    if address.proxy:
        return kind  # there is nothing but the proxy to look at
    if not address.https and kind in {"lost", "not HTTP", "not Qdrant"} and tls.is_wanted(address):
        return "TLS only"
    if address.https and kind == "lost":
        return tls.told_after_handshake(address, connect.wire.context) or kind
    return kind


# ----------------------------------------------------------------------------------------------------------
# Asking


def _version(connect: Connect, seconds: int, grpc_port: int | None) -> Version | _Miss:
    """The version of the Qdrant there.

    Raises:
        ConfigError: it is too old.
    """
    address = connect.address
    try:
        title, text = connect.ask(seconds, grpc_port)
    except Exception as error:  # noqa: BLE001 -- the client raises what its libraries raise, and `outcome` knows it
        return _refusal(address, grpc_port, error)
    version = Version.parse(text)
    if version is None or "qdrant" not in title.lower():
        return _missed(address, grpc_port, "not Qdrant")
    if version < OLDEST:
        raise ConfigError(
            f"Qdrant at {address.url} is version {version}, and this connector needs {OLDEST.major}.{OLDEST.minor} or"
            " newer: update the server, or let indexing.url name another one."
        )
    return version


def _refusal(address: Address, grpc_port: int | None, error: Exception) -> _Miss:
    match outcome(error):
        case Answer() as answer:
            return _said(address, grpc_port, answer, error)
        case None:
            return _Miss(address.port, None, type(error).__name__, translated(error, _call(address, "be reached")))
        case kind:
            return _missed(address, grpc_port, kind)


def _said(address: Address, grpc_port: int | None, answer: Answer, error: Exception) -> _Miss:
    """What a status means, in answer to a question that Qdrant answers to everybody."""
    kind = _BY_STATUS.get(answer.status)
    if kind == "proxy login" and not address.proxy:
        kind = "not Qdrant"
    if kind is not None:
        return _missed(address, grpc_port, kind)
    failure = translated(error, _call(address, "say its version"))
    return _Miss(grpc_port or address.port, None, f"the answer was {answer.code}", failure)


#: Of those of a REST server and of their gRPC twins. Others say that it is there, and busy; or where it is.
_BY_STATUS: Final[dict[int, NoAnswer]] = {
    400: "not Qdrant",
    401: "login",
    403: "login",
    404: "not Qdrant",
    405: "not Qdrant",
    407: "proxy login",
    408: "timeout",
    501: "not Qdrant",
}


def _missed(address: Address, grpc_port: int | None, kind: NoAnswer) -> _Miss:
    call = _call(address, "be reached")
    failure = unanswered(kind, call)
    why = reason(kind, call, with_advice=isinstance(failure, ConnectorError))  # the rest may just have to start
    return _Miss(grpc_port or address.port, kind, why, failure)


def _call(address: Address, doing: str) -> Call:
    return Call(doing, "no right", address.url, loopback=address.is_loopback, proxy=address.proxy)


# ----------------------------------------------------------------------------------------------------------
# Failing


def _failure(misses: Sequence[_Miss], no_grpc: _Miss | None) -> Retryable | ConnectorError:
    """The first one: the port is Qdrant's own, if the configuration has named none. The others get a word."""
    main, *others = misses
    told = [f" Port {miss.port} was tried as well: {miss.why}." for miss in others]
    if no_grpc is not None and no_grpc.port is not None and no_grpc.kind not in {miss.kind for miss in misses}:
        told.append(f" gRPC port {no_grpc.port} was tried as well: {no_grpc.why}.")
    return _with(main.failure, told)


def _with(failure: Retryable | ConnectorError, told: Iterable[str]) -> Retryable | ConnectorError:
    if isinstance(failure, ConnectorError):
        return type(failure)("".join([failure.message, *told]), detail=failure.detail)
    inner = failure.failure
    longer = type(inner)("".join([inner.message, *told]), detail=inner.detail)
    return Retryable(longer, retry_after=failure.retry_after, within=failure.within)
