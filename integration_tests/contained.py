"""The connector as the container image that `make image` builds, run as the platform runs it.

User 1000 of the image, 2 GiB of memory, a root file system that is read-only, no capabilities. One folder of the machine is
mounted, under the name that it has here, so that paths mean the same inside and outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from command_line import Connector, Finished, Json

TOOLS = Path(__file__).parent.parent / "tools"
if str(TOOLS) not in sys.path:
    sys.path.append(str(TOOLS))

import engine  # noqa: E402 -- the path comes first
import image as recipe  # noqa: E402 -- same

TAG = os.environ.get("TAG") or recipe.TAG
MEMORY_BYTES = 2 * 1024**3

#: What a runtime reports of a program that SIGKILL ended.
_KILLED = 128 + signal.SIGKILL

_CONFINED = (
    *("--memory", str(MEMORY_BYTES), "--memory-swap", str(MEMORY_BYTES)),
    *("--read-only", "--tmpfs", "/tmp:rw,mode=1777"),  # noqa: S108 -- in the container
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)


def missing() -> str | None:
    """Why the image cannot be run here; None where it can."""
    found = engine.find()
    if found is None:
        return (
            "NO CONTAINER ENGINE: no docker daemon answers, and podman is not on the PATH (`make engine` may get one)"
        )
    if not found.runs:
        return f"NO ENGINE THAT RUNS CONTAINERS: {found.command} only builds them"
    if not engine.answers(found.command, "inspect", "--type", "image", TAG):
        return f"NO IMAGE: {found.command} does not have {TAG} (`make image` builds it)"
    return None


def command() -> str:
    """The engine's command."""
    found = engine.find()
    assert found is not None
    return found.command


def inspected() -> Json:
    """What the engine knows of the image."""
    said = subprocess.run([command(), "inspect", "--type", "image", TAG], capture_output=True, check=True).stdout
    (found,) = json.loads(said)
    return found


class Contained:
    """A container that runs; what `subprocess.Popen` would be."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process
        self.stdin: IO[bytes] | None = process.stdin
        self.stdout: IO[bytes] | None = process.stdout
        self.stderr: IO[bytes] | None = process.stderr

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        code = self._process.poll()
        return None if code is None else _as_signal(code)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; negative where SIGKILL ended it."""
        return _as_signal(self._process.wait(timeout))

    def kill(self) -> None:
        """SIGKILL to what runs inside."""
        self.signal("KILL")

    def signal(self, name: str) -> None:
        subprocess.run([command(), "kill", "--signal", name, self.name], capture_output=True, check=False)


def _as_signal(code: int) -> int:
    return -signal.SIGKILL if code == _KILLED else code


class ImageConnector(Connector):
    """Runs the image's command line. `folder` is writable for everybody."""

    def __init__(self, folder: Path, *options: str, network: str = "host") -> None:
        super().__init__(folder)
        folder.chmod(0o777)
        self._command = command()
        self._options = (*_CONFINED, f"--network={network}", "--volume", f"{folder}:{folder}", *options)

    def command(self, name: str, **files: Any) -> list[str]:
        """The words of a command; each keyword becomes a JSON file and an option."""
        _, _, *words = super().command(name, **files)
        return self.shell(*words, options=())

    def shell(self, *words: str, options: Sequence[str] = ("--entrypoint", "sh")) -> list[str]:
        """The words that run these words in the container, with a shell unless told otherwise."""
        return [self._command, "run", "--rm", "--interactive", *self._options, *options, TAG, *words]

    def in_shell(self, script: str, stdin: bytes = b"") -> Finished:
        """Run a script in the container."""
        done = subprocess.run(self.shell("-c", script), input=stdin, capture_output=True, timeout=120, check=False)
        return Finished(done.returncode, done.stdout, done.stderr.decode())

    def start(self, name: str, **files: Any) -> Contained:  # type: ignore[override]  # it does what is asked of a process here
        container = f"destination-qdrant-test-{uuid.uuid4().hex}"  # noqa: TID251 -- a container's name, not a point id
        words = self.command(name, **files)
        at = words.index("--rm")
        words[at:at] = ["--name", container]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return Contained(container, subprocess.Popen(words, **pipes))
