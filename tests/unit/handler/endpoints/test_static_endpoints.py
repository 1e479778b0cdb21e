"""Endpoints from the command line: what a value may be, and who may serve it."""

import asyncio
import socket as sockets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from handler_service.config import StaticEndpoint
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.static_endpoints import StaticEndpoints
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketError
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.unit.handler.builders import OTHER_VMI, VMI
from tests.unit.handler.peer import Peer


@asynccontextmanager
async def serving(manager: StatusManager, *endpoints: StaticEndpoint) -> AsyncIterator[StaticEndpoints]:
    """These endpoints, served."""
    with tempfile.TemporaryDirectory() as hidden, PrivateSockets(Path(hidden)) as sockets:
        async with StaticEndpoints(endpoints, manager, contract.StreamSettings(), "9.9", sockets) as running:
            yield running


def new_hub() -> StatusManager:
    return StatusManager(15.0, asyncio.get_running_loop().time)


async def welcomed(path: Path) -> pb.Welcome:
    """Dial, and say hello."""
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        peer = Peer(channel)
        welcome = await peer.greet()
        peer.call.cancel()
        return welcome


# --- who serves ---


async def test_each_socket_proves_its_own_vmi(tmp_path: Path) -> None:
    """One server for each."""
    one, two = StaticEndpoint(VMI, tmp_path / "1.sock"), StaticEndpoint(OTHER_VMI, tmp_path / "2.sock")
    manager = new_hub()
    async with serving(manager, one, two):
        assert (await welcomed(one.socket)).vmi.name == "vm"
        assert (await welcomed(two.socket)).vmi.name == "other"
        assert manager.vmis() == [OTHER_VMI, VMI]
        desired = manager.desired_status(VMI)
        assert desired is not None
        assert not desired.synced


async def test_a_second_handler_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    """It finds out before it touches any socket, the free ones too."""
    free, taken = StaticEndpoint(OTHER_VMI, tmp_path / "free.sock"), StaticEndpoint(VMI, tmp_path / "taken.sock")
    async with serving(new_hub(), taken):
        second = new_hub()
        with pytest.raises(SocketError, match=r"taken\.sock is served by another process"):
            async with serving(second, free, taken):
                pass
        assert not free.socket.exists()
        assert list(second.reports.vmis()) == []
        assert (await welcomed(taken.socket)).vmi.name == "vm"
        async with serving(new_hub(), free):
            assert (await welcomed(free.socket)).vmi.name == "other"


async def test_a_stale_socket_is_taken_over(tmp_path: Path) -> None:
    """A killed handler leaves its file."""
    path = tmp_path / "s.sock"
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(new_hub(), StaticEndpoint(VMI, path)):
        assert (await welcomed(path)).vmi.name == "vm"


async def test_a_path_of_any_length_is_served(tmp_path: Path) -> None:
    """The kernel's bound of 108 bytes is no concern of the admin's."""
    path = tmp_path.joinpath(*["d" * 50] * 4) / "handler.sock"
    path.parent.mkdir(parents=True)
    async with serving(new_hub(), StaticEndpoint(VMI, path)):
        assert path.is_socket()


async def test_what_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    """And those that were served until then are let go."""
    good, bad = StaticEndpoint(VMI, tmp_path / "good.sock"), StaticEndpoint(OTHER_VMI, tmp_path / "bad.sock")
    bad.socket.write_text("precious")
    manager = new_hub()
    with pytest.raises(SocketError, match=r"bad\.sock is there and is no socket"):
        async with serving(manager, good, bad):
            pass
    assert bad.socket.read_text() == "precious"
    assert not good.socket.exists()
    assert manager.reports.vmis() == []
    async with serving(manager, good):
        pass


async def test_after_the_end_nothing_is_left_but_the_lock_files(tmp_path: Path) -> None:
    """They stay, so that no process can hold the lock of a deleted file."""
    async with serving(new_hub(), StaticEndpoint(VMI, tmp_path / "s.sock")):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["s.sock.lock"]


async def test_a_drain_reaches_every_socket(tmp_path: Path) -> None:
    """All agents receive the drain."""
    one, two = StaticEndpoint(VMI, tmp_path / "1.sock"), StaticEndpoint(OTHER_VMI, tmp_path / "2.sock")
    async with serving(new_hub(), one, two) as running:
        channels = [grpc.aio.insecure_channel(f"unix:{endpoint.socket}") for endpoint in (one, two)]
        peers = [Peer(channel) for channel in channels]
        for peer in peers:
            await peer.greet()
        running.drain(0.05)
        for peer in peers:
            assert (await peer.hear()).HasField("drain_notice")
            assert (await peer.end())[0] is grpc.StatusCode.UNAVAILABLE
        for channel in channels:
            await channel.close()


async def test_a_later_major_of_the_api_is_unimplemented(tmp_path: Path) -> None:
    """Its agent falls back on that."""
    path = tmp_path / "s.sock"
    async with serving(new_hub(), StaticEndpoint(VMI, path)), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        call: Any = channel.stream_stream("/servicestatus.v2.SessionReportService/ReportSessions")
        assert await call().code() is grpc.StatusCode.UNIMPLEMENTED
