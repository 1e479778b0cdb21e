"""The agent's debug API, AgentStatusService: read-only and bounded.

It shows peers' addresses to every process that may open its socket.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc

from launcher_agent.admin.status import Identity, agent_status
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State
from servicestatus.admin_server import AdminServer
from servicestatus.clock import Sleep
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1.agent_status_service_pb2_grpc import (
    AgentStatusServiceServicer,
    add_AgentStatusServiceServicer_to_server,
)

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["AgentStatusService"].full_name

#: Two people with grpcurl, and two calls that were left running.
_MAX_WATCHERS: Final = 4
#: Seconds between two messages to a watcher: a person reads no faster, and a storm of events costs no more.
_WATCH_INTERVAL: Final = 0.1

Context = grpc.aio.ServicerContext[Any, Any]


class AgentStatusService(AgentStatusServiceServicer):
    """Returns the current state of the agent, once or at each change."""

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
        """Return the current state."""
        return pb.GetAgentStatusResponse(status=self._status())

    async def WatchAgentStatus(  # noqa: N802 - the contract's name
        self,
        request: pb.WatchAgentStatusRequest,  # noqa: ARG002 - nothing to choose
        context: Context,
    ) -> AsyncIterator[pb.WatchAgentStatusResponse]:
        """Stream the current state and each later one; changes within 0.1 s are merged."""
        if self._watchers >= _MAX_WATCHERS:
            message = f"there are {_MAX_WATCHERS} watchers already; end one of them"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
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


def admin_server(path: Path, service: AgentStatusService) -> AdminServer:
    """Return the server of the agent's debug API."""

    def add(server: Any) -> None:
        add_AgentStatusServiceServicer_to_server(service, server)

    return AdminServer(path, _SERVICE, add)
