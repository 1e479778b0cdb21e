"""What follows for a service other than VNC from all endpoints' reports: never a zero that no agent vouches for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.model import DesiredStatus, Reason, ServiceStatus, Unserved
from handler_service.reports import summary
from handler_service.reports.entry import Entry, EntryState, Observed, ServiceState
from handler_service.reports.store import ReportStore
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import VMI, WATCHING, endpoint, vnc

USB, CONSOLE, SPICE = types.SERVICE_USB_REDIRECTION, types.SERVICE_SERIAL_CONSOLE, types.SERVICE_SPICE
POLLING: dict[int, float] = {USB: 5.0}
FAILED = Observed(False, Reason.QUERY_FAILED)


class Store:
    """The reports of the endpoints of one VMI, whose USB redirections are polled."""

    def __init__(self, *endpoints: str, polling: dict[int, float] | None = None) -> None:
        self.reports = ReportStore(15.0, lambda _: None, POLLING if polling is None else polling)
        for one in endpoints:
            self.reports.add(endpoint(one), 0.0)
            self.reports.opened(one, "run-1", "v9", 0.0)

    def report(self, id_: str, services: dict[int, ServiceState], observation: Observed = WATCHING) -> None:
        self.reports.replace(id_, self.reports.entry(id_).accepted + 1, observation, services, 0.0)

    @property
    def desired(self) -> DesiredStatus:
        desired = self.reports.desired_status(VMI)
        assert desired is not None
        return desired

    @property
    def usb(self) -> ServiceStatus:
        return self.desired.service(USB)


def state(sessions: int, observation: Observed | None = WATCHING, **fields: float) -> ServiceState:
    return ServiceState(sessions, accuracy=types.ACCURACY_EXACT, observation=observation, **fields)  # type: ignore[arg-type]


def test_numbers_of_all_endpoints_are_added() -> None:
    """A VM that migrates within the node has two for a moment."""
    store = Store("a", "b")
    store.report("a", vnc(1) | {USB: state(1, sampled_every=5.0)})
    store.report("b", vnc(0) | {USB: state(2, sampled_every=7.0)})
    expected = ServiceStatus(USB, 3, observed=True, reason=Reason.WATCHING, sampled_every=7.0)
    assert store.usb == expected
    assert store.desired.sessions == 1


def test_an_agent_of_the_first_release_watches_nothing_but_vnc() -> None:
    """It is not a zero, and the reader sees why. Without polling there is nothing to say."""
    store = Store("a")
    store.report("a", vnc(1))
    message = "the VM's agent is of an older version, which cannot report it"
    assert store.usb == ServiceStatus(USB, 0, observed=False, reason=Reason.NOT_WATCHED, message=message)
    assert [one.service for one in store.desired.services] == [USB]
    off = Store("a", polling={})
    off.report("a", vnc(1))
    assert off.desired.services == ()


def test_what_the_handler_does_not_ask_for_is_not_published() -> None:
    """An agent that reports it all the same affects nothing: polling is the admin's decision."""
    store = Store("a")
    store.report("a", vnc(1) | {CONSOLE: state(1), SPICE: state(2)})
    assert [one.service for one in store.desired.services] == [USB, SPICE]
    assert store.desired.service(CONSOLE) == ServiceStatus(CONSOLE, 0, observed=False, reason=Reason.NOT_WATCHED)


def test_an_observation_of_a_service_is_its_own() -> None:
    """A poll that failed says nothing of VNC; a VNC server that is not observable says nothing of USB."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(1, FAILED)})
    assert (store.desired.observed, store.usb.observed, store.usb.reason) == (True, False, Reason.QUERY_FAILED)
    store.report("a", vnc(1) | {USB: state(1)}, Observed(False, Reason.UNOBSERVABLE_LISTENER))
    assert (store.desired.observed, store.usb.observed) == (False, True)


def test_without_an_observation_of_its_own_that_of_the_report_holds() -> None:
    """As the contract says."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(1, None)}, Observed(False, Reason.LIBVIRT_UNREACHABLE))
    assert (store.usb.observed, store.usb.reason) == (False, Reason.LIBVIRT_UNREACHABLE)


def test_an_observation_of_vnc_alone_is_possible_too() -> None:
    """The contract admits it for each service."""
    store = Store("a")
    store.report("a", {types.SERVICE_VNC: state(1, FAILED)})
    assert (store.desired.observed, store.desired.reason) == (False, Reason.QUERY_FAILED)


def test_a_lower_bound_is_not_observed() -> None:
    """It may be too low."""
    store = Store("a")
    low = ServiceState(1, accuracy=types.ACCURACY_LOWER_BOUND, observation=WATCHING)
    store.report("a", vnc(1) | {SPICE: low})
    status = store.desired.service(SPICE)
    assert (status.sessions, status.observed, status.reason) == (1, False, Reason.LOWER_BOUND)


def test_a_silent_agent_observes_no_service() -> None:
    """The last number is kept."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(2)})
    store.reports.expire(15.0)
    assert (store.usb.sessions, store.usb.observed, store.usb.reason) == (2, False, Reason.AGENT_SILENT)


def test_a_domain_that_has_ended_has_no_sessions_of_any_service() -> None:
    """And it is known to have none."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(2), SPICE: state(0, since=7.0)})
    store.reports.goodbye("a", True, 1.0)
    assert (store.usb.sessions, store.usb.observed, store.usb.reason) == (0, True, Reason.NO_DOMAIN)
    assert (store.desired.service(SPICE).observed, store.desired.service(SPICE).since) == (True, 7.0)


def test_a_pod_whose_agent_is_older_makes_the_sum_unknown() -> None:
    """Its VM may have a redirected device."""
    store = Store("new", "old")
    store.report("new", vnc(1) | {USB: state(1)})
    store.report("old", vnc(0))
    assert (store.usb.sessions, store.usb.observed, store.usb.reason) == (1, False, Reason.NOT_WATCHED)
    store.reports.goodbye("old", True, 1.0)
    assert (store.usb.sessions, store.usb.observed) == (1, True)


def test_a_vm_that_has_ended_for_good_has_no_sessions_of_what_is_asked_for() -> None:
    """The services that are not asked for are not mentioned."""
    finished = summary.finished(POLLING)
    assert [(one.service, one.sessions, one.observed, one.reason) for one in finished.services] == [
        (USB, 0, True, Reason.FINISHED),
        (SPICE, 0, True, Reason.FINISHED),
    ]


def test_a_pod_that_is_not_served_withholds_each_service() -> None:
    """It may be the one that runs the VM. What is not watched stays so."""
    store = Store("a", polling={USB: 5.0, CONSOLE: 5.0})
    store.report("a", vnc(0) | {USB: state(1), CONSOLE: state(0, Observed(False, Reason.NOT_WATCHED, "a pty"))})
    withheld = summary.withheld(store.desired, Unserved(Reason.SOCKET_REFUSED, "a link"))
    assert [(one.service, one.sessions, one.observed, one.reason) for one in withheld.services] == [
        (USB, 1, False, Reason.SOCKET_REFUSED),
        (CONSOLE, 0, False, Reason.NOT_WATCHED),
    ]


def test_a_pod_that_is_not_served_withholds_a_service_also_where_vnc_is_not_observed() -> None:
    """VNC keeps its own reason then."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(0)}, Observed(False, Reason.UNOBSERVABLE_LISTENER))
    withheld = summary.withheld(store.desired, Unserved(Reason.SOCKET_REFUSED))
    assert (withheld.observed, withheld.reason) == (False, Reason.UNOBSERVABLE_LISTENER)
    assert (withheld.service(USB).observed, withheld.service(USB).reason) == (False, Reason.SOCKET_REFUSED)
    many = summary.withheld(store.desired, Unserved(Reason.TOO_MANY_PODS))
    assert (many.reason, many.service(USB).reason) == (Reason.TOO_MANY_PODS, Reason.TOO_MANY_PODS)


def test_what_is_not_watched_is_not_observed_whatever_an_agent_says() -> None:
    """A hostile agent sends both, and would lower the number."""
    store = Store("a")
    store.report("a", vnc(1) | {USB: state(0, Observed(True, Reason.NOT_WATCHED))})
    assert not store.usb.observed


# --- any endpoints ---

STATES = st.none() | st.builds(
    ServiceState,
    sessions=st.integers(0, 65_535),
    accuracy=st.sampled_from([types.ACCURACY_EXACT, types.ACCURACY_UPPER_BOUND, types.ACCURACY_LOWER_BOUND]),
    observation=st.sampled_from([None, WATCHING, FAILED, Observed(False, Reason.NOT_WATCHED)]),
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    entry = Entry(endpoint(str(draw(st.integers(0, 1 << 30)))), 15.0)
    entry.state = draw(st.sampled_from(EntryState))
    if entry.state is EntryState.WAITING:
        return entry
    entry.has_reported = True
    entry.observation = draw(st.sampled_from([WATCHING, FAILED]))
    entry.domain_ended = draw(st.booleans())
    found = draw(STATES)
    if found is not None:
        entry.services[USB] = found
    return entry


@given(st.lists(entries(), min_size=1, max_size=4))
def test_a_number_is_observed_only_if_each_endpoint_vouches_for_its_part(found: list[Entry]) -> None:
    """A wrong 0 is worse than a wrong 1."""
    status = summary.desired_status(found, POLLING).service(USB)
    numbers = [entry.services[USB].sessions for entry in found if USB in entry.services]
    assert status.sessions == min(sum(numbers), 65_535)
    if not status.observed:
        return
    assert numbers
    for entry in found:
        if entry.state is EntryState.GOODBYE:
            assert entry.domain_ended
            continue
        assert entry.state in (EntryState.REPORTING, EntryState.DISCONNECTED)
        state_ = entry.services[USB]
        assert (state_.observation or entry.observation).observed
        assert state_.accuracy != types.ACCURACY_LOWER_BOUND


@pytest.mark.parametrize("polling", [{}, {USB: 5.0}, {USB: 5.0, CONSOLE: 60.0}])
@given(found=st.lists(entries(), min_size=1, max_size=3))
def test_what_is_said_of_vnc_does_not_depend_on_other_services(polling: dict[int, float], found: list[Entry]) -> None:
    """Observed, Idle and since are VNC's own."""
    status = summary.desired_status(found, polling)
    for entry in found:
        entry.services.pop(USB, None)
    alone = summary.desired_status(found, {})
    assert (status.sessions, status.observed, status.reason, status.message, status.since, status.synced) == (
        alone.sessions,
        alone.observed,
        alone.reason,
        alone.message,
        alone.since,
        alone.synced,
    )
