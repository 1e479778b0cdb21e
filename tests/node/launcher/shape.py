"""Pods in the form of KubeVirt's launchers: the labels, volumes and users that virt-controller gives them."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.cluster.objects import Object
from tests.node.place import Images

COMPUTE = "compute"
AGENT = "launcher-agent"
VOLUMES = {
    "private": "/var/run/kubevirt-private",
    "public": "/var/run/kubevirt",
    "sockets": "/var/run/kubevirt/sockets",
    "ephemeral-disks": "/var/run/kubevirt-ephemeral-disks",
    "libvirt-runtime": "/var/run/libvirt",
}
VNC = "{uid}/virt-vnc"
STATUS = {"service-status": "/var/run/service-status"}
# Ends at SIGTERM, which a process 1 without a handler does not see.
IDLE = ("sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")
# The user of QEMU, libvirt and the scripts of the image.
REQUESTS = {"cpu": "100m", "memory": "200Mi"}


class Target(Protocol):
    """Where a launcher pod is to run: a place, or a kubelet alone."""

    @property
    def images(self) -> Images: ...
    @property
    def node_name(self) -> str: ...


def launcher(
    place: Target,
    vmi: Object,
    *,
    command: Sequence[str] = (),
    guaranteed: bool = False,
    owns_status: bool = False,
) -> Object:
    """Return the launcher pod of a stored VMI, with a VM in it, or with a command of busybox.

    One that `owns_status` has the agent's directory in its own container, and gets no agent.
    """
    name, namespace, uid = (vmi["metadata"][field] for field in ("name", "namespace", "uid"))
    volumes = VOLUMES | (STATUS if owns_status else {})
    image = place.images.busybox if command else place.images.launcher
    compute = _compute(command or ("launcher", namespace, name, uid), volumes, guaranteed)
    compute |= {"image": image, "imagePullPolicy": place.images.pull_policy}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{name}-{secrets.token_hex(3)}",
            "namespace": namespace,
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid, "vm.kubevirt.io/name": name},
            "annotations": {"kubevirt.io/domain": name},
            "ownerReferences": [_owner(name, uid)],
        },
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": place.node_name},
            "terminationGracePeriodSeconds": 30,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostname": name,
            "securityContext": {
                "runAsUser": 107,
                "runAsGroup": 107,
                "fsGroup": 107,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [compute],
            "volumes": [{"name": volume, "emptyDir": {}} for volume in volumes],
        },
    }


def _owner(name: str, uid: str) -> Object:
    reference = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": name, "uid": uid}
    return {**reference, "controller": True, "blockOwnerDeletion": True}


def _compute(command: Sequence[str], volumes: Mapping[str, str], guaranteed: bool) -> Object:
    return {
        "name": COMPUTE,
        "command": list(command),
        "resources": {"requests": REQUESTS, **({"limits": REQUESTS} if guaranteed else {})},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in volumes.items()],
    }
