"""KubeVirt on a cluster, installed by its own operator as an admin does it, and the project next to it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.cluster.cluster import Cluster
from tests.cluster.commands import run
from tests.cluster.kinds import define_kinds
from tests.cluster.objects import Object
from tests.cluster.policies import overlay_for
from tests.cluster.tools import REPOSITORY
from tests.kubevirt.build import Build
from tests.kubevirt.migrations import slow_policy
from tests.kubevirt.objects import NAMESPACE, OPERATOR, instance, kubevirt, operator
from tests.node.archives import AGENT, HANDLER, archive_of
from tests.node.installation import uninstall

OVERLAY = REPOSITORY / "manifests/overlays/test-node"
OURS = "vmi-service-status"
DAEMON_SET = "daemonset/vmi-service-status-handler"
DAEMON_SET_PATH = f"/apis/apps/v1/namespaces/{OURS}/daemonsets/vmi-service-status-handler"
# virt-operator works in steps of 5 to 10 s: 55 s on two idle cores.
DEPLOY_TIMEOUT = 400.0
# Two programs of Python start within 2 s, and within 10 on two busy cores.
ROLLOUT_TIMEOUT = 120.0
# Most commands take 0.2 s; it has no deadline of its own.
VIRTCTL_TIMEOUT = 60.0


class Deployment:
    """KubeVirt in its namespace, and the project in its own."""

    def __init__(self, cluster: Cluster, client: Client, build: Build) -> None:
        self.cluster = cluster
        self.client = client
        self.build = build
        self._kubectl = cluster.kubectl
        self._overlay = overlay_for(OVERLAY, cluster.folder / "overlay")
        self._installed = False

    # --- KubeVirt ---

    @property
    def deployed(self) -> bool:
        return self.client.find(f"/api/v1/namespaces/{NAMESPACE}") is not None

    def deploy(self) -> None:
        """Return when the operator is done, its webhooks answer, and every node accepts VMs."""
        for node in self.cluster.nodes:
            # Where the operator puts its Deployments.
            self._kubectl("label", f"node/{node.name}", "node-role.kubernetes.io/control-plane=")
        self._kubectl("create", "namespace", NAMESPACE)
        self._kubectl("apply", "--server-side", f"--filename={self.build.manifests}")
        self._apply(operator(self.build))
        self._have_deployed()

    def _have_deployed(self) -> None:
        self._apply(kubevirt(self.build))
        phase = "--for=jsonpath={.status.phase}=Deployed"
        self._wait("kubevirt/kubevirt", phase, f"--namespace={NAMESPACE}")
        wait_until(self._answers, what="KubeVirt answers", timeout=ROLLOUT_TIMEOUT, interval=0.3)
        self._apply(slow_policy())
        for node in self.cluster.nodes:
            self._wait(f"node/{node.name}", r"--for=jsonpath={.metadata.labels.kubevirt\.io/schedulable}=true")

    def reinstall(self) -> None:
        """Delete its object, which removes all VMs and its CRDs, and create it again."""
        what = ("kubevirt/kubevirt", f"--namespace={NAMESPACE}", f"--timeout={DEPLOY_TIMEOUT:g}s")
        self._kubectl("delete", *what, timeout=DEPLOY_TIMEOUT + 10)
        self._have_deployed()

    def _apply(self, manifest: object) -> None:
        self._kubectl("apply", "--server-side", "--filename=-", input=json.dumps(manifest))

    def _wait(self, *what: str) -> None:
        self._kubectl("wait", *what, f"--timeout={DEPLOY_TIMEOUT:g}s", timeout=DEPLOY_TIMEOUT + 10)

    def _answers(self) -> bool:
        """Return whether its webhooks accept a VM, and its part of the API is served."""
        try:
            path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances?dryRun=All"
            self.client.post(path, instance("probe", "default"))
            self.client.get("/apis/subresources.kubevirt.io/v1/version")
        except ApiError:
            return False
        return True

    def rollout(self, *what: str, namespace: str = NAMESPACE) -> None:
        """Replace all pods at once; return when the new ones are ready."""
        self._kubectl("rollout", "restart", *what, f"--namespace={namespace}")
        for one in what:
            self._rolled_out(one, namespace)

    def _rolled_out(self, what: str, namespace: str) -> None:
        status = ("rollout", "status", what, f"--namespace={namespace}", f"--timeout={ROLLOUT_TIMEOUT:g}s")
        self._kubectl(*status, timeout=ROLLOUT_TIMEOUT + 10)

    def scale_operator(self, replicas: int) -> None:
        """Return when there are as many, and none that is ending."""
        what = (f"deployment/{OPERATOR}", f"--namespace={NAMESPACE}")
        self._kubectl("scale", *what, f"--replicas={replicas}")
        self._rolled_out(f"deployment/{OPERATOR}", NAMESPACE)
        wait_until(self._operators, lambda count: count == replicas, what=f"{replicas} {OPERATOR}", interval=0.2)

    def _operators(self) -> int:
        label = f"--selector=kubevirt.io={OPERATOR}"
        return len(self._kubectl("get", "pods", f"--namespace={NAMESPACE}", label, "--output=name").split())

    # --- the project ---

    def give_images(self) -> None:
        """Give each node the project's images, which change with each edit; KubeVirt's are there from the start."""
        for node in self.cluster.nodes:
            for image in (AGENT, HANDLER):
                node.import_images(archive_of(image))

    def install(self) -> None:
        """Return when the handler is ready and new pods get their agent; if that is so already, it costs nothing."""
        if self._installed:
            return
        self._install(self._overlay)
        wait_until(self._injects, what="launcher pods are given the agent", timeout=ROLLOUT_TIMEOUT, interval=0.2)
        self._installed = True

    def _install(self, overlay: Path) -> None:
        define_kinds(self._kubectl)
        self._kubectl("apply", "--server-side", "-k", overlay)
        self._rolled_out(DAEMON_SET, OURS)

    def uninstall(self) -> None:
        self._installed = False
        uninstall(self._kubectl, self._overlay, ROLLOUT_TIMEOUT)

    @contextmanager
    def installed_by(self, overlay: Path) -> Iterator[None]:
        """Another overlay from enter to exit, after which nothing is installed."""
        self.uninstall()
        try:
            self._install(overlay)
            yield
        finally:
            uninstall(self._kubectl, overlay, ROLLOUT_TIMEOUT)

    def roll_handler(self) -> None:
        self.rollout(DAEMON_SET, namespace=OURS)

    @contextmanager
    def handler_away(self, node: str) -> Iterator[None]:
        """A node without its handler from enter to exit; the other nodes keep theirs."""
        before = self.client.get(DAEMON_SET_PATH)["spec"]["updateStrategy"]
        self._patch_handler({"type": "OnDelete", "rollingUpdate": None}, _not_on(node))
        gone = f"the handler of {node} is gone"
        wait_until(
            lambda: self._handlers(node), lambda found: not found, what=gone, timeout=ROLLOUT_TIMEOUT, interval=0.1
        )
        try:
            yield
        finally:
            self._patch_handler(before, None)
            self._rolled_out(DAEMON_SET, OURS)

    @contextmanager
    def polling(self, *services: str) -> Iterator[None]:
        """The handlers have these services polled from enter to exit, such as `serial-console=1s`."""
        before = self.client.get(DAEMON_SET_PATH)["spec"]["template"]["spec"]["containers"][0]["args"]
        self._set_arguments([*before, *(f"--poll={service}" for service in services)])
        try:
            yield
        finally:
            self._set_arguments(before)

    def _set_arguments(self, arguments: Sequence[str]) -> None:
        path = "/spec/template/spec/containers/0/args"
        change = json.dumps([{"op": "replace", "path": path, "value": list(arguments)}])
        self._kubectl("patch", DAEMON_SET, f"--namespace={OURS}", "--type=json", f"--patch={change}")
        self._rolled_out(DAEMON_SET, OURS)

    def _patch_handler(self, strategy: Object, affinity: Object | None) -> None:
        template = {"spec": {"affinity": affinity}}
        self.client.patch(DAEMON_SET_PATH, {"spec": {"updateStrategy": strategy, "template": template}})

    def _handlers(self, node: str) -> list[Object]:
        ours = {"labelSelector": "app.kubernetes.io/component=handler", "fieldSelector": f"spec.nodeName={node}"}
        return list(self.client.get(f"/api/v1/namespaces/{OURS}/pods", ours)["items"])

    def handler_restarts(self) -> dict[str, int]:
        """Return the restarts of each handler's container, by its pod's name."""
        path, ours = f"/api/v1/namespaces/{OURS}/pods", {"labelSelector": "app.kubernetes.io/component=handler"}
        pods = self.client.get(path, ours)["items"]
        return {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods}

    def handler_log(self) -> str:
        """Return the logs of every node's handler."""
        handlers = "--selector=app.kubernetes.io/component=handler"
        return self._kubectl("logs", f"--namespace={OURS}", handlers, "--container=handler", "--tail=-1")

    def _injects(self) -> bool:
        """A policy is in force up to two seconds after it was accepted."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": "default", "labels": {"kubevirt.io": "virt-launcher"}},
            "spec": {
                "containers": [{"name": "compute", "image": self.build.image("virt-launcher")}],
                "volumes": [{"name": "libvirt-runtime", "emptyDir": {}}],
            },
        }
        made = self.client.post("/api/v1/namespaces/default/pods?dryRun=All", pod)
        return "launcher-agent" in [container["name"] for container in made["spec"].get("initContainers", [])]

    # --- virtctl ---

    def virtctl_command(self, *arguments: str) -> list[str | Path]:
        return [self.build.virtctl, "--kubeconfig", self.cluster.kubeconfig, *arguments]

    def virtctl(self, *arguments: str) -> str:
        """Run it to its end and return its standard output."""
        return run(*self.virtctl_command(*arguments), timeout=VIRTCTL_TIMEOUT)


def _not_on(node: str) -> Object:
    """For a pod that may run on any other node."""
    expression = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]}
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
