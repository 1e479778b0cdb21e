"""Cgroups as the handle on everything that a cluster has started: no process can leave its cgroup unnoticed.

A tree is the cgroup of one name in every hierarchy: one with cgroup v2, one for each controller with v1, and all of
them where both are mounted. Membership, not a recorded process id, decides what belongs to a tree. So a process that
knows only the name can end and remove what a killed process left.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster.hierarchies import Hierarchy, hierarchies

# A killed process leaves its cgroup within milliseconds; one that has to free gigabytes within a second or two.
TIMEOUT = 60.0
# A cgroup has the weight of one task, and this one holds a whole cluster: with the default weight, the handler got a
# seventieth of the CPU time that it requested on a busy machine, and waited for 15 s.
_WEIGHT = 4
# Enters the cgroups before `--` and executes the command after it; failing to enter one is an error.
_ENTER = 'set -e; while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Charged:
    """Bytes that a cgroup is charged with."""

    anon: int
    file: int
    kernel: int


class Tree:
    """One cgroup in every hierarchy."""

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self.paths = tuple(paths)

    @classmethod
    def create(cls, name: str) -> "Tree":
        """Make a cgroup below that of this process. Cgroup v2 has it below the root: see `Hierarchy.parent`."""
        tree = cls(name, [hierarchy.parent() / name for hierarchy in hierarchies()])
        tree._make(controllers=True)
        for path in tree.paths:
            _weigh(path)
        return tree

    @classmethod
    def find(cls, prefix: str) -> "list[Tree]":
        """Return the trees whose name begins so, also if only some hierarchies still have them."""
        found: dict[str, list[Path]] = {}
        for hierarchy in hierarchies():
            for path in _named(hierarchy, prefix):
                found.setdefault(path.name, []).append(path)
        return [cls(name, paths) for name, paths in sorted(found.items())]

    def child(self, name: str) -> "Tree":
        """Return the cgroup of that name in it, which need not exist."""
        return Tree(f"{self.name}/{name}", [path / name for path in self.paths])

    def create_child(self, name: str, *, controllers: bool = True) -> "Tree":
        """Make a cgroup in it. With cgroup v2, this one takes no processes from then on if it enables controllers."""
        child = self.child(name)
        child._make(controllers=controllers)
        return child

    def _make(self, *, controllers: bool) -> None:
        for path in self.paths:
            if controllers:
                enable_controllers(path.parent)
            path.mkdir(exist_ok=True)
            _inherit_cpuset(path)

    def entering(self, command: Sequence[str | Path]) -> list[str | Path]:
        """Return the command line that enters this cgroup in every hierarchy before it executes the command."""
        return ["sh", "-c", _ENTER, "enter-cgroup", *self.paths, "--", *command]

    def processes(self) -> set[int]:
        """Return every process in it or below it."""
        return {pid for path in self.paths for folder, _, _ in os.walk(path) for pid in _members(Path(folder))}

    def file(self, *names: str) -> Path:
        """Return the one file that has one of these names; cgroup v1 and v2 name the same thing differently."""
        files = [path / name for path in self.paths for name in names]
        (file,) = (file for file in files if file.exists())
        return file

    def charged(self) -> Charged:
        """Return the memory that it is charged with."""
        file = self.file("memory.stat")
        stat = {name: int(value) for name, value in map(str.split, file.read_text().splitlines())}
        kernel = file.with_name("memory.kmem.usage_in_bytes")
        if kernel.exists():
            return Charged(stat["total_rss"], stat["total_cache"], int(kernel.read_text()))
        return Charged(stat["anon"], stat["file"], stat["kernel"])

    def kill(self) -> None:
        """Send SIGKILL to all of them, and to those that they start in the meantime; return when none is left."""

        def left() -> set[int]:
            for pid in (pids := self.processes()):
                self._kill(pid)
            return pids

        wait_until(left, lambda pids: not pids, what=f"the processes of {self.name} have ended", timeout=TIMEOUT)

    def _kill(self, pid: int) -> None:
        """Open a pidfd before checking the membership again, so that the number cannot belong to another process."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            held = os.pidfd_open(pid)
            try:
                if f"/{self.name}" in Path(f"/proc/{pid}/cgroup").read_text():
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            finally:
                os.close(held)

    def remove(self) -> None:
        """End its processes and remove it with all cgroups below it."""
        self.kill()

        def left() -> list[Path]:
            for path in self.paths:
                _remove_folders(path)
            return [path for path in self.paths if path.exists()]

        wait_until(left, lambda paths: not paths, what=f"the cgroup {self.name} is removed", timeout=TIMEOUT)


def enable_controllers(folder: Path) -> None:
    """Cgroup v2: enable every controller for the cgroups below this one. Cgroup v1 needs nothing."""
    if (folder / "cgroup.controllers").exists():
        wanted = (folder / "cgroup.controllers").read_text().split()
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))


def _inherit_cpuset(folder: Path) -> None:
    """Cgroup v1: a cpuset without processors and memory nodes takes no process, and a new one has none."""
    if (folder / "cpuset.sched_load_balance").exists():
        for name in ("cpuset.cpus", "cpuset.mems"):
            (folder / name).write_text((folder.parent / name).read_text())


def _weigh(folder: Path) -> None:
    """Only the CPU controller's hierarchy has weights; v1 and v2 differ in their names and units."""
    for name in ("cpu.shares", "cpu.weight"):
        if (folder / name).exists():
            (folder / name).write_text(str(int((folder / name).read_text()) * _WEIGHT))


def _named(hierarchy: Hierarchy, prefix: str) -> Iterator[Path]:
    for folder, names, _ in os.walk(hierarchy.mount):
        yield from (Path(folder, name) for name in names if name.startswith(prefix))
        names[:] = [name for name in names if not name.startswith(prefix)]


def _members(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):  # removed meanwhile
        yield from map(int, (folder / "cgroup.procs").read_text().split())


def _remove_folders(path: Path) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):  # still in use for a moment, or removed meanwhile
            Path(folder).rmdir()
