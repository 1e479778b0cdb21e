"""One connection's life, as a transcript: what libvirt and QEMU say, and what the agent makes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from launcher_agent.errors import LibvirtError, QueryError, UnobservableError
from launcher_agent.events import (
    Change,
    GraphicsEvent,
    LifecycleEvent,
    Phase,
    SocketAddress,
    Transport,
    UnreadableEvent,
)
from launcher_agent.sessions.view import Accuracy
from launcher_agent.state import Life, State
from launcher_agent.vm.domain_watch import DomainWatch
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.query_policy import QueryPolicy
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import SERVICE_SERIAL_CONSOLE, SERVICE_SPICE
from tests.unit.agent.fakes import PLAIN_XML, TCP_XML, UNIX, FakeConnection, VirtualTime, settle, tcp

IDLE, RUNNING = Domain("vm", None), Domain("vm", 7)


class Scene:
    """A watch over a fake connection, and the state that it keeps."""

    def __init__(self, connection: FakeConnection, wanted: str | None, *, policy: QueryPolicy) -> None:
        self.libvirt = connection
        self.time = VirtualTime()
        self.state = State(self.time.clock)
        self._watch = DomainWatch(connection, self.state, wanted, self.time.sleep, policy=policy)
        self.task = asyncio.create_task(self._watch.run())

    @property
    def seen(self) -> tuple[Reason, int]:
        return self.state.observation.reason, self.state.table.view().sessions

    @property
    def accuracy(self) -> Accuracy:
        return self.state.table.view().accuracy


def services(scene: Scene) -> list[Reason]:
    """Whether the SPICE clients and those of the console, which is polled, are observed."""
    return [scene.state.services[one].observation.reason for one in (SERVICE_SPICE, SERVICE_SERIAL_CONSOLE)]


@asynccontextmanager
async def watching(
    connection: FakeConnection, wanted: str | None = None, *, policy: QueryPolicy = QueryPolicy.AUTO
) -> AsyncIterator[Scene]:
    scene = Scene(connection, wanted, policy=policy)
    await settle()
    yield scene
    await connection.lose()
    with pytest.raises(LibvirtError, match="libvirt closed the connection"):
        await scene.task


async def test_without_a_domain_nobody_can_be_connected() -> None:
    async with watching(FakeConnection()) as scene:
        assert scene.seen == (Reason.NO_DOMAIN, 0)
        assert scene.state.domain == ""
        assert scene.accuracy is Accuracy.EXACT


async def test_a_domain_that_starts_under_our_eyes_is_counted_without_asking() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        assert scene.seen == (Reason.WATCHING, 0)
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.accuracy is Accuracy.EXACT
        assert scene.libvirt.questions == []


async def test_a_domain_that_ran_before_us_is_asked_about() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(UNIX, UNIX)
        assert scene.seen == (Reason.RECONCILING, 2)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 2)
        assert scene.state.stats.queries == 1


async def test_an_event_near_the_answer_makes_it_ask_again() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.answer(UNIX)
        await scene.libvirt.graphics(Phase.CONNECT)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.RECONCILING, 1)
        await scene.libvirt.answer(UNIX, UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 2)


async def test_while_viewers_come_and_go_all_the_time_it_asks_once_a_second() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        for _ in range(5):
            await scene.libvirt.answer()
            await scene.libvirt.graphics(Phase.CONNECT)
            await scene.libvirt.graphics(Phase.DISCONNECT)
            await scene.time.advance(0.2)
        assert len(scene.libvirt.questions) == 5
        await scene.time.advance(0.99)
        assert len(scene.libvirt.questions) == 5
        await scene.time.advance(0.01)
        assert len(scene.libvirt.questions) == 6
        assert scene.state.observation.reason is Reason.RECONCILING


async def test_a_qemu_that_does_not_answer_is_told_and_asked_again_ever_more_seldom() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.refuse(QueryError("QEMU has not answered within 10 s"))
        assert scene.seen == (Reason.RECONCILING, 0)
        assert scene.state.observation.message == "QEMU has not answered within 10 s"
        for pause in (1, 2, 3, 4, 5, 5):
            asked = len(scene.libvirt.questions)
            await scene.time.advance(pause - 0.01)
            assert len(scene.libvirt.questions) == asked
            await scene.time.advance(0.01)
            assert len(scene.libvirt.questions) == asked + 1
            await scene.libvirt.refuse(QueryError("QEMU has not answered within 10 s"))


async def test_told_never_to_ask_it_tells_a_lower_bound_until_the_domain_starts_again() -> None:
    async with watching(FakeConnection(RUNNING), policy=QueryPolicy.NEVER) as scene:
        assert scene.seen == (Reason.LOWER_BOUND, 0)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.LOWER_BOUND, 1)
        assert scene.accuracy is Accuracy.LOWER_BOUND
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert scene.seen == (Reason.WATCHING, 0)
        assert (scene.accuracy, scene.libvirt.questions) == (Accuracy.EXACT, [])


async def test_a_viewer_of_a_domain_whose_description_names_no_vnc_counts() -> None:
    async with watching(FakeConnection(IDLE, xml=PLAIN_XML)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.libvirt.questions == []


async def test_a_domain_whose_description_names_no_vnc_is_asked_about_when_it_ran_before() -> None:
    async with watching(FakeConnection(RUNNING, xml=PLAIN_XML)) as scene:
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_after_a_start_of_a_domain_with_a_tcp_listener_qemu_is_asked_once() -> None:
    """A client that was connected before libvirt was ready caused no event."""
    async with watching(FakeConnection(IDLE, xml=TCP_XML)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(tcp(40001))
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.libvirt.questions == ["vm"]


async def test_on_a_host_qemu_is_asked_after_the_start_of_a_domain_that_listens_on_a_unix_socket_only() -> None:
    """A user of the host can open the socket before libvirt is ready. In a launcher pod, no domain is named."""
    async with watching(FakeConnection(IDLE), wanted="vm") as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.libvirt.questions == ["vm"]


async def test_on_a_host_query_never_reports_a_lower_bound_after_every_start() -> None:
    async with watching(FakeConnection(IDLE), wanted="vm", policy=QueryPolicy.NEVER) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.LOWER_BOUND, 1)


async def test_query_always_asks_after_every_start() -> None:
    async with watching(FakeConnection(IDLE), policy=QueryPolicy.ALWAYS) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_query_never_reports_a_lower_bound_after_a_start_with_a_tcp_listener_and_keeps_what_it_saw() -> None:
    async with watching(FakeConnection(IDLE, xml=TCP_XML), policy=QueryPolicy.NEVER) as scene:
        await scene.libvirt.viewer(tcp(40001))
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.LOWER_BOUND, 1)
        assert scene.accuracy is Accuracy.LOWER_BOUND


async def test_a_server_without_a_listener_is_never_observed() -> None:
    xml = "<domain><devices><graphics type='vnc'><listen type='none'/></graphics></devices></domain>"
    async with watching(FakeConnection(IDLE, xml=xml)) as scene:
        assert scene.seen == (Reason.WATCHING, 0)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.UNOBSERVABLE_LISTENER, 0)
        assert scene.accuracy is Accuracy.LOWER_BOUND
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert scene.seen == (Reason.WATCHING, 0)


async def test_libvirt_that_does_not_answer_about_the_domain_is_not_observed_after_7_3_seconds() -> None:
    """libvirtd holds the domain's lock: no event, no error, and its keepalive goes on."""
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        scene.libvirt.lock.clear()
        await scene.time.advance(7.29)
        assert scene.seen == (Reason.WATCHING, 0)
        await scene.time.advance(0.01)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        assert scene.state.observation.message == "libvirt has not answered a call about domain vm within 4.5 s"
        await scene.time.advance(100)
        assert scene.libvirt.probes == ["vm"]  # it is not repeated while it is awaited


async def test_libvirt_that_answers_again_is_observed_after_a_second_answer_which_follows_what_it_held_back() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        scene.libvirt.lock.clear()
        await scene.time.advance(60)
        scene.libvirt.lock.set()
        await scene.time.advance(0.49)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        await scene.libvirt.viewer()
        await scene.time.advance(0.01)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_a_probe_that_fails_is_not_observed_until_two_answers() -> None:
    async with watching(FakeConnection(IDLE), wanted="vm") as scene:
        scene.libvirt.probe_error = LibvirtError("libvirt has lost the monitor of the domain's QEMU")
        await scene.time.advance(3.0)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        scene.libvirt.probe_error = None
        await scene.time.advance(0.5)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        await scene.time.advance(0.5)
        assert scene.seen == (Reason.WATCHING, 0)


async def test_a_call_that_does_not_return_after_a_restart_of_the_domain_is_not_observed() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        scene.libvirt.lock.clear()
        await scene.libvirt.lifecycle(Change.STOPPED)
        await scene.time.advance(4.49)
        assert scene.seen == (Reason.WATCHING, 0)
        await scene.time.advance(0.01)
        assert scene.seen == (Reason.LIBVIRT_UNREACHABLE, 0)
        scene.libvirt.lock.set()
        scene.libvirt.listed = (IDLE,)
        await scene.time.advance(3.5)
        assert scene.seen == (Reason.WATCHING, 0)


async def test_a_name_that_is_not_defined_is_not_observed_and_the_message_names_those_that_are() -> None:
    async with watching(FakeConnection(RUNNING, Domain("other", None)), wanted="wm") as scene:
        assert scene.seen == (Reason.DOMAIN_NOT_DEFINED, 0)
        assert scene.state.observation.message == "libvirt has no domain wm; it has other, vm"
        scene.libvirt.listed = (Domain("wm", None),)
        await scene.libvirt.lifecycle(Change.DEFINED, domain="wm")
        assert scene.seen == (Reason.WATCHING, 0)


async def test_a_named_domain_that_was_seen_to_end_and_is_undefined_has_no_viewers() -> None:
    async with watching(FakeConnection(IDLE), wanted="vm") as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        scene.libvirt.listed = ()
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert scene.seen == (Reason.NO_DOMAIN, 0)


async def test_a_client_address_at_two_servers_of_the_domain_is_two_clients() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        one, two = (SocketAddress(Transport.TCP, "0.0.0.0", port) for port in (5900, 5901))  # noqa: S104
        seen = []
        for phase, local in [
            (Phase.CONNECT, one),
            (Phase.INITIALIZE, one),
            (Phase.CONNECT, two),
            (Phase.INITIALIZE, two),
            (Phase.DISCONNECT, two),
        ]:
            await scene.libvirt.send(GraphicsEvent("vm", phase, local, tcp(4000)))
            seen.append(scene.seen[1])
        assert seen == [0, 1, 1, 2, 1]
        assert scene.accuracy is Accuracy.EXACT


async def test_spice_clients_are_not_counted() -> None:
    xml = "<domain><devices><graphics type='vnc' port='5900'/><graphics type='spice' port='5901'/></devices></domain>"
    async with watching(FakeConnection(IDLE, xml=xml)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        for port in (5901, 5900):
            local, remote = SocketAddress(Transport.TCP, "127.0.0.1", port), tcp(40000 + port)
            await scene.libvirt.send(
                GraphicsEvent("vm", Phase.CONNECT, local, remote), GraphicsEvent("vm", Phase.INITIALIZE, local, remote)
            )
        assert [session.peer.port for session in scene.state.table.view().identified] == [45900]
        assert scene.state.stats.events_ignored == 2


async def test_a_description_that_cannot_be_read_means_that_every_client_counts_and_may_have_come_early() -> None:
    connection = FakeConnection(IDLE)
    connection.description = LibvirtError("the domain is busy")
    async with watching(connection) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_the_end_of_the_domain_ends_all_sessions_and_is_remembered() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        assert (scene.seen, scene.state.life) == ((Reason.WATCHING, 0), Life.UNSEEN)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        assert (scene.seen, scene.state.life) == ((Reason.WATCHING, 1), Life.RUNNING)
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert (scene.seen, scene.state.life) == ((Reason.WATCHING, 0), Life.ENDED)


async def test_a_domain_that_vanishes_with_its_end_leaves_no_domain() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        scene.libvirt.listed = ()
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert scene.seen == (Reason.NO_DOMAIN, 0)
        assert (scene.state.domain, scene.state.life) == ("", Life.ENDED)


async def test_viewers_that_come_before_libvirt_says_started_are_counted() -> None:
    """QEMU accepts viewers as soon as it runs; the event of its start comes a little later."""
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.viewer()
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.accuracy is Accuracy.EXACT


async def test_an_unnamed_domain_may_have_viewers_before_libvirt_has_announced_it() -> None:
    async with watching(FakeConnection()) as scene:
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.viewer()
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.libvirt.questions == []


async def test_the_target_of_a_migration_starts_before_it_is_defined_and_needs_no_question() -> None:
    async with watching(FakeConnection()) as scene:
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.lifecycle(Change.DEFINED, run=7)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.libvirt.questions == []


async def test_a_start_that_was_listed_already_does_not_cut_the_question_short() -> None:
    """Subscribed, then started, then listed: the event arrives although the listing has reported the start."""
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_an_end_and_a_start_behind_the_listing_make_all_known_without_the_answer() -> None:
    """Subscribed, then stopped and started, then listed: from the end on every event was seen."""
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.lifecycle(Change.STOPPED)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.WATCHING, 1)
        await scene.libvirt.answer()  # of the question from before
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_a_start_without_the_end_of_the_run_before_is_not_trusted() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        scene.libvirt.listed = (Domain("vm", 8),)
        await scene.libvirt.lifecycle(Change.STARTED, run=8)
        assert scene.seen == (Reason.RECONCILING, 0)
        await scene.libvirt.answer(UNIX, UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 2)


@pytest.mark.parametrize("held", ["lock", "reading"])
async def test_after_an_end_that_was_missed_nothing_is_observed_while_libvirt_is_asked_about_the_new_run(
    held: str,
) -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        scene.state.poll({SERVICE_SERIAL_CONSOLE: 5.0})
        await settle()
        assert services(scene) == [Reason.WATCHING, Reason.WATCHING]
        answered: asyncio.Event = getattr(scene.libvirt, held)
        answered.clear()
        scene.libvirt.listed = (Domain("vm", 8),)
        await scene.libvirt.lifecycle(Change.STARTED, run=8)
        assert scene.seen == (Reason.RECONCILING, 0)
        assert services(scene) == [Reason.RECONCILING, Reason.RECONCILING]
        answered.set()
        await scene.libvirt.answer(UNIX, UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 2)
        assert services(scene) == [Reason.WATCHING, Reason.WATCHING]


async def test_on_a_host_nothing_is_observed_while_the_description_of_a_domain_that_has_started_is_read() -> None:
    async with watching(FakeConnection(IDLE), wanted="vm") as scene:
        scene.libvirt.reading.clear()
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        assert scene.seen == (Reason.RECONCILING, 0)
        scene.libvirt.reading.set()
        await scene.libvirt.answer(UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 1)


async def test_a_server_that_only_qemu_shows_to_have_no_listener_is_never_observed() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.viewer()
        await scene.libvirt.refuse(UnobservableError("QEMU has a VNC server without a listener"))
        assert scene.seen == (Reason.UNOBSERVABLE_LISTENER, 0)
        assert scene.state.observation.message == "QEMU has a VNC server without a listener"
        await scene.time.advance(3600)
        assert len(scene.libvirt.questions) == 1
        await scene.libvirt.viewer()
        assert (scene.seen, scene.accuracy) == ((Reason.UNOBSERVABLE_LISTENER, 1), Accuracy.LOWER_BOUND)
        await scene.libvirt.lifecycle(Change.STOPPED)
        assert scene.seen == (Reason.WATCHING, 0)


async def test_a_named_domain_that_is_renamed_after_its_end_is_not_observed_since_it_may_run() -> None:
    async with watching(FakeConnection(IDLE), wanted="vm") as scene:
        scene.state.may_run_again = True
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.lifecycle(Change.STOPPED)
        scene.libvirt.listed = (Domain("renamed", None),)
        await scene.libvirt.lifecycle(Change.UNDEFINED)
        assert scene.seen == (Reason.DOMAIN_NOT_DEFINED, 0)
        assert scene.state.observation.message == "libvirt has no domain vm; it has renamed"


async def test_the_end_of_the_domain_makes_a_pending_answer_worthless() -> None:
    async with watching(FakeConnection(RUNNING)) as scene:
        await scene.libvirt.lifecycle(Change.STOPPED)
        await scene.libvirt.answer(UNIX, UNIX)
        await scene.time.advance(0.2)
        assert scene.seen == (Reason.WATCHING, 0)


async def test_with_several_domains_and_no_name_nothing_is_observed() -> None:
    async with watching(FakeConnection(RUNNING, Domain("other", None))) as scene:
        assert scene.seen == (Reason.AMBIGUOUS_DOMAIN, 0)
        assert scene.state.observation.message == "--domain must name one of other, vm"
        scene.libvirt.listed = (RUNNING,)
        await scene.libvirt.lifecycle(Change.UNDEFINED, domain="other")
        assert scene.seen == (Reason.RECONCILING, 0)


async def test_a_second_domain_makes_the_numbers_doubtful_but_keeps_them() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        scene.libvirt.listed = (RUNNING, Domain("other", None))
        await scene.libvirt.lifecycle(Change.DEFINED, domain="other")
        assert scene.seen == (Reason.AMBIGUOUS_DOMAIN, 1)


async def test_a_named_domain_is_watched_among_others_whose_viewers_do_not_count() -> None:
    async with watching(FakeConnection(IDLE, Domain("other", 3)), wanted="vm") as scene:
        await scene.libvirt.viewer(domain="other")
        await scene.libvirt.lifecycle(Change.STOPPED, domain="other")
        await scene.libvirt.viewer()
        assert scene.seen == (Reason.WATCHING, 1)
        assert scene.state.stats.events_ignored == 2


async def test_what_others_do_costs_a_named_domain_no_listing() -> None:
    async with watching(FakeConnection(Domain("other", 3)), wanted="vm") as scene:
        for _ in range(10):
            await scene.libvirt.viewer(domain="other")
        await scene.libvirt.lifecycle(Change.STOPPED, domain="other")
        assert (scene.seen, scene.libvirt.listings) == ((Reason.DOMAIN_NOT_DEFINED, 0), 1)


async def test_a_domain_that_takes_the_place_of_the_only_one_is_another_vm() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.lifecycle(Change.STARTED, run=7)
        await scene.libvirt.viewer()
        scene.libvirt.listed = (Domain("other", 8),)
        await scene.libvirt.lifecycle(Change.STARTED, run=8, domain="other")
        assert scene.seen == (Reason.RECONCILING, 0)
        assert scene.libvirt.questions == ["other"]


async def test_what_cannot_be_read_is_counted_and_ignored() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        await scene.libvirt.send(UnreadableEvent())
        assert (scene.state.stats.events_received, scene.state.stats.events_ignored) == (1, 1)


async def test_events_are_handled_in_order_though_a_description_must_be_read_in_between() -> None:
    async with watching(FakeConnection(IDLE)) as scene:
        viewer = [GraphicsEvent("vm", phase, UNIX, UNIX) for phase in (Phase.CONNECT, Phase.INITIALIZE)]
        await scene.libvirt.send(
            LifecycleEvent("vm", Change.STARTED, 7), *viewer, LifecycleEvent("vm", Change.STOPPED, -1), *viewer[:1]
        )
        assert scene.seen == (Reason.WATCHING, 0)
        assert scene.state.table.view().pending == 1


async def test_a_libvirt_that_fails_to_list_its_domains_is_lost() -> None:
    class Broken(FakeConnection):
        async def domains(self) -> tuple[Domain, ...]:
            raise LibvirtError("client socket is closed")

    time = VirtualTime()
    with pytest.raises(LibvirtError, match="client socket is closed"):
        await DomainWatch(Broken(), State(time.clock), None, time.sleep, policy=QueryPolicy.AUTO).run()
