"""Tests the companion: a written value is read back unchanged, and no other client's value causes an exception."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service.kube import companion as companions
from handler_service.kube import conditions
from handler_service.kube.conditions import Detail
from handler_service.model import DesiredStatus, PublishedValue, Reason, VmiId
from tests.unit.handler.kube.test_vmi import JSON

VMI = VmiId("ns", "vm", "u")
NOW = 1_700_000_000.9
THEN = "2023-11-14T22:13:20Z"  # the whole second of NOW
WATCHING = Detail(True, "Watching", "The agent sees all.", 1_600_000_000, "n1")


def desired(sessions: int, reason: Reason, *, observed: bool = True, message: str = "") -> DesiredStatus:
    return DesiredStatus(sessions, observed, reason, message, 5.7, True, ())


def read_back(status: dict[str, Any], **metadata: Any) -> companions.Companion:
    object_ = companions.manifest(VMI, "n1")
    object_["metadata"] |= {"uid": "c", "resourceVersion": "9", **metadata}
    object_["status"] = {key: value for key, value in status.items() if value is not None}
    companion = companions.parse(object_)
    assert companion is not None
    return companion


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_has_a_sentence(reason: Reason) -> None:
    """A reader needs only the object; the agent's message follows in parentheses."""
    told = conditions.detail(desired(1, reason, message="connection refused"), "n1")
    assert told.reason == reason.value
    assert told.message.endswith(". (connection refused)")
    assert (told.since, told.node) == (5, "n1")


def test_nobody_is_idle() -> None:
    """At zero the number is absent: a merge patch removes it with null."""
    status = companions.status(VMI, PublishedValue(0, WATCHING), (), NOW)
    assert status == {
        "vncSessions": None,
        "usbRedirections": None,
        "consoleSessions": None,
        "spiceSessions": None,
        "since": "2020-09-13T12:26:40Z",
        "nodeName": "n1",
        "vmiUID": "u",
        "conditions": [
            {
                "type": "Observed",
                "status": "True",
                "reason": "Watching",
                "message": "The agent sees all.",
                "lastTransitionTime": THEN,
            },
            {
                "type": "Idle",
                "status": "True",
                "reason": "NobodyConnected",
                "message": "No viewer is connected over VNC.",
                "lastTransitionTime": THEN,
            },
            *(
                {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NotWatched",
                    "message": "Not watched: the handler does not ask for it (--poll), or the VM's agent does not "
                    "report it.",
                    "lastTransitionTime": THEN,
                }
                for type_ in ("UsbRedirectionsObserved", "ConsoleSessionsObserved", "SpiceSessionsObserved")
            ),
        ],
    }


@pytest.mark.parametrize(
    ("sessions", "observed", "idle", "reason", "message"),
    [
        (1, True, "False", "ViewersConnected", "1 viewer is connected over VNC."),
        (2, True, "False", "ViewersConnected", "2 viewers are connected over VNC."),
        (0, False, "Unknown", "NotObserved", "Not known whether a viewer is connected: The agent sees all."),
        (2, False, "Unknown", "NotObserved", "Not known whether a viewer is connected: The agent sees all."),
    ],
)
def test_who_is_there_is_not_idle(sessions: int, observed: bool, idle: str, reason: str, message: str) -> None:
    """Unknown is never idle, and never busy."""
    told = WATCHING._replace(observed=observed)
    condition = companions.status(VMI, PublishedValue(sessions, told), (), NOW)["conditions"][1]
    assert (condition["status"], condition["reason"], condition["message"]) == (idle, reason, message)


def test_the_time_of_a_transition_stays_while_the_status_does() -> None:
    """Another reason, or another number, is no transition."""
    first = companions.status(VMI, PublishedValue(1, WATCHING), (), NOW)["conditions"]
    second = companions.status(VMI, PublishedValue(2, WATCHING._replace(reason="Other")), tuple(first), NOW + 60)[
        "conditions"
    ]
    assert [condition["lastTransitionTime"] for condition in second] == [THEN] * 5
    third = companions.status(VMI, PublishedValue(0, WATCHING), tuple(second), NOW + 120)["conditions"]
    assert [condition["lastTransitionTime"] for condition in third] == [THEN, "2023-11-14T22:15:20Z", *[THEN] * 3]


DETAILS = st.builds(
    Detail,
    observed=st.booleans(),
    reason=st.sampled_from([reason.value for reason in Reason]),
    message=st.text(max_size=40),
    # From the year 1 to 9999: what an agent's Timestamp can say.
    since=st.none() | st.integers(-62_135_596_800, 253_402_300_799),
    node=st.sampled_from(["n1", "n2.example"]),
)


@given(st.integers(0, 65_535), DETAILS)
def test_what_is_written_is_what_is_read_back(sessions: int, told: Detail) -> None:
    """Otherwise the handler would take its own write for another client's, and repeat it without a limit."""
    companion = read_back(companions.status(VMI, PublishedValue(sessions, told), (), NOW))
    assert companion.value == PublishedValue(sessions, told)
    assert (companion.vmi, companion.version, companion.uid, companion.label) == (VMI, 9, "c", "n1")


def test_a_companion_without_a_status_shows_nothing() -> None:
    """As it is between its creation and its first status."""
    assert read_back({}).value == PublishedValue(0, None)


@given(JSON)
def test_any_object_is_read_without_an_error(object_: Any) -> None:
    """What is no companion is None."""
    assert companions.parse(object_) is None


@given(JSON, JSON, JSON, JSON)
def test_any_status_may_be_anything(status: Any, conditions: Any, since: Any, labels: Any) -> None:
    """Only handlers should write the status, but other clients may."""
    object_ = companions.manifest(VMI, "n1")
    object_["metadata"] |= {"uid": "c", "resourceVersion": "9"}
    for found in (status, {"conditions": conditions, "since": since}, {"conditions": [{"type": "Observed"}]}):
        companions.parse(object_ | {"status": found})
    companions.parse({**object_, "metadata": {**object_["metadata"], "labels": labels}})


# --- the controller's mark --------------------------------------------------------------------------------------------


def test_a_mark_takes_the_certainty_and_leaves_the_number() -> None:
    """Only conditions are in the patch; a condition that this version does not know stays as it is."""
    status = companions.status(VMI, PublishedValue(2, WATCHING), (), NOW)
    other = {"type": "Other", "status": "True", "reason": "R", "message": "", "lastTransitionTime": THEN}
    usb = {"type": "USBRedirObserved", "status": "True", "reason": "R", "message": "", "lastTransitionTime": THEN}
    before = read_back(status | {"conditions": [*status["conditions"], other, usb]})
    patch = companions.marked(before, "node n1: gone", NOW + 60)
    assert patch["metadata"] == {"resourceVersion": "9"}
    assert list(patch["status"]) == ["conditions"]
    observed, idle, *not_watched, kept, usb_observed = patch["status"]["conditions"]
    assert not_watched == status["conditions"][2:]
    assert observed == {
        "type": "Observed",
        "status": "False",
        "reason": "HandlerAway",
        "message": "The handler that wrote this value no longer vouches for it; the number shown is the last one known."
        " (node n1: gone)",
        "lastTransitionTime": "2023-11-14T22:14:20Z",
    }
    assert (idle["type"], idle["status"], idle["reason"]) == ("Idle", "Unknown", "NotObserved")
    assert kept == other
    assert (usb_observed["type"], usb_observed["status"], usb_observed["reason"]) == (
        "USBRedirObserved",
        "False",
        "HandlerAway",
    )


def test_a_mark_is_recognised_until_a_handler_writes() -> None:
    """Also on a companion that was created and never written."""
    bare = read_back({})
    assert not companions.is_marked(bare)
    assert companions.is_marked(read_back(companions.marked(bare, "why", NOW)["status"]))
    assert not companions.is_marked(read_back(companions.status(VMI, PublishedValue(0, WATCHING), (), NOW)))
