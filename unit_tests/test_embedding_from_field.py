"""Mode `from_field`: dimensions without a model."""

from __future__ import annotations

import pytest

from destination_qdrant.embedding.from_field import FromField
from destination_qdrant.errors import ConfigError


def test_it_knows_the_dimensions_and_limits_no_text() -> None:
    embedder = FromField("vector", 7)

    assert (embedder.dimensions, embedder.limit) == (7, None)
    assert embedder.fingerprint == embedder.model
    assert embedder.count_tokens("some text") == 0
    assert embedder.embed_documents([], []) == []
    embedder.close()


def test_text_is_refused_with_the_field_to_change() -> None:
    embedder = FromField("vector", 7)

    with pytest.raises(ConfigError, match=r"embedding\.mode"):
        embedder.embed_query("some text")
    with pytest.raises(ConfigError, match=r"embedding\.mode"):
        embedder.embed_documents(["some text"])
