"""Turns a desired status into the conditions `Observed` and `Idle`, and reads them back. Pure.

The companion object and the VMI document show the same facts, so both are written by this module. Both conditions are
about VNC; those of the other services are in service_conditions.py.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from handler_service.model import DesiredStatus, PublishedValue, Reason

Condition = Mapping[str, Any]

#: The reason of a condition Idle whose status is Unknown.
NOT_OBSERVED: Final = "NotObserved"

#: What each reason means, and what to do, for a person who reads nothing but the object.
_MESSAGES: Final[Mapping[Reason, str]] = {
    Reason.WATCHING: "The agent sees every viewer connect and disconnect.",
    Reason.NO_DOMAIN: "libvirt runs no VM here, so no viewer can be connected.",
    Reason.LIBVIRT_UNREACHABLE: "The agent cannot reach libvirt; the number shown is the last one known.",
    Reason.RECONCILING: "The agent is counting the viewers that connected before it started; the number shown is the "
    "last one known.",
    Reason.AMBIGUOUS_DOMAIN: "The agent found more than one VM and does not know which one to report.",
    Reason.LOWER_BOUND: "Viewers that connected before the agent started may be missing: --query=never forbids "
    "to ask QEMU.",
    Reason.UNOBSERVABLE_LISTENER: "A VNC server of the VM has no listener or connects to its viewer itself. QEMU does "
    "not report its viewers: some may be missing.",
    Reason.DOMAIN_NOT_DEFINED: "libvirt has no domain with the name in the agent's --domain.",
    Reason.NOT_WATCHED: "This service is not watched: the handler does not ask for it, or QEMU does not report it.",
    Reason.QUERY_FAILED: "QEMU has not answered the agent's last question; the number shown is the last one known.",
    Reason.AGENT_STARTING: "The agent has not sent a report yet.",
    Reason.AGENT_SILENT: "No report from the agent within its lease; the number shown is the last one known.",
    Reason.AGENT_STOPPED: "The agent has stopped; the number shown is the last one known.",
    Reason.NO_AGENT: "No agent has reported for this VM. A launcher pod that was created before the agent was "
    "installed has none: a live migration or a restart of the VM creates a pod with an agent, unless the label "
    "servicestatus.kubevirt.io/inject of the VM's template or of its namespace keeps it away.",
    Reason.SOCKET_REFUSED: "The handler's socket in the launcher pod was replaced or removed by a process in the pod "
    "and is ignored. A live migration or a restart of the VM creates a new pod.",
    Reason.TOO_MANY_PODS: "The VMI has more launcher pods on this node than are served. Only one of them can run the "
    "VM: delete the others.",
    Reason.FINISHED: "The VM has ended, so no viewer can be connected.",
    Reason.UNKNOWN: "The agent reports a reason that this version of the handler does not know.",
}

#: The same on a host without a cluster, where there are no launcher pods.
_HOST_MESSAGES: Final[Mapping[Reason, str]] = {
    Reason.NO_AGENT: "No agent runs for this VM; the number shown is the last one known.",
    Reason.SOCKET_REFUSED: "The handler cannot serve the VM's socket; the number shown is the last one known.",
}


class Detail(NamedTuple):
    """What is shown beside the number."""

    observed: bool
    reason: str
    message: str
    #: Whole seconds of wall time: a Kubernetes time has no more.
    since: int | None
    #: Empty outside a cluster.
    node: str


class ServiceDetail(NamedTuple):
    """What is shown beside the number of another service than VNC that is watched."""

    observed: bool
    reason: str
    message: str

    @property
    def watched(self) -> bool:
        """Whether the service is watched, so that there may be something to withdraw."""
        return self.reason != Reason.NOT_WATCHED.value


def detail(desired: DesiredStatus, node: str) -> Detail:
    """Return what to show of a desired status. `node` is empty on a host without a cluster."""
    message = (not node and _HOST_MESSAGES.get(desired.reason)) or _MESSAGES[desired.reason]
    message = with_cause(message, desired.message)
    since = None if desired.since is None else int(desired.since)
    return Detail(desired.observed, desired.reason.value, message, since, node)


def shows_idle(value: PublishedValue) -> bool:
    """Return whether the condition Idle of a published value is True; of another service, whether it claims a zero."""
    return not value.sessions and isinstance(value.detail, Detail | ServiceDetail) and value.detail.observed


def with_cause(message: str, cause: str) -> str:
    """Return a reason's message with what the reason's author adds to it."""
    return f"{message} ({cause})" if cause else message


def explanation(reason: str) -> str:
    """Return the meaning of a reason, for people."""
    return _MESSAGES[Reason(reason)]


def conditions(sessions: int, shown: Detail, before: Iterable[Any], now: float) -> list[Condition]:
    """Return both conditions. A transition time in `before` is kept while the status is the same.

    `now` is wall time.
    """
    idle, idle_reason, idle_message = _idle(sessions, shown)
    desired = [
        {"type": "Observed", "status": str(shown.observed), "reason": shown.reason, "message": shown.message},
        {"type": "Idle", "status": idle, "reason": idle_reason, "message": idle_message},
    ]
    known = [condition for condition in before if isinstance(condition, Mapping)]
    return [with_transition_time(condition, known, now) for condition in desired]


def read_detail(status: Mapping[str, Any]) -> Detail | None:
    """Return what a status shows beside the number; None when it has no condition `Observed`.

    Raises AttributeError, TypeError for a status of another form.
    """
    observed = next((c for c in status.get("conditions") or () if c.get("type") == "Observed"), None)
    if observed is None:
        return None
    return Detail(
        observed.get("status") == "True",
        observed.get("reason", ""),
        observed.get("message", ""),
        seconds(status.get("since")),
        status.get("nodeName", ""),
    )


def time(whole_seconds: int) -> str:
    """Return wall time as Kubernetes writes it."""
    return datetime.fromtimestamp(whole_seconds, UTC).isoformat().replace("+00:00", "Z")


def seconds(text: Any) -> int | None:
    """Return the wall time of time(); None when `text` is not a time."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (TypeError, ValueError):
        return None


def _idle(sessions: int, shown: Detail) -> tuple[str, str, str]:
    if not shown.observed:
        return "Unknown", NOT_OBSERVED, not_known(shown.message)
    if not sessions:
        return "True", "NobodyConnected", "No viewer is connected over VNC."
    people = "1 viewer is" if sessions == 1 else f"{sessions} viewers are"
    return "False", "ViewersConnected", f"{people} connected over VNC."


def not_known(message: str) -> str:
    """Return the message of a condition Idle that is Unknown; `message` is that of Observed."""
    return f"Not known whether a viewer is connected: {message}"


def with_transition_time(condition: dict[str, Any], before: Iterable[Condition], now: float) -> Condition:
    """Return `condition` with its transition time, which is kept from `before` while the status is the same.

    `now` is wall time.
    """
    same = [old for old in before if all(old.get(key) == condition[key] for key in ("type", "status"))]
    kept = same[0].get("lastTransitionTime") if same else None
    return condition | {"lastTransitionTime": kept or time(int(now))}
