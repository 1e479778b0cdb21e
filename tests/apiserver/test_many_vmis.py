"""A node with two hundred VMs. Viewers and VMs come and go; every VMI is written, and none too often."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from testbed.waiting import wait_until
from tests.apiserver.client import Client, Recorder
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.overview import Overview
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Vmi

pytestmark = pytest.mark.usefixtures("service_status_schema")

VMS = 200
# Seconds of the storm, and changes in it; an agent merges what comes faster than two a second.
STORM = 6.0
CHANGES = 600
# Bytes. Measured: 100 MiB.
MEMORY = 160 << 20


@dataclass
class Crowd:
    """All VMIs of a node, each with its agent."""

    client: Client
    namespace: str
    node: Node
    handler: Handler
    vmis: list[Vmi]
    peers: list[Peer]

    @property
    def overview(self) -> Overview:
        return Overview(self.client, self.vmis[0])

    def said(self) -> dict[str, int]:
        """Return by VMI what its agent reported last; the handler has received all reports."""
        assert [(peer.socket, peer.ended, peer.resyncs) for peer in self.peers if peer.ended or peer.resyncs] == []
        return {vmi.name: peer.sessions for vmi, peer in zip(self.vmis, self.peers, strict=True)}

    def wait_right(self) -> None:
        """Wait until everything that is shown is what the agents reported."""
        self.overview.wait_right(self.said, timeout=60)


@pytest.fixture
def crowd(client: Client, namespace: str, new_node: Callable[[], Node], peers: Peers) -> Iterator[Crowd]:
    node = new_node()
    vmis = [node.run(Vmi(client, namespace, f"vm-{number:03}")) for number in range(VMS)]
    with node.handler() as handler:
        agents = peers.connect_all([vmi.socket for vmi in vmis])
        for number, agent in enumerate(agents):
            agent.snapshot(number % 3)
        yield Crowd(client, namespace, node, handler, vmis, agents)


def test_two_hundred_vms(crowd: Crowd) -> None:
    """All numbers are right at first, after a storm of viewers, and after a quarter of the VMs was replaced.

    In the storm a VMI is written at most once a second, except for one first rise. The memory does not grow.
    """
    crowd.wait_right()
    _storm(crowd)
    crowd.wait_right()
    memory, files = crowd.handler.memory().resident, crowd.handler.open_files()
    assert memory < MEMORY
    _replace(crowd, VMS // 4)
    crowd.wait_right()
    assert crowd.handler.memory().resident < memory * 1.1
    wait_until(crowd.handler.open_files, lambda now: now <= files + 8, what=f"about {files} files are open")
    assert [line for line in crowd.handler.lines("WARNING") if "/vm-" in line] == []


def _storm(crowd: Crowd) -> None:
    chance = random.Random(1)  # noqa: S311  # repeatable, not secret
    with (
        Recorder(crowd.client, crowd.overview.path) as versions,
        Recorder(crowd.client, crowd.overview.companions_path) as companions,
    ):
        began = time.monotonic()
        for number in range(CHANGES):
            chance.choice(crowd.peers).report(chance.randrange(4))
            time.sleep(max(0.0, began + (number + 1) * STORM / CHANGES - time.monotonic()))
        crowd.wait_right()
        seconds = time.monotonic() - began
    for recorded in (versions, companions):
        writes: dict[str, int] = defaultdict(int)
        for event in recorded.events:
            writes[event.object["metadata"]["name"]] += event.kind == "MODIFIED"
        assert max(writes.values()) <= seconds + 2
        assert sum(writes.values()) <= CHANGES


def _replace(crowd: Crowd, number: int) -> None:
    """Under the same names, on the same node, with new pods."""
    for vmi in crowd.vmis[:number]:
        old = vmi.pod
        vmi.delete()
        crowd.node.pods.remove(old)
        crowd.node.run(vmi)
    for index, vmi in enumerate(crowd.vmis[:number]):
        peer = crowd.peers[index]
        peer.socket = vmi.socket
        peer.connect()
        peer.snapshot(index % 3)
