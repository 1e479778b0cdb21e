"""The bytes below a VNC client: a unix or TCP socket, or a websocket over TCP.

Sockets stay in blocking mode with the kernel's own timeouts. On Linux that is the one way to *wait* for room in the
backlog of a unix socket, which in QEMU holds a single connection: in non-blocking mode (and Python's timeouts are one)
a connect in a burst fails at once with EAGAIN.
"""

import base64
import os
import socket
import struct
from typing import Protocol

from testbed.addresses import Address, TcpAddress, UnixAddress, WebsocketAddress

CHUNK = 1 << 16
# SO_LINGER on, zero seconds: close sends RST in place of FIN.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_BINARY, _CLOSE = 0x2, 0x8
_FINAL, _MASKED = 0x80, 0x80


class Transport(Protocol):
    @property
    def local_address(self) -> object:
        """What the peer sees of us: (host, port) for TCP, nothing for a unix socket."""
        ...

    def fileno(self) -> int: ...
    def send(self, data: bytes) -> None: ...
    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes; EOFError when the peer closed before, TimeoutError when it kept silent."""
        ...

    def drain(self) -> bool:
        """Throws away what has arrived without waiting. False once the peer has closed or reset."""
        ...

    def close(self) -> None: ...
    def abort(self) -> None:
        """As a client whose machine failed: TCP is reset. A unix socket knows no such thing and closes."""
        ...


def open_transport(address: Address, timeout: float) -> Transport:
    """Connects; for a websocket that includes the HTTP upgrade, but QEMU counts the client before that."""
    match address:
        case UnixAddress(path):
            return SocketTransport(_connected(socket.AF_UNIX, str(path), timeout))
        case TcpAddress(port, host):
            return SocketTransport(_connected(socket.AF_INET, (host, port), timeout))
        case WebsocketAddress(port, host):
            return _upgraded(SocketTransport(_connected(socket.AF_INET, (host, port), timeout)))


def _connected(family: socket.AddressFamily, address: str | tuple[str, int], timeout: float) -> socket.socket:
    client = socket.socket(family, socket.SOCK_STREAM)
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    try:
        client.connect(address)
    except BlockingIOError as error:
        client.close()
        raise TimeoutError(f"no room in the backlog of {address} for {timeout:g} s") from error
    except OSError:
        client.close()
        raise
    return client


class SocketTransport:
    def __init__(self, client: socket.socket) -> None:
        self._socket = client

    @property
    def local_address(self) -> object:
        return self._socket.getsockname()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self._socket.recv(count - len(data))
            except BlockingIOError as error:
                raise TimeoutError("the server keeps silent") from error
            if not part:
                raise EOFError("the server closed the connection")
            data += part
        return data

    def drain(self) -> bool:
        try:
            while self._socket.recv(CHUNK, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._socket.close()


class WebsocketTransport:
    """RFC 6455, as much as a VNC client needs: binary frames, never fragmented by us."""

    def __init__(self, raw: SocketTransport) -> None:
        self._raw = raw
        self._unread = b""

    @property
    def local_address(self) -> object:
        return self._raw.local_address

    def fileno(self) -> int:
        return self._raw.fileno()

    def send(self, data: bytes) -> None:
        """A client must mask; a mask of zeros is one, and leaves the bytes as they are."""
        assert len(data) < 126, "longer frames need a longer header, and no message of ours is that long"
        self._raw.send(bytes([_FINAL | _BINARY, _MASKED | len(data)]) + bytes(4) + data)

    def receive(self, count: int) -> bytes:
        while len(self._unread) < count:
            self._unread += self._frame()
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def _frame(self) -> bytes:
        first, length = self._raw.receive(2)
        if length >= 126:
            length = int.from_bytes(self._raw.receive(2 if length == 126 else 8), "big")
        payload = self._raw.receive(length)
        if first & 0x0F == _CLOSE:
            raise EOFError("the server closed the websocket")
        return payload

    def drain(self) -> bool:
        """Discard what arrives. No message is read after this, so frames need not be separated."""
        return self._raw.drain()

    def close(self) -> None:
        self._raw.close()

    def abort(self) -> None:
        self._raw.abort()


def _upgraded(raw: SocketTransport) -> WebsocketTransport:
    key = base64.b64encode(os.urandom(16)).decode()
    raw.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += raw.receive(1)
    if not answer.startswith(b"HTTP/1.1 101 "):
        raw.close()
        raise ConnectionError(f"no websocket: {answer!r}")
    return WebsocketTransport(raw)
