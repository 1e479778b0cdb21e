"""The Kubernetes objects that tests create, as plain dictionaries with only the fields that make them valid."""

from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]


def node(name: str) -> Object:
    """Return a node that is only an object, without a kubelet."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def pod(
    name: str,
    namespace: str,
    *,
    image: str = "none.invalid/none",
    command: Sequence[str] = (),
    node_name: str | None = None,
    account: str = "default",
    labels: Mapping[str, str] | None = None,
) -> Object:
    """Return a pod with one container. It ends at once when it is deleted; with a node's name it needs no scheduler."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {})},
        "spec": {
            "serviceAccountName": account,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            **({"nodeName": node_name} if node_name else {}),
        },
    }


def virtual_machine_instance(
    name: str, namespace: str, *, spec: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None
) -> Object:
    """Return a VMI as its API sees it; on a bare control plane no KubeVirt runs it."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec or {}),
        "status": dict(status or {}),
    }


def owned_by(owner: Object, dependent: Object) -> Object:
    """Return the dependent with an ownerReference to an owner whose UID the API server has set."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**dependent, "metadata": {**dependent["metadata"], "ownerReferences": [reference]}}
