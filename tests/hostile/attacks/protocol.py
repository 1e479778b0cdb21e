"""Attacks by the protocol: well-formed messages that break its rules."""

import time
from collections.abc import Callable
from pathlib import Path

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from tests.hostile import http2
from tests.hostile.attacks.messages import again, delta, heartbeat, hello, on_new_streams, said, snapshot
from tests.hostile.attacks.registry import Steps, attack
from tests.hostile.http2 import Connection


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
    """Claim to be the neighbour or any other VMI, with names that would forge a log line."""
    names = ["neighbour", "x" * 253, "a\nWARNING forged", "\x1b[2Jb", "\u202eevil"]

    def words(number: int) -> bytes:
        claim = types.VmiReference(namespace="default", name=f"{names[number // 2 % 5]}"[:200] + str(number))
        return said(pb.ReportSessionsRequest(hello=pb.Hello(instance="a", vmi=claim))) + snapshot(1, 99)

    return on_new_streams(path, words)


#: Seconds between two reports that are meant to be written: the handler writes a VMI once a second.
PACE = 0.4


def _paced(path: Path, words: Callable[[int], bytes]) -> Steps:
    """Sends what `words` makes of each sequence on one stream, slowly enough for each number to be taken."""
    connection, sequence, due = None, 0, 0.0
    while True:
        if time.monotonic() < due:
            yield 0
            continue
        due = time.monotonic() + PACE
        if connection is None or not connection.alive:
            connection, sequence = again(path, connection), 0
            connection.send(http2.open_stream(1) + http2.data(1, hello()))
        sequence += 1
        connection.send(http2.data(1, words(sequence)))
        connection.drain()
        yield 1


@attack
def rising_numbers(path: Path) -> Steps:
    """One viewer more in each report: 26 such pods ask for more writes than a node has."""
    return _paced(path, lambda sequence: snapshot(sequence, sequence))


@attack
def withdrawn_zeros(path: Path) -> Steps:
    """A zero that is proved, withdrawn, and ended by a viewer, in turns: these changes are written before others."""

    def words(sequence: int) -> bytes:
        observed = sequence % 3 != 1
        reason = types.OBSERVATION_REASON_WATCHING if observed else types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE
        vnc = types.ServiceSessions(service=types.SERVICE_VNC, sessions=int(sequence % 3 == 2))
        observation = types.Observation(observed=observed, reason=reason)
        return said(
            pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=sequence, observation=observation, services=[vnc]))
        )

    return _paced(path, words)
