"""A viewer that dials again as soon as it is cut off, like a browser during a live migration."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.rfb import HandshakeRefusedError, Viewer
from tests.apiserver.vmis import Vmi
from tests.kubevirt.websocket import open_websocket

# The publisher's delay of a fall: a viewer that is back by then was never shown as absent.
FALL_DELAY = 1.0
# Between two attempts; KubeVirt itself needs 20 ms for one that fails.
INTERVAL = 0.05


class PersistentViewer:
    """Connected from enter to exit, except during the `gaps`: seconds from each cut to the next handshake's end."""

    def __init__(self, kubeconfig: Path, vmi: Vmi) -> None:
        self._kubeconfig = kubeconfig
        self._vmi = vmi
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="persistent viewer", daemon=True)
        self.gaps: list[float] = []

    def __enter__(self) -> Self:
        self._viewer = self._dial()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._viewer.close()

    def _dial(self) -> Viewer:
        viewer = Viewer(open_websocket(self._kubeconfig, self._vmi, "vnc"))
        try:
            return viewer.handshake()
        except BaseException:  # KubeVirt may connect one to a screen that is about to end
            viewer.close()
            raise

    def _run(self) -> None:
        while not self._ending.wait(0.01):
            if self._viewer.closed_by_server:
                cut = time.monotonic()
                self._viewer.close()
                if self._return():
                    self.gaps.append(time.monotonic() - cut)

    def _return(self) -> bool:
        while not self._ending.wait(INTERVAL):
            try:
                self._viewer = self._dial()
            except (OSError, EOFError, HandshakeRefusedError):
                continue
            return True
        return False

    def may_be_absent(self, lateness: float) -> bool:
        """Return whether it was ever away for so long that no viewer is shown.

        `lateness` is that of a thread which should sample every 10 ms: any program of this machine may be as late.
        """
        return max(self.gaps) + lateness >= FALL_DELAY
