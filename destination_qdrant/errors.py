"""The exceptions that end a command, grouped by what the platform should do next.

    ConnectorError             never raised itself
    ├── ConfigError            the user must change something: retries are stopped
    │   ├── PointRefusedError  it is about one point
    │   ├── ProviderError      it is about who embeds, whatever was to be embedded
    │   └── TextRefusedError   it is about one text that was to be embedded
    ├── TransientError         trying again later may help
    └── SystemFault            a bug or a broken promise of another system

The text of an exception is shown to the user as it is, so it is one sentence (or a few short ones) that
says what was found, what was expected and what to change.
It never holds record content, a secret, or the text of a foreign exception (those quote both).
`detail` is for the operator: short identifiers such as an HTTP status or an error code, under the same rule.

Source of the three kinds: `failure_type` of AirbyteErrorTraceMessage in the Airbyte protocol.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

FailureType = Literal["config_error", "transient_error", "system_error"]


class ConnectorError(Exception):
    """Base class; `failure_type` tells the platform what to do."""

    failure_type: ClassVar[FailureType] = "system_error"

    def __init__(self, message: str, *, detail: str = "") -> None:
        """Keep the user's sentence and the operator's detail apart."""
        super().__init__(message)
        self.message = message
        self.detail = detail

    @property
    def internal_message(self) -> str:
        """What Airbyte calls the internal message; the sentence is in it, because some clients show nothing else."""
        return f"{self.detail or type(self).__name__}: {self.message}"

    def at(self, whereabouts: str) -> Self:
        """The same error, saying in addition which part of the input it is about."""
        moved = type(self)(f"{self.message} ({whereabouts})", detail=self.detail)
        moved.__cause__ = self
        return moved


class ConfigError(ConnectorError):
    """The user must act: wrong field, missing right, full disk. The platform stops retrying."""

    failure_type: ClassVar[FailureType] = "config_error"


class PointRefusedError(ConfigError):
    """Qdrant refuses one point; `index` is its place among those that were handed over."""

    def __init__(self, message: str, *, detail: str = "", index: int = 0) -> None:
        """Say which one."""
        super().__init__(message, detail=detail)
        self.index = index


class ProviderError(ConfigError):
    """The embedding provider refuses whatever it is sent: its key, quota, model or address has to be changed."""


class TextRefusedError(ConfigError):
    """A provider does not take one text; `text` is that text, for finding its record and never shown."""

    def __init__(self, message: str, *, detail: str = "", text: str = "") -> None:
        """Say which one."""
        super().__init__(message, detail=detail)
        self.text = text


class TransientError(ConnectorError):
    """The same sync may pass later: server away, rate limit, source ended early."""

    failure_type: ClassVar[FailureType] = "transient_error"


class SystemFault(ConnectorError):  # noqa: N818 -- SystemError is taken, and a fault is what it is
    """Something that must not happen, happened: a bug here or a broken promise elsewhere."""

    failure_type: ClassVar[FailureType] = "system_error"
