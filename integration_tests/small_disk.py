"""A disk of a few hundred megabytes that can be full: a tmpfs in a mount namespace of its own.

The namespace belongs to a process that waits for its standard input to end, so that nothing stays mounted, however the
test ends. From outside the disk is looked at through that process (`/proc/<pid>/root`).

It becomes full by shrinking, which costs no memory, unlike a large file on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

#: Each line that it reads is the size that the disk shall have from now on.
_HOLD = """
option=
while read -r size; do
  mount -t tmpfs -o "${option}size=$size,mode=777" small-disk "$1" && echo mounted || exit
  option=remount,
done
"""


class NotAllowedError(Exception):
    """The machine does not let the tests do something; says what it answered."""


class SmallDisk(AbstractContextManager["SmallDisk"]):
    """A disk of `size` bytes; `mount_point` is an empty folder and stays empty for everybody else."""

    def __init__(self, size: int, mount_point: Path) -> None:
        self._size = size
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        try:
            self._holder = subprocess.Popen(
                ["unshare", *own_user, "--mount", "sh", "-c", _HOLD, "sh", str(mount_point)],  # noqa: S607 -- any unshare
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise NotAllowedError("unshare of util-linux is not installed") from None
        self.path = Path(f"/proc/{self._holder.pid}/root{mount_point}")
        self._resize(size)
        (self.path / "in-use").write_bytes(b"!")  # a size of 0, used and free, would mean "without limit"

    def __exit__(self, *_: object) -> None:
        """Let go of the disk."""
        self._holder.communicate()

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self, leave: int) -> None:
        """Have no more than `leave` bytes free."""
        used = shutil.disk_usage(self.path).used
        self._resize(used + leave)
        assert self.free == leave

    def make_room(self) -> None:
        """Have the first size again."""
        self._resize(self._size)

    def _resize(self, size: int) -> None:
        assert self._holder.stdin
        assert self._holder.stdout
        try:
            self._holder.stdin.write(b"%d\n" % size)
            self._holder.stdin.flush()
        except BrokenPipeError:  # refused before it has read anything
            pass
        if self._holder.stdout.readline() != b"mounted\n":
            _, refusal = self._holder.communicate()
            raise NotAllowedError(refusal.decode(errors="replace").strip())
