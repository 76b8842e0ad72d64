"""The container engine that builds and runs the image.

Usage: engine.py        say which one is there; where there is none, get one
       engine.py stop   end the one that was started by this script

Docker, if its daemon answers; else Podman; else Buildah, which builds and runs nothing. Where none is there, root of a
Debian machine gets Docker from the distribution's packages, and its daemon is started: without a network of its own,
as what runs a build machine rarely allows one. Nobody's personal machine is changed like that: not under sudo.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Only root writes there: whoever could write these files could have another process ended.
_PID, _LOG = Path("/run/destination-qdrant-dockerd.pid"), Path("/var/log/destination-qdrant-dockerd.log")

_START_SECONDS = 60
_LOOK_SECONDS = 0.2
_PACKAGES = ("docker.io", "debootstrap", "debian-archive-keyring")

#: What makes a daemon work where it may change neither the firewall nor the interfaces; and what to fall back to where
#: the kernel has no layered file system for it.
_DAEMON = ("dockerd", "--iptables=false", "--bridge=none", "--pidfile", str(_PID))
_DRIVERS: tuple[tuple[str, ...], ...] = ((), ("--storage-driver=vfs",))


class NoEngineError(Exception):
    """There is no engine, for the reason that the message gives."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A command that builds images as Docker does.

    `runs`: whether it also runs them. `network`: what a build and a run need beyond the usual, to reach a network.
    """

    command: str
    runs: bool = True
    network: tuple[str, ...] = ()


def find() -> Engine | None:
    """The engine that is there."""
    if answers("docker", "version", "--format", "{{.Server.Version}}"):
        has_bridge = answers("docker", "network", "inspect", "bridge")
        return Engine("docker", network=() if has_bridge else ("--network=host",))
    if answers("podman", "info"):
        return Engine("podman", network=("--network=host",))
    if answers("buildah", "info"):
        return Engine("buildah", runs=False, network=("--network=host",))
    return None


def get() -> Engine:
    """The engine that is there, else one that is there then.

    Raises:
        NoEngineError: none can be had.
    """
    found = find()
    if found is None:
        require_leave()
        install(*(package for package in _PACKAGES if not _is_installed(package)))
        start()
        found = find()
    if found is None:
        raise NoEngineError(f"dockerd was started and does not answer; see {_LOG}")
    return found


def may_install() -> bool:
    """Whether packages may be added to this machine without asking anybody."""
    return os.geteuid() == 0 and "SUDO_UID" not in os.environ and shutil.which("apt-get") is not None


def require_leave() -> None:
    """Raise unless `may_install`."""
    if not may_install():
        raise NoEngineError(
            "docker has no running daemon here, and neither podman nor buildah is on PATH; "
            "one is got from Debian's packages only for root, and not under sudo"
        )


def install(*packages: str) -> None:
    """Add packages of the distribution.

    Raises:
        NoEngineError: they cannot be had.
    """
    if not packages:
        return
    print(f"Installing {' and '.join(packages)} from the distribution's packages ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
        done = subprocess.run(["apt-get", "-qq", *words], check=False, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603, S607 -- our own words
        if done.returncode:
            raise NoEngineError(f"apt-get {words[0]} failed, see above")


def _is_installed(package: str) -> bool:
    if package == "debian-archive-keyring":
        return Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists()
    return shutil.which({"docker.io": "dockerd"}.get(package, package)) is not None


def start() -> None:
    """Start a daemon that stays when this process ends.

    Raises:
        NoEngineError: it does not come to answer.
    """
    for driver in _DRIVERS:
        print(f"Starting {' '.join((*_DAEMON, *driver))} ...", flush=True)
        with _LOG.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 -- our own words
                [*_DAEMON, *driver], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if _comes_to_answer(process):
            print("It answers; `python tools/engine.py stop` ends it.", flush=True)
            return
    raise NoEngineError(f"dockerd does not start on this machine; see {_LOG}")


def _comes_to_answer(process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if answers("docker", "version"):
            return True
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return False
    process.terminate()
    process.wait()
    return False


def stop() -> None:
    """End the daemon that `start` has started; another one is left alone, and so is what has its old number now."""
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError, ValueError):
        pid = int(_PID.read_text())
        if str(_PID).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _START_SECONDS
        while _PID.exists() and time.monotonic() < deadline:  # its last act is to remove it
            os.kill(pid, 0)
            time.sleep(_LOOK_SECONDS)


def answers(*command: str, seconds: float = 60) -> bool:
    """Whether a command is there and succeeds within so many seconds."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, check=False, capture_output=True, timeout=seconds)  # noqa: S603 -- the callers' own words
        return done.returncode == 0
    return False


def main() -> int:
    """Do what the argument says."""
    if sys.argv[1:] == ["stop"]:
        stop()
        return 0
    try:
        found = get()
    except NoEngineError as error:
        print(f"NO CONTAINER ENGINE: {error}.", file=sys.stderr)
        return 1
    print(f"The container engine is {found.command}{'' if found.runs else ', which builds and does not run'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
