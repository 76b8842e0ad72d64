"""The connector as a subprocess, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAIN = Path(__file__).parent.parent / "main.py"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """What one run of the connector said and did."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def messages(self) -> list[Json]:
        """What was said; every line on stdout is one JSON message, whatever happens."""
        messages = [json.loads(line) for line in self.stdout.splitlines()]
        assert all(isinstance(message.get("type"), str) for message in messages)
        return messages

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def error(self) -> Json | None:
        traces = [message["trace"]["error"] for message in self.of("TRACE")]
        assert len(traces) <= 1
        return traces[0] if traces else None

    @property
    def log(self) -> list[str]:
        return [f"{message['log']['level']} {message['log']['message']}" for message in self.of("LOG")]


class Connector:
    """Runs the command line in an environment that has nothing but a PATH."""

    def __init__(self, folder: Path, program: Path = MAIN) -> None:
        self._folder = folder
        self._program = program
        self.environment = {"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir()}

    def command(self, name: str, **files: Any) -> list[str]:
        """The words of a command; each keyword becomes a JSON file and an option."""
        words = [sys.executable, str(self._program), name]
        for option, content in files.items():
            path = self._folder / f"{option}-{uuid.uuid4().hex}.json"  # noqa: TID251 -- a file name, not a point id
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
            words += [f"--{option}", str(path)]
        return words

    def run(self, name: str, stdin: bytes = b"", *, timeout: float = 120, **files: Any) -> Finished:
        done = subprocess.run(
            self.command(name, **files),
            input=stdin,
            capture_output=True,
            env=self.environment,
            cwd=self._folder,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr.decode())

    def start(self, name: str, **files: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(name, **files),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=self._folder,
        )
