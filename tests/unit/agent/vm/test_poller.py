"""What is polled, when, and what the agent reports of it: transcripts in virtual time through the domain's watch."""

import asyncio
import itertools

import pytest

from launcher_agent.errors import QueryError
from launcher_agent.events import Change, DevicesChanged
from launcher_agent.sessions.report import ServiceReport
from launcher_agent.vm.query_policy import QueryPolicy
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import SERVICE_SERIAL_CONSOLE, SERVICE_USB_REDIRECTION, Service
from tests.unit.agent.fakes import FakeConnection, settle
from tests.unit.agent.vm.qemu_ports import CONSOLE, KUBEVIRT, SLOT, Ports, domain
from tests.unit.agent.vm.test_domain_watch import IDLE, RUNNING, Scene, watching

USB, SERIAL = SERVICE_USB_REDIRECTION, SERVICE_SERIAL_CONSOLE
BOTH = {USB: 5.0, SERIAL: 5.0}
#: Seconds after which four answers have proved that a place is free.
CONFIRMED = 0.22


def connection(xml: str = KUBEVIRT) -> FakeConnection:
    fake = FakeConnection(RUNNING, xml=xml)
    fake.qemu = Ports()
    return fake


def ports(scene: Scene) -> Ports:
    assert isinstance(scene.libvirt.qemu, Ports)
    return scene.libvirt.qemu


async def ready(scene: Scene, polling: dict[Service, float] | None = None) -> None:
    """The viewers are counted, and the handler asks for the services."""
    await scene.libvirt.answer()
    await scene.time.advance(0.2)
    await poll(scene, BOTH if polling is None else polling)


async def poll(scene: Scene, polling: dict[Service, float]) -> None:
    """The handler asks for these services, and the agent has the answers that prove a place free."""
    scene.state.poll(polling)
    await scene.time.advance(CONFIRMED)


def report(scene: Scene, service: Service) -> ServiceReport:
    return next(one for one in scene.state.report().services if one.service == service)


def seen(scene: Scene, service: Service) -> tuple[Reason, int, int]:
    one = report(scene, service)
    return one.observation.reason, one.view.sessions, one.view.pending


async def test_a_service_that_the_handler_does_not_ask_for_is_not_watched_and_qemu_not_asked() -> None:
    async with watching(connection()) as scene:
        await ready(scene, {})
        await scene.time.advance(3600)
        assert [seen(scene, service) for service in BOTH] == [(Reason.NOT_WATCHED, 0, 0)] * 2
        assert report(scene, USB).observation.message == "the handler does not ask the agent to poll it"
        assert scene.libvirt.asked == []


async def test_a_domain_without_a_device_is_known_to_have_no_session_and_is_not_asked() -> None:
    async with watching(connection(domain())) as scene:
        await ready(scene)
        await scene.time.advance(3600)
        assert [seen(scene, service) for service in BOTH] == [(Reason.WATCHING, 0, 0)] * 2
        assert scene.libvirt.asked == []


async def test_qemu_is_not_asked_for_a_console_that_the_handler_does_not_want() -> None:
    async with watching(connection(domain(CONSOLE))) as scene:
        await ready(scene, {USB: 5.0})
        await scene.time.advance(60)
        assert scene.libvirt.asked == []
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)
        assert seen(scene, SERIAL) == (Reason.NOT_WATCHED, 0, 0)


async def test_query_never_forbids_to_poll() -> None:
    async with watching(connection(), policy=QueryPolicy.NEVER) as scene:
        scene.state.poll(BOTH)
        await scene.time.advance(60)
        assert [seen(scene, service)[0] for service in BOTH] == [Reason.NOT_WATCHED] * 2
        assert report(scene, SERIAL).observation.message == "--query=never forbids to ask QEMU"
        assert scene.libvirt.asked == []


async def test_devices_and_consoles_are_counted_within_an_interval() -> None:
    async with watching(connection()) as scene:
        await ready(scene)
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)
        before = scene.state.stats.polls
        ports(scene).attached = {"redir0", "redir2"}
        ports(scene).connected = {"redir1", "serial0"}
        await scene.time.advance(4.9)
        assert (seen(scene, USB), seen(scene, SERIAL)) == ((Reason.WATCHING, 0, 0), (Reason.WATCHING, 0, 0))
        await scene.time.advance(0.1)
        assert (seen(scene, USB), seen(scene, SERIAL)) == ((Reason.WATCHING, 2, 1), (Reason.WATCHING, 1, 0))
        assert report(scene, USB).sampled_every == 5.0
        assert scene.state.stats.polls == before + 1


async def test_a_slot_without_a_client_is_not_asked_for_its_device() -> None:
    async with watching(connection()) as scene:
        ports(scene).connected = {"redir1"}
        await ready(scene)
        assert [command for command in scene.libvirt.asked if "redir0" in command] == []
        assert "redir1" in scene.libvirt.asked[1]


async def test_a_fall_is_reported_after_four_answers_in_a_fifth_of_a_second() -> None:
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene, {SERIAL: 5.0})
        before = scene.state.stats.polls
        ports(scene).connected = set()
        await scene.time.advance(5.2 - CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 1, 0)
        await scene.time.advance(0.02)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)
        assert scene.state.stats.polls == before + 4


async def test_a_takeover_that_a_poll_falls_into_does_not_show() -> None:
    """Also one that leaves the console free for a fifth of a second."""
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene)
        ports(scene).connected = set()
        await scene.time.advance(5.2)
        ports(scene).connected = {"serial0"}
        await scene.time.advance(4.0)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 1, 0)
        assert report(scene, SERIAL).view.ended_total == 0


async def test_three_takeovers_that_three_answers_in_a_row_fall_into_do_not_show() -> None:
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene, {SERIAL: 5.0})
        before = scene.state.stats.polls
        answers = itertools.cycle([False, False, False, True])
        answer = ports(scene)

        def take_over(command: str) -> str:
            answer.connected = {"serial0"} if next(answers) else set()
            return answer(command)

        scene.libvirt.qemu = take_over
        await scene.time.advance(60)
        assert scene.state.stats.polls - before >= 40, "each poll has fallen into three takeovers"
        assert report(scene, SERIAL).view.ended_total == 0


@pytest.mark.parametrize("service", [USB, SERIAL])
async def test_no_zero_is_observed_before_the_first_answers_are_confirmed(service: Service) -> None:
    """A new agent, or a new connection: the first answer may fall into a takeover, and a number is shown already."""
    async with watching(connection()) as scene:
        await ready(scene, {})
        scene.state.poll({service: 60.0})
        await scene.time.advance(0.2)
        assert seen(scene, service)[0] is Reason.RECONCILING
        ports(scene).connected = {"serial0"}
        ports(scene).attached = {"redir0", "redir1", "redir2", "redir3"}
        await scene.time.advance(0.02)
        assert seen(scene, service)[:2] == (Reason.WATCHING, 4 if service == USB else 1)


async def test_a_client_that_the_first_answer_names_is_observed_at_once() -> None:
    async with watching(connection()) as scene:
        await ready(scene, {})
        ports(scene).connected = {"serial0"}
        scene.state.poll({SERIAL: 60.0})
        await settle()
        assert seen(scene, SERIAL) == (Reason.WATCHING, 1, 0)


async def test_a_poll_that_does_not_wait_confirms_nothing() -> None:
    """A device is plugged each time that an answer has fallen into a takeover: four answers, within no time."""
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene)
        ports(scene).connected = set()
        await scene.time.advance(5.0)
        for _ in range(4):
            await scene.libvirt.send(DevicesChanged("vm"))
        assert seen(scene, SERIAL) == (Reason.WATCHING, 1, 0)
        await scene.time.advance(CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)


async def test_a_device_that_is_plugged_does_not_make_the_others_unobserved() -> None:
    async with watching(connection()) as scene:
        await ready(scene)
        before = scene.state.stats.polls
        await scene.libvirt.send(DevicesChanged("vm"))
        assert scene.state.stats.polls == before + 1
        assert [seen(scene, service) for service in BOTH] == [(Reason.WATCHING, 0, 0)] * 2


async def test_after_a_failure_no_single_answer_proves_a_zero() -> None:
    """A client may have come meanwhile, and the answer may fall into a takeover."""
    async with watching(connection()) as scene:
        await ready(scene, {SERIAL: 5.0})
        ports(scene).problem = QueryError("refused")
        await scene.time.advance(5)
        ports(scene).problem = None
        await scene.time.advance(5)
        assert seen(scene, SERIAL)[0] is Reason.QUERY_FAILED
        ports(scene).connected = {"serial0"}
        await scene.time.advance(CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 1, 0)


async def test_a_service_that_is_polled_again_is_not_observed_by_one_answer() -> None:
    async with watching(connection()) as scene:
        await ready(scene)
        await poll(scene, {USB: 5.0})
        scene.state.poll(BOTH)
        await settle()
        assert (seen(scene, USB), seen(scene, SERIAL)[0]) == ((Reason.WATCHING, 0, 0), Reason.RECONCILING)
        await scene.time.advance(CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)


async def test_what_was_in_use_before_a_service_was_off_is_not_observed_by_one_answer() -> None:
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene)
        scene.state.poll({USB: 5.0})
        await scene.time.advance(3600)
        ports(scene).connected = set()
        scene.state.poll(BOTH)
        await settle()
        assert seen(scene, SERIAL) == (Reason.RECONCILING, 1, 0)
        assert report(scene, SERIAL).view.since is None
        await scene.time.advance(CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)


async def test_the_number_of_the_connection_before_stays_until_a_zero_is_proved() -> None:
    async with watching(connection()) as scene:
        await ready(scene, {})
        scene.state.services[SERIAL].count(1, 0, scene.time.clock())  # as that connection's poller left it
        scene.state.poll({SERIAL: 60.0})
        await settle()
        assert seen(scene, SERIAL) == (Reason.RECONCILING, 1, 0)
        view = report(scene, SERIAL).view
        assert (view.since, view.ended_total) == (None, 0)
        await scene.time.advance(CONFIRMED)
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)


async def test_clients_that_come_and_go_all_the_time_are_not_polled_all_the_time() -> None:
    async with watching(connection()) as scene:
        await ready(scene)
        flapping = iter([{"redir0"}, {"redir1"}] * 1000)
        answer = ports(scene)

        def flap(command: str) -> str:
            if "query-chardev" in command:
                answer.attached = next(flapping)
            return answer(command)

        scene.libvirt.qemu = flap
        before = scene.state.stats.polls
        await scene.time.advance(60)
        assert scene.state.stats.polls - before <= 4 * 60 / 5


async def test_the_end_of_the_domain_ends_all_sessions_without_asking() -> None:
    async with watching(connection(), wanted="vm") as scene:
        ports(scene).attached, ports(scene).connected = {"redir0"}, {"serial0"}
        await ready(scene)
        assert seen(scene, USB) == (Reason.WATCHING, 1, 0)
        scene.libvirt.listed = (IDLE,)
        asked = len(scene.libvirt.asked)
        await scene.libvirt.lifecycle(Change.STOPPED, run=7)
        assert [seen(scene, service) for service in BOTH] == [(Reason.WATCHING, 0, 0)] * 2
        await scene.time.advance(60)
        assert len(scene.libvirt.asked) == asked
        assert scene.libvirt.ended_asking > 0


async def test_an_answer_about_a_run_that_is_over_is_dropped() -> None:
    async with watching(connection(), wanted="vm") as scene:
        await ready(scene)
        ports(scene).connected = {"serial0"}
        scene.libvirt.monitor.clear()
        await scene.time.advance(5)
        scene.libvirt.listed = (IDLE,)
        await scene.libvirt.lifecycle(Change.STOPPED, run=7)
        scene.libvirt.monitor.set()
        await settle()
        assert seen(scene, SERIAL) == (Reason.WATCHING, 0, 0)


async def test_a_slot_that_is_plugged_is_polled_and_one_that_is_unplugged_has_no_session() -> None:
    async with watching(connection(domain(SLOT.format(0)))) as scene:
        ports(scene).attached = {"redir0", "redir1"}
        await ready(scene)
        assert scene.libvirt.watches_devices
        assert seen(scene, USB) == (Reason.WATCHING, 1, 0)
        scene.libvirt.description = domain(SLOT.format(0), SLOT.format(1))
        await scene.libvirt.send(DevicesChanged("another"), DevicesChanged("vm"))
        assert seen(scene, USB) == (Reason.WATCHING, 2, 0)
        scene.libvirt.description = domain(CONSOLE)
        await scene.libvirt.send(DevicesChanged("vm"))
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)


async def test_without_an_answer_the_last_number_stays_and_is_not_observed() -> None:
    async with watching(connection()) as scene:
        ports(scene).attached = {"redir0"}
        await ready(scene)
        ports(scene).problem = QueryError("QEMU has not answered within 5 s")
        await scene.time.advance(5)
        assert [seen(scene, service)[:2] for service in BOTH] == [(Reason.QUERY_FAILED, 1), (Reason.QUERY_FAILED, 0)]
        assert report(scene, USB).observation.message == "QEMU has not answered within 5 s"
        assert report(scene, USB).view.since is None
        assert scene.seen[0] is Reason.WATCHING, "VNC is not concerned"
        ports(scene).problem, ports(scene).attached = None, set()
        await scene.time.advance(5 + CONFIRMED)
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)
        assert scene.state.stats.poll_failures == 1


async def test_after_a_failure_a_long_interval_is_not_waited_for() -> None:
    async with watching(connection()) as scene:
        ports(scene).problem = QueryError("refused")
        await ready(scene, {USB: 60.0})
        assert seen(scene, USB)[0] is Reason.QUERY_FAILED
        ports(scene).problem = None
        await scene.time.advance(5 + CONFIRMED)
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)


async def test_one_question_is_in_flight_at_a_time() -> None:
    async with watching(connection()) as scene:
        scene.libvirt.monitor.clear()
        await ready(scene)
        await scene.libvirt.send(DevicesChanged("vm"))
        await scene.time.advance(60)
        assert len(scene.libvirt.asked) == 1
        assert seen(scene, USB)[0] is Reason.RECONCILING
        scene.libvirt.monitor.set()
        await scene.time.advance(CONFIRMED)
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)


async def test_the_handler_turns_polling_on_changes_it_and_turns_it_off() -> None:
    async with watching(connection()) as scene:
        await ready(scene, {})
        await poll(scene, {SERIAL: 60.0})
        assert (seen(scene, USB)[0], seen(scene, SERIAL)[0]) == (Reason.NOT_WATCHED, Reason.WATCHING)
        scene.state.poll({SERIAL: 1.0})
        await settle()
        asked = len(scene.libvirt.asked)
        await scene.time.advance(10)
        assert len(scene.libvirt.asked) - asked == 10
        ended = scene.libvirt.ended_asking
        scene.state.poll({})
        await settle()
        assert seen(scene, SERIAL)[0] is Reason.NOT_WATCHED
        assert report(scene, SERIAL).sampled_every is None
        assert scene.libvirt.ended_asking > ended
        asked = len(scene.libvirt.asked)
        await scene.time.advance(3600)
        assert len(scene.libvirt.asked) == asked


async def test_a_console_that_qemu_does_not_report_is_not_watched_and_not_asked_for() -> None:
    async with watching(connection(domain("<serial type='pty'><alias name='serial0'/></serial>"))) as scene:
        await ready(scene)
        await scene.time.advance(60)
        assert seen(scene, SERIAL) == (Reason.NOT_WATCHED, 0, 0)
        assert "of type pty" in report(scene, SERIAL).observation.message
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)
        assert scene.libvirt.asked == []


async def test_a_lost_libvirt_makes_polled_services_unobserved() -> None:
    fake = connection()
    async with watching(fake) as scene:
        await ready(scene)
        scene.state.observe(Reason.LIBVIRT_UNREACHABLE, "no answer")
        assert seen(scene, USB)[0] is Reason.LIBVIRT_UNREACHABLE
        scene.state.observe(Reason.WATCHING)
        assert seen(scene, USB)[0] is Reason.WATCHING


async def test_a_description_that_cannot_be_read_is_a_failed_poll() -> None:
    fake = connection()
    async with watching(fake) as scene:
        fake.description = "<domain>"
        await ready(scene)
        assert seen(scene, USB)[0] is Reason.QUERY_FAILED
        fake.description = KUBEVIRT
        await scene.time.advance(5 + CONFIRMED)
        assert seen(scene, USB) == (Reason.WATCHING, 0, 0)


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_new_connection_observes_nothing_before_the_first_answer(stopped: bool) -> None:
    """Where the domain does not run, nothing has to be asked."""
    fake = connection()
    async with watching(fake, wanted="vm") as scene:
        await ready(scene)
    again = connection()
    again.listed = (IDLE,) if stopped else (RUNNING,)
    again.monitor.clear()
    scene = Scene(again, "vm", policy=QueryPolicy.AUTO)
    scene.state.poll(BOTH)
    await settle()
    scene.state.observe(Reason.WATCHING)
    assert seen(scene, USB)[0] is (Reason.WATCHING if stopped else Reason.RECONCILING)
    scene.task.cancel()
    await asyncio.wait([scene.task])


async def test_polling_that_is_turned_off_while_a_question_fails_ends_the_polls_and_nothing_else() -> None:
    async with watching(connection()) as scene:
        await ready(scene)
        scene.libvirt.monitor.clear()
        await scene.time.advance(5)
        scene.state.poll({})
        await settle()
        ports(scene).problem = QueryError("QEMU has not answered within 5 s")
        scene.libvirt.monitor.set()
        await settle()
        assert not scene.task.done()
        assert seen(scene, USB)[0] is Reason.NOT_WATCHED
        scene.state.poll(BOTH)
        ports(scene).problem = None
        await scene.time.advance(5)
        assert seen(scene, USB)[0] is Reason.WATCHING


async def test_an_answer_proves_nothing_of_a_service_that_is_asked_for_since_the_question() -> None:
    async with watching(connection()) as scene:
        ports(scene).connected = {"serial0"}
        await ready(scene, {USB: 5.0})
        scene.libvirt.monitor.clear()
        await scene.time.advance(5)
        scene.state.poll(BOTH)
        await settle()
        answer = ports(scene)

        def hang(command: str) -> str:  # the questions after the one in flight are not answered
            scene.libvirt.monitor.clear()
            return answer(command)

        scene.libvirt.qemu = hang
        scene.libvirt.monitor.set()
        await settle()
        assert seen(scene, SERIAL) == (Reason.RECONCILING, 0, 0)


async def test_a_device_that_is_plugged_while_the_description_is_read_is_polled() -> None:
    fake = connection(domain(SLOT.format(0)))
    async with watching(fake) as scene:
        await ready(scene)
        ports(scene).attached = {"redir1"}
        fake.reading.clear()
        await fake.send(DevicesChanged("vm"))  # of another device: the description that is read lacks this one
        fake.description = domain(SLOT.format(0), SLOT.format(1))
        await fake.send(DevicesChanged("vm"))
        fake.reading.set()
        await settle()
        assert seen(scene, USB) == (Reason.WATCHING, 1, 0)


async def test_also_while_the_domain_does_not_run_it_is_said_that_the_service_is_polled() -> None:
    fake = connection()
    fake.listed = (IDLE,)
    async with watching(fake, wanted="vm") as scene:
        scene.state.poll({SERIAL: 60.0})
        await settle()
        assert seen(scene, SERIAL)[0] is Reason.WATCHING
        assert report(scene, SERIAL).sampled_every == 60.0
