"""Checks an agent's HTTP/2 frames against limits before gRPC reads them, and computes their cost. Pure.

gRPC's own limits stop clients that are faulty, not hostile ones. It does not add up many small headers, whatever
`grpc.max_metadata_size` says (1 GB of memory in 10 s from one socket, grpcio 1.85). It has no limit for resets, empty
frames, or the pieces of a message. The limits here are far above the needs of a gRPC client that makes one call.

Invariant: the accepted data of a socket holds at most MAX_UNFINISHED bytes of unfinished messages, each in at most
MAX_PIECES pieces, and no header block of more than MAX_CONTROL bytes.
"""

import struct
from collections.abc import Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Bytes of a frame other than DATA. HEADERS is the largest; that of a gRPC client has about 300.
MAX_CONTROL: Final = 1024
#: Headers of a call; a gRPC client sends ten. One byte can refer to a header of 1 KiB, which gRPC and Python expand
#: (docs/upstream/grpc-metadata-size.md).
MAX_HEADERS: Final = 32
#: Bytes of a DATA frame, the initial limit of HTTP/2. gRPC's SETTINGS permit more, which no client has to use.
MAX_DATA: Final = 16_384
#: DATA frames of one message. The largest message has five, or a few more if a flow control window splits it.
MAX_PIECES: Final = 32
#: Bytes of unfinished messages on all connections of a socket: one message of the largest size, and a few others.
MAX_UNFINISHED: Final = 68 * 1024
#: Calls on one connection that the agent has not ended. An agent makes one; calls that gRPC rejected count too.
MAX_CALLS: Final = 64
#: The charge for a frame, in addition to its bytes; see allowance.py. A call costs gRPC and Python about 0.3 ms.
FRAME_COST: Final = 256
CALL_COST: Final = 8192

_NONSENSE: Final = "a header block makes no sense"
#: A frame's header: length in three bytes, type, flags, stream.
_HEADER: Final = struct.Struct(">HBBBI")
_DATA, _HEADERS, _RST_STREAM, _PUSH_PROMISE, _CONTINUATION = 0, 1, 3, 5, 9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
#: gRPC's header of a message: the compression flag, and the length in four bytes.
_PREFIX: Final = 5


class LimitExceededError(Exception):
    """The connection must end. The text is one of a few fixed reasons."""


class Unfinished:
    """Counts the bytes of unfinished messages on all connections of one socket."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class _Message:
    """Follows the message of one stream that is being received."""

    __slots__ = ("buffered", "missing", "pieces", "prefix")

    def __init__(self) -> None:
        self.prefix = b""
        self.missing = 0
        self.buffered = 0
        self.pieces = 0

    def take(self, part: bytes) -> None:
        """Read `part`; `buffered` is correct even if this raises LimitExceededError."""
        if not self.prefix and _is_message(part):
            self.pieces = 0
        else:
            self._take_some(memoryview(part))

    def _take_some(self, part: memoryview) -> None:
        while part:
            if len(self.prefix) < _PREFIX:
                taken = _PREFIX - len(self.prefix)
                self.prefix += part[:taken]
                if self.prefix[0]:
                    raise LimitExceededError("a message is compressed")
                if len(self.prefix) == _PREFIX:
                    self.missing = int.from_bytes(self.prefix[1:], "big")
            else:
                taken = self.missing
                self.missing -= len(part[:taken])
            self.buffered += len(part[:taken])
            part = part[taken:]
            if len(self.prefix) == _PREFIX and not self.missing:
                self.prefix, self.buffered, self.pieces = b"", 0, 0


def _is_message(part: bytes) -> bool:
    """Return whether `part` is exactly one complete, uncompressed message, as nearly every DATA frame is."""
    return part[:1] == b"\0" and int.from_bytes(part[1:_PREFIX], "big") == len(part) - _PREFIX


def hpack_fields(block: bytes | bytearray, *, whole: bool = True) -> int:
    """Return the number of fields of a header block (RFC 7541, 6); raises LimitExceededError if it is malformed.

    If the block is not `whole`, return how many fields have begun: a part is forwarded, so it is counted at once.
    """
    fields = 0
    try:
        for _ in _walk(block):
            fields += 1
    except LimitExceededError:
        if whole:
            raise
    return fields


def _walk(block: bytes | bytearray) -> Iterator[int]:
    """Yield the position of each field."""
    position = 0
    while position < len(block):
        yield position
        first = block[position]
        # An indexed field, a literal with or without indexing, or an update of the table's size.
        bits = 7 if first & 0x80 else 6 if first & 0x40 else 5 if first & 0x20 else 4
        index, position = _integer(block, position, bits)
        strings = 0 if bits in (7, 5) else 1 if index else 2
        for _ in range(strings):
            length, position = _integer(block, position, 7)
            position += length
    if position > len(block):
        raise LimitExceededError(_NONSENSE)


def _integer(block: bytes | bytearray, position: int, bits: int) -> tuple[int, int]:
    """Return an integer with a prefix of `bits` bits (RFC 7541, 5.1), and the position after it."""
    most = (1 << bits) - 1
    value = block[position] & most if position < len(block) else most
    if value < most:
        return value, position + 1
    # A number of more than three bytes is larger than any block.
    for shift, byte in enumerate(block[position + 1 : position + 4]):
        value += (byte & 0x7F) << 7 * shift
        if not byte & 0x80:
            return value, position + 2 + shift
    raise LimitExceededError(_NONSENSE)


class Http2Limits:
    """Checks one connection, in the direction from the agent."""

    __slots__ = ("_block", "_header", "_message", "_preface", "_rest", "_streams", "_unfinished")

    def __init__(self, unfinished: Unfinished) -> None:
        """`unfinished` is shared by the connections of a socket."""
        self._unfinished = unfinished
        self._preface = PREFACE
        self._header = b""
        self._rest = 0  # bytes of the current frame that are missing
        self._message: _Message | None = None  # the message that they belong to, if it is a DATA frame
        self._block: bytearray | None = None  # what was received of it, if it is a HEADERS frame
        self._streams: dict[int, _Message] = {}

    def take(self, data: bytes) -> int:
        """Check `data`; return its cost. If this raises LimitExceededError, the caller must not forward `data`."""
        cost, position, end = len(data), 0, len(data)
        if self._preface:
            position = self._check_preface(data)
        while position < end:
            if self._rest:
                position = self._payload(data, position)
                continue
            header = self._header + data[position : position + _HEADER.size - len(self._header)]
            position += len(header) - len(self._header)
            self._header = header
            if len(header) == _HEADER.size:
                self._header = b""
                cost += self._frame(header)
        return cost

    def close(self) -> None:
        """Release what the connection held, after its end."""
        for stream in list(self._streams):
            self._forget(stream)

    def _check_preface(self, data: bytes) -> int:
        """Return the position after the connection preface, or after the part of it that was received."""
        received = data[: len(self._preface)]
        if not self._preface.startswith(received):
            raise LimitExceededError("this is not HTTP/2")
        self._preface = self._preface[len(received) :]
        return len(received)

    def _frame(self, header: bytes) -> int:
        high, low, kind, flags, stream = _HEADER.unpack(header)
        length, stream = high << 8 | low, stream & 0x7FFF_FFFF
        if length > (MAX_DATA if kind == _DATA else MAX_CONTROL):
            raise LimitExceededError("a frame is too large")
        if kind in (_CONTINUATION, _PUSH_PROMISE) or (kind == _HEADERS and not flags & _END_HEADERS):
            raise LimitExceededError("a header block is too large")
        self._rest, self._message, self._block = length, None, None
        if kind == _DATA:
            self._data(stream, length, flags)
        elif kind == _HEADERS:
            self._open(stream, flags)
        if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self._forget(stream)
        return CALL_COST if kind == _HEADERS else FRAME_COST

    def _open(self, stream: int, flags: int) -> None:
        if flags & (_PADDED | _PRIORITY):
            raise LimitExceededError("a frame has a padding or a priority")
        self._block = bytearray()
        if len(self._streams) >= MAX_CALLS:
            raise LimitExceededError("too many calls are open")
        self._streams.setdefault(stream, _Message())

    def _data(self, stream: int, length: int, flags: int) -> None:
        if flags & _PADDED:
            raise LimitExceededError("a frame has a padding or a priority")
        message = self._streams.get(stream)
        if message is None:
            return  # of a stream that has ended; gRPC discards it
        message.pieces += 1
        if message.pieces > MAX_PIECES:
            raise LimitExceededError("a message has too many pieces")
        if self._unfinished.total + length > MAX_UNFINISHED:
            raise LimitExceededError("too many messages are unfinished")
        self._message = message

    def _payload(self, data: bytes, position: int) -> int:
        """Return the position after the frame's payload, or after the part of it that was received."""
        payload = data[position : position + self._rest]
        self._rest -= len(payload)
        if self._message is not None:
            self._part(self._message, payload)
        elif self._block is not None:
            self._block += payload
            if hpack_fields(self._block, whole=not self._rest) > MAX_HEADERS:
                raise LimitExceededError("a call has too many headers")
        return position + len(payload)

    def _part(self, message: _Message, part: bytes) -> None:
        before = message.buffered
        try:
            message.take(part)
        finally:
            self._unfinished.total += message.buffered - before

    def _forget(self, stream: int) -> None:
        message = self._streams.pop(stream, None)
        if message is not None:
            self._unfinished.total -= message.buffered
            if message is self._message:
                self._message = None
