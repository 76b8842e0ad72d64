"""What all parts of the wire double know: a request as it arrived, and a refusal as the server words it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

NOT_JSON = "Format error in JSON body: "
WRONG = "Wrong input: "
BAD = "Bad request: "


class RefusalError(Exception):
    """What the server answers instead of a result."""

    def __init__(
        self, status: int, text: str, headers: Mapping[str, str] | None = None, *, plain: bool = False
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}
        self.plain = plain
        """Whether the text is all of the body, without the envelope of JSON."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; `body` is None when there was none or it could not be read (see `problem`)."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    key: str | None = field(default=None, repr=False)
    problem: RefusalError | None = None
    transport: Literal["rest", "grpc"] = "rest"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Lower-case names; over gRPC the metadata."""

    def is_like(self, pattern: str) -> bool:
        """Whether `pattern` is found in "METHOD /path"."""
        return re.search(pattern, f"{self.method} {self.path}") is not None

    @property
    def waits(self) -> bool:
        """Whether a write is answered only when it has been applied."""
        return self.query.get("wait") == "true"


def key_in(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries; an empty one is one as well, though never the right one."""
    return headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ") or headers.get("api-key")
