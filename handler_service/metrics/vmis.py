"""What concerns a VMI: `kubevirt_vmi_*`, with KubeVirt's labels, and what its agent tells of itself.

Invariants:
- A VMI has series at one handler only, that of the node which the VMI names, and none when it is gone.
- A zero is shown only where it is observed: *unknown is not zero*, and a graph cannot tell them apart.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import Metric

from handler_service.metrics.families import counter, gauge
from handler_service.model import DesiredStatus, VmiId
from handler_service.status_manager import StatusManager

_VMI: Final = ("node", "namespace", "name")
_SERVICE: Final = "vnc"
#: The agent's counters that come out here, with what they say. The others are for the status service.
_AGENT: Final[Mapping[str, tuple[str, str]]] = {
    "libvirt_connects": (
        "libvirt_connects",
        "Connections to libvirt that the VMI's agents have made since they started.",
    ),
    "events_received": ("events", "Graphics events that the VMI's agents have received since they started."),
    "events_ignored": (
        "events_ignored",
        "Graphics events that the VMI's agents did not understand, or that belong to another service.",
    ),
    "queries": ("queries", "Times that the VMI's agents have asked QEMU who is connected, since they started."),
}


class VmiCollector:
    """Collects them from the hub."""

    def __init__(self, manager: StatusManager, node: str) -> None:
        """`node` is the label's value; empty outside a cluster."""
        self._manager = manager
        self._node = node

    def collect(self) -> Iterator[Metric]:
        """All families, of this moment."""
        desired_statuses = self._manager.desired_statuses()
        value = {vmi: desired for vmi, desired in desired_statuses.items() if _shows_number(desired)}
        yield gauge(
            "kubevirt_vmi_service_sessions",
            "Sessions of the VMI that are open, by service; where they are not observed, the last number known. "
            "Absent where nothing is known.",
            (*_VMI, "service"),
            ((self._labels(vmi, _SERVICE), desired.sessions) for vmi, desired in value.items()),
        )
        yield gauge(
            "kubevirt_vmi_service_observed",
            "Whether the sessions of the VMI are observed at this moment, by service.",
            (*_VMI, "service"),
            ((self._labels(vmi, _SERVICE), desired.observed) for vmi, desired in desired_statuses.items()),
        )
        yield gauge(
            "kubevirt_vmi_service_sessions_since_timestamp_seconds",
            "Unix time since when the VMI's sessions have been zero, or more than zero, at least; absent where it "
            "cannot be proved.",
            (*_VMI, "service"),
            (
                (self._labels(vmi, _SERVICE), desired.since)
                for vmi, desired in value.items()
                if desired.since is not None
            ),
        )
        yield from self._agents()

    def _agents(self) -> Iterator[Metric]:
        # By VMI and not in sum: an agent may lie, about its own VM only.
        told: dict[VmiId, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for entry in self._manager.entries():
            for name, number in entry.counters.items():
                told[entry.endpoint.vmi][name] += number
        for field, (name, text) in _AGENT.items():
            samples = [(self._labels(vmi), counters[field]) for vmi, counters in told.items()]
            yield counter(f"vmi_service_status_agent_{name}", text, _VMI, samples)

    def _labels(self, vmi: VmiId, *more: str) -> tuple[str, ...]:
        return (self._node, vmi.namespace, vmi.name, *more)


def _shows_number(desired: DesiredStatus) -> bool:
    return desired.observed or desired.sessions > 0
