"""The command line: `spec`, `check --config`, `write --config --catalog`; JSON lines on stdin and stdout.

Standard output carries messages and nothing else: whatever a library prints goes to standard error.
`plan` is for people instead of a platform: a table on standard output, everything else in sentences on standard error.
Exit codes: 0 done (also after a failed check, which says so in its message), 1 failed, 2 wrong arguments, 143 SIGTERM, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from .errors import ConfigError, ConnectorError, SystemFault
from .protocol import MessageWriter, TextWriter
from .redaction import Redactor

if TYPE_CHECKING:
    from .lines import StdinLines

#: Records may be nested as deeply as the fast parser allows (1,024 levels, with several frames a level).
_RECURSION_LIMIT = 5_000

#: `M_ARENA_MAX` of glibc's malloc.h.
_ARENA_MAX = -8


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    try:
        out = (TextWriter if arguments.command == "plan" else MessageWriter)(_take_stdout())
    except (OSError, AttributeError):
        return 1  # there is no standard output, so there is nobody to tell
    _silence_libraries()
    try:
        return _COMMANDS[arguments.command](arguments, out)
    except ConnectorError as error:
        return _fail(out, error)
    except BrokenPipeError:
        return 1  # nobody listens any more
    except Exception as error:  # noqa: BLE001 -- the entry point: whatever was not translated is a bug, and is told as one
        return _fail(out, _unknown(error), error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="destination-qdrant", description="Airbyte destination for Qdrant.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("spec", help="print the specification of the configuration")
    check = commands.add_parser("check", help="try a configuration without changing anything")
    write = commands.add_parser(
        "write",
        help="write the Airbyte messages on standard input",
        description="Write the Airbyte messages that come on standard input, a line each.",
    )
    plan = commands.add_parser(
        "plan",
        help="tell what `write` would embed of the same input, and write and embed nothing",
        description="Tell what `write` would embed of the Airbyte messages that come on standard input, a line each; write and "
        "embed nothing. The exit code is 1 where the sync would fail.",
    )
    for command in (check, write, plan):
        command.add_argument("--config", required=True, help="the configuration, a JSON file")
    for command in (write, plan):
        command.add_argument("--catalog", required=True, help="the configured catalog, a JSON file")
    plan.add_argument(
        "--price-per-million-tokens", type=price, metavar="PRICE", help="what the provider asks, in any currency"
    )
    return parser


def price(text: str) -> float:
    """A number that money can be (argparse shows the name of this function)."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return number


def _spec(_arguments: argparse.Namespace, out: MessageWriter) -> int:
    from .spec import connector_spec

    out.spec(connector_spec())
    return 0


def _check(arguments: argparse.Namespace, out: MessageWriter) -> int:
    from .check import check

    try:
        raw_config = _read_json(arguments.config, "configuration")
        _mask_secrets(out, raw_config)
        message = check(raw_config, deployment_mode=_deployment_mode())
    except ConnectorError as error:
        out.connection_status(succeeded=False, message=error.message)
    except Exception as error:  # noqa: BLE001 -- a check answers, whatever happens
        out.connection_status(succeeded=False, message=_unknown(error).message)
    else:
        out.connection_status(succeeded=True, message=message)
    return 0


def _write(arguments: argparse.Namespace, out: MessageWriter) -> int:
    from .write import write

    raw_config, raw_catalog, source = _inputs(arguments, out)
    _share_heaps()
    write(raw_config, raw_catalog, source, out, run_id=os.urandom(16).hex(), deployment_mode=_deployment_mode())
    return 0


def _share_heaps() -> None:
    """Have all threads allocate from two heaps: glibc gives each its own and hardly anything back, 50 MB in a sync of texts."""
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _plan(arguments: argparse.Namespace, out: MessageWriter) -> int:
    from .plan import plan

    aside = TextWriter(sys.stderr.buffer)
    try:
        raw_config, raw_catalog, source = _inputs(arguments, out, aside)
        told = plan(
            raw_config,
            raw_catalog,
            source,
            aside,
            run_id=os.urandom(16).hex(),
            price=arguments.price_per_million_tokens,
            deployment_mode=_deployment_mode(),
        )
    except ConnectorError as error:
        return _fail(aside, error)
    except Exception as error:  # noqa: BLE001 -- a bug, told in a sentence too
        return _fail(aside, _unknown(error))
    for line in told.lines:
        out.log("INFO", line)
    return int(told.would_fail)


_COMMANDS = {"spec": _spec, "check": _check, "write": _write, "plan": _plan}


def _inputs(arguments: argparse.Namespace, *outs: MessageWriter) -> tuple[Any, Any, StdinLines]:
    """Configuration, catalog and messages."""
    from .lines import StdinLines

    raw_config = _read_json(arguments.config, "configuration")
    for out in outs:
        _mask_secrets(out, raw_config)
    raw_catalog = _read_json(arguments.catalog, "catalog")
    if sys.stdin is None:
        raise ConfigError(f"Standard input is closed; pipe the messages of a source into `{arguments.command}`.")
    return raw_config, raw_catalog, StdinLines(sys.stdin.fileno())


def _read_json(path: str, what: str) -> Any:
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 -- "-" and pipes are files too
            return json.load(file)
    except OSError as error:
        raise ConfigError(f"The {what} file cannot be read ({error.strerror}); check the path {path}.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"The {what} file {path} is not valid JSON; check how it was written.") from None


def _mask_secrets(out: MessageWriter, raw_config: Any) -> None:
    from .config import secrets_of_raw

    out.redact(Redactor(secrets_of_raw(raw_config)))


def _deployment_mode() -> str:
    return os.environ.get("DEPLOYMENT_MODE", "")


def _fail(out: MessageWriter, error: ConnectorError, cause: BaseException | None = None) -> int:
    with suppress(OSError):  # a full or closed stdout: nobody can be told
        out.error(error, _frames(cause or error))
    return 1


def _unknown(error: Exception) -> SystemFault:
    return SystemFault(
        f"The connector failed in a way that it does not know ({type(error).__name__}); please report it.",
        detail=type(error).__name__,
    )


def _frames(error: BaseException) -> str:
    """Where it happened and through which exceptions, without their texts: those may quote records and secrets."""
    parts: list[str] = []
    each: BaseException | None = error
    while each is not None and len(parts) < 10:  # noqa: PLR2004 -- enough of a chain to understand it
        parts.append("".join(traceback.format_tb(each.__traceback__)) + type(each).__name__)
        each = each.__cause__
    return "\ncaused by:\n".join(parts)


def _take_stdout() -> BinaryIO:
    """Keep the real standard output for messages; what others print goes to standard error."""
    sys.stdout.flush()
    real = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return real


def _silence_libraries() -> None:
    """Logs and warnings of libraries may quote records and secrets, and every line on stderr is shown as an error."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threading.excepthook = lambda _args: None


def _on_stop(signal_number: int, _frame: object) -> NoReturn:
    # At once and without clean-up: what was acknowledged is durable, and nothing may be finalized any more.
    os._exit(128 + signal_number)


def console() -> NoReturn:
    """Run as a program: leaves at once, also when a worker still waits for an answer."""
    for stop in (signal.SIGTERM, signal.SIGINT):  # the first process of a container does not end without a handler
        signal.signal(stop, _on_stop)
    code = main()
    sys.stderr.flush()
    os._exit(code)
