"""Reads the few fields of a VMI object that the handler needs. Pure. A malformed field counts as absent.

The meaning of the fields is that of KubeVirt's API: `status.nodeName` is the node that runs the VM, and
`status.activePods` maps the UIDs of its launcher pods to their nodes (empty while a pod is not scheduled).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from handler_service.model import PublishedValue, ServiceValue, VmiId
from handler_service.services import OTHERS

PATH: Final = "/apis/kubevirt.io/v1/virtualmachineinstances"
NODE_LABEL: Final = "kubevirt.io/nodeName"
MIGRATION_TARGET_LABEL: Final = "kubevirt.io/migrationTargetNodeName"
#: Phases after which QEMU never runs again for this object.
FINAL_PHASES: Final = frozenset({"Succeeded", "Failed"})
#: The limit of served launcher pods of one VMI on one node: one, and a few more while old ones terminate.
MAX_PODS: Final = 16
#: The fields that parse() reads, in addition to the pods.
_METADATA: Final = ("namespace", "name", "uid", "resourceVersion")
_STATUS: Final = ("nodeName", "phase", "serviceStatus")


@dataclass(frozen=True, slots=True)
class Vmi:
    """Holds a VMI as the API server returned it."""

    id: VmiId
    version: int
    node: str
    phase: str
    #: UIDs of its launcher pods that are on the handler's node or not scheduled yet; at most MAX_PODS.
    pods: frozenset[str]
    #: Whether it has more pods than that. Any pod that is left out may be the one that runs the VM.
    too_many_pods: bool
    #: status.serviceStatus unchanged; empty if it is absent.
    service_status: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Whether its QEMU has ended for good."""
        return self.phase in FINAL_PHASES

    @property
    def published(self) -> PublishedValue:
        """The published numbers; 0 for one that is absent."""
        numbers = ((one.number, count(self.service_status.get(one.field))) for one in OTHERS)
        services = tuple(ServiceValue(service, number) for service, number in numbers if number)
        return PublishedValue(count(self.service_status.get("vncSessions")), None, services)


def parse(object_: Any, node: str = "") -> Vmi | None:
    """Return the VMI in `object_` as the handler of `node` needs it; None if it has no name or no UID."""
    metadata, status = _mapping(object_, "metadata"), _mapping(object_, "status")
    names = [metadata.get(key) for key in ("namespace", "name", "uid")]
    if not all(isinstance(name, str) and name for name in names):
        return None
    pods, too_many_pods = _pods(_mapping(status, "activePods"), node)
    return Vmi(
        id=VmiId(*map(str, names)),
        version=version_of(object_),
        node=_text(status, "nodeName"),
        phase=_text(status, "phase"),
        pods=pods,
        too_many_pods=too_many_pods,
        service_status=_mapping(status, "serviceStatus"),
    )


def reduced(object_: Any, node: str) -> dict[str, Any]:
    """Return a small object for which parse() returns the same as for `object_`, which may have 1 MB."""
    metadata, status = _mapping(object_, "metadata"), _mapping(object_, "status")
    here, unscheduled = _candidates(_mapping(status, "activePods"), node)
    pods = dict.fromkeys(here, node) | dict.fromkeys(unscheduled, "")
    return {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "status": {key: status[key] for key in _STATUS if key in status} | {"activePods": pods},
    }


def path(vmi: VmiId) -> str:
    """Return the path of one VMI."""
    return f"/apis/kubevirt.io/v1/namespaces/{vmi.namespace}/virtualmachineinstances/{vmi.name}"


def version_of(object_: Any) -> int:
    """Return `metadata.resourceVersion` as a number, which grows with each change; 0 if it is not a number."""
    text = _mapping(object_, "metadata").get("resourceVersion")
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def count(value: Any) -> int:
    """Return a published number, or 0 if `value` is not a positive number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _pods(active: Mapping[str, Any], node: str) -> tuple[frozenset[str], bool]:
    """Return the pods that are or may be on `node`, and whether there are more than are returned.

    Terminated pods of other nodes stay in `activePods`, so they are left out before anything is bounded.
    """
    here, unscheduled = _candidates(active, node)
    pods = [*here, *unscheduled]
    return frozenset(pods[:MAX_PODS]), len(pods) > MAX_PODS


def _candidates(active: Mapping[str, Any], node: str) -> tuple[list[str], list[str]]:
    """Return the pods on `node`, and those without a node; each list ends at one more than MAX_PODS."""
    here = (uid for uid, at in active.items() if at == node)
    unscheduled = (uid for uid, at in active.items() if not (isinstance(at, str) and at) and at != node)
    return list(islice(here, MAX_PODS + 1)), list(islice(unscheduled, MAX_PODS + 1))


def _mapping(object_: Any, key: str) -> Mapping[str, Any]:
    found = object_.get(key) if isinstance(object_, dict) else None
    return found if isinstance(found, dict) else {}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    found = mapping.get(key)
    return found if isinstance(found, str) else ""
