"""A handler in the wrong hands: its agents neither grow, nor spin, nor end, and are there again for a better one.

The agent is the real program. It has no libvirt here and reports that it sees nothing: a stream like any other.
"""

import contextlib
import itertools
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from testbed.waiting import wait_until
from tests.hostile import http2
from tests.hostile.behaviours import BEHAVIOURS, WELCOME, Behaviour, Requests, serving

KIB = 1024
#: Seconds for which a handler does what it likes, from the moment at which the agent comes to it.
WHILE = 0.5
#: Rounds of it: at least, and until one of them adds little.
ROUNDS, MOST_ROUNDS = 4, 8
#: Bytes that gRPC may need for traffic that it has not had before: buffers, and an arena of memory for each thread. It
#: was seen to end at 2.4 MiB, after five rounds of messages of 60 KB; the sidecar may have 64 MiB in all.
MOST = 4 * 1024 * KIB
#: Of that, bytes in a later round.
MORE = MOST // 4
#: Seconds until the agent comes: it retries at least each 5 s.
TIMEOUT = 60.0
#: Of a core. Heartbeats take a hundredth.
BUSY = 0.3


# --- the stage --------------------------------------------------------------------------------------------------------


class Agent(ManagedProcess):
    def __init__(self, directory: Path) -> None:
        self.socket = directory / "handler.sock"
        flags = [
            f"--libvirt-uri=qemu+unix:///session?socket={directory / 'absent'}",
            "--domain=vm",
            f"--handler-socket={self.socket}",
            "--admin-socket=",
        ]
        super().__init__([script("launcher-agent"), *flags], log=directory / "agent.log")

    def wait_reporting(self) -> None:
        """Served by a good handler until it has said a Snapshot."""
        heard = threading.Event()

        def good(requests: Requests) -> Iterator[bytes]:
            yield WELCOME
            for request in requests:
                if pb.ReportSessionsRequest.FromString(request).HasField("snapshot"):
                    heard.set()

        with serving(self.socket, good):
            assert heard.wait(TIMEOUT), f"the agent does not come; its log ends:\n{self.log_tail()}"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path) as running:
        running.wait_reporting()
        yield running


# --- the promises -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_hostile_handler_neither_grows_nor_ends_the_agent(agent: Agent, name: str) -> None:
    """What it was made to take at first is little, and going on gains nothing; a good handler is reported to again."""
    cpu, most = agent.cpu_seconds(), [agent.memory().anonymous]
    while len(most) <= ROUNDS or (most[-1] > most[-2] + MORE and len(most) <= MOST_ROUNDS):
        most.append(_most_memory(agent, BEHAVIOURS[name]))
    cpu = agent.cpu_seconds() - cpu
    grown, at_last = most[-1] - most[0], most[-1] - most[-2]
    sys.stdout.write(f"{name}: {grown // KIB} KiB in {len(most) - 1} rounds, of that {at_last // KIB} KiB at last; ")
    sys.stdout.write(f"{cpu:.2f} s of CPU, {len(agent.log_text())} bytes of log\n")
    assert grown <= MOST
    assert at_last <= MORE
    assert len(agent.log_text()) < 8 * KIB, agent.log_text()
    assert all(line.isprintable() for line in agent.log_text().splitlines())
    agent.wait_reporting()


def _most_memory(agent: Agent, behave: Behaviour) -> int:
    came = threading.Event()

    def once_it_comes(requests: Requests) -> Iterator[bytes]:
        came.set()
        yield from behave(requests)

    with Sampler(lambda: agent.memory().anonymous) as memory, serving(agent.socket, once_it_comes):
        assert came.wait(TIMEOUT), f"the agent does not come; its log ends:\n{agent.log_tail()}"
        time.sleep(WHILE)
    return max(memory.values)


def test_terms_cannot_make_the_agent_spin(agent: Agent) -> None:
    """A heartbeat each 100 ms is the most that a handler can make it send."""
    sent: list[bytes] = []

    def listening(requests: Requests) -> Iterator[bytes]:
        yield from itertools.islice(BEHAVIOURS["terms-that-make-it-spin"](requests), 1)
        sent.extend(requests)

    with serving(agent.socket, listening):
        wait_until(lambda: len(sent), lambda count: count > 10, what="it sends heartbeats")
        cpu, start = agent.cpu_seconds(), time.monotonic()
        time.sleep(4 * WHILE)
        busy = (agent.cpu_seconds() - cpu) / (time.monotonic() - start)
    assert busy < BUSY


GREETINGS = {
    "noise": bytes(range(256)) * 100,
    "http1": b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(100_000),
    "settings-flood": http2.settings((http2.INITIAL_WINDOW_SIZE, 0)) * 20_000,
    "ping-flood": http2.settings() + http2.frame(http2.PING, payload=bytes(8)) * 20_000,
    "goaway": http2.settings() + http2.frame(http2.GOAWAY, payload=bytes(8) + b"\x1b[2J\nINFO forged: " * 1000) * 5,
}


@pytest.mark.parametrize("greeting", GREETINGS)
def test_a_socket_that_speaks_something_else_is_borne(agent: Agent, greeting: str) -> None:
    """Another program's socket is in the place of the handler's: the agent tries again."""
    before = agent.memory().anonymous
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent.socket))
        listener.listen()
        listener.settimeout(1.0)
        memory = [_while_greeting(agent, listener, GREETINGS[greeting]) for _ in range(2)]
    agent.socket.unlink()
    assert memory[1] - before <= MOST
    assert memory[1] - memory[0] <= MORE
    agent.wait_reporting()
    assert all(line.isprintable() for line in agent.log_text().splitlines())


def _while_greeting(agent: Agent, listener: socket.socket, greeting: bytes) -> int:
    with Sampler(lambda: agent.memory().anonymous) as memory:
        _greet_all(listener, greeting)
    return max(memory.values)


def _greet_all(listener: socket.socket, greeting: bytes) -> None:
    """For a while, and at least once."""
    until, greeted = time.monotonic() + WHILE, 0
    while time.monotonic() < until or not greeted:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        greeted += 1
        with client, contextlib.suppress(OSError):
            client.settimeout(0.2)
            client.sendall(greeting)
            client.recv(1000)
