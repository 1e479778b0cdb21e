"""Endpoints from the command line: `NAMESPACE/NAME=SOCKET`, for one host without a cluster."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Assignment, Endpoint, VmiId
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketDirectory, SocketLock

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE: Final = re.compile(_LABEL)
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """One value of --endpoint."""

    vmi: VmiId
    socket: Path


def parse(text: str) -> StaticEndpoint:
    """Parse `NAMESPACE/NAME=SOCKET`; raises ValueError that says what is wrong."""
    name, separator, socket = text.partition("=")
    namespace, slash, name = name.partition("/")
    if not (separator and slash and socket):
        raise ValueError("it is not NAMESPACE/NAME=SOCKET")
    if not _NAMESPACE.fullmatch(namespace) or len(namespace) > contract.MAX_NAMESPACE_BYTES:
        raise ValueError(f"{namespace!r} is not the name of a namespace")
    if not is_object_name(name):
        raise ValueError(f"{name!r} is not the name of a VMI")
    path = Path(socket).absolute()
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a directory: make it first, or name another socket")
    return StaticEndpoint(VmiId(namespace, name, ""), path)


def is_object_name(text: str) -> bool:
    """Whether a Kubernetes object may be called so (a DNS subdomain)."""
    return len(text) <= contract.MAX_OBJECT_NAME_BYTES and _NAME.fullmatch(text) is not None


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
        """Nothing is locked or bound before it is entered."""
        self._endpoints = endpoints
        self._manager = manager
        self._settings = settings
        self._version = version
        self._sockets = sockets
        self._locks: list[SocketLock] = []
        self._directories: list[SocketDirectory] = []
        self._servers: list[EndpointServer] = []

    async def __aenter__(self) -> Self:
        """Serve all; raises SocketError, and serves none, if one cannot be had."""
        try:
            # All locks first: a second handler must find out before it touches any socket.
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
        """There is nothing to follow: the list is fixed."""

    def ready(self) -> bool:
        """From the start on."""
        return True

    def api(self) -> None:
        """There is no API server."""

    def drain(self, grace: float) -> None:
        """Tell all agents that the handler stops."""
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
        for server in self._servers:
            await server.stop()
        for directory in self._directories:
            directory.close()
        for lock in self._locks:
            lock.release()
        self._servers, self._directories, self._locks = [], [], []
