"""What an agent may do with HTTP/2, below gRPC. Pure: bytes in, and what they cost, or a refusal.

gRPC's own bounds hold for clients that are mistaken, not for one that means harm: of many small headers it adds up
nothing, whatever `grpc.max_metadata_size` says (1 GB of memory in 10 s from one socket, grpcio 1.85), and it knows no
bound for resets, empty frames, or the pieces of a message. So every frame of a pod passes here first. The bounds are
far above what any gRPC client needs for the one call that an agent makes.

Invariant: whatever was let through can hold no more than MAX_UNFINISHED bytes of unfinished messages of its socket in
at most MAX_PIECES pieces each, and no header block of more than MAX_CONTROL bytes.
"""

import struct
from collections.abc import Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Bytes of a frame that is no DATA; HEADERS is the largest, and a gRPC client's have about 300.
MAX_CONTROL: Final = 1024
#: Headers of a call: a gRPC client's are ten. A byte can name one of a kilobyte, which gRPC and Python unfold
#: (docs/upstream/grpc-metadata-size.md).
MAX_HEADERS: Final = 32
#: Bytes of a DATA frame: what HTTP/2 begins with. gRPC offers more in its SETTINGS, and no client has to take that.
MAX_DATA: Final = 16_384
#: DATA frames of one message. The largest message has five, some more where a window cuts it.
MAX_PIECES: Final = 32
#: Bytes of the unfinished messages of all connections of a socket: one of the largest, and a few others.
MAX_UNFINISHED: Final = 68 * 1024
#: Calls of one connection that the agent has not ended itself. It makes one; those that gRPC refused count as well.
MAX_CALLS: Final = 64
#: What a frame costs its sender besides its bytes; see http2_proxy.py. A call costs gRPC and Python about 0.3 ms.
FRAME_COST: Final = 256
CALL_COST: Final = 8192

_NONSENSE: Final = "a header block makes no sense"
#: A frame's header: its length in three bytes, its kind, its flags, its stream.
_HEADER: Final = struct.Struct(">HBBBI")
_DATA, _HEADERS, _RST_STREAM, _PUSH_PROMISE, _CONTINUATION = 0, 1, 3, 5, 9
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x4, 0x8, 0x20
#: gRPC's own header of a message: a flag, and the length in four bytes.
_PREFIX: Final = 5


class LimitExceededError(Exception):
    """The connection must end; the text, which is one of a few, says why."""


class Unfinished:
    """What all connections of one socket hold of unfinished messages, in bytes."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class _Message:
    """The message of one stream that is on its way."""

    __slots__ = ("buffered", "missing", "pieces", "prefix")

    def __init__(self) -> None:
        self.prefix = b""
        self.missing = 0
        self.buffered = 0
        self.pieces = 0

    def take(self, part: bytes) -> None:
        """Read on in `part`; `buffered` is right even where this raises BrokenBoundError."""
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
    """Whether it is one message, whole and not compressed, and nothing else: as nearly every DATA frame is."""
    return part[:1] == b"\0" and int.from_bytes(part[1:_PREFIX], "big") == len(part) - _PREFIX


def hpack_fields(block: bytes | bytearray, *, whole: bool = True) -> int:
    """How many fields a header block has (RFC 7541, 6). Raises BrokenBoundError where it makes no sense.

    Where it is not `whole`, how many have begun: what has come of it is passed on, and may be too much already.
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
    """Where each field begins."""
    position = 0
    while position < len(block):
        yield position
        first = block[position]
        # An indexed field; a literal, of which the table keeps some; or a new size of that table.
        bits = 7 if first & 0x80 else 6 if first & 0x40 else 5 if first & 0x20 else 4
        index, position = _integer(block, position, bits)
        strings = 0 if bits in (7, 5) else 1 if index else 2
        for _ in range(strings):
            length, position = _integer(block, position, 7)
            position += length
    if position > len(block):
        raise LimitExceededError(_NONSENSE)


def _integer(block: bytes | bytearray, position: int, bits: int) -> tuple[int, int]:
    """An integer with a prefix of so many bits (RFC 7541, 5.1), and the position after it."""
    most = (1 << bits) - 1
    value = block[position] & most if position < len(block) else most
    if value < most:
        return value, position + 1
    # More than three bytes are a number beyond all that a block can hold.
    for shift, byte in enumerate(block[position + 1 : position + 4]):
        value += (byte & 0x7F) << 7 * shift
        if not byte & 0x80:
            return value, position + 2 + shift
    raise LimitExceededError(_NONSENSE)


class Http2Limits:
    """One connection, in the direction from the agent."""

    __slots__ = ("_block", "_header", "_message", "_preface", "_rest", "_streams", "_unfinished")

    def __init__(self, unfinished: Unfinished) -> None:
        """`unfinished` is shared by the connections of a socket."""
        self._unfinished = unfinished
        self._preface = PREFACE
        self._header = b""
        self._rest = 0  # bytes that the frame at hand still has
        self._message: _Message | None = None  # where they belong to, if it is a DATA frame
        self._block: bytearray | None = None  # what has come of them, if it is a HEADERS frame
        self._streams: dict[int, _Message] = {}

    def take(self, data: bytes) -> int:
        """Look at what has come; its cost. Raises BrokenBoundError, and then nothing of it may be passed on."""
        cost, position, end = len(data), 0, len(data)
        if self._preface:
            position = self._greeted(data)
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
        """The connection has ended, and what it held with it."""
        for stream in list(self._streams):
            self._forget(stream)

    def _greeted(self, data: bytes) -> int:
        """Where the greeting ends, as far as it has come."""
        greeting = data[: len(self._preface)]
        if not self._preface.startswith(greeting):
            raise LimitExceededError("it does not speak HTTP/2")
        self._preface = self._preface[len(greeting) :]
        return len(greeting)

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
            return  # of a stream that is over; gRPC throws it away
        message.pieces += 1
        if message.pieces > MAX_PIECES:
            raise LimitExceededError("a message has too many pieces")
        if self._unfinished.total + length > MAX_UNFINISHED:
            raise LimitExceededError("too many messages are unfinished")
        self._message = message

    def _payload(self, data: bytes, position: int) -> int:
        """Where it ends, as far as it has come."""
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
