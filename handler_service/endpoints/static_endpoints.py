"""Serves the endpoints of the command line, on a host without a cluster."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from handler_service.config import StaticEndpoint
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Assignment, Endpoint
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketDirectory, SocketLock


class StaticEndpoints:
    """Locks and serves a fixed list of endpoints."""

    def __init__(
        self,
        endpoints: Sequence[StaticEndpoint],
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        sockets: PrivateSockets,
    ) -> None:
        """Lock and bind nothing before the context is entered."""
        self._endpoints = endpoints
        self._manager = manager
        self._settings = settings
        self._version = version
        self._sockets = sockets
        self._locks: list[SocketLock] = []
        self._directories: list[SocketDirectory] = []
        self._servers: list[EndpointServer] = []

    async def __aenter__(self) -> Self:
        """Serve all endpoints; if one cannot be served, serve none and raise SocketError."""
        try:
            # All locks first: a second handler must fail before it changes any socket.
            for endpoint in self._endpoints:
                self._locks.append(SocketLock(endpoint.socket))
            for endpoint in self._endpoints:
                await self._serve(endpoint)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def run(self) -> None:
        """Return at once: the list is fixed."""

    def ready(self) -> bool:
        """Return True: the list is complete from the start."""
        return True

    def api(self) -> None:
        """Return None: there is no API server."""

    def drain(self, grace: float) -> None:
        """Send DrainNotice to all agents."""
        for server in self._servers:
            server.drain(grace)

    async def _serve(self, static: StaticEndpoint) -> None:
        directory = SocketDirectory.open(static.socket.parent)
        self._directories.append(directory)
        endpoint = Endpoint(id=str(static.socket), vmi=static.vmi, socket=str(static.socket))
        self._manager.assign(static.vmi, Assignment(owned=True))
        server = EndpointServer(endpoint, self._manager, self._settings, self._version, self._sockets)
        await server.start(directory, static.socket.name)
        self._servers.append(server)

    async def _close(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.stop())
        for directory in self._directories:
            directory.close()
        for lock in self._locks:
            lock.release()
        self._servers, self._directories, self._locks = [], [], []
