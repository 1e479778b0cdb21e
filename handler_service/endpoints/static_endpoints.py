"""Serves the endpoints of the command line, on a host without a cluster."""

import asyncio
import os
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
        #: Each socket's directory, name, and status when it was bound.
        self._bound: list[tuple[SocketDirectory, str, os.stat_result | None]] = []
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
        name = static.socket.name
        directory = SocketDirectory.open(static.socket.parent)
        try:
            listener = directory.take_over(name)
        except BaseException:
            directory.close()
            raise
        self._bound.append((directory, name, directory.stat(name)))
        endpoint = Endpoint(id=str(static.socket), vmi=static.vmi, socket=str(static.socket))
        self._manager.assign(static.vmi, Assignment(owned=True))
        server = EndpointServer(endpoint, self._manager, self._settings, self._version, self._sockets)
        await server.start(listener)
        self._servers.append(server)

    async def _close(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.stop())
        for directory, name, status in self._bound:
            directory.remove(name, status)  # unless another process has replaced it
            directory.close()
        for lock in self._locks:
            lock.release()
        self._servers, self._bound, self._locks = [], [], []
