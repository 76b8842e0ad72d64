"""Say, without a network, where the lock files do not match pyproject.toml.

Usage: check_lock.py [FOLDER], where FOLDER holds pyproject.toml and both locks (default: this project).
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from write_lock import DEV_LOCK, FINGERPRINT, ROOT, RUNTIME_LOCK, direct_requirements, fingerprint

HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a lock: a package at one version (a package may have several, with different markers)."""

    name: str
    version: Version


class LockError(Exception):
    """A lock holds something that is not a pin with hashes."""


def read_pin(entry: str) -> Pin:
    """Read `name==version ; marker --hash=...`, the only kind of entry a lock may hold."""
    head, *hashes = entry.split(" --hash=")
    try:
        requirement = Requirement(head)
    except InvalidRequirement:
        raise LockError(f"{head!r} is not a pinned package") from None
    exact = [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]
    if len(exact) != 1 or len(requirement.specifier) != 1 or requirement.url:
        raise LockError(f"{head!r} is not pinned to one version")
    if len(HASH.findall(entry)) != len(hashes) or not hashes:
        raise LockError(f"{head!r} has no sha256 hash, or a broken one")
    return Pin(canonicalize_name(requirement.name), Version(exact[0]))


def read_pins(text: str) -> list[Pin]:
    """All pins of a lock, continuation lines joined and comments left out."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    entries = (line.strip() for line in joined.splitlines())
    return [read_pin(entry) for entry in entries if entry and not entry.startswith("#")]


def misfits(requirements: list[Requirement], pins: list[Pin]) -> Iterator[str]:
    """Direct requirements that no pin meets."""
    for requirement in requirements:
        versions = [pin.version for pin in pins if pin.name == canonicalize_name(requirement.name)]
        if not versions:
            yield f"{requirement.name} is required and not pinned"
        for version in versions:
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement} is required and {version} is pinned"


def complaints(pyproject: Mapping[str, Any], lock: str, text: str) -> Iterator[str]:
    """All that is wrong with one lock."""
    if not text.startswith(FINGERPRINT + fingerprint(dict(pyproject)) + "\n"):
        yield "its first line is not the sha256 of pyproject's dependency tables"
    if re.search(r"https?:|file:", text):
        yield "it holds an address"
    try:
        pins = read_pins(text)
    except LockError as error:
        yield str(error)
    else:
        yield from misfits([Requirement(text) for text in direct_requirements(pyproject, lock)], pins)


def differences(locks: Mapping[str, str]) -> Iterator[str]:
    """Pins of the runtime lock that the dev lock, which contains it, does not have."""
    try:
        runtime, dev = set(read_pins(locks[RUNTIME_LOCK])), set(read_pins(locks[DEV_LOCK]))
    except LockError:
        return  # complained about already
    for pin in sorted(runtime - dev, key=str):
        yield f"{pin.name} {pin.version} is not what {DEV_LOCK} has"


def main() -> int:
    """Print every complaint; exit 1 when there is one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text())
    locks = {lock: (folder / lock).read_text() for lock in (RUNTIME_LOCK, DEV_LOCK)}
    found = [f"{lock}: {complaint}" for lock, text in locks.items() for complaint in complaints(pyproject, lock, text)]
    found += [f"{RUNTIME_LOCK}: {difference}" for difference in differences(locks)]
    for line in found:
        print(line, file=sys.stderr)
    print("`make lock` rewrites the locks." if found else "The locks match pyproject.toml.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
