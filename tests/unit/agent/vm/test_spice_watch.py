"""SPICE clients as libvirt's events and QEMU's answers report them: transcripts through the domain's watch."""

import json
import logging

import pytest

from launcher_agent.errors import QueryError
from launcher_agent.events import Change, GraphicsEvent, Phase, SocketAddress, Transport
from launcher_agent.sessions.report import ServiceReport
from launcher_agent.sessions.view import Accuracy
from launcher_agent.vm.query_policy import QueryPolicy
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import SERVICE_SPICE
from tests.unit.agent.fakes import PLAIN_XML, UNIX, FakeConnection, settle, tcp
from tests.unit.agent.vm.test_domain_watch import IDLE, RUNNING, Scene, watching

TCP_SPICE = "<domain><devices><graphics type='spice' port='5930'><listen type='address'/></graphics></devices></domain>"
UNIX_SPICE = "<domain><devices><graphics type='spice'><listen type='socket'/></graphics></devices></domain>"
SEVERAL = TCP_SPICE.replace(
    "<devices>",
    "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><env name='SPICE_DEBUG_ALLOW_MC' value='1'/>"
    "</commandline><devices>",
)
SERVER = SocketAddress(Transport.TCP, "127.0.0.1", 5930)
CONNECT, INITIALIZE, DISCONNECT = Phase


class Channels:
    """QEMU's finished channels: the ports of their clients, with their client's connection id."""

    def __init__(self, *, unix: bool = False) -> None:
        self.listed: dict[int, int] = {}
        self.problem: Exception | None = None
        self._unix = unix

    def __call__(self, command: str) -> str:
        assert json.loads(command) == {"execute": "query-spice"}
        if self.problem is not None:
            raise self.problem
        family, host = ("unix", "") if self._unix else ("ipv4", "127.0.0.1")
        channels = [
            {"family": family, "host": host, "port": str(port), "connection-id": connection}
            for port, connection in self.listed.items()
        ]
        return json.dumps({"return": {"enabled": True, "channels": channels}})


def connection(xml: str = TCP_SPICE, domain: object = RUNNING, **kind: bool) -> tuple[FakeConnection, Channels]:
    fake = FakeConnection(domain, xml=xml)  # type: ignore[arg-type]
    channels = Channels(**kind)
    fake.qemu = channels
    return fake, channels


async def send(scene: Scene, *events: tuple[Phase, int | SocketAddress]) -> None:
    server = SocketAddress(Transport.UNIX) if any(peer is UNIX for _, peer in events) else SERVER
    for phase, peer in events:
        client = tcp(peer) if isinstance(peer, int) else peer
        await scene.libvirt.send(GraphicsEvent("vm", phase, server, client))


def report(scene: Scene) -> ServiceReport:
    return next(one for one in scene.state.report().services if one.service == SERVICE_SPICE)


def seen(scene: Scene) -> tuple[Reason, int, Accuracy]:
    one = report(scene)
    return one.observation.reason, one.view.sessions, one.view.accuracy


async def reconciled(scene: Scene) -> None:
    await scene.libvirt.answer()
    await scene.time.advance(0.2)


async def test_a_domain_without_spice_has_no_session_and_is_not_asked() -> None:
    async with watching(FakeConnection(RUNNING, xml=PLAIN_XML)) as scene:
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)
        assert scene.libvirt.asked == []


async def test_a_client_is_one_session_and_no_viewer_of_vnc() -> None:
    fake, _ = connection()
    async with watching(fake) as scene:
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1), (CONNECT, 2), (INITIALIZE, 2))
        assert seen(scene) == (Reason.WATCHING, 1, Accuracy.EXACT)
        assert scene.seen == (Reason.WATCHING, 0)
        await send(scene, (DISCONNECT, 1), (DISCONNECT, 2))
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)


async def test_a_client_from_before_the_agent_is_found() -> None:
    fake, channels = connection()
    channels.listed = {1: 7, 2: 7}
    async with watching(fake) as scene:
        assert seen(scene)[0] is Reason.RECONCILING
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 1, Accuracy.EXACT)
        assert scene.libvirt.ended_asking == 1


async def test_a_start_on_a_host_is_asked_about_like_vnc() -> None:
    fake, channels = connection(domain=IDLE)
    async with watching(fake, wanted="vm") as scene:
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)
        channels.listed = {1: 7}
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert seen(scene)[0] is Reason.RECONCILING
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 1, Accuracy.EXACT)


async def test_without_a_question_the_number_is_a_lower_bound() -> None:
    fake, _ = connection()
    async with watching(fake, policy=QueryPolicy.NEVER) as scene:
        assert seen(scene) == (Reason.LOWER_BOUND, 0, Accuracy.LOWER_BOUND)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1))
        assert seen(scene) == (Reason.LOWER_BOUND, 1, Accuracy.LOWER_BOUND)
        assert scene.libvirt.asked == []


async def test_a_takeover_does_not_blink() -> None:
    """The newer client's channel is there before the older one's are closed."""
    fake, _ = connection()
    async with watching(fake) as scene:
        await reconciled(scene)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1), (CONNECT, 2), (DISCONNECT, 1))
        assert seen(scene)[1] == 1
        await scene.time.advance(0.09)
        await send(scene, (INITIALIZE, 2))
        await scene.time.advance(1)
        assert seen(scene)[1] == 1
        assert report(scene).view.ended_total == 0


async def test_a_scan_holds_a_fall_back_for_a_tenth_of_a_second_only() -> None:
    fake, _ = connection()
    async with watching(fake) as scene:
        await reconciled(scene)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1), (CONNECT, 2), (DISCONNECT, 1))
        for port in range(3, 12):
            await scene.time.advance(0.01)
            await send(scene, (CONNECT, port))
        assert seen(scene)[1] == 1
        await scene.time.advance(0.02)
        assert seen(scene)[1] == 0


async def test_a_second_takeover_during_a_hold_begins_another() -> None:
    fake, _ = connection()
    async with watching(fake) as scene:
        await reconciled(scene)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1), (CONNECT, 2), (DISCONNECT, 1))
        await scene.time.advance(0.08)
        await send(scene, (INITIALIZE, 2), (CONNECT, 3), (DISCONNECT, 2))
        await scene.time.advance(0.09)
        assert seen(scene)[1] == 1
        await send(scene, (INITIALIZE, 3))
        await scene.time.advance(1)
        assert report(scene).view.ended_total == 0


async def test_an_ambiguous_number_of_a_unix_socket_is_asked_for_again() -> None:
    fake, channels = connection(UNIX_SPICE, unix=True)
    channels.listed = {1: 7}
    async with watching(fake) as scene:
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 1, Accuracy.EXACT)
        asked = len(scene.libvirt.asked)
        channels.problem = QueryError("no")
        await send(scene, (DISCONNECT, UNIX))
        assert seen(scene) == (Reason.WATCHING, 1, Accuracy.UPPER_BOUND)
        channels.problem, channels.listed = None, {}
        await scene.time.advance(1.3)
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)
        assert len(scene.libvirt.asked) == asked + 2


async def test_a_number_that_is_certain_is_not_asked_for_again() -> None:
    fake, _ = connection()
    async with watching(fake) as scene:
        await reconciled(scene)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1), (DISCONNECT, 1))
        await scene.time.advance(60)
        assert len(scene.libvirt.asked) == 1


async def test_several_clients_are_counted_by_their_connection_ids() -> None:
    fake, channels = connection(SEVERAL)
    channels.listed = {1: 7, 2: 8}
    async with watching(fake) as scene:
        await reconciled(scene)
        assert seen(scene) == (Reason.WATCHING, 2, Accuracy.EXACT)
        channels.listed |= {3: 9, 4: 9}
        await send(scene, (CONNECT, 3), (INITIALIZE, 3), (CONNECT, 4), (INITIALIZE, 4))
        await scene.time.advance(1)
        assert seen(scene) == (Reason.WATCHING, 3, Accuracy.EXACT)


async def test_the_end_of_the_domain_ends_the_session() -> None:
    fake, _ = connection()
    async with watching(fake, wanted="vm") as scene:
        await reconciled(scene)
        await send(scene, (CONNECT, 1), (INITIALIZE, 1))
        scene.libvirt.listed = (IDLE,)
        await scene.libvirt.lifecycle(Change.STOPPED, run=7)
        assert seen(scene) == (Reason.WATCHING, 0, Accuracy.EXACT)


async def test_a_description_that_cannot_be_read_proves_no_zero() -> None:
    fake, _ = connection("<domain>")
    async with watching(fake) as scene:
        assert seen(scene) == (Reason.UNOBSERVABLE_LISTENER, 0, Accuracy.LOWER_BOUND)
        assert "cannot be read" in report(scene).observation.message


async def test_a_refused_question_is_explained_and_repeated() -> None:
    fake, channels = connection()
    channels.problem = QueryError("denied")
    async with watching(fake) as scene:
        await settle()
        assert (seen(scene)[0], report(scene).observation.message) == (Reason.RECONCILING, "denied")
        channels.problem = None
        await scene.time.advance(2)
        assert seen(scene)[0] is Reason.WATCHING


async def test_a_refusal_that_goes_on_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fake, channels = connection()
    channels.problem = QueryError("QEMU has not answered within 5 s")
    async with watching(fake) as scene:
        await reconciled(scene)
        await scene.time.advance(600)
        assert len(scene.libvirt.asked) > 100
        assert sum("SPICE clients cannot be counted" in record.message for record in caplog.records) == 1
