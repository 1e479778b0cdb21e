"""virt-handler's VNC proxy as QEMU sees it: one viewer at a time, each new one throws the old one out.

Measured on KubeVirt 1.8.4, both orders of events happen:
- CONNECT(new), DISCONNECT(old) at once, INITIALIZE(new) when the new viewer begins: 0 ms to minutes later;
- CONNECT(new), INITIALIZE(new), DISCONNECT(old) 28-80 ms later.
"""

from types import TracebackType
from typing import Self

from testbed.addresses import Address
from testbed.rfb import Viewer


class VncProxy:
    """Closes its viewer at the end."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.viewer: Viewer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.viewer is not None:
            self.viewer.close()

    def dial(self) -> Viewer:
        """The first order: the proxy connects for the new viewer and drops the old one.

        The returned viewer has said nothing yet: its `handshake()` is the moment at which the new viewer begins.
        """
        old, self.viewer = self.viewer, Viewer.connect(self._address)
        if old is not None:
            old.close()
        return self.viewer

    def open(self) -> Viewer:
        """The first order, by a viewer that begins at once."""
        return self.dial().handshake()

    def take_over(self) -> Viewer:
        """The second order: the new viewer is in before the old one is out, which QEMU sees to."""
        old, self.viewer = self.viewer, Viewer.establish(self._address, shared=False)
        if old is not None:
            old.wait_closed()
            old.close()
        return self.viewer
