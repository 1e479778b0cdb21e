"""`virtctl vnc --proxy-only`: KubeVirt's own connection to a screen, with a VNC client of the tests at its end.

virtctl connects to the VM at its start, whether or not a viewer follows, and serves one viewer.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from testbed.addresses import TcpAddress
from testbed.processes import ManagedProcess
from testbed.rfb import Viewer
from testbed.waiting import wait_until

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
