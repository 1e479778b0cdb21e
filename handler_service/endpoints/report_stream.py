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

#: An ack that says no more than "accepted" waits so long, since "published" or other deltas most often follow in
#: that time, and one ack for all is cheaper. It does not wait where it would hold up the agent's window, nor where a
#: Snapshot finds its value in place: a handler that was restarted says at once that all is as it was.
ACK_DELAY: Final = 2.0
#: A message that is on its way when its stream ends has so long to be taken. A peer that reads takes it at once.
LAST_WRITE: Final = 0.25
#: Seconds by which a time that an agent states may be later than now. Both read the node's clock, but a clock is set.
MAX_CLOCK_SKEW: Final = 5.0
#: What a stream is told that ends because of drain().
STOPPING: Final = "the handler stops"


class ReportStream:
    """One stream's two tasks and what passes between them."""

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
        # By kind, the newest of each: a peer that does not read costs no more than that.
        self._outbox: dict[str | None, pb.ReportSessionsResponse] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._over: asyncio.Future[RejectedError] = asyncio.get_running_loop().create_future()
        self._late_ack: asyncio.TimerHandle | None = None

    async def run(self) -> RejectedError | None:
        """Until the peer or the handler ends it; for a status other than OK, why."""
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
        """End the stream with a status."""
        if not self._over.done():
            self._over.set_result(rejection)

    def _look(self) -> None:
        stream = self._protocol.stream
        if stream and not self._manager.is_current(self._endpoint.id, stream):
            self.end(RejectedError("ABORTED", "superseded by a newer stream on this socket"))
        self._wake.set()

    async def _read(self) -> None:
        try:
            # No name for the message here: it would be held until the next one comes.
            while await self._read_one():
                pass
        except RejectedError as error:
            refused = error.status, error.detail
        else:
            return
        # A new error, since the old one's traceback holds the message, and a task that holds its own error waits for
        # the garbage collector: megabytes that a peer can fill faster than that comes.
        self.end(RejectedError(*refused))

    async def _read_one(self) -> bool:
        """Whether the stream goes on after this message."""
        wait = None if self._protocol.stream else self._hello_timeout
        try:
            async with asyncio.timeout(wait):
                request: Any = await self._context.read()
        except TimeoutError:
            raise RejectedError("DEADLINE_EXCEEDED", f"no hello within {self._hello_timeout:g} s") from None
        except DecodeError:
            raise RejectedError("INVALID_ARGUMENT", "a message that cannot be read") from None
        if request is not grpc.aio.EOF:
            self._receive(request)
        return request is not grpc.aio.EOF and not self._protocol.over

    def _receive(self, request: pb.ReportSessionsRequest) -> None:
        greeted = bool(self._protocol.stream)
        drop_times_after(request, self._wall() + MAX_CLOCK_SKEW)
        for response in self._protocol.receive(request, self._manager.clock()):
            self._post(response)
        if not greeted:
            self._manager.wake_streams([self._endpoint.id])  # older streams find themselves superseded
        if self._outbox or self._protocol.unacked * 2 >= self._settings.window or self._is_confirmed(request):
            self._wake.set()
        elif self._late_ack is None:
            self._late_ack = asyncio.get_running_loop().call_later(ACK_DELAY, self._ack_now)

    def _is_confirmed(self, request: pb.ReportSessionsRequest) -> bool:
        """Of snapshots alone: there are few, and a delta that changes nothing in place is most often one of a storm."""
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
                return  # the peer is gone

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
        # gRPC cannot send a stream's status while a message is on its way: the peer would never learn of the end.
        # See docs/upstream/grpc-aio-status.md.
        self._closing = True
        self._wake.set()
        try:
            await asyncio.wait([writer], timeout=LAST_WRITE)
        finally:  # a peer that hangs up cancels this wait
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)


def _retrieve(task: asyncio.Task[None]) -> None:
    """One task's end is the stream's; how the other one ended is of no interest, and asyncio would log it."""
    if not task.cancelled():
        task.exception()
