"""Keeps a stream to the handler open: dials, reports, and dials again when the stream has ended.

A reader and a writer share one call. The reader passes the handler's messages to the protocol and notices the end of
the stream. The writer sends each message when the protocol says that it is due. Neither of them waits for libvirt.

Invariant: however slowly the handler reads, at most one message waits to be written.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from launcher_agent import backoff as retry
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State, StreamState
from servicestatus import contract
from servicestatus.backoff import Backoff
from servicestatus.clock import Clock, Sleep, Uniform
from servicestatus.sockets import SocketDirectory, SocketError
from servicestatus.text import truncate
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.session_report_service_pb2_grpc import SessionReportServiceStub

log = logging.getLogger(__name__)

Call = grpc.aio.StreamStreamCall[pb.ReportSessionsRequest, pb.ReportSessionsResponse]

#: Opens one stream on a socket, and closes it. Raises SocketError if there is no socket.
Dial = Callable[[Path], contextlib.AbstractAsyncContextManager[Call]]

#: Seconds after which a stream counts as successful, so that the next pause is the first again. A handler that accepts
#: a stream and fails at once must not be dialled ten times a second.
_SUCCESSFUL: Final = 5.0

#: How an opened directory begins an address.
_DIALLED: Final = re.compile(r"unix:/proc/self/fd/\d+/")

#: Replaces the None that gRPC returns for bytes that do not parse: the protocol counts it as an unknown message.
_UNPARSED: Final = pb.ReportSessionsResponse()

_OPTIONS: Final = [
    *contract.CHANNEL_OPTIONS,
    # Each attempt opens a connection of its own. Channels would otherwise share a broken one and its backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # For its own retries gRPC would keep a copy of the messages.
    ("grpc.enable_retries", 0),
]


class StreamEnd(NamedTuple):
    """How a stream ended. `status` is the name of a gRPC status."""

    status: str
    details: str


@contextlib.asynccontextmanager
async def dial(socket: Path) -> AsyncIterator[Call]:
    """Open one stream over gRPC."""
    with contextlib.closing(SocketDirectory.open(socket.parent)) as directory:
        target = directory.address(socket.name)
        async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
            yield SessionReportServiceStub(channel).ReportSessions()


class ReportStream:
    """Reports the state to the handler on `socket`."""

    def __init__(
        self,
        socket: Path,
        protocol: ReportProtocol,
        state: State,
        *,
        clock: Clock,
        sleep: Sleep,
        uniform: Uniform,
        welcome_timeout: float = contract.HELLO_TIMEOUT,
        dial: Dial = dial,
    ) -> None:
        """`welcome_timeout`: seconds within which Welcome must arrive."""
        self._socket = socket
        self._welcome_timeout = welcome_timeout
        self._protocol = protocol
        self._state = state
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff(uniform)
        self._dial = dial
        self._stopping = False
        self._welcomed: float | None = None  # when the current stream received Welcome
        self._logged = ""  # the status that was logged last, so that it is logged once
        self._closed = asyncio.Event()
        self._closed.set()

    async def run(self) -> None:
        """Report until `goodbye`."""
        while not self._stopping:
            ended = await self._attempt()
            if not self._stopping:
                self._note(ended)
                await self._sleep(self._backoff.pause(retry.policy(ended.status)))

    async def goodbye(self) -> None:
        """Send Goodbye on the open stream, if there is one, and wait until the handler has ended the stream."""
        self._stopping = True
        self._state.touch()
        await self._closed.wait()

    # --- Attempts ---------------------------------------------------------------------------------------------------

    async def _attempt(self) -> StreamEnd:
        """Run one stream, and return how it ended."""
        self._closed.clear()
        try:
            ended = await self._stream()
        finally:
            self._closed.set()
        if self._welcomed is not None and self._clock() - self._welcomed >= _SUCCESSFUL:
            self._backoff.reset()
        return ended

    async def _stream(self) -> StreamEnd:
        self._state.handler.streams += 1
        self._welcomed = None
        self._enter(StreamState.CONNECTING)
        try:
            async with self._dial(self._socket) as call:
                return await self._converse(call)
        except SocketError as error:
            return StreamEnd("UNAVAILABLE", str(error))

    async def _converse(self, call: Call) -> StreamEnd:
        hello = self._protocol.hello()
        with self._state.changes() as changes:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(call, hello, changes))
                ended = await self._read(call)
                writer.cancel()
        return ended

    # --- The two halves of a stream ---------------------------------------------------------------------------------

    async def _read(self, call: Call) -> StreamEnd:
        try:
            async with asyncio.timeout(self._welcome_timeout) as welcome_timeout:
                while (response := await call.read()) is not grpc.aio.EOF:
                    self._receive(response if isinstance(response, pb.ReportSessionsResponse) else _UNPARSED)
                    if self._welcomed is not None:
                        welcome_timeout.reschedule(None)
            return StreamEnd((await call.code()).name, await call.details())
        except TimeoutError:
            return StreamEnd("DEADLINE_EXCEEDED", f"no Welcome within {self._welcome_timeout:g} s")
        except grpc.aio.AioRpcError as error:
            return StreamEnd(error.code().name, error.details() or "")

    def _receive(self, response: pb.ReportSessionsResponse) -> None:
        self._protocol.receive(response, self._clock())
        stream = self._protocol.stream
        if stream.draining:
            self._enter(StreamState.DRAINING)
        elif stream.settings is not None and self._welcomed is None:
            self._welcomed = self._clock()
            self._logged = ""
            self._state.poll(stream.polling)
            log.info("reporting to handler %s", stream.handler_version)
            self._enter(StreamState.REPORTING)
        self._state.touch()

    async def _write(self, call: Call, hello: pb.ReportSessionsRequest, changes: asyncio.Event) -> None:
        # A failed write is ignored: the reader gets the status that ended the stream.
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            await call.write(hello)
            while not self._stopping:
                changes.clear()
                await self._send_due(call)
                await self._wait_until_due(changes)
            await self._send_due(call)
            await call.write(self._protocol.goodbye(domain_ended=self._state.has_ended_for_good))
            await call.done_writing()

    async def _send_due(self, call: Call) -> None:
        self._protocol.update(self._state.report(), self._clock())
        while (request := self._protocol.poll(self._clock())) is not None:
            await call.write(request)
            self._protocol.update(self._state.report(), self._clock())

    async def _wait_until_due(self, changes: asyncio.Event) -> None:
        due = self._protocol.wake_at(self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                await changes.wait()

    # --- Between two streams ----------------------------------------------------------------------------------------

    def _note(self, ended: StreamEnd) -> None:
        details = truncate(self._readable(ended.details), contract.MAX_TEXT_BYTES)
        handler = self._state.handler
        handler.last_status, handler.last_error = ended.status, details
        handler.last_status_at = self._state.clock()
        if self._logged != ended.status:
            self._logged = ended.status
            level = logging.WARNING if retry.needs_intervention(ended.status) else logging.INFO
            log.log(level, "the stream to the handler has ended: %s: %s; retrying", ended.status, details)
        self._enter(StreamState.BACKING_OFF)

    def _readable(self, details: str) -> str:
        """Name the socket's path where gRPC names the one by which it was dialled."""
        return _DIALLED.sub(lambda _: f"unix:{self._socket.parent}/", details)

    def _enter(self, state: StreamState) -> None:
        handler = self._state.handler
        if handler.since is None or handler.state is not state:
            handler.since = self._state.clock()
        handler.state = state
        self._state.touch()
