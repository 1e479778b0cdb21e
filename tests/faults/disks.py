"""A small disk of the handler's own, which can be filled and made read-only: a tmpfs in its own mount namespace.

Nobody else sees it mounted. Who looks from outside goes through /proc/PID/root.
"""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

#: Bytes: a few pages, so that one page more or less is felt.
SIZE = 32 << 10


def on_small_disk(mount_point: Path, argv: Sequence[str | Path], log: Path) -> ManagedProcess:
    """A program that finds a small, empty disk at a folder."""
    # A user who is not root is so in a user namespace, which suffices to mount a tmpfs.
    become = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = f"mount -t tmpfs -o size={SIZE},nr_inodes=64 none {shlex.quote(str(mount_point))}"
    program = shlex.join(map(str, argv))
    return ManagedProcess(["unshare", *become, "--mount", "--", "sh", "-ec", f"{mount}; exec {program}"], log=log)


class SmallDisk:
    """The disk of a running program."""

    def __init__(self, process: ManagedProcess, mount_point: Path) -> None:
        self._process = process
        self._mount_point = mount_point
        wait_until(self.path.is_mount, what="the disk is mounted")

    @property
    def path(self) -> Path:
        """Where this process finds it. It changes when the program is restarted, and the disk is then another one."""
        return Path(f"/proc/{self._process.pid}/root") / self._mount_point.relative_to("/")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not one page is left."""
        filler = self.path / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()

    @contextlib.contextmanager
    def without_inodes(self) -> Iterator[None]:
        """There is room, and not for one file more."""
        made: list[Path] = []
        with contextlib.suppress(OSError):
            while True:
                made.append(self.path / f"filler-{len(made)}")
                made[-1].touch(exist_ok=False)
        try:
            yield
        finally:
            for one in made:
                one.unlink(missing_ok=True)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """As the kernel leaves a disk that gave it errors."""
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how: str) -> None:
        enter = ["nsenter", f"--target={self._process.pid}", "--mount", *([] if os.geteuid() == 0 else ["--user"])]
        subprocess.run([*enter, "mount", "-o", f"remount,{how}", str(self._mount_point)], check=True)
