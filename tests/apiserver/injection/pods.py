"""Launcher pods as a client sends them, and what is added to them."""

import copy
import uuid
from collections.abc import Mapping

from testbed.waiting import wait_until
from tests.apiserver.client import Client
from tests.cluster.objects import Object

#: The label by which a pod or a namespace opts in or out.
INJECT = "servicestatus.kubevirt.io/inject"
#: With opt-in: the label's value on the namespace and on the pod, and whether the pod gets the agent.
OPTED_IN = {
    (None, None): False,
    (None, "true"): True,
    (None, "false"): False,
    ("true", None): True,
    ("true", "true"): True,
    ("true", "false"): False,
    ("false", None): False,
    ("false", "true"): False,
}

#: The container that is added, with the defaults of the shipped template.
AGENT = {
    "name": "launcher-agent",
    "image": "registry.invalid/vmi-service-status/launcher-agent:dev",
    "imagePullPolicy": "IfNotPresent",
    "restartPolicy": "Always",
    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
    "securityContext": {
        "runAsUser": 107,
        "runAsGroup": 107,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "volumeMounts": [
        {"name": "service-status", "mountPath": "/var/run/service-status"},
        {"name": "libvirt-runtime", "mountPath": "/var/run/libvirt", "readOnly": True},
        {
            "name": "service-status-no-token",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        },
    ],
}
VOLUMES = [
    {"name": "service-status", "emptyDir": {"sizeLimit": "1Mi"}},
    {"name": "service-status-no-token", "emptyDir": {"sizeLimit": "4Ki"}},
]

Resources = Mapping[str, Mapping[str, str]]
GUARANTEED: Resources = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
BURSTABLE: Resources = {"requests": {"cpu": "100m", "memory": "1Gi"}}


def container(name: str = "compute", resources: Resources = BURSTABLE, **more: object) -> Object:
    """Return a container like those of KubeVirt's launcher pods; it passes the Pod Security Standard `restricted`."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    return {"name": name, "image": "none.invalid/none", "resources": resources, "securityContext": context, **more}


def launcher(labels: Mapping[str, str] | None = None, **spec: object) -> Object:
    """Return a launcher pod with the fields that matter here; `spec` replaces fields of it."""
    context = {"runAsUser": 107, "runAsGroup": 107, "fsGroup": 107, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "virt-launcher-", "labels": {"kubevirt.io": "virt-launcher", **(labels or {})}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": context,
            "containers": [container()],
            "volumes": [{"name": name, "emptyDir": {}} for name in ("private", "sockets", "libvirt-runtime")],
            **spec,
        },
    }


def named(inject: str) -> Object:
    """The metadata of a launcher pod whose name is not by chance, since a refusal repeats it."""
    return {"name": "virt-launcher-vm", "labels": {"kubevirt.io": "virt-launcher", INJECT: inject}}


def without_agent(pod: Object) -> Object:
    """Return the pod without what was added to it."""
    spec: Object = copy.deepcopy(pod["spec"])
    spec["volumes"] = [volume for volume in spec["volumes"] if volume not in VOLUMES]
    spec["initContainers"] = [c for c in spec["initContainers"] if c["name"] != "launcher-agent"]
    if not spec["initContainers"]:
        del spec["initContainers"]
    return spec


def agents_of(pod: Object) -> list[Object]:
    return [c for c in pod["spec"].get("initContainers", ()) if c["name"] == "launcher-agent"]


def agent_of(pod: Object) -> Object:
    (agent,) = agents_of(pod)
    return agent


class Cluster:
    """Creates pods as dry runs."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def created(self, pod: Object) -> Object:
        return self._client.post(f"/api/v1/namespaces/{self.namespace}/pods?dryRun=All", pod)

    def create_namespace(self, labels: Mapping[str, str]) -> "Cluster":
        """The labels are there from the beginning, so no policy sees the namespace without them."""
        name = f"{self.namespace}-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(labels)}
        self._client.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self._client.find(account), what=f"{name} has its service account", interval=0.02)
        return Cluster(self._client, name)
