"""A live migration with the steps of KubeVirt 1.8.4, between two nodes with one handler each.

The VMI's labels and status change as measured, at the measured moments. The agents are scripted: as in a real
migration, the source's agent never reports that its viewer is gone.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.pool import ViewerPool
from testbed.sampler import Sampler
from testbed.vm import VirtualMachines
from testbed.waiting import wait_until
from tests.apiserver.agents import Agent
from tests.apiserver.client import Client
from tests.apiserver.gateway import Gateway, is_vmi_patch
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.peers import Peers
from tests.apiserver.vmis import NODE_LABEL, TARGET_LABEL, Vmi, new_uid, seen, service_status, told
from tests.cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("service_status_schema")


@dataclass
class Migration:
    """One VMI that migrates from `source` to `target`."""

    vmi: Vmi
    source: Node
    target: Node
    source_handler: Handler
    target_handler: Handler
    target_pod: str = ""

    def begin(self) -> None:
        """Add the target's pod, unscheduled at first; then the label and the migration state."""
        self.target_pod = new_uid()
        self.vmi.patch(activePods={self.target_pod: ""})
        self.vmi.patch(
            labels={TARGET_LABEL: self.target.name},
            activePods={self.target_pod: self.target.name},
            migrationState={"sourceNode": self.source.name, "targetNode": self.target.name},
        )
        self.target.pods.add(self.target_pod)

    @property
    def target_socket(self) -> Path:
        return self.target.pods.socket(self.target_pod)

    def switch(self) -> None:
        """Change label and status in one update."""
        self.vmi.patch(labels={NODE_LABEL: self.target.name}, nodeName=self.target.name)

    def complete(self) -> None:
        """Remove the label, then the source's pod."""
        self.vmi.patch(labels={TARGET_LABEL: None}, migrationState={"completed": True})

    def remove_source(self) -> None:
        self.source.pods.remove(self.vmi.pod)
        self.vmi.patch(activePods={self.vmi.pod: None})

    def fail(self) -> None:
        self.vmi.patch(labels={TARGET_LABEL: None}, migrationState={"failed": True})


Pair = tuple[tuple[Node, Handler], tuple[Node, Handler]]


@pytest.fixture(scope="module")
def pair(control_plane: ControlPlane, installed: None) -> Iterator[Pair]:
    """Two nodes with their handlers."""
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Node(control_plane, f"node-{new_uid()[:8]}")) for _ in range(2)]
        settings = ("--lease=4s", "--heartbeat-interval=1s")
        handlers = [stack.enter_context(node.handler(*settings)) for node in nodes]
        yield (nodes[0], handlers[0]), (nodes[1], handlers[1])


@pytest.fixture
def migration(client: Client, namespace: str, pair: Pair) -> Migration:
    """Not begun yet."""
    (source, source_handler), (target, target_handler) = pair
    return Migration(source.run(Vmi(client, namespace)), source, target, source_handler, target_handler)


def test_the_value_follows_the_vm(migration: Migration, peers: Peers) -> None:
    """The viewer dials again 400 ms after the switch: the VMI shows 1 all the time, at last by the target's handler."""
    vmi = migration.vmi
    peers.connect(vmi.socket, sessions=1).wait_published()
    with Sampler(vmi.service_status) as samples, vmi.record() as versions, vmi.record_companion() as companions:
        migration.begin()
        target = peers.connect(migration.target_socket)
        migration.switch()
        time.sleep(0.4)
        target.report(1)
        migration.complete()
        wait_until(lambda: node_of(vmi), migration.target.name.__eq__, what="the target has taken over")
        migration.remove_source()
        target.wait_published()
    assert samples.values == [{"vncSessions": 1}], str(samples)
    assert versions.values(service_status) == [{"vncSessions": 1}]
    assert {version[:2] for version in companions.values(told)} == {(1, "False")}
    assert node_of(vmi) == migration.target.name


def node_of(vmi: Vmi) -> object:
    companion = vmi.companion()
    return companion and companion["status"].get("nodeName")


def test_a_real_viewer_moves_with_its_vm(
    migration: Migration, vms: VirtualMachines, viewers: ViewerPool, tmp_path: Path
) -> None:
    """Two QEMUs with their agents. The source's is stopped at the switch, so the end of its viewer is not seen."""
    vmi, source, target = migration.vmi, vms.new().start(), vms.new().start()
    with Agent(source, vmi, tmp_path / "source.log"):
        viewer = viewers.establish(source.address)
        vmi.wait_for(1)
        migration.begin()
        with (
            Agent(target, vmi, tmp_path / "target.log", socket=migration.target_socket),
            Sampler(vmi.service_status) as samples,
        ):
            source.signal_qemu(signal.SIGSTOP)
            viewer.close()
            migration.switch()
            time.sleep(0.4)
            viewers.establish(target.address)
            migration.complete()
            wait_until(lambda: node_of(vmi), migration.target.name.__eq__, what="the target has taken over")
            vmi.wait_told(seen(1))
        assert samples.values == [{"vncSessions": 1}], str(samples)
        source.signal_qemu(signal.SIGCONT)


def test_the_sources_ghost_goes_with_the_switch(migration: Migration, peers: Peers) -> None:
    """No viewer dials again. The source's agent still reports 1, its pod still runs, and the VMI shows 0."""
    vmi = migration.vmi
    source = peers.connect(vmi.socket, sessions=1)
    source.wait_published()
    migration.begin()
    peers.connect(migration.target_socket)
    migration.switch()
    vmi.wait_for(0)
    vmi.wait_told(seen(0))
    migration.complete()
    assert source.wait_ended()[0] == "UNAVAILABLE"
    assert vmi.service_status() is None
    assert [line for line in migration.source_handler.lines("WARNING") if vmi.namespace in line] == []


def test_a_target_without_an_agent_lowers_nothing(migration: Migration, peers: Peers) -> None:
    """Its pod was created without one: the number is the last one known, and the companion gives the reason."""
    vmi = migration.vmi
    peers.connect(vmi.socket, sessions=1).wait_published()
    migration.begin()
    migration.switch()
    migration.complete()
    vmi.wait_told((1, "Unknown", "False", "NoAgent"))
    assert vmi.service_status() == {"vncSessions": 1}


def test_an_aborted_migration_changes_nothing(migration: Migration, peers: Peers) -> None:
    """The viewer stays on the source; the reports of the target's agent are ignored."""
    vmi = migration.vmi
    source = peers.connect(vmi.socket, sessions=1)
    source.wait_published()
    with vmi.record() as versions:
        migration.begin()
        target = peers.connect(migration.target_socket, sessions=5)
        target.wait_accepted()
        migration.fail()
        assert target.wait_ended()[0] == "UNAVAILABLE"
        source.report(2)
        source.wait_published()
    assert versions.values(service_status) == [{"vncSessions": 1}, {"vncSessions": 2}]
    assert node_of(vmi) == migration.source.name


def test_a_handler_that_sees_the_migration_late_is_refused(
    control_plane: ControlPlane, client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers
) -> None:
    """Its watches are delayed, so it still treats the VM as its own, and its writes are rejected."""
    source, target = new_node(), new_node()
    vmi = source.run(Vmi(client, namespace))
    with (
        Gateway(control_plane.url, control_plane.ca) as gateway,
        source.handler(server=gateway.url) as late,
        target.handler() as owner,
    ):
        ghost = peers.connect(vmi.socket, sessions=1)
        ghost.wait_published()
        migration = Migration(vmi, source, target, late, owner)
        migration.begin()
        viewer = peers.connect(migration.target_socket, sessions=2)
        with vmi.record() as versions, vmi.record_companion() as companions:
            gateway.hold_watches()
            migration.switch()
            vmi.wait_for(2)
            vmi.wait_told(seen(2))
            before = len(gateway.requests)
            ghost.report(7)
            refused = wait_until(lambda: _refused(gateway, before), lambda found: len(found) >= 2, what="two refusals")
            viewer.report(3)
            viewer.wait_published()
            gateway.release_watches()
            migration.complete()
            assert ghost.wait_ended()[0] == "UNAVAILABLE"
        # The preconditions on the VMI fail; the companion has another resource version by now.
        assert {("vmi", 422), ("companion", 409)} <= refused
    assert {"vncSessions": 7} not in versions.values(service_status)
    assert 7 not in [version[0] for version in companions.values(told) if version]
    assert vmi.service_status() == {"vncSessions": 3}


def _refused(gateway: Gateway, since: int) -> set[tuple[str, int]]:
    writes = [request for request in gateway.requests[since:] if request.is_write and request.status >= 300]
    return {("vmi" if is_vmi_patch(request) else "companion", request.status) for request in writes}


def test_back_and_forth(migration: Migration, peers: Peers) -> None:
    """The VMI returns to its first node, into a third pod: each handler takes over the other's companion."""
    vmi = migration.vmi
    peers.connect(vmi.socket, sessions=1).wait_published()
    migration.begin()
    peers.connect(migration.target_socket, sessions=2)
    migration.switch()
    vmi.wait_told(seen(2))
    migration.complete()
    migration.remove_source()
    back = Migration(vmi, migration.target, migration.source, migration.target_handler, migration.source_handler)
    vmi.pod = migration.target_pod
    back.begin()
    peers.connect(back.target_socket, sessions=3)
    back.switch()
    vmi.wait_told(seen(3))
    vmi.wait_for(3)
    assert node_of(vmi) == migration.source.name
