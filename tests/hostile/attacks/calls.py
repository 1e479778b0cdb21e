"""Attacks by gRPC: calls and messages that are many, large, or never end."""

import gzip
import struct
import time
from functools import cache
from pathlib import Path

from tests.hostile import http2
from tests.hostile.attacks.messages import again, hello, snapshot
from tests.hostile.attacks.registry import Steps, attack
from tests.hostile.http2 import Connection


@attack
def stream_flood(path: Path) -> Steps:
    """A thousand calls on a connection, all kept open, none of which says a word."""
    connection = None
    while True:
        connection = again(path, connection)
        for number in range(1, 2001, 2):
            if not connection.send(http2.open_stream(number)):
                break
            yield 1
        connection.drain()
        yield 0


@attack
def all_streams_and_connections(path: Path) -> Steps:
    """As many streams on as many connections as are let in, each with half of the largest message."""
    half = http2.message(bytes(64_000))[:60_000]
    held: list[Connection] = []
    while True:
        held.append(Connection(path, send_timeout=0.01))
        for number in range(1, 17, 2):
            held[-1].send(http2.open_stream(number) + http2.data(number, half))
        if len(held) > 16:
            held.pop(0).close()
        yield 8


@attack
def unknown_methods(path: Path) -> Steps:
    """Calls of what is not served."""
    connection, number = None, 1
    while True:
        if connection is None or not connection.alive:
            connection, number = again(path, connection), 1
        method = f"/servicestatus.v{number}.SessionReportService/ReportSessions" + "x" * 500
        connection.send(http2.open_stream(number, http2.call(method)))
        connection.drain()
        number += 2
        yield 1


@attack
def giant_message(path: Path) -> Steps:
    """A message that says to have four gigabytes, and as much of it as is taken."""
    connection = None
    while True:
        connection = again(path, connection)
        connection.send(http2.open_stream(1) + http2.data(1, struct.pack(">BI", 0, 0xFFFFFFFF)))
        while connection.send(http2.data(1, bytes(65_536))):
            connection.drain()
            yield 1
        connection.close()
        yield 1


@cache
def _bomb() -> bytes:
    return http2.message(gzip.compress(bytes(60 * 1024 * 1024), compresslevel=1), compressed=True)


@attack
def gzip_bomb(path: Path) -> Steps:
    """64 KiB that become 64 MiB when they are unpacked."""
    bomb = _bomb()
    block = http2.call(http2.METHOD, (b"grpc-encoding", b"gzip"))
    connection, number = None, 1
    while True:
        if connection is None or not connection.alive:
            connection, number = again(path, connection), 1
        connection.send(http2.open_stream(number, block) + http2.data(number, bomb))
        connection.drain()
        number += 2
        yield 1


@attack
def half_messages(path: Path) -> Steps:
    """Messages of which the last byte never comes, on every stream that may be open."""
    held = [Connection(path, send_timeout=0.01) for _ in range(4)]
    part = http2.message(bytes(65_000))[:-1]
    while True:
        for connection in held:
            for number in range(1, 16, 2):
                connection.send(http2.open_stream(number) + http2.data(number, part))
                yield 1
        time.sleep(0.05)
        yield 0


@attack
def never_reading(path: Path) -> Steps:
    """A stream that makes the handler answer at each message, and reads nothing, ever."""
    held: list[Connection] = []
    while True:
        connection = Connection(path, send_timeout=0.02)
        held.append(connection)
        connection.send(http2.open_stream(1) + http2.data(1, hello() + snapshot(1)))
        sequence = 1
        while connection.alive and sequence < 60:
            sequence += 1
            connection.send(http2.data(1, snapshot(sequence, sequence % 3)))
            yield 1
            time.sleep(0.01)
        if len(held) > 4:
            held.pop(0).close()
        yield 0


@attack
def reading_slowly(path: Path) -> Steps:
    """The same, and now and then it reads one byte."""
    connection = None
    sequence = 0
    while True:
        if connection is None or not connection.alive:
            connection, sequence = again(path, connection), 1
            connection.send(http2.open_stream(1) + http2.data(1, hello() + snapshot(1)))
        sequence += 1
        connection.send(http2.data(1, snapshot(sequence, sequence % 3)))
        if sequence % 10 == 0:
            connection.receive(1)
        time.sleep(0.03)
        yield 1
