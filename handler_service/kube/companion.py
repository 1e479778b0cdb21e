"""Writes and reads the companion object, `VirtualMachineInstanceServiceStatus`. Pure.

A stock KubeVirt drops unknown fields from a VMI, so the handler publishes into an object of its own kind. The companion
has the VMI's name and is owned by the VMI, so it is deleted with the VMI.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from handler_service.kube import conditions, service_conditions
from handler_service.kube.conditions import Detail, ServiceDetail
from handler_service.kube.vmi import count, version_of
from handler_service.model import PublishedValue, VmiId
from handler_service.services import OBSERVED

API_VERSION: Final = "servicestatus.kubevirt.io/v1alpha1"
KIND: Final = "VirtualMachineInstanceServiceStatus"
PLURAL: Final = "virtualmachineinstanceservicestatuses"
PATH: Final = f"/apis/{API_VERSION}/{PLURAL}"
#: Its value is the node's name, which always fits: KubeVirt uses it as a label's value too.
NODE_LABEL: Final = "servicestatus.kubevirt.io/nodeName"
#: The reason of the condition Observed that the controller sets; no handler sets it.
HANDLER_AWAY: Final = "HandlerAway"
HANDLER_AWAY_MESSAGE: Final = (
    "The handler that wrote this value no longer vouches for it; the number shown is the last one known."
)


class Companion(NamedTuple):
    """Holds a companion as the API server returned it."""

    vmi: VmiId
    version: int
    resource_version: str
    uid: str
    label: str
    value: PublishedValue
    conditions: tuple[Mapping[str, Any], ...]
    #: Whether it was deleted, and a finalizer keeps it.
    deleting: bool = False


def manifest(vmi: VmiId, node: str) -> dict[str, Any]:
    """Return the object to create. Its status is written by the subresource."""
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
    """Return the status to write as a merge patch, in which an absent field is null. `now` is wall time."""
    shown = value.detail
    if not isinstance(shown, Detail):
        raise TypeError("a companion shows details made by conditions.detail()")
    return {
        "vncSessions": value.sessions or None,
        **service_conditions.numbers(value),
        "since": None if shown.since is None else conditions.time(shown.since),
        "nodeName": shown.node,
        "vmiUID": vmi.uid,
        "conditions": [
            *conditions.conditions(value.sessions, shown, before, now),
            *service_conditions.written(value, before, now),
        ],
    }


def parse(object_: Any) -> Companion | None:
    """Return the companion in `object_`, or None if it is not one."""
    try:
        metadata, status_ = object_["metadata"], object_.get("status") or {}
        vmi = VmiId(metadata["namespace"], metadata["name"], object_["spec"]["vmiUID"])
        return Companion(
            vmi=vmi,
            version=version_of(object_),
            resource_version=metadata["resourceVersion"],
            uid=metadata["uid"],
            label=(metadata.get("labels") or {}).get(NODE_LABEL, ""),
            value=PublishedValue(
                count(status_.get("vncSessions")), conditions.read_detail(status_), service_conditions.read(status_)
            ),
            conditions=tuple(status_.get("conditions") or ()),
            deleting="deletionTimestamp" in metadata,
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def is_marked(companion: Companion) -> bool:
    """Return whether the controller has marked the companion and no handler has written to it since."""
    shown = companion.value.detail
    claims = any(isinstance(one.detail, ServiceDetail) and one.detail.observed for one in companion.value.services)
    return isinstance(shown, Detail) and not shown.observed and shown.reason == HANDLER_AWAY and not claims


def marked(companion: Companion, cause: str, now: float) -> dict[str, Any]:
    """Return the merge patch with which the controller marks a companion. `now` is wall time.

    Only conditions change; the numbers stay. Each service has conditions whose types end in Observed and Idle, and all
    of them have the same writer. A service that is not watched claims nothing, and its condition stays.
    """
    message = f"{HANDLER_AWAY_MESSAGE} ({cause})"
    away = {"status": "False", "reason": HANDLER_AWAY, "message": message}
    unknown = {"status": "Unknown", "reason": conditions.NOT_OBSERVED, "message": conditions.not_known(message)}
    # Every companion has these two, even if its status was never written.
    before = {"Observed": {"type": "Observed"}, "Idle": {"type": "Idle"}} | {c["type"]: c for c in companion.conditions}
    desired = [
        dict(condition) | (away if _claims_observed(type_, condition) else unknown if type_.endswith("Idle") else {})
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


def _claims_observed(type_: str, condition: Mapping[str, Any]) -> bool:
    return type_ == OBSERVED or (type_.endswith(OBSERVED) and condition.get("status") != "Unknown")
