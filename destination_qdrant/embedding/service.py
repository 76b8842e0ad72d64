"""A provider reached over HTTP: how it is named to the user, and what its refusals mean (pure).

What comes out of a refusal is

    Retryable           trying the same again may help; it carries what to raise when it does not
    ├── Throttled       the provider asks for fewer requests, or smaller ones
    └── Overloaded      it does not keep up with what is sent
        └── TimedOut    and has not answered in time
    TooLarge            the same again never helps, a request with fewer texts may
    InvalidRequestError   the request itself is not understood, perhaps because of an option
    NotThereError       nothing is known of what stands behind the address
    ProviderError       the user must act, and not on what was to be embedded
    SystemFault         the provider broke its own interface

Providers' texts quote the key and the input. They are matched and never shown, and the exceptions that hold them are
never chained to ours. Only the HTTP status and the codes that are listed in `codes` reach `detail`: a server can put a
part of the key or a word of the input in the place of a code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ..errors import ConfigError, ConnectorError, ProviderError, SystemFault, TransientError
from ..retry import Retryable
from ..vectors import Dense
from . import codes
from .address import unusable_address
from .answers import Unusable


@dataclass(frozen=True, slots=True)
class Service:
    """Who is asked, and the fields of the configuration that decide over it."""

    name: str
    key: str
    model: str
    """The field that names the model."""
    address: str = ""
    """The field that holds the address, where there is one."""
    dimensions: str = "embedding.dimensions"
    extra: str = ""
    """The field that adds to each request, where it does."""


class Throttled(Retryable):
    """A rate limit: everything that is sent to this provider has to slow down, not this request alone."""


class Overloaded(Retryable):
    """The provider does not keep up: fewer requests at once may all pass."""


class TimedOut(Overloaded):
    """No answer came in time: to a smaller request, one may."""


Measure = Literal["texts", "tokens", "bytes"]
"""What a request can have too much of."""


class TooLarge(Exception):  # noqa: N818 -- a signal inside this package; what the user sees is `failure`
    """Less at once may pass; `failure` is what to raise when it is a single text.

    `by` is what the refusal speaks of, as well as that can be told.
    """

    def __init__(self, failure: ConfigError, by: Measure = "texts") -> None:
        """Carry what to raise."""
        super().__init__(failure.message)
        self.failure = failure
        self.by = by


class InvalidRequestError(ConfigError):
    """The provider does not understand the request: the model, or an option of it."""


class NotThereError(ProviderError):
    """The address answers 404 and says nothing of a model: an unknown model, or another address."""


class BrokenAnswerError(SystemFault):
    """The answer is not what the provider's interface promises."""


class WrongDimensionsError(ProviderError):
    """The vectors are good, and of another length than expected."""


# ----------------------------------------------------------------------------------------------------------
# What the user has configured


def clean_key(key: str, field: str) -> str:
    """The key as a header can carry it: HTTP libraries quote what they cannot send.

    Raises:
        ConfigError: it is empty, or holds what no header can.
    """
    key = key.strip()
    if not key:
        raise ConfigError(f"{field} must not be empty.")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{field} holds a line break or another character that no key can have; copy the key again.")
    return key


# ----------------------------------------------------------------------------------------------------------
# Refusals


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than success. `text` is what the body says (`said`), to be matched and never shown."""

    status: int
    code: str = ""
    kind: str = ""
    text: str = ""
    retry_after: float | None = None

    @property
    def detail(self) -> str:
        """Status and known codes, for the operator."""
        return " ".join((f"HTTP {self.status}", *(code for code in (self.code, self.kind) if code in codes.SHOWN)))


def said(body: object) -> str:
    """What the body of a refusal says, all of it; not what it repeats of the request, which could say anything."""
    return " ".join(_leaves(body, _DEPTH))[:_LONGEST]


def _leaves(body: object, depth: int) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif depth and isinstance(body, list):
        for item in body[:_WIDTH]:
            yield from _leaves(item, depth - 1)
    elif depth and isinstance(body, Mapping):
        for key, value in body.items():
            if key not in _REPEATS:
                yield from _leaves(value, depth - 1)


#: Where validators put what they were sent: pydantic's `input`, and the names that the texts have in requests.
_REPEATS: Final = frozenset({"input", "inputs", "texts", "ctx"})
_DEPTH: Final = 6
_WIDTH: Final = 16
_LONGEST: Final = 10_000

#: Answers to a request that may pass later as it is.
_TRY_AGAIN: Final = frozenset({408, 409, 425, 429, 499})
_SERVER_ERROR: Final = 500
_PAYMENT_REQUIRED: Final = 402
_TOO_LARGE: Final = 413
_TOO_MANY: Final = 429
#: What a server says that has too much to do (529: Anthropic's, which others took over), and what a gateway says that
#: has waited for one (524: Cloudflare's).
_NOT_KEEPING_UP: Final = MappingProxyType({503: Overloaded, 529: Overloaded, 504: TimedOut, 524: TimedOut})
#: The exceptions of HTTP libraries and of OpenAI's SDK for a request that was sent and not answered in time.
_TIMEOUTS: Final = frozenset({"ReadTimeout", "WriteTimeout", "APITimeoutError"})
#: Answers whose words are worth reading for what is wrong with the request.
_SAYS_WHAT_IS_WRONG: Final = frozenset({400, 404, 410, 422})

#: What stands between the connector and a service whose address is fixed.
_PROXY: Final = "the network and the proxy settings of the connector's environment"

_SAYS_SIZE: Final = re.compile(
    r"too (?:large|long|many|big)|exceed|maximum|\bmax\b|at most|batch.{0,20}size"
    r"|(?:token|context|input|length).{0,20}limit|limit.{0,20}(?:token|context|input|length)",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_TEXTS: Final = re.compile(r"batch.{0,20}size|array|number of (?:texts|inputs|items)", re.IGNORECASE | re.DOTALL)
_SAYS_TOKENS: Final = re.compile(r"token|context", re.IGNORECASE)
_SAYS_BYTES: Final = re.compile(r"byte|body|payload|entity", re.IGNORECASE)
#: What llama.cpp's server says with status 500 to a text that is longer than its batch.
_LLAMA_SIZE: Final = "too large to process"
#: What OpenAI says with status 429 to a request of more tokens than a minute has: no waiting makes it pass.
_SAYS_MORE_THAN_A_MINUTE: Final = re.compile(r"^request too large", re.IGNORECASE)
#: Cohere's trial keys end with the month, and are refused with status 429 until then. Others speak of months where they
#: advertise a plan along with a limit per minute.
_SAYS_MONTH: Final = re.compile(r"trial keys?\b.{0,80}month", re.IGNORECASE | re.DOTALL)
#: Who asks for no longer a wait than this, in seconds, has not used up a month.
_SHORT_WAIT: Final = 3600.0
#: LiteLLM's answer, with status 400 or 429, to a key whose budget is used up.
_SAYS_NO_BUDGET: Final = re.compile(r"budget has been exceeded", re.IGNORECASE)
#: With status 400 or 422. With 429 such words are about a minute as well, Gemini's for one.
_SAYS_NO_QUOTA: Final = re.compile(
    r"\bquotas?\b|(?<!token )\bbudget\b|\bcredits?\b|insufficient.{0,20}balance", re.IGNORECASE
)
#: Cohere, Voyage, Mistral, Ollama, vLLM and OpenRouter say so in words, with 400, 404 or 422.
_SAYS_NO_MODEL: Final = re.compile(
    r"(?:unknown|invalid|unsupported|no such) model"
    r"|model\b.{0,120}(?:not found|(?:does not|doesn't) exist|not exist|was removed|has been removed|deprecated|retired"
    r"|decommissioned|is not supported|is not available|is not a valid|unknown)",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_OPTION: Final = re.compile(
    r"dimension|encoding_format|base64|embedding_types"
    r"|(?:unknown|unsupported|unrecognized|unexpected) (?:parameter|argument|option|field)",
    re.IGNORECASE,
)
#: Gemini's answer to a wrong key has status 400.
_SAYS_BAD_KEY: Final = re.compile(
    r"api.?key (?:is )?(?:not valid|invalid|expired)|(?:invalid|incorrect) api.?key"
    r"|api.?key\b.{0,40}(?:exceed|limit|maximum)",
    re.IGNORECASE | re.DOTALL,
)


def refused(refusal: Refusal, service: Service) -> Exception:
    """What a refusal means: one of the exceptions that the head of this module lists."""
    if _has_no_quota(refusal):
        return _no_quota(refusal, service)
    if refusal.status in _TRY_AGAIN or refusal.status >= _SERVER_ERROR:
        return _too_large(refusal, service) if _never_fits(refusal) else _retryable(refusal, service)
    if _lacks_model(refusal):
        return _unknown_model(refusal, service)
    if refusal.status in _BY_STATUS:
        return _BY_STATUS[refusal.status](refusal, service)
    return _other(refusal, service)


def _has_no_quota(refusal: Refusal) -> bool:
    if refusal.status == _PAYMENT_REQUIRED or not codes.NO_MONEY.isdisjoint((refusal.code, refusal.kind)):
        return True
    if _SAYS_NO_BUDGET.search(refusal.text):
        return True
    is_of_the_minute = _is_limit_by_code(refusal) or (refusal.retry_after or math.inf) <= _SHORT_WAIT
    return refusal.status == _TOO_MANY and not is_of_the_minute and bool(_SAYS_MONTH.search(refusal.text))


def _is_limit_by_code(refusal: Refusal) -> bool:
    return not codes.RATE_LIMIT.isdisjoint((refusal.code, refusal.kind))


def _never_fits(refusal: Refusal) -> bool:
    is_too_much = refusal.status == _TOO_MANY and _SAYS_MORE_THAN_A_MINUTE.search(refusal.text)
    return bool(is_too_much) or _LLAMA_SIZE in refusal.text


def _lacks_model(refusal: Refusal) -> bool:
    if not codes.NO_MODEL.isdisjoint((refusal.code, refusal.kind)):
        return True
    says_so = refusal.status in _SAYS_WHAT_IS_WRONG and _SAYS_NO_MODEL.search(refusal.text)
    return bool(says_so) and not _SAYS_OPTION.search(refusal.text)


def unreachable(service: Service, detail: str) -> Retryable:
    """What it means that no answer came.

    Args:
        service: who was asked.
        detail: the name of the library's exception; one for a timeout may mean that the service does not keep up.
    """
    if detail in _TIMEOUTS:
        change = "raise embedding.requests.timeout, or lower embedding.requests.batch_size or in_flight"
        return TimedOut(TransientError(f"{service.name} did not answer in time; {change}.", detail=detail))
    where = f"; check {service.address} and the network" if service.address else "; check the network"
    return Retryable(TransientError(f"{service.name} could not be reached{where}.", detail=detail))


def misaddressed(service: Service) -> ProviderError:
    """What it means that the HTTP library refuses the address, or a proxy's."""
    if service.address:
        return ProviderError(unusable_address(service.address).message)
    return ProviderError(f"{service.name} cannot be asked; check {_PROXY}.")


def broken(service: Service, problem: Unusable) -> BrokenAnswerError:
    """What it means that an answer came which is none."""
    hint = f" Check that {service.address} leads to an embeddings service." if service.address else ""
    return BrokenAnswerError(f"{service.name} sent an answer that cannot be used: {problem}.{hint}")


def check_dimensions(found: Sequence[Dense], expected: int | None, service: Service) -> None:
    """Compare the length of the vectors with what was configured or is known of the model.

    Raises:
        WrongDimensionsError: it differs.
    """
    if found and expected is not None and found[0].dimensions != expected:
        raise WrongDimensionsError(
            f"{service.name} gives vectors of {found[0].dimensions} numbers where {expected} were expected; "
            f"check {service.dimensions} and {service.model}."
        )


def _config(refusal: Refusal, service: Service, what: str) -> ProviderError:
    return ProviderError(f"{service.name} {what}.", detail=refusal.detail)


def _retryable(refusal: Refusal, service: Service) -> Retryable:
    is_limit = refusal.status == _TOO_MANY or _is_limit_by_code(refusal)
    signal = Throttled if is_limit else _NOT_KEEPING_UP.get(refusal.status, Retryable)
    why = "is over its rate limit" if is_limit else "could not answer"
    failure = TransientError(f"{service.name} {why} (HTTP {refusal.status}); try again later.", detail=refusal.detail)
    return signal(failure, retry_after=refusal.retry_after)


def _no_quota(refusal: Refusal, service: Service) -> ConfigError:
    return _config(refusal, service, "refuses because the account has no quota left; check its plan and billing")


def _bad_key(refusal: Refusal, service: Service) -> ConfigError:
    return _config(refusal, service, f"does not accept the key in {service.key}")


def _forbidden(refusal: Refusal, service: Service) -> ConfigError:
    return _config(refusal, service, f"does not let the key in {service.key} use the model in {service.model}")


def _unknown_model(refusal: Refusal, service: Service) -> ConfigError:
    return _config(
        refusal,
        service,
        f"does not know the model in {service.model}: it is misspelt, retired by now, or not open to this key",
    )


def _not_there(refusal: Refusal, service: Service) -> ConfigError:
    address = f" and {service.address}" if service.address else ""
    return NotThereError(
        f"{service.name} does not know the model or its address; check {service.model}{address}.", detail=refusal.detail
    )


def _too_large(refusal: Refusal, service: Service) -> TooLarge:
    what = f"{service.name} refuses a single text as too long; lower processing.chunk_size."
    return TooLarge(ConfigError(what, detail=refusal.detail), by=_measure(refusal))


def _measure(refusal: Refusal) -> Measure:
    if _SAYS_TEXTS.search(refusal.text) and _LLAMA_SIZE not in refusal.text:
        return "texts"
    if _SAYS_TOKENS.search(refusal.text) or _SAYS_MORE_THAN_A_MINUTE.search(refusal.text):
        return "tokens"
    return "bytes" if refusal.status == _TOO_LARGE or _SAYS_BYTES.search(refusal.text) else "texts"


def _invalid(refusal: Refusal, service: Service) -> Exception:
    # Keys, quotas and options can be exceeded as well, and no text is to blame for that.
    if _SAYS_BAD_KEY.search(refusal.text):
        return _bad_key(refusal, service)
    if _SAYS_NO_QUOTA.search(refusal.text):
        return _no_quota(refusal, service)
    if _SAYS_SIZE.search(refusal.text) and not _SAYS_OPTION.search(refusal.text):
        return _too_large(refusal, service)
    fields = " and ".join(filter(None, (service.model, service.dimensions, service.extra)))
    return InvalidRequestError(
        f"{service.name} refuses the request as invalid (HTTP {refusal.status}); check {fields}.",
        detail=refusal.detail,
    )


def _redirected(refusal: Refusal, service: Service) -> ConfigError:
    """Not followed: it would take the text of records, and perhaps the key, to a host that nobody configured."""
    hint = f"set {service.address} to the address of the service itself" if service.address else f"check {_PROXY}"
    what = f"redirects to another address (HTTP {refusal.status}), which the connector does not send records to"
    by = service.name if service.address else f"Something between the connector and {service.name}"
    return ProviderError(f"{by} {what}; {hint}.", detail=refusal.detail)


def _other(refusal: Refusal, service: Service) -> ConnectorError:
    if refusal.status < 300:  # noqa: PLR2004 -- RFC 9110: a success, so the body is what is wrong
        return broken(service, Unusable("it is no JSON"))
    if refusal.status < 400:  # noqa: PLR2004 -- RFC 9110: a redirection
        return _redirected(refusal, service)
    fields = " and ".join(filter(None, (service.address, service.model)))
    return _config(refusal, service, f"refuses the request (HTTP {refusal.status}); check {fields}")


_BY_STATUS: Final[Mapping[int, Callable[[Refusal, Service], Exception]]] = {
    400: _invalid,
    401: _bad_key,
    403: _forbidden,
    404: _not_there,
    410: _unknown_model,
    413: _too_large,
    422: _invalid,
}
