"""What a Qdrant server's refusals mean (pure: statuses and texts in, exceptions of `errors` out).

REST and gRPC say the same in two ways; the adapter brings both into one `Answer`. What comes out is

    Retryable        trying the same again may help; it carries what to raise when it does not
    TooLargeError         the same again never helps, a smaller request does
    ConfigError      the user or the operator must act
    SystemFault      the server broke the contract, or this connector did

The server's texts are matched and never shown: they can quote the payload. They are matched from their beginning, so
that a payload in the middle of one is not taken for the server's own words. Only numbers come out of them, and those
field names that are the connector's own. The texts are those of Qdrant 1.18.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...errors import ConfigError, ConnectorError, SystemFault, TransientError
from ...points import AIRBYTE_INDEXES, INDEXES, REPLICA_INDEXES, REUSE_INDEXES
from ...retry import Retryable

#: How long a full disk is waited for: a flush of the server's log can free some room within seconds.
FULL_SECONDS: Final = 30.0

_REDIRECTS: Final = range(300, 400)

NoAnswer = Literal[
    "refused", "unknown host", "out of reach", "timeout", "lost",
    "proxy", "proxy login", "login",
    "no TLS", "TLS only", "untrusted", "other name", "expired", "client certificate", "tls",
    "not HTTP", "gRPC only", "not gRPC", "not Qdrant",
]  # fmt: skip
"""Why there is no answer of a Qdrant."""


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of the server, in the words of the sentences below."""

    doing: str
    """Completes "Qdrant could not ...", with the collection."""
    right: str
    """The right that it takes."""
    place: str
    loopback: bool = False
    answered: bool = False
    """Whether the server has answered before."""
    proxy: str = ""
    """What names the proxy that leads there; empty without one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal. `status` is HTTP's; gRPC's codes are given as their HTTP twins."""

    status: int
    text: str = ""
    retry_after: float | None = None
    code: str = ""
    genuine: bool = True
    """Whether it has the form of Qdrant's own answers (a proxy's has not)."""


class TooLargeError(ConfigError):
    """The request is larger than the server takes; `allowed` is its limit in points, when it said one."""

    def __init__(self, message: str, *, detail: str = "", allowed: int | None = None) -> None:
        """The message is for the case that nothing smaller can be sent."""
        super().__init__(message, detail=detail)
        self.allowed = allowed


class CollectionMissingError(ConfigError):
    """There is no such collection."""


class AlreadyExistsError(ConfigError):
    """What was to be created is there."""


class MissingRightError(ConfigError):
    """The API key may not do that."""


class ShardKeyMissingError(ConfigError):
    """The collection has no such shard key."""


class ContentRefusedError(SystemFault):
    """Something that was sent is refused for a reason of its own; without it the rest may be taken."""


class TextNotEmbeddedError(ContentRefusedError):
    """The server's inference service refuses a text, or the model that it is to be embedded with."""


class ExactCountError(ConfigError):
    """The collection's strict mode refuses exact counts."""


def refused(answer: Answer, call: Call) -> Retryable | ConnectorError:
    """What a refusal means for this call."""
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status](answer, call)
    if answer.status in _REDIRECTS:
        return _config(answer, call, "was redirected: set indexing.url to the address that it is redirected to")
    if answer.status in {405, 501}:
        return _config(answer, call, "does not know this operation: check indexing.url, and that the server is current")
    return _unknown(answer, call)


def unanswered(kind: NoAnswer, call: Call) -> Retryable | ConnectorError:
    """What it means that no answer came; such a write may have been applied or not."""
    if kind in _OF_SOMETHING_ELSE and call.answered:
        return _displaced(kind, call)
    sentence = f"Qdrant at {call.place} could not {call.doing}: {reason(kind, call)}."
    if kind not in _MAY_HEAL:
        return ConfigError(sentence, detail=kind)
    if kind == "refused" and call.loopback and not call.proxy:
        sentence += (
            " Inside a container localhost is the container itself: use host.docker.internal, the name of"
            " Qdrant's service on a shared network, or the machine's address instead."
        )
    return Retryable(TransientError(sentence, detail=kind))


def reason(kind: NoAnswer, call: Call, *, with_advice: bool = True) -> str:
    """Why there is no answer, and what to do about it."""
    if call.proxy and kind in _AT_THE_PROXY:
        return _AT_THE_PROXY[kind].format(proxy=f"the proxy that {call.proxy} names")
    return _SHORTLY[kind] + (_ADVICE[kind] if with_advice else "")


def unfinished(status: str, call: Call) -> Retryable:
    """What it means that a write was accepted and not confirmed as done."""
    return Retryable(
        TransientError(
            f"Qdrant at {call.place} took the request to {call.doing} but did not confirm that it is done;"
            " the server is overloaded or stuck, see its log.",
            detail=status,
        )
    )


def _displaced(detail: str, call: Call) -> Retryable:
    """What it means that something else answers where Qdrant did before: a balancer without a healthy server, mostly."""
    return Retryable(
        TransientError(
            f"Qdrant at {call.place} could not {call.doing}: something else answered in its place ({detail});"
            " look at the proxy or load balancer before it, and that Qdrant is running.",
            detail=detail,
        )
    )


_MAY_HEAL: Final = frozenset({"refused", "unknown host", "out of reach", "timeout", "lost", "proxy"})
_OF_SOMETHING_ELSE: Final = frozenset({"not HTTP", "not gRPC", "not Qdrant"})

_SHORTLY: Final[dict[NoAnswer, str]] = {
    "refused": "the connection was refused",
    "unknown host": "the host name of indexing.url could not be resolved",
    "out of reach": "no connection came about",
    "timeout": "no answer came in time",
    "lost": "the connection was lost without an answer",
    "proxy": "the proxy did not let it through",
    "proxy login": "the proxy asks for a user name and a password",
    "login": "something there lets nobody in who does not log in",
    "no TLS": "the server has no TLS there",
    "TLS only": "the server wants TLS there",
    "untrusted": "the certificate of the server is signed by none of the authorities that are trusted",
    "other name": "the certificate of the server is for another host name",
    "expired": "the certificate of the server has expired, or is not valid yet",
    "client certificate": "the server asks for a client certificate that it trusts",
    "tls": "no TLS connection could be made",
    "not HTTP": "what answers there does not speak HTTP",
    "gRPC only": "that is a port for gRPC",
    "not gRPC": "what answers there does not speak gRPC",
    "not Qdrant": "what answers there is not a Qdrant",
}
_ADVICE: Final[dict[NoAnswer, str]] = {
    "refused": "; check host and port of indexing.url and that Qdrant is running",
    "unknown host": "",
    "out of reach": "; check host and port of indexing.url, and that no firewall is in the way",
    "timeout": ": check that it is not overloaded",
    "lost": "; check that Qdrant is running, and that indexing.url names the REST port (usually 6333), and http or https"
    " as the server has it",
    "proxy": "; it is named by the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY): add the host to NO_PROXY if it needs"
    " no proxy",
    "proxy login": "; write them into its address, as in http://user:password@proxy:3128",
    "login": "; set indexing.auth_method or indexing.headers to what it asks for",
    "no TLS": "; write http:// instead of https:// in indexing.url, or name its port that has TLS",
    "TLS only": "; write https:// instead of http:// in indexing.url",
    "untrusted": "; put the certificate of the one that signed it into indexing.tls.ca_certificate",
    "other name": "; write the name that is in the certificate into indexing.url",
    "expired": "; renew it, and check the clocks of both machines",
    "client certificate": "; set indexing.tls.client_certificate and indexing.tls.client_key",
    "tls": "; check the port and http or https in indexing.url, the certificate of the server, and whether it asks for a"
    " client certificate (indexing.tls)",
    "not HTTP": "; check the port of indexing.url (Qdrant's REST port is usually 6333)",
    "gRPC only": "; name the REST port in indexing.url (usually 6333), or switch indexing.prefer_grpc on",
    "not gRPC": "; check indexing.grpc_port",
    "not Qdrant": "; check host, port and path of indexing.url",
}
_AT_THE_PROXY: Final[dict[NoAnswer, str]] = {
    "refused": "{proxy} refused the connection; check its address, and that it is running",
    "unknown host": "the host name of {proxy} could not be resolved",
    "out of reach": "no connection came about with {proxy}; check its address, and that no firewall is in the way",
    "timeout": "no answer came in time through {proxy}: check both",
    "lost": "the connection through {proxy} was lost without an answer: check both",
    "proxy": "{proxy} did not let it through: let it reach this host and port, or go without it",
    "proxy login": "{proxy} asks for a user name and a password; write them into its address, as in"
    " http://user:password@proxy:3128",
}


# ----------------------------------------------------------------------------------------------------------
# The texts

#: What stands before the sentence that matters: its kind, and that another node or some shards said it.
_ENVELOPES: Final = re.compile(
    r"(?:(?:Wrong input|Bad request|Service internal error|Rate limiting exceeded|Forbidden|Unauthorized"
    r"|Inference error): "
    r"|\d{1,9} out of \d{1,9} shards failed to apply operation\. First error captured: "
    r"|(?:(?:InvalidArgument|Internal error|Tonic status error): )?code: '[\w ]{1,80}', message: \")*"
)
#: Nothing is quoted before these words, so they are the server's.
_NO_SPACE: Final = re.compile(r"[^\"'`{\[]{0,200}No space left on device")
_NOT_IMPLEMENTED: Final = re.compile(r"[^\"'`{\[]{0,200}not implemented")
_NODE_AWAY: Final = re.compile(r"Failed to connect to https?://|tcp connect error|transport error")
_OVER_THE_RATE: Final = re.compile(r"(?:\w+ rate limit exceeded, )?request larger than rate limiter capacity")


def _sentence(answer: Answer) -> str:
    """The text without what stands before the sentence that matters."""
    return _ENVELOPES.sub("", answer.text, count=1)


# ----------------------------------------------------------------------------------------------------------
# By status


def _bad_request(answer: Answer, call: Call) -> Retryable | ConnectorError:
    return _by_text((*_TEXTS, *_OF_INFERENCE), answer, call) or _content(answer, call)


def _by_text(texts: _Texts, answer: Answer, call: Call) -> Retryable | ConnectorError | None:
    """What the first of these texts means that the answer begins with."""
    sentence = _sentence(answer)
    for pattern, build in texts:
        if found := pattern.match(sentence):
            return build(found, answer, call)
    return None


def _no_key(answer: Answer, call: Call) -> ConnectorError:
    if _sentence(answer).startswith("Must provide an API key"):
        return _config(answer, call, "asks for an API key: set indexing.auth_method to an API key")
    if not answer.genuine and (not answer.text or answer.text.lstrip().startswith("<")):  # Qdrant's own is plain text
        return _blocked(answer, call)
    return _config(answer, call, "does not know the API key: correct indexing.auth_method.api_key")


def _forbidden(answer: Answer, call: Call) -> ConnectorError:
    sentence = _sentence(answer)
    if sentence.startswith("ExpiredSignature"):
        return _config(answer, call, "says that the API key has expired: set indexing.auth_method.api_key to a new one")
    if sentence.startswith("InvalidSignature"):
        return _config(answer, call, "says that the API key is not its own: correct indexing.auth_method.api_key")
    if sentence.startswith("Access to collection"):
        return _config(
            answer,
            call,
            "says that the API key has no access to this collection: give the key access to it, or correct"
            " indexing.collection. If the collection does not exist yet, create it beforehand or use a key with"
            " global manage rights",
        )
    if not answer.genuine:
        return _blocked(answer, call)
    return MissingRightError(
        f"Qdrant at {call.place} refused to {call.doing}; it says that the API key in indexing.auth_method lacks the"
        f" right: it needs {call.right}.",
        detail=answer.code,
    )


def _blocked(answer: Answer, call: Call) -> ConfigError:
    return ConfigError(
        f"Qdrant at {call.place} could not {call.doing}: something before it blocked the request ({answer.code}); look at"
        " the firewall, gateway or login in between.",
        detail=answer.code,
    )


def _missing(answer: Answer, call: Call) -> Retryable | ConnectorError:
    if not answer.genuine:
        if call.answered:
            return _displaced(answer.code, call)
        return _config(answer, call, "knows no such path: check the path and port of indexing.url")
    return CollectionMissingError(
        f"Qdrant at {call.place} could not {call.doing}: it does not exist.", detail=answer.code
    )


def _exists(answer: Answer, call: Call) -> ConnectorError:
    return AlreadyExistsError(f"Qdrant at {call.place} could not {call.doing}: it exists already.", detail=answer.code)


def _limited(answer: Answer, call: Call) -> Retryable | ConnectorError:
    if _OVER_THE_RATE.match(_sentence(answer)) and answer.retry_after is None:
        return _too_large(
            answer, call, "a single request is more than the rate limit of the collection allows per minute;"
        )
    return _by_text(_OF_INFERENCE, answer, call) or _transient(
        answer, call, "its rate limit is exhausted: raise it on the server, or sync again later"
    )


def _failed(answer: Answer, call: Call) -> Retryable | ConnectorError:
    sentence = _sentence(answer)
    if _NO_SPACE.match(sentence):
        return _full(answer, call, "its disk is full: free space on the server's disk, or enlarge it")
    if inference := _by_text(_OF_INFERENCE, answer, call):
        return inference
    if _NOT_IMPLEMENTED.match(sentence):
        return _config(answer, call, "does not implement it: use a current version of Qdrant")
    if sentence.startswith("Exception deserializing response"):
        return _config(
            answer, call, "sent something that is nested too deeply for gRPC: switch indexing.prefer_grpc off"
        )
    if _NODE_AWAY.match(sentence):
        return _transient(
            answer,
            call,
            "a node of its cluster does not answer, and the collection needs it (write_consistency_factor):"
            " bring the node back",
        )
    return _transient(answer, call, "it failed; the log of the server tells more")


def _quota(answer: Answer, call: Call) -> Retryable | ConnectorError:
    return _full(answer, call, "the quota of its disk or memory is used up: enlarge it, or delete something")


def _away(answer: Answer, call: Call) -> Retryable:
    return _transient(answer, call, "it is not available: check that it is running and healthy")


def _late(answer: Answer, call: Call) -> Retryable:
    return _transient(answer, call, "no answer came in time: check that it is not overloaded")


def _body_too_large(answer: Answer, call: Call) -> ConnectorError:
    return _too_large(
        answer,
        call,
        "a single point is larger than what is taken in one request; lower processing.max_payload_bytes, or",
    )


def _content(answer: Answer, call: Call) -> ContentRefusedError:
    return ContentRefusedError(
        f"Qdrant at {call.place} refused to {call.doing} for a reason that this connector does not know"
        f" ({answer.code}); the log of the server tells more.",
        detail=answer.code,
    )


_BY_STATUS: Final[dict[int, Callable[[Answer, Call], Retryable | ConnectorError]]] = {
    400: _bad_request,
    401: _no_key,
    403: _forbidden,
    404: _missing,
    408: _late,
    409: _exists,
    413: _body_too_large,
    422: _content,
    429: _limited,
    500: _failed,
    502: _away,
    503: _away,
    504: _late,
    507: _quota,
}


# ----------------------------------------------------------------------------------------------------------
# By the text of a 400

_Build = Callable[[re.Match[str], Answer, Call], Retryable | ConnectorError]
_Texts = Sequence[tuple[re.Pattern[str], _Build]]


def _dimension(found: re.Match[str], answer: Answer, call: Call) -> ConnectorError:
    return _config(
        answer,
        call,
        f"stores vectors of {found[1]} dimensions there and was sent {found[2]}: choose an embedding with {found[1]}"
        " dimensions, or another indexing.collection",
    )


def _vector_name(_found: re.Match[str], answer: Answer, call: Call) -> ConnectorError:
    return _config(
        answer,
        call,
        "has other vectors in this collection than at the start of the sync: leave the collection as it is during"
        " a sync, or choose another indexing.collection",
    )


def _no_index(found: re.Match[str], answer: Answer, call: Call) -> ConnectorError:
    own = {**INDEXES, **REPLICA_INDEXES, **REUSE_INDEXES, **AIRBYTE_INDEXES}.get(found[1] or "")
    field, index = (f'"{found[1]}"', f"index of type {own.type}") if own else ("a field", "fitting index")
    return _config(
        answer,
        call,
        f"refuses to filter on {field} because the field has no {index} (strict mode):"
        " create it, or give the API key the right to create indexes",
    )


def _limit(found: re.Match[str], answer: Answer, call: Call) -> ConnectorError:
    message = f"the collection's strict mode allows {found[2]} at once, and {found[1]} were asked for;"
    return _too_large(answer, call, message, allowed=int(found[2]) or None)


def _says(sentence: str) -> _Build:
    """A rule whose sentence takes up to two numbers of the text."""
    return lambda found, answer, call: _config(answer, call, sentence.format(*found.groups()))


_TEXTS: Final[tuple[tuple[re.Pattern[str], _Build], ...]] = (
    (
        re.compile(r"JSON payload (?:\(\d+ bytes\) is larger than allowed|has exceeded limit) "),
        lambda _found, answer, call: _body_too_large(answer, call),
    ),
    (re.compile(r"Vector dimension error: expected dim: (\d{1,6}), got (\d{1,6})"), _dimension),
    (re.compile(r"Not existing vector name"), _vector_name),
    (
        re.compile(r"Conversion between \w+ and \w+ vectors failed|Sparse vector from document inference"),
        _says(
            "stores another kind of vector there than was sent: leave the collection as it is during a sync, choose another"
            " indexing.collection, or with embedding.mode qdrant a model that makes dense vectors (embedding.model_name)"
        ),
    ),
    (re.compile(r'Index required but not found for (?:"(\w{1,64})")?'), _no_index),
    (re.compile(r'Limit exceeded (\d{1,12}) > (\d{1,12}) for "'), _limit),
    (
        re.compile(r"Condition size limit reached \((\d{1,12}) > (\d{1,12})\)"),
        _says("allows conditions of {1} values and was sent {0} (strict mode): raise condition_max_size"),
    ),
    (
        re.compile(r"Filter condition limit reached \((\d{1,12}) > (\d{1,12})\)"),
        _says("allows filters of {1} conditions and was sent {0} (strict mode): raise filter_max_conditions"),
    ),
    (
        re.compile(r"(?:Disk|Resident memory|Memory) usage is at (\d{1,3})% of [a-z ,]{1,80} limit of (\d{1,3})%"),
        _says("uses {0}% of its room where its strict mode allows {1}%: free space on the server or raise that limit"),
    ),
    (
        re.compile(
            r"Max (?:points count|vector storage size|payload storage size) limit of ([\d.]{1,24})(?:MB)? reached"
        ),
        _says("has reached the size limit of the collection's strict mode ({0}): raise it or use another collection"),
    ),
    (
        re.compile(r"Collection already has the maximum number of payload ind\w+ \((\d{1,6})\)"),
        _says("allows no more than {0} indexes in this collection (strict mode): raise that limit"),
    ),
    (
        re.compile(r"Shard key (?s:.{1,1024}) not found"),
        lambda _found, answer, call: ShardKeyMissingError(
            f"Qdrant at {call.place} could not {call.doing}: it has no shard key as in indexing.shard_key.",
            detail=answer.code,
        ),
    ),
    (
        re.compile(r"Shard key not specified"),
        _says("divides this collection by shard keys: say in indexing.shard_key where records belong"),
    ),
    (
        re.compile(r"Shard Key cannot be created with Auto sharding"),
        _says("does not divide this collection by shard keys: leave indexing.shard_key empty"),
    ),
    (
        re.compile(r"Distributed mode disabled"),
        _says("is no cluster, and has no shard keys: leave indexing.shard_key empty"),
    ),
    (re.compile(r"Sharding key (?s:.{1,1024}) already exists"), lambda _found, answer, call: _exists(answer, call)),
    (
        re.compile(r"Exact search disabled"),
        lambda _found, answer, call: ExactCountError(
            f"Qdrant at {call.place} could not {call.doing}: strict mode refuses exact counts.", detail=answer.code
        ),
    ),
    (
        re.compile(r"Can't create collection with name .{1,1024}\. Alias with the same name already exists"),
        _says("has an alias of that name: change indexing.collection"),
    ),
)

# ----------------------------------------------------------------------------------------------------------
# By the text of what the server says of its inference service, whose own words follow
#
# The texts are those of `src/common/inference/service.rs` of Qdrant. Over gRPC a query is always refused with INTERNAL.


def _not_embedded(_found: re.Match[str], answer: Answer, call: Call) -> ConnectorError:
    return TextNotEmbeddedError(
        f"Qdrant at {call.place} could not {call.doing}: its inference service refuses the model or the text. Correct"
        " embedding.model_name (a model of another provider needs that provider's key in indexing.headers), or lower"
        " processing.chunk_size.",
        detail=answer.code,
    )


_OF_INFERENCE: Final[_Texts] = (
    (
        re.compile(r"InferenceService"),
        _says(
            "has no inference service, which embedding.mode qdrant needs: choose another embedding.mode, or a Qdrant that"
            " has one (a cluster of Qdrant Cloud with inference switched on, or a server with inference.address set)"
        ),
    ),
    (
        re.compile(r"Authentication failed for inference service"),
        _says(
            "was not let in by its inference service: a model of another provider needs that provider's key in"
            " indexing.headers (as openai-api-key, cohere-api-key, jina-api-key or openrouter-api-key)"
        ),
    ),
    (
        re.compile(r"Inference can't process request \(413"),
        lambda _found, answer, call: _too_large(
            answer, call, "a single text is larger than its inference service takes; lower processing.chunk_size, or"
        ),
    ),
    (re.compile(r"Inference (?:request validation failed|can't process)|Invalid inference request"), _not_embedded),
    (
        re.compile(r"Too many requests for inference service"),
        lambda _found, answer, call: _transient(
            answer,
            call,
            "the rate limit of its inference service is exhausted: lower indexing.requests_in_flight, or sync again later",
        ),
    ),
    (
        re.compile(
            r"(?:Inference service|Unexpected inference) error|Inference service returned no"
            r"|Failed to (?:send inference request|read inference response|parse successful inference response)"
        ),
        lambda _found, answer, call: _transient(
            answer, call, "its inference service failed or does not answer; the log of the server tells more"
        ),
    ),
)


# ----------------------------------------------------------------------------------------------------------
# The sentences


def _config(answer: Answer, call: Call, found: str) -> ConfigError:
    return ConfigError(f"Qdrant at {call.place} refused to {call.doing}; it {found}.", detail=answer.code)


def _too_large(answer: Answer, call: Call, found: str, *, allowed: int | None = None) -> TooLargeError:
    return TooLargeError(
        f"Qdrant at {call.place} refused to {call.doing}: {found} raise that limit on the server.",
        detail=answer.code,
        allowed=allowed,
    )


def _transient(answer: Answer, call: Call, found: str) -> Retryable:
    wish = f"; it asks to wait {answer.retry_after:.0f} seconds" if answer.retry_after else ""
    failure = TransientError(
        f"Qdrant at {call.place} could not {call.doing}: {found} (last answer: {answer.code}{wish}).",
        detail=answer.code,
    )
    return Retryable(failure, retry_after=answer.retry_after)


def _full(answer: Answer, call: Call, found: str) -> Retryable:
    failure = ConfigError(f"Qdrant at {call.place} could not {call.doing}: {found}.", detail=answer.code)
    return Retryable(failure, retry_after=answer.retry_after, within=FULL_SECONDS)


def _unknown(answer: Answer, call: Call) -> SystemFault:
    return SystemFault(
        f"Qdrant at {call.place} refused to {call.doing} for a reason that this connector does not know"
        f" ({answer.code}); the log of the server tells more.",
        detail=answer.code,
    )
