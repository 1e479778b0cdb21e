"""Many viewers that are read in the background, so that QEMU never has to keep bytes for one of them.

A viewer in the middle of its handshake is left alone: its next bytes are the handshake's.
"""

import threading
from types import TracebackType
from typing import Self

from testbed.addresses import Address
from testbed.rfb import HANDSHAKE_TIMEOUT, Viewer

# A glance at a few hundred idle sockets takes a millisecond; QEMU's own display refreshes no faster than 30 ms.
INTERVAL = 0.03


class ViewerPool:
    """Closes its viewers at the end."""

    def __init__(self) -> None:
        self._viewers: list[Viewer] = []
        self._ending = threading.Event()
        self._reader = threading.Thread(target=self._read, name="viewers", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._reader.join()
        self.close_all()

    def connect(self, address: Address, timeout: float = HANDSHAKE_TIMEOUT) -> Viewer:
        return self.adopt(Viewer.connect(address, timeout))

    def establish(self, address: Address, *, shared: bool = True, password: str | None = None) -> Viewer:
        return self.adopt(Viewer.establish(address, shared=shared, password=password))

    def adopt(self, viewer: Viewer) -> Viewer:
        self._viewers.append(viewer)
        return viewer

    @property
    def established(self) -> list[Viewer]:
        """Those that finished their handshake and that neither side has closed."""
        return [viewer for viewer in list(self._viewers) if viewer.established and viewer.connected]

    def close_all(self) -> None:
        for viewer in self._viewers:
            viewer.close()
        self._viewers.clear()

    def _read(self) -> None:
        while not self._ending.wait(INTERVAL):
            for viewer in list(self._viewers):
                if viewer.established:
                    viewer.drain()
