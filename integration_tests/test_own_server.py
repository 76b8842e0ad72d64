"""The tests' own server leaves no process behind, however a test ends. Played with a server of a few lines, without Qdrant."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import own_server
import pytest
from own_server import OwnServer

#: It holds its end of a pipe for as long as it lives, and tells that it is ready, or never does.
SERVER = """\
#!{python}
import os, signal
from http.server import BaseHTTPRequestHandler, HTTPServer
alive = open({pipe!r}, "wb")
alive.write(b"alive")
alive.flush()
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
if {ready}:
    HTTPServer(("127.0.0.1", int(os.environ["QDRANT__SERVICE__HTTP_PORT"])), Ready).serve_forever()
signal.pause()
"""

ABANDON = """
import os, signal, sys
from pathlib import Path
from own_server import OwnServer
with OwnServer(Path(sys.argv[1])) as server:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(name="until_it_is_gone")
def _until_it_is_gone(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], bytes]:
    """Puts the server on the PATH; what is returned waits for its end, and gives what it said until then."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    executable = tmp_path / "bin" / "qdrant"
    executable.parent.mkdir()
    executable.write_text(SERVER.format(python=sys.executable, pipe=str(pipe), ready=request.param), encoding="utf-8")
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", f"{executable.parent}{os.pathsep}{os.environ['PATH']}")
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.append(pipe.read_bytes()), daemon=True)
    reader.start()

    def until_it_is_gone() -> bytes:
        reader.join(30)
        return said[0] if said else b"still there"

    return until_it_is_gone


@pytest.mark.parametrize("until_it_is_gone", [False], indirect=True, ids=["never-ready"])
def test_a_server_that_never_gets_ready_is_ended(
    until_it_is_gone: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_server, "_START_SECONDS", 1)
    with pytest.raises(TimeoutError, match="was not ready"), OwnServer(tmp_path / "server"):
        raise AssertionError("it was never ready")
    assert until_it_is_gone() in {b"alive", b""}  # on a slow machine it is ended before it has said anything


@pytest.mark.parametrize("until_it_is_gone", [True], indirect=True, ids=["ready"])
@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED, a test that is killed: only Linux ends its children")
def test_a_server_does_not_outlive_a_test_that_is_killed(until_it_is_gone: Callable[[], bytes], tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(own_server.__file__).parent)}
    command = [sys.executable, "-c", ABANDON, str(tmp_path / "server")]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (killed.returncode, killed.stderr) == (-9, b"")
    assert until_it_is_gone() == b"alive"
