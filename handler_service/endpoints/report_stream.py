"""Carries one stream of SessionReportService between gRPC and the protocol, and ends it.

Each stream has two tasks. One reads, so that the lease is renewed while the other waits for a slow peer. The other
writes, so that acks merge while a peer does not read.
"""

import asyncio
from typing import Any, Final

import grpc.aio
from google.protobuf.message import DecodeError

from handler_service.model import Endpoint
from handler_service.reports.decode import drop_times_after
from handler_service.reports.protocol import RejectedError, SessionProtocol
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.clock import WallClock
from servicestatus.timestamps import duration
from servicestatus.v1 import session_report_service_pb2 as pb

Context = grpc.aio.ServicerContext[pb.ReportSessionsRequest, pb.ReportSessionsResponse]

#: Seconds that an ack of "accepted" waits. "Published" or more deltas usually follow in that time, and one ack for
#: all is cheaper. It is sent at once if half of the agent's window is used, or if a Snapshot's value is already
#: published: a restarted handler confirms at once that nothing has changed.
ACK_DELAY: Final = 2.0
#: Seconds for the write in flight when its stream ends. A peer that reads takes the message at once.
LAST_WRITE: Final = 0.25
#: Seconds by which a time from an agent may be later than now. Both use the node's clock, which may be set meanwhile.
MAX_CLOCK_SKEW: Final = 5.0
#: The status detail of streams that drain() ends.
STOPPING: Final = "the handler stops"


class ReportStream:
    """Runs the two tasks of one stream."""

    def __init__(
        self,
        protocol: SessionProtocol,
        context: Context,
        manager: StatusManager,
        endpoint: Endpoint,
        *,
        settings: contract.StreamSettings,
        hello_timeout: float,
        wall: WallClock,
    ) -> None:
        self._protocol = protocol
        self._context = context
        self._manager = manager
        self._endpoint = endpoint
        self._settings = settings
        self._hello_timeout = hello_timeout
        self._wall = wall
        # The newest message of each kind: more are not kept for a peer that does not read.
        self._outbox: dict[str | None, pb.ReportSessionsResponse] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._over: asyncio.Future[RejectedError] = asyncio.get_running_loop().create_future()
        self._late_ack: asyncio.TimerHandle | None = None

    async def run(self) -> RejectedError | None:
        """Serve until the peer or the handler ends the stream; return the reason of a status other than OK."""
        self._manager.listen(self._endpoint.id, self._look)
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        for task in (reader, writer):
            task.add_done_callback(_retrieve)
        try:
            ends: list[asyncio.Future[Any]] = [self._over, reader, writer]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return self._result(reader, writer)
        finally:
            self._manager.unlisten(self._endpoint.id, self._look)
            self._manager.stream_closed(self._endpoint.id, self._protocol.stream)
            await self._tear_down(reader, writer)

    def drain(self, grace: float) -> None:
        """Queue a DrainNotice, and end the stream after `grace` seconds."""
        self._post(pb.ReportSessionsResponse(drain_notice=pb.DrainNotice(grace=duration(grace))))
        self._wake.set()
        asyncio.get_running_loop().call_later(grace, self.end, RejectedError("UNAVAILABLE", STOPPING))

    def end(self, rejection: RejectedError) -> None:
        """End the stream with the status of `rejection`."""
        if not self._over.done():
            self._over.set_result(rejection)

    def _look(self) -> None:
        stream = self._protocol.stream
        if stream and not self._manager.is_current(self._endpoint.id, stream):
            self.end(RejectedError("ABORTED", "superseded by a newer stream on this socket"))
        self._wake.set()

    async def _read(self) -> None:
        try:
            # No name is bound to the message here: it would stay in memory until the next one arrives.
            while await self._read_one():
                pass
        except RejectedError as error:
            rejected = error.status, error.detail
        else:
            return
        # A new error, because the traceback of the old one references the message. A task that references its own error
        # is freed by the garbage collector only, and a peer can fill megabytes before that runs.
        self.end(RejectedError(*rejected))

    async def _read_one(self) -> bool:
        """Read one message; return whether the stream continues after it."""
        wait = None if self._protocol.stream else self._hello_timeout
        try:
            async with asyncio.timeout(wait):
                request: Any = await self._context.read()
        except TimeoutError:
            raise RejectedError("DEADLINE_EXCEEDED", f"no hello within {self._hello_timeout:g} s") from None
        except DecodeError:
            raise RejectedError("INVALID_ARGUMENT", "a message that cannot be decoded") from None
        if request is not grpc.aio.EOF:
            self._receive(request)
        return request is not grpc.aio.EOF and not self._protocol.over

    def _receive(self, request: pb.ReportSessionsRequest) -> None:
        known = bool(self._protocol.stream)
        drop_times_after(request, self._wall() + MAX_CLOCK_SKEW)
        for response in self._protocol.receive(request, self._manager.clock()):
            self._post(response)
        if not known:
            self._manager.wake_streams([self._endpoint.id])  # older streams notice that they are superseded
        if self._outbox or self._protocol.unacked * 2 >= self._settings.window or self._is_confirmed(request):
            self._wake.set()
        elif self._late_ack is None:
            self._late_ack = asyncio.get_running_loop().call_later(ACK_DELAY, self._ack_now)

    def _is_confirmed(self, request: pb.ReportSessionsRequest) -> bool:
        """Return whether `request` is a snapshot of the published value. Deltas wait, since they may come in storms."""
        return request.HasField("snapshot") and self._protocol.published

    def _ack_now(self) -> None:
        self._late_ack = None
        self._wake.set()

    async def _write(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            ack = self._protocol.ack()
            if ack is not None:
                self._post(pb.ReportSessionsResponse(ack=ack))
            outbox, self._outbox = self._outbox, {}
            try:
                for response in outbox.values():
                    await self._context.write(response)
            except grpc.aio.BaseError:
                return  # the peer has hung up

    def _post(self, response: pb.ReportSessionsResponse) -> None:
        self._outbox[response.WhichOneof("message")] = response

    def _result(self, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> RejectedError | None:
        if self._over.done():
            return self._over.result()
        for ended in (reader, writer):
            if ended.done():
                ended.result()
        return None

    async def _tear_down(self, reader: asyncio.Task[None], writer: asyncio.Task[None]) -> None:
        if self._late_ack is not None:
            self._late_ack.cancel()
        if not self._over.done():
            self._over.cancel()
        # gRPC cannot send a stream's status while a write is in flight: the peer would never receive the status.
        # See docs/upstream/grpc-aio-status.md.
        self._closing = True
        self._wake.set()
        try:
            await asyncio.wait([writer], timeout=LAST_WRITE)
        finally:  # gRPC cancels this wait when the peer hangs up
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the exception of a task, so that asyncio does not log it: the first task to end decides the status."""
    if not task.cancelled():
        task.exception()
