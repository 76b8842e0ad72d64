"""What a sync says before it begins."""

from __future__ import annotations

from typing import Any

import pytest
from builders import RecordingEmbedder, config, config_with, stream

from destination_qdrant.collection import Prepared
from destination_qdrant.config import Config, parse_config
from destination_qdrant.embedding.base import Usage
from destination_qdrant.opening import opening
from destination_qdrant.release import VERSION
from destination_qdrant.site import Reuse


class Asking(RecordingEmbedder):
    """An embedder of which 8 requests may be under way."""

    usage = Usage(limit=8)


def prepared(**different: Any) -> Prepared:
    usual = {"is_new": False, "airbyte_streams": frozenset(), "replicated": False, "reuse": Reuse(), "warnings": ()}
    return Prepared(384, "384-dimensional cos vectors (unnamed)", **usual | different)


def test_a_sync_says_once_what_it_is_about_to_do() -> None:
    streams = [
        stream("articles", destination_sync_mode="append_dedup"),
        stream("users", destination_sync_mode="overwrite"),
    ]
    found = prepared(is_new=True, reuse=Reuse(by_key=True))

    assert list(opening(streams, config(), found, Asking())) == [
        f"destination-qdrant {VERSION}, 2 streams: 'articles' (append + deduped), 'users' (overwrite).",
        "Collection things: new, 384-dimensional cos vectors (unnamed); up to 512 points are written together, 4 requests at once.",
        "Embedding with fake, up to 8 requests at once; text that is stored already is not embedded again.",
    ]


@pytest.mark.parametrize(
    ("catalog", "told"),
    [
        ({"destination_sync_mode": "append"}, "append"),
        ({"destination_sync_mode": "append", "generation_id": 7, "minimum_generation_id": 7}, "append, a refresh"),
        (
            {"destination_sync_mode": "append_dedup", "generation_id": 7, "minimum_generation_id": 7},
            "append + deduped, a refresh",
        ),
        ({"destination_sync_mode": "append", "generation_id": 1, "minimum_generation_id": 1}, "append"),
        ({"destination_sync_mode": "overwrite", "generation_id": 7, "minimum_generation_id": 7}, "overwrite"),
    ],
)
def test_a_refresh_is_told_where_it_can_be_nothing_else(catalog: dict[str, Any], told: str) -> None:
    first, *_ = opening([stream("users", **catalog)], config(), prepared(), Asking())

    assert first.endswith(f", 1 stream: 'users' ({told}).")


def test_of_many_streams_some_are_named() -> None:
    first, *_ = opening([stream(f"s{number}") for number in range(25)], config(), prepared(), Asking())

    assert ", 25 streams: 's0' (" in first
    assert first.endswith("'s19' (append + deduped), and 5 more.")


def test_a_catalog_without_streams_is_told() -> None:
    first, *_ = opening([], config(), prepared(), Asking())

    assert first == f"destination-qdrant {VERSION}, 0 streams."


def folder() -> Config:
    return config_with(url="file:///somewhere")


@pytest.mark.parametrize(
    ("given", "found", "told"),
    [
        (
            config(),
            prepared(replicated=True),
            ["exists, 384-dimensional cos vectors (unnamed), with replicas; up to", "at once"],
        ),
        (folder(), prepared(), ["up to 512 points are written together."]),
    ],
    ids=["replicas", "folder"],
)
def test_the_collection_is_told_as_it_is(given: Config, found: Prepared, told: list[str]) -> None:
    _, collection, _ = opening([], given, found, Asking())

    assert [each for each in told if each not in collection] == []


def test_text_that_is_embedded_anew_is_told() -> None:
    *_, embedding = opening([], config(), prepared(), RecordingEmbedder())

    assert embedding == "Embedding with fake; all text is embedded anew."


def test_what_a_warning_is_about_to_say_is_not_contradicted() -> None:
    *_, embedding = opening(
        [], config(), prepared(reuse=Reuse(by_key=True), warnings=("No index.",)), RecordingEmbedder()
    )

    assert embedding == "Embedding with fake."


def test_vectors_that_come_with_the_records_are_told() -> None:
    given = parse_config(
        {
            "processing": {"chunk_size": 100},
            "embedding": {"mode": "from_field", "field_name": "v", "dimensions": 2},
            "indexing": {"url": "http://localhost", "collection": "docs"},
        }
    )
    *_, embedding = opening([], given, prepared(), RecordingEmbedder())

    assert embedding == "Vectors come with the records, in the field v."
