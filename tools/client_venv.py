"""Build the virtual environments of the foreign clients that `make test-clients` drives the connector with.

Usage: client_venv.py FOLDER      build one environment for each lock in integration_tests/clients, then write a stamp
       client_venv.py --lock      rewrite the locks; versions that are locked and still fit stay as they are

A client and a source never share an environment, with each other or with the connector: their pins contradict.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bootstrap import STAMP, base_python, remove, run
from write_lock import COMPILE, ROOT, uv_command

LOCKS = ROOT / "integration_tests" / "clients"

#: Environment -> what is asked of it. The source of the smoke test runs on the client's own code.
ENVIRONMENTS = {
    "pyairbyte": ("airbyte==0.71.3", "airbyte-source-smoke-test==0.1.2"),
    "source-faker": ("airbyte-source-faker==7.2.1",),
}

#: The clients refuse newer ones.
FIRST_PYTHON, FIRST_PYTHON_TOO_NEW = (3, 11), (3, 13)


def lock_of(name: str) -> Path:
    """Where the pins of an environment are."""
    return LOCKS / f"{name}.lock"


def client_python() -> str:
    """An interpreter that the clients install on: the running one, else one on PATH.

    A `python3.12` on PATH may be a shim without an interpreter behind it, so each one is tried.
    """
    accepted = f"import sys; sys.exit(not {FIRST_PYTHON} <= sys.version_info[:2] < {FIRST_PYTHON_TOO_NEW})"
    names = ("python3.12", "python3.11", "python3")
    for candidate in (base_python(), *filter(None, map(shutil.which, names))):
        if subprocess.run([candidate, "-c", accepted], check=False, stderr=subprocess.DEVNULL).returncode == 0:  # noqa: S603 -- our own words
            return candidate
    sys.exit("The clients need Python 3.11 or 3.12, and neither is on PATH.")


def install(name: str, target: Path, python: str) -> None:
    """Build one environment, with uv when it is on PATH, else with venv and pip."""
    uv, own = shutil.which("uv"), str(target / "bin" / "python")
    locked = ("--no-deps", "--require-hashes", "-r", str(lock_of(name)))  # as in bootstrap
    print(f"Installing {lock_of(name).name} into {target} with {'uv' if uv else 'pip'} ...", flush=True)
    if uv:
        run(uv, "venv", "--quiet", "--no-project", "--python", python, str(target))
        run(uv, "pip", "install", "--quiet", "--python", own, *locked)
    else:
        run(python, "-m", "venv", str(target))
        run(own, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *locked)


def build(folder: Path) -> None:
    """Build all environments anew; an interrupted build leaves no stamp."""
    python = client_python()
    folder.mkdir(exist_ok=True)
    (folder / STAMP).unlink(missing_ok=True)
    for name in ENVIRONMENTS:
        remove(folder / name)
        install(name, folder / name, python)
    (folder / STAMP).touch()


def write_locks() -> None:
    """Pin everything that the environments need."""
    with uv_command() as uv:
        for name, requirements in ENVIRONMENTS.items():
            lock = lock_of(name)
            supported = ".".join(map(str, FIRST_PYTHON))
            subprocess.run(  # noqa: S603 -- our own words
                [uv, *COMPILE, "--python-version", supported, "--output-file", str(lock), "-"],
                check=True,
                input="\n".join(requirements).encode(),
                env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"},  # as in write_lock
                stdout=subprocess.DEVNULL,
            )
            pins = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
            lock.write_text("\n".join(["# Written by `python tools/client_venv.py --lock`.", *pins, ""]))
            print(f"{lock.name}: {sum('==' in line for line in pins)} packages")


def main() -> int:
    """Do what the first argument says."""
    if sys.argv[1] == "--lock":
        write_locks()
        return 0
    try:
        build(Path(sys.argv[1]).absolute())
    except subprocess.CalledProcessError:
        print(f"The environments in {sys.argv[1]} could not be built: the command above failed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
