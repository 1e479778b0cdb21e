"""A `ManagedProcess` that is started when it serves, not when it has been forked."""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

# kube-apiserver, the slowest of them, needs 3 s on two idle cores. Only a machine that has no time left needs more.
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
        """`ready` says, quickly and without an error, whether it serves."""
        super().__init__(argv, log=log, env=env)
        self._ready = ready

    def start(self) -> Self:
        """Returns when it serves. One that ends meanwhile is an error at once; one that never serves is ended."""
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
    """Whether somebody accepts connections at a unix socket; a killed server leaves one where nobody does."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
