"""All targets of a run: a control plane, a node with its handler, VMs of one libvirt with their agents, a controller.

All of it is real, and each part is a process that can be killed, frozen and restarted separately.
"""

import contextlib
import http.client
import tempfile
import time
import uuid
from pathlib import Path

from testbed.libvirtd import PrivateLibvirt
from testbed.staged import Staged
from testbed.vm import VirtualMachine, VirtualMachines
from testbed.waiting import wait_until
from tests.apiserver.agents import Agent
from tests.apiserver.client import ApiError, Client
from tests.apiserver.controllers import LEASE as NODE_LEASE
from tests.apiserver.controllers import Controller
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Handler, Node
from tests.apiserver.vmis import Vmi, seen
from tests.cluster.control_plane import ControlPlane
from tests.cluster.vmi import WITH_SERVICE_STATUS

# Short, so that a fault of a few seconds outlasts it, and one of a moment does not.
LEASE = 3.0
# Other faults of the round may hit it in the meantime.
SERVED_TIMEOUT = 120.0
HANDLER = "handler"
TERMS = (f"--lease={LEASE:g}s", "--heartbeat-interval=1s", NODE_LEASE)


class Machine:
    """A VM, its VMI, and the agent of its pod."""

    def __init__(self, vm: VirtualMachine, vmi: Vmi, log: Path) -> None:
        self.vm, self.vmi = vm, vmi
        self.name = vmi.name
        self.agent = Agent(vm, vmi, log)


class Stand(Staged):
    """`with Stand(3) as stand:` everything runs and is exact; at the end it is all removed.

    `witness` is one more VMI on the node, without a VM: the test itself is its agent.
    """

    def __init__(self, machines: int) -> None:
        super().__init__()
        self._number = machines
        self.namespace = f"faults-{uuid.uuid4().hex[:8]}"

    @property
    def logs(self) -> dict[str, str]:
        """The logs of the handler, and of each agent by the name of its VM."""
        agents = {machine.name: machine.agent.log_text(whole=True) for machine in self.machines}
        return {HANDLER: self.handler.log_text(whole=True), **agents}

    def check_running(self) -> None:
        """Check that no program of this project has ended by itself."""
        for program in (self.handler, self.controller, *(machine.agent for machine in self.machines)):
            assert program.running, f"{program} has ended by itself; its log ends:\n{program.log_tail()}"

    def wait_served(self) -> None:
        """Wait until the API server accepts a write: after etcd's restart it needs seconds, more on a busy machine."""
        wait_until(
            self._write,
            what="the API server accepts a write",
            timeout=SERVED_TIMEOUT,
            interval=0.1,
            retry_on=(ApiError, OSError, http.client.HTTPException, ValueError),
        )

    def _write(self) -> bool:
        annotation = {"metadata": {"annotations": {"faults/written": str(time.monotonic())}}}
        self.client.patch(f"/api/v1/namespaces/{self.namespace}?timeout=1s", annotation)
        return True

    def _start(self) -> None:
        enter = self._stack.enter_context
        # Its path is short: a unix socket's holds 107 bytes.
        self._folder = Path(enter(tempfile.TemporaryDirectory(prefix="vss-faults-", dir="/tmp")))
        self._folder.chmod(0o755)
        self.plane = enter(ControlPlane(self._folder / "plane", resources=[WITH_SERVICE_STATUS, BASE]))
        install(self.plane)
        self.client = enter(contextlib.closing(Client(self.plane.kubeconfig)))
        self.client.post("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.libvirtd = enter(PrivateLibvirt())
        self.node: Node = enter(Node(self.plane, f"node-{uuid.uuid4().hex[:8]}"))
        # Accounts and tokens exist; from here on it would only use CPU time.
        self.plane.controller_manager.kill()
        self._populate()

    def _populate(self) -> None:
        enter = self._stack.enter_context
        vms = enter(VirtualMachines(self.libvirtd))
        self.machines = [self._machine(vms, f"vm-{number}") for number in range(self._number)]
        self.witness = self.node.run(Vmi(self.client, self.namespace, "witness"))
        self.controller = enter(Controller(self.plane, self._folder))
        self.handler: Handler = enter(self.node.handler(*TERMS))
        for machine in self.machines:
            enter(machine.agent)
        for machine in self.machines:
            machine.vmi.wait_told(seen(0))

    def _machine(self, vms: VirtualMachines, name: str) -> Machine:
        vmi = self.node.run(Vmi(self.client, self.namespace, name))
        vm = vms.new(name=f"{self.namespace}_{name}").start()
        return Machine(vm, vmi, self._folder / f"agent-{name}.log")
