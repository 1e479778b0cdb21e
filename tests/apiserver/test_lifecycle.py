"""VMIs and their pods start and end in every order, and reports about one are never shown for another."""

from collections.abc import Iterator

import pytest

from servicestatus.v1 import sessions_pb2 as types
from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import Vmi, new_uid, seen, service_status, told, unknown

pytestmark = pytest.mark.usefixtures("service_status_schema", "handler")

NO_AGENT = (
    "No agent has reported for this VM. A launcher pod that was created before the agent was installed has none: "
    "a live migration or a restart of the VM creates a pod with an agent, unless the label "
    "servicestatus.kubevirt.io/inject of the VM's template or of its namespace keeps it away."
)


@pytest.fixture(scope="module")
def short_lease(shared_node_of_module: Node) -> Iterator[Handler]:
    """Two seconds: these tests wait for a lease to expire."""
    with shared_node_of_module.handler("--lease=2s", "--heartbeat-interval=500ms") as running:
        yield running


@pytest.fixture
def node(shared_node_of_module: Node) -> Node:
    return shared_node_of_module


@pytest.fixture
def handler(short_lease: Handler) -> Handler:
    return short_lease


def test_a_vmi_that_is_created_again_at_once_begins_anew(node: Node, vmi: Vmi, peers: Peers) -> None:
    """Under the same name, with another UID and another pod: no version of the new object shows the old number."""
    old, old_uid = peers.connect(vmi.socket, sessions=3), vmi.uid
    old.wait_published()
    with vmi.record() as versions, vmi.record_companion() as companions:
        vmi.delete()
        node.run(vmi)
        assert vmi.uid != old_uid
        new = peers.connect(vmi.socket, sessions=1)
        new.wait_published()
        assert old.wait_ended()[0] == "UNAVAILABLE"
        vmi.wait_told(seen(1))
        companions.wait_for(told, seen(1))
    of_new = [event.object for event in versions.events if event.object["metadata"]["uid"] == vmi.uid]
    assert {str(service_status(version)) for version in of_new} == {"None", "{'vncSessions': 1}"}
    told_of_new = [event.object for event in companions.events if event.object["spec"]["vmiUID"] == vmi.uid]
    assert {told(version)[0] for version in told_of_new} == {None, 1}
    companion = vmi.companion()
    assert companion is not None
    assert companion["metadata"]["ownerReferences"][0]["uid"] == vmi.uid


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_vmi_in_a_final_phase_has_nobody(vmi: Vmi, peers: Peers, phase: str) -> None:
    """Its QEMU has ended, whatever its agent reported last; the agent's socket is closed."""
    peer = peers.connect(vmi.socket, sessions=2)
    peer.wait_published()
    vmi.patch(phase=phase)
    vmi.wait_for(0)
    vmi.wait_told((None, "True", "True", "Finished"))
    assert peer.wait_ended()[0] == "UNAVAILABLE"


def test_a_pod_that_is_gone_ends_its_agents_stream(node: Node, vmi: Vmi, peers: Peers) -> None:
    """The kubelet has removed its directory. The number is no longer observed; the last known one stays."""
    peer = peers.connect(vmi.socket, sessions=1)
    peer.wait_published()
    node.pods.remove(vmi.pod)
    assert peer.wait_ended() == ("UNAVAILABLE", "this socket is no longer served")
    vmi.wait_told(unknown(1, "NoAgent"))
    assert vmi.service_status() == {"vncSessions": 1}


def test_two_pods_of_one_vmi_add_up(node: Node, vmi: Vmi, peers: Peers) -> None:
    """Each pod contributes its own number; when one ends, the other's number remains."""
    second = new_uid()
    socket = node.pods.add(second)
    vmi.patch(activePods={second: node.name})
    one, other = peers.connect(vmi.socket, sessions=1), peers.connect(socket, sessions=2)
    vmi.wait_for(3)
    one.report(2)
    vmi.wait_for(4)
    other.close()
    node.pods.remove(second)
    vmi.patch(activePods={second: None})
    vmi.wait_for(2)
    vmi.wait_told(seen(2))


def test_a_pod_may_be_named_before_its_directory_is_there(
    client: Client, namespace: str, node: Node, peers: Peers
) -> None:
    """At first `activePods` names it without a node; its socket is bound when the kubelet has made its volume."""
    pod = new_uid()
    vmi = Vmi(client, namespace).create(node.name, pods={pod: ""}, phase="Scheduled")
    vmi.wait_told(unknown(0, "NoAgent"))
    peers.connect(node.pods.add(pod), sessions=1).wait_published()
    vmi.wait_for(1)


@pytest.mark.parametrize("directory", [False, True], ids=["no volume in its pod", "an agent that never reports"])
def test_a_vmi_without_an_agent_is_told_as_not_observed(
    client: Client, namespace: str, node: Node, directory: bool
) -> None:
    """After a lease its companion says so, and what to do; it shows no number."""
    vmi = Vmi(client, namespace).create(node.name)
    if directory:
        node.pods.add(vmi.pod)
    vmi.wait_told(unknown(0, "NoAgent"))
    companion = vmi.companion()
    assert companion is not None
    observed, idle, *_ = companion["status"]["conditions"]
    assert observed["message"].startswith(NO_AGENT)
    assert idle["reason"] == "NotObserved"
    assert idle["message"].startswith(f"Not known whether a viewer is connected: {NO_AGENT}")
    assert vmi.service_status() is None


def test_an_agent_that_falls_silent_leaves_its_number(vmi: Vmi, peers: Peers) -> None:
    """After a lease the number is the last one known; the next message of the agent makes it observed again."""
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    peer.silence()
    vmi.wait_told(unknown(1, "AgentSilent"))
    assert vmi.service_status() == {"vncSessions": 1}
    peer.speak()
    vmi.wait_told(seen(1))


def test_an_agent_that_is_killed_leaves_its_number_for_a_lease(vmi: Vmi, peers: Peers) -> None:
    """A new agent, which finds no viewer, may lower it."""
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    peer.close()
    vmi.wait_told(unknown(1, "AgentSilent"))
    peers.connect(vmi.socket)
    vmi.wait_told(seen(0))
    vmi.wait_for(0)


def test_a_goodbye_is_not_a_zero(vmi: Vmi, peers: Peers) -> None:
    """Except if the agent has seen its VM end."""
    peer = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    peer.goodbye()
    vmi.wait_told(unknown(1, "AgentStopped"))
    assert vmi.service_status() == {"vncSessions": 1}
    successor = peers.connect(vmi.socket, sessions=1)
    vmi.wait_told(seen(1))
    successor.goodbye(domain_ended=True)
    vmi.wait_told((None, "True", "True", "NoDomain"))
    vmi.wait_for(0)


def test_an_agent_that_sees_only_a_part_may_raise_and_not_lower(vmi: Vmi, peers: Peers) -> None:
    """A lower bound is not an observation."""
    peer = peers.connect(vmi.socket, sessions=2)
    vmi.wait_told(seen(2))
    peer.snapshot(1, types.OBSERVATION_REASON_LOWER_BOUND)
    vmi.wait_told(unknown(2, "LowerBound"))
    peer.snapshot(3, types.OBSERVATION_REASON_LOWER_BOUND)
    vmi.wait_told(unknown(3, "LowerBound"))
    vmi.wait_for(3)


def test_a_vmi_that_comes_and_goes_leaves_nothing(
    client: Client, namespace: str, node: Node, handler: Handler, peers: Peers
) -> None:
    """Neither a socket, nor an open file, nor an entry in the debug API."""
    vmi = node.run(Vmi(client, namespace))
    peers.connect(vmi.socket).wait_published()
    before = handler.open_files()
    vmi.delete()
    wait_until(lambda: not vmi.socket.exists(), what="the socket is gone")
    for _ in range(3):
        node.run(vmi)
        peers.connect(vmi.socket).wait_published()
        vmi.delete()
        wait_until(lambda: not vmi.socket.exists(), what="the socket is gone")
    wait_until(handler.open_files, lambda files: files <= before, what=f"at most {before} files are open")
    listed = handler.admin.call("servicestatus.v1.ServiceStatusService/ListServiceStatuses", {"namespace": namespace})
    assert listed == {}
