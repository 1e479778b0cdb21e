"""The injection webhook in the place of the policy, installed as docs/injection-webhook.md has it."""

import contextlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from testbed.waiting import wait_until
from tests.cluster.objects import Object
from tests.cluster.shell import run_script
from tests.node.installation import NAMESPACE, TIMEOUT, Installation, uninstall
from tests.node.launcher.kubevirt import KubeVirt
from tests.node.launcher.shape import AGENT, IDLE, launcher
from tests.node.manifests import overlay
from tests.node.place import Ability
from tests.node.site import Site

pytestmark = [pytest.mark.needs(Ability.OWN), pytest.mark.timeout(400)]
PAGE = "injection-webhook.md"
DEPLOYMENT = "deployment/vmi-service-status-webhook"
PREFIX = "vmi_service_status_webhook_"
# Seconds until a pod has a Secret's new content: its kubelet looks again after 60 to 90 s, if nothing else happens.
CERTIFICATE = 150.0


class Webhook:
    """The Deployment in the cluster, and pods that are only asked about."""

    def __init__(self, site: Site, folder: Path) -> None:
        """`folder` has the certificates' files."""
        self._site = site
        self._kubectl = site.cluster.kubectl
        self.folder = folder

    def run(self, script: str) -> None:
        """A script of the page."""
        run_script(PAGE, script, self.folder, self._site.cluster)

    def wait_ready(self) -> None:
        """Both replicas."""
        ready = ("rollout", "status", DEPLOYMENT, f"--namespace={NAMESPACE}", f"--timeout={CERTIFICATE:g}s")
        self._kubectl(*ready, timeout=CERTIFICATE + 10)
        wait_until(lambda: len(self.pods()), lambda number: number == 2, what="two replicas run", timeout=TIMEOUT)

    def pods(self) -> list[str]:
        """The names of those that are to stay."""
        ours = {"labelSelector": "app.kubernetes.io/component=webhook"}
        found = self._site.client.get(f"/api/v1/namespaces/{NAMESPACE}/pods", ours)["items"]
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def metric(self, pod: str, sample: str) -> float:
        """Of one replica, through the API server."""
        text = self._kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8190/proxy/metrics")
        found = re.search(rf"^{PREFIX}{re.escape(sample)} (.*)$", text, re.MULTILINE)
        assert found, f"{pod} exports no {sample}"
        return float(found[1])

    def injects(self) -> bool:
        vmi = {"metadata": {"name": "probe", "namespace": "default", "uid": str(uuid.uuid4())}}
        probe = launcher(self._site, vmi, command=IDLE)
        made = self._site.client.post("/api/v1/namespaces/default/pods?dryRun=All", probe)
        return AGENT in [container["name"] for container in made["spec"].get("initContainers", [])]

    def wait_injects(self, *, injects: bool = True) -> None:
        wait_until(self.injects, lambda seen: seen == injects, what=f"{injects=}", timeout=TIMEOUT, interval=0.2)

    def scale(self, replicas: int) -> None:
        self._kubectl("scale", DEPLOYMENT, f"--namespace={NAMESPACE}", f"--replicas={replicas}")

    def restart(self) -> None:
        """As an upgrade does it."""
        self._kubectl("rollout", "restart", DEPLOYMENT, f"--namespace={NAMESPACE}")
        self.wait_ready()

    def touch(self) -> None:
        """The kubelet looks at a pod's Secrets once a minute, and when the pod changes."""
        for pod in self.pods():
            self._kubectl(
                "annotate", "pod", pod, f"--namespace={NAMESPACE}", f"test/touched={uuid.uuid4()}", "--overwrite"
            )


def chosen(folder: Path) -> Path:
    """The node's overlay with the webhook in the place of the policy."""
    gone = [
        {"target": {"kind": kind}, "patch": json.dumps({**_named(kind), "$patch": "delete"})}
        for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
    ]
    never = {"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"}
    # That the machine is busy is not what is tested.
    slow = {"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 10}
    patches = [
        *gone,
        {"target": {"kind": "Deployment", "name": "vmi-service-status-webhook"}, "patch": json.dumps([never])},
        {"target": {"kind": "MutatingWebhookConfiguration"}, "patch": json.dumps([slow])},
    ]
    return overlay(folder, {"components": ["injection-webhook"], "patches": patches}, base="overlays/test-node")


def _named(kind: str) -> Object:
    version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "vmi-service-status-injection"}}


@pytest.fixture(scope="module")
def webhook(
    site: Site, session_installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    """In the place of the policy; afterwards that is there again."""
    folder = tmp_path_factory.mktemp("webhook")
    kustomization = chosen(tmp_path_factory.mktemp("overlay"))
    session_installation.delete()
    installed = Webhook(site, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(session_installation.apply)
        stack.callback(uninstall, site.cluster.kubectl, kustomization, TIMEOUT)
        session_installation.apply_other(kustomization)
        for script in ("authority", "certificate", "caBundle"):
            installed.run(script)
        installed.wait_ready()
        installed.wait_injects()
        yield installed


@contextlib.contextmanager
def pods_meanwhile(webhook: Webhook) -> Iterator[Callable[[], int]]:
    """Two clients create pods; at the end each pod had its agent. Yields how many pods there were so far."""
    ended, injected = Event(), list[bool]()

    def create() -> None:
        while not ended.is_set():
            injected.append(webhook.injects())

    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(create) for _ in range(2)]
        try:
            yield lambda: len(injected)
        finally:
            ended.set()
        for one in running:
            one.result()
    assert set(injected) == {True}, f"{injected.count(False)} of {len(injected)} pods had no agent"


def test_a_new_vm_has_its_agent_by_the_webhook(webhook: Webhook, site: Site, namespace: str) -> None:
    """The pod runs with it, and no policy is there."""
    assert site.cluster.kubectl("get", "mutatingadmissionpolicies", "--output=name") == ""
    pod = KubeVirt(site, namespace).start("vm", command=IDLE).launcher
    pod.wait_started()
    assert [container["name"] for container in pod.object()["spec"]["initContainers"]] == [AGENT]


def test_both_replicas_answer(webhook: Webhook) -> None:
    """Each review has a connection of its own, so the API server spreads them."""

    def reviews() -> list[float]:
        assert webhook.injects()
        return [webhook.metric(pod, 'reviews_total{reason="",result="injected"}') for pod in webhook.pods()]

    wait_until(reviews, lambda seen: min(seen) > 0, what="both have answered", timeout=TIMEOUT)


def test_no_pod_is_missed_while_the_replicas_are_replaced(webhook: Webhook) -> None:
    """One comes before one goes, and one that goes answers until that is known."""
    with pods_meanwhile(webhook):
        webhook.restart()


def test_no_pod_is_missed_while_the_certificate_is_replaced(webhook: Webhook) -> None:
    """By the page's commands, under the same authority; no replica is restarted."""
    pods = webhook.pods()
    loads = {pod: webhook.metric(pod, "certificate_loads_total") for pod in pods}
    with pods_meanwhile(webhook) as created:
        webhook.run("certificate")
        webhook.touch()
        for pod in pods:
            wait_until(
                lambda pod=pod: webhook.metric(pod, "certificate_loads_total"),  # type: ignore[misc]
                loads[pod].__lt__,
                what=f"{pod} serves the new certificate",
                timeout=CERTIFICATE,
                interval=0.5,
            )
        before = created()
        wait_until(created, (before + 10).__lt__, what="pods are created", timeout=TIMEOUT)
    assert webhook.pods() == pods


def test_vms_start_without_an_agent_while_the_webhook_is_away(webhook: Webhook, site: Site, namespace: str) -> None:
    """And the status of the VM says so."""
    webhook.scale(0)
    try:
        webhook.wait_injects(injects=False)
        machine = KubeVirt(site, namespace).start("vm", command=IDLE)
        machine.launcher.wait_started()
        assert "initContainers" not in machine.launcher.object()["spec"]
        reason = ".status.conditions[?(@.type=='Observed')].reason"
        says = ("get", "vmiss", "vm", f"--namespace={namespace}", f"--output=jsonpath={{{reason}}}")
        wait_until(
            lambda: site.cluster.kubectl(*says, check=False),
            lambda seen: seen == "NoAgent",
            what="the companion says NoAgent",
            timeout=TIMEOUT,
            interval=0.5,
        )
    finally:
        webhook.scale(2)
        webhook.wait_ready()
        webhook.wait_injects()
