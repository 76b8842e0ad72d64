"""The standard tests of Airbyte's CDK for destinations, with the configurations of `acceptance-test-config.yml`.

They run `check`, and compare configurations with the specification; what a destination writes they do not look at. Those
that build an image are marked `image_tests` and left out by `pyproject.toml`: they need a container engine and a network.

A folder that a configuration names belongs to whoever runs `airbyte-cdk connector test`. Here each test reads a copy of
its configuration that names a folder of the test's own.

Only the suite's hook is imported, since its plugin as a whole would cost every run of pytest the import of the CDK.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from airbyte_cdk.test.standard_tests import DestinationTestSuiteBase
from airbyte_cdk.test.standard_tests.pytest_hooks import pytest_generate_tests  # noqa: F401 -- pytest finds the hook here

from destination_qdrant import DestinationQdrant


class TestCdkSuite(DestinationTestSuiteBase):
    """The suite finds `acceptance-test-config.yml` beside the `metadata.yaml` above this file."""

    connector = DestinationQdrant


@pytest.fixture(autouse=True)
def _configurations_are_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite writes every configuration into the temporary folder, and leaves it there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(autouse=True)
def _folders_are_the_test_s_own(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine has where the configurations point to: the suite looks for them below a root of the test's."""
    if "scenario" not in request.fixturenames:
        return
    path = request.getfixturevalue("scenario").config_path
    config = json.loads((TestCdkSuite.get_connector_root_dir() / path).read_bytes())
    if config["indexing"]["url"].startswith("file:"):
        config["indexing"]["url"] = (tmp_path / "qdrant").as_uri()
    root = tmp_path / "destination-qdrant"
    copy = root / path
    assert copy.is_relative_to(root), "an absolute path would lead past the copy"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr(TestCdkSuite, "get_connector_root_dir", classmethod(lambda _: root))


def test_the_suite_has_configurations_for_both_of_its_tests() -> None:
    """Without any it would skip, and pass."""
    commands = {scenario.id: set(scenario.commands) for scenario in TestCdkSuite.get_scenarios()}
    assert commands == {
        "config": {"spec", "check"},
        "folder": {"spec", "check"},
        "unreachable_server": {"spec", "check"},
        "nameless_collection": {"check"},
    }
