"""Serves a program's debug API on a unix socket, and on a loopback address if one is given.

The server adds reflection, so that grpcurl needs no proto files, and `grpc.health.v1`. The socket is for its owner and
group (mode 0660). The loopback address is for `kubectl port-forward`.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from servicestatus import contract
from servicestatus.addresses import Address
from servicestatus.reflection import LazyReflection
from servicestatus.sockets import SocketDirectory, SocketError, SocketLock

_MODE: Final = 0o660
_OPTIONS: Final = contract.override(
    contract.SERVER_OPTIONS,
    # A request carries no more than a name.
    ("grpc.max_receive_message_length", 16 * 1024),
    # Both programs bound their watchers themselves, at 16 or less, and answer with a reason.
    ("grpc.max_concurrent_streams", 32),
)


def _ignore() -> None:
    """Do nothing."""


class AdminServer:
    """Serves while it is entered."""

    def __init__(
        self,
        socket: Path,
        service: str,
        add: Callable[[Any], None],
        address: Address | None = None,
        *,
        end_watches: Callable[[], None] = _ignore,
    ) -> None:
        """`add` adds the servicer of `service`, a full name, to a gRPC server.

        `end_watches` ends the calls of the service that would never end. Nothing is bound before the server is entered.
        """
        self._socket = socket
        self._service = service
        self._add = add
        self._address = address
        self._end_watches = end_watches
        self._health = health.aio.HealthServicer()
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen; raises SocketError, and keeps nothing, if an address cannot be bound."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._entered = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.aclose()

    async def set_serving(self, serving: bool) -> None:
        """Answer health checks with SERVING or NOT_SERVING; with the latter, all watches of the service end."""
        if not serving:
            self._end_watches()
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in (health.OVERALL_HEALTH, self._service):
            await self._health.set(service, status)

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.enter_context(SocketLock(self._socket))
        directory = SocketDirectory.open(self._socket.parent)
        stack.callback(directory.close)
        directory.remove_stale(self._socket.name)
        server: Any = grpc.aio.server(options=_OPTIONS)
        stack.push_async_callback(server.stop, grace=None)
        self._add(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        server.add_generic_rpc_handlers((LazyReflection((self._service, health.SERVICE_NAME)),))
        _bind(server, directory.address(self._socket.name), str(self._socket))
        # gRPC removes the socket of a server that was started, and leaves that of one that was not.
        stack.callback(directory.remove, self._socket.name, directory.stat(self._socket.name))
        _restrict(Path(directory.path_of(self._socket.name)), self._socket)
        if self._address is not None:
            _bind(server, str(self._address), str(self._address))
        await self.set_serving(True)
        await server.start()


def _bind(server: grpc.aio.Server, address: str, name: str) -> None:
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        # gRPC does not pass on the system's reason.
        raise SocketError(f"{name} cannot be bound: it is in use or not permitted; name another") from error


def _restrict(path: Path, name: Path) -> None:
    try:
        path.chmod(_MODE)
    except OSError as error:
        raise SocketError(f"{name}: the mode cannot be set: {error.strerror}") from error
