"""Forwards a loopback TCP port to a unix socket, for VNC viewers that support only ports.

It works like `virtctl vnc --proxy-only`: QEMU sees one client of its unix socket for each viewer of the port.
"""

import contextlib
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

from testbed.addresses import LOOPBACK


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, target: Path) -> None:
        super().__init__((LOOPBACK, 0), _Connection)
        self.target = target


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Copy both directions until either end closes. If QEMU is gone, return at once."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as screen:
            screen.connect(str(self.server.target))
            back = threading.Thread(target=_carry, args=(screen, self.request), daemon=True)
            back.start()
            _carry(self.request, screen)
            back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Copy until `source` ends, then shut down both sockets."""
    with contextlib.suppress(OSError), source.makefile("rb", buffering=0) as read, sink.makefile("wb", 0) as write:
        shutil.copyfileobj(read, write, 1 << 16)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def forwarded(target: Path) -> Iterator[int]:
    """Yield the port, which is forwarded until exit."""
    with _Server(target) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
