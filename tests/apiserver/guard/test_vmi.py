"""A handler may write `status.serviceStatus` of the VMIs of its node, and no other field."""

import json

import pytest

from testbed.waiting import wait_until
from tests.apiserver.guard.requests import FORBIDDEN, HERE, NO_NODE, OK, THERE, Patch, status_patch
from tests.apiserver.identities import ACCOUNT, Handler, User, collection_of, companion_of, path_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import Object, virtual_machine_instance

ONLY = "of a VMI the handler may change status.serviceStatus only, not"


def test_a_handler_publishes_on_the_vmis_of_its_node(here: Handler, vmi: Object, service_status_schema: None) -> None:
    """The first viewer, the second, and none: then the field is absent. The rest of the status stays."""
    before = vmi["status"]
    for sessions in (1, 2):
        after = here.json_patch(vmi, status_patch(vmi, HERE, sessions)).taken()
        assert after["status"] == {**before, "serviceStatus": {"vncSessions": sessions}}
    assert here.json_patch(vmi, status_patch(vmi, HERE, 0)).taken()["status"] == before
    assert here.json_patch(vmi, status_patch(vmi, HERE, 0)).taken()["status"] == before


def test_on_stock_kubevirt_the_patch_is_admitted_and_pruned(here: Handler, vmi: Object, stock_schema: None) -> None:
    """The answer is a success without the field; the handler must notice that."""
    assert here.json_patch(vmi, status_patch(vmi, HERE, 1)).taken() == vmi


def test_a_handler_publishes_on_no_vmi_of_another_node(there: Handler, vmi: Object) -> None:
    """The handler's preconditions do not help: they are about the VMI, not about the handler."""
    answer = there.json_patch(vmi, status_patch(vmi, HERE, 1))
    assert answer.denial == (FORBIDDEN, f'the VMI is on node "{HERE}", the handler on node "{THERE}"')
    assert answer.reason == "Forbidden"


def test_a_token_without_a_node_publishes_nowhere(nowhere: User, vmi: Object) -> None:
    """A client that may create tokens of the account gets such a token; it grants nothing."""
    assert nowhere.json_patch(vmi, status_patch(vmi, HERE, 1)).denial == NO_NODE


def test_nobody_publishes_on_a_vmi_without_a_node(
    control_plane: ControlPlane, here: Handler, nowhere: User, namespace: str
) -> None:
    """It is not running. An absent node matches no handler, not even a token that names no node."""
    vmi = control_plane.create(virtual_machine_instance("pending", namespace, status={"phase": "Scheduling"}))
    patch: Patch = [{"op": "add", "path": "/status/serviceStatus", "value": {"vncSessions": 1}}]
    assert here.json_patch(vmi, patch).denial == (FORBIDDEN, f'the VMI is on node "", the handler on node "{HERE}"')
    assert nowhere.json_patch(vmi, patch).denial == NO_NODE


def test_the_right_follows_a_migration(root: User, here: Handler, there: Handler, vmi: Object) -> None:
    """As soon as status.nodeName names the target, the source's writes are denied."""
    root.merge_patch(vmi, {"status": {"nodeName": THERE}}).taken()
    there.json_patch(vmi, status_patch(vmi, THERE, 1)).taken()
    patch: Patch = [{"op": "add", "path": "/status/serviceStatus", "value": {"vncSessions": 1}}]
    expected = f'the VMI is on node "{THERE}", the handler on node "{HERE}"'
    assert here.json_patch(vmi, patch).denial == (FORBIDDEN, expected)


FOREIGN: dict[str, tuple[Patch, str]] = {
    "its spec": ([{"op": "add", "path": "/spec/running", "value": False}], f"{ONLY} its spec"),
    "a part of its spec": (
        [{"op": "replace", "path": "/spec/domain/devices/disks/0/disk/bus", "value": "sata"}],
        f"{ONLY} its spec",
    ),
    "its labels": (
        [{"op": "add", "path": "/metadata/labels", "value": {"kubevirt.io/nodeName": HERE}}],
        f"{ONLY} its metadata: labels",
    ),
    "its annotations": (
        [{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}],
        f"{ONLY} its metadata: annotations",
    ),
    "its finalizers": (
        [{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/a"]}],
        f"{ONLY} its metadata: finalizers",
    ),
    "its owner": (
        [
            {
                "op": "add",
                "path": "/metadata/ownerReferences",
                "value": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}],
            }
        ],
        f"{ONLY} its metadata: ownerReferences",
    ),
    "its phase": ([{"op": "replace", "path": "/status/phase", "value": "Failed"}], f"{ONLY} phase"),
    "its node": ([{"op": "replace", "path": "/status/nodeName", "value": THERE}], f"{ONLY} nodeName"),
    "a condition": ([{"op": "replace", "path": "/status/conditions/0/status", "value": "False"}], f"{ONLY} conditions"),
    "its pods": ([{"op": "remove", "path": "/status/activePods"}], f"{ONLY} activePods"),
    "a new field of the status": (
        [{"op": "add", "path": "/status/migrationState", "value": {"failed": True}}],
        f"{ONLY} migrationState",
    ),
    "all of its status": (
        [{"op": "remove", "path": "/status"}],
        f"{ONLY} nodeName, activePods, phase, interfaces, conditions",
    ),
    "its phase in addition to the right field": (
        [
            {"op": "add", "path": "/status/serviceStatus", "value": {"vncSessions": 1}},
            {"op": "replace", "path": "/status/phase", "value": "Failed"},
        ],
        f"{ONLY} phase",
    ),
}


@pytest.mark.parametrize(("patch", "message"), FOREIGN.values(), ids=FOREIGN)
def test_of_a_vmi_of_its_own_node_a_handler_changes_neither(
    here: Handler, root: User, vmi: Object, patch: Patch, message: str
) -> None:
    """Except for the one field, the VMI is not the handler's to change."""
    code, denial = here.json_patch(vmi, patch).denial
    # The keys of a map have no order.
    assert (code, sorted(denial.replace(",", "").split())) == (FORBIDDEN, sorted(message.replace(",", "").split()))
    assert root.get(vmi) == vmi


def test_a_vmi_is_neither_created_nor_replaced_nor_deleted(here: Handler, vmi: Object) -> None:
    """RBAC denies it: the role does not contain these verbs."""
    assert here.create({**vmi, "metadata": {**vmi["metadata"], "name": "new"}}).code == FORBIDDEN
    assert here.request("PUT", path_of(vmi), vmi).code == FORBIDDEN
    assert here.delete(vmi).code == FORBIDDEN
    assert here.request("DELETE", collection_of(vmi)).code == FORBIDDEN


def test_a_vmi_of_a_hundred_kilobytes_is_compared_within_the_budget(root: User, here: Handler, namespace: str) -> None:
    """The API server limits the cost of a policy and denies what exceeds it."""
    disks = [{"name": f"disk-{n}", "serial": "s" * 100, "disk": {"bus": "virtio"}} for n in range(700)]
    conditions = [{"type": f"Condition{n}", "status": "True", "message": "m" * 500} for n in range(100)]
    status = {"nodeName": HERE, "conditions": conditions}
    large = virtual_machine_instance("large", namespace, spec={"disks": disks}, status=status)
    assert len(json.dumps(large)) > 100_000
    vmi = root.create(large).taken()
    here.json_patch(vmi, status_patch(vmi, HERE, 1)).taken()


def test_nobody_else_is_held_by_the_guards(control_plane: ControlPlane, root: User, vmi: Object) -> None:
    """Another account with the same role changes any field, from any node or from none."""
    namespace = vmi["metadata"]["namespace"]
    control_plane.kubectl("create", "serviceaccount", "other", "-n", namespace)
    role = (f"--clusterrole={ACCOUNT}", f"--serviceaccount={namespace}:other", "-n", namespace)
    control_plane.kubectl("create", "rolebinding", "other", *role)
    other = User(control_plane, control_plane.token(namespace, "other"))
    wait_until(lambda: other.request("GET", path_of(vmi)).code, lambda code: code == OK, what="the role is bound")
    for user in (other, root):
        user.merge_patch(vmi, {"spec": {"running": False}, "metadata": {"labels": {"a": "b"}}}).taken()
        companion = user.create(companion_of(vmi, "anywhere")).taken()
        user.merge_patch(companion, {"metadata": {"labels": {"a": "b"}}}).taken()
        user.delete(companion).taken()
