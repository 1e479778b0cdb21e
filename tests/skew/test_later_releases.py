"""Today's programs with later ones: additions are ignored and counted, and a v2 is not taken for a v1."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from servicestatus import contract
from servicestatus.v1 import session_report_service_pb2 as pb
from testbed.waiting import wait_until_async
from tests.skew import later
from tests.skew.agent_scene import agent
from tests.unit.handler.builders import VMI, hello, snapshot
from tests.unit.handler.peer import handler

V1 = "servicestatus.v1.SessionReportService"
V2 = "servicestatus.v2.SessionReportService"
VNC, LATER = 1, later.VALUE


def raw_stream(channel: grpc.aio.Channel, service: str = V1) -> Any:
    return channel.stream_stream(f"/{service}/ReportSessions")()


async def received(call: Any) -> pb.ReportSessionsResponse:
    return pb.ReportSessionsResponse.FromString(await call.read())


async def received_ack(call: Any, published: int) -> None:
    while (await received(call)).ack.published < published:
        pass


# --- a later agent, today's handler -----------------------------------------------------------------------------------


async def test_an_agent_of_v1_9_is_understood_as_far_as_v1_goes(tmp_path: Path) -> None:
    """Fields, arms, services, reasons and features that today's handler does not know: counted, no report is lost."""
    async with handler(tmp_path) as running, grpc.aio.insecure_channel(f"unix:{running.socket}") as channel:
        call = raw_stream(channel)
        await call.write(later.request(hello={"instance": "i", "features": later.FEATURES}))
        welcome = (await received(call)).welcome
        assert list(welcome.features) == sorted(contract.FEATURES)
        services = [{"service": VNC, "sessions": 2, "accuracy": LATER}, {"service": LATER, "sessions": 9}]
        seen = {"observed": True, "reason": LATER}
        await call.write(later.request(snapshot={"sequence": 1, "observation": seen, "services": services}))
        await received_ack(call, 1)
        assert running.place.actual == {VMI: 2}
        await call.write(later.request(later_arm="whatever that is"))
        change = {"service": VNC, "started": 1, "sessions": 3, "accuracy": LATER}
        await call.write(later.request(delta={"sequence": 2, "services": [change, {"service": LATER, "sessions": 1}]}))
        await received_ack(call, 2)
        assert running.place.actual == {VMI: 3}
        entry = running.manager.reports.entry("a")
        # A service, an accuracy and a reason; an arm; an accuracy and a service.
        assert (entry.unknown_items, entry.resyncs) == (6, 0)
        await call.write(later.request(goodbye={"reason": LATER}))
        assert await call.code() is grpc.StatusCode.OK
        assert entry.unknown_items == 7


async def test_an_agent_that_tries_v2_first_falls_back_on_the_same_connection(tmp_path: Path) -> None:
    """The agent's fallback depends on the answer UNIMPLEMENTED."""
    async with handler(tmp_path) as running, grpc.aio.insecure_channel(f"unix:{running.socket}") as channel:
        newest = raw_stream(channel, V2)
        assert await newest.code() is grpc.StatusCode.UNIMPLEMENTED
        call = raw_stream(channel)
        await call.write(hello().SerializeToString())
        assert (await received(call)).HasField("welcome")
        await call.write(snapshot(1, 1).SerializeToString())
        await received_ack(call, 1)


# --- today's agent, a later handler -----------------------------------------------------------------------------------


class LaterHandler:
    """Serves bytes of any version."""

    def __init__(self, socket: Path, service: str) -> None:
        self._server = grpc.aio.server(options=contract.SERVER_OPTIONS)
        method: Any = grpc.stream_stream_rpc_method_handler(self._carry)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {"ReportSessions": method})]
        )
        self._server.add_insecure_port(f"unix:{socket}")
        self.received: list[pb.ReportSessionsRequest] = []

    async def __aenter__(self) -> "LaterHandler":
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def _carry(self, requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        yield later.response(later_arm="before anything else")
        yield later.response(welcome={"handler_version": "1.9", "features": later.FEATURES, "window": 3})
        async for request in requests:
            said = pb.ReportSessionsRequest.FromString(request)
            self.received.append(said)
            sequence = said.snapshot.sequence or said.delta.sequence
            if sequence:
                yield later.response(later_arm="in between")
                yield later.response(ack={"accepted": sequence, "published": sequence, "state": LATER})
            if sequence == 1:
                yield later.response(resync_request={"accepted": 1, "reason": LATER})


async def test_a_handler_of_v1_9_is_understood_as_far_as_v1_goes(tmp_path: Path) -> None:
    """Its unknown arms are counted, its unknown states and reasons accepted, and its agent keeps reporting."""
    socket = tmp_path / "handler.sock"
    async with LaterHandler(socket, V1) as peer, agent(socket) as scene:
        await wait_until_async(lambda: scene.protocol.stream.last_ack.published == 2, what="a snapshot was requested")
        await scene.live("viewer")
        await wait_until_async(lambda: scene.protocol.stream.last_ack.published == 3, what="a viewer is reported")
        said = [request.WhichOneof("message") for request in peer.received]
        assert said == ["hello", "snapshot", "snapshot", "delta"]
        assert (scene.protocol.unknown_messages, scene.protocol.stream.settings) == (
            4,
            contract.StreamSettings(window=3),
        )
        assert scene.protocol.stream.features == {"identified-sessions"}


async def test_a_handler_that_supports_v2_only_is_dialled_rarely(tmp_path: Path) -> None:
    """It may be replaced by one that supports both; until then one dial a minute is enough."""
    socket = tmp_path / "handler.sock"
    async with LaterHandler(socket, V2), agent(socket) as scene:
        await wait_until_async(lambda: scene.pauses, what="the agent waits")
        assert (scene.pauses, scene.state.handler.last_status) == ([60.0], "UNIMPLEMENTED")
