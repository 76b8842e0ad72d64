"""What a provider takes: in one request, with each provider's words for what is too much; and in a minute."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from provider_answers import Asked, Reply, json_reply, over_the_rate, refusal


def count_tokens(text: str) -> int:
    """Words and signs: what cl100k_base counts in plain English words."""
    return len(re.findall(r"\w+|[^\w\s]", text))


# ------------------------------------------------------------------------------------------------------------
# In one request


@dataclass(frozen=True, slots=True)
class TooMuch:
    """What was too much of a request: its `found` items where `most` are taken."""

    asked: Asked
    found: int
    most: int


Words = Callable[[TooMuch], Reply]


def openai_texts(much: TooMuch) -> Reply:
    why = f"Invalid 'input': array too long. Expected an array with maximum length {much.most}, but got {much.found}."
    return refusal(much.asked, 400, why, code="array_above_max_length")


def openai_tokens(much: TooMuch) -> Reply:
    # langchain-ai/langchain#31227
    why = f"Requested {much.found} tokens, max {much.most} tokens per request"
    return refusal(much.asked, 400, why, code="max_tokens_per_request", kind="max_tokens_per_request")


def openai_text(much: TooMuch) -> Reply:
    why = f"This model's maximum context length is {much.most} tokens, however you requested {much.found} tokens."
    return refusal(much.asked, 400, why)


def mistral(much: TooMuch) -> Reply:
    # chroma-core/chroma#5597: says neither how much there was nor how much there may be
    why = f"Too many tokens overall, split into more batches. {much.asked.texts[:1]} {much.asked.key}"
    return json_reply({"object": "error", "message": why, "type": "invalid_request_prompt", "code": "3210"}, 400)


def tei_texts(much: TooMuch) -> Reply:
    why = f"batch size {much.found} > maximum allowed batch size {much.most}"
    return json_reply({"message": why, "code": 422, "type": "Validation", "error": why}, 422)


def tei_text(much: TooMuch) -> Reply:
    why = f"`inputs` must have less than {much.most} tokens. Given: {much.found}"
    return json_reply({"message": why, "code": 413, "type": "Validation", "error": why}, 413)


def cohere_texts(much: TooMuch) -> Reply:
    why = f"invalid request: total number of texts must be at most {much.most} - received {much.found}"
    return refusal(much.asked, 400, why)


def cohere_text(much: TooMuch) -> Reply:
    why = f"too many tokens: total number of tokens in each text must be at most {much.most} - received {much.found}"
    return refusal(much.asked, 400, why)


def voyage_tokens(much: TooMuch) -> Reply:
    # sigoden/aichat#825
    why = f"The max allowed tokens per submitted batch is {much.most}. Your batch has {much.found} tokens."
    return json_reply(
        {"detail": f"Request to model failed. {why} Please lower the number of tokens in the batch."}, 400
    )


def gemini_texts(much: TooMuch) -> Reply:
    why = f"* BatchEmbedContentsRequest.requests: at most {much.most} requests can be in one batch"
    return json_reply({"error": {"code": 400, "message": why, "status": "INVALID_ARGUMENT"}}, 400)


def dashscope_texts(much: TooMuch) -> Reply:
    # memodb-io/memobase#142
    why = f"Value error, batch size is invalid, it should not be larger than {much.most}.: input.contents"
    return refusal(much.asked, 400, f"<400> InternalError.Algo.InvalidParameter: {why}", code="InvalidParameter")


def vllm_text(much: TooMuch) -> Reply:
    why = f"This model's maximum context length is {much.most} tokens. However, you requested {much.found} tokens"
    return json_reply({"object": "error", "message": why, "type": "BadRequestError", "code": 400}, 400)


def llama_text(much: TooMuch) -> Reply:
    why = f"input ({much.found} tokens) is too large to process. increase the physical batch size"
    return json_reply({"error": {"code": 500, "message": why, "type": "server_error"}}, 500)


def proxy_bytes(much: TooMuch) -> Reply:
    page = f"<html><head><title>413 Request Entity Too Large</title></head>{much.asked.key}</html>"
    return Reply(413, page.encode(), {"content-type": "text/html"})


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of something in one request, and the words in which more is refused."""

    most: int
    words: Words
    measure: Callable[[Asked], int]

    def refuses(self, asked: Asked) -> Reply | None:
        found = self.measure(asked)
        return self.words(TooMuch(asked, found, self.most)) if found > self.most else None


def texts(most: int, words: Words = openai_texts) -> Limit:
    return Limit(most, words, lambda asked: len(asked.texts))


def tokens(most: int, words: Words = openai_tokens) -> Limit:
    """Of all texts of a request together."""
    return Limit(most, words, lambda asked: sum(map(count_tokens, asked.texts)))


def tokens_of_a_text(most: int, words: Words = openai_text) -> Limit:
    return Limit(most, words, lambda asked: max(map(count_tokens, asked.texts), default=0))


def body_bytes(most: int, words: Words = proxy_bytes) -> Limit:
    return Limit(most, words, lambda asked: asked.size)


# ------------------------------------------------------------------------------------------------------------
# In a minute


class Bucket:
    """So much a minute, of which `burst` at once."""

    def __init__(self, per_minute: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = per_minute / 60
        self.burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def seconds_until(self, amount: float) -> float:
        """How long until there is as much; what is more than ever fits never comes."""
        self._refill()
        return max(0.0, amount - self._left) / self._rate

    def take(self, amount: float) -> None:
        self._left -= amount

    @property
    def left(self) -> float:
        return self._left

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self.burst, self._left + (now - self._at) * self._rate)
        self._at = now


class RateLimit:
    """Buckets of requests and of tokens. Safe to use from several threads.

    Args:
        requests: a minute; None for no limit.
        tokens: a minute; None for no limit.
        burst: how much of a minute may be had at once.
        clock: what it goes by.
    """

    def __init__(
        self,
        requests: float | None = None,
        tokens: float | None = None,
        *,
        burst: float = 1 / 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._buckets = {
            name: Bucket(most, max(1.0, most * burst), clock)
            for name, most in (("requests", requests), ("tokens", tokens))
            if most is not None
        }

    def admit(self, asked: Asked) -> tuple[Reply | None, Mapping[str, str]]:
        """A refusal or None, and the headers of a good answer. What is refused costs nothing."""
        amounts = {"requests": 1, "tokens": sum(map(count_tokens, asked.texts))}
        with self._lock:
            waits = {name: bucket.seconds_until(amounts[name]) for name, bucket in self._buckets.items()}
            wait = max(waits.values(), default=0.0)
            if not wait:
                for name, bucket in self._buckets.items():
                    bucket.take(amounts[name])
            headers = self._headers()
        if not wait:
            return None, headers
        told = {"retry-after-ms": str(math.ceil(wait * 1000)), "retry-after": str(math.ceil(wait))}
        return over_the_rate(asked, {**headers, **told}), headers

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{name}"] = str(int(bucket.burst))
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.left)))
            headers[f"x-ratelimit-reset-{name}"] = f"{math.ceil(bucket.seconds_until(bucket.burst) * 1000)}ms"
        return headers
