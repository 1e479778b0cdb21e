"""VMs that the real KubeVirt runs, each with its VMI, its launcher pod, and the ways to its screen."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.apiserver.vmis import Vmi
from tests.cluster.objects import Object
from tests.kubevirt.deployment import Deployment
from tests.kubevirt.objects import instance, migration, virtual_machine
from tests.kubevirt.virtctl import VncProxy
from tests.node.pods import NodePod
from tests.node.site import Site
from tests.support.waiting import wait_until

AGENT = "launcher-agent"
COMPUTE = "compute"
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

    # --- its life ---

    @property
    def phase(self) -> str:
        return str(self.vmi.object()["status"].get("phase", ""))

    def wait_running(self) -> None:
        running = f"{self.vmi.name} is Running"
        wait_until(lambda: self.phase, lambda phase: phase == "Running", what=running, timeout=START_TIMEOUT)

    def delete(self) -> None:
        """Returns when the VMI is gone."""
        self.vmi.delete()
        gone = f"{self.vmi.name} is gone"
        client = self._site.client
        wait_until(lambda: client.find(self.vmi.path), lambda found: found is None, what=gone, timeout=START_TIMEOUT)

    def conditions(self) -> dict[str, str]:
        return {condition["type"]: condition["status"] for condition in self.vmi.object()["status"]["conditions"]}

    @property
    def node(self) -> str:
        return str(self.vmi.object()["status"]["nodeName"])

    def migrate(self) -> None:
        """Live, to another node; returns when KubeVirt says that it has succeeded."""
        path = f"/apis/kubevirt.io/v1/namespaces/{self.vmi.namespace}/virtualmachineinstancemigrations"
        created = self._site.client.post(path, migration(self.vmi.name, self.vmi.namespace))
        path = f"{path}/{created['metadata']['name']}"

        def phase() -> str:
            seen = str(self._site.client.get(path).get("status", {}).get("phase", ""))
            assert seen != "Failed", "the migration has failed"
            return seen

        done = f"{self.vmi.name} is migrated"
        wait_until(phase, lambda seen: seen == "Succeeded", what=done, timeout=START_TIMEOUT, interval=0.02)

    # --- its pod ---

    @property
    def pod(self) -> NodePod:
        """The one that is there."""
        (only,) = self.pods()
        return NodePod(self._site, only)

    def pods(self) -> list[Object]:
        label = f"--selector=kubevirt.io/created-by={self.vmi.uid}"
        listed = self._site.cluster.kubectl("get", "pods", f"--namespace={self.vmi.namespace}", label, "--output=json")
        return list(json.loads(listed)["items"])

    def kill_in_pod(self, name: str) -> None:
        """SIGKILL for the processes of that name beside the VM."""
        self._in_pod("pkill", "-KILL", "--exact", name)

    def processes(self, name: str) -> list[str]:
        """Their numbers there."""
        return self._in_pod("pgrep", "--exact", name, check=False).split()

    def _in_pod(self, *command: str, check: bool = True) -> str:
        where = (self.pod.name, f"--namespace={self.vmi.namespace}", f"--container={COMPUTE}")
        return self._site.cluster.kubectl("exec", *where, "--", *command, check=check)

    # --- its screen ---

    def virtctl(self, *, preserve: bool = False) -> VncProxy:
        """`virtctl vnc`, not started yet."""
        self._proxies += 1
        log = self._logs / f"virtctl-{self._proxies}.log"
        command = self.deployment.virtctl_command()
        return VncProxy(command, self.vmi.name, self.vmi.namespace, log, preserve=preserve)

    def do(self, *arguments: str) -> None:
        """Another command of virtctl about this VMI: `do("pause", "vmi")`."""
        self.deployment.virtctl(*arguments, self.vmi.name, f"--namespace={self.vmi.namespace}")


class Machines:
    """Makes them in one namespace."""

    def __init__(self, site: Site, deployment: Deployment, namespace: str, logs: Path) -> None:
        self._site = site
        self._deployment = deployment
        self._namespace = namespace
        self._logs = logs

    def create(
        self, name: str = "vm", *, labels: Mapping[str, str] | None = None, node: str | None = FIRST_NODE
    ) -> Machine:
        """Bound to a node, unless that is None."""
        vmi = Vmi(self._site.client, self._namespace, name)
        manifest = instance(name, self._namespace)
        manifest["metadata"]["labels"] = dict(labels or {})
        if node is not None:
            manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
        created = self._site.client.post(vmi.path.rpartition("/")[0], manifest)
        vmi.uid = created["metadata"]["uid"]
        return Machine(self._site, self._deployment, vmi, self._logs)

    def own(self, name: str = "vm") -> Machine:
        """Of a VirtualMachine, which makes it; returns when it runs."""
        path = f"/apis/kubevirt.io/v1/namespaces/{self._namespace}/virtualmachines"
        self._site.client.post(path, virtual_machine(name, self._namespace))
        return self.successor(name, former="")

    def successor(self, name: str, *, former: str) -> Machine:
        """The VMI of a VirtualMachine that has another UID than its former one; returns when it runs."""
        vmi = Vmi(self._site.client, self._namespace, name)

        def uid() -> str:
            found = self._site.client.find(vmi.path)
            return str(found["metadata"]["uid"]) if found else ""

        made = f"{name} has a new VMI"
        vmi.uid = wait_until(uid, lambda seen: seen not in {"", former}, what=made, timeout=START_TIMEOUT)
        machine = Machine(self._site, self._deployment, vmi, self._logs)
        machine.wait_running()
        return machine

    def start(self, name: str = "vm", *, node: str | None = FIRST_NODE) -> Machine:
        """Returns when it runs."""
        machine = self.create(name, node=node)
        machine.wait_running()
        return machine
