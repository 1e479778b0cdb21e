"""The project in a cluster, installed and removed as an admin does it: `kubectl apply -k` and `kubectl delete -k`."""

import json
import uuid
from pathlib import Path
from typing import Any

from testbed.grpcurl import Grpcurl
from testbed.waiting import wait_until
from tests.cluster.kinds import define_kinds
from tests.cluster.kubectl import Kubectl
from tests.cluster.objects import Object
from tests.cluster.vmi import STOCK
from tests.node.launcher.shape import AGENT, IDLE, launcher
from tests.node.place import Place
from tests.node.pods import NodePod

NAMESPACE = "vmi-service-status"
DAEMON_SET = "daemonset/vmi-service-status-handler"
TEMPLATE = "launcheragenttemplate/vmi-service-status-launcher-agent"
HANDLER = "handler"
LIST = "servicestatus.v1.ServiceStatusService/ListServiceStatuses"
# Two programs of Python start within 2 s, and within 10 on two busy cores; a namespace needs some seconds to end.
TIMEOUT = 90.0


def uninstall(kubectl: Kubectl, overlay: Path, timeout: float) -> None:
    """Return when all is gone; if it is so already, too, where kubectl would miss the kind and fail."""
    define_kinds(kubectl)
    kubectl.delete("-k", overlay, "--ignore-not-found", wait=timeout)


class Installation:
    """The place's overlay, on a stock KubeVirt's VMIs."""

    def __init__(self, site: Place) -> None:
        self._site = site
        self._kubectl = site.cluster.kubectl
        self._applied = False

    def ensure(self) -> None:
        """Make it ready, as `apply` leaves it; an existing one is not applied again, which takes seconds."""
        if self._applied:
            self.wait_ready()
        else:
            self.apply()

    def apply(self) -> None:
        """Return when the handler is ready and new launcher pods get their agent."""
        self.apply_other(self._site.overlay)
        self.wait_injects()
        self._applied = True

    def apply_other(self, overlay: Path) -> None:
        """Apply another overlay than the place's; return when the handler is ready."""
        self._kubectl("apply", "--server-side", "-k", STOCK)
        define_kinds(self._kubectl)
        # A namespace that is still ending accepts nothing.
        self._kubectl("apply", "--server-side", "-k", overlay)
        self.wait_ready()

    def restore(self) -> None:
        """Restore what a test has patched; by force, since a patch owns the fields that it changed."""
        self._kubectl("apply", "--server-side", "--force-conflicts", "-k", self._site.overlay)

    def delete(self) -> None:
        """Return when all is gone."""
        self._applied = False
        uninstall(self._kubectl, self._site.overlay, TIMEOUT)

    def wait_ready(self) -> None:
        status = ("rollout", "status", DAEMON_SET, f"--namespace={NAMESPACE}", f"--timeout={TIMEOUT:g}s")
        self._kubectl(*status, timeout=TIMEOUT + 10)
        wait_until(self._serves, what="the handler serves", timeout=TIMEOUT, interval=0.2)

    def wait_injects(self) -> None:
        wait_until(self._injects, what="launcher pods are given the agent", timeout=TIMEOUT, interval=0.2)

    def restart(self) -> None:
        """Replace the handler, as an upgrade does; return when the new one is ready."""
        self._kubectl("rollout", "restart", DAEMON_SET, f"--namespace={NAMESPACE}")
        self.wait_ready()

    def remove_handler(self) -> None:
        """Remove only the handler; return when it has ended."""
        self._applied = False
        self._kubectl("delete", DAEMON_SET, f"--namespace={NAMESPACE}", "--cascade=foreground", timeout=TIMEOUT)

    @property
    def handler(self) -> NodePod:
        """The place's handler that is not being deleted."""
        (pod,) = (pod for pod in self._handlers() if "deletionTimestamp" not in pod["metadata"])
        return NodePod(self._site, pod)

    def statuses(self) -> list[Any]:
        """The handler's answer about all its VMIs."""
        return list(self._admin().call(LIST).get("statuses", []))

    def _admin(self) -> Grpcurl:
        return Grpcurl(self.handler.volume("run") / "admin.sock")

    def _handlers(self) -> list[Object]:
        ours = {"labelSelector": f"app.kubernetes.io/name={NAMESPACE},app.kubernetes.io/component={HANDLER}"}
        ours["fieldSelector"] = f"spec.nodeName={self._site.node_name}"
        return list(self._site.client.get(f"/api/v1/namespaces/{NAMESPACE}/pods", ours)["items"])

    def _serves(self) -> bool:
        """A status may be from before a power cut; a socket is not."""
        pods = self._handlers()
        conditions = [c for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
        return len(pods) == 1 and all(condition["status"] == "True" for condition in conditions)

    def _injects(self) -> bool:
        vmi = {"metadata": {"name": "probe", "namespace": "default", "uid": str(uuid.uuid4())}}
        probe = json.dumps(launcher(self._site, vmi, command=IDLE))
        made = json.loads(self._kubectl("create", "--dry-run=server", "--output=json", "--filename=-", input=probe))
        return AGENT in [container["name"] for container in made["spec"].get("initContainers", [])]
