"""Tests the HTTP/2 proxy: it passes correct peers, throttles or rejects others, and no peer waits for another one."""

import asyncio
import contextlib
import selectors
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from handler_service.endpoints.allowance import ACCEPT_COST, BURST, CONNECTION_COST, RATE, READ_COST, Allowance
from handler_service.endpoints.http2_limits import CALL_COST
from handler_service.endpoints.http2_proxy import Http2Proxy
from servicestatus.sockets import SocketDirectory
from testbed.waiting import wait_until_async
from tests.hostile import http2


class Scene:
    """A proxy, and behind it a server that repeats its input."""

    def __init__(self, directory: Path) -> None:
        self.public = directory / "public.sock"
        self.hidden = directory / "hidden.sock"
        self.refused: list[str] = []
        self.renew_lease = bytearray()
        self.talks: set[asyncio.StreamWriter] = set()
        #: What the server says instead of repeating, once for each connection.
        self.speech = b""
        #: Bytes that it reads at a time, and seconds between.
        self.pace: tuple[int, float] = (4096, 0.0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talks.add(writer)
        writer.write(self.speech)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(self.pace[0]):
                self.renew_lease += data
                writer.write(b"" if self.speech else data)
                await asyncio.sleep(self.pace[1])
        writer.close()
        self.talks.remove(writer)

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.public))

    def dial_raw(self) -> socket.socket:
        """For what reads and writes when the test says so."""
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(str(self.public))
        except OSError:
            connection.close()  # more wait in the kernel than may
            raise
        return connection

    async def ended(self) -> None:
        await wait_until_async(lambda: not self.talks, what="the server has seen all ends")


@asynccontextmanager
async def proxy(clock: Callable[[], float] | None = None) -> AsyncIterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="vss-") as folder:
        scene = Scene(Path(folder))
        server = await asyncio.start_unix_server(scene.serve, str(scene.hidden))
        directory = SocketDirectory.open(Path(folder))
        listener = directory.listen("public.sock")
        time = asyncio.get_running_loop().time
        running = Http2Proxy(listener, str(scene.hidden), scene.refused.append, clock or time)
        try:
            yield scene
        finally:
            running.close()
            running.close()  # a second stop does nothing
            await scene.ended()
            server.close()
            directory.close()


def pour(connection: socket.socket, flood: bytes) -> int:
    """As many bytes as the kernel takes."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < len(flood):
            sent += connection.send(flood[sent:])
    return sent


PINGS = http2.PREFACE + http2.frame(http2.PING, payload=bytes(8)) * 100_000


async def test_bytes_pass_both_ways_and_an_end_is_an_end() -> None:
    """When the agent closes the connection, gRPC sees that at once."""
    async with proxy() as scene:
        reader, writer = await scene.dial()
        said = http2.PREFACE + http2.settings()
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        writer.close()
        assert scene.refused == []


async def test_what_breaks_a_bound_ends_the_connection_and_does_not_pass() -> None:
    """The frame's own bytes never reach the server."""
    async with proxy() as scene:
        reader, writer = await scene.dial()
        writer.write(http2.PREFACE)
        await reader.readexactly(len(http2.PREFACE))
        writer.write(http2.frame(http2.CONTINUATION, 0, 1, b"x"))
        assert await reader.read() == b""
        assert (scene.refused, bytes(scene.renew_lease)) == (["a header block is too large"], http2.PREFACE)
        writer.close()


async def test_a_fourth_connection_is_sent_away_and_there_is_room_when_one_ends() -> None:
    """Three: the agent's, a dead one, and one more."""
    async with proxy() as scene:
        dialled = [await scene.dial() for _ in range(3)]
        for reader, writer in dialled:
            writer.write(http2.PREFACE)
            await reader.readexactly(len(http2.PREFACE))
        fourth, writer = await scene.dial()
        assert await fourth.read() == b""
        writer.close()
        assert scene.refused == ["too many connections"]
        for _, writer in dialled:
            writer.close()
        await wait_until_async(lambda: _answered(scene), what="another one is served")


async def _answered(scene: Scene) -> bool:
    reader, writer = await scene.dial()
    try:
        writer.write(http2.PREFACE)
        return await reader.read(1) == b"P"
    except ConnectionError:
        return False
    finally:
        writer.close()


async def test_a_flood_is_read_no_faster_than_it_is_paid_for() -> None:
    """And another connection of the loop is served meanwhile."""
    async with proxy() as scene:
        flood, start = scene.dial_raw(), asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < start + 0.5:
            pour(flood, PINGS)
            await asyncio.sleep(0.01)
        taken = asyncio.get_running_loop().time() - start
        flood.close()
        # A ping has 17 bytes and a charge of 256 in addition; nothing is forwarded before it is paid for.
        assert len(scene.renew_lease) / 17 * 273 <= BURST + RATE * taken


def calls(count: int) -> bytes:
    """Short calls: one byte names a header of the compression table."""
    end = http2.END_HEADERS | http2.END_STREAM
    return b"".join(http2.frame(http2.HEADERS, end, 2 * number + 1, b"\x83\x86") for number in range(count))


async def test_a_kept_connection_makes_eight_calls_a_second() -> None:
    """A client that has already connected gets no more calls than others."""
    async with proxy() as scene:
        connection, loop = scene.dial_raw(), asyncio.get_running_loop()
        start, sent = loop.time(), 0
        pour(connection, http2.PREFACE)
        while loop.time() < start + 1.5 or scene.renew_lease.count(b"\x83\x86") < 7:
            if scene.renew_lease.count(b"\x83\x86") == sent:
                sent += 7  # as many as may be read at once
                pour(connection, calls(7))
            await asyncio.sleep(0.02)
        taken = loop.time() - start
        connection.close()
        assert 7 <= scene.renew_lease.count(b"\x83\x86") <= (BURST - CONNECTION_COST + RATE * taken) / CALL_COST


async def test_what_a_second_does_not_pay_for_is_not_read_at_once() -> None:
    """Fifty calls in a kilobyte end the connection, and none of them reaches gRPC."""
    async with proxy() as scene:
        reader, writer = await scene.dial()
        writer.write(http2.PREFACE + calls(50))
        assert await reader.read() == b""
        assert (scene.refused, bytes(scene.renew_lease)) == (["too many calls at once"], b"")
        writer.close()


async def test_a_connection_for_each_call_is_no_cheaper_than_a_kept_one() -> None:
    """Connections that say something and leave: the server sees four a second, and less than three in the burst."""
    async with proxy() as scene:
        loop = asyncio.get_running_loop()
        start, opened = loop.time(), 0
        # On a busy machine a step may take a tenth of a second; ten connections in each are more than are accepted.
        while loop.time() < start + 1.5 or scene.renew_lease.count(http2.PREFACE) < 2:
            for _ in range(10):
                with contextlib.suppress(OSError):
                    connection = scene.dial_raw()
                    opened += pour(connection, http2.PREFACE) > 0
                    connection.close()
            await asyncio.sleep(0.01)
        taken = loop.time() - start
        heard = scene.renew_lease.count(http2.PREFACE)
        assert opened > heard
        assert 2 <= heard <= (BURST + RATE * taken) / (ACCEPT_COST + CONNECTION_COST)


async def test_bytes_that_come_one_by_one_are_no_cheaper_than_their_reads() -> None:
    """Each wakes the loop, whatever it brings."""
    reads, loop = 0, asyncio.get_running_loop()

    def clock() -> float:
        nonlocal reads
        reads += 1  # the proxy reads its clock at each connection and at each read
        return loop.time()

    async with proxy(clock) as scene:
        connection, start, sent = scene.dial_raw(), loop.time(), 0
        while loop.time() < start + 0.5:
            sent += pour(connection, PINGS[sent : sent + 1])
            await asyncio.sleep(0)
        taken = loop.time() - start
        assert reads <= (BURST + RATE * taken) / READ_COST + 2
        connection.close()


async def test_what_slow_ends_say_to_each_other_comes_whole_and_in_order() -> None:
    """More bytes than proxy and kernel buffer, in both directions."""
    async with proxy() as scene:
        scene.pace = (1000, 0.01)
        messages = [http2.data(1, http2.message(bytes([number]) * 990)) for number in range(100)]
        said = http2.PREFACE + http2.open_stream(1) + b"".join(messages)
        reader, writer = await asyncio.open_unix_connection(str(scene.public), limit=1000)
        writer.write(said)
        repeated = bytearray()
        while len(repeated) < len(said):
            repeated += await reader.read(1000)
            await asyncio.sleep(0.005)
        writer.close()
        assert repeated == said == scene.renew_lease


async def test_who_does_not_read_is_waited_for_by_nobody_else() -> None:
    """What is said to him stays with the server, and he can have it later."""
    async with proxy() as scene:
        scene.speech = bytes(range(256)) * 16_384
        mute = scene.dial_raw()
        await wait_until_async(lambda: len(scene.talks) == 1, what="the server writes to the peer")
        (held,) = scene.talks
        reader, writer = await scene.dial()
        assert await reader.readexactly(len(scene.speech)) == scene.speech
        assert held.transport.get_write_buffer_size() > len(scene.speech) - 512 * 1024
        reading, talking = await asyncio.open_unix_connection(sock=mute)
        assert await reading.readexactly(len(scene.speech)) == scene.speech
        for one in (writer, talking):
            one.close()


class CountingSelector(selectors.DefaultSelector):
    """Counts a loop's turns."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        return super().select(timeout)


def test_what_waits_keeps_no_loop_awake() -> None:
    """Neither a throttled peer, nor an unread response, nor a closed connection wakes the loop."""
    selector = CountingSelector()

    async def turns() -> int:
        before = selector.turns
        await asyncio.sleep(0.5)
        return selector.turns - before

    async def scenario() -> list[int]:
        async with proxy() as scene:
            scene.speech = bytes(1 << 20)
            mute, flood = scene.dial_raw(), scene.dial_raw()
            await wait_until_async(lambda: len(scene.talks) == 2, what="the server has read from both")
            pour(flood, PINGS)
            busy = await turns()
            # Lasting debts: what the flood has left behind is read with as many pauses.
            flood.close()
            left = await turns()
            mute.close()
            await scene.ended()
            return [busy, left]

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        # A read of 60 pings is paid for in a quarter of a second; and what was not waiting has been done by then.
        assert max(runner.run(scenario())) < 100


async def test_an_end_leaves_nothing_behind() -> None:
    """For every cause of the end: the agent, also while throttled; the server; an exceeded limit; the proxy."""
    before = _descriptors()
    async with proxy() as scene:
        dialled = [scene.dial_raw() for _ in range(2)]
        _, writer = await scene.dial()
        await wait_until_async(lambda: len(scene.talks) == 3, what="all are served")
        pour(dialled[0], PINGS)
        writer.write(b"GET / HTTP/1.1")
        await wait_until_async(lambda: scene.refused, what="one is refused")
        for talk in list(scene.talks):
            talk.transport.abort()
        await scene.ended()
        reader, left = await scene.dial()
        left.write(http2.PREFACE)
        await reader.read(1)
    for one in (writer, left):
        one.close()
        with contextlib.suppress(ConnectionError):
            await one.wait_closed()
    for connection in dialled:
        connection.close()
    await wait_until_async(_descriptors, lambda now: now == before, what="all descriptors are closed")


def _descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


async def test_a_mistake_of_our_own_ends_its_connection_and_is_told() -> None:
    """A socket that stays registered would wake the loop without a limit."""
    broken, told = False, list[dict[str, Any]]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))

    def clock() -> float:
        if broken:
            raise ZeroDivisionError
        return loop.time()

    async with proxy(clock) as scene:
        reader, writer = await scene.dial()
        await wait_until_async(lambda: scene.talks, what="it is served")
        broken = True
        writer.write(http2.PREFACE)
        assert await reader.read() == b""
        writer.close()
        await scene.ended()
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("spent", "wait"), [(BURST, 0.0), (BURST + RATE, 1.0), (BURST + RATE // 2, 0.5), (BURST + 10 * RATE, 10.0)]
)
def test_an_allowance_is_a_burst_and_then_a_rate(spent: int, wait: float) -> None:
    """It grows again, up to the burst; no debt is forgiven."""
    now = [1000.0]
    allowance = Allowance(lambda: now[0])
    assert allowance.spend(spent) == pytest.approx(wait)
    now[0] += 1000.0
    assert allowance.spend(BURST) == 0.0
    assert allowance.spend(RATE) == pytest.approx(1.0)
