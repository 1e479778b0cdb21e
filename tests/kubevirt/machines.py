"""VMs that the real KubeVirt runs, each with its VMI, its launcher pod, and access to its screen."""

import http
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.grpcurl import Grpcurl, Watch
from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Recorder
from tests.apiserver.vmis import Vmi
from tests.cluster.objects import Object
from tests.kubevirt.creation import create
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.migrations import Migration
from tests.kubevirt.objects import instance, virtual_machine
from tests.kubevirt.virtctl import Console, UsbRedirect, VncProxy
from tests.node.pods import NodePod
from tests.node.site import Site

AGENT = "launcher-agent"
COMPUTE = "compute"
# As the kernel has it, which keeps 15 bytes of a name.
QEMU = "qemu-system-x86"
#: The labels of a VM without an agent.
WITHOUT = {"servicestatus.kubevirt.io/inject": "false"}
# 2 to 4 s on two idle cores.
START_TIMEOUT = 180.0
# Where a `NodePod` is looked for.
FIRST_NODE = "n1"


class Machine:
    """One VMI that was created; it need not run yet."""

    def __init__(self, site: Site, deployment: Deployment, vmi: Vmi, logs: Path) -> None:
        self.vmi = vmi
        self.deployment = deployment
        self._site = site
        self._logs = logs
        self._proxies = 0
        self._watches = 0

    # --- its life ---

    @property
    def phase(self) -> str:
        return str(self.vmi.object()["status"].get("phase", ""))

    def wait_running(self) -> None:
        running = f"{self.vmi.name} is Running"
        wait_until(lambda: self.phase, lambda phase: phase == "Running", what=running, timeout=START_TIMEOUT)

    def delete(self) -> None:
        """Return when the VMI is gone."""
        self.vmi.delete()
        gone = f"{self.vmi.name} is gone"
        client = self._site.client
        wait_until(lambda: client.find(self.vmi.path), lambda found: found is None, what=gone, timeout=START_TIMEOUT)

    def conditions(self) -> dict[str, str]:
        return {condition["type"]: condition["status"] for condition in self.vmi.object()["status"]["conditions"]}

    @property
    def node(self) -> str:
        return str(self.vmi.object()["status"]["nodeName"])

    def begin_migration(self) -> Migration:
        """Request a live migration to another node."""
        return Migration(self._site.client, self.vmi)

    def migrate(self) -> None:
        """Return when KubeVirt reports success."""
        self.begin_migration().wait_succeeded()

    def evict(self) -> None:
        """Evict its pod like `kubectl drain`. KubeVirt denies it, and migrates the VM."""
        (pod,) = self.pods()
        name, namespace = pod["metadata"]["name"], self.vmi.namespace
        metadata = {"name": name, "namespace": namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        try:
            self._site.client.post(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", eviction)
        except ApiError as error:
            if error.code != http.HTTPStatus.TOO_MANY_REQUESTS:
                raise

    # --- its pod ---

    @property
    def pod(self) -> NodePod:
        """Its only pod."""
        (only,) = self.pods()
        return NodePod(self._site, only)

    def pods(self) -> list[Object]:
        label = f"--selector=kubevirt.io/created-by={self.vmi.uid}"
        listed = self._site.cluster.kubectl("get", "pods", f"--namespace={self.vmi.namespace}", label, "--output=json")
        return list(json.loads(listed)["items"])

    @property
    def has_agent(self) -> bool:
        (pod,) = self.pods()
        return AGENT in [container["name"] for container in pod["spec"].get("initContainers", ())]

    def kill_in_pod(self, name: str) -> None:
        """Send SIGKILL to the processes of that name in the VM's container."""
        self._in_pod(self.pod.name, "pkill", "-KILL", "--exact", name)

    def kill_target(self) -> None:
        """Send SIGKILL to the QEMU at the target of a migration, as soon as there is one."""
        (target,) = (pod["metadata"]["name"] for pod in self.pods() if pod["spec"].get("nodeName") != self.node)
        kill = ("pkill", "-KILL", "--echo", "--exact", QEMU)
        wait_until(lambda: self._in_pod(target, *kill, check=False), what=f"{QEMU} in {target} is killed")

    def processes(self, name: str) -> list[str]:
        """Their numbers there."""
        return self._in_pod(self.pod.name, "pgrep", "--exact", name, check=False).split()

    def _in_pod(self, pod: str, *command: str, check: bool = True) -> str:
        where = (pod, f"--namespace={self.vmi.namespace}", f"--container={COMPUTE}")
        return self._site.cluster.kubectl("exec", *where, "--", *command, check=check)

    def watch_agent(self) -> Watch:
        """Watch the agent by its debug API: a message at the start, and one at each change."""
        self._watches += 1
        log = self._logs / f"agent-status-{self._watches}.json"
        return Grpcurl(self.pod.agent_socket).watch("servicestatus.v1.AgentStatusService/WatchAgentStatus", log=log)

    def agent_log(self) -> str:
        """Everything that the agent beside the VM has logged."""
        where = (self.pod.name, f"--namespace={self.vmi.namespace}", f"--container={AGENT}")
        return self._site.cluster.kubectl("logs", *where, "--tail=-1")

    # --- its screen ---

    def virtctl(self, *, preserve: bool = False) -> VncProxy:
        """Return `virtctl vnc`, not started yet."""
        return VncProxy(*self._virtctl(), preserve=preserve)

    # --- its other services ---

    def console(self) -> Console:
        """Return `virtctl console`, not started yet."""
        return Console(*self._virtctl())

    def redirect(self) -> UsbRedirect:
        """Return `virtctl usbredir`, not started yet."""
        return UsbRedirect(*self._virtctl())

    def _virtctl(self) -> tuple[list[str | Path], str, str, Path]:
        self._proxies += 1
        log = self._logs / f"virtctl-{self._proxies}.log"
        return self.deployment.virtctl_command(), self.vmi.name, self.vmi.namespace, log

    def monitor(self, command: str, **arguments: object) -> Any:
        """Have QEMU execute a command of QMP, on the VMI's node: the source of a migration remains for a while."""
        (pod,) = (one["metadata"]["name"] for one in self.pods() if one["spec"].get("nodeName") == self.node)
        request = json.dumps({"execute": command, "arguments": arguments})
        domain = f"{self.vmi.namespace}_{self.vmi.name}"
        answer = self._in_pod(pod, "virsh", "qemu-monitor-command", domain, request)
        return json.loads(answer)["return"]

    def do(self, *arguments: str) -> None:
        """Run another virtctl command about this VMI: `do("pause", "vmi")`."""
        self.deployment.virtctl(*arguments, self.vmi.name, f"--namespace={self.vmi.namespace}")


class Machines:
    """Makes VMs in one namespace."""

    def __init__(self, site: Site, deployment: Deployment, namespace: str, logs: Path) -> None:
        self._site = site
        self._deployment = deployment
        self._namespace = namespace
        self._logs = logs

    def create(
        self,
        name: str = "vm",
        *,
        labels: Mapping[str, str] | None = None,
        node: str | None = FIRST_NODE,
        memory: str = "64Mi",
        spec: Mapping[str, object] | None = None,
        devices: Mapping[str, object] | None = None,
    ) -> Machine:
        """Bind it to a node, unless that is None. `spec` and `devices` are merged into the usual ones."""
        vmi = Vmi(self._site.client, self._namespace, name)
        manifest = instance(name, self._namespace, memory)
        manifest["metadata"]["labels"] = dict(labels or {})
        manifest["spec"] |= dict(spec or {})
        manifest["spec"]["domain"]["devices"] |= dict(devices or {})
        if node is not None:
            manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
        created = create(self._site.client, self._path, manifest)
        vmi.uid = created["metadata"]["uid"]
        return Machine(self._site, self._deployment, vmi, self._logs)

    def own(self, name: str = "vm") -> Machine:
        """Return the VMI of a new VirtualMachine when it runs."""
        path = f"/apis/kubevirt.io/v1/namespaces/{self._namespace}/virtualmachines"
        create(self._site.client, path, virtual_machine(name, self._namespace))
        return self.successor(name, former="")

    def successor(self, name: str, *, former: str) -> Machine:
        """Return the VMI of a VirtualMachine with another UID than its former one, when it runs."""
        vmi = Vmi(self._site.client, self._namespace, name)

        def uid() -> str:
            found = self._site.client.find(vmi.path)
            return str(found["metadata"]["uid"]) if found else ""

        made = f"{name} has a new VMI"
        vmi.uid = wait_until(uid, lambda seen: seen not in {"", former}, what=made, timeout=START_TIMEOUT)
        machine = Machine(self._site, self._deployment, vmi, self._logs)
        machine.wait_running()
        return machine

    def start(
        self,
        name: str = "vm",
        *,
        labels: Mapping[str, str] | None = None,
        node: str | None = FIRST_NODE,
        memory: str = "64Mi",
        spec: Mapping[str, object] | None = None,
        devices: Mapping[str, object] | None = None,
    ) -> Machine:
        """Return when it runs."""
        machine = self.create(name, labels=labels, node=node, memory=memory, spec=spec, devices=devices)
        machine.wait_running()
        return machine

    # --- all of them ---

    def record(self) -> Recorder:
        """Of every VMI here."""
        return Recorder(self._site.client, self._path)

    def record_companions(self) -> Recorder:
        """Of every VMI here."""
        companions = f"namespaces/{self._namespace}/virtualmachineinstanceservicestatuses"
        return Recorder(self._site.client, f"/apis/servicestatus.kubevirt.io/v1alpha1/{companions}")

    def wait_none(self) -> None:
        """Wait until no VMI is left here."""
        client, gone = self._site.client, f"all VMs of {self._namespace} are gone"
        wait_until(lambda: client.get(self._path)["items"], lambda left: not left, what=gone, timeout=START_TIMEOUT)

    @property
    def _path(self) -> str:
        return f"/apis/kubevirt.io/v1/namespaces/{self._namespace}/virtualmachineinstances"
