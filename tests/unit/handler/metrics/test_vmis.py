"""The metrics that concern a VMI."""

from handler_service.model import Assignment, VmiId
from handler_service.reports.entry import ServiceState
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import OTHER_VMI, UNREACHABLE, VMI, WATCHING
from tests.unit.handler.metrics.scene import Scene

SESSIONS = "kubevirt_vmi_service_sessions"
OBSERVED = "kubevirt_vmi_service_observed"
SINCE = "kubevirt_vmi_service_sessions_since_timestamp_seconds"
ITS = "name=vm,namespace=default,node=n1"
VNC = f"{ITS},service=vnc"


def test_a_vmi_that_is_observed() -> None:
    """How many, that it is sure, and since when."""
    scene = Scene()
    scene.add()
    scene.report(sessions=2, since=1_700_000_000.5)
    assert scene.series(SESSIONS) == {VNC: 2}
    assert scene.series(OBSERVED) == {VNC: 1}
    assert scene.series(SINCE) == {VNC: 1_700_000_000.5}


def test_unknown_is_not_zero() -> None:
    """Neither an agent without a report nor one that observes nothing leads to a zero."""
    scene = Scene()
    scene.add()
    assert scene.series(SESSIONS) == {}
    assert scene.series(OBSERVED) == {VNC: 0}
    scene.report(sessions=0, since=1.0, observed=UNREACHABLE)
    assert scene.series(SESSIONS) == scene.series(SINCE) == {}


def test_the_last_number_known_stays_while_it_is_unknown() -> None:
    """It is what is published, too."""
    scene = Scene()
    scene.add()
    scene.report(sessions=2, observed=UNREACHABLE)
    assert scene.series(SESSIONS) == {VNC: 2}
    assert scene.series(OBSERVED) == {VNC: 0}


def test_a_proven_zero_is_shown() -> None:
    """No viewer is connected, and that is observed."""
    scene = Scene()
    scene.add()
    scene.report(sessions=0)
    assert scene.series(SESSIONS) == {VNC: 0}


def test_other_services_have_the_same_series_where_they_are_watched() -> None:
    """The labels are the words of --poll. A service that is not watched has no series, least of all a zero."""
    scene = Scene()
    scene.add()
    usb: dict[int, ServiceState] = {types.SERVICE_USB_REDIRECTION: ServiceState(2, since=1.0, observation=WATCHING)}
    scene.report(sessions=1, others=usb)
    assert scene.series(SESSIONS) == {VNC: 1, f"{ITS},service=usb-redirection": 2}
    assert scene.series(OBSERVED) == {VNC: 1, f"{ITS},service=usb-redirection": 1}
    failed: dict[int, ServiceState] = {
        types.SERVICE_USB_REDIRECTION: ServiceState(0, observation=UNREACHABLE),
        types.SERVICE_SPICE: ServiceState(0, observation=WATCHING),
    }
    scene.report(sessions=1, others=failed)
    assert scene.series(SESSIONS) == {VNC: 1, f"{ITS},service=spice": 0}
    assert scene.series(OBSERVED) == {VNC: 1, f"{ITS},service=usb-redirection": 0, f"{ITS},service=spice": 1}
    scene.report(sessions=1)
    assert scene.series(SESSIONS) == {VNC: 1}
    assert scene.series(OBSERVED) == {VNC: 1}


def test_polls_are_counted_where_an_agent_polls() -> None:
    """By default none does, and two series for each VMI would say so."""
    scene = Scene()
    scene.add()
    scene.report()
    scene.manager.reports.entry("vm").counters = {"polls": 0, "poll_failures": 0}
    assert scene.series("vmi_service_status_agent_polls_total") == {}
    scene.manager.reports.entry("vm").counters = {"polls": 3, "poll_failures": 1}
    assert scene.series("vmi_service_status_agent_polls_total") == {ITS: 3}
    assert scene.series("vmi_service_status_agent_poll_failures_total") == {ITS: 1}


def test_series_end_with_the_vmi() -> None:
    """The object is gone, then its pod's socket."""
    scene = Scene()
    made = scene.add()
    scene.report(sessions=1)
    scene.manager.unassign(VMI)
    assert scene.series(SESSIONS) == scene.series(OBSERVED) == {}
    scene.manager.remove(made.id)
    assert 'name="vm"' not in scene.text()


def test_a_vmi_that_migrates_to_here_is_still_the_others() -> None:
    """One handler shows the VMI at any time; the counters of its new agent are exported already."""
    scene = Scene()
    scene.add()
    scene.manager.assign(VMI, Assignment(owned=False))
    scene.report(sessions=1)
    scene.manager.reports.entry("vm").counters = {"libvirt_connects": 1}
    assert scene.series(SESSIONS) == {}
    assert scene.series("vmi_service_status_agent_libvirt_connects_total") == {ITS: 1}


def test_what_agents_tell_of_themselves_is_told_by_vmi() -> None:
    """An agent that lies does so about its own VM."""
    scene = Scene()
    for vmi, number in ((VMI, 3), (OTHER_VMI, 2**64 - 1)):
        scene.add(vmi)
        scene.manager.reports.entry(vmi.name).counters = {
            "libvirt_connects": number,
            "events_received": 10,
            "events_ignored": 1,
            "queries": 2,
            "table_overflows": 5,
        }
    assert scene.series("vmi_service_status_agent_libvirt_connects_total")[ITS] == 3
    assert scene.series("vmi_service_status_agent_events_total")[ITS] == 10
    assert scene.series("vmi_service_status_agent_events_ignored_total")[ITS] == 1
    assert scene.series("vmi_service_status_agent_queries_total")[ITS] == 2


def test_how_many_series_a_vmi_costs() -> None:
    """Seven, and 1750 at 250 VMIs."""

    def lines(vmis: int) -> int:
        scene = Scene()
        for number in range(vmis):
            vmi = VmiId("default", f"vm-{number}", "")
            scene.add(vmi)
            scene.report(vmi, sessions=1, since=1.0)
            scene.manager.reports.entry(vmi.name).counters = {"libvirt_connects": 1}
        return sum(not line.startswith("#") for line in scene.text().splitlines())

    assert lines(2) - lines(1) == 7
