"""Collects `kubevirt_vmi_*`, the metrics of each VMI with KubeVirt's labels, and the counters of its agent.

Invariants:
- A VMI has series at one handler only, the handler of the node that the VMI names, and none after its deletion.
- A zero is exported only if it is observed: *unknown is not zero*, and a graph cannot distinguish the two.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import Metric

from handler_service.metrics.families import counter, gauge
from handler_service.model import DesiredStatus, Reason, ServiceStatus, VmiId
from handler_service.services import BY_NUMBER
from handler_service.status_manager import StatusManager

_VMI: Final = ("node", "namespace", "name")
_VNC: Final = "vnc"
#: Counters that are exported once a VMI's agent polls: by default none does.
_POLLS: Final = ("polls", "poll_failures")
#: The agent's counters that are exported, with name and help text. The status service shows all counters.
_AGENT: Final[Mapping[str, tuple[str, str]]] = {
    "libvirt_connects": (
        "libvirt_connects",
        "Connections to libvirt that the VMI's agents have made since they started.",
    ),
    "events_received": ("events", "Graphics events that the VMI's agents have received since they started."),
    "events_ignored": (
        "events_ignored",
        "Graphics events that the VMI's agents could not interpret, or that belong to another service.",
    ),
    "queries": ("queries", "Queries of QEMU's list of clients by the VMI's agents since they started."),
    "polls": ("polls", "Polls of QEMU for other services than VNC by the VMI's agents since they started."),
    "poll_failures": ("poll_failures", "Polls without a valid answer in time, since the VMI's agents started."),
}


class VmiCollector:
    """Collects the metrics from the status manager."""

    def __init__(self, manager: StatusManager, node: str) -> None:
        """`node` is the value of the label node; empty outside a cluster."""
        self._manager = manager
        self._node = node

    def collect(self) -> Iterator[Metric]:
        """Yield all families with their current values."""
        known = [
            (self._labels(vmi, service), status)
            for vmi, desired in self._manager.desired_statuses().items()
            for service, status in _watched(desired)
        ]
        value = [(labels, status) for labels, status in known if status.observed or status.sessions > 0]
        yield gauge(
            "kubevirt_vmi_service_sessions",
            "Open sessions of the VMI, by service; the last known number if they are not observed. "
            "Absent if no number is known.",
            (*_VMI, "service"),
            ((labels, status.sessions) for labels, status in value),
        )
        yield gauge(
            "kubevirt_vmi_service_observed",
            "Whether the sessions of the VMI are observed now, by service. Absent if the service is not watched.",
            (*_VMI, "service"),
            ((labels, status.observed) for labels, status in known),
        )
        yield gauge(
            "kubevirt_vmi_service_sessions_since_timestamp_seconds",
            "Unix time since when the number of the VMI's VNC sessions has been zero, or above zero, at the latest; "
            "absent if it is not known.",
            (*_VMI, "service"),
            (
                (labels, status.since)
                for labels, status in value
                if isinstance(status, DesiredStatus) and status.since is not None
            ),
        )
        yield from self._agents()

    def _agents(self) -> Iterator[Metric]:
        # By VMI and not as a sum: an agent that reports false numbers must affect only its own VM.
        told: dict[VmiId, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for entry in self._manager.entries():
            for name, number in entry.counters.items():
                told[entry.endpoint.vmi][name] += number
        for field, (name, text) in _AGENT.items():
            samples = [
                (self._labels(vmi), counters[field])
                for vmi, counters in told.items()
                if field not in _POLLS or counters["polls"]
            ]
            yield counter(f"vmi_service_status_agent_{name}", text, _VMI, samples)

    def _labels(self, vmi: VmiId, *more: str) -> tuple[str, ...]:
        return (self._node, vmi.namespace, vmi.name, *more)


def _watched(desired: DesiredStatus) -> Iterator[tuple[str, DesiredStatus | ServiceStatus]]:
    """Yield the name and the status of each service that is watched."""
    yield _VNC, desired
    for one in desired.services:
        if one.reason is not Reason.NOT_WATCHED:
            yield BY_NUMBER[one.service].name, one
