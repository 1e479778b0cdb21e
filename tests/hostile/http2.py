"""HTTP/2 by hand (RFC 9113): frames that no client library would let out.

Headers are literals without indexing and without Huffman coding (RFC 7541, 6.2.2), so no state is shared with the peer.
"""

import contextlib
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x4, 0x5
METHOD = "/servicestatus.v1.SessionReportService/ReportSessions"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def header(name: bytes, value: bytes) -> bytes:
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """A length with a prefix of seven bits, and the bytes as they are."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, coded = len(text) - 127, b"\x7f"
    while rest >= 128:
        coded, rest = coded + bytes([rest % 128 + 128]), rest // 128
    return coded + bytes([rest]) + text


def call(method: str = METHOD, *more: tuple[bytes, bytes]) -> bytes:
    """The header block of a gRPC call."""
    pairs = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    return b"".join(header(*pair) for pair in pairs)


def open_stream(stream: int, block: bytes = b"") -> bytes:
    return frame(HEADERS, END_HEADERS, stream, block or call())


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """gRPC's own frame around a message."""
    return struct.pack(">BI", compressed, len(body)) + body


def data(stream: int, payload: bytes) -> bytes:
    """As many frames as the default maximum size of a frame asks for."""
    size = 16_384
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    return b"".join(frame(DATA, 0, stream, part) for part in parts)


class Connection:
    """One connection to a unix socket. It never raises because the peer has had enough: `alive` says so."""

    def __init__(self, path: Path, *, hello: bytes = PREFACE + settings(), send_timeout: float = 0.05) -> None:
        """`hello` is sent at once. A peer that reads nothing for `send_timeout` seconds is given up."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(send_timeout)
        self.alive = True
        self.sent = 0
        try:
            self._socket.connect(str(path))
        except OSError:
            self.alive = False
        self.send(hello)

    def send(self, payload: bytes) -> bool:
        """Whether all of it was taken."""
        rest = memoryview(payload)
        while rest and self.alive:
            try:
                taken = self._socket.send(rest)
            except TimeoutError:
                return False
            except OSError:
                self.alive = False
                return False
            self.sent += taken
            rest = rest[taken:]
        return self.alive

    def receive(self, count: int = 65_536) -> bytes:
        """What has come, at most so many bytes; empty where nothing comes."""
        try:
            received = self._socket.recv(count)
        except TimeoutError:
            return b""
        except OSError:
            received = b""
        self.alive = bool(received)
        return received

    def drain(self) -> int:
        """Throw away what has come; how many bytes."""
        total = 0
        with contextlib.suppress(OSError):
            # A socket with a timeout waits for it even with MSG_DONTWAIT.
            while select.select([self._socket], [], [], 0)[0]:
                received = self._socket.recv(65_536)
                if not received:
                    self.alive = False
                    break
                total += len(received)
        return total

    def close(self) -> None:
        self._socket.close()


def frames(payload: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The whole frames in what a peer has sent: kind, flags, stream, payload."""
    while len(payload) >= 9:
        length = int.from_bytes(payload[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", payload[3:9])
        if len(payload) < 9 + length:
            return
        yield kind, flags, stream, payload[9 : 9 + length]
        payload = payload[9 + length :]


def close_all(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.close()
