"""The exceptions that end a command."""

from __future__ import annotations

import pytest

from destination_qdrant.errors import ConfigError, ConnectorError, SystemFault, TransientError


@pytest.mark.parametrize("kind", [ConfigError, TransientError, SystemFault])
def test_an_error_can_be_told_where_it_happened(kind: type[ConnectorError]) -> None:
    error = kind("The vector is refused.", detail="HTTP 400")
    moved = error.at("in lines 3 to 9 of the input, stream users")

    assert type(moved) is kind
    assert moved.message == str(moved) == "The vector is refused. (in lines 3 to 9 of the input, stream users)"
    assert (moved.detail, moved.failure_type) == ("HTTP 400", error.failure_type)
    assert moved.__cause__ is error
