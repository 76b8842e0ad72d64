"""Rewrite both lock files from pyproject.toml.

    requirements.lock      the dependencies but `NOT_IN_THE_IMAGE`, and the extra `local`: what the image installs
    requirements-dev.lock  all dependencies, that extra and the group `dev`: what .venv installs

Standard library only: it must work when the old locks cannot be installed any more.
Versions that are locked and still fit stay as they are; `--upgrade` takes the newest ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
EXTRA = "local"
GROUP = "dev"

#: The image runs the command line, which never reaches the CDK (the import rule `light`). What the CDK brings along is
#: a third of an environment.
NOT_IN_THE_IMAGE = frozenset({"airbyte-cdk"})

FINGERPRINT = "# pyproject sha256: "
REMARK = "# Written by `make lock`: every version with its hashes, for every supported platform and Python."

#: No --emit options: an index address or a path of the machine that wrote the lock says nothing about the lock.
COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-python-downloads"),
)


def fingerprint(pyproject: dict[str, Any]) -> str:
    """The sha256 over the tables of pyproject.toml that a lock is made from, and what it leaves out, as canonical JSON."""
    project = pyproject["project"]
    tables = {
        "requires-python": project["requires-python"],
        "dependencies": project["dependencies"],
        "optional-dependencies": project["optional-dependencies"],
        "dependency-groups": pyproject["dependency-groups"],
        "not-in-the-image": sorted(NOT_IN_THE_IMAGE),
    }
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def direct_requirements(pyproject: Mapping[str, Any], lock: str) -> list[str]:
    """What a lock is made from."""
    project = pyproject["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    if lock == DEV_LOCK:
        return texts + list(pyproject["dependency-groups"][GROUP])
    return [text for text in texts if re.split(r"[^\w.-]", text, maxsplit=1)[0] not in NOT_IN_THE_IMAGE]


@contextmanager
def uv_command() -> Iterator[str]:
    """The path of uv: from PATH, else installed for the moment (.venv may be without pip, or may not exist)."""
    found = shutil.which("uv")
    if found is not None:
        yield found
        return
    with TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603 -- our own words
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)  # noqa: S603 -- our own words
        yield str(python.with_name("uv"))


def compile_lock(uv: str, lock: str, *options: str) -> None:
    """Resolve, starting from what is locked, and put our own two header lines before the pins."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    supported = pyproject["project"]["requires-python"].removeprefix(">=")
    command = [uv, *COMPILE, "--python-version", supported, "--output-file", lock, *options, "-"]
    certificates = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # two names, for new and old versions of uv
    environment = {**os.environ, **certificates}
    requirements = "\n".join(direct_requirements(pyproject, lock)).encode()
    subprocess.run(  # noqa: S603 -- our own words and the caller's options
        command, check=True, cwd=ROOT, env=environment, input=requirements, stdout=subprocess.DEVNULL
    )
    path = ROOT / lock
    pins = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    path.write_text("\n".join([FINGERPRINT + fingerprint(pyproject), REMARK, *pins, ""]))
    print(f"{lock}: {sum('==' in line for line in pins)} packages")


def main() -> int:
    """Lock the larger set first, so that the smaller one is a part of it."""
    options = sys.argv[1:]
    with uv_command() as uv:
        compile_lock(uv, DEV_LOCK, *options)
        compile_lock(uv, RUNTIME_LOCK, "--constraints", DEV_LOCK, *options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
