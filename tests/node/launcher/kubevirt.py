"""A small replacement of KubeVirt's controllers: VMIs, their launcher pods, and the VMI fields that name both."""

from collections.abc import Sequence

from testbed.addresses import UnixAddress
from testbed.waiting import wait_until
from tests.apiserver.client import Recorder
from tests.apiserver.vmis import Vmi
from tests.node.launcher.shape import AGENT, COMPUTE, VNC, VOLUMES, launcher
from tests.node.place import Place, PodSocket
from tests.node.pods import NodePod

# libvirt and QEMU together start within 3 s, and within 10 on two busy cores.
START_TIMEOUT = 90.0


class LauncherPod(NodePod):
    """A launcher pod of a VMI."""

    def __init__(
        self, site: Place, vmi: Vmi, *, command: Sequence[str], guaranteed: bool, owns_status: bool, automount: bool
    ) -> None:
        """Create it; see `shape.launcher`."""
        shape = launcher(site, vmi.object(), command=command, guaranteed=guaranteed, owns_status=owns_status)
        shape["spec"]["automountServiceAccountToken"] = automount
        super().__init__(site, site.client.post(f"/api/v1/namespaces/{vmi.namespace}/pods", shape))
        self._vmi = vmi

    @property
    def display(self) -> UnixAddress:
        """The VNC socket that KubeVirt's proxy dials."""
        return self._site.address(self._vnc)

    @property
    def _vnc(self) -> PodSocket:
        name = VNC.format(uid=self._vmi.uid)
        return PodSocket(self.namespace, self.name, self.uid, COMPUTE, "private", VOLUMES["private"], name)

    def wait_display(self) -> None:
        """Until QEMU listens."""
        wait_until(self._has_display, what=f"the VM of {self.name} runs", timeout=START_TIMEOUT, interval=0.1)

    def _has_display(self) -> bool:
        phase = self.phase
        assert phase in {"Pending", "Running"}, f"{self.name} is {phase}:\n{self.log(COMPUTE)}"
        return self._site.has(self._vnc)

    def wait_agent(self, text: str) -> None:
        """Wait until the log of the agent's current run contains this."""
        wait_until(lambda: self.log(AGENT), lambda log: text in log, what=f"the agent says {text!r}", interval=0.2)

    def cut_off(self) -> None:
        """Remove its network, like a binding that gives the pod's address to the guest."""
        network = f"--net=/proc/{self.process(COMPUTE)}/ns/net"
        self.node.exec("nsenter", network, "ip", "link", "set", "eth0", "down")

    def record(self) -> Recorder:
        """Record every version of the pod."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return Recorder(self._site.client, path, {"fieldSelector": f"metadata.name={self.name}"})

    def restarts(self) -> tuple[int, int]:
        """The restarts of the VM's container, and of the agent's."""
        return self.container(COMPUTE)["restartCount"], self.container(AGENT)["restartCount"]


class Machine:
    """A VMI with one launcher pod, or two."""

    def __init__(self, vmi: Vmi, launchers: Sequence[LauncherPod]) -> None:
        self.vmi = vmi
        self.launchers = list(launchers)

    @property
    def launcher(self) -> LauncherPod:
        (only,) = self.launchers
        return only

    @property
    def display(self) -> UnixAddress:
        return self.launcher.display


class KubeVirt:
    """For one namespace, on the place's node."""

    def __init__(self, site: Place, namespace: str) -> None:
        self._site = site
        self._namespace = namespace
        self._node = site.node_name

    def start(
        self,
        name: str = "vm",
        *,
        launchers: int = 1,
        command: Sequence[str] = (),
        guaranteed: bool = False,
        owns_status: bool = False,
        automount: bool = False,
    ) -> Machine:
        """Start a VMI with a running VM; with a command, its launcher pod runs the command instead, and is only
        created.

        With `automount` the pod has its service account's token, like one with Istio's annotation.
        """
        vmi = Vmi(self._site.client, self._namespace, name).create(self._node, pods={}, phase="Scheduling")
        pods = [
            LauncherPod(
                self._site,
                vmi,
                command=command,
                guaranteed=guaranteed,
                owns_status=owns_status,
                automount=automount,
            )
            for _ in range(launchers)
        ]
        vmi.patch(phase="Scheduled", activePods={pod.uid: self._node for pod in pods})
        if not command:
            for pod in pods:
                pod.wait_display()
            vmi.patch(phase="Running")
        return Machine(vmi, pods)

    def stop(self, *machines: Machine) -> None:
        """Delete the pods, and when they are gone the VMIs."""
        pods = [pod for machine in machines for pod in machine.launchers]
        for pod in pods:
            pod.delete()
        for pod in pods:
            pod.wait_gone()
        for machine in machines:
            machine.vmi.delete()
