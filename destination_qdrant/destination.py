"""The connector as a class of Airbyte's CDK, so that the CDK's tools and tests can drive it.

It calls the same functions as the command line (`run`), which does without the CDK: importing it takes seconds, and its
message classes drop members of STATEs. Such members are lost here too, since the caller hands over those classes.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models.airbyte_protocol import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    ConnectorSpecification,
    FailureType,
    Status,
)
from airbyte_cdk.models.airbyte_protocol_serializers import (
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecificationSerializer,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .check import check
from .config import secrets_of_raw
from .errors import ConnectorError
from .lines import StdinLines
from .protocol import MessageWriter
from .redaction import Redactor
from .spec import connector_spec
from .write import write


class DestinationQdrant(Destination):
    """Airbyte destination for Qdrant."""

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 -- the CDK's signature
        """The specification of the configuration."""
        return ConnectorSpecificationSerializer.load(connector_spec())

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002 -- same
        """Try a configuration without changing anything."""
        redactor = Redactor(secrets_of_raw(config))
        try:
            message = check(dict(config), deployment_mode=_deployment_mode())
        except ConnectorError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=redactor.mask(error.message))
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=redactor.mask(message))

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Write messages; yields STATEs once everything before them is in Qdrant.

        Raises:
            AirbyteTracedException: the sync failed.
        """
        catalog = ConfiguredAirbyteCatalogSerializer.dump(configured_catalog)
        source, outbox = _MessageLines(input_messages), _Outbox()
        redactor = Redactor(secrets_of_raw(config))
        failures: list[BaseException] = []

        def run() -> None:
            try:
                write(
                    dict(config),
                    catalog,
                    source,
                    MessageWriter(cast("BinaryIO", outbox), redactor),
                    run_id=os.urandom(16).hex(),
                    deployment_mode=_deployment_mode(),
                )
            except BaseException as error:  # noqa: BLE001 -- raised again in the caller's thread
                failures.append(error)
            finally:
                outbox.close()

        thread = threading.Thread(target=run, name="write", daemon=True)
        thread.start()
        try:
            yield from outbox.messages()
        finally:
            source.stop()  # a caller that leaves early has not seen the end, so nothing may be finalized
            thread.join()
        for failure in failures:
            raise _traced(failure, redactor) from None


def _deployment_mode() -> str:
    return os.environ.get("DEPLOYMENT_MODE", "")


def _traced(failure: BaseException, redactor: Redactor) -> BaseException:
    if not isinstance(failure, ConnectorError):
        return failure
    return AirbyteTracedException(
        message=redactor.mask(failure.message),
        internal_message=redactor.mask(failure.internal_message),
        failure_type=FailureType[failure.failure_type],
    )


class _CallerLeft(Exception):  # noqa: N818 -- a signal: nobody is there any more whom an error could be told
    """The caller stopped reading. No error of the input, after which what was read until then would still be stored."""


class _MessageLines:
    """The CDK's messages as lines of a pipe, so that the reader can wait for them and be woken as at standard input."""

    def __init__(self, messages: Iterable[AirbyteMessage]) -> None:
        self._messages = messages
        self._stopped = False
        self._failure: BaseException | None = None
        self._reader, self._writer = os.pipe()
        self._lines = StdinLines(self._reader)

    @property
    def on_wait(self) -> Callable[[], float | None]:
        """See `lines.StdinLines`."""
        return self._lines.on_wait

    @on_wait.setter
    def on_wait(self, called: Callable[[], float | None]) -> None:
        def waiting() -> float | None:
            self._raise_if_stopped()
            return called()

        self._lines.on_wait = waiting

    def wake(self) -> None:
        """See `lines.StdinLines`."""
        self._lines.wake()

    def stop(self) -> None:
        """Let the reader fail, now, instead of finding an end of the input."""
        self._stopped = True
        self._lines.wake()

    def __iter__(self) -> Iterator[bytes]:
        threading.Thread(target=self._feed, name="feed", daemon=True).start()
        try:
            for line in self._lines:
                self._raise_if_stopped()
                yield line
            self._raise_if_stopped()
        finally:
            os.close(self._reader)  # a feeder that still writes gets a broken pipe

    def _raise_if_stopped(self) -> None:
        if self._failure:
            raise self._failure
        if self._stopped:
            raise _CallerLeft

    def _feed(self) -> None:
        with suppress(BrokenPipeError), os.fdopen(self._writer, "wb") as pipe:
            try:
                for message in self._messages:
                    if self._stopped:
                        return
                    pipe.write(_line(message))
                    pipe.flush()
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001 -- what the source raises is no end of the input
                self._failure = error  # before the pipe closes, or the reader would take it for the end


def _line(message: AirbyteMessage) -> bytes:
    fields = AirbyteMessageSerializer.dump(message)
    try:
        return orjson.dumps(fields) + b"\n"
    except TypeError:  # integers beyond 64 bits, lone surrogates, decimals
        return json.dumps(fields, default=str).encode() + b"\n"


class _Outbox:
    """A binary stream whose lines come out as messages in another thread."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()

    def write(self, line: bytes) -> int:
        self._lines.put(line)
        return len(line)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self._lines.put(None)

    def messages(self) -> Iterator[AirbyteMessage]:
        while (line := self._lines.get()) is not None:
            yield AirbyteMessageSerializer.load(orjson.loads(line))
