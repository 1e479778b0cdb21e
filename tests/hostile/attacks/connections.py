"""Attacks by connections: many, short, silent, or of something else than HTTP/2."""

import time
from pathlib import Path

from tests.hostile import http2
from tests.hostile.attacks.messages import hello, snapshot, streams
from tests.hostile.attacks.registry import Steps, attack
from tests.hostile.http2 import Connection


@attack
def connection_flood(path: Path) -> Steps:
    """As many connections as it is given, held open; each has said what HTTP/2 begins with."""
    held: list[Connection] = []
    while True:
        held.append(Connection(path, send_timeout=0.01))
        if len(held) > 200:
            held.pop(0).close()
        yield 1


@attack
def mute_connections(path: Path) -> Steps:
    """As many connections, that never say a byte."""
    held: list[Connection] = []
    while True:
        held.append(Connection(path, hello=b"", send_timeout=0.01))
        if len(held) > 200:
            held.pop(0).close()
        yield 1


@attack
def connection_churn(path: Path) -> Steps:
    """A connection and its end, as fast as it can be."""
    while True:
        Connection(path, send_timeout=0.01).close()
        yield 1


@attack
def garbage(path: Path) -> Steps:
    """HTTP/1, TLS and noise."""
    greetings = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + bytes(180),
        bytes(range(256)) * 64,
        http2.PREFACE + bytes(range(256)) * 64,
        http2.PREFACE + http2.settings() + http2.frame(0xFE, 0xFF, 7, bytes(1000)) * 10,
    ]
    for number in streams(0):
        connection = Connection(path, hello=greetings[number // 2 % len(greetings)], send_timeout=0.01)
        connection.drain()
        connection.close()
        yield 1


@attack
def one_byte_at_a_time(path: Path) -> Steps:
    """A call, a byte at a time on each of many connections: each of them holds half a frame at any moment."""
    words = http2.open_stream(1) + http2.data(1, hello() + snapshot(1))
    held = [Connection(path, hello=http2.PREFACE + http2.settings(), send_timeout=0.01) for _ in range(16)]
    while True:
        for byte in words:
            for connection in held:
                connection.send(bytes([byte]))
            yield len(held)
            time.sleep(0.01)
