"""A Qdrant server of the tests' own in a container, where a docker engine has the image or can pull it.

    with ContainerServer(find_engine(shared), folder) as server:
        server.kill()   # as hard as a machine that dies
        server.start()  # the same ports, the same container, hence the same data

Like `own_server` it knows nothing of pytest. No other module imports the docker SDK.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Unpack

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from loopback import HOST
from own_server import How, Server
from requests.exceptions import RequestException

#: The version that every test passes with; pulled where the engine has none.
IMAGE = "qdrant/qdrant:v1.18.3"

#: On every container: whose it is, as a machine's name and the number of a process.
LABEL = "destination-qdrant-test"

#: An engine that is there answers at once; what it is asked later may take it a while.
_FIRST_ANSWER_SECONDS = 5
_ANSWER_SECONDS = 60

#: Until a registry has said anything, and until the image is there. A test has 300 seconds, with all of its fixtures.
_SILENCE_SECONDS = 20
_PULL_SECONDS = 180

_FILES = "/test-files"
_MOST_SAID = 300


class NoEngineError(Exception):
    """No server can be had from a docker engine; says why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A docker engine with an image of Qdrant, one of whose containers was reached."""

    client: docker.DockerClient
    image: str
    has_bridge: bool
    """Whether a container has a network of its own, hence a loopback interface of its own."""


# ----------------------------------------------------------------------------------------------------------
# Finding one


def find_engine(shared: Path) -> Engine:
    """Take up to some minutes where the image is to be pulled.

    Only the first of all processes that share the folder pulls and tries the image; the others take over what it found.
    """
    try:
        client = docker.from_env(timeout=_FIRST_ANSWER_SECONDS)
        client.api.timeout = _ANSWER_SECONDS
        _remove_leftovers(client)
        has_bridge = any(network.attrs["Driver"] == "bridge" for network in client.networks.list())
    except (DockerException, RequestException) as error:
        place = os.environ.get("DOCKER_HOST") or "its usual place"
        raise NoEngineError(f"no docker engine answers at {place}: {_brief(error)}") from error
    image = _said_once(shared / "docker-image", lambda: _tried(client, shared, has_bridge=has_bridge))
    return Engine(client, image, has_bridge)


def _said_once(file: Path, find: Callable[[], str]) -> str:
    """What was found, or why nothing was, by whichever process came first; the others wait for it."""
    with file.open("a+", encoding="utf-8") as notes:
        fcntl.flock(notes, fcntl.LOCK_EX)  # until the file is closed
        notes.seek(0)
        if noted := notes.read():
            found = json.loads(noted)
        else:
            try:
                found = {"image": find()}
            except NoEngineError as error:
                found = {"reason": str(error)}
            json.dump(found, notes)
    if "reason" in found:
        raise NoEngineError(found["reason"])
    return str(found["image"])


def _tried(client: docker.DockerClient, shared: Path, *, has_bridge: bool) -> str:
    """An image that runs and can be reached: an engine may be on another machine, or tests in a container themselves."""
    try:
        image = _image(client)
        with ContainerServer(Engine(client, image, has_bridge), shared / "tried-container"):
            return image
    except (DockerException, OSError, RuntimeError) as error:  # among the second: whatever `requests` raises
        raise NoEngineError(
            f"the docker engine does not run Qdrant where it can be reached: {_brief(error)}"
        ) from error


def _image(client: docker.DockerClient) -> str:
    """The one that is asked for, else the newest that is there, else one that is pulled."""
    wanted = os.environ.get("QDRANT_IMAGE")
    if not wanted:
        found = client.api.images(name=IMAGE.partition(":")[0])
        newest = newest_of(tag for each in found for tag in each["RepoTags"] or [])
        if newest:
            return newest
    wanted = wanted or IMAGE
    try:
        client.images.get(wanted)
    except NotFound:
        _pull(client, wanted)
    return wanted


def newest_of(images: Iterable[str]) -> str | None:
    """By the version in the tag; "latest", and variants such as v1.18.3-unprivileged, come after all plain versions."""
    return max(images, key=_rank, default=None)


def _rank(image: str) -> tuple[bool, bool, list[int]]:
    tag = image.rpartition(":")[2]
    is_plain = re.fullmatch(r"v?\d+(\.\d+)*", tag) is not None
    return is_plain, tag == "latest", [int(number) for number in re.findall(r"\d+", tag)]


def _pull(client: docker.DockerClient, image: str) -> None:
    events: Queue[dict[str, Any] | None] = Queue()
    # In a thread of its own: the SDK waits for a pull without end.
    threading.Thread(target=_tell_of_pull, args=(client, image, events), daemon=True).start()
    deadline = time.monotonic() + _PULL_SECONDS
    try:
        event = events.get(timeout=_SILENCE_SECONDS)
        while event is not None:
            if "error" in event:
                raise _not_pulled(image, event["error"])
            event = events.get(timeout=max(0, deadline - time.monotonic()))
    except Empty:
        why = f"nothing came within {_SILENCE_SECONDS} seconds, or not everything within {_PULL_SECONDS}"
        raise _not_pulled(image, why) from None


def _tell_of_pull(client: docker.DockerClient, image: str, events: Queue[dict[str, Any] | None]) -> None:
    """What the engine says, and None when the image is there."""
    try:
        for event in client.api.pull(image, stream=True, decode=True):
            events.put(event)
        events.put(None)
    except Exception as error:  # noqa: BLE001 -- told to the one who waits
        events.put({"error": _brief(error)})


def _not_pulled(image: str, why: str) -> NoEngineError:
    return NoEngineError(f"the docker engine has no image {image} and cannot pull it: {why}")


def _brief(error: Exception) -> str:
    """An engine's error has its reason at the end, after a URL of itself."""
    said = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(said).split())[:_MOST_SAID]


# ----------------------------------------------------------------------------------------------------------
# What runs that were killed have left behind


def _remove_leftovers(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, sparse=True, filters={"label": LABEL}):
        machine, _, process = container.attrs["Labels"][LABEL].partition(":")
        if machine == socket.gethostname() and not _is_alive(int(process)):
            with suppress(APIError):  # another process removes it as well
                container.remove(force=True, v=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ----------------------------------------------------------------------------------------------------------
# The server


class ContainerServer(Server):
    """One node in a container, with its data in there. Its ports are on the loopback interface of this machine alone."""

    def __init__(self, engine: Engine, folder: Path, **how: Unpack[How]) -> None:
        super().__init__(folder, **how)
        self._engine = engine
        self._container: Container | None = None
        self._is_running = False

    def __exit__(self, *_: object) -> None:
        """Leave neither a container nor a port behind."""
        try:
            super().__exit__()
        finally:
            if self._container is not None:
                with suppress(NotFound):
                    self._container.remove(force=True, v=True)
                self._container = None

    @property
    def is_running(self) -> bool:
        return self._is_running

    def launch(self) -> None:
        if self._container is None:
            self._container = self._created()
            self._container.put_archive("/", _archive(self._files))
        self._container.start()
        self._is_running = True

    def _created(self) -> Container:
        if self._engine.has_bridge:
            ports = {f"{port}/tcp": (HOST, port) for port in (self.port, self.grpc_port)}
            host, network = "0.0.0.0", {"ports": ports}  # noqa: S104 -- of the container; HOST is where it is published
        else:
            host, network = HOST, {"network_mode": "host"}
        return self._engine.client.containers.create(
            self._engine.image,
            environment=self._settings(host) | {name: f"{_FILES}/{name}" for name in self._files},
            labels={LABEL: f"{socket.gethostname()}:{os.getpid()}"},
            use_config_proxy=False,
            **network,
        )

    def _ended_within(self, seconds: float) -> int | None:
        try:
            return int(self._known.wait(timeout=seconds)["StatusCode"])
        except RequestException:  # the time is over
            return None

    def kill(self) -> None:
        if not self._is_running:
            return
        self._is_running = False
        try:
            self._known.kill()
        except APIError as error:
            if error.status_code != 409:  # it has ended by itself
                raise
        self._known.wait()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(self._known.logs())

    def freeze(self) -> None:
        self._known.pause()

    def thaw(self) -> None:
        self._known.reload()
        if self._known.status == "paused":
            self._known.unpause()

    @property
    def _known(self) -> Container:
        assert self._container is not None, "the server was never started"
        return self._container


def _archive(files: dict[str, str]) -> bytes:
    """Copied in, since a mount shows them with an owner and to a user that the container may not have."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{_FILES}/{name}".lstrip("/"))
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()
