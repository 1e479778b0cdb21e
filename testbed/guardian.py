"""Starts a private libvirt and removes everything that it leaves, also when the test process was killed.

libvirt daemonizes its QEMUs, so the death of a parent does not end them. The guardian is a separate process that runs
until its standard input ends. Only its owner holds the other end, and the kernel closes that end however the owner
ends. Then the guardian kills the processes of its directory and removes the directory. A normal stop takes the same
path.

The guardian starts the daemon and is the "subreaper" of its QEMUs, to save time. libvirt reports that a VM has stopped
when the QEMU process is reaped, and process 1 of a container may take seconds for that. (In KubeVirt's pod
virt-launcher-monitor reaps at once.)

Invariant: apart from what it started itself, it kills only a process whose command line names its directory *and* whose
program is libvirt's or QEMU's. An editor or a pager that has a log open there stays.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from testbed import procfs
from testbed.commands import Command

PROGRAMS = (b"libvirtd", b"virtqemud", b"qemu-system-")
# A killed QEMU is gone in milliseconds; a machine that swaps takes longer.
SWEEP_TIMEOUT = 60.0
# From linux/prctl.h; Python has no name for it.
PR_SET_CHILD_SUBREAPER = 36
# Python or this module ignores these, and a program started from here must not.
RESTORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


# --- the owner's end --------------------------------------------------------------------------------------------------


class Guardian:
    """One guardian for one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # A session of its own keeps the terminal's Ctrl-C away, so that the owner ends first.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def launch(self, command: Command) -> "GuardedChild":
        """Starts a program as the guardian's child."""
        request, answer = self._process.stdin, self._process.stdout
        assert request is not None
        assert answer is not None
        with self._lock:
            request.write(json.dumps(command.to_json()).encode() + b"\n")
            request.flush()
            return GuardedChild(int(answer.readline()))

    def close(self) -> None:
        """Returns when nothing of the directory runs or lies there any more."""
        self._process.communicate(timeout=SWEEP_TIMEOUT * 2)
        if self._process.returncode != 0:
            raise AssertionError(f"the guardian of {self._directory} left something behind")


class GuardedChild:
    """A child of the guardian as its owner sees it: like a Popen, but without its exit code."""

    stdin: IO[bytes] | None = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = None
        # It may have ended already.
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it runs, else 0, whatever the exit code was."""
        if self._pidfd is not None and _ended(self._pidfd, 0):
            os.close(self._pidfd)
            self._pidfd = None
        return 0 if self._pidfd is None else None

    def wait(self, timeout: float = SWEEP_TIMEOUT) -> int:
        if self._pidfd is not None and not _ended(self._pidfd, timeout):
            raise subprocess.TimeoutExpired([str(self.pid)], timeout)
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


def _ended(pidfd: int, timeout: float) -> bool:
    """A pidfd keeps a process's number from meaning another one, and becomes readable when the process has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


# --- what belongs to a directory --------------------------------------------------------------------------------------


def processes_of(directory: Path) -> list[int]:
    """libvirt's and QEMU's processes whose command line names something below the directory."""
    return [pid for pid in procfs.pids() if _belongs(pid, directory)]


def _belongs(pid: int, directory: Path) -> bool:
    arguments = procfs.command_line(pid)
    below = os.fsencode(directory) + b"/"
    return bool(arguments) and _is_ours(arguments[0]) and any(below in argument for argument in arguments)


def _is_ours(program: bytes) -> bool:
    return program.rpartition(b"/")[2].startswith(PROGRAMS)


# --- the guardian itself ----------------------------------------------------------------------------------------------


def main() -> None:
    directory = Path(sys.argv[1])
    for unwanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(unwanted, signal.SIG_IGN)
    os.umask(0o022)
    _adopt_orphans()
    parent = _Parent()
    parent.serve()
    parent.kill_started()
    _sweep(directory)
    parent.reap()
    shutil.rmtree(directory)


def _adopt_orphans() -> None:
    """Descendants whose parent ends become this process's children, not those of process 1."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class _Parent:
    """Starts what the owner asks for, and clears the dead away, its own and the orphans'."""

    def __init__(self) -> None:
        # Not yet cleared away, so none of these numbers can mean another process.
        self._started: set[int] = set()
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def serve(self) -> None:
        """Until the owner is gone."""
        requests = sys.stdin.buffer
        while True:
            ready, _, _ = select.select([requests, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self.reap()
            if requests in ready:
                line = requests.readline()
                if not line:
                    return
                print(self._start(Command(**json.loads(line))), flush=True)  # noqa: T201 - its answer

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._started.discard(ended)

    def kill_started(self) -> None:
        """The daemon first, or it would go on forking while its QEMUs are looked for."""
        for pid in self._started:
            os.kill(pid, signal.SIGKILL)
        while self._started:
            self._started.discard(os.waitpid(-1, 0)[0])

    def _start(self, command: Command) -> int:
        pid = _spawn(command)
        self._started.add(pid)
        return pid


def _spawn(command: Command) -> int:
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions: list[Any] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, command.log, append, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(
        command.argv[0], command.argv, command.env, file_actions=actions, setsid=True, setsigdef=RESTORED_SIGNALS
    )


def _sweep(directory: Path) -> None:
    """Kills until none is found: a daemon may have forked once more between the look and the kill."""
    deadline = time.monotonic() + SWEEP_TIMEOUT
    while found := processes_of(directory):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running: {found}")
        for pid in found:
            _kill(pid, directory)


def _kill(pid: int, directory: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if _belongs(pid, directory):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                _ended(pidfd, SWEEP_TIMEOUT)
        finally:
            os.close(pidfd)


if __name__ == "__main__":
    main()
