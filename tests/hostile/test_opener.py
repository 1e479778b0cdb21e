"""A handler in the wrong hands, and the real opener: it costs little, harms no pod, and serves the next handler."""

import asyncio
import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handler_service.endpoints.pod_sockets import OpenerConnection, PodSockets
from handler_service.opener.messages import LOOK, MAX_PODS, OPEN, VERSION, PodState, Request, encode_request
from testbed.processes import ManagedProcess, script
from testbed.sampler import Sampler
from testbed.waiting import wait_until

UID = "11111111-2222-3333-4444-555555555555"
#: Seconds for which a handler does what it likes.
WHILE = 2.0
#: Bytes that the opener may grow by.
MOST = 1024 * 1024
#: Of a core, once a burst of a thousand requests is used up: it answers fifty a second then.
BUSY = 0.5
#: Seconds until the burst is used up: 1.1 s of CPU if each request is a large one. One without a limit never ends.
BURST_TIMEOUT = 60.0

Attack = Callable[[Path], None]
ATTACKS: dict[str, Attack] = {}


def attack(run: Attack) -> Attack:
    ATTACKS[run.__name__.replace("_", "-")] = run
    return run


def dial(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(0.2)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def until_it_ends(path: Path, do: Callable[[socket.socket], None]) -> None:
    """On one connection after the other."""
    end = time.monotonic() + WHILE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), dial(path) as connection:
            while time.monotonic() < end:
                do(connection)


@attack
def looks_without_end(path: Path) -> None:
    """The largest request, again and again."""
    request = encode_request(Request(LOOK, [UID] * MAX_PODS))

    def do(connection: socket.socket) -> None:
        connection.send(request)
        connection.recv(65_536)

    until_it_ends(path, do)


@attack
def opens_without_end(path: Path) -> None:
    """One pod's socket, again and again; each is kept open."""
    kept: list[int] = []

    def do(connection: socket.socket) -> None:
        connection.send(encode_request(Request(OPEN, [UID])))
        kept.extend(socket.recv_fds(connection, 65_536, 1)[1])

    until_it_ends(path, do)
    for descriptor in kept:
        os.close(descriptor)


@attack
def responses_that_nobody_reads(path: Path) -> None:
    """With a socket in each: what is sent and not received is the kernel's to keep."""

    def do(connection: socket.socket) -> None:
        connection.send(encode_request(Request(OPEN, [UID])))

    until_it_ends(path, do)


@attack
def noise(path: Path) -> None:
    """Packets of every size, another version, paths in place of UIDs."""
    packets = [bytes(size) for size in (1, 2, 38, 5000, 100_000)]
    packets += [bytes((VERSION + 1, LOOK)), bytes((VERSION, OPEN)) + b"../../../../etc/shadow".ljust(36, b"/")]

    def do(connection: socket.socket) -> None:
        for packet in packets:
            with contextlib.suppress(OSError), dial(path) as other:
                other.send(packet)
        connection.send(packets[0])
        connection.recv(1)

    until_it_ends(path, do)


@attack
def descriptors_in_requests(path: Path) -> None:
    """Nothing is taken from a handler but its words."""
    file = os.open("/dev/null", os.O_RDONLY)
    request = encode_request(Request(LOOK, [UID]))

    def do(connection: socket.socket) -> None:
        socket.send_fds(connection, [request], [file] * 200)
        connection.recv(65_536)

    until_it_ends(path, do)
    os.close(file)


@attack
def connections_without_end(path: Path) -> None:
    """Opened and closed, and some held."""
    held: list[socket.socket] = []
    end = time.monotonic() + WHILE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            held.append(dial(path))
        if len(held) > 20:
            held.pop(0).close()
    for connection in held:
        connection.close()


class Opener(ManagedProcess):
    def __init__(self, folder: Path) -> None:
        self.pods, self.path = folder / "pods", folder / "opener.sock"
        flags = [f"--pods-dir={self.pods}", f"--socket={self.path}"]
        super().__init__([script("socket-opener"), *flags], log=folder / "opener.log")

    def busy(self, attack: Attack) -> float:
        """Return the seconds of CPU that it uses in each second of an attack."""
        cpu, start = self.cpu_seconds(), time.monotonic()
        attack(self.path)
        return (self.cpu_seconds() - cpu) / (time.monotonic() - start)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def serves(self) -> PodState:
        """A good handler gets the socket of the pod, and what connects to it reaches the handler."""

        async def ask() -> PodState:
            connection = OpenerConnection(self.path)
            with contextlib.closing(connection):
                opened = await PodSockets(connection).open(UID)
                assert opened is not None
                opened[0].close()
                return opened[1]

        return asyncio.run(ask())


@pytest.fixture
def opener() -> Iterator[Opener]:
    with tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp") as folder:
        running = Opener(Path(folder))
        (running.pods / UID / "volumes/kubernetes.io~empty-dir/service-status").mkdir(parents=True)
        secret = running.pods / UID / "volumes/kubernetes.io~secret/token"
        secret.mkdir(parents=True)
        (secret / "token").write_text("hunter2")
        with running:
            wait_until(running.log_text, lambda log: "opening sockets below" in log, what="the opener listens")
            yield running


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_handler_gets_sockets_and_nothing_else(opener: Opener, name: str) -> None:
    """The opener neither grows, nor spins, nor ends; nothing is left open; a later handler is served."""
    descriptors = opener.descriptors()
    opener.serves()
    before = opener.memory().anonymous
    with Sampler(lambda: opener.memory().anonymous) as memory:
        for _ in range(3):
            ATTACKS[name](opener.path)
        what = f"it uses less than {BUSY:g} of a core"
        busy = wait_until(lambda: opener.busy(ATTACKS[name]), BUSY.__gt__, what=what, timeout=BURST_TIMEOUT)
    grown = max(memory.values) - before
    print(f"{name}: {grown // 1024} KiB, {100 * busy:.0f} % of a core, {len(opener.log_text())} bytes of log")  # noqa: T201
    assert grown <= MOST
    state = wait_until(opener.serves, what="the next handler is served", timeout=60, retry_on=(Exception,))
    assert state.socket is not None
    wait_until(opener.descriptors, lambda now: now == descriptors, what="nothing is left open")
    assert len(opener.log_text()) < 64 * 1024
    files = sorted(path.name for path in opener.pods.rglob("*") if not path.is_dir())
    assert files == ["handler.sock", "token"]
