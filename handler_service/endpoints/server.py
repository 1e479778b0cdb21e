"""Runs one gRPC server for one socket: the socket proves which VMI a report is about.

The server gets a socket that listens already, and does not need to know where. A process that may write to the socket's
directory can replace the socket, which cuts off the agent of its own VM.
"""

import socket
from typing import Final

import grpc
import grpc.aio

from handler_service.endpoints.http2_proxy import Http2Proxy
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.rejections import RejectionLog
from handler_service.endpoints.servicer import ReportService
from handler_service.model import Endpoint
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.sockets import SocketError
from servicestatus.v1 import session_report_service_pb2_grpc as pb_grpc

#: Seconds in which ended streams get their status. A server without streams stops at once.
STOP_GRACE: Final = 0.5

_OPTIONS: Final = contract.override(
    contract.SERVER_OPTIONS,
    # The stream of an agent, and one call of its successor while that stream is open.
    ("grpc.max_concurrent_streams", 2),
)


class EndpointServer:
    """Serves the reports of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        sockets: PrivateSockets,
        *,
        hello_timeout: float = contract.HELLO_TIMEOUT,
        rejections: RejectionLog | None = None,
    ) -> None:
        """Serve nothing before start(). The gRPC server's own socket is in `sockets`. `hello_timeout` is in seconds.

        `rejections` is shared by the servers that serve the same pod one after the other.
        """
        self.endpoint = endpoint
        self._manager = manager
        self._sockets = sockets
        self._service = ReportService(endpoint, manager, settings, version, hello_timeout, rejections=rejections)
        self._server: grpc.aio.Server | None = None
        self._proxy: Http2Proxy | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on `listener`, and own it; raises SocketError."""
        try:
            await self._start(listener)
        except BaseException:
            listener.close()
            raise

    async def _start(self, listener: socket.socket) -> None:
        hidden = self._sockets.new_name()
        server = grpc.aio.server(options=_OPTIONS)
        pb_grpc.add_SessionReportServiceServicer_to_server(self._service, server)
        try:
            server.add_insecure_port(self._sockets.directory.address(hidden))
        except RuntimeError as error:
            raise SocketError(f"{self.endpoint.socket} cannot be served: {error}") from error
        self._manager.add(self.endpoint)
        try:
            await server.start()
        except BaseException:
            self._manager.remove(self.endpoint.id)
            raise
        self._server = server
        path = self._sockets.directory.path_of(hidden)
        self._proxy = Http2Proxy(listener, path, self._refuse_connection, self._manager.clock)

    def drain(self, grace: float) -> None:
        """Send DrainNotice to the agent."""
        self._service.drain(grace)

    async def stop(self) -> None:
        """End the streams and close the socket. The published value stays."""
        if self._server is not None:
            self._service.end("UNAVAILABLE", "this socket is no longer served")
            await self._server.stop(STOP_GRACE)
        if self._proxy is not None:
            self._proxy.close()
        self._manager.remove(self.endpoint.id)

    def _refuse_connection(self, reason: str) -> None:
        self._service.rejections.note(reason, f"a connection to {self.endpoint.socket} was closed: {reason}")
