"""`virtctl vnc --proxy-only`: KubeVirt's own way to a screen, with a VNC client of the tests at its end.

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
        """With `preserve` it asks to leave alone a session that is there."""
        options = [f"--namespace={namespace}", "--proxy-only", *(["--preserve-session"] if preserve else [])]
        super().__init__([*virtctl, "vnc", vmi, *options], log=log)
        self.viewer: Viewer | None = None

    def wait_listening(self) -> TcpAddress:
        """Its address for viewers, once it has one; it has asked KubeVirt for the screen before that.

        It gives up at once where KubeVirt cannot be reached, as for seconds after KubeVirt's programs were replaced; a
        person would try again, and so does this.
        """
        try:
            port = wait_until(self._port, what=f"{self} has a screen", timeout=REACHED, interval=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log_text(whole=True)}") from error
        return TcpAddress(port)

    def _port(self) -> int:
        """0 as long as there is none."""
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
        """Until KubeVirt has sent it away; what it said."""
        wait_until(lambda: self.running, lambda running: not running, what=f"{self} is refused")
        assert self.returncode, f"{self} ended well:\n{self.log_tail()}"
        return self.log_tail()
