"""Cgroups as the one handle on everything that a cluster has started: what runs in one cannot leave it unseen.

A tree is the cgroup of one name in every hierarchy: there is one with cgroup v2, one for each controller with v1, and
where both are mounted there are all of them. Membership, not a recorded process id, says what belongs to a tree, so
whoever comes later and knows the name alone can end and remove what a killed process left.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.waiting import wait_until
from tests.cluster.hierarchies import Hierarchy, hierarchies

# A killed process leaves its cgroup within milliseconds, one that has to give back gigabytes within a second or two.
TIMEOUT = 30.0
# A cgroup counts as one task beside others', and this one is a whole cluster: with one task's weight the handler on a
# busy machine was given a seventieth of what it asked for, and waited for 15 s.
_WEIGHT = 4
# Enters the cgroups that stand before `--` and becomes the command after it; failing to enter one is an error.
_ENTER = 'set -e; while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


class Tree:
    """One cgroup in every hierarchy."""

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self.paths = tuple(paths)

    @classmethod
    def create(cls, name: str) -> "Tree":
        """Makes a cgroup below that of this process. Cgroup v2 has it below the root: see `Hierarchy.parent`."""
        tree = cls(name, [hierarchy.parent() / name for hierarchy in hierarchies()])
        tree._make(controllers=True)
        for path in tree.paths:
            _weigh(path)
        return tree

    @classmethod
    def find(cls, prefix: str) -> "list[Tree]":
        """Those whose name begins so, wherever they are, also where only some hierarchies still have them."""
        found: dict[str, list[Path]] = {}
        for hierarchy in hierarchies():
            for path in _named(hierarchy, prefix):
                found.setdefault(path.name, []).append(path)
        return [cls(name, paths) for name, paths in sorted(found.items())]

    def child(self, name: str) -> "Tree":
        """The cgroup of that name in it, which need not exist."""
        return Tree(f"{self.name}/{name}", [path / name for path in self.paths])

    def create_child(self, name: str, *, controllers: bool = True) -> "Tree":
        """Makes a cgroup in it. With cgroup v2, this one takes no processes from then on if it hands on controllers."""
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
        """The command line that enters this cgroup, everywhere, before it becomes the command."""
        return ["sh", "-c", _ENTER, "enter-cgroup", *self.paths, "--", *command]

    def processes(self) -> set[int]:
        """Every process in it or below it."""
        return {pid for path in self.paths for folder, _, _ in os.walk(path) for pid in _members(Path(folder))}

    def kill(self) -> None:
        """SIGKILL to all of them, and to those that they start meanwhile; returns when none is left."""

        def left() -> set[int]:
            for pid in (pids := self.processes()):
                self._kill(pid)
            return pids

        wait_until(left, lambda pids: not pids, what=f"the processes of {self.name} have ended", timeout=TIMEOUT)

    def _kill(self, pid: int) -> None:
        """The process is held before it is looked at again, so that its number cannot have become another's."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            held = os.pidfd_open(pid)
            try:
                if f"/{self.name}" in Path(f"/proc/{pid}/cgroup").read_text():
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            finally:
                os.close(held)

    def remove(self) -> None:
        """Ends its processes and removes it with all that is below it."""
        self.kill()

        def left() -> list[Path]:
            for path in self.paths:
                _remove_folders(path)
            return [path for path in self.paths if path.exists()]

        wait_until(left, lambda paths: not paths, what=f"the cgroup {self.name} is removed", timeout=TIMEOUT)


def enable_controllers(folder: Path) -> None:
    """Cgroup v2: the cgroups below this one get every controller that it has. Cgroup v1 needs nothing."""
    if (folder / "cgroup.controllers").exists():
        wanted = (folder / "cgroup.controllers").read_text().split()
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))


def _inherit_cpuset(folder: Path) -> None:
    """Cgroup v1: a cpuset without processors and memory nodes takes no process, and a new one has none."""
    if (folder / "cpuset.sched_load_balance").exists():
        for name in ("cpuset.cpus", "cpuset.mems"):
            (folder / name).write_text((folder.parent / name).read_text())


def _weigh(folder: Path) -> None:
    """Only the hierarchy that has the CPU's controller knows weights, v1 and v2 by different names and units."""
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
