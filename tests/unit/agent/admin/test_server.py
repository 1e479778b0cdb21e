"""Tests the debug API on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from launcher_agent.admin import server as admin
from launcher_agent.admin.status import Identity
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State
from servicestatus.reasons import Reason
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1.agent_status_service_pb2_grpc import AgentStatusServiceStub
from servicestatus.v1.sessions_pb2 import VmiReference
from tests.unit.agent.handler_peer import DEADLINE

IDENTITY = Identity(instance="i1", version="1.2.3", started_at=5.0, handler_socket="/h.sock")


class Door:
    """The agent's admin socket, served and dialled."""

    def __init__(self, state: State, channel: grpc.aio.Channel) -> None:
        self.state = state
        self.channel = channel
        self.stub = AgentStatusServiceStub(channel)

    async def get(self) -> pb.AgentStatus:
        answer: pb.GetAgentStatusResponse = await self.stub.GetAgentStatus(pb.GetAgentStatusRequest())
        return answer.status

    def watch(self) -> Any:
        return self.stub.WatchAgentStatus(pb.WatchAgentStatusRequest())


async def next_of(watch: Any) -> pb.AgentStatus:
    async with asyncio.timeout(DEADLINE):
        status: pb.AgentStatus = (await watch.read()).status
        return status


def service(state: State) -> admin.AgentStatusService:
    protocol = ReportProtocol("i1", "1.2.3", VmiReference(), state.report())
    return admin.AgentStatusService(IDENTITY, state, protocol, asyncio.sleep)


@asynccontextmanager
async def door(path: Path) -> AsyncIterator[Door]:
    state = State(lambda: 7.0)
    async with admin.admin_server(path, service(state)), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield Door(state, channel)


async def test_it_tells_what_the_agent_sees_now(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        assert (await made.get()).observation.observed is False
        made.state.observe(Reason.WATCHING)
        assert (await made.get()).observation.observed is True


async def test_a_watcher_sees_what_is_and_then_each_change(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        watch = made.watch()
        assert (await next_of(watch)).domain == ""
        made.state.domain = "ns_vm"
        made.state.touch()
        assert (await next_of(watch)).domain == "ns_vm"
        watch.cancel()


async def test_what_changes_too_fast_for_the_eye_is_merged(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        watch = made.watch()
        await next_of(watch)
        for number in range(1000):
            made.state.domain = f"vm{number}"
            made.state.touch()
            await asyncio.sleep(0)
        seen = 0
        while (await next_of(watch)).domain != "vm999":
            seen += 1
        assert seen < 100
        watch.cancel()


async def test_a_change_that_changes_nothing_wakes_nobody(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        watch = made.watch()
        await next_of(watch)
        made.state.touch()
        await asyncio.sleep(0.2)  # long enough for a message that must not come
        made.state.domain = "ns_vm"
        made.state.touch()
        assert (await next_of(watch)).domain == "ns_vm"
        watch.cancel()


async def test_a_fifth_watcher_is_refused_until_one_leaves(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        watches = [made.watch() for _ in range(4)]
        for watch in watches:
            await next_of(watch)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await made.watch().read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches[0].cancel()
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    assert (await made.watch().read()).status.instance == "i1"
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
        for watch in watches:
            watch.cancel()


@pytest.mark.parametrize("name", ["", "servicestatus.v1.AgentStatusService"])
async def test_it_is_healthy_by_both_names(folder: Path, name: str) -> None:
    async with door(folder / "agent.sock") as made:
        health: Any = health_pb2_grpc.HealthStub(made.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_what_is_served(folder: Path) -> None:
    async with door(folder / "agent.sock") as made:
        channel: Any = made.channel
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answer = await call.read()
        names = {service.name for service in answer.list_services_response.service}
        assert names == {
            "servicestatus.v1.AgentStatusService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


async def test_a_watcher_does_not_hold_up_the_end(folder: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        async with door(folder / "agent.sock") as made:
            watch = made.watch()
            await next_of(watch)
        assert watch.done()
