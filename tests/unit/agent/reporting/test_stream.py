"""The stream's edge: a real gRPC server on a real unix socket, and a handler that says what the test wants."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from launcher_agent.events import Phase
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.reporting.stream import ReportStream
from launcher_agent.state import Life, State, StreamState
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import SERVICE_SERIAL_CONSOLE, Polling, VmiReference
from testbed.waiting import wait_until_async
from tests.unit.agent.fakes import UNIX
from tests.unit.agent.handler_peer import DEADLINE, Conversation, HandlerPeer, peer_on


class Pauses:
    """A sleep that lasts until the test ends it, and how long it was meant to be."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()
        self._begun.put_nowait((seconds, over))
        await over

    async def end(self) -> float:
        """End the pause that is under way, or comes next; its length."""
        async with asyncio.timeout(DEADLINE):
            seconds, over = await self._begun.get()
        over.set_result(None)
        return seconds


class Scene:
    """An agent's stream, its state, and a handler on the same socket, which the test starts."""

    def __init__(self, socket: Path, handler: HandlerPeer, welcome_timeout: float) -> None:
        self.state = State(lambda: 7.0)
        self.state.table.clear(7.0)
        self.state.observe(Reason.WATCHING)
        self.protocol = ReportProtocol("i1", "1.2.3", VmiReference(), self.state.report())
        self.pauses = Pauses()
        self.later = 0.0
        self.handler = handler
        self.stream = ReportStream(
            socket,
            self.protocol,
            self.state,
            clock=lambda: time.monotonic() + self.later,
            sleep=self.pauses.sleep,
            uniform=max,
            welcome_timeout=welcome_timeout,
        )
        self.task = asyncio.create_task(self.stream.run())

    def viewer(self) -> None:
        for phase in (Phase.CONNECT, Phase.INITIALIZE):
            self.state.table.apply(phase, UNIX, 8.0)
        self.state.touch()

    async def reporting(self, **settings: Any) -> Conversation:
        """The conversation of a stream whose first Snapshot has been accepted."""
        conversation = await self.handler.next_stream()
        await conversation.welcome(**settings)
        return conversation

    async def wait_for(self, state: StreamState) -> None:
        await wait_until_async(lambda: self.state.handler.state is state, what=f"the stream is {state.name}")


@asynccontextmanager
async def scene(socket: Path, *, welcome_timeout: float = DEADLINE, handler: bool = True) -> AsyncIterator[Scene]:
    """The handler is there before the agent dials, unless `handler` is False."""
    async with peer_on(socket, start=handler) as peer:
        made = Scene(socket, peer, welcome_timeout)
        try:
            yield made
        finally:
            made.task.cancel()
            await asyncio.wait([made.task])


async def test_it_reports_each_change_and_hears_what_became_of_it(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting(handler_version="h1", vmi=VmiReference(namespace="ns", name="vm"))
        await made.wait_for(StreamState.REPORTING)
        made.viewer()
        delta = await conversation.expect("delta")
        assert (delta.sequence, delta.services[0].sessions) == (2, 1)
        conversation.say(ack=pb.Ack(accepted=2, published=2, state=pb.PUBLISH_STATE_PUBLISHED))
        await wait_until_async(lambda: made.protocol.stream.last_ack.published == 2, what="the ack is in")
        assert (made.protocol.stream.handler_version, made.protocol.stream.vmi.name) == ("h1", "vm")


async def test_a_welcome_says_what_to_poll_and_the_next_one_changes_it(socket: Path) -> None:
    """A handler that is started with other flags changes it so. The end of a stream alone does not."""
    features = ["service-observations"]
    async with scene(socket) as agent:
        conversation = await agent.handler.next_stream()
        asked = [Polling(service=SERVICE_SERIAL_CONSOLE, interval={"seconds": 3})]
        await conversation.welcome(features=features, polling=asked)
        assert agent.state.polling == {SERVICE_SERIAL_CONSOLE: 3.0}
        conversation.end(grpc.StatusCode.UNAVAILABLE)
        await agent.pauses.end()
        other = await agent.handler.next_stream()
        assert agent.state.polling == {SERVICE_SERIAL_CONSOLE: 3.0}
        await other.welcome(features=features)
        assert agent.state.polling == {}


async def test_it_keeps_the_lease_when_nothing_happens(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting(heartbeat_interval={"nanos": 100_000_000})
        for _ in range(3):
            assert (await conversation.expect("heartbeat")).sequence == 1


async def test_a_storm_of_changes_becomes_a_few_messages(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        for _ in range(1000):
            made.viewer()
            await asyncio.sleep(0)
        deltas, sessions = 0, 0
        while sessions != 1000:
            delta = await conversation.expect("delta")
            conversation.say(ack=pb.Ack(accepted=delta.sequence))
            deltas, sessions = deltas + 1, delta.services[0].sessions
        assert deltas <= 12


async def test_a_resync_is_answered_with_a_snapshot(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        made.viewer()
        await conversation.expect("delta")
        conversation.say(resync_request=pb.ResyncRequest(accepted=1))
        snapshot = await conversation.expect("snapshot")
        assert (snapshot.sequence, snapshot.services[0].sessions) == (3, 1)


async def test_a_handler_that_is_not_there_is_tried_with_growing_pauses(socket: Path) -> None:
    async with scene(socket, handler=False) as made:
        assert [await made.pauses.end() for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.6]
        await made.wait_for(StreamState.BACKING_OFF)
        assert made.state.handler.last_status == "UNAVAILABLE"
        assert made.state.handler.streams >= 5
        # By the name of the flag's value, and not by that of the directory that is open.
        assert f"unix:{socket}: connect failed" in made.state.handler.last_error
        assert "/proc/self/fd" not in made.state.handler.last_error


async def test_a_directory_that_is_not_there_is_like_a_handler_that_is_not_there(socket: Path) -> None:
    async with scene(socket.parent / "missing" / "handler.sock", handler=False) as made:
        assert await made.pauses.end() == 0.1
        await made.wait_for(StreamState.BACKING_OFF)
        assert made.state.handler.last_status == "UNAVAILABLE"
        assert "missing: No such file or directory" in made.state.handler.last_error


async def test_a_handler_that_comes_later_is_found(socket: Path) -> None:
    async with scene(socket, handler=False) as made:
        await made.pauses.end()
        await made.handler.start()
        finding = asyncio.create_task(made.reporting())
        while not finding.done():
            pause = asyncio.create_task(made.pauses.end())
            await asyncio.wait([finding, pause], return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
        await made.wait_for(StreamState.REPORTING)


async def test_a_stream_that_ends_is_opened_again_and_the_sequence_goes_on(socket: Path) -> None:
    async with scene(socket) as made:
        first = await made.reporting()
        made.viewer()
        await first.expect("delta")
        first.end()
        await made.pauses.end()
        second = await made.handler.next_stream()
        snapshot = await second.welcome()
        assert (snapshot.sequence, snapshot.services[0].sessions) == (3, 1)


async def test_a_stream_that_works_again_says_when_the_former_one_ended(socket: Path) -> None:
    """Without that, a last status beside REPORTING reads as an error of the present."""
    async with scene(socket) as made:
        (await made.reporting()).end(grpc.StatusCode.UNAVAILABLE)
        await made.wait_for(StreamState.BACKING_OFF)
        assert (made.state.handler.last_status_at, made.state.handler.since) == (7.0, 7.0)
        made.state.clock = lambda: 9.0
        await made.pauses.end()
        await made.reporting()
        await made.wait_for(StreamState.REPORTING)
        assert made.state.handler.last_status == "UNAVAILABLE"
        assert (made.state.handler.last_status_at, made.state.handler.since) == (7.0, 9.0)


async def test_a_stream_that_worked_for_a_while_starts_the_pauses_anew(socket: Path) -> None:
    async with scene(socket) as made:
        pauses = []
        for lived in (0.0, 0.0, 10.0, 0.0, 0.0):
            conversation = await made.reporting()
            await made.wait_for(StreamState.REPORTING)
            made.later += lived
            conversation.end(grpc.StatusCode.UNAVAILABLE)
            pauses.append(await made.pauses.end())
        assert pauses == [0.1, 0.2, 0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    ("code", "pause"),
    [
        (grpc.StatusCode.CANCELLED, 0.1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.1),
        (grpc.StatusCode.ABORTED, 5.0),
        (grpc.StatusCode.PERMISSION_DENIED, 60.0),
        (grpc.StatusCode.UNIMPLEMENTED, 60.0),
    ],
)
async def test_how_a_stream_ended_says_how_long_to_wait(socket: Path, code: grpc.StatusCode, pause: float) -> None:
    async with scene(socket) as made:
        (await made.reporting()).end(code, "because\n" + "x" * 1000)
        assert await made.pauses.end() == pause
        assert made.state.handler.last_status == code.name
        assert made.state.handler.last_error.startswith("because\nxxx")
        assert len(made.state.handler.last_error) == 256


async def test_what_needs_someone_is_said_once(socket: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(socket) as made:
        for _ in range(3):
            conversation = await made.handler.next_stream()
            await conversation.expect("hello")
            conversation.end(grpc.StatusCode.PERMISSION_DENIED, "this socket belongs to ns/other")
            await made.pauses.end()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    ended = "the stream to the handler has ended: PERMISSION_DENIED: this socket belongs to ns/other; retrying"
    assert warnings == [ended]


async def test_a_handler_that_does_not_welcome_us_is_left(socket: Path) -> None:
    async with scene(socket, welcome_timeout=2.0) as made:
        conversation = await made.handler.next_stream()
        await conversation.expect("hello")
        conversation.say(ack=pb.Ack(accepted=1))
        assert await made.pauses.end() == 0.1
        assert made.state.handler.last_status == "DEADLINE_EXCEEDED"
        assert made.state.handler.last_error == "no Welcome within 2 s"
        await conversation.expect_end()


async def test_a_welcome_ends_the_wait_for_it(socket: Path) -> None:
    async with scene(socket, welcome_timeout=2.0) as made:
        conversation = await made.reporting(heartbeat_interval={"nanos": 500_000_000})
        for _ in range(5):
            await conversation.expect("heartbeat")
        assert made.state.handler.streams == 1


async def test_a_drain_notice_is_shown_and_reports_go_on_until_the_end(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        conversation.say(drain_notice=pb.DrainNotice())
        await made.wait_for(StreamState.DRAINING)
        made.viewer()
        await conversation.expect("delta")


async def test_a_message_beyond_the_bound_ends_the_stream(socket: Path) -> None:
    async with scene(socket) as made:
        (await made.reporting()).say(ack=pb.Ack(message="x" * 70_000))
        await made.pauses.end()
        assert made.state.handler.last_status == "RESOURCE_EXHAUSTED"


@asynccontextmanager
async def serving(socket: Path, *handlers: Any) -> AsyncIterator[None]:
    """A server on the socket that knows these services and no other."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def test_bytes_that_are_no_message_are_counted_and_ignored(socket: Path) -> None:
    requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(incoming: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        yield b"\xff\xff\xff"
        yield pb.ReportSessionsResponse(welcome=pb.Welcome()).SerializeToString()
        async for request in incoming:
            requests.put_nowait(request)

    raw: dict[str, Any] = {"ReportSessions": grpc.stream_stream_rpc_method_handler(talk)}
    handlers = grpc.method_handlers_generic_handler("servicestatus.v1.SessionReportService", raw)
    async with serving(socket, handlers), scene(socket, handler=False) as made:
        await wait_until_async(lambda: requests.qsize() >= 2, what="Hello and Snapshot came")
        assert made.protocol.unknown_messages == 1


async def test_a_service_of_another_version_is_tried_seldom(socket: Path) -> None:
    async with serving(socket), scene(socket, handler=False) as made:
        # Now and then Hello meets a stream that has ended already, and gRPC calls that INTERNAL.
        while (pause := await made.pauses.end()) < 10:
            assert made.state.handler.last_status == "INTERNAL"
        assert (pause, made.state.handler.last_status) == (60.0, "UNIMPLEMENTED")


async def test_a_path_of_any_length_is_reached(socket: Path) -> None:
    folder = socket.parent / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    async with peer_on(socket) as peer:
        (folder / "handler.sock").hardlink_to(socket)  # a server cannot bind so long a path itself
        async with scene(folder / "handler.sock", handler=False) as made:
            made.handler = peer
            await made.reporting()


async def test_goodbye_is_said_and_ends_the_stream(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        farewell = asyncio.create_task(made.stream.goodbye())
        goodbye = await conversation.expect("goodbye")
        assert (goodbye.reason, goodbye.domain_ended) == (pb.GOODBYE_REASON_SHUTDOWN, False)
        await conversation.expect_end()
        assert not farewell.done()
        conversation.end()
        async with asyncio.timeout(DEADLINE):
            await farewell
            await made.task


async def test_goodbye_does_not_vouch_for_a_domain_that_may_run_again(socket: Path) -> None:
    """On a host, a named domain can start after its agent has stopped."""
    async with scene(socket) as made:
        conversation = await made.reporting()
        made.state.life, made.state.may_run_again = Life.ENDED, True
        farewell = asyncio.create_task(made.stream.goodbye())
        assert not (await conversation.expect("goodbye")).domain_ended
        conversation.end()
        async with asyncio.timeout(DEADLINE):
            await farewell


async def test_goodbye_tells_what_changed_and_that_the_domain_has_ended(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        made.viewer()
        await conversation.expect("delta")
        made.state.life = Life.ENDED
        made.state.table.clear(9.0)
        farewell = asyncio.create_task(made.stream.goodbye())
        assert (await conversation.expect("delta")).services[0].sessions == 0
        assert (await conversation.expect("goodbye")).domain_ended
        conversation.end()
        async with asyncio.timeout(DEADLINE):
            await farewell


async def test_goodbye_without_a_stream_is_over_at_once(socket: Path) -> None:
    async with scene(socket, handler=False) as made:
        await made.wait_for(StreamState.BACKING_OFF)
        async with asyncio.timeout(DEADLINE):
            await made.stream.goodbye()


async def test_an_agent_that_is_cancelled_leaves_nothing_behind(socket: Path) -> None:
    async with scene(socket) as made:
        conversation = await made.reporting()
        made.task.cancel()
        await asyncio.wait([made.task])
        await conversation.expect_end()
        assert made.task.cancelled()
