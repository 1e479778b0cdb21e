"""The companion as the API server defines it: what its schema rejects, what kubectl prints, and when it is removed."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from testbed.waiting import wait_until
from tests.apiserver.identities import BASE, Answer, User, admin, companion_of, path_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kinds import CRD
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.objects import Object, virtual_machine_instance
from tests.cluster.tools import tool

UNPROCESSABLE = 422
# Seconds; enough for everything below, and less than the test's own timeout.
DEADLINE = 90
GUARD = "ValidatingAdmissionPolicy"


@pytest.fixture
def root(control_plane: ControlPlane) -> User:
    return admin(control_plane)


@pytest.fixture
def vmi(control_plane: ControlPlane, namespace: str) -> Object:
    return control_plane.create(virtual_machine_instance("vm", namespace, status={"nodeName": "n1"}))


@pytest.fixture
def companion(control_plane: ControlPlane, vmi: Object) -> Object:
    return control_plane.create(companion_of(vmi, "n1"))


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    times = {"lastTransitionTime": "2026-08-22T10:00:00Z"}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


WATCHING = condition("Observed", "True", "Watching")
SILENT = condition("Observed", "False", "AgentSilent", "no message for 30 s")
IDLE_NOW = condition("Idle", "True", "NobodyConnected")
WATCHED = condition("Idle", "False", "ViewersConnected", "2 VNC sessions")
UNKNOWN = condition("Idle", "Unknown", "NotObserved")
USB_WATCHED = condition("UsbRedirectionsObserved", "True", "Watching")
CONSOLE_UNWATCHED = condition("ConsoleSessionsObserved", "Unknown", "NotWatched")


def write(user: User, companion: Object, status: Mapping[str, Any]) -> Answer:
    """Write a status, whatever the companion held before."""
    return user.write_status(user.get(companion), status)


# --- the schema -------------------------------------------------------------------------------------------------------


def test_a_whole_status_is_kept_as_it_was_written(root: User, vmi: Object, companion: Object) -> None:
    """Nothing that the handler writes is pruned or changed."""
    status = {
        "vncSessions": 2,
        "usbRedirections": 4,
        "consoleSessions": 1,
        "spiceSessions": 65535,
        "since": "2026-08-22T10:00:00Z",
        "nodeName": "n1",
        "vmiUID": vmi["metadata"]["uid"],
        "conditions": [WATCHING, WATCHED, USB_WATCHED, CONSOLE_UNWATCHED],
    }
    assert write(root, companion, status).taken()["status"] == status


def test_the_number_is_absent_again_when_it_is_set_to_null(root: User, companion: Object) -> None:
    """At zero the field is absent, not 0; a merge patch sets it to null."""
    write(root, companion, {"vncSessions": 1, "nodeName": "n1"}).taken()
    assert write(root, companion, {"vncSessions": None}).taken()["status"] == {"nodeName": "n1"}


REFUSED = {
    "a negative count": ({"vncSessions": -1}, "vncSessions in body should be greater than or equal to 0"),
    "an absurd count": ({"vncSessions": 65536}, "vncSessions in body should be less than or equal to 65535"),
    "an absurd count of devices": ({"usbRedirections": 65536}, "usbRedirections in body should be less than or equal"),
    "a negative count of consoles": (
        {"consoleSessions": -1},
        "consoleSessions in body should be greater than or equal",
    ),
    "a count of SPICE clients in words": ({"spiceSessions": "one"}, "spiceSessions in body must be of type integer:"),
    "more conditions than there are services": (
        {"conditions": [condition(f"C{number}", "True", "R") for number in range(9)]},
        "status.conditions: Too many: 9: must have at most 8 items",
    ),
    "half a session": ({"vncSessions": 0.5}, "vncSessions in body must be of type int32:"),
    "a count in words": ({"vncSessions": "one"}, "vncSessions in body must be of type integer:"),
    "a time that is none": ({"since": "yesterday"}, "since in body must be of type date-time:"),
    "a node's name that cannot be one": ({"nodeName": "n" * 254}, "status.nodeName: Too long"),
    "another VMI": ({"vmiUID": "another"}, "the status is that of another VMI than the one the spec names"),
    "a condition that is maybe": (
        {"conditions": [{**WATCHING, "status": "Maybe"}]},
        'Unsupported value: "Maybe": supported values: "True", "False", "Unknown"',
    ),
    "a condition without a reason": (
        {"conditions": [{**WATCHING, "reason": ""}]},
        "conditions[0].reason in body should be at least 1 chars long",
    ),
    "a reason that is a sentence": (
        {"conditions": [{**WATCHING, "reason": "It watches."}]},
        "conditions[0].reason in body should match",
    ),
    "one condition twice": ({"conditions": [WATCHING, WATCHING]}, 'status.conditions[1]: Duplicate value: {"type":"Ob'),
    "idle with a viewer connected": (
        {"vncSessions": 1, "conditions": [WATCHING, IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
    "idle and not observed": (
        {"conditions": [SILENT, IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
    "idle without the condition Observed": (
        {"conditions": [IDLE_NOW]},
        "Idle is True only where vncSessions is absent or 0 and Observed is True",
    ),
}

# How an API server of 1.30 says it; no other one's message contains these words.
IN_1_30 = {
    "status.conditions: Too many: 9: must have at most 8 items": "[conditions: Too many: 9: must have at most 8 items",
    "vncSessions in body must be of type int32:": 'vncSessions in body must be of type integer: "number"',
    "status.nodeName: Too long": "[nodeName: Too long",
    'status.conditions[1]: Duplicate value: {"type":"Ob': 'Duplicate value: map[string]interface {}{"type":"Ob',
}


@pytest.mark.parametrize(("status", "message"), REFUSED.values(), ids=REFUSED)
def test_a_status_is_refused_with(root: User, companion: Object, status: Object, message: str) -> None:
    """For every writer: the schema has no exceptions."""
    answer = write(root, companion, status)
    assert (answer.code, answer.reason) == (UNPROCESSABLE, "Invalid")
    assert message in answer.message or IN_1_30.get(message, message) in answer.message


@pytest.mark.parametrize("spec", [{}, None, {"vmiUID": ""}, {"vmiUID": 5}, {"vmiUID": "u" * 37}])
def test_a_companion_without_a_proper_uid_is_refused(root: User, vmi: Object, spec: object) -> None:
    """Every companion names the UID of its VMI."""
    answer = root.create({**companion_of(vmi, "n1"), "spec": spec})
    assert (answer.code, answer.reason) == (UNPROCESSABLE, "Invalid")
    assert "spec" in answer.message


def test_a_companion_never_becomes_that_of_another_vmi(root: User, companion: Object) -> None:
    """spec.vmiUID is immutable."""
    answer = root.merge_patch(companion, {"spec": {"vmiUID": "another"}})
    assert answer.code == UNPROCESSABLE
    assert "a companion is about one VMI only" in answer.message


def test_the_status_is_written_through_its_subresource_only(root: User, vmi: Object) -> None:
    """Neither a create nor a patch of the main resource can set it."""
    created = root.create({**companion_of(vmi, "n1"), "status": {"vncSessions": 1}}).taken()
    assert "status" not in created
    assert "status" not in root.merge_patch(created, {"status": {"vncSessions": 1}}).taken()


def test_every_field_is_described() -> None:
    """`kubectl explain` prints a description of each field."""
    (version,) = yaml.safe_load((CRD / "companion.yaml").read_text())["spec"]["versions"]
    undescribed = [path for path, field in fields(version["schema"]["openAPIV3Schema"]) if "description" not in field]
    assert undescribed == [".metadata"]  # the API server describes it itself


def fields(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


# --- what kubectl prints ----------------------------------------------------------------------------------------------


def ago(**duration: float) -> str:
    return (datetime.now(UTC) - timedelta(**duration)).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(kubectl: Kubectl, namespace: str, *options: str) -> list[list[str]]:
    """Return rows of cells; an empty cell is an empty string."""
    header, *rows = kubectl("get", "vmiss", "-n", namespace, *options).splitlines()
    columns = [header.index(name) for name in header.split()]
    ends = [*columns[1:], None]
    return [[line[a:b].strip() for a, b in zip(columns, ends, strict=True)] for line in (header, *rows)]


def test_the_columns_show_the_number_and_whether_it_is_observed(
    control_plane: ControlPlane, root: User, namespace: str
) -> None:
    """One row each for one viewer, no viewer, not observed, and not written yet."""
    states: dict[str, Object] = {
        "idle": {"since": ago(hours=9, minutes=30), "nodeName": "n1", "conditions": [WATCHING, IDLE_NOW]},
        "lost": {"vncSessions": 1, "nodeName": "n1", "conditions": [SILENT, UNKNOWN]},
        "used": {"vncSessions": 2, "since": ago(days=10, hours=5), "conditions": [WATCHING, WATCHED]},
    }
    for name in (*states, "unwritten"):
        vmi = control_plane.create(virtual_machine_instance(name, namespace))
        companion = control_plane.create(companion_of(vmi, "n1"))
        if name in states:
            root.write_status(companion, states[name]).taken()
    rows = table(control_plane.kubectl, namespace)
    assert [row[:-1] for row in rows] == [
        ["NAME", "SESSIONS", "OBSERVED", "IDLE", "SINCE"],
        ["idle", "", "True", "True", "9h"],
        ["lost", "1", "False", "Unknown", ""],
        ["unwritten", "", "", "", ""],
        ["used", "2", "True", "False", "10d"],
    ]
    assert rows[0][-1] == "AGE"


def test_the_wide_columns_show_the_reason_and_the_node(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """`-o wide` adds the reason, the other services and the node."""
    conditions = [SILENT, UNKNOWN, USB_WATCHED, CONSOLE_UNWATCHED]
    root.write_status(companion, {"nodeName": "n1", "usbRedirections": 2, "conditions": conditions}).taken()
    header, row = table(control_plane.kubectl, companion["metadata"]["namespace"], "--output=wide")
    services = ["USB", "USB-OBSERVED", "CONSOLE", "CONSOLE-OBSERVED", "SPICE", "SPICE-OBSERVED"]
    assert header == ["NAME", "SESSIONS", "OBSERVED", "IDLE", "SINCE", "REASON", *services, "NODE", "AGE"]
    shown = ["2", "True", "", "Unknown", "", ""]
    assert row[:-1] == ["vm", "", "False", "Unknown", "", "AgentSilent", *shown, "n1"]


@pytest.mark.parametrize("name", ["vmiss", "virtualmachineinstanceservicestatus", "all"])
def test_it_is_found_by(control_plane: ControlPlane, companion: Object, name: str) -> None:
    """By its short name, its singular, and with everything else of a namespace."""
    found = control_plane.kubectl("get", name, "-n", companion["metadata"]["namespace"], "--output=name")
    assert "virtualmachineinstanceservicestatus.servicestatus.kubevirt.io/vm" in found.splitlines()


def test_explain_says_what_each_field_means(control_plane: ControlPlane) -> None:
    """A reader needs no other documentation."""
    explained = " ".join(control_plane.kubectl("explain", "vmiss.status").split())
    assert "What the handler on the VMI's node knows." in explained
    assert "vncSessions <integer> How many VNC sessions are established with the VMI" in explained
    assert "conditions <[]Object> Observed is True while the number of VNC sessions is known." in explained


IDLE = ("wait", "--for=condition=Idle", "vmiss/vm")


def test_waiting_for_idle_returns_at_once_when_nobody_is_connected(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """`kubectl wait` succeeds at once."""
    root.write_status(companion, {"conditions": [WATCHING, IDLE_NOW]}).taken()
    waited = control_plane.kubectl(*IDLE, "-n", companion["metadata"]["namespace"], "--timeout=30s")
    assert waited.endswith("/vm condition met\n")


@pytest.mark.parametrize(
    "status",
    [{"vncSessions": 2, "conditions": [WATCHING, WATCHED]}, {"conditions": [SILENT, UNKNOWN]}, {}],
    ids=["a viewer is connected", "not observed", "never written"],
)
def test_waiting_for_idle_times_out_while(
    control_plane: ControlPlane, root: User, companion: Object, status: Object
) -> None:
    """Unknown is not idle."""
    root.write_status(companion, status).taken()
    with pytest.raises(KubectlError, match="timed out waiting for the condition"):
        control_plane.kubectl(*IDLE, "-n", companion["metadata"]["namespace"], "--timeout=1s")


def test_waiting_for_idle_ends_when_the_last_viewer_leaves(
    control_plane: ControlPlane, root: User, companion: Object
) -> None:
    """Not before: the wait continues when one of two leaves."""
    write(root, companion, {"vncSessions": 2, "conditions": [WATCHING, WATCHED]}).taken()
    with waiting(control_plane, companion) as proxy:
        write(root, companion, {"vncSessions": 1}).taken()
        with pytest.raises(subprocess.TimeoutExpired):
            proxy.wait(0.5)
        write(root, companion, {"vncSessions": None, "conditions": [WATCHING, IDLE_NOW]}).taken()
        assert proxy.wait(DEADLINE) == 0


@contextmanager
def waiting(plane: ControlPlane, companion: Object) -> Iterator["subprocess.Popen[bytes]"]:
    where = ("-n", companion["metadata"]["namespace"], f"--timeout={DEADLINE}s")
    command = [tool("kubectl"), "--kubeconfig", plane.kubeconfig, *IDLE, *where]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as proxy:
        try:
            yield proxy
        finally:
            proxy.kill()


# --- its removal ------------------------------------------------------------------------------------------------------


def test_it_goes_with_its_vmi(control_plane: ControlPlane, root: User, vmi: Object, companion: Object) -> None:
    """The garbage collector removes it; no other program has to."""
    root.delete(vmi).taken()
    wait_until(
        lambda: root.request("GET", path_of(companion)).code,
        lambda code: code == 404,
        what="the companion is gone",
        timeout=DEADLINE,  # the collector notices a kind that is newer than its start within 30 s
        interval=0.2,
    )


# --- the manifests ----------------------------------------------------------------------------------------------------


def test_the_base_names_both_accounts_alike_everywhere(control_plane: ControlPlane) -> None:
    """It builds, and the accounts of the role bindings are those that the guards name."""
    built = list(yaml.safe_load_all(control_plane.kubectl("kustomize", BASE)))
    accounts = {thing["metadata"]["name"] for thing in built if thing["kind"] == "ServiceAccount"}
    assert accounts == {"vmi-service-status-handler", "vmi-service-status-controller"}
    subjects = [thing["subjects"] for thing in built if thing["kind"] == "ClusterRoleBinding"]
    assert sorted(subjects, key=str) == [
        [{"kind": "ServiceAccount", "name": name, "namespace": "vmi-service-status"}] for name in sorted(accounts)
    ]
    guards = {thing["metadata"]["name"]: thing["spec"] for thing in built if thing["kind"] == GUARD}
    bound = {thing["spec"]["policyName"]: thing["spec"] for thing in built if thing["kind"] == f"{GUARD}Binding"}
    held = {
        "vmi-service-status-vmi": "handler",
        "vmi-service-status-companion": "handler",
        "vmi-service-status-event": "handler",
        "vmi-service-status-lease": "handler",
        "vmi-service-status-controller": "controller",
    }
    assert guards.keys() == bound.keys() == held.keys()
    for name, program in held.items():
        account = f"system:serviceaccount:vmi-service-status:vmi-service-status-{program}"
        condition = {"name": program, "expression": f"request.userInfo.username == '{account}'"}
        assert guards[name]["matchConditions"] == [condition]
        assert guards[name]["failurePolicy"] == "Fail"


@pytest.mark.parametrize("role", ["view", "edit"])
def test_who_may_view_a_namespace_sees_its_companions_and_changes_none(
    control_plane: ControlPlane, companion: Object, role: str
) -> None:
    """By the roles that every cluster has; `edit` sees the same and may change nothing either."""
    namespace = companion["metadata"]["namespace"]
    control_plane.kubectl("create", "serviceaccount", "person", "-n", namespace)
    subject = f"--serviceaccount={namespace}:person"
    control_plane.kubectl("create", "rolebinding", "person", f"--clusterrole={role}", subject, "-n", namespace)
    person = User(control_plane, control_plane.token(namespace, "person"))
    wait_until(lambda: person.request("GET", path_of(companion)).code, lambda code: code == 200, what="may view")
    assert write(person, companion, {"vncSessions": 1}).code == 403
    assert person.take_over(companion, "n1").code == 403
    assert person.delete(companion).code == 403
