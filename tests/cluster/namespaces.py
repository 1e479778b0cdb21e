"""One set of Linux namespaces with its process 1, in a cgroup of its own: the control plane's, or a node's.

When process 1 ends, every process in them ends, and then the kernel removes their mounts, links and rules.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.cluster.cgroups import Tree
from tests.cluster.commands import run
from tests.cluster.tools import REPOSITORY

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--mount-proc", "--")
# The cgroup of the servers, next to those of the pods: with cgroup v2, one with children has no processes itself.
_LEAF = "init"
# unshare and a Python start in 0.1 s.
START_TIMEOUT = 60.0
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY)}


class Namespaces:
    """The namespaces of the control plane or of a node of the cluster in a folder, whichever process started them."""

    def __init__(self, name: str, folder: Path, cluster: Tree) -> None:
        self.name = name
        self.log = folder / name / "init.log"
        self._folder = folder
        self._cluster = cluster
        self._child: ManagedProcess | None = None

    @property
    def _tree(self) -> Tree:
        return self._cluster.child(self.name)

    def start(self, *, detached: bool) -> None:
        """Return when the namespaces exist. Unless detached, they end with the process that started them."""
        tree = self._cluster.create_child(self.name)
        init: list[str | Path] = [*_UNSHARE, sys.executable, "-m", "tests.cluster.init", self._folder, self.name]
        # The cgroup in which the namespace is made becomes the root that is seen in there, so the process passes
        # through it.
        leaf = tree.create_child(_LEAF, controllers=False)
        command = tree.entering(["unshare", "--cgroup", "--", *leaf.entering(init)])
        self.log.parent.mkdir(exist_ok=True)
        if detached:
            _detach(command, self.log)
        else:
            self._child = ManagedProcess(command, log=self.log, env=ENVIRONMENT).start()
        wait_until(self._find, what=f"process 1 of {self.name} ({self.log}) runs", timeout=START_TIMEOUT)

    @property
    def running(self) -> bool:
        return self._find() is not None

    @property
    def pid(self) -> int:
        """The number of process 1 outside the namespaces."""
        pid = self._find()
        assert pid, f"{self.name} is not running; its log ends:\n{self.log_tail()}"
        return pid

    def _find(self) -> int | None:
        inits = (pid for pid in self._tree.child(_LEAF).processes() if is_process_1(pid))
        return next(inits, None)

    def stop(self) -> None:
        """End all of its processes at once, like a power cut, and remove its cgroup."""
        self._tree.remove()
        self.reap()

    def reap(self) -> None:
        """Collect its exit status as its parent, after its end."""
        if self._child:
            self._child.kill()

    def command(self, *argv: str | Path) -> list[str | Path]:
        """Return the command line that runs a command in there; it ends with process 1."""
        return ["nsenter", f"--target={self.pid}", "--all", "--", *argv]

    def network(self, *argv: str | Path, check: bool = True) -> str:
        """Run a command in its network only: files and process numbers are those outside."""
        return run("nsenter", f"--target={self.pid}", "--net", "--", *argv, check=check)

    def log_tail(self, lines: int = 15) -> str:
        """Return the end of each of its logs."""
        logs = {log: log.read_text(errors="replace").splitlines() for log in sorted(self.log.parent.glob("*.log"))}
        return "\n".join("\n".join([f"--- {log}", *text[-lines:]]) for log, text in logs.items())


def is_process_1(pid: int) -> bool:
    """Return whether its namespace is directly below ours: a container has one more number (proc_pid_status(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return len(numbers) == 2 and numbers[1] == "1"


def _detach(command: Sequence[str | Path], log: Path) -> None:
    """Start a process that is no child of this one, so that it outlives it."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            check=True,
            timeout=START_TIMEOUT,
        )
