"""Build the virtual environment that every make target runs in.

Standard library only, because it runs before anything is installed.
With uv when it is on PATH; with venv and pip when it is not, or when uv fails where pip may not
(uv brings its own certificates and settings, pip has the machine's).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
STAMP = ".complete"

#: Trust the machine's certificates; the second name is the one that older versions of uv know.
UV_ENVIRONMENT = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}

#: The lock is complete. Were it resolved again, pip would take the newest version of what is required with an extra, and
#: then refuse it, because that one is not locked.
LOCKED = ("--no-deps", "--require-hashes", "-r", str(LOCK))
PROJECT = ("--no-deps", "--no-build-isolation", "-e", str(ROOT))


def base_python() -> str:
    """The interpreter outside any virtual environment: `.venv` itself may be active, and is about to go."""
    return getattr(sys, "_base_executable", sys.executable)


def run(*command: str) -> None:
    """Run a command; a failure raises CalledProcessError."""
    subprocess.run(command, check=True, env={**os.environ, **UV_ENVIRONMENT})  # noqa: S603 -- commands of this file


def install_with_uv(uv: str, target: Path) -> None:
    """Build the environment with uv."""
    python = str(target / "bin" / "python")
    run(uv, "venv", "--quiet", "--no-project", "--python", base_python(), str(target))
    run(uv, "pip", "install", "--quiet", "--python", python, *LOCKED)
    run(uv, "pip", "install", "--quiet", "--python", python, *PROJECT)


def install_with_pip(target: Path) -> None:
    """Build the environment with what Python brings."""
    python = str(target / "bin" / "python")
    run(base_python(), "-m", "venv", str(target))
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    run(*pip, *LOCKED)
    run(*pip, *PROJECT)


def build(target: Path) -> None:
    """Build the environment anew, so that a package that left the lock leaves the environment too."""
    uv = shutil.which("uv")
    if uv is not None:
        remove(target)
        print(f"Installing {LOCK.name} into {target.name} with uv ...", flush=True)
        try:
            install_with_uv(uv, target)
        except (OSError, subprocess.CalledProcessError):
            print("uv failed; trying again with venv and pip.", file=sys.stderr, flush=True)
        else:
            return
    remove(target)
    print(f"Installing {LOCK.name} into {target.name} with pip (takes a few minutes) ...", flush=True)
    install_with_pip(target)


def remove(target: Path) -> None:
    """Remove an environment, and nothing that is not one."""
    if not target.exists():
        return
    if any(target.iterdir()) and not (target / "pyvenv.cfg").exists():
        sys.exit(f"{target} is in the way: it is not a virtual environment. Move it elsewhere and try again.")
    shutil.rmtree(target)


def main() -> int:
    """Build the environment named by the first argument, then write its stamp."""
    target = Path(sys.argv[1]).absolute()
    try:
        build(target)
    except subprocess.CalledProcessError:
        print(f"The environment {target} could not be built: the command above failed.", file=sys.stderr)
        return 1
    (target / STAMP).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
