"""A hand-driven agent: a real gRPC stream over a real unix socket, one message at a time, read like a transcript."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.server import EndpointServer
from handler_service.model import Assignment, DesiredStatus, Endpoint, Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.publishing.worker import PublishWorker
from handler_service.status_manager import StatusManager
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.sockets import SocketDirectory
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2_grpc as pb_grpc
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import VMI, hello

#: Generous: only a failing test waits so long.
DEADLINE = 30.0


class Peer:
    """One stream of one agent."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Dials at once."""
        self.channel = channel
        stub: Any = pb_grpc.SessionReportServiceStub(channel)
        self.call = stub.ReportSessions()

    async def say(self, *requests: pb.ReportSessionsRequest) -> None:
        """Send. If the stream has ended, the next call that receives, or end(), reports that."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                for request in requests:
                    await self.call.write(request)

    async def hear(self) -> pb.ReportSessionsResponse:
        """The next message of the handler; fails if it ends the stream instead."""
        async with asyncio.timeout(DEADLINE):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, f"the stream has ended: {await self.call.code()}"
        assert isinstance(response, pb.ReportSessionsResponse)
        return response

    async def greet(self, request: pb.ReportSessionsRequest | None = None) -> pb.Welcome:
        """Send Hello and return Welcome."""
        await self.say(request or hello())
        response = await self.hear()
        assert response.HasField("welcome")
        return response.welcome

    async def hear_ack(self, accepted: int, published: int) -> pb.Ack:
        """Read up to the ack that says so; those that say less come before it, and nothing else does."""
        while True:
            response = await self.hear()
            assert response.HasField("ack"), response
            ack = response.ack
            assert (ack.accepted, ack.published) <= (accepted, published)
            if (ack.accepted, ack.published) == (accepted, published):
                return ack

    async def hang_up(self) -> None:
        """Half-close, as an agent does that dies."""
        await self.call.done_writing()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Read up to the end of the stream: its status and what was said with it."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return await self.call.code(), await self.call.details() or ""


class MemoryPlace:
    """A publisher whose place is a dictionary."""

    name = "memory"

    def __init__(self) -> None:
        self.actual: dict[VmiId, int] = {}
        self.history: list[int] = []
        #: What becomes of the writes to come, instead of success.
        self.failures: list[Outcome | Exception] = []
        #: Cleared, a write waits.
        self.open = asyncio.Event()
        self.open.set()

    def detail(self, desired: DesiredStatus) -> None:
        """Ignore everything except the number."""

    def services(self, desired: DesiredStatus) -> dict[int, None]:
        """Show VNC alone."""
        return {}

    def shows_idle(self, value: PublishedValue) -> bool:
        """Zero."""
        return not value.sessions

    async def read(self, vmi: VmiId) -> Outcome:
        """What is held."""
        return Outcome(OutcomeKind.UNCHANGED, PublishedValue(self.actual.get(vmi, 0)))

    async def write(self, vmi: VmiId, value: PublishedValue) -> Outcome:
        """Hold it, unless the test wants a failure."""
        await self.open.wait()
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        self.actual[vmi] = value.sessions
        self.history.append(value.sessions)
        return Outcome(OutcomeKind.WRITTEN, value)


class Handler:
    """A status manager with a publisher in memory, and the server of one socket; `async with` runs both."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: contract.StreamSettings | None = None,
        policy: WritePolicy | None = None,
        hello_timeout: float = contract.HELLO_TIMEOUT,
        polling: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """The socket is `directory`/handler.sock. Values are written quickly unless `policy` says otherwise."""
        self.socket = directory / "handler.sock"
        self.endpoint = Endpoint("a", VMI, str(self.socket))
        lease = (settings or contract.StreamSettings()).lease
        self.manager = StatusManager(lease, asyncio.get_running_loop().time, polling)
        self.place = MemoryPlace()
        quick = WritePolicy(first_rise=0.0, rise=0.01, fall=0.01, interval=0.01, retry_base=0.01)
        scheduler = WriteScheduler(policy or quick, TokenBucket(256, 0.04), lambda cap: cap)
        self.worker = PublishWorker(self.place, scheduler, self.manager.clock, self.manager.answered)
        self.manager.workers.append(self.worker)
        self._hidden = PrivateSockets(directory / "hidden")
        self.server = EndpointServer(
            self.endpoint,
            self.manager,
            settings or contract.StreamSettings(),
            "9.9",
            self._hidden,
            hello_timeout=hello_timeout,
        )
        self._directory = SocketDirectory.open(directory)
        self._channels: list[grpc.aio.Channel] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.manager.assign(VMI, Assignment(owned=True))
        self._tasks = [asyncio.create_task(self.manager.run()), asyncio.create_task(self.worker.run())]
        await self.server.start(self._directory.listen(self.socket.name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()
        await self.server.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._directory.close()
        self._hidden.directory.close()

    def dial(self, *, over: Peer | None = None) -> Peer:
        """A new stream, on a connection of its own, or over that of another stream."""
        if over is not None:
            return Peer(over.channel)
        options = [*contract.CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        # A test may send what is too large; it is the handler that must refuse it.
        options = [(name, value) for name, value in options if name != "grpc.max_send_message_length"]
        self._channels.append(grpc.aio.insecure_channel(f"unix:{self.socket}", options=options))
        return Peer(self._channels[-1])

    async def holds(self, sessions: int) -> None:
        """Wait until the place holds `sessions`."""
        await wait_until_async(
            lambda: self.place.actual.get(VMI, 0), lambda held: held == sessions, what=f"the place holds {sessions}"
        )


@contextlib.asynccontextmanager
async def handler(directory: Path, **options: Any) -> AsyncIterator[Handler]:
    """A running handler."""
    async with Handler(directory, **options) as running:
        yield running
