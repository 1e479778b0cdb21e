"""A handler that a test drives by hand, on a real unix socket: every stream is a conversation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from servicestatus import contract
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.session_report_service_pb2_grpc import (
    SessionReportServiceServicer,
    add_SessionReportServiceServicer_to_server,
)
from testbed.waiting import scaled

#: Seconds: far more than anything here takes on a busy machine.
DEADLINE = scaled(30)

Context = grpc.aio.ServicerContext[Any, Any]


class Conversation:
    """One stream, seen from the handler."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[pb.ReportSessionsRequest | None] = asyncio.Queue()
        self._to_send: asyncio.Queue[pb.ReportSessionsResponse | tuple[grpc.StatusCode, str] | None] = asyncio.Queue()

    async def receive(self) -> pb.ReportSessionsRequest:
        """What the agent says next; AssertionError when it has ended its side."""
        async with asyncio.timeout(DEADLINE):
            request = await self._received.get()
        assert request is not None, "the agent has ended the stream"
        return request

    async def expect(self, arm: str) -> Any:
        """The next message that is no heartbeat, which must be of this arm."""
        while (request := await self.receive()).WhichOneof("message") == "heartbeat" != arm:
            pass
        assert request.WhichOneof("message") == arm, request
        return getattr(request, arm)

    async def expect_end(self) -> None:
        """The agent ends its side, or is gone."""
        async with asyncio.timeout(DEADLINE):
            while await self._received.get() is not None:
                pass

    def say(self, **arm: Any) -> None:
        self._to_send.put_nowait(pb.ReportSessionsResponse(**arm))

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        self._to_send.put_nowait(None if code is grpc.StatusCode.OK else (code, details))

    async def welcome(self, **settings: Any) -> pb.Snapshot:
        """Hello, Welcome, Snapshot, Ack; the Snapshot."""
        await self.expect("hello")
        self.say(welcome=pb.Welcome(**settings))
        snapshot: pb.Snapshot = await self.expect("snapshot")
        self.say(ack=pb.Ack(accepted=snapshot.sequence))
        return snapshot

    async def carry(self, requests: AsyncIterator[pb.ReportSessionsRequest], context: Context) -> AsyncIterator[Any]:
        reader = asyncio.create_task(self._read(requests))
        try:
            while (response := await self._to_send.get()) is not None:
                if isinstance(response, tuple):
                    await context.abort(*response)
                yield response
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _read(self, requests: AsyncIterator[pb.ReportSessionsRequest]) -> None:
        try:
            async for request in requests:
                self._received.put_nowait(request)
        finally:
            self._received.put_nowait(None)


class HandlerPeer(SessionReportServiceServicer):
    """Serves `socket`; each stream that an agent opens can be had from `next_stream`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._streams: asyncio.Queue[Conversation] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=contract.SERVER_OPTIONS)
        add_SessionReportServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def next_stream(self) -> Conversation:
        async with asyncio.timeout(DEADLINE):
            return await self._streams.get()

    async def ReportSessions(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        conversation = Conversation()
        self._streams.put_nowait(conversation)
        async for response in conversation.carry(request_iterator, context):
            yield response


@asynccontextmanager
async def peer_on(socket: Path, *, start: bool = True) -> AsyncIterator[HandlerPeer]:
    """A handler at that path, which stops at the end."""
    peer = HandlerPeer(socket)
    try:
        if start:
            await peer.start()
        yield peer
    finally:
        await peer.stop()
