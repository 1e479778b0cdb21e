"""A node full of VMs: their agents run in this process, on real sockets, with one real handler."""

import contextlib
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.staged import Staged
from tests.apiserver.client import Client
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.overview import Overview
from tests.apiserver.peers import GONE, Peer, Peers
from tests.apiserver.vmis import Vmi
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import WITH_SERVICE_STATUS
from tests.faults.probes import Probe, Reading

#: The handler's backlog after a storm: 200 VMs at 25 writes a second, in two places.
RIGHT_TIMEOUT = 90.0


class Member:
    """One VM of the crowd. Only one thread at a time uses it."""

    def __init__(self, vmi: Vmi, peer: Peer) -> None:
        self.vmi, self.peer = vmi, peer

    @property
    def name(self) -> str:
        return self.vmi.name

    def report(self, sessions: int) -> bool:
        """Report that viewers came or went. False: the stream had ended, and is opened again, as an agent does."""
        try:
            self.peer.report(sessions)
        except GONE:
            self.reconnect()
            return False
        return True

    def reconnect(self) -> None:
        """Restart the agent, which reports what it sees."""
        self.peer.connect()
        self.peer.snapshot(self.peer.sessions)

    def replace(self, node: Node) -> None:
        """Delete the VM and create another one of that name, with another VMI and pod."""
        old = self.vmi.pod
        self.vmi.delete()
        node.pods.remove(old)
        node.run(self.vmi)
        self.peer.socket = self.vmi.socket
        self.peer.connect(timeout=60)
        self.peer.snapshot(0)


class Crowd(Staged):
    """`with Crowd(200) as crowd:` all agents are connected, and the published values are right."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def _start(self) -> None:
        enter = self._stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="vss-crowd-", dir="/tmp")))
        plane = enter(ControlPlane(folder / "plane", resources=[WITH_SERVICE_STATUS, BASE]))
        install(plane)
        self.client = enter(contextlib.closing(Client(plane.kubeconfig)))
        namespace = f"crowd-{uuid.uuid4().hex[:8]}"
        self.client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.node = enter(Node(plane, f"node-{uuid.uuid4().hex[:8]}"))
        vmis = [Vmi(self.client, namespace, f"vm-{number:03}") for number in range(self._number)]
        self._overview = Overview(self.client, vmis[0])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.node.run, vmis))
        self._probe = Probe(folder / "probe")
        self.handler: Handler = enter(self.node.handler(env=self._probe.environment))
        peers = enter(Peers())
        agents = peers.connect_all([vmi.socket for vmi in vmis])
        self.members = [Member(vmi, peer) for vmi, peer in zip(vmis, agents, strict=True)]
        for member in self.members:
            member.peer.snapshot(0)
        self.wait_right()

    def reading(self, at: float) -> Reading:
        """Read the handler, which must be running."""
        assert self.handler.running, f"the handler has ended by itself; its log ends:\n{self.handler.log_tail()}"
        return self._probe.read(self.handler, at)

    def wait_right(self) -> None:
        """Wait until all shown values are those reported. An agent whose stream has ended unnoticed reports again."""
        for member in self.members:
            if member.peer.ended is not None:
                member.reconnect()
        self._overview.wait_right(self._said, RIGHT_TIMEOUT)

    def _said(self) -> dict[str, int]:
        return {member.name: member.peer.sessions for member in self.members}
