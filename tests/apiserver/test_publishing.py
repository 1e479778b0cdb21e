"""What users read with kubectl, on a KubeVirt whose VMI has the field. The agents are scripted."""

import json
from pathlib import Path
from typing import Any

import pytest

from servicestatus.v1 import sessions_pb2 as types
from testbed.processes import ManagedProcess
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, seen, unknown
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema", "handler")


@pytest.fixture
def node(shared_node: Node) -> Node:
    return shared_node


@pytest.fixture
def handler(shared_handler: Handler) -> Handler:
    return shared_handler


def test_the_vmi_shows_how_many_are_connected(control_plane: ControlPlane, vmi: Vmi, peers: Peers) -> None:
    """`kubectl get vmi -o jsonpath` prints the number, and nothing at zero: the field is absent then."""

    def value() -> str:
        path = "jsonpath={.status.serviceStatus.vncSessions}"
        return control_plane.kubectl("get", "vmi", vmi.name, "-n", vmi.namespace, "-o", path)

    peer = peers.connect(vmi.socket)
    peer.wait_published()
    assert value() == ""
    for sessions in (1, 3):
        peer.report(sessions)
        peer.wait_published()
        assert value() == str(sessions)
    peer.report(0)
    peer.wait_published()
    assert value() == ""
    assert "serviceStatus" not in vmi.object()["status"]


def test_describe_prints_the_lines_of_vep_119(control_plane: ControlPlane, vmi: Vmi, peers: Peers) -> None:
    """`Service Status:` and below it `Vnc Sessions:  1`."""
    peers.connect(vmi.socket, sessions=1).wait_published()
    described = control_plane.kubectl("describe", "vmi", vmi.name, "-n", vmi.namespace)
    assert "  Service Status:\n    Vnc Sessions:  1\n" in described


def test_the_companion_is_the_vmis_own(node: Node, vmi: Vmi, peers: Peers, control_plane: ControlPlane) -> None:
    """It has the VMI's name, node and owner reference; `kubectl get all` lists it."""
    peers.connect(vmi.socket).wait_published()
    companion = vmi.companion()
    assert companion is not None
    metadata = companion["metadata"]
    assert (metadata["namespace"], metadata["name"]) == (vmi.namespace, vmi.name)
    assert metadata["labels"] == {"servicestatus.kubevirt.io/nodeName": node.name}
    assert metadata["ownerReferences"] == [
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": vmi.name, "uid": vmi.uid}
    ]
    assert companion["spec"] == {"vmiUID": vmi.uid}
    names = control_plane.kubectl("get", "all", "-n", vmi.namespace, "--output=name").split()
    assert "virtualmachineinstanceservicestatus.servicestatus.kubevirt.io/vm" in names


def test_the_companions_status_is_for_people_and_for_programs(node: Node, vmi: Vmi, peers: Peers) -> None:
    """The number, since when, and two conditions with a reason and a message; at zero the number is absent."""
    peer = peers.connect(vmi.socket, sessions=2)
    peer.wait_published()
    status = _status(vmi)
    assert status.pop("since").endswith("Z")
    began = status["conditions"][0]["lastTransitionTime"]
    assert status == {
        "vncSessions": 2,
        "nodeName": node.name,
        "vmiUID": vmi.uid,
        "conditions": [
            {
                "type": "Observed",
                "status": "True",
                "reason": "Watching",
                "message": "The agent sees every viewer connect and disconnect.",
                "lastTransitionTime": began,
            },
            {
                "type": "Idle",
                "status": "False",
                "reason": "ViewersConnected",
                "message": "2 viewers are connected over VNC.",
                "lastTransitionTime": began,
            },
            *(
                {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NotWatched",
                    "message": "Not watched: the handler does not ask for it (--poll), or the VM's agent does not "
                    "report it.",
                    "lastTransitionTime": began,
                }
                for type_ in ("UsbRedirectionsObserved", "ConsoleSessionsObserved", "SpiceSessionsObserved")
            ),
        ],
    }
    peer.report(0)
    peer.wait_published()
    status = _status(vmi)
    assert "vncSessions" not in status
    observed, idle, *_ = status["conditions"]
    assert observed["lastTransitionTime"] == began
    assert (idle["status"], idle["reason"]) == ("True", "NobodyConnected")
    assert idle["message"] == "No viewer is connected over VNC."


def _status(vmi: Vmi) -> Any:
    companion = vmi.companion()
    assert companion is not None
    return companion["status"]


def test_get_vmiss_prints_a_line_for_people(control_plane: ControlPlane, node: Node, vmi: Vmi, peers: Peers) -> None:
    """The short name, the columns, and the node with `-o wide`."""
    peers.connect(vmi.socket, sessions=2).wait_published()
    header, row = control_plane.kubectl("get", "vmiss", "-n", vmi.namespace).splitlines()
    assert header.split() == ["NAME", "SESSIONS", "OBSERVED", "IDLE", "SINCE", "AGE"]
    assert row.split()[:4] == ["vm", "2", "True", "False"]
    wide = control_plane.kubectl("get", "vmiss", "-n", vmi.namespace, "-o", "wide").splitlines()[1]
    assert node.name in wide.split()


def test_watching_vmiss_shows_each_viewer(control_plane: ControlPlane, tmp_path: Path, vmi: Vmi, peers: Peers) -> None:
    """`kubectl get vmiss -w` prints a line when a session begins, and one when it ends."""
    peer = peers.connect(vmi.socket)
    peer.wait_published()
    columns = "custom-columns=SESSIONS:.status.vncSessions,IDLE:.status.conditions[1].status"
    kubectl = control_plane.kubectl
    command = kubectl.command("get", "vmiss", "-w", "-n", vmi.namespace, "--no-headers", "-o", columns)
    log = tmp_path / "kubectl.log"
    with ManagedProcess(command, log=log, env=kubectl.environment) as watch:
        watch.wait_for_log("<none>")
        for sessions in (1, 0):
            peer.report(sessions)
            peer.wait_published()
        wanted = [["<none>", "True"], ["1", "False"], ["<none>", "True"]]
        wait_until(lambda: [line.split() for line in watch.log_text().splitlines()], wanted.__eq__, what=str(wanted))


def test_the_companion_goes_with_its_vmi(vmi: Vmi, peers: Peers) -> None:
    """The garbage collector removes it, the handler creates no other, and the agent's stream ends."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    with vmi.record_companion() as companions:
        vmi.delete()
        companions.wait_for(lambda _: "there", None, timeout=60)
        assert peer.wait_ended() == ("UNAVAILABLE", "this socket is no longer served")
        wait_until(lambda: not vmi.socket.exists(), what="the socket is gone")
    assert companions.events[-1].kind == "DELETED"


def test_a_vmi_of_another_node_is_left_alone(
    client: Client, namespace: str, node: Node, vmi: Vmi, peers: Peers
) -> None:
    """Neither its status nor a companion is written, and no socket is bound, even if its pod's directory is here."""
    other = Vmi(client, namespace, "other").create("another-node")
    socket = node.pods.add(other.pod)
    peers.connect(vmi.socket, sessions=1).wait_published()
    assert other.service_status() is None
    assert other.companion() is None
    assert not socket.exists()


def test_what_an_agent_does_not_know_is_not_published(vmi: Vmi, peers: Peers) -> None:
    """While the agent cannot reach libvirt, the number stays, and the companion says that it is the last one known."""
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    peer.report(0, reason=types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)
    vmi.wait_told(unknown(1, "LibvirtUnreachable"))
    assert vmi.service_status() == {"vncSessions": 1}
    peer.report(0, reason=types.OBSERVATION_REASON_WATCHING)
    vmi.wait_told(seen(0))
    vmi.wait_for(0)


def test_grpcurl_shows_what_was_heard_and_what_was_published(handler: Handler, vmi: Vmi, peers: Peers) -> None:
    """Reports and published values, by VMI, in one answer."""
    peer = peers.connect(vmi.socket, sessions=2)
    peer.wait_published()
    status = handler.status(vmi.namespace, vmi.name)
    assert status["vmi"] == {"namespace": vmi.namespace, "name": vmi.name, "uid": vmi.uid}
    (endpoint,) = status["endpoints"]
    assert endpoint["pod_uid"] == vmi.pod
    assert endpoint["instance"] == peer.instance
    assert (endpoint["accepted"], endpoint["published"]) == ("1", "1")
    held = [{"service": "SERVICE_VNC", "sessions": 2}]
    for publication, publisher in zip(status["publications"], ("companion", "vmi-status"), strict=True):
        assert publication["publisher"] == publisher
        assert publication["state"] == "PUBLISH_STATE_PUBLISHED"
        assert publication["observed"] == held
    assert json.dumps(status).count(vmi.uid) == 1
