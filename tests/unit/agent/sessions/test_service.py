"""A service's number, its totals and its observation."""

from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.sessions.report import Observation
from launcher_agent.sessions.service import ServiceState
from launcher_agent.sessions.view import Accuracy
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import SERVICE_USB_REDIRECTION

WATCHING = Observation(Reason.WATCHING, since=1.0)


def service(reason: Reason = Reason.WATCHING) -> ServiceState:
    return ServiceState(SERVICE_USB_REDIRECTION, reason, "", 1.0)


def test_since_is_the_last_change_between_none_and_some() -> None:
    usb = service()
    usb.count(0, 0, 2.0)
    assert usb.view.since == 2.0
    usb.count(1, 0, 3.0)
    usb.count(2, 1, 4.0)
    assert (usb.view.sessions, usb.view.pending, usb.view.since) == (2, 1, 3.0)
    usb.count(0, 0, 5.0)
    assert usb.view.since == 5.0


def test_a_number_that_was_not_observed_may_have_changed_meanwhile() -> None:
    usb = service()
    usb.count(1, 0, 2.0)
    usb.observe(Reason.QUERY_FAILED, "no answer", 3.0)
    assert (usb.view.sessions, usb.view.since) == (1, None)
    usb.count(1, 0, 4.0)
    usb.observe(Reason.WATCHING, "", 4.0)
    assert usb.view.since == 4.0


def test_a_lower_bound_proves_no_moment() -> None:
    usb = service()
    usb.count(1, 0, 2.0, Accuracy.LOWER_BOUND)
    assert usb.view.since is None


def test_the_observation_keeps_its_time_while_its_reason_stays() -> None:
    usb = service()
    usb.observe(Reason.QUERY_FAILED, "a", 2.0)
    usb.observe(Reason.QUERY_FAILED, "b", 3.0)
    assert usb.observation == Observation(Reason.QUERY_FAILED, "b", 2.0)


def test_what_is_about_vnc_does_not_concern_another_service() -> None:
    for reason in (Reason.RECONCILING, Reason.LOWER_BOUND, Reason.UNOBSERVABLE_LISTENER):
        assert service().report(Observation(reason, since=2.0)).observation == WATCHING


def test_what_is_about_libvirt_or_the_domain_concerns_each_service_that_is_watched() -> None:
    for reason in (
        Reason.LIBVIRT_UNREACHABLE,
        Reason.NO_DOMAIN,
        Reason.AMBIGUOUS_DOMAIN,
        Reason.DOMAIN_NOT_DEFINED,
    ):
        overall = Observation(reason, "why", 2.0)
        assert service().report(overall).observation == overall
        assert service(Reason.NOT_WATCHED).report(overall).observation.reason is Reason.NOT_WATCHED


@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 70_000))))
def test_the_totals_always_explain_the_number(numbers: list[tuple[int, int]]) -> None:
    usb = service()
    before = usb.view
    for sessions, pending in numbers:
        usb.count(sessions, pending, 2.0)
        view = usb.view
        assert view.sessions == min(sessions, 65_535) == view.started_total - view.ended_total
        assert view.pending <= 65_535
        assert (view.started_total, view.ended_total) >= (before.started_total, before.ended_total)
        before = view
