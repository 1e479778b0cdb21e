"""Companions are selected by field, in Kubernetes 1.31 and newer: an older API server knows no fields of such kinds."""

from tests.apiserver.identities import admin, companion_of
from tests.cluster.control_plane import ControlPlane
from tests.cluster.objects import virtual_machine_instance


def test_a_list_may_be_of_those_with_viewers_or_of_one_node(control_plane: ControlPlane, namespace: str) -> None:
    """So that a UI need not list every VM of the cluster."""
    root = admin(control_plane)
    for name, node, sessions in (("vm", "n1", 2), ("other", "n2", None)):
        vmi = control_plane.create(virtual_machine_instance(name, namespace, status={"nodeName": node}))
        companion = control_plane.create(companion_of(vmi, node))
        root.write_status(root.get(companion), {"vncSessions": sessions, "nodeName": node}).taken()

    def selected(selector: str) -> list[str]:
        where = ("-n", namespace, f"--field-selector={selector}", "--output=name")
        return [line.rpartition("/")[2] for line in control_plane.kubectl("get", "vmiss", *where).split()]

    assert selected("status.vncSessions!=") == ["vm"]
    assert selected("status.vncSessions=2") == ["vm"]
    assert selected("status.vncSessions=") == ["other"]
    assert selected("status.nodeName=n2") == ["other"]
