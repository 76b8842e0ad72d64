"""What every run of the connector has to keep, whatever it was about (pure).

Rules (Airbyte protocol; the platform's `StateWithId.kt`, `StatsTracker.kt`, `StateCheckSumCountEventHandler.kt`,
`BasicAirbyteMessageValidator.kt`):

1.  Every line on stdout is one JSON message with the members its type requires; stderr is empty.
2.  STATEs come back in the order in which they were sent, each once, byte for byte but for `destinationStats`.
3.  Their counts are the platform's own: `recordCount` is a float and equals what was sent since the STATE before; nothing
    is rejected. `additionalStats`, where there are any, are floats above zero. LEGACY states have none of it.
4.  Exit 0: every STATE came back and no error was said. Exit 1: exactly one error. Nothing else, but for signals that
    were sent.
5.  No secret and no text of a record is in anything that was said, but for the STATEs, which are the source's own.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .dialects import Line, Wire
from .story import Json

_LEVELS = {"FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"}
_FAILURE_TYPES = {"config_error", "transient_error", "system_error"}

#: Done, failed, and what SIGKILL leaves.
_EXIT_CODES = {0, 1, -signal.SIGKILL}

#: Shorter texts turn up in any sentence by chance.
_TELLING_TEXT = 8


class ContractBrokenError(AssertionError):
    """The connector did what the platform, or a user, must never see."""


@dataclass(frozen=True, slots=True)
class Output:
    """What one run of `write` said. `code` is negative where a signal ended it.

    `started_in`: seconds until it was ready for its input; `worked_for`: those from then to its end.
    """

    code: int
    stdout: bytes
    stderr: str
    started_in: float = 0.0
    worked_for: float = 0.0

    @property
    def lines(self) -> list[bytes]:
        """What was said, line by line; a kill may have cut the last one."""
        *whole, rest = self.stdout.split(b"\n")
        return whole if not rest or self.was_killed else [*whole, rest]

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def states(self) -> list[bytes]:
        """The STATEs, as they were said."""
        return [line for line in self.lines if _is_state(line)]

    @property
    def messages(self) -> list[Json]:
        return [json.loads(line) for line in self.lines]

    @property
    def errors(self) -> list[Json]:
        return [message["trace"]["error"] for message in self.messages if message["type"] == "TRACE"]

    @property
    def sentences(self) -> list[str]:
        """What a user reads: the log, each line behind its level, and the error."""
        log = [f"{each['log']['level']} {each['log']['message']}" for each in self.messages if each["type"] == "LOG"]
        return [*log, *(error["message"] for error in self.errors)]


def verify(output: Output, wire: Wire, *, private: Iterable[str]) -> int:
    """Hold a run to the contract; returns how many STATEs came back.

    Raises:
        ContractBrokenError: it broke the contract.
    """
    _expect(not output.stderr, "something is on stderr", output.stderr[:500])
    for line in output.lines:
        _verify_message(line)
    _verify_states(output.states, wire.states)
    _verify_end(output, len(wire.states))
    said = b"\n".join(line for line in output.lines if not _is_state(line)).decode()
    for text in private:
        _expect(len(text) < _TELLING_TEXT or text not in said, "a secret or a record's text was said")
    return len(output.states)


def _expect(holds: object, what: str, *found: object) -> None:
    if not holds:
        raise ContractBrokenError(": ".join((what, *map(repr, found))))


def _is_state(line: bytes) -> bool:
    return line.replace(b" ", b"").startswith(b'{"type":"STATE"')


def _verify_message(line: bytes) -> None:
    try:
        message: Any = json.loads(line)
    except ValueError:
        message = None
    _expect(isinstance(message, dict), "a line on stdout is no JSON object", line[:200])
    match message:
        case {"type": "STATE", "state": dict()}:
            return
        case {"type": "LOG", "log": {"level": level, "message": str()}} if level in _LEVELS:
            return
        case {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": int() | float(), "error": error}}:
            _expect(isinstance(error.get("message"), str), "an error without a message", error)
            _expect(error.get("failure_type") in _FAILURE_TYPES, "an error without a failure type", error)
            _expect("\n" not in error["message"], "an error of several lines", error["message"])
        case _:
            _expect(False, "a message that the platform would drop", line[:200])


def _verify_states(emitted: list[bytes], sent: list[Line]) -> None:
    _expect(len(emitted) <= len(sent), "more STATEs came back than were sent", len(emitted), len(sent))
    for raw, line in zip(emitted, sent, strict=False):
        expected = without_counts(line.raw.strip())
        _expect(without_counts(raw) == expected, "a STATE came back altered or out of order", raw[:300], expected[:300])
        stats = json.loads(raw)["state"].get("destinationStats")
        if line.said and line.said.kind == "legacy":
            _expect(stats is None, "a LEGACY state came back with counts", stats)
            continue
        _expect(isinstance(stats, dict), "a STATE came back without counts", raw[:300])
        _expect(isinstance(stats.get("recordCount"), float), "recordCount is no float", stats)
        more = stats.pop("additionalStats", None)
        _expect(stats == {"recordCount": line.record_count}, "a STATE's count is not the platform's", stats, line)
        _expect(more is None or _are_numbers(more), "additionalStats that the platform cannot add up", more)


def _are_numbers(stats: Any) -> bool:
    """Whether it is a map of numbers above zero: what there is nothing to tell of is left out."""
    return (
        isinstance(stats, dict) and bool(stats) and all(isinstance(each, float) and each > 0 for each in stats.values())
    )


def without_counts(state: bytes) -> bytes:
    """A STATE but for its `destinationStats`."""
    return re.sub(rb',?\s*"destinationStats":\s*(null|\{([^{}]|\{[^{}]*\})*\})', b"", state)


def _verify_end(output: Output, sent: int) -> None:
    _expect(output.code in _EXIT_CODES, "an exit code that means nothing", output.code)
    if output.code == 0:
        _expect(len(output.states) == sent, "exit 0, and not every STATE came back", len(output.states), sent)
        _expect(not output.errors, "exit 0 with an error", output.errors)
    elif output.code == 1:
        _expect(len(output.errors) == 1, "a failure without exactly one error", output.errors)
