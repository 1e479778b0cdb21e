"""A process in the place of libvirt's socket: the agent neither grows, nor ends, nor claims to know anything.

A libvirt that is slow, killed or frozen is in tests/libvirt/test_libvirt_away.py, what a QEMU may answer in tests/fuzz.
"""

import contextlib
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.hostile.behaviours import WELCOME, Requests, serving
from tests.hostile.test_handler import KIB, MOST, Agent

#: Seconds that each libvirt has.
WHILE = 1.0
REMOTE_PROGRAM = 0x20008086
#: Bytes of a message that libvirt's client library takes: VIR_NET_MESSAGE_MAX, which nothing can lower.
LONGEST = 32 * 1024 * 1024
FORGED = b"\n2026-01-01 INFO forged\x1b[2J" * 7


def reply(length: int, serial: int = 0, status: int = 0, body: bytes = b"") -> bytes:
    """A message of libvirt's protocol, with the length that it states."""
    return struct.pack(">7I", length, REMOTE_PROGRAM, 1, 66, 1, serial, status) + body


ANSWERS = {
    "silence": b"",
    "noise": bytes(range(256)) * 400,
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(100_000),
    "a-message-of-4-gb": reply(2**32 - 1) + bytes(1_000_000),
    "the-longest-message": reply(LONGEST) + bytes(LONGEST - 28),
    "errors-that-forge-a-log-line": reply(28 + len(FORGED), status=1, body=FORGED) * 100,
    "answers-to-no-question": reply(28, serial=77) * 10_000,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_hostile_libvirt_neither_grows_nor_ends_the_agent(tmp_path: Path, answer: str) -> None:
    """It never reports a number that it can vouch for, and holds two messages at most. Its log has a few lines."""
    with Agent(tmp_path) as agent:
        agent.wait_reporting()
        before = agent.memory().anonymous
        observations: list[types.Observation] = []

        def listening(requests: Requests) -> Iterator[bytes]:
            yield WELCOME
            for request in requests:
                message = pb.ReportSessionsRequest.FromString(request)
                if message.HasField("snapshot"):
                    observations.append(message.snapshot.observation)

        sampler = Sampler(lambda: agent.memory().anonymous)
        peers = libvirt(tmp_path / "absent", ANSWERS[answer]), serving(agent.socket, listening)
        with sampler as memory, peers[0] as accepted, peers[1]:
            wait_until(lambda: accepted and observations, what="the agent has met both")
            time.sleep(WHILE)
        sys.stdout.write(f"{answer}: {(max(memory.values) - before) // KIB} KiB, {len(accepted)} connections\n")
        assert not any(observation.observed for observation in observations)
        assert max(memory.values) - before <= MOST + 2 * LONGEST
        assert len(agent.log_text()) < 8 * KIB, agent.log_text()
        assert all(line.isprintable() for line in agent.log_text().splitlines())
        agent.wait_reporting()


@contextmanager
def libvirt(path: Path, answer: bytes) -> Iterator[list[int]]:
    """Answer whatever is asked with the same bytes; yields a list that grows with each connection."""
    accepted: list[int] = []

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            accepted.append(len(accepted))
            with contextlib.suppress(OSError):
                while self.request.recv(65_536):
                    self.request.sendall(answer)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True  # the agent ends the connections

    with Server(str(path), Answering) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield accepted
        server.shutdown()
        serving.join()
