"""Who sees a companion, and when it goes."""

import pytest
import yaml

from testbed.waiting import wait_until
from tests.apiserver.companion.statuses import write
from tests.apiserver.identities import BASE, User, path_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object

# Seconds; enough for everything below, and less than the test's own timeout.
DEADLINE = 90
GUARD = "ValidatingAdmissionPolicy"


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
