"""The agent's debugging door, on a unix socket of its own: AgentStatusService, reflection and grpc.health.v1.

It is read-only and bounded, and shows peers' addresses: who may open the socket may see them (mode 0660).
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from launcher_agent.admin.status import Identity, agent_status
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State
from servicestatus import contract
from servicestatus.clock import Sleep
from servicestatus.sockets import SocketDirectory, SocketError, SocketLock
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1.agent_status_service_pb2_grpc import (
    AgentStatusServiceServicer,
    add_AgentStatusServiceServicer_to_server,
)

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["AgentStatusService"].full_name
_MODE: Final = 0o660

#: A person or two with grpcurl, and a forgotten one.
_MAX_WATCHERS: Final = 4
#: A storm of events is for nobody's eyes.
_WATCH_INTERVAL: Final = 0.1

Context = grpc.aio.ServicerContext[Any, Any]


class AgentStatusService(AgentStatusServiceServicer):
    """Answers with the newest state."""

    def __init__(self, identity: Identity, state: State, protocol: ReportProtocol, sleep: Sleep) -> None:
        self._identity = identity
        self._state = state
        self._protocol = protocol
        self._sleep = sleep
        self._watchers = 0

    async def GetAgentStatus(  # noqa: N802 - the contract's name
        self,
        request: pb.GetAgentStatusRequest,  # noqa: ARG002 - nothing to choose
        context: Context,  # noqa: ARG002
    ) -> pb.GetAgentStatusResponse:
        """What the agent sees now."""
        return pb.GetAgentStatusResponse(status=self._status())

    async def WatchAgentStatus(  # noqa: N802 - the contract's name
        self,
        request: pb.WatchAgentStatusRequest,  # noqa: ARG002 - nothing to choose
        context: Context,
    ) -> AsyncIterator[pb.WatchAgentStatusResponse]:
        """What it sees now and at each change, merged."""
        if self._watchers >= _MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"there are {_MAX_WATCHERS} watchers already")
        self._watchers += 1
        try:
            async for status in self._changes():
                yield pb.WatchAgentStatusResponse(status=status)
        finally:
            self._watchers -= 1

    async def _changes(self) -> AsyncIterator[pb.AgentStatus]:
        with self._state.changes() as changed:
            last: pb.AgentStatus | None = None
            while True:
                await changed.wait()
                changed.clear()
                status = self._status()
                if status != last:
                    yield status
                    last = status
                await self._sleep(_WATCH_INTERVAL)

    def _status(self) -> pb.AgentStatus:
        return agent_status(self._identity, self._state, self._protocol)


@contextlib.asynccontextmanager
async def serve(path: Path, service: AgentStatusService) -> AsyncIterator[None]:
    """Serve on the unix socket `path`. SocketError if that cannot be."""
    with SocketLock(path), contextlib.closing(SocketDirectory.open(path.parent)) as directory:
        directory.remove_stale(path.name)
        server = grpc.aio.server(options=contract.SERVER_OPTIONS)
        add_AgentStatusServiceServicer_to_server(service, server)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        _bind(server, directory, path)
        for name in (health.OVERALL_HEALTH, _SERVICE):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)


def _bind(server: grpc.aio.Server, directory: SocketDirectory, path: Path) -> None:
    try:
        server.add_insecure_port(directory.address(path.name))
        path.chmod(_MODE)
    except (OSError, RuntimeError) as error:
        raise SocketError(f"{path} cannot be bound: {error}") from error
