"""The stream to the handler: dial, report, and dial again when it is lost.

A reader and a writer share one call. The reader gives the protocol what the handler says and sees the end; the writer
sends what the protocol has due, when it is due. Neither ever waits for libvirt.

Invariant: a change of state leads to at most one message that waits, however slowly the handler reads.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from launcher_agent import backoff as retry
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import Life, State, StreamState
from servicestatus import contract
from servicestatus.backoff import Backoff
from servicestatus.clock import Clock, Sleep, Uniform
from servicestatus.sockets import SocketDirectory, SocketError
from servicestatus.text import truncate
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.session_report_service_pb2_grpc import SessionReportServiceStub

log = logging.getLogger(__name__)

Call = grpc.aio.StreamStreamCall[pb.ReportSessionsRequest, pb.ReportSessionsResponse]

#: Opens one stream to whoever serves a socket, and closes it. SocketError where there is no socket to dial.
Dial = Callable[[Path], contextlib.AbstractAsyncContextManager[Call]]

#: A stream that lived so long has worked: the pauses begin anew. A handler that welcomes everybody and fails at once
#: must not be dialled ten times a second.
_PROVEN: Final = 5.0

#: gRPC gives None for bytes that are no message of the type: to the protocol, a message that it does not know.
_NONSENSE: Final = pb.ReportSessionsResponse()

_OPTIONS: Final = [
    *contract.CHANNEL_OPTIONS,
    # Each attempt is a fresh one. Channels would otherwise share a broken connection and the pause of its own.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own retries keep a copy of what was sent.
    ("grpc.enable_retries", 0),
]


class StreamEnd(NamedTuple):
    """How a stream ended. `status` is the name of a gRPC status."""

    status: str
    details: str


@contextlib.asynccontextmanager
async def dial(socket: Path) -> AsyncIterator[Call]:
    """One stream over gRPC."""
    with contextlib.closing(SocketDirectory.open(socket.parent)) as directory:
        target = directory.address(socket.name)
        async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
            yield SessionReportServiceStub(channel).ReportSessions()


class ReportStream:
    """Reports the state to whoever serves `socket`."""

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
        """`welcome_timeout`: seconds until Welcome must have come."""
        self._socket = socket
        self._welcome_timeout = welcome_timeout
        self._protocol = protocol
        self._state = state
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff(uniform)
        self._dial = dial
        self._stopping = False
        self._welcomed: float | None = None  # when the stream at hand was
        self._said = ""  # the status that was logged last, so that it is said once
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
        """Say goodbye on the stream that is open, if one is, and wait until the handler has ended it."""
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
        if self._welcomed is not None and self._clock() - self._welcomed >= _PROVEN:
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
                    self._receive(response if isinstance(response, pb.ReportSessionsResponse) else _NONSENSE)
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
            self._said = ""
            log.info("reporting to handler %s", stream.handler_version)
            self._enter(StreamState.REPORTING)
        self._state.touch()

    async def _write(self, call: Call, hello: pb.ReportSessionsRequest, changes: asyncio.Event) -> None:
        # An error of writing is not the end: what ended the stream is in its status, which the reader has.
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            await call.write(hello)
            while not self._stopping:
                changes.clear()
                await self._send_what_is_due(call)
                await self._until_something_is_due(changes)
            await self._send_what_is_due(call)
            await call.write(self._protocol.goodbye(domain_ended=self._state.life is Life.ENDED))
            await call.done_writing()

    async def _send_what_is_due(self, call: Call) -> None:
        self._protocol.update(self._state.report(), self._clock())
        while (request := self._protocol.poll(self._clock())) is not None:
            await call.write(request)
            self._protocol.update(self._state.report(), self._clock())

    async def _until_something_is_due(self, changes: asyncio.Event) -> None:
        due = self._protocol.wake_at(self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                await changes.wait()

    # --- Between two streams ----------------------------------------------------------------------------------------

    def _note(self, ended: StreamEnd) -> None:
        details = truncate(ended.details, contract.MAX_TEXT_BYTES)
        handler = self._state.handler
        handler.last_status, handler.last_error = ended.status, details
        if self._said != ended.status:
            self._said = ended.status
            level = logging.WARNING if retry.needs_intervention(ended.status) else logging.INFO
            log.log(level, "the stream to the handler has ended: %s: %s", ended.status, details)
        self._enter(StreamState.BACKING_OFF)

    def _enter(self, state: StreamState) -> None:
        self._state.handler.state = state
        self._state.touch()
