"""The companion object, `VirtualMachineInstanceServiceStatus`: what it says, and how it is read back. Pure.

It is what works on a stock KubeVirt, whose VMI drops fields that it does not know: an object of our own, of the VMI's
name, owned by the VMI, so that it goes with it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from handler_service.kube.vmi import count, version_of
from handler_service.model import DesiredStatus, PublishedValue, Reason, VmiId

API_VERSION: Final = "servicestatus.kubevirt.io/v1alpha1"
KIND: Final = "VirtualMachineInstanceServiceStatus"
PLURAL: Final = "virtualmachineinstanceservicestatuses"
PATH: Final = f"/apis/{API_VERSION}/{PLURAL}"
#: Holds the node's name as it is: KubeVirt puts it into labels too, so it always fits.
NODE_LABEL: Final = "servicestatus.kubevirt.io/nodeName"
#: What each reason means, and what to do, for somebody who reads the object and nothing else.
_MESSAGES: Final[Mapping[Reason, str]] = {
    Reason.WATCHING: "The agent in the launcher pod sees every viewer come and go.",
    Reason.NO_DOMAIN: "libvirt in the launcher pod runs no VM, so nobody can be connected.",
    Reason.LIBVIRT_UNREACHABLE: "The agent cannot reach libvirt in the launcher pod; the number is the last one known.",
    Reason.RECONCILING: "The agent counts the viewers that were there before it; the number is the last one known.",
    Reason.AMBIGUOUS_DOMAIN: "The agent found more than one VM in the launcher pod.",
    Reason.LOWER_BOUND: "Viewers that were there before the agent may be missing: it was told not to ask QEMU.",
    Reason.AGENT_STARTING: "The agent in the launcher pod has not spoken yet.",
    Reason.AGENT_SILENT: "The agent in the launcher pod was not heard for a lease; the number is the last one known.",
    Reason.AGENT_STOPPED: "The agent in the launcher pod has stopped; the number is the last one known.",
    Reason.NO_AGENT: "No agent was heard from a launcher pod on this node. A pod that was made before the agent was "
    "installed, or was left out, has none: a live migration or a restart of the VM makes a new one.",
    Reason.SOCKET_REFUSED: "What is in the place of the handler's socket in the launcher pod is not used: somebody in "
    "the pod has changed it. A live migration or a restart of the VM makes a new pod.",
    Reason.FINISHED: "The VM has ended, so nobody can be connected.",
    Reason.UNKNOWN: "The agent gave a reason that this version does not know.",
}


class Detail(NamedTuple):
    """What the companion shows besides the number."""

    observed: bool
    reason: str
    message: str
    #: Whole seconds of wall time: a Kubernetes time has no more.
    since: int | None
    node: str


class Companion(NamedTuple):
    """A companion as the API server has it."""

    vmi: VmiId
    version: int
    resource_version: str
    uid: str
    label: str
    value: PublishedValue
    conditions: tuple[Mapping[str, Any], ...]


def detail(desired: DesiredStatus, node: str) -> Detail:
    """What to show of a standing."""
    message = _MESSAGES[desired.reason]
    if desired.message:
        message = f"{message} ({desired.message})"
    since = None if desired.since is None else int(desired.since)
    return Detail(desired.observed, desired.reason.value, message, since, node)


def explanation(reason: str) -> str:
    """What the word of a reason means, for people."""
    return _MESSAGES[Reason(reason)]


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
    told = value.detail
    if not isinstance(told, Detail):
        raise TypeError("a companion shows details made by detail()")
    idle, idle_reason, idle_message = _idle(value.sessions, told)
    wanted = [
        {"type": "Observed", "status": str(told.observed), "reason": told.reason, "message": told.message},
        {"type": "Idle", "status": idle, "reason": idle_reason, "message": idle_message},
    ]
    return {
        "vncSessions": value.sessions or None,
        "since": None if told.since is None else _rfc3339(told.since),
        "nodeName": told.node,
        "vmiUID": vmi.uid,
        "conditions": [_since(condition, before, now) for condition in wanted],
    }


def parse(object_: Any) -> Companion | None:
    """Read a companion back; None when it is not one."""
    try:
        metadata, status_ = object_["metadata"], object_.get("status") or {}
        vmi = VmiId(metadata["namespace"], metadata["name"], object_["spec"]["vmiUID"])
        conditions = tuple(status_.get("conditions") or ())
        observed = next((c for c in conditions if c.get("type") == "Observed"), None)
        told = None
        if observed is not None:
            told = Detail(
                observed.get("status") == "True",
                observed.get("reason", ""),
                observed.get("message", ""),
                _seconds(status_.get("since")),
                status_.get("nodeName", ""),
            )
        return Companion(
            vmi=vmi,
            version=version_of(object_),
            resource_version=metadata["resourceVersion"],
            uid=metadata["uid"],
            label=(metadata.get("labels") or {}).get(NODE_LABEL, ""),
            value=PublishedValue(count(status_.get("vncSessions")), told),
            conditions=conditions,
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _idle(sessions: int, told: Detail) -> tuple[str, str, str]:
    if not told.observed:
        return "Unknown", "NotObserved", f"Whether anybody is connected is not known: {told.message}"
    if not sessions:
        return "True", "NobodyConnected", "Nobody is connected over VNC."
    people = "1 viewer is" if sessions == 1 else f"{sessions} viewers are"
    return "False", "ViewersConnected", f"{people} connected over VNC."


def _since(condition: dict[str, str], before: tuple[Mapping[str, Any], ...], now: float) -> dict[str, str]:
    """The condition with the time of its last transition, which stays while its status does."""
    same = [old for old in before if all(old.get(key) == condition[key] for key in ("type", "status"))]
    kept = same[0].get("lastTransitionTime") if same else None
    return condition | {"lastTransitionTime": kept or _rfc3339(int(now))}


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _seconds(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (TypeError, ValueError):
        return None
