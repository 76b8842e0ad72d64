"""The connector in a pod of the platform, as far as this machine can build one without a container engine.

Three things need the machine's leave: another user (id 1000), a root file system that is read-only, a memory limit. Each
that is refused is left out, and `Confinement.refused` says which and why; the rest is confined all the same.

Each confinement is a command that ends by running the command after it, so that they can be put in a row.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

from command_line import Connector, Json
from small_disk import NotAllowedError

USER_ID = 1000
MEMORY_LIMIT = 2 * 1024**3

USER, READ_ONLY, MEMORY = "user id 1000", "read-only root", "memory limit of 2 GiB"

#: Runs in the confinement and tells what it finds there.
_PROBE = """
import json, os, sys
writable, library, *others = sys.argv[1:]
if os.__file__ != library:  # it may find another interpreter's, and run with a mixture
    sys.exit(f"that process cannot read the library of this interpreter, {library}")
def is_read_only(path):
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
print(json.dumps({
    "uid": os.geteuid(), "gid": os.getegid(), "groups": os.getgroups(), "cwd": os.getcwd(),
    "cwd is writable": os.access(".", os.W_OK), "environment": dict(os.environ),
    "root is read-only": all(map(is_read_only, ("/", *others))), "folder is read-only": is_read_only(writable),
}))
"""


class Confinement(AbstractContextManager["Confinement"]):
    """Builds what the machine allows; `folder` is the one that is writable, for everybody."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.cgroup: Path | None = None
        self._memory: list[str] = []
        self._mounts: list[str] = []
        self._user: list[str] = []
        with ExitStack() as stack:  # whatever fails, nothing is left behind
            self.folder = _temporary_folder(stack, "destination-qdrant-writable-")
            self.folder.chmod(0o1777)
            self._stage = _temporary_folder(stack, "destination-qdrant-stage-")
            self.environment = {"PATH": os.environ["PATH"], "TMPDIR": str(self.folder)}
            self._limit_memory(stack)
            self._mounts = self._try(READ_ONLY, self._own_mounts())
            self._user = self._try(USER, _other_user())
            self._made = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        """Remove the folders and the cgroup."""
        self._made.close()

    def _limit_memory(self, stack: ExitStack) -> None:
        """Make a cgroup with the limit, and try whether a process may join it: each may be refused for itself."""
        try:
            cgroup = _memory_cgroup()
        except NotAllowedError as refusal:
            self.refused[MEMORY] = str(refusal)
            return
        stack.callback(cgroup.rmdir)
        self._memory = self._try(MEMORY, ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(cgroup)])
        if self._memory:
            self.cgroup = cgroup

    def _try(self, what: str, confinement: list[str]) -> list[str]:
        try:
            self.probe(Path("/"), confinement)
        except NotAllowedError as refusal:
            self.refused[what] = str(refusal)
            return []
        return confinement

    def command(self, cwd: Path, words: Sequence[str]) -> list[str]:
        """The command that runs `words` confined, in `cwd`."""
        there = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd)]  # after the mounts: it could be on what they cover
        return [*self._memory, *self._mounts, *there, *self._user, *words]

    def probe(self, cwd: Path, confinement: Sequence[str] = ()) -> Json:
        """What a process finds in the confinement (with one more behind it).

        Raises:
            NotAllowedError: it does not come to run.
        """
        places = filter(os.path.isdir, (sys.prefix, tempfile.gettempdir(), "/dev/shm"))  # noqa: S108 -- only looked at
        words = [*confinement, sys.executable, "-c", _PROBE, str(self.folder), str(os.__file__), *places]
        try:
            done = subprocess.run(
                self.command(cwd, words), capture_output=True, text=True, env=self.environment, check=True
            )
        except FileNotFoundError as error:
            raise NotAllowedError(f"{error.filename} is not installed") from None
        except subprocess.CalledProcessError as error:
            raise NotAllowedError(error.stderr.strip() or f"exit code {error.returncode}") from None
        found: Json = json.loads(done.stdout)
        return found

    def _own_mounts(self) -> list[str]:
        """Mount namespace in which everything is read-only but `folder`, and the interpreter visible to other users."""
        stage, folder = shlex.quote(str(self._stage)), shlex.quote(str(self.folder))
        script = ["set -e"]
        hidden = _hidden(_interpreter())
        for path in sorted({path for paths in hidden.values() for path in paths}):
            quoted = shlex.quote(str(path))
            script += [f"mkdir -p {stage}{quoted}", f"mount --bind {quoted} {stage}{quoted}"]
        for ancestor in map(shlex.quote, map(str, hidden)):
            script.append(f"mount --rbind {stage}{ancestor} {ancestor}")
        script += [
            f"mount --bind {folder} {folder}",
            # Flags that are not repeated would be taken away, which another user namespace may not do.
            "mounts=$(cut -d ' ' -f 5,6 /proc/self/mountinfo)",
            'echo "$mounts" | while read -r point options; do case $point in',
            f"  /proc*|{folder}) ;;",
            '  /) mount -o "remount,bind,$options,ro" / ;;',
            '  *) mount -o "remount,bind,$options,ro" "$point" 2>/dev/null || true ;;',  # covered by another mount
            "esac; done",
            'exec "$@"',
        ]
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", *own_user, "--mount", "sh", "-c", "\n".join(script), "sh"]


def _temporary_folder(stack: ExitStack, prefix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    stack.callback(shutil.rmtree, folder)
    return folder


class ConfinedConnector(Connector):
    """The connector as a confined process."""

    def __init__(self, confinement: Confinement, program: Path, cwd: Path) -> None:
        """`program` is what is run, in the folder `cwd`; its files go to a new folder of their own."""
        self.folder = Path(tempfile.mkdtemp(dir=confinement.folder))
        self.folder.chmod(0o1777)
        super().__init__(self.folder, program)
        self.environment = confinement.environment
        self._confinement = confinement
        self._cwd = cwd

    def command(self, name: str, **files: Any) -> list[str]:
        """The words of a command, confined."""
        return self._confinement.command(self._cwd, super().command(name, **files))


# ----------------------------------------------------------------------------------------------------------
# Another user


def _other_user() -> list[str]:
    if os.geteuid() == 0:
        drop = ["--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        return ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", *drop]
    return ["unshare", "--user", f"--map-user={USER_ID}", f"--map-group={USER_ID}"]


def _interpreter() -> set[Path]:
    """The folders that an interpreter needs: its own, its environment's, and those of every link to it."""
    needed = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve()}
    link = Path(sys.executable)
    while link.is_symlink():
        link = link.parent / link.readlink()
        needed.add(link.parent)
    return needed


def _hidden(needed: Iterable[Path]) -> dict[Path, list[Path]]:
    """What other users cannot reach, by the outermost folder that they may not enter."""
    hidden: dict[Path, list[Path]] = {}
    for path in needed:
        closed = [each for each in path.parents if not each.stat().st_mode & 0o001]
        if closed:
            hidden.setdefault(closed[-1], []).append(path)
    return hidden


# ----------------------------------------------------------------------------------------------------------
# The memory limit


def _memory_cgroup() -> Path:
    """A new cgroup below this process's own, or beside it, with the limit.

    Raises:
        NotAllowedError: the machine has no cgroups, or not for this process.
    """
    parent, limit, swap = _parent_cgroup()
    try:
        cgroup = Path(tempfile.mkdtemp(prefix="destination-qdrant-", dir=parent))
    except OSError as error:
        raise NotAllowedError(f"no cgroup can be made in {parent} ({error.strerror})") from None
    try:
        (cgroup / limit).write_text(str(MEMORY_LIMIT))
        with suppress(OSError):  # a machine without swap may have no file for it
            (cgroup / swap[0]).write_text(swap[1])
    except OSError as error:
        cgroup.rmdir()
        raise NotAllowedError(f"a cgroup in {parent} takes no memory limit ({error.strerror})") from None
    return cgroup


def _parent_cgroup() -> tuple[Path, str, tuple[str, str]]:
    """Where a cgroup can be made that limits memory, and how its limits are called (version 1, or else 2)."""
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in _lines("/proc/self/cgroup")}
    mounts = [line.split() for line in _lines("/proc/self/mountinfo")]
    for words in mounts:
        kind, options = words[words.index("-") + 1], words[-1].split(",")
        if kind == "cgroup" and "memory" in options:
            name = next((each for each in own if "memory" in each.split(",")), None)
            if name is None:  # it is mounted, and this process is in none of its cgroups
                continue
            swap = ("memory.memsw.limit_in_bytes", str(MEMORY_LIMIT))
            return Path(words[4] + own[name]), "memory.limit_in_bytes", swap
    for words in mounts:
        if words[words.index("-") + 1] == "cgroup2" and "" in own:
            at = Path(words[4] + own[""].rstrip("/"))
            # One that holds processes cannot have children with limits, but it can have sisters.
            for parent in (at, *at.parents):
                enabled = parent / "cgroup.subtree_control"
                if enabled.is_file() and "memory" in enabled.read_text().split():
                    return parent, "memory.max", ("memory.swap.max", "0")
    raise NotAllowedError("no cgroup above this process hands a memory limit on")


def peak_memory(cgroup: Path) -> int | None:
    """The most that was used in a cgroup; None where the kernel does not say."""
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        if (cgroup / name).is_file():
            return int((cgroup / name).read_text())
    return None


def limit_of(cgroup: Path) -> int:
    """The memory limit that is in force."""
    (limit,) = (path for path in cgroup.iterdir() if re.fullmatch(r"memory\.(max|limit_in_bytes)", path.name))
    return int(limit.read_text())


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
