"""An agent that a test controls: a real stream, with exactly the messages that the test sends.

A peer is strict: an invalid message of the handler (an ack of an unsent sequence, a decreasing ack) fails its test.
"""

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from servicestatus import contract
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2_grpc as pb_grpc
from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import TIMEOUT, wait_until, wait_until_async

T = TypeVar("T")

#: What a call of a peer raises whose stream has ended: on an overloaded machine a ping is not answered in time, and
#: gRPC closes the connection.
GONE = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)
_OPTIONS = [*contract.CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]


class Peers:
    """Makes peers and runs them in one event loop; they end with it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peers", daemon=True)
        self._made: list[Peer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for peer in self._made:
            peer.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        faults = [fault for peer in self._made for fault in peer.faults]
        if error is None:
            assert faults == []

    def new(self, socket: Path) -> "Peer":
        """Not connected yet."""
        peer = Peer(self._loop, socket)
        self._made.append(peer)
        return peer

    def connect(self, socket: Path, sessions: int = 0, timeout: float = TIMEOUT) -> "Peer":
        """Connect a peer that has reported how many viewers are connected."""
        peer = self.new(socket).connect(timeout=timeout)
        peer.snapshot(sessions)
        return peer

    def connect_all(self, sockets: Sequence[Path]) -> list["Peer"]:
        """Connect one peer to each socket, all at once, without any report yet."""
        made = [self.new(socket) for socket in sockets]
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(lambda peer: peer.connect(timeout=TIMEOUT * 2), made))
        return made


class Peer:
    """One run of an agent. It renews its lease with heartbeats unless the test stops them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Path) -> None:
        self._loop = loop
        self.socket = socket
        self.instance = uuid.uuid4().hex
        self.sequence = 0
        # Sequence of the last written message: a heartbeat that names an unsent one would report a gap.
        self._sent = 0
        self.sessions = 0
        self._since = Timestamp()
        self.welcome = pb.Welcome()
        self.ack = pb.Ack()
        self.drained = False
        self.resyncs: list[pb.ResyncRequest] = []
        #: How the stream ended: the name of its status, and its text.
        self.ended: tuple[str, str] | None = None
        self.faults: list[str] = []
        self._heartbeats = True
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()

    # --- the stream ---

    def connect(self, hello: pb.Hello | None = None, timeout: float = TIMEOUT) -> Self:
        """Dial until a handler serves the socket, and send Hello. A new stream has no state of the former one."""
        self.close()
        self.ack, self.drained, self.ended, self._sent = pb.Ack(), False, None, 0
        self._run(self._connect(hello or pb.Hello(instance=self.instance, agent_version="by hand"), timeout))
        return self

    def close(self) -> None:
        """Cancel without Goodbye, like an agent that was killed."""
        self._run(self._close())

    def wait_ended(self) -> tuple[str, str]:
        ended = wait_until(lambda: self.ended, what="the stream has ended")
        assert ended is not None
        return ended

    # --- what it reports ---

    def snapshot(
        self,
        sessions: int,
        reason: "types.ObservationReason" = types.OBSERVATION_REASON_WATCHING,
        others: Sequence[types.ServiceSessions] = (),
    ) -> int:
        """Send everything; `others` are services other than VNC. Return the sequence."""
        self.sequence += 1
        self._count(sessions)
        vnc = types.ServiceSessions(service=types.SERVICE_VNC, sessions=sessions, accuracy=types.ACCURACY_EXACT)
        vnc.since.CopyFrom(self._since)
        snapshot = pb.Snapshot(sequence=self.sequence, observation=_observation(reason), services=[vnc, *others])
        self.say(pb.ReportSessionsRequest(snapshot=snapshot))
        return self.sequence

    def report(self, sessions: int, reason: "types.ObservationReason | None" = None) -> int:
        """Send a change. Return the sequence."""
        self.sequence += 1
        vnc = pb.ServiceDelta(
            service=types.SERVICE_VNC,
            started=max(0, sessions - self.sessions),
            ended=max(0, self.sessions - sessions),
            sessions=sessions,
            accuracy=types.ACCURACY_EXACT,
        )
        self._count(sessions)
        vnc.since.CopyFrom(self._since)
        delta = pb.Delta(sequence=self.sequence, services=[vnc])
        if reason is not None:
            delta.observation.CopyFrom(_observation(reason))
        self.say(pb.ReportSessionsRequest(delta=delta))
        return self.sequence

    def _count(self, sessions: int) -> None:
        """Set the number, and the time since when it has been zero or not zero."""
        if not self._since.seconds or bool(sessions) != bool(self.sessions):
            self._since.GetCurrentTime()
        self.sessions = sessions

    def goodbye(self, *, domain_ended: bool = False) -> None:
        goodbye = pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN, domain_ended=domain_ended)
        self.say(pb.ReportSessionsRequest(goodbye=goodbye))

    def say(self, request: pb.ReportSessionsRequest) -> None:
        self._run(self._write(request))

    def silence(self) -> None:
        """Send no more heartbeats; the stream stays open."""
        self._heartbeats = False

    def speak(self) -> None:
        """Heartbeats again."""
        self._heartbeats = True

    # --- what it receives ---

    def wait_accepted(self, sequence: int | None = None, timeout: float = TIMEOUT) -> None:
        wanted = self.sequence if sequence is None else sequence
        self._wait(lambda ack: ack.accepted >= wanted, f"{wanted} is accepted", timeout)

    def wait_published(self, sequence: int | None = None, timeout: float = TIMEOUT) -> None:
        """Wait until every publisher that can show it shows the value of the message with this sequence."""
        wanted = self.sequence if sequence is None else sequence
        self._wait(lambda ack: ack.published >= wanted, f"{wanted} is published", timeout)

    def wait_state(self, state: "pb.PublishState", timeout: float = TIMEOUT) -> str:
        """Return the message that came with the state."""
        return self._wait(lambda ack: ack.state == state, pb.PublishState.Name(state), timeout).message

    def _wait(self, accept: Any, what: str, timeout: float) -> pb.Ack:
        def look() -> pb.Ack:
            assert self.ended is None, f"the stream has ended: {self.ended}"
            return self.ack

        ack: pb.Ack = wait_until(look, accept, what=what, timeout=timeout)
        return ack

    # --- inside the loop ---

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT * 4)

    async def _connect(self, hello: pb.Hello, timeout: float) -> None:
        await wait_until_async(
            lambda: self._dial(hello), what=f"{self.socket} is served", timeout=timeout, interval=0.05,
            retry_on=(OSError, grpc.aio.AioRpcError, AssertionError),
        )  # fmt: skip
        self._tasks = [self._loop.create_task(self._read()), self._loop.create_task(self._beat())]

    async def _dial(self, hello: pb.Hello) -> bool:
        # Via a file descriptor: the path is longer than the 108 bytes of a unix socket's address.
        directory = os.open(self.socket.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            target = f"unix:/proc/self/fd/{directory}/{self.socket.name}"
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            self._call = pb_grpc.SessionReportServiceStub(self._channel).ReportSessions()
            await self._call.write(pb.ReportSessionsRequest(hello=hello))
            response = await self._call.read()
            assert response is not grpc.aio.EOF, "the stream ended before welcome"
        except BaseException:
            await self._close()
            raise
        finally:
            os.close(directory)
        if response.WhichOneof("message") != "welcome":
            self.faults.append(f"the first message is no welcome: {response}")
        self.welcome = response.welcome
        return True

    async def _read(self) -> None:
        call = self._call
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                self._take(response)
            self.ended = (await call.code()).name, await call.details()
        except grpc.aio.AioRpcError as error:
            self.ended = error.code().name, error.details() or ""

    def _take(self, response: pb.ReportSessionsResponse) -> None:
        match response.WhichOneof("message"):
            case "ack":
                before, self.ack = self.ack, response.ack
                if not before.accepted <= self.ack.accepted <= self.sequence:
                    self.faults.append(f"accepted went from {before.accepted} to {self.ack.accepted}")
                if not before.published <= self.ack.published <= self.ack.accepted:
                    self.faults.append(f"published went from {before.published} to {self.ack.published}")
            case "resync_request":
                self.resyncs.append(response.resync_request)
            case "drain_notice":
                self.drained = True
            case other:
                self.faults.append(f"unexpected {other}")

    async def _beat(self) -> None:
        interval = self.welcome.heartbeat_interval.ToTimedelta().total_seconds()
        while True:
            await asyncio.sleep(interval)
            if self._heartbeats and self._sent:
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await self._write(pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=self._sent)))

    async def _write(self, request: pb.ReportSessionsRequest) -> None:
        """Write one message at a time: gRPC ends a call with two concurrent writes."""
        async with self._writing:
            await self._call.write(request)
            self._sent = max(self._sent, request.snapshot.sequence, request.delta.sequence)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._channel is not None:
            self._call.cancel()
            await self._channel.close()
            self._channel = None


def _observation(reason: "types.ObservationReason") -> types.Observation:
    good = (types.OBSERVATION_REASON_WATCHING, types.OBSERVATION_REASON_NO_DOMAIN)
    return types.Observation(observed=reason in good, reason=reason)
