"""The debugging door: ServiceStatusService, reflection for grpcurl, and grpc.health.v1. Nothing here can write.

It is a socket for who is on the host, and a loopback port for who comes by `kubectl port-forward`.
"""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from handler_service.admin.status_service import StatusService
from servicestatus.addresses import Address
from servicestatus.sockets import SocketDirectory, SocketError, SocketLock
from servicestatus.v1 import service_status_service_pb2, service_status_service_pb2_grpc

SERVICE: Final = service_status_service_pb2.DESCRIPTOR.services_by_name["ServiceStatusService"].full_name

_OPTIONS: Final[list[tuple[str, int]]] = [
    # Nobody sends more than a name here.
    ("grpc.max_receive_message_length", 16 * 1024),
    ("grpc.so_reuseport", 0),
]


class AdminServer:
    """Serves the admin socket, and the loopback port if one is given, while it is entered."""

    def __init__(self, socket: Path, status_service: StatusService, address: Address | None = None) -> None:
        """Nothing is bound before it is entered."""
        self._socket = socket
        self._address = address
        self._status_service = status_service
        self._health = health.aio.HealthServicer()
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen; raises SocketError."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._held = stack.pop_all()
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.enter_context(SocketLock(self._socket))
        directory = SocketDirectory.open(self._socket.parent)
        stack.callback(directory.close)
        directory.remove_stale(self._socket.name)
        server: Any = grpc.aio.server(options=_OPTIONS)
        service_status_service_pb2_grpc.add_ServiceStatusServiceServicer_to_server(self._status_service, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        _bind(server, directory.address(self._socket.name), str(self._socket))
        if self._address is not None:
            _bind(server, str(self._address), str(self._address))
        stack.push_async_callback(server.stop, grace=None)
        await server.start()
        await self.set_serving(True)

    async def set_serving(self, serving: bool) -> None:
        """Answer health checks with SERVING or NOT_SERVING; with the latter, all watches end."""
        if not serving:
            self._status_service.stop()
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()


def _bind(server: grpc.aio.Server, address: str, name: str) -> None:
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise SocketError(f"{name} cannot be bound") from error
