"""A `ManagedProcess` whose start returns when it serves, not when it was forked."""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

# kube-apiserver, the slowest of them, needs 3 s on two idle cores. Only an overloaded machine needs more.
READY_TIMEOUT = 90.0


class Server(ManagedProcess):
    """One server of a control plane or a node."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`ready` returns, quickly and without an error, whether it serves."""
        super().__init__(argv, log=log, env=env)
        self._ready = ready

    def start(self) -> Self:
        """Return when it serves. If it exits before, raise at once; if it never serves, end it."""
        super().start()
        try:
            wait_until(self._ready_or_dead, what=f"{self} is ready", timeout=READY_TIMEOUT, interval=0.05)
        except BaseException:
            self.kill()
            raise
        return self

    def _ready_or_dead(self) -> bool:
        assert self.running, f"{self} ended at its start; its log ends:\n{self.log_tail()}"
        return self._ready()


def accepts(path: Path) -> bool:
    """Return whether a process accepts connections at a unix socket; a killed server leaves one without a listener."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
