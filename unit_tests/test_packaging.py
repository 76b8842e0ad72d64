"""What is around the package fits together: versions, metadata, locks, import rules, commands."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import ConnectorMetadataDefinitionV0
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=env, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


# ------------------------------------------------------------------------------------------------------------
# Versions, metadata, icon


def test_every_file_names_the_same_version() -> None:
    versions = {
        "metadata.yaml": yaml.safe_load(read("metadata.yaml"))["data"]["dockerImageTag"],
        "Dockerfile": re.findall(r'io\.airbyte\.version="(.+)"', read("Dockerfile"))[0],
        "release.py": re.findall(r'^VERSION = "(.+)"', read("destination_qdrant/release.py"), re.MULTILINE)[0],
        "CHANGELOG.md": re.findall(r"^## \[(.+)\]", read("CHANGELOG.md"), re.MULTILINE)[0],
    }

    assert versions == dict.fromkeys(versions, tomllib.loads(read("pyproject.toml"))["project"]["version"])


def test_metadata_is_valid_for_airbyte() -> None:
    metadata = ConnectorMetadataDefinitionV0.model_validate(yaml.safe_load(read("metadata.yaml")))

    assert metadata.data.docker_repository == "airbyte/destination-qdrant"


def test_icon_is_a_square_svg() -> None:
    icon = ET.fromstring(read("icon.svg"))  # noqa: S314 -- our own file

    assert icon.tag.endswith("}svg")
    assert icon.get("width") == icon.get("height")
    assert re.fullmatch(r"0 0 (\d+) \1", icon.get("viewBox", ""))


def test_image_has_one_entrypoint_that_works_in_any_folder() -> None:
    dockerfile = read("Dockerfile")
    (variable,) = re.findall(r'AIRBYTE_ENTRYPOINT="(.+)"', dockerfile)
    (entrypoint,) = re.findall(r"^ENTRYPOINT \[(.+)\]", dockerfile, re.MULTILINE)

    words = variable.split()
    assert words == [word.strip(' "') for word in entrypoint.split(",")]
    assert [word for word in words if not word.startswith("/")] == []


# ------------------------------------------------------------------------------------------------------------
# Locks


def check_locks(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, ROOT / "tools" / "check_lock.py", folder)


@pytest.fixture
def lock_folder(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def change(path: Path, pattern: str, replacement: str) -> None:
    changed, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(changed, encoding="utf-8")


def test_committed_locks_match_pyproject(lock_folder: Path) -> None:
    checked = check_locks(lock_folder)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"^dependencies = \[", 'dependencies = [\n  "requests",'),
        (r"^local = \[", 'local = [\n  "requests",'),
        (r"^dev = \[", 'dev = [\n  "requests",'),
        (r'^requires-python = ".+"', 'requires-python = ">=3.12"'),
    ],
    ids=["dependencies", "extra", "group", "python"],
)
def test_changed_pyproject_makes_the_locks_stale(lock_folder: Path, pattern: str, replacement: str) -> None:
    change(lock_folder / "pyproject.toml", pattern, replacement)

    checked = check_locks(lock_folder)

    assert checked.returncode == 1
    for lock in LOCKS:
        assert f"{lock}: its first line is not the sha256" in checked.stderr


def test_other_changes_of_pyproject_leave_the_locks_fresh(lock_folder: Path) -> None:
    change(lock_folder / "pyproject.toml", r"^line-length = \d+", "line-length = 99")

    assert check_locks(lock_folder).returncode == 0


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        (r"^orjson==\S+", "orjson==2.0", "orjson<4,>=3.11 is required and 2.0 is pinned"),
        (r"^orjson==\S+( .*\n( +--hash.*\n)+)", r"orjson2==3\1", "orjson is required and not pinned"),
        (r"^orjson==", "orjson>=", "is not pinned to one version"),
        (r"^(orjson==\S+).*\n( +--hash.*\n)+", r"\1\n", "has no sha256 hash"),
        (r"(--hash=sha256:)\w{10}", r"\1", "has no sha256 hash, or a broken one"),
        (r"^(orjson==\S+)", r"--find-links /somewhere\n\1", "is not a pinned package"),
        (r"^(orjson==\S+)", r"# https://index.invalid/\n\1", "it holds an address"),
        (r"^(annotated-types==)\S+", r"\g<1>0.0.1", "annotated-types 0.0.1 is not what requirements-dev.lock has"),
    ],
    ids=["outside", "missing", "loose", "no-hash", "short-hash", "option", "address", "unlike-dev"],
)
def test_damaged_lock_is_found(lock_folder: Path, pattern: str, replacement: str, complaint: str) -> None:
    change(lock_folder / "requirements.lock", pattern, replacement)

    checked = check_locks(lock_folder)

    assert checked.returncode == 1
    assert "requirements.lock: " in checked.stderr
    assert complaint in checked.stderr


# ------------------------------------------------------------------------------------------------------------
# Import rules


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(Path(sys.executable).with_name("lint-imports"), "--no-cache", cwd=folder)


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    """A copy that the linter reads instead of the installed package, because the current folder comes first."""
    shutil.copytree(
        ROOT / "destination_qdrant", tmp_path / "destination_qdrant", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_import_rules_hold(package_copy: Path) -> None:
    linted = lint_imports(package_copy)

    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("module", "code", "chain"),
    [
        ("documents", "import openai", "destination_qdrant.documents -> openai"),
        ("catalog", "def late():\n    import cohere", "destination_qdrant.catalog -> cohere"),
        ("catalog", "from . import pipeline", "destination_qdrant.catalog -> destination_qdrant.pipeline"),
        (
            "identity",
            "from .qdrant import server",
            "destination_qdrant.identity -> destination_qdrant.qdrant.server",
        ),
        ("qdrant/base", "from .. import config", "destination_qdrant.qdrant.base -> destination_qdrant.config"),
        ("run", "from . import destination", "destination_qdrant.destination -> airbyte_cdk"),
        ("config", "from .embedding import openai", "destination_qdrant.embedding.openai -> openai"),
        ("brand_new", "", "destination_qdrant.brand_new"),
    ],
    ids=["library", "lazy-library", "upwards", "adapter", "types", "cdk", "light-config", "module-without-rung"],
)
def test_planted_violation_breaks_the_import_rules(package_copy: Path, module: str, code: str, chain: str) -> None:
    with (package_copy / "destination_qdrant" / f"{module}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{code}\n")

    linted = lint_imports(package_copy)

    assert linted.returncode == 1
    assert chain in re.sub(r"\s+", " ", linted.stdout)


def imported_libraries() -> set[str]:
    """The top-level names that the package imports, anywhere in its code."""
    names = set[str]()
    for path in (ROOT / "destination_qdrant").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"destination_qdrant"}


def test_the_image_has_what_the_command_line_imports_and_nothing_of_the_cdk() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", read("requirements.lock"), re.MULTILINE))
    providers = packages_distributions()
    imported = imported_libraries() - {"airbyte_cdk", "airbyte_protocol_dataclasses"}

    missing = [
        name
        for name in sorted(imported)
        if pinned.isdisjoint(canonicalize_name(provider) for provider in providers.get(name, ()))
    ]

    assert missing == []
    assert not [name for name in pinned if name.startswith("airbyte")]


def test_every_imported_library_is_declared() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    declared = {
        canonicalize_name(Requirement(text).name)
        for text in (*project["dependencies"], *project["optional-dependencies"]["local"])
    }
    declared.add(
        canonicalize_name("pydantic-core")
    )  # pydantic pins it exactly, and documents its exceptions as its own
    providers = packages_distributions()

    undeclared = [
        name
        for name in sorted(imported_libraries())
        if declared.isdisjoint(canonicalize_name(provider) for provider in providers.get(name, ()))
    ]

    assert undeclared == []


# ------------------------------------------------------------------------------------------------------------
# Commands


def test_main_py_is_the_console_script(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"]}
    by_script = run(Path(sys.executable).with_name("destination-qdrant"), "spec", cwd=tmp_path, env=bare)
    by_file = run(sys.executable, ROOT / "main.py", "spec", cwd=tmp_path, env=bare)

    assert by_script.returncode == 0, by_script.stderr
    assert '"SPEC"' in by_script.stdout
    assert (by_file.returncode, by_file.stdout) == (0, by_script.stdout)


def test_make_help_lists_every_target() -> None:
    listed = re.findall(r"^  make ([\w-]+)", run("make", "help").stdout, re.MULTILINE)

    tests = ["test", "test-clients", "test-kills", "test-matrix", "test-cluster"]
    image = ["engine", "image", "test-image"]
    assert listed == ["help", "demo", *tests, "check", "spec", "reference", *image, "bench", "lock"]


def test_ci_runs_what_the_readme_names() -> None:
    commands = re.findall(r"\bmake [a-z-]+", read(".ci/run"))

    assert commands == ["make check", "make test", "make demo", "make engine", "make image", "make test-image"]
    assert [command for command in commands if command not in read("README.md")] == []
