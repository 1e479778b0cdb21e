"""The controller may set a companion's conditions to not observed and remove the companion, and nothing else."""

from typing import Any

import pytest

from handler_service.kube import companion as companions
from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.model import PublishedValue, ServiceValue, VmiId
from servicestatus.v1.sessions_pb2 import SERVICE_USB_REDIRECTION as USB
from tests.apiserver.controllers import CONTROLLER
from tests.apiserver.guard.requests import FORBIDDEN, HERE, OK
from tests.apiserver.identities import MERGE_PATCH, NAMESPACE, Handler, User, path_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object

CONDITIONS_ONLY = "the controller sets Observed to False because of HandlerAway, and Idle to Unknown, and nothing else"


@pytest.fixture(scope="session")
def controller(control_plane: ControlPlane, installed: None) -> User:
    return User(control_plane, control_plane.token(NAMESPACE, CONTROLLER))


@pytest.fixture
def published(companion: Object, here: Handler) -> Object:
    """A companion with two viewers, as the handler writes it."""
    vmi = VmiId("", "", companion["spec"]["vmiUID"])
    services = (ServiceValue(USB, 1, ServiceDetail(True, "Watching", "It polls.")),)
    value = PublishedValue(2, Detail(True, "Watching", "The agent sees all.", 1_700_000_000, HERE), services)
    return here.write_status(companion, companions.status(vmi, value, (), 1_700_000_000.0)).taken()


def mark(companion: Object) -> Object:
    """The patch that the controller sends."""
    found = companions.parse(companion)
    assert found is not None
    return companions.marked(found, "node guard-here: gone", 1_800_000_000.0)


def send(controller: User, companion: Object, patch: Object, subresource: str = "/status") -> tuple[int, str]:
    answer = controller.request("PATCH", f"{path_of(companion)}{subresource}", patch, content_type=MERGE_PATCH)
    return answer.denial


def test_the_controller_marks_a_companion(controller: User, published: Object) -> None:
    """The number, its time and its node stay; only the conditions change."""
    assert send(controller, published, mark(published)) == (OK, "")
    after = controller.request("GET", f"{path_of(published).rpartition('/')[0]}").taken()["items"][0]
    assert {**after["status"], "conditions": []} == {**published["status"], "conditions": []}
    assert [(one["type"], one["status"], one["reason"]) for one in after["status"]["conditions"]] == [
        ("Observed", "False", "HandlerAway"),
        ("Idle", "Unknown", "NotObserved"),
        ("UsbRedirectionsObserved", "False", "HandlerAway"),
        ("ConsoleSessionsObserved", "Unknown", "NotWatched"),
        ("SpiceSessionsObserved", "Unknown", "NotWatched"),
    ]


def test_the_controller_marks_a_companion_that_was_never_written(controller: User, companion: Object) -> None:
    """Its handler died between creating it and writing its status."""
    assert send(controller, companion, mark(companion)) == (OK, "")


@pytest.mark.parametrize(
    "field",
    [
        {"vncSessions": 0},
        {"vncSessions": None},
        {"usbRedirections": None},
        {"spiceSessions": 1},
        {"nodeName": "x"},
        {"since": None},
    ],
)
def test_the_controller_changes_nothing_but_conditions(controller: User, published: Object, field: Object) -> None:
    """Above all not the number of sessions."""
    patch = mark(published)
    patch["status"] |= field
    words = f"of a status the controller may change the conditions only, not {next(iter(field))}"
    assert send(controller, published, patch) == (FORBIDDEN, words)


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, {"status": "True"}),
        (0, {"status": "Unknown"}),
        (0, {"reason": "AgentSilent"}),
        (1, {"status": "False"}),
        (1, {"status": "False", "reason": "ViewersConnected"}),
        (1, {"reason": "NobodyConnected"}),
        (1, {"type": "Other"}),
        (2, {"status": "True"}),
        (2, {"reason": "Watching"}),
        (3, {"status": "True", "reason": "Watching"}),
        (3, {"reason": "NotAsked"}),
    ],
)
def test_the_controller_sets_no_other_condition(
    controller: User, published: Object, index: int, change: dict[str, Any]
) -> None:
    """Neither another status, nor another reason, nor another type."""
    patch = mark(published)
    patch["status"]["conditions"][index] |= change
    if change.get("type"):
        patch["status"]["conditions"].append(mark(published)["status"]["conditions"][index])
    assert send(controller, published, patch) == (FORBIDDEN, CONDITIONS_ONLY)


def test_the_controller_makes_nothing_certain(controller: User, published: Object) -> None:
    """Not even a condition that it has set to unknown itself."""
    assert send(controller, published, mark(published)) == (OK, "")
    back = {"status": {"conditions": published["status"]["conditions"]}}
    assert send(controller, published, back) == (FORBIDDEN, CONDITIONS_ONLY)


def test_the_controller_removes_no_condition(controller: User, published: Object) -> None:
    """A reader may take the number as certain where Observed is absent."""
    patch = mark(published)
    del patch["status"]["conditions"][0]
    assert send(controller, published, patch) == (FORBIDDEN, "the controller removes no condition")


def test_the_controller_touches_no_metadata_and_no_vmi(controller: User, published: Object, vmi: Object) -> None:
    """RBAC grants no such right."""
    label = {"metadata": {"labels": {"servicestatus.kubevirt.io/nodeName": "x"}}}
    assert controller.request("PATCH", path_of(published), label, content_type=MERGE_PATCH).code == FORBIDDEN
    assert controller.request("PATCH", path_of(vmi), {"status": {}}, content_type=MERGE_PATCH).code == FORBIDDEN
    assert controller.request("DELETE", path_of(vmi)).code == FORBIDDEN
    assert controller.request("POST", path_of(published).rpartition("/")[0], published).code == FORBIDDEN


def test_the_controller_removes_a_companion(controller: User, published: Object) -> None:
    """This very one."""
    assert controller.delete(published, uid="another").code == 409
    assert controller.delete(published).code == OK
