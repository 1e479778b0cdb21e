"""Decides what is added to a pod: the same as manifests/components/injection/policy.yaml does in CEL. Pure.

The policy and this module are two programs for one mutation. tests/apiserver/injection/test_alike.py gives both the
same pods and compares what becomes of them. The order of the patch's operations is that of the policy.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from injection_webhook import quantity

Object = dict[str, Any]

AGENT: Final = "launcher-agent"
_INJECT: Final = "servicestatus.kubevirt.io/inject"
_LIBVIRT: Final = "libvirt-runtime"
_SOCKETS: Final = "service-status"
_UNTOKENED: Final = "service-status-no-token"
_RESOURCES: Final = ("cpu", "memory")


class Reason(Enum):
    """Why a pod was left as it is."""

    NOT_A_LAUNCHER = "not_a_launcher"
    OPTED_OUT = "opted_out"
    NO_LIBVIRT = "no_libvirt"
    HAS_AGENT = "has_agent"
    #: The LauncherAgentTemplate is not there.
    NO_TEMPLATE = "no_template"
    #: It lacks what its schema requires: the CRD was changed.
    UNUSABLE_TEMPLATE = "unusable_template"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a pod: a JSON patch, or nothing and the reason."""

    reason: Reason | None = None
    patch: list[Object] = field(default_factory=list)


def decide(pod: Object, template: Object | None) -> Decision:
    """Return what is added to `pod`; raises TypeError, ValueError, LookupError, AttributeError for what is no pod.

    `template` is the LauncherAgentTemplate. The selectors and conditions of the webhook's configuration are checked
    again: what asks may be configured in another way.
    """
    reason = _reason(pod)
    if reason is not None:
        return Decision(reason)
    if template is None:
        return Decision(Reason.NO_TEMPLATE)
    chosen = template["spec"]
    secrets = chosen.get("imagePullSecrets") or []
    if not chosen.get("containers") or not all(secret.get("name") for secret in secrets):
        return Decision(Reason.UNUSABLE_TEMPLATE)
    container = chosen["containers"][0]
    if not container.get("image") or not container.get("imagePullPolicy"):
        return Decision(Reason.UNUSABLE_TEMPLATE)
    return Decision(patch=_patch(pod["spec"], container, secrets))


def _reason(pod: Object) -> Reason | None:
    labels = pod["metadata"].get("labels") or {}
    if labels.get("kubevirt.io") != "virt-launcher":
        return Reason.NOT_A_LAUNCHER
    if labels.get(_INJECT) == "false":
        return Reason.OPTED_OUT
    spec = pod["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    if _LIBVIRT not in volumes:
        return Reason.NO_LIBVIRT
    if volumes & {_SOCKETS, _UNTOKENED} or AGENT in {container["name"] for container in _containers(spec)}:
        return Reason.HAS_AGENT
    return None


def _containers(spec: Object) -> list[Object]:
    return [*spec["containers"], *(spec.get("initContainers") or [])]


def _patch(spec: Object, container: Object, secrets: list[Object]) -> list[Object]:
    patch = [
        _add("/spec/volumes/-", {"name": _SOCKETS, "emptyDir": {"sizeLimit": "1Mi"}}),
        _add("/spec/volumes/-", {"name": _UNTOKENED, "emptyDir": {"sizeLimit": "4Ki"}}),
    ]
    present = [secret.get("name", "") for secret in spec.get("imagePullSecrets") or []]
    if secrets and "imagePullSecrets" not in spec:
        patch.append(_add("/spec/imagePullSecrets", []))
    patch += [
        _add("/spec/imagePullSecrets/-", {"name": secret["name"]})
        for secret in secrets
        if secret["name"] not in present
    ]
    if "initContainers" not in spec:
        patch.append(_add("/spec/initContainers", []))
    return [*patch, _add("/spec/initContainers/-", _agent(spec, container))]


def _add(path: str, value: object) -> Object:
    return {"op": "add", "path": path, "value": value}


def _agent(spec: Object, container: Object) -> Object:
    """The agent's container: image, pull policy, arguments and resources are chosen, all else is not."""
    return {
        "name": AGENT,
        "image": container["image"],
        "imagePullPolicy": container["imagePullPolicy"],
        **({"args": container["args"]} if "args" in container else {}),
        "restartPolicy": "Always",
        "resources": _resources(spec, container.get("resources") or {}),
        "securityContext": {
            "runAsUser": 107,
            "runAsGroup": 107,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": _SOCKETS, "mountPath": "/var/run/service-status"},
            {"name": _LIBVIRT, "mountPath": "/var/run/libvirt", "readOnly": True},
            {"name": _UNTOKENED, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        ],
    }


def _resources(spec: Object, chosen: Object) -> Object:
    """The requests depend on the pod.

    If resources are set for the whole pod, the pod is valid only if the sum of its containers' requests is not higher.
    A VM with dedicated CPUs needs a Guaranteed pod, in which requests equal limits.
    """
    if "resources" in spec:
        requests: Object | None = dict.fromkeys(_RESOURCES, "0")
    else:
        requests = chosen.get("limits" if _is_guaranteed(spec) else "requests")
    found = {"requests": requests, "limits": chosen.get("limits")}
    return {name: value for name, value in found.items() if value is not None}


def _is_guaranteed(spec: Object) -> bool:
    return all(
        _has_equal(container.get("resources") or {}, one) for container in _containers(spec) for one in _RESOURCES
    )


def _has_equal(resources: Object, name: str) -> bool:
    limit = (resources.get("limits") or {}).get(name)
    if limit is None:
        return False
    request = (resources.get("requests") or {}).get(name, limit)
    return quantity.parse(request) == quantity.parse(limit)
