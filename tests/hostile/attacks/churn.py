"""Products of attacks: cheap things, each on a connection of its own that is closed at once."""

import struct
from functools import cache
from pathlib import Path

from tests.hostile import http2
from tests.hostile.attacks.messages import again, hello, snapshot, streams
from tests.hostile.attacks.registry import Steps, attack
from tests.hostile.http2 import Connection

#: What the handler read at once when these were found: a kilobyte, forwarded before it was paid for.
FIRST_READ = 1024


@cache
def _first_read(*more: bytes) -> bytes:
    """The beginning of HTTP/2, and as many short calls as fit; `more` follows each of them.

    The first call leaves its headers in the table of the connection, so that each further one needs six bytes.
    """
    pairs = [(b":path", http2.METHOD.encode()), (b":authority", b"localhost"), (b"te", b"trailers")]
    pairs.append((b"content-type", b"application/grpc"))
    kept = b"".join(b"\x40" + http2.header(*pair)[1:] for pair in pairs)
    blocks = [b"\x83\x86" + kept, b"\x83\x86" + bytes(range(0x80 + 65, 0x80 + 61, -1))]
    read = http2.PREFACE + http2.settings()
    for number in streams():
        call = http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, number, blocks[number > 1])
        call += b"".join(http2.frame(http2.RST_STREAM, 0, number, one) for one in more)
        if len(read) + len(call) > FIRST_READ:
            break
        read += call
    return read


def _churn(path: Path, words: bytes) -> Steps:
    while True:
        connection = Connection(path, hello=words, send_timeout=0.002)
        connection.close()
        yield 1


@attack
def calls_and_churn(path: Path) -> Steps:
    """Forty-six calls in the first kilobyte of each connection."""
    return _churn(path, _first_read())


@attack
def resets_and_churn(path: Path) -> Steps:
    """The same, and each call is cancelled."""
    return _churn(path, _first_read(struct.pack(">I", 8)))


@attack
def settings_and_churn(path: Path) -> Steps:
    """As many SETTINGS as fit, each of which wants an answer."""
    return _churn(path, (http2.PREFACE + http2.settings((http2.INITIAL_WINDOW_SIZE, 0)) * 100)[:FIRST_READ])


@attack
def pings_and_churn(path: Path) -> Steps:
    """The same of PING."""
    return _churn(
        path, (http2.PREFACE + http2.settings() + http2.frame(http2.PING, payload=bytes(8)) * 100)[:FIRST_READ]
    )


@attack
def hellos_and_churn(path: Path) -> Steps:
    """A whole stream of the protocol on each connection, as if the agent had just been started."""
    return _churn(path, http2.PREFACE + http2.settings() + http2.open_stream(1) + http2.data(1, hello() + snapshot(1)))


@attack
def few_calls_at_a_time(path: Path) -> Steps:
    """Seven short calls in each read, which is as many as are let through, on connections that stay open."""
    call = http2.call()
    connection = None
    while True:
        connection = again(path, connection)
        for first in range(1, 100_000, 14):
            numbers = range(first, first + 14, 2)
            end = http2.END_HEADERS | http2.END_STREAM
            if not connection.send(b"".join(http2.frame(http2.HEADERS, end, number, call) for number in numbers)):
                break
            connection.drain()
            yield 7
        yield 0
