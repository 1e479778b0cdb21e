"""The HTTP server of both programs: what it answers, and what keeps its connections few and short."""

import asyncio
import select
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from servicestatus.addresses import Address
from servicestatus.http_ports import metrics_server, probe_server
from servicestatus.http_server import HttpServer, Limits
from servicestatus.sockets import SocketError
from tests.cluster.ports import free_port

#: Seconds that no test waits.
LONG = 3600.0
DEADLINE = 30.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def address() -> Address:
    return Address("127.0.0.1", free_port())


@pytest.fixture
async def peers() -> AsyncIterator["Peers"]:
    async with AsyncExitStack() as stack:
        yield Peers(stack)


class Peers:
    """Connections of a test, which end with it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def connect(
        self, address: Address, words: bytes, tls: ssl.SSLContext | None = None, source: str = ""
    ) -> Connection:
        reader, writer = await asyncio.open_connection(*address, ssl=tls, local_addr=(source, 0) if source else None)
        self._stack.callback(writer.close)
        writer.write(words)
        return reader, writer

    async def ask(self, address: Address, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
        """Return all that is sent until the server closes the connection."""
        return await rest(await self.connect(address, request, tls))


async def rest(connection: Connection) -> bytes:
    """Return what arrives until the end of a connection; nothing where it is reset."""
    try:
        return await asyncio.wait_for(connection[0].read(), DEADLINE)
    except ConnectionError:
        return b""


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: pod", *headers, "", ""]).encode()


@asynccontextmanager
async def echo(address: Address, limits: Limits, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Answer a POST with its body, and GET /long with more than any buffer holds."""

    async def post(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.read())

    async def long(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(64 << 20))

    async with HttpServer(address, {("POST", "/"): post, ("GET", "/long"): long}, limits=limits, tls=tls):
        yield


async def test_probes_and_nothing_else(address: Address, peers: Peers) -> None:
    """Ready is what the program says at this moment."""
    ready = [False]
    async with probe_server(address, lambda: ready[0]):
        assert (await peers.ask(address, get("/healthz"))).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await peers.ask(address, get("/readyz"))).startswith(b"HTTP/1.1 503 ")
        ready[0] = True
        assert (await peers.ask(address, get("/readyz"))).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await peers.ask(address, get("/metrics"))).startswith(b"HTTP/1.1 404 ")
        assert (await peers.ask(address, b"POST /healthz HTTP/1.1\r\nHost: pod\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        head = await peers.ask(address, b"HEAD /healthz HTTP/1.1\r\nHost: pod\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n")


async def test_scrapers_share_what_is_rendered_for_a_second(address: Address, peers: Peers) -> None:
    """There are two forms, whatever versions and escapings a scraper names."""
    asked: list[str] = []

    def render(accept: str) -> tuple[bytes, str]:
        asked.append(accept)
        return f"from {len(asked)}\n".encode(), "text/plain"

    accepts = ("*/*", "text/plain;version=1.0.0;escaping=values", "application/openmetrics-text;version=9", "*/*")
    async with metrics_server(address, render):
        answers = [await peers.ask(address, get("/metrics", f"Accept: {accept}")) for accept in accepts]
        assert [answer.rpartition(b"\r\n")[2] for answer in answers] == [b"from 1\n"] * 2 + [b"from 2\n", b"from 1\n"]
        assert asked == ["text/plain", "application/openmetrics-text;version=1.0.0"]
        while len(asked) == 2:  # until the second has passed
            await peers.ask(address, get("/metrics"))
        assert asked[2:] == ["text/plain"]


async def test_a_connection_without_a_request_makes_room_for_a_new_one(address: Address, peers: Peers) -> None:
    """The oldest one ends, and the newest ones stay."""
    async with echo(address, Limits(connections=3, request_timeout=LONG)):
        held = [await peers.connect(address, b"POST / HT") for _ in range(5)]
        assert [await rest(one) for one in held[:2]] == [b"", b""]
        for _, writer in held[2:]:
            writer.write(b"TP/1.1\r\nHost: pod\r\nContent-Length: 2\r\n\r\nhi")
        assert [(await rest(one))[-2:] for one in held[2:]] == [b"hi"] * 3


async def test_the_peer_with_the_most_connections_makes_room(address: Address, peers: Peers) -> None:
    """A peer that is slow has as much time as without the others."""
    async with echo(address, Limits(connections=4, request_timeout=LONG)):
        slow = await peers.connect(address, b"POST / HT", source="127.0.0.3")
        held = [await peers.connect(address, b"", source="127.0.0.2") for _ in range(20)]
        assert [await rest(one) for one in held[:17]] == [b""] * 17
        slow[1].write(b"TP/1.1\r\nHost: pod\r\nContent-Length: 2\r\n\r\nhi")
        assert (await rest(slow))[-2:] == b"hi"


async def test_of_a_flood_only_what_finds_room_costs_more_than_a_reset(address: Address) -> None:
    """The others are reset in the turn that accepts them: no task is made for them, and nothing of theirs is read."""
    tasks = set[asyncio.Task[object]]()
    async with echo(address, Limits(connections=3, request_timeout=LONG, pause=LONG)), asyncio.timeout(DEADLINE):
        with ExitStack() as stack:
            flood = [stack.enter_context(socket.create_connection(address)) for _ in range(100)]
            for peer in flood:
                peer.sendall(b"POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: 2\r\n\r\nhi")
            before = asyncio.all_tasks()
            while len(select.select(flood, [], [], 0)[0]) < len(flood):
                await asyncio.sleep(0)
                tasks |= asyncio.all_tasks() - before
            answered = [peer for peer in flood if not _is_reset(peer)]
    assert len(answered) == 3
    assert len(tasks) <= 5 * len(answered)


def _is_reset(peer: socket.socket) -> bool:
    try:
        return not peer.recv(1)
    except ConnectionResetError:
        return True


async def test_peers_that_read_nothing_make_room_too(address: Address, peers: Peers) -> None:
    """They are reset: the kernel keeps nothing for them."""
    async with echo(address, Limits(connections=2, answer_timeout=LONG)):
        held = [await peers.connect(address, get("/long")) for _ in range(2)]
        for reader, _ in held:
            assert await reader.read(10) == b"HTTP/1.1 2"
        assert (await peers.ask(address, b"POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: 2\r\n\r\nhi"))[-2:] == b"hi"
        assert await rest(held[0]) == b""


@pytest.mark.parametrize(
    "words", [b"", b"GET / HTTP/1.1\r\nHost: ", b"POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: 9\r\n\r\n"]
)
async def test_a_request_has_a_time_limit(address: Address, peers: Peers, words: bytes) -> None:
    """Its head and its body."""
    async with echo(address, Limits(request_timeout=0.05)):
        assert await rest(await peers.connect(address, words)) == b""


async def test_an_answer_has_a_time_limit(address: Address) -> None:
    """A peer that does not read it is reset."""
    async with echo(address, Limits(answer_timeout=0.05)):
        with socket.create_connection(address) as peer:
            peer.sendall(get("/long"))
            ended = select.poll()
            ended.register(peer, 0)  # errors alone
            ((_, what),) = await asyncio.to_thread(ended.poll, DEADLINE * 1000)
            assert what & select.POLLERR


async def test_one_connection_has_one_request(address: Address, peers: Peers) -> None:
    """What was sent after it is dropped with the connection."""
    async with probe_server(address, lambda: True):
        answer = await peers.ask(address, get("/healthz") * 1000)
        assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize(
    "words",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + bytes(180),
        b"\x1b[2J\r\n\r\n",
        get("/metrics", "Accept: application/openmetrics-text;version=x"),
        get("/healthz", "Cookie: " + "x" * 5000),
        get("/healthz", *(f"X-{number}: 1" for number in range(40))),
        get("/" + "x" * 5000),
        get("/healthz", "Connection: Upgrade", "Upgrade: websocket") + bytes(5000),
        b"CONNECT nowhere:x HTTP/1.1\r\nHost: pod\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: pod\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: pod\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ],
)
async def test_nothing_that_a_peer_sends_is_logged(
    address: Address, peers: Peers, words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing ends the server."""
    async with probe_server(address, lambda: True):
        await peers.ask(address, words)
        assert (await peers.ask(address, get("/healthz")))[-3:] == b"ok\n"
    assert caplog.text == ""


async def test_a_program_that_fails_says_so(address: Address, peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    """The peer learns nothing of it."""

    def render(_accept: str) -> tuple[bytes, str]:
        raise RuntimeError("what failed")

    async with metrics_server(address, render):
        answer = await peers.ask(address, get("/metrics"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"what failed" not in answer
    assert "what failed" in caplog.text


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's side of one certificate."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*request, "-subj", "/CN=pod", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    server.load_cert_chain(certificate, key)
    client.check_hostname = False
    return server, client


async def test_https_has_the_same_bounds(
    address: Address, peers: Peers, certified: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A handshake that does not go on makes room, and ends at the time limit."""
    server, client = certified
    post = b"POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: 2\r\n\r\nhi"
    async with echo(address, Limits(connections=2, request_timeout=LONG), server):
        held = [await peers.connect(address, b"\x16\x03\x01") for _ in range(3)]
        assert await rest(held[0]) == b""
        assert (await peers.ask(address, post, client))[-2:] == b"hi"
        assert await peers.ask(address, post) == b""
    async with echo(address, Limits(request_timeout=0.05), server):
        assert await rest(await peers.connect(address, b"\x16\x03\x01")) == b""


async def test_a_port_that_is_taken_is_told(address: Address) -> None:
    """One line, which names it."""
    async with probe_server(address, lambda: True):
        with pytest.raises(SocketError, match=f"{address} cannot be bound: Address already in use"):
            await probe_server(address, lambda: True).__aenter__()


async def test_without_a_host_both_protocols_are_served(peers: Peers) -> None:
    """A node may have either."""
    port = free_port()
    async with probe_server(Address("", port), lambda: True):
        for host in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
            assert (await peers.ask(Address(host, port), get("/healthz")))[-3:] == b"ok\n"
