"""The debug API's server, with a service of this test: which process may have the socket, and what is served."""

import asyncio
import contextlib
import socket as sockets
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicestatus.addresses import Address
from servicestatus.admin_server import AdminServer
from servicestatus.sockets import SocketError
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1 import agent_status_service_pb2_grpc as pb_grpc

DEADLINE = 60.0
SERVICE = "servicestatus.v1.AgentStatusService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path is short enough for a client's socket."""
    with tempfile.TemporaryDirectory(prefix="vss-") as name:
        yield Path(name)


class Service(pb_grpc.AgentStatusServiceServicer):
    """Answers with nothing."""

    async def GetAgentStatus(  # noqa: N802  # gRPC's name
        self, request: pb.GetAgentStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetAgentStatusResponse:
        return pb.GetAgentStatusResponse()

    async def WatchAgentStatus(  # noqa: N802  # gRPC's name
        self, request: pb.WatchAgentStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchAgentStatusResponse]:
        yield pb.WatchAgentStatusResponse()


def add(server: Any) -> None:
    pb_grpc.add_AgentStatusServiceServicer_to_server(Service(), server)


@asynccontextmanager
async def client(target: str) -> AsyncIterator[Any]:
    """Stubs of the health service and of the test's own."""
    async with grpc.aio.insecure_channel(target) as channel:
        yield channel


async def health(target: str, service: str = "") -> int:
    async with client(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        response = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE)
        return int(response.status)


async def call(target: str, request: pb.GetAgentStatusRequest) -> None:
    async with client(target) as channel:
        stub: Any = pb_grpc.AgentStatusServiceStub(channel)
        await stub.GetAgentStatus(request, timeout=DEADLINE)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_it_is_healthy_by_both_names(folder: Path, service: str) -> None:
    async with AdminServer(folder / "s", SERVICE, add):
        assert await health(f"unix:{folder}/s", service) == SERVING


async def test_a_program_that_stops_is_not_healthy_and_ends_its_watches(folder: Path) -> None:
    ended: list[bool] = []
    async with AdminServer(folder / "s", SERVICE, add, end_watches=lambda: ended.append(True)) as server:
        assert ended == []
        await server.set_serving(False)
        assert ended == [True]
        assert await health(f"unix:{folder}/s") == NOT_SERVING
        assert await health(f"unix:{folder}/s", SERVICE) == NOT_SERVING


async def test_reflection_lists_what_is_served(folder: Path) -> None:
    async with AdminServer(folder / "s", SERVICE, add), client(f"unix:{folder}/s") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = stub.ServerReflectionInfo()
        await answers.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await answers.read()).list_services_response.service
        answers.cancel()
        assert sorted(one.name for one in listed) == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            SERVICE,
        ]


async def test_a_loopback_address_serves_the_same(folder: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with AdminServer(folder / "s", SERVICE, add, Address("127.0.0.1", port)):
        assert await health(f"127.0.0.1:{port}", SERVICE) == SERVING
        await call(f"127.0.0.1:{port}", pb.GetAgentStatusRequest())


async def test_an_address_that_is_taken_is_named_and_nothing_is_kept(folder: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SocketError, match=f"127.0.0.1:{port} cannot be bound: it is in use or not permitted"):
            async with AdminServer(folder / "s", SERVICE, add, Address("127.0.0.1", port)):
                pass
    assert not (folder / "s").exists()
    async with AdminServer(folder / "s", SERVICE, add):
        assert await health(f"unix:{folder}/s") == SERVING


async def test_a_large_request_is_rejected(folder: Path) -> None:
    """A request carries no more than a name."""
    async with AdminServer(folder / "s", SERVICE, add):
        large = pb.GetAgentStatusRequest.FromString(b"\x7a\xa0\x9c\x01" + b"x" * 20_000)  # an unknown field
        with pytest.raises(grpc.aio.AioRpcError) as rejected:
            await call(f"unix:{folder}/s", large)
        assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_socket_is_for_its_owner_and_group(folder: Path) -> None:
    async with AdminServer(folder / "s", SERVICE, add):
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o660


async def test_a_second_program_is_refused_and_the_first_goes_on(folder: Path) -> None:
    async with AdminServer(folder / "s", SERVICE, add):
        with pytest.raises(SocketError, match="/s is served by another process"):
            async with AdminServer(folder / "s", SERVICE, add):
                pass
        assert await health(f"unix:{folder}/s") == SERVING


async def test_a_socket_that_a_killed_program_left_is_replaced(folder: Path) -> None:
    async with AdminServer(folder / "s", SERVICE, add):
        (folder / "kept").hardlink_to(folder / "s")
    (folder / "kept").rename(folder / "s")
    async with AdminServer(folder / "s", SERVICE, add):
        assert await health(f"unix:{folder}/s") == SERVING


async def test_a_file_is_never_replaced_and_the_server_can_be_tried_again(folder: Path) -> None:
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(SocketError, match="is there and is no socket"):
        async with AdminServer(path, SERVICE, add):
            pass
    assert path.read_text() == "precious"
    path.unlink()
    async with AdminServer(path, SERVICE, add):
        assert path.is_socket()
    assert not path.exists()


async def test_a_missing_directory_is_named(folder: Path) -> None:
    with pytest.raises(SocketError, match="missing is not there: make it first"):
        async with AdminServer(folder / "missing" / "s", SERVICE, add):
            pass


async def test_a_client_that_stays_does_not_delay_the_end(folder: Path) -> None:
    """Health watches never end by themselves."""
    async with asyncio.timeout(DEADLINE), client(f"unix:{folder}/s") as channel:
        async with AdminServer(folder / "s", SERVICE, add):
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            await watch.read()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await watch.read()
