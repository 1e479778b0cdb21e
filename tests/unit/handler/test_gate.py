"""In front of gRPC: honest peers pass, others are held up or sent away, and nobody waits for them."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from handler_service.gate import BURST, RATE, Allowance, Gate
from servicestatus.sockets import SocketDirectory
from tests.hostile import http2
from tests.support.waiting import wait_until_async


class Scene:
    """A gate, and behind it a server that repeats what it hears."""

    def __init__(self, directory: Path) -> None:
        self.public = directory / "public.sock"
        self.hidden = directory / "hidden.sock"
        self.refused: list[str] = []
        self.heard = bytearray()

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            self.heard += data
            writer.write(data)
        writer.close()

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.public))


@asynccontextmanager
async def gate() -> AsyncIterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="vss-") as folder:
        scene = Scene(Path(folder))
        server = await asyncio.start_unix_server(scene.echo, str(scene.hidden))
        directory = SocketDirectory.open(Path(folder))
        running = Gate(
            directory.listen("public.sock"), str(scene.hidden), scene.refused.append, asyncio.get_running_loop().time
        )
        try:
            yield scene
        finally:
            await running.close()
            server.close()
            directory.close()


async def test_bytes_pass_both_ways_and_an_end_is_an_end() -> None:
    """When the agent hangs up, gRPC hears of it at once."""
    async with gate() as scene:
        reader, writer = await scene.dial()
        said = http2.PREFACE + http2.settings()
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        writer.close()
        assert scene.refused == []


async def test_what_breaks_a_bound_ends_the_connection_and_does_not_pass() -> None:
    """The frame's own bytes never reach the server."""
    async with gate() as scene:
        reader, writer = await scene.dial()
        writer.write(http2.PREFACE)
        await reader.readexactly(len(http2.PREFACE))
        writer.write(http2.frame(http2.CONTINUATION, 0, 1, b"x"))
        assert await reader.read() == b""
        assert (scene.refused, bytes(scene.heard)) == (["a header block is too large"], http2.PREFACE)
        writer.close()


async def test_a_fourth_connection_is_sent_away_and_there_is_room_when_one_ends() -> None:
    """Three: the agent's, a dead one, and one more."""
    async with gate() as scene:
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
    async with gate() as scene:
        flood = socket.socket(socket.AF_UNIX)
        flood.setblocking(False)
        flood.connect(str(scene.public))
        sent, start = 0, asyncio.get_running_loop().time()
        pings = http2.PREFACE + http2.frame(http2.PING, payload=bytes(8)) * 1000
        while asyncio.get_running_loop().time() < start + 0.5:
            try:
                sent += flood.send(pings)
            except BlockingIOError:
                await asyncio.sleep(0.01)
        taken = asyncio.get_running_loop().time() - start
        flood.close()
        # A ping has 17 bytes and costs 256 besides; what it costs is paid for after it was read.
        assert len(scene.heard) / 17 * 273 <= BURST + RATE * taken + 1024 * 17


@pytest.mark.parametrize(
    ("spent", "wait"), [(BURST, 0.0), (BURST + RATE, 1.0), (BURST + RATE // 2, 0.5), (BURST + 1000 * RATE, 5.0)]
)
def test_an_allowance_is_a_burst_and_then_a_rate(spent: int, wait: float) -> None:
    """It grows again, up to the burst; a debt is forgiven after five seconds."""
    now = [1000.0]
    allowance = Allowance(lambda: now[0])
    assert allowance.spend(spent) == pytest.approx(wait)
    now[0] += 1000.0
    assert allowance.spend(BURST) == 0.0
    assert allowance.spend(RATE) == pytest.approx(1.0)
