"""One stream between an agent and a handler, in place of gRPC.

Messages keep their order and arrive as bytes. A stream can be cut, for both ends at once or for the agent first, and
can stall in either direction. A single message can be lost or doubled, which gRPC never does, but a mistake in either
program might.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio
from grpc.aio import AioRpcError, Metadata

from servicestatus.v1 import session_report_service_pb2 as pb

Message = TypeVar("Message", pb.ReportSessionsRequest, pb.ReportSessionsResponse)

#: Messages in transit at most, before the writer must wait too: a few kilobytes of gRPC's buffers.
_CAPACITY: Final = 64
#: Messages that may be lost or doubled: the stream recovers from their loss by itself.
_EXPENDABLE: Final = ("delta", "heartbeat", "ack")

Status = tuple[grpc.StatusCode, str]


class Pipe(Generic[Message]):
    """One way."""

    def __init__(self, parse: Callable[[bytes], Message], rng: Random, plan: deque[str]) -> None:
        """`plan`: what happens to the next expendable messages: "lose", "double"."""
        self._parse: Callable[[bytes], Message] = parse
        self._rng = rng
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._changed = asyncio.Event()
        self._last = 0.0
        self.stalled = False
        #: After this many more messages it stalls; None: not planned.
        self.stalls_after: int | None = None
        #: No more messages follow.
        self.closed = False

    async def put(self, message: Message) -> None:
        """Send a message; wait while the other end does not read."""
        while len(self._queue) >= _CAPACITY and not self.closed:
            await self._wait()
        copies = 1
        if self._plan and message.WhichOneof("message") in _EXPENDABLE:
            copies = {"lose": 0, "double": 2}[self._plan.popleft()]
        for _ in range(copies):
            self._last = max(self._last, self._loop.time() + self._rng.uniform(0.0001, 0.001))
            self._queue.append((self._last, message.SerializeToString()))
        self._notify()

    async def get(self) -> Message | None:
        """Return the next message; None when no more follow."""
        while True:
            if not self.stalled:
                if self._queue:
                    at, data = self._queue[0]
                    if at <= self._loop.time():
                        self._queue.popleft()
                        self._notify()
                        self._count()
                        return self._parse(data)
                    await asyncio.sleep(at - self._loop.time())
                    continue
                if self.closed:
                    return None
            await self._wait()

    def close(self) -> None:
        """No more messages follow."""
        self.closed = True
        self._notify()

    def drop(self) -> None:
        """Messages in transit are lost, and no more follow."""
        self._queue.clear()
        self.stalled = False
        self.close()

    def stall(self, stalled: bool) -> None:
        """Nothing arrives while it is stalled."""
        self.stalled = stalled
        self._notify()

    def _count(self) -> None:
        if self.stalls_after is not None:
            self.stalls_after -= 1
            self.stalled = self.stalls_after == 0

    def _notify(self) -> None:
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Wire:
    """One stream: the agent's call, the handler's context, and the faults between them."""

    def __init__(self, rng: Random, up_plan: deque[str], down_plan: deque[str]) -> None:
        self.up = Pipe(pb.ReportSessionsRequest.FromString, rng, up_plan)
        self.down = Pipe(pb.ReportSessionsResponse.FromString, rng, down_plan)
        self.status: Status | None = None
        #: The agent is gone, and the handler does not know yet.
        self.half_open = False
        #: The handler's side, while it runs.
        self.task: asyncio.Task[None] | None = None
        #: By sequence: when the agent sent it, the number, and whether it saw the truth.
        self.said: dict[int, tuple[float, int, bool]] = {}
        #: Called with each message when it is sent.
        self.sent: Callable[[pb.ReportSessionsRequest], None] = lambda _: None
        self.answered: Callable[[pb.ReportSessionsResponse], None] = lambda _: None

    def end(self, status: Status) -> None:
        """The handler has ended the stream: the agent receives that after earlier messages."""
        if self.status is None:
            self.status = status
        self.down.close()

    def cut_agent(self, status: Status = (grpc.StatusCode.UNAVAILABLE, "the connection is lost")) -> None:
        """The agent's side has ended."""
        if self.status is None:
            self.status = status
        self.down.drop()
        self.up.closed = True

    def cut_handler(self) -> None:
        """The handler's side has ended: gRPC cancels the servicer."""
        self.up.drop()
        if self.task is not None:
            self.task.cancel()

    def cut(self) -> None:
        """Both are."""
        self.cut_agent()
        self.cut_handler()


class AgentCall:
    """What `launcher_agent.reporting.stream` needs of a call."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self) -> Any:
        """The next response, or EOF; AioRpcError when the stream has failed."""
        response = await self._wire.down.get()
        if response is not None:
            return response
        code, details = self._wire.status or (grpc.StatusCode.UNKNOWN, "")
        if code is grpc.StatusCode.OK:
            return grpc.aio.EOF
        raise _error(code, details)

    async def write(self, request: pb.ReportSessionsRequest) -> None:
        """Send; AioRpcError when the stream is over."""
        if self._wire.status is not None:
            raise _error(*self._wire.status)
        self._wire.sent(request)
        await self._wire.up.put(request)

    async def done_writing(self) -> None:
        """Nothing more comes."""
        self._wire.up.close()

    async def code(self) -> grpc.StatusCode:
        """How it ended."""
        return self._wire.status[0] if self._wire.status else grpc.StatusCode.UNKNOWN

    async def details(self) -> str:
        """Why."""
        return self._wire.status[1] if self._wire.status else ""


class HandlerContext:
    """What `handler_service.endpoints.servicer` needs of a servicer's context."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self) -> Any:
        """The next request, or EOF."""
        request = await self._wire.up.get()
        return grpc.aio.EOF if request is None else request

    async def write(self, response: pb.ReportSessionsResponse) -> None:
        """Send."""
        self._wire.answered(response)
        await self._wire.down.put(response)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """End the stream with a status."""
        self._wire.end((code, details))
        raise grpc.aio.AbortError


def _error(code: grpc.StatusCode, details: str) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details=details)
