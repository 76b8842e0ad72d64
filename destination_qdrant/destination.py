"""The connector as a class of Airbyte's CDK, so that the CDK's tools and tests can drive it.

It calls the same functions as the command line (`run`), which does without the CDK: importing it takes seconds, and its
message classes drop members of STATEs. Such members are lost here too, since the caller hands over those classes.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from .protocol import MessageWriter
from .redaction import Redactor
from .spec import connector_spec
from .write import write


class DestinationQdrant(Destination):
    """Airbyte destination for Qdrant."""

    def spec(self, _logger: logging.Logger) -> ConnectorSpecification:
        """The specification of the configuration."""
        return ConnectorSpecificationSerializer.load(connector_spec())

    def check(self, _logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
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
        catalog = orjson.loads(orjson.dumps(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog)))
        outbox = _Outbox()
        redactor = Redactor(secrets_of_raw(config))
        failures: list[BaseException] = []

        def run() -> None:
            try:
                write(
                    dict(config),
                    catalog,
                    _MessageLines(input_messages),
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
        yield from outbox.messages()
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
        internal_message=redactor.mask(failure.detail or type(failure).__name__),
        failure_type=FailureType[failure.failure_type],
    )


class _MessageLines:
    """The CDK's messages as the lines they came from."""

    def __init__(self, messages: Iterable[AirbyteMessage]) -> None:
        self.on_wait: Callable[[], float | None] = lambda: None
        self._messages = messages

    def __iter__(self) -> Iterator[bytes]:
        for message in self._messages:
            self.on_wait()
            yield orjson.dumps(AirbyteMessageSerializer.dump(message))

    def wake(self) -> None:
        """An iterator cannot be woken; `on_wait` is asked before the next message."""


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
