"""The companion object, `VirtualMachineInstanceServiceStatus`: what it says, and how it is read back. Pure.

It is what works on a stock KubeVirt, whose VMI drops fields that it does not know: an object of our own, of the VMI's
name, owned by the VMI, so that it goes with it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from handler_service import conditions
from handler_service.conditions import Detail
from handler_service.kube.vmi import count, version_of
from handler_service.model import PublishedValue, VmiId

API_VERSION: Final = "servicestatus.kubevirt.io/v1alpha1"
KIND: Final = "VirtualMachineInstanceServiceStatus"
PLURAL: Final = "virtualmachineinstanceservicestatuses"
PATH: Final = f"/apis/{API_VERSION}/{PLURAL}"
#: Holds the node's name as it is: KubeVirt puts it into labels too, so it always fits.
NODE_LABEL: Final = "servicestatus.kubevirt.io/nodeName"
#: The reason of the condition Observed that the controller sets; no handler sets it.
HANDLER_AWAY: Final = "HandlerAway"
HANDLER_AWAY_MESSAGE: Final = (
    "The handler that wrote this value no longer vouches for it; the number shown is the last one known."
)


class Companion(NamedTuple):
    """A companion as the API server has it."""

    vmi: VmiId
    version: int
    resource_version: str
    uid: str
    label: str
    value: PublishedValue
    conditions: tuple[Mapping[str, Any], ...]


def manifest(vmi: VmiId, node: str) -> dict[str, Any]:
    """The object to create; its status follows by the subresource."""
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": vmi.name, "uid": vmi.uid}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "namespace": vmi.namespace,
            "name": vmi.name,
            "labels": {NODE_LABEL: node},
            "ownerReferences": [owner],
        },
        "spec": {"vmiUID": vmi.uid},
    }


def status(vmi: VmiId, value: PublishedValue, before: tuple[Mapping[str, Any], ...], now: float) -> dict[str, Any]:
    """The status to write as a merge patch: what is absent is set to null. `now` is wall time."""
    shown = value.detail
    if not isinstance(shown, Detail):
        raise TypeError("a companion shows details made by conditions.detail()")
    return {
        "vncSessions": value.sessions or None,
        "since": None if shown.since is None else conditions.time(shown.since),
        "nodeName": shown.node,
        "vmiUID": vmi.uid,
        "conditions": conditions.conditions(value.sessions, shown, before, now),
    }


def parse(object_: Any) -> Companion | None:
    """Read a companion back; None when it is not one."""
    try:
        metadata, status_ = object_["metadata"], object_.get("status") or {}
        vmi = VmiId(metadata["namespace"], metadata["name"], object_["spec"]["vmiUID"])
        return Companion(
            vmi=vmi,
            version=version_of(object_),
            resource_version=metadata["resourceVersion"],
            uid=metadata["uid"],
            label=(metadata.get("labels") or {}).get(NODE_LABEL, ""),
            value=PublishedValue(count(status_.get("vncSessions")), conditions.read_detail(status_)),
            conditions=tuple(status_.get("conditions") or ()),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def is_marked(companion: Companion) -> bool:
    """Return whether the controller has marked it and no handler has written it since."""
    shown = companion.value.detail
    return isinstance(shown, Detail) and not shown.observed and shown.reason == HANDLER_AWAY


def marked(companion: Companion, cause: str, now: float) -> dict[str, Any]:
    """Return the merge patch by which the controller marks it: conditions only, the number stays. `now` is wall time.

    A service of its own has conditions whose types end in Observed and Idle; all of them lose their writer at once.
    """
    message = f"{HANDLER_AWAY_MESSAGE} ({cause})"
    away = {"status": "False", "reason": HANDLER_AWAY, "message": message}
    unknown = {"status": "Unknown", "reason": conditions.NOT_OBSERVED, "message": conditions.not_known(message)}
    # The two that every companion has, also one that was created and never written.
    before = {"Observed": {"type": "Observed"}, "Idle": {"type": "Idle"}} | {c["type"]: c for c in companion.conditions}
    desired = [
        dict(condition) | (away if type_.endswith("Observed") else unknown if type_.endswith("Idle") else {})
        for type_, condition in before.items()
    ]
    return {
        "metadata": {"resourceVersion": companion.resource_version},
        "status": {
            "conditions": [
                conditions.with_transition_time(condition, companion.conditions, now) for condition in desired
            ]
        },
    }
