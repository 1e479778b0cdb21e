"""A real program as a child: its log in a file, its end bound to ours.

Invariant: no child survives the test process, not even its SIGKILL. The kernel's parent-death signal does that, but it
is sent when the *thread* that forked ends, not the process; so one thread that lives as long as the process forks all.
"""

import signal
import subprocess
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed import procfs
from testbed.commands import Child, Command, User
from testbed.waiting import TIMEOUT, scaled, wait_until

_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


def launch_here(command: Command) -> Child:
    """As this process's child."""
    return _forker.submit(_fork, command).result()


def _fork(command: Command) -> Child:
    with Path(command.log).open("ab") as log:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE if command.pipe_stdin else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=command.env,
            start_new_session=True,
        )


def script(name: str) -> Path:
    """A console script of the environment that runs the tests, as `launcher-agent`."""
    return Path(sysconfig.get_path("scripts")) / name


class ManagedProcess:
    """One command that can be started, stopped, killed, frozen, and started again with the same log.

    As a context manager it starts, and at the end kills what still runs; a test that cares about an orderly end says
    `stop()`.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        pipe_stdin: bool = False,
        launch: Callable[[Command], Child] = launch_here,
    ) -> None:
        """`env` is added to this process's environment. Standard output and error are appended to `log`."""
        self.argv = [str(argument) for argument in argv]
        self.log = log
        self._command = Command.build(argv, log, env or {}, user, pipe_stdin)
        self._launch = launch
        self._process: Child | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> Self:
        assert not self.running, f"{self} runs already"
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._launch(self._command)
        return self

    @property
    def _child(self) -> Child:
        assert self._process is not None, f"{self} was never started"
        return self._process

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The last run's; minus the signal's number for one that a signal ended; None while it runs."""
        return self._child.poll()

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Waits for it to end by itself."""
        try:
            return self._child.wait(scaled(timeout))
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self} still runs after {timeout:g} s; its log ends:\n{self.log_tail()}") from error

    def stop(self, timeout: float = TIMEOUT) -> int:
        """SIGTERM, then at most `timeout` seconds; a program that overstays is killed and fails the test."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and returns when it is gone. Nothing to do is fine."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(scaled(TIMEOUT))
            self.close_stdin()

    def restart(self) -> Self:
        self.kill()
        return self.start()

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP, and returns when every thread stands still."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: procfs.state(self.pid), lambda state: state == "T", what=f"{self} stands still")

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
        wait_until(lambda: procfs.state(self.pid), lambda state: state != "T", what=f"{self} moves again")

    def close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def cpu_seconds(self) -> float:
        """CPU time since its start."""
        return procfs.cpu_seconds(self.pid)

    def memory(self) -> procfs.Memory:
        return procfs.memory(self.pid)

    def peak_memory(self) -> int:
        """In its whole life."""
        return procfs.peak_memory(self.pid)

    def open_files(self) -> int:
        return procfs.open_files(self.pid)

    def log_text(self, *, whole: bool = False) -> str:
        """What it wrote since its last start, or in all its runs."""
        written = self.log.read_bytes() if self.log.exists() else b""
        return written[0 if whole else self._log_start :].decode(errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_for_log(self, text: str, timeout: float = TIMEOUT) -> str:
        """The first whole line since the last start that contains the text."""
        return wait_until(lambda: self._line_with(text), what=f"{self} logs {text!r}", timeout=timeout)

    def _line_with(self, text: str) -> str:
        ended = not self.running
        # A line that is still being written may hold half a number.
        finished, _, _ = self.log_text().rpartition("\n")
        found = next((line for line in finished.splitlines() if text in line), "")
        assert found or not ended, f"{self} ended without logging {text!r}; its log ends:\n{self.log_tail()}"
        return found

    def __str__(self) -> str:
        return Path(self.argv[0]).name
