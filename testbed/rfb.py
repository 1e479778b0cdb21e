"""Real VNC clients of RFB 3.8 (RFC 6143), one step at a time: the tests depend on where a client stops.

QEMU sends its version first, offers security types, and completes the handshake with ClientInit. It sends nothing after
that unless the client requests the picture, so a viewer that does not read blocks no other one. A viewer that requests
the picture should be in a pool.
"""

import select
import struct
import subprocess
import threading
import time
from types import TracebackType
from typing import Self

from testbed.addresses import Address
from testbed.transports import Transport, open_transport
from testbed.waiting import TIMEOUT, WaitTimeoutError, scaled

VERSION = b"RFB 003.008\n"
SECURITY_NONE = 1
SECURITY_VNC = 2
# Longer than QEMU ever takes on a busy machine; a server that keeps silent for good fails the test with TimeoutError.
HANDSHAKE_TIMEOUT = 60.0


class HandshakeRefusedError(Exception):
    """The server ended the handshake: a wrong password, too many clients, or one that asked to be alone is there."""


class Viewer:
    """One client. `connect`, then the steps in order, or `establish` for all of them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # A pool's thread drains while a test closes: a closed socket's number may already be another's.
        self._lock = threading.Lock()
        self._closed_by_us = False
        self._closed_by_server = False
        self.established = False
        self.size = (0, 0)

    @classmethod
    def connect(cls, address: Address, timeout: float = HANDSHAKE_TIMEOUT) -> Self:
        """Connected, and not a byte of RFB sent. Each later step takes `timeout` seconds at most."""
        return cls(open_transport(address, scaled(timeout)))

    @classmethod
    def establish(
        cls, address: Address, *, shared: bool = True, password: str | None = None, timeout: float = HANDSHAKE_TIMEOUT
    ) -> Self:
        viewer = cls.connect(address, timeout)
        try:
            return viewer.handshake(shared=shared, password=password)
        except BaseException:
            viewer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def handshake(self, *, shared: bool = True, password: str | None = None) -> Self:
        self.exchange_version()
        self.authenticate(password)
        self.initialize(shared=shared)
        return self

    def exchange_version(self) -> None:
        self._receive(len(VERSION))
        self._send(VERSION)

    def authenticate(self, password: str | None = None) -> None:
        """With security type None, or VNC authentication when there is a password."""
        wanted = SECURITY_NONE if password is None else SECURITY_VNC
        offered = self._receive(self._receive(1)[0])
        if wanted not in offered:
            raise HandshakeRefusedError(f"the server offers the security types {list(offered)}")
        self._send(bytes([wanted]))
        if password is not None:
            self._send(_encrypted(self._receive(16), password))
        if self._receive_number() != 0:
            raise HandshakeRefusedError(self._receive(self._receive_number()).decode(errors="replace"))

    def initialize(self, *, shared: bool = True) -> None:
        """ClientInit, which makes a session of it. `shared=False` asks the server to throw all others out."""
        self._send(bytes([shared]))
        self.size = struct.unpack(">HH", self._receive(4))
        self._receive(16)
        self._receive(self._receive_number())
        self.established = True

    def request_update(self) -> None:
        """Asks for the whole picture, as a viewer with a window does."""
        self._send(struct.pack(">BBHHHH", 3, 0, 0, 0, *self.size))

    @property
    def local_address(self) -> object:
        """(host, port) of a TCP client: what QEMU names as its peer."""
        return self._transport.local_address

    def drain(self) -> None:
        """Throws away what has arrived, which is also the way to notice that the server has closed."""
        with self._lock:
            if not self._closed_by_us and not self._closed_by_server:
                self._closed_by_server = not self._transport.drain()

    @property
    def closed_by_server(self) -> bool:
        self.drain()
        return self._closed_by_server

    @property
    def connected(self) -> bool:
        """Neither side has closed. Not to be asked in the middle of a handshake, whose bytes it would throw away."""
        return not self.closed_by_server and not self._closed_by_us

    def wait_closed(self, timeout: float = TIMEOUT) -> None:
        """Until the server closes the connection."""
        deadline = time.monotonic() + scaled(timeout)
        poll = select.poll()
        poll.register(self._transport.fileno(), select.POLLIN)
        while not self.closed_by_server:
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"the server did not close the connection within {timeout:g} s")
            poll.poll(100)

    def close(self) -> None:
        with self._lock:
            self._closed_by_us = True
            self._transport.close()

    def abort(self) -> None:
        """A cut rather than an end: over TCP the server receives RST."""
        with self._lock:
            self._closed_by_us = True
            self._transport.abort()

    def _send(self, data: bytes) -> None:
        try:
            self._transport.send(data)
        except ConnectionError as error:
            raise HandshakeRefusedError("the server closed the connection") from error

    def _receive(self, count: int) -> bytes:
        try:
            return self._transport.receive(count)
        except (EOFError, ConnectionError) as error:
            raise HandshakeRefusedError("the server closed the connection") from error

    def _receive_number(self) -> int:
        return int.from_bytes(self._receive(4), "big")


def _encrypted(challenge: bytes, password: str) -> bytes:
    """VNC authentication: DES in ECB mode, its key the password with the bits of each byte mirrored.

    Triple DES with three equal keys is DES, and OpenSSL still has it without its provider of legacy ciphers.
    """
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    command = ["openssl", "enc", "-des-ede3", "-nopad", "-K", (key * 3).hex()]
    return subprocess.run(command, input=challenge, stdout=subprocess.PIPE, check=True).stdout
