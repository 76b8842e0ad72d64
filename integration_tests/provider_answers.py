"""What embedding providers answer, good and odd, in OpenAI's and in Cohere's words (pure).

    odd = too_few               # an `Odd`: takes what was asked and the right rows, gives the reply
    reply = odd(asked, rows(asked.texts, 8))

Every refusal quotes the first text and the key, as the worst of them do: none of it may leave the connector.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Json = dict[str, Any]
Dialect = Literal["openai", "azure", "cohere"]
Encoding = Literal["base64", "float"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for embeddings. `headers` are without the key; `dimensions` is None where none were asked for."""

    dialect: Dialect
    path: str
    model: str
    texts: tuple[str, ...]
    encoding: Encoding
    dimensions: int | None
    body: Json
    headers: Mapping[str, str]
    size: int
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One item of an answer: which text it is for, and its vector."""

    index: int
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """One response. `cut` ends the connection after so many bytes of the body; `drip` waits so long before each.

    With `endless`, the body is all that comes at once, head included, and then this again and again, every `drip`.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    endless: bytes = b""


Odd = Callable[[Asked, Sequence[Row]], Reply]


# ------------------------------------------------------------------------------------------------------------
# Good answers


def vector(text: str, dimensions: int) -> tuple[float, ...]:
    """A vector of length one, the same for the same text, and unlike that of any other."""
    drawn = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    numbers = [(each + 0.5) / 32_768 - 1 for each in struct.unpack(f"<{dimensions}H", drawn)]
    length = math.sqrt(sum(each * each for each in numbers))
    packed = struct.pack(f"<{dimensions}f", *(each / length for each in numbers))
    return struct.unpack(f"<{dimensions}f", packed)


def rows(texts: Sequence[str], dimensions: int) -> list[Row]:
    """What a good answer holds."""
    return [Row(index, vector(text, dimensions)) for index, text in enumerate(texts)]


def answer(asked: Asked, found: Sequence[Row], encoding: Encoding | None = None) -> Reply:
    """These rows, in this order; by default in the encoding that was asked for."""
    encoding = encoding or asked.encoding
    values = [_encoded(row.numbers, encoding) for row in found]
    if asked.dialect == "cohere":
        return json_reply({"id": "1", "texts": asked.texts, "embeddings": {encoding: values}, "meta": {}})
    data = [
        {"object": "embedding", "index": row.index, "embedding": value}
        for row, value in zip(found, values, strict=True)
    ]
    used = sum(len(text) for text in asked.texts) // 4
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json_reply({"object": "list", "model": asked.model, "data": data, "usage": usage})


def json_reply(content: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"content-type": "application/json", **(headers or {})})


def refusal(
    asked: Asked,
    status: int,
    message: str,
    *,
    code: str | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in the provider's form, with what nobody else may read in it."""
    said = f"{message} (input: {asked.texts[:1]}, key: {asked.key})"
    if asked.dialect == "cohere":
        return json_reply({"id": "1", "message": said}, status, headers)
    error = {"message": said, "type": kind, "param": None, "code": code}
    if asked.dialect == "azure":
        error = {"code": code or str(status), "message": said}
    return json_reply({"error": error}, status, headers)


def _encoded(numbers: Sequence[float], encoding: Encoding) -> str | list[float]:
    if encoding == "float":
        return list(numbers)
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


# ------------------------------------------------------------------------------------------------------------
# Answers with the wrong vectors in them


def shuffled(asked: Asked, found: Sequence[Row]) -> Reply:
    """Right, and out of order: only `index` tells."""
    return answer(asked, [*found[1::2], *found[::2]][::-1])


def too_few(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, found[:-1])


def too_many(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [*found, Row(len(found), found[-1].numbers)])


def duplicate_index(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [replace(row, index=0) for row in found])


def wrong_length(asked: Asked, found: Sequence[Row]) -> Reply:
    """Every vector a number short."""
    return answer(asked, [replace(row, numbers=row.numbers[:-1]) for row in found])


def uneven_lengths(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [*found[:-1], replace(found[-1], numbers=found[-1].numbers[:-1])])


def not_a_number(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [_with_first(row, math.nan) for row in found])


def infinite(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [_with_first(row, math.inf) for row in found])


def _with_first(row: Row, number: float) -> Row:
    return replace(row, numbers=(number, *row.numbers[1:]))


def all_zeros(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, [replace(row, numbers=(0.0,) * len(row.numbers)) for row in found])


def null_embeddings(asked: Asked, found: Sequence[Row]) -> Reply:
    """What a proxy makes of a backend's error."""
    if asked.dialect == "cohere":
        return json_reply({"id": "1", "texts": [], "embeddings": {asked.encoding: [None for _ in found]}})
    return json_reply({"object": "list", "data": [{"index": row.index, "embedding": None} for row in found]})


def no_data(asked: Asked, _: Sequence[Row]) -> Reply:
    return answer(asked, [])


# ------------------------------------------------------------------------------------------------------------
# What servers that imitate OpenAI do with base64, and with `dimensions`


def base64_refused(asked: Asked, found: Sequence[Row]) -> Reply:
    if asked.encoding == "base64":
        return refusal(asked, 400, "encoding_format must be float, base64 is not supported", code="invalid_value")
    return answer(asked, found)


def base64_ignored(asked: Asked, found: Sequence[Row]) -> Reply:
    return answer(asked, found, "float")


def quarter_of_base64(asked: Asked, found: Sequence[Row]) -> Reply:
    """A quarter of the numbers for base64: somewhere four bytes were taken for one number."""
    if asked.encoding == "base64":
        found = [replace(row, numbers=row.numbers[: len(row.numbers) // 4]) for row in found]
        return answer(asked, found)
    return answer(asked, found)


def dimensions_refused(asked: Asked, found: Sequence[Row]) -> Reply:
    if "dimensions" in asked.body or "output_dimension" in asked.body:
        return refusal(asked, 400, "Model does not support matryoshka representation, changing output dimensions")
    return answer(asked, found)


# ------------------------------------------------------------------------------------------------------------
# Answers that are none


def html_page(asked: Asked, _: Sequence[Row]) -> Reply:
    """What a proxy or a portal says in the provider's place."""
    page = f"<html><body>Log in to go on. {html.escape(str(asked.texts[:1]))} {asked.key}</body></html>"
    return Reply(200, page.encode(), {"content-type": "text/html"})


def error_with_200(asked: Asked, _: Sequence[Row]) -> Reply:
    return replace(refusal(asked, 500, "The model crashed"), status=200)


def cut_off(asked: Asked, found: Sequence[Row]) -> Reply:
    """The connection ends in the middle of the answer."""
    whole = answer(asked, found)
    return replace(whole, cut=len(whole.body) // 2)


def half_of_json(asked: Asked, found: Sequence[Row]) -> Reply:
    """As many bytes as were promised, and not all of the JSON."""
    whole = answer(asked, found)
    return replace(whole, body=whole.body[: len(whole.body) // 2])


def hung_up(asked: Asked, found: Sequence[Row]) -> Reply:
    """The connection ends where an answer was due."""
    return replace(answer(asked, found), cut=-1)


def slow_drip(asked: Asked, found: Sequence[Row]) -> Reply:
    """A byte now and then: no single wait is long, the whole is endless."""
    return replace(answer(asked, found), drip=0.2)


def endless_hints(_: Asked, __: Sequence[Row]) -> Reply:
    """Always an informational answer before the one that counts (RFC 9110, section 15.2)."""
    return Reply(200, b"", drip=0.2, endless=b"HTTP/1.1 103 Early Hints\r\n\r\n")


def endless_header(_: Asked, __: Sequence[Row]) -> Reply:
    return Reply(200, b"HTTP/1.1 200 OK\r\nx-long: ", drip=0.2, endless=b"x")


def endless_chunk_head(_: Asked, __: Sequence[Row]) -> Reply:
    """The body has begun, and no byte of it ever comes."""
    return Reply(200, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", drip=0.2, endless=b"a")


def endless_body(_: Asked, __: Sequence[Row]) -> Reply:
    """As fast as it can be read."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    return Reply(200, head + b'{"data": [', endless=b" " * 1_000_000)


def bomb(_: Asked, __: Sequence[Row]) -> Reply:
    """A small answer that unpacks to a large one."""
    packed = gzip.compress(bytes(50_000_000), compresslevel=1)
    return Reply(200, packed, {"content-type": "application/json", "content-encoding": "gzip"})


def packed_overload(asked: Asked, found: Sequence[Row]) -> Reply:
    """What some gateways send to whoever does not want it."""
    plain = overloaded(asked, found)
    return replace(plain, body=gzip.compress(plain.body), headers={**plain.headers, "content-encoding": "gzip"})


def redirect(asked: Asked, _: Sequence[Row]) -> Reply:
    return Reply(307, b"", {"location": f"http://127.0.0.1:9/other?{asked.key}"})


# ------------------------------------------------------------------------------------------------------------
# Refusals that no waiting heals, and those that it does


def no_quota(asked: Asked, _: Sequence[Row]) -> Reply:
    """A 429 too, which the SDKs try again."""
    if asked.dialect == "cohere":
        return refusal(asked, 402, "Please add or update your payment method to continue")
    why = "You exceeded your current quota, please check your plan and billing details."
    return refusal(asked, 429, why, code="insufficient_quota", kind="insufficient_quota")


def bad_key(asked: Asked, _: Sequence[Row]) -> Reply:
    return refusal(asked, 401, f"Incorrect API key provided: {asked.key}.", code="invalid_api_key")


def forbidden(asked: Asked, _: Sequence[Row]) -> Reply:
    return refusal(asked, 403, "Project does not have access to the model", code="model_not_found")


def no_model(asked: Asked, _: Sequence[Row]) -> Reply:
    code = "DeploymentNotFound" if asked.dialect == "azure" else "model_not_found"
    return refusal(asked, 404, f"The model {asked.model} does not exist or you do not have access to it.", code=code)


def model_gone(asked: Asked, _: Sequence[Row]) -> Reply:
    return refusal(asked, 410, f"The model {asked.model} has been retired.", code="model_not_found")


def server_error(asked: Asked, _: Sequence[Row]) -> Reply:
    return refusal(asked, 500, "The server had an error while processing your request", kind="server_error")


def bad_gateway(asked: Asked, _: Sequence[Row]) -> Reply:
    return Reply(502, f"<html>Bad gateway {asked.key}</html>".encode(), {"content-type": "text/html"})


def overloaded(asked: Asked, _: Sequence[Row]) -> Reply:
    return refusal(asked, 503, "Model is overloaded", kind="overloaded")


def paused(
    seconds: float, header: Callable[[float], Mapping[str, str]], clock: Callable[[], float] = time.monotonic
) -> Odd:
    """A rate limit that refuses for so long, from the first request on, and says how long that still is."""
    began: list[float] = []

    def odd(asked: Asked, found: Sequence[Row]) -> Reply:
        now = clock()
        began.append(now)
        left = began[0] + seconds - now
        return answer(asked, found) if left <= 0 else over_the_rate(asked, header(left))

    return odd


def over_the_rate(asked: Asked, headers: Mapping[str, str]) -> Reply:
    why = "Rate limit reached for requests"
    return refusal(asked, 429, why, code="rate_limit_exceeded", kind="requests", headers=headers)


def in_milliseconds(left: float) -> Mapping[str, str]:
    return {"retry-after-ms": str(math.ceil(left * 1000))}


def in_seconds(left: float) -> Mapping[str, str]:
    return {"retry-after": str(math.ceil(left))}
