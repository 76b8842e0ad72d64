"""Versions as a server tells them."""

from __future__ import annotations

import pytest

from destination_qdrant.qdrant.server.version import OLDEST, Version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.18.3", Version(1, 18, 3)),
        ("v1.12", Version(1, 12)),
        ("1.19.0-dev", Version(1, 19, 0, released=False)),
        ("1.19.0-rc.1+abc", Version(1, 19, 0, released=False)),
        ("1.18.3+build.5", Version(1, 18, 3)),
        ("", None),
        ("1", None),
        ("latest", None),
        ("1.18.3 <script>", None),
        ("1.18.3\n", None),
        ("99999.0", None),
    ],
)
def test_what_is_a_version(text: str, version: Version | None) -> None:
    assert Version.parse(text) == version


def test_versions_are_compared_by_their_numbers_and_one_to_come_stands_before_its_release() -> None:
    in_order = ["1.9.9", "1.12.0-dev", "1.12.0", "1.12.1", "1.18.3", "1.19.0-dev", "1.19.0", "2.0.0"]
    versions = [version for text in in_order if (version := Version.parse(text))]

    assert sorted(set(versions)) == versions
    assert [version < OLDEST for version in versions] == [True, True, False, False, False, False, False, False]


def test_a_version_is_shown_as_its_numbers() -> None:
    assert [str(Version(1, 18, 3)), str(Version.parse("1.19.0-x"))] == ["1.18.3", "1.19.0 (not released)"]
