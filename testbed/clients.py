"""What clients of QEMU's sockets have in common: they connect, may be closed by either side, and read what arrives.

A client of a character device (a USB redirection, a console) is one of a queue: QEMU serves one, and the others wait in
the socket's backlog of 1. `connect` returns for a client in the backlog as well.
"""

from types import TracebackType
from typing import Self

from testbed.addresses import Address
from testbed.transports import Transport, open_transport
from testbed.waiting import TIMEOUT, wait_until

# Longer than QEMU ever takes on a busy machine; a server that keeps silent for good fails the test with TimeoutError.
STEP_TIMEOUT = 60.0


class Client:
    """One connection. It sends nothing by itself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._closed = False

    @classmethod
    def connect(cls, address: Address) -> Self:
        """Return when the kernel has accepted the connection; QEMU need not have."""
        return cls(open_transport(address, STEP_TIMEOUT))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self._transport.send(data)

    def receive(self, count: int) -> bytes:
        return self._transport.receive(count)

    @property
    def connected(self) -> bool:
        """Neither side has closed. What has arrived is discarded, so it is not asked within an exchange."""
        return not self._closed and self._transport.drain()

    def wait_closed(self, timeout: float = TIMEOUT) -> None:
        """Until the server closes the connection."""
        wait_until(self._transport.drain, lambda is_open: not is_open, what="the server closes", timeout=timeout)

    def close(self) -> None:
        self._closed = True
        self._transport.close()


class ConsoleClient(Client):
    """A client of a serial console: bytes in both directions, and no protocol."""
