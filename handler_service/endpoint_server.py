"""One gRPC server for one socket: what arrives on it speaks for the VMI that the socket proves, and for no other.

The server listens through the descriptor of the socket's directory. Whoever may write that directory can replace the
socket, and by that shut out its own VM; it cannot make this process bind or remove anything elsewhere.
"""

from typing import Final

import grpc
import grpc.aio

from handler_service.hub import Hub
from handler_service.report_service import ReportService
from handler_service.values import Endpoint
from servicestatus import contract
from servicestatus.sockets import SocketDirectory, SocketError
from servicestatus.v1 import session_report_service_pb2_grpc as pb_grpc

#: Streams that were ended have so long to be told why; a server without streams stops at once.
STOP_GRACE: Final = 0.5


class EndpointServer:
    """Serves the reports of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        hub: Hub,
        terms: contract.Terms,
        version: str,
        *,
        hello_timeout: float = contract.HELLO_TIMEOUT,
    ) -> None:
        """Nothing is bound before start(). `hello_timeout` in seconds."""
        self.endpoint = endpoint
        self._hub = hub
        self._service = ReportService(endpoint, hub, terms, version, hello_timeout)
        self._server: grpc.aio.Server | None = None

    async def start(self, directory: SocketDirectory, name: str) -> None:
        """Listen on the socket `name` in `directory`, which must stay open until stop(). Raises SocketError."""
        directory.remove_stale(name)
        server = grpc.aio.server(options=contract.SERVER_OPTIONS)
        pb_grpc.add_SessionReportServiceServicer_to_server(self._service, server)
        try:
            server.add_insecure_port(directory.address(name))
        except RuntimeError as error:
            raise SocketError(f"{self.endpoint.socket} cannot be bound") from error
        self._hub.add(self.endpoint)
        try:
            await server.start()
        except BaseException:
            self._hub.remove(self.endpoint.id)
            raise
        self._server = server

    def drain(self, grace: float) -> None:
        """Tell the agent that the handler stops."""
        self._service.drain(grace)

    async def stop(self) -> None:
        """End the streams and remove the socket. What was published stays."""
        if self._server is not None:
            self._service.end("UNAVAILABLE", "this socket is no longer served")
            await self._server.stop(STOP_GRACE)
        self._hub.remove(self.endpoint.id)
