"""A handler in the wrong hands: its agents neither grow, nor spin, nor end, and are there again for a better one.

The agent is the real program. It has no libvirt here and reports that it sees nothing: a stream like any other.
"""

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from tests.hostile import http2

KIB = 1024
#: Seconds for which a handler does what it likes.
WHILE = 0.5
#: Bytes that gRPC may need for traffic that it has not had before: buffers, and an arena of memory for each thread. It
#: was seen to end at 2.4 MiB, after five rounds of messages of 60 KB; the sidecar may have 64 MiB in all.
MOST = 4 * 1024 * KIB

Requests = Iterator[bytes]
#: From the agent's messages (as bytes, since only the handler's matter here) to the messages that it gets.
Behaviour = Callable[[Requests], Iterator[bytes]]

BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(run: Behaviour) -> Behaviour:
    BEHAVIOURS[run.__name__.replace("_", "-")] = run
    return run


def said(**arm: object) -> bytes:
    return pb.ReportSessionsResponse(**arm).SerializeToString()  # type: ignore[arg-type]


WELCOME = said(welcome=pb.Welcome(handler_version="hostile"))


@behaviour
def terms_that_make_it_spin(requests: Requests) -> Iterator[bytes]:
    """Every setting at once, without limit."""
    none = Duration(seconds=-(2**40), nanos=-999_999_999)
    yield said(welcome=pb.Welcome(heartbeat_interval=none, lease=none, window=2**32 - 1, delta_burst=2**32 - 1))
    yield from _until_it_ends(requests)


@behaviour
def terms_that_make_it_silent(requests: Requests) -> Iterator[bytes]:
    """Never."""
    never = Duration(seconds=315_576_000_000, nanos=2**31 - 1)
    yield said(welcome=pb.Welcome(heartbeat_interval=never, lease=never, delta_interval=never, window=1))
    yield from _until_it_ends(requests)


@behaviour
def giant_welcome(requests: Requests) -> Iterator[bytes]:
    """Texts as long as a message may be."""
    giant = "x" * 60_000
    for field in ("handler_version", "vmi", "features"):
        value = {"handler_version": giant, "vmi": types.VmiReference(name=giant), "features": [giant]}[field]
        yield said(welcome=pb.Welcome(**{field: value}))  # type: ignore[arg-type]
    yield from _until_it_ends(requests)


@behaviour
def many_features(requests: Requests) -> Iterator[bytes]:
    """Ten thousand."""
    yield said(welcome=pb.Welcome(features=[f"f{number}" for number in range(8_000)]))
    yield from _until_it_ends(requests)


@behaviour
def ack_flood(requests: Requests) -> Iterator[bytes]:
    """Of everything, and of what was never sent."""
    yield WELCOME
    for number in itertools.count():
        yield said(ack=pb.Ack(accepted=2**64 - 1 - number % 2, published=2**64 - 1, state=99, message="\u202e" * 50))  # type: ignore[arg-type]


@behaviour
def resync_flood(requests: Requests) -> Iterator[bytes]:
    """Each asks for everything."""
    yield WELCOME
    while True:
        yield said(resync_request=pb.ResyncRequest(accepted=2**64 - 1, reason=77))  # type: ignore[arg-type]


@behaviour
def welcome_flood(requests: Requests) -> Iterator[bytes]:
    """As if it had just come."""
    while True:
        yield WELCOME


@behaviour
def drain_flood(requests: Requests) -> Iterator[bytes]:
    """It stops, and does not."""
    yield WELCOME
    while True:
        yield said(drain_notice=pb.DrainNotice(grace=Duration(seconds=-1)))


@behaviour
def unknown_flood(requests: Requests) -> Iterator[bytes]:
    """Arms of versions to come, 60 KB each."""
    yield WELCOME
    while True:
        yield b"\xfa\x01" + b"\xe0\xd4\x03" + bytes(60_000)


@behaviour
def message_too_large(requests: Requests) -> Iterator[bytes]:
    """Ten megabytes."""
    yield WELCOME
    yield said(ack=pb.Ack(message="x" * 10_000_000))


@behaviour
def nonsense(requests: Requests) -> Iterator[bytes]:
    """Bytes that are no message."""
    yield WELCOME
    while True:
        yield b"\xff" * 1000
        yield b"\x12\x04\x22\x02\xff\xfe"


@behaviour
def never_answering(requests: Requests) -> Iterator[bytes]:
    """Not even a welcome."""
    yield from _until_it_ends(requests)


@behaviour
def ends_at_once(requests: Requests) -> Iterator[bytes]:
    """Each stream, whatever is said."""
    yield WELCOME


@behaviour
def status_with_a_giant_text(requests: Requests) -> Iterator[bytes]:
    """In place of an answer."""
    raise RuntimeError("\x1b[2J\nforged " + "x" * 6_000)
    yield b""


def _until_it_ends(requests: Requests) -> Iterator[bytes]:
    for _ in requests:
        yield from ()


# --- the stage --------------------------------------------------------------------------------------------------------


class _Everything(grpc.GenericRpcHandler):
    """Serves any method, with bytes."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(lambda requests, _context: self._behave(requests))


@contextmanager
def serving(path: Path, behave: Behaviour) -> Iterator[None]:
    options = [("grpc.max_send_message_length", -1)]
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[_Everything(behave)], options=options)
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


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

    def cpu(self) -> float:
        """Seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_reporting(self) -> None:
        """Served by a good handler until it has said a Snapshot."""
        heard = threading.Event()

        def good(requests: Requests) -> Iterator[bytes]:
            yield WELCOME
            for request in requests:
                if pb.ReportSessionsRequest.FromString(request).HasField("snapshot"):
                    heard.set()

        with serving(self.socket, good):
            assert heard.wait(60), f"the agent does not come; its log ends:\n{self.log_tail()}"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path) as running:
        running.wait_reporting()
        yield running


# --- the promises -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_hostile_handler_neither_grows_nor_ends_the_agent(agent: Agent, name: str) -> None:
    """What it was made to take at first is little, and going on gains nothing; a good handler is reported to again."""
    before, cpu = agent.memory().anonymous, agent.cpu()
    *_, last_but_one, last = (_most_memory(agent, BEHAVIOURS[name]) for _ in range(4))
    cpu = agent.cpu() - cpu
    sys.stdout.write(f"{name}: {(last - before) // KIB} KiB, of that {(last - last_but_one) // KIB} KiB at last; ")
    sys.stdout.write(f"{cpu:.2f} s of CPU, {len(agent.log_text())} bytes of log\n")
    assert last - before <= MOST
    assert last - last_but_one <= MOST // 4
    assert len(agent.log_text()) < 8 * KIB, agent.log_text()
    assert all(line.isprintable() for line in agent.log_text().splitlines())
    agent.wait_reporting()


def _most_memory(agent: Agent, behave: Behaviour) -> int:
    with Sampler(lambda: agent.memory().anonymous) as memory, serving(agent.socket, behave):
        time.sleep(WHILE)
    return max(memory.values)


def test_terms_cannot_make_the_agent_spin(agent: Agent) -> None:
    """A heartbeat each 100 ms is the most that a handler can make it send."""
    cpu = agent.cpu()
    with serving(agent.socket, BEHAVIOURS["terms-that-make-it-spin"]):
        time.sleep(WHILE)
    assert agent.cpu() - cpu < 0.3 * WHILE


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
    assert memory[1] - memory[0] <= MOST // 4
    agent.wait_reporting()
    assert all(line.isprintable() for line in agent.log_text().splitlines())


def _while_greeting(agent: Agent, listener: socket.socket, greeting: bytes) -> int:
    with Sampler(lambda: agent.memory().anonymous) as memory:
        _greet_all(listener, greeting)
    return max(memory.values)


def _greet_all(listener: socket.socket, greeting: bytes) -> None:
    until = time.monotonic() + WHILE
    while time.monotonic() < until:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        with client:
            client.settimeout(0.2)
            try:
                client.sendall(greeting)
                client.recv(1000)
            except OSError:
                continue
