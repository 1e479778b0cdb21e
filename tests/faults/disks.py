"""A small disk for the handler, which can be filled and made read-only: a tmpfs in its own mount namespace.

No other process sees the mount. Other processes open it through /proc/PID/root.
"""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

#: Bytes: so few pages that one page more or less matters.
SIZE = 32 << 10


def on_small_disk(mount_point: Path, argv: Sequence[str | Path], log: Path) -> ManagedProcess:
    """Return a program that has a small, empty disk at a folder."""
    # A user without root rights is root in a user namespace, which suffices to mount a tmpfs.
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
        """The path for this process. It changes when the program is restarted, which also makes a new disk."""
        return Path(f"/proc/{self._process.pid}/root") / self._mount_point.relative_to("/")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No free page is left."""
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
        """Bytes are free, but no inode."""
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
        """As the kernel remounts a disk after I/O errors."""
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how: str) -> None:
        enter = ["nsenter", f"--target={self._process.pid}", "--mount", *([] if os.geteuid() == 0 else ["--user"])]
        subprocess.run([*enter, "mount", "-o", f"remount,{how}", str(self._mount_point)], check=True)
