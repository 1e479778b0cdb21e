"""Writes `events.k8s.io/v1` events about VMIs, which `kubectl describe vmi` shows in its section Events.

An event that occurs again within 6 minutes is counted in the same object, as Kubernetes' own components do it. An API
server deletes an event after an hour. `reportingInstance` is the node; the admission policy in
manifests/base/guard-event.yaml rejects another one.
"""

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from handler_service.events.policy import Kind, VmiEvent
from handler_service.kube import conditions
from handler_service.kube.client import MERGE_PATCH, KubeClient
from handler_service.kube.errors import KubeError, NotFoundError
from handler_service.model import VmiId
from servicestatus import contract, logs
from servicestatus.clock import Clock, WallClock
from servicestatus.text import truncate

log = logging.getLogger(__name__)

CONTROLLER: Final = "servicestatus.kubevirt.io/handler"
_ACTION: Final = "ObservingSessions"
#: Seconds after which a repeated event is a new object, as in Kubernetes' own recorder.
_SERIES: Final = 360.0
#: Bytes of a note: the limit of the API.
_MAX_NOTE: Final = 1024
_NOTES: Final = {
    Kind.STARTED: "Somebody has connected to the VM over VNC.",
    Kind.ENDED: "Nobody is connected to the VM over VNC any more.",
    Kind.UNKNOWN: "It is not known whether anybody is connected to the VM over VNC: {}",
    Kind.REFUSED: "How many are connected to the VM cannot be published: {}",
}
_WARNINGS: Final = (Kind.UNKNOWN, Kind.REFUSED)


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: float


class EventWriter:
    """Writes the events of one node's handler."""

    def __init__(
        self,
        client: KubeClient,
        node: str,
        clock: Clock = time.monotonic,
        wall: WallClock = time.time,
    ) -> None:
        """`clock` is the clock of VmiEvent's times; `wall` returns the time that an event shows."""
        self._client = client
        self._node = node
        self._clock = clock
        self._wall = wall
        self._series: dict[tuple[VmiId, Kind, str], _Series] = {}
        self._failing = False
        #: Number of events by reason and outcome.
        self.stats = {(kind.value, outcome): 0 for kind in Kind for outcome in ("written", "failed")}

    async def write(self, vmi_event: VmiEvent) -> None:
        """Write the event. If that fails, drop it; log only the first failure of several as a warning."""
        outcome = "written"
        try:
            await self._write(vmi_event)
            self._failing = False
        except KubeError as error:
            outcome = "failed"
            level = logging.DEBUG if self._failing else logging.WARNING
            about = logs.fields(vmi=vmi_event.vmi)
            log.log(
                level, "the event %s cannot be written and is dropped: %s", vmi_event.kind.value, error, extra=about
            )
            self._failing = True
        self.stats[vmi_event.kind.value, outcome] += 1

    async def _write(self, vmi_event: VmiEvent) -> None:
        now = self._clock()
        self._series = {key: one for key, one in self._series.items() if now - one.last < _SERIES}
        key = (vmi_event.vmi, vmi_event.kind, vmi_event.detail)
        series = self._series.get(key)
        if series is not None:
            try:
                return await self._again(vmi_event, series)
            except NotFoundError:
                del self._series[key]  # the event was deleted meanwhile
        self._series[key] = await self._new(vmi_event)
        return None

    async def _new(self, vmi_event: VmiEvent) -> _Series:
        name = event_name(vmi_event.vmi.name, uuid.uuid4().hex[:16])
        await self._client.post(_path(vmi_event.vmi), self._event(vmi_event, name))
        return _Series(name, vmi_event.times, vmi_event.last)

    async def _again(self, vmi_event: VmiEvent, series: _Series) -> None:
        count = series.count + vmi_event.times
        body = {"series": self._counted(count, vmi_event.last)}
        await self._client.patch(f"{_path(vmi_event.vmi)}/{series.name}", body, MERGE_PATCH)
        series.count, series.last = count, vmi_event.last

    def _event(self, vmi_event: VmiEvent, name: str) -> dict[str, Any]:
        vmi, kind = vmi_event.vmi, vmi_event.kind
        event: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": vmi.namespace, "name": name},
            "eventTime": self._time(vmi_event.first),
            "type": "Warning" if kind in _WARNINGS else "Normal",
            "reason": kind.value,
            "action": _ACTION,
            "note": truncate(_note(vmi_event), _MAX_NOTE),
            "reportingController": CONTROLLER,
            "reportingInstance": self._node,
            "regarding": {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstance",
                "namespace": vmi.namespace,
                "name": vmi.name,
                "uid": vmi.uid,
            },
        }
        if vmi_event.times > 1:
            event["series"] = self._counted(vmi_event.times, vmi_event.last)
        return event

    def _counted(self, count: int, last: float) -> dict[str, Any]:
        return {"count": count, "lastObservedTime": self._time(last)}

    def _time(self, monotonic: float) -> str:
        """Return a monotonic time in the format of the API: RFC 3339 with six decimal places."""
        seconds = self._wall() - (self._clock() - monotonic)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event_name(vmi: str, suffix: str) -> str:
    """Return a DNS subdomain: as much of the VMI's name as fits, a dot, and `suffix`."""
    longest = contract.MAX_OBJECT_NAME_BYTES - len(suffix) - 1
    return f"{vmi[:longest].rstrip('-.')}.{suffix}"


def _note(vmi_event: VmiEvent) -> str:
    unknown = vmi_event.kind is Kind.UNKNOWN
    return _NOTES[vmi_event.kind].format(conditions.explanation(vmi_event.detail) if unknown else vmi_event.detail)


def _path(vmi: VmiId) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{vmi.namespace}/events"
