"""What an object shows of the services other than VNC: never a zero that is not known, and never a needless write."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.kube import companion as companions
from handler_service.kube import service_conditions
from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.model import DesiredStatus, PublishedValue, Reason, ServiceStatus, ServiceValue, VmiId
from servicestatus.v1 import sessions_pb2 as types

USB, CONSOLE, SPICE = types.SERVICE_USB_REDIRECTION, types.SERVICE_SERIAL_CONSOLE, types.SERVICE_SPICE
VMI = VmiId("ns", "vm", "u")
NOW = 1_700_000_000.9
THEN = "2023-11-14T22:13:20Z"  # the whole second of NOW
VNC_DETAIL = Detail(True, "Watching", "The agent sees all.", None, "n1")
NOT_WATCHED = "Not watched: the handler does not ask for it (--poll), or the VM's agent does not report it."


def shown(*services: ServiceStatus) -> tuple[ServiceValue, ...]:
    """What follows for an object from these statuses."""
    desired = DesiredStatus(0, True, Reason.WATCHING, "", None, True, (), services)
    details = service_conditions.details(desired)
    values = (ServiceValue(number, desired.service(number).sessions, detail) for number, detail in details.items())
    return tuple(value for value in values if value.sessions or value.detail is not None)


def status_of(*services: ServiceValue) -> dict[str, Any]:
    return companions.status(VMI, PublishedValue(0, VNC_DETAIL, services), (), NOW)


def condition(status: dict[str, Any], type_: str) -> tuple[str, str, str]:
    (found,) = (one for one in status["conditions"] if one["type"] == type_)
    return found["status"], found["reason"], found["message"]


def read_back(status: dict[str, Any]) -> companions.Companion:
    object_ = companions.manifest(VMI, "n1")
    object_["metadata"] |= {"uid": "c", "resourceVersion": "9"}
    object_["status"] = {key: value for key, value in status.items() if value is not None}
    companion = companions.parse(object_)
    assert companion is not None
    return companion


def test_a_number_of_a_polled_service_says_how_often_it_is_taken() -> None:
    """A session that is shorter than the interval may be missing, and a reader should know."""
    status = status_of(*shown(ServiceStatus(USB, 2, observed=True, reason=Reason.WATCHING, sampled_every=5.0)))
    assert (status["usbRedirections"], status["consoleSessions"], status["spiceSessions"]) == (2, None, None)
    message = "The agent asks QEMU every 5 s; a shorter session may be missing."
    assert condition(status, "UsbRedirectionsObserved") == ("True", "Watching", message)
    assert condition(status, "ConsoleSessionsObserved") == ("Unknown", "NotWatched", NOT_WATCHED)
    assert condition(status, "SpiceSessionsObserved") == ("Unknown", "NotWatched", NOT_WATCHED)


def test_a_service_of_events_names_no_interval() -> None:
    """SPICE clients are seen one by one."""
    status = status_of(*shown(ServiceStatus(SPICE, 1, observed=True, reason=Reason.WATCHING)))
    assert status["spiceSessions"] == 1
    message = "The agent sees every client connect and disconnect."
    assert condition(status, "SpiceSessionsObserved") == ("True", "Watching", message)


def test_a_zero_that_is_not_known_is_not_observed() -> None:
    """The number is absent either way, so the condition must differ."""
    failed = ServiceStatus(CONSOLE, 0, observed=False, reason=Reason.QUERY_FAILED, message="timed out after 3 s")
    status = status_of(*shown(failed))
    assert status["consoleSessions"] is None
    message = (
        "QEMU has not answered the agent's last question; the number shown is the last one known. (timed out after 3 s)"
    )
    assert condition(status, "ConsoleSessionsObserved") == ("False", "QueryFailed", message)


def test_an_agent_that_may_not_ask_says_so() -> None:
    """NotWatched, with the agent's own words."""
    vetoed = ServiceStatus(USB, 0, observed=False, reason=Reason.NOT_WATCHED, message="--query=never")
    status = status_of(*shown(vetoed))
    expected = ("Unknown", "NotWatched", f"{NOT_WATCHED} (--query=never)")
    assert condition(status, "UsbRedirectionsObserved") == expected


def test_an_object_of_the_first_release_is_up_to_date_while_nothing_is_watched() -> None:
    """Otherwise an upgrade would cost a write for each VM of the cluster."""
    old = status_of() | {"conditions": status_of()["conditions"][:2]}
    assert [one["type"] for one in old["conditions"]] == ["Observed", "Idle"]
    assert read_back(old).value == PublishedValue(0, VNC_DETAIL, shown())
    assert read_back(status_of()).value == read_back(old).value


def test_a_number_without_its_condition_claims_nothing() -> None:
    """An older handler, after a rollback, leaves the number and removes the condition."""
    old = status_of() | {"conditions": status_of()["conditions"][:2], "usbRedirections": 2}
    assert read_back(old).value.services == (ServiceValue(USB, 2, None),)


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_has_a_sentence(reason: Reason) -> None:
    """Also for services other than VNC."""
    assert service_conditions.explanation(reason).endswith(".")


DETAILS = st.builds(
    ServiceDetail,
    observed=st.booleans(),
    reason=st.sampled_from([reason.value for reason in Reason if reason is not Reason.NOT_WATCHED]),
    message=st.text(max_size=40),
) | st.builds(ServiceDetail, st.just(False), st.just("NotWatched"), st.text(max_size=40))


@given(st.dictionaries(st.sampled_from([USB, CONSOLE, SPICE]), st.tuples(st.integers(0, 65_535), st.none() | DETAILS)))
def test_what_is_written_is_what_is_read_back(services: dict[int, tuple[int, ServiceDetail | None]]) -> None:
    """Otherwise the handler would take its own write for another client's, and repeat it without a limit."""
    values = tuple(
        ServiceValue(number, sessions, detail)
        for number, (sessions, detail) in sorted(services.items())
        if sessions or detail is not None
    )
    assert read_back(status_of(*values)).value == PublishedValue(0, VNC_DETAIL, values)


# --- the controller's mark --------------------------------------------------------------------------------------------


def test_a_mark_withdraws_each_claim_and_no_other() -> None:
    """A value never outlives its writer; a service that is not watched has nothing to withdraw."""
    services = (
        ServiceValue(USB, 2, ServiceDetail(True, "Watching", "")),
        ServiceValue(SPICE, 0, ServiceDetail(False, "AgentSilent", "")),
    )
    marked = companions.marked(read_back(status_of(*services)), "node n1: gone", NOW + 60)
    away = companions.HANDLER_AWAY_MESSAGE + " (node n1: gone)"
    assert condition(marked["status"], "UsbRedirectionsObserved") == ("False", "HandlerAway", away)
    assert condition(marked["status"], "SpiceSessionsObserved") == ("False", "HandlerAway", away)
    assert condition(marked["status"], "ConsoleSessionsObserved") == ("Unknown", "NotWatched", NOT_WATCHED)
    assert list(marked["status"]) == ["conditions"]


def test_a_companion_that_still_claims_a_service_is_not_marked() -> None:
    """Whatever its condition Observed says."""
    services = (ServiceValue(USB, 0, ServiceDetail(True, "Watching", "")),)
    away = Detail(False, companions.HANDLER_AWAY, "", None, "n1")
    half = read_back(companions.status(VMI, PublishedValue(0, away, services), (), NOW))
    assert not companions.is_marked(half)
    assert companions.is_marked(read_back(status_of() | companions.marked(half, "why", NOW)["status"]))
