"""KubeVirt's own connections to a VM: `virtctl vnc --proxy-only`, `virtctl console` and `virtctl usbredir`.

For a screen, virtctl connects to the VM at its start, whether or not a viewer follows, and serves one viewer: here a
VNC client of the tests. For a USB device it runs `usbredirect`: here a program of the tests, whose device is made up.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.addresses import TcpAddress
from testbed.processes import ManagedProcess
from testbed.rfb import Viewer
from testbed.waiting import wait_until
from tests.cluster.tools import REPOSITORY

# virt-handler and virt-api are ready within seconds; routes to them and the API server's opinion of them follow.
REACHED = 60.0


class VncProxy(ManagedProcess):
    """One virtctl. As a context manager it is killed at the end, and its viewer closed."""

    def __init__(self, virtctl: Sequence[str | Path], vmi: str, namespace: str, log: Path, *, preserve: bool) -> None:
        """With `preserve` it asks KubeVirt to keep an existing session."""
        options = [f"--namespace={namespace}", "--proxy-only", *(["--preserve-session"] if preserve else [])]
        super().__init__([*virtctl, "vnc", vmi, *options], log=log)
        self.viewer: Viewer | None = None

    def wait_listening(self) -> TcpAddress:
        """Return its address for viewers, once it has one; it has asked KubeVirt for the screen before that.

        virtctl exits at once if KubeVirt cannot be reached, for example for seconds after KubeVirt's programs were
        replaced. This starts it again, as a user would.
        """
        try:
            port = wait_until(self._port, what=f"{self} has a screen", timeout=REACHED, interval=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log_text(whole=True)}") from error
        return TcpAddress(port)

    def _port(self) -> int:
        """Return 0 as long as there is none."""
        ended = not self.running
        finished, _, _ = self.log_text().rpartition("\n")
        for line in finished.splitlines():
            if '"port"' in line:
                return int(json.loads(line)["port"])
        if ended:
            self.start()
        return 0

    def view(self) -> Viewer:
        """A viewer that has begun."""
        self.viewer = Viewer.establish(self.wait_listening())
        return self.viewer

    def kill(self) -> None:
        if self.viewer is not None:
            self.viewer.close()
        super().kill()

    def wait_refused(self) -> str:
        """Wait until KubeVirt has rejected it; return its message."""
        wait_until(lambda: self.running, lambda running: not running, what=f"{self} is refused")
        assert self.returncode, f"{self} ended well:\n{self.log_tail()}"
        return self.log_tail()


class Console(ManagedProcess):
    """One `virtctl console`, which reads an open pipe; it ends when its standard input or the console ends."""

    def __init__(self, virtctl: Sequence[str | Path], vmi: str, namespace: str, log: Path) -> None:
        command = [*virtctl, "console", vmi, f"--namespace={namespace}"]
        super().__init__(command, log=log, pipe_stdin=True)

    def wait_connected(self) -> None:
        """Wait until KubeVirt has connected it, like a user who tries again."""
        wait_until(self._is_connected, what=f"{self} has a console", timeout=REACHED, interval=0.5)

    def _is_connected(self) -> bool:
        ended = not self.running
        if "Successfully connected" in self.log_text():
            return True
        if ended:
            self.start()
        return False

    def wait_ended(self) -> None:
        """Wait until KubeVirt has disconnected it."""
        wait_until(lambda: self.running, lambda running: not running, what=f"{self} is disconnected")


class UsbRedirect(ManagedProcess):
    """One `virtctl usbredir`, and the `usbredirect` that it runs."""

    def __init__(self, virtctl: Sequence[str | Path], vmi: str, namespace: str, log: Path) -> None:
        folder = log.with_suffix(".bin")
        folder.mkdir()
        program = folder / "usbredirect"
        run = ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "testbed.usbredir"]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(run)} "$@"\n')
        program.chmod(0o755)
        command = [*virtctl, "usbredir", "1234:abcd", vmi, f"--namespace={namespace}"]
        super().__init__(command, log=log, env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
