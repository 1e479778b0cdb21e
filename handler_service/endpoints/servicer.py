"""Serves SessionReportService on one socket: accepts, counts and ends the streams of one endpoint."""

import logging
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from handler_service.endpoints.rejections import RejectionLog
from handler_service.endpoints.report_stream import STOPPING, Context, ReportStream
from handler_service.model import Endpoint
from handler_service.reports.protocol import RejectedError, SessionProtocol, message_bucket
from handler_service.status_manager import StatusManager
from servicestatus import contract, logs
from servicestatus.clock import WallClock
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)


class ReportService(pb_grpc.SessionReportServiceServicer):
    """Serves the reports of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        hello_timeout: float,
        *,
        rejections: RejectionLog | None = None,
        wall: WallClock = time.time,
    ) -> None:
        """The socket that this is served on proves `endpoint`. `hello_timeout` is in seconds.

        `rejections` is shared by the services that serve the same pod one after the other.
        """
        self._endpoint = endpoint
        self._manager = manager
        self._settings = settings
        self._version = version
        self._hello_timeout = hello_timeout
        self._streams: set[ReportStream] = set()
        self._messages = message_bucket()
        #: Logs the rejected streams and connections of this socket.
        self.rejections = rejections or RejectionLog(self._log_rejection, manager.clock)
        self._wall = wall
        self._draining = False

    async def ReportSessions(  # type: ignore[override]  # noqa: N802  # gRPC's name; the stub allows sync servicers
        self, _requests: AsyncIterator[pb.ReportSessionsRequest], context: Context
    ) -> None:
        """Serve one stream, from Hello to its end."""
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPING)
        if len(self._streams) >= contract.MAX_STREAMS:
            self._manager.stream_rejected("RESOURCE_EXHAUSTED")
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams on this socket")
        stream = ReportStream(
            self._protocol(),
            context,
            self._manager,
            self._endpoint,
            settings=self._settings,
            hello_timeout=self._hello_timeout,
            wall=self._wall,
        )
        self._streams.add(stream)
        try:
            rejection = await stream.run()
        finally:
            self._streams.discard(stream)
        if rejection is not None:
            self._manager.stream_rejected(rejection.status)
            self.rejections.note(rejection.status, f"stream on {self._endpoint.socket} ended: {rejection}")
            await context.abort(grpc.StatusCode[rejection.status], rejection.detail)

    def drain(self, grace: float) -> None:
        """Send DrainNotice on all streams. They end after `grace` seconds, and new ones are rejected."""
        self._draining = True
        for stream in self._streams:
            stream.drain(grace)

    def end(self, status: str, detail: str) -> None:
        """End all streams now with this status."""
        for stream in self._streams:
            stream.end(RejectedError(status, detail))

    def _log_rejection(self, text: str) -> None:
        log.info("%s", text, extra=logs.fields(vmi=self._endpoint.vmi, pod=self._endpoint.pod_uid))

    def _protocol(self) -> SessionProtocol:
        return SessionProtocol(
            self._manager.reports,
            self._endpoint,
            self._settings,
            self._version,
            lambda: self._manager.progress(self._endpoint),
            bucket=self._messages,
        )
