"""Connects the parts of the handler: reports change the report store, which sets the desired status of the publishers,
whose answers wake the streams.

Runs in one event loop and has no locks. Notifications are merged: a listener is woken and reads the current state.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from handler_service.model import Assignment, DesiredStatus, Endpoint, PublishProgress, Reason, Unserved, VmiId
from handler_service.publishing.item import PublisherState
from handler_service.publishing.worker import PublishWorker
from handler_service.reports import summary
from handler_service.reports.entry import Entry
from handler_service.reports.store import ReportStore
from handler_service.stats import StreamStats
from servicestatus import logs
from servicestatus.clock import Clock
from servicestatus.v1 import session_report_service_pb2 as pb

log = logging.getLogger(__name__)

#: Leases are checked at least this often, which bounds the effect of a wrong due time.
_MAX_SLEEP: Final = 5.0


class StatusManager:
    """All VMIs of this handler."""

    def __init__(self, lease: float, clock: Clock, polling: Mapping[int, float] = MappingProxyType({})) -> None:
        """`lease` in seconds. `polling` as in ReportStore."""
        self.clock = clock
        self._lease = lease
        #: The VMIs of this handler, with the time from which one without any endpoint is reported as NoAgent.
        self._assigned: dict[VmiId, tuple[Assignment, float]] = {}
        #: By VMI and pod, why a pod that may run the VM is not served.
        self._unserved: dict[VmiId, dict[str, Unserved]] = {}
        self.reports = ReportStore(lease, self._changed, polling)
        self.workers: list[PublishWorker] = []
        #: None before the first answer, and where no opener is needed.
        self.opener_answers: bool | None = None
        # A lease that starts during a sleep expires after its end.
        self._longest_sleep = min(_MAX_SLEEP, lease)
        self._streams: dict[str, set[Callable[[], None]]] = {}
        self._watchers: set[Callable[[VmiId], None]] = set()

    def add_worker(self, worker: PublishWorker) -> None:
        """Publish by `worker` too. Must be called before any VMI is assigned."""
        self.workers.append(worker)

    # --- VMIs ---

    def assign(self, vmi: VmiId, assignment: Assignment) -> None:
        """Take responsibility for `vmi`, as `assignment` says."""
        before = self._assigned.get(vmi)
        if before is not None and before[0] == assignment:
            return
        deadline = before[1] if before is not None and before[0].owned else self.clock() + self._lease
        self._assigned[vmi] = (assignment, deadline)
        self._changed(vmi)

    def unassign(self, vmi: VmiId) -> None:
        """Give up `vmi`; the published value stays."""
        if self._assigned.pop(vmi, None) is not None:
            self._changed(vmi)

    def vmis(self) -> list[VmiId]:
        """Return all assigned VMIs and those with an endpoint, ordered."""
        return sorted({*self._assigned, *self.reports.vmis()})

    def desired_statuses(self) -> dict[VmiId, DesiredStatus]:
        """Return the desired status of each VMI that this handler publishes."""
        return {vmi: desired for vmi in self.vmis() if (desired := self.desired_status(vmi)) is not None}

    def desired_status(self, vmi: VmiId) -> DesiredStatus | None:
        """Return the desired status of `vmi`; None when this handler does not publish it."""
        assignment, deadline = self._assigned.get(vmi, (Assignment(owned=False), 0.0))
        if not assignment.owned:
            return None
        if assignment.final:
            return summary.finished(self.reports.polling)
        desired = self.reports.desired_status(vmi)
        unserved = self._why_unserved(vmi)
        if desired is None:
            why = unserved or Unserved(Reason.NO_AGENT)
            return DesiredStatus(0, False, why.reason, why.message, None, self.clock() >= deadline, ())
        # Only one pod runs the VM. While that may be a pod that is not served, the others prove no zero.
        return desired if unserved is None else summary.withheld(desired, unserved)

    def _why_unserved(self, vmi: VmiId) -> Unserved | None:
        found = self._unserved.get(vmi, {}).values()
        return min(found, key=lambda one: one.reason is not Reason.TOO_MANY_PODS, default=None)

    # --- endpoints ---

    def add(self, endpoint: Endpoint) -> None:
        """Add an endpoint that is served from now on."""
        self.reports.add(endpoint, self.clock())

    def remove(self, endpoint_id: str) -> None:
        """Remove an endpoint."""
        self.reports.remove(endpoint_id)

    def entries(self, vmi: VmiId | None = None) -> Iterator[Entry]:
        """Return what is known of each endpoint of `vmi`, or of all endpoints."""
        return self.reports.all_entries() if vmi is None else self.reports.entries(vmi)

    def reported_status(self, vmi: VmiId) -> DesiredStatus | None:
        """Return what follows from the reports about `vmi`, whether or not this handler publishes it."""
        return self.reports.desired_status(vmi)

    # --- streams ---

    @property
    def stream_stats(self) -> StreamStats:
        """Counters of all streams."""
        return self.reports.stats

    def is_current(self, endpoint_id: str, stream: int) -> bool:
        """Return whether `stream` is the newest stream of an endpoint."""
        return self.reports.is_current(endpoint_id, stream)

    def stream_closed(self, endpoint_id: str, stream: int) -> None:
        """Record the end of a stream. The last report counts until the lease expires."""
        self.reports.closed(endpoint_id, stream)

    def stream_rejected(self, status: str) -> None:
        """Count a stream that ended with a status other than OK."""
        self.reports.rejected(status)

    def set_opener(self, *, answers: bool) -> None:
        """Record whether the opener answers, without which no new launcher pod can be served."""
        self.opener_answers = answers

    def set_unserved(self, vmi: VmiId, pod_uid: str, unserved: Unserved | None) -> None:
        """Record why a pod that may run the VM of `vmi` is not served; None: it is served, or cannot run the VM."""
        pods = self._unserved.get(vmi, {})
        if pods.get(pod_uid) == unserved:
            return
        if unserved is None:
            del pods[pod_uid]
        else:
            pods[pod_uid] = unserved
        if pods:
            self._unserved[vmi] = pods
        else:
            self._unserved.pop(vmi, None)
        self._changed(vmi)

    # --- listeners ---

    def listen(self, endpoint_id: str, wake: Callable[[], None]) -> None:
        """Call `wake` when an endpoint's ack may have changed, or its stream was superseded."""
        self._streams.setdefault(endpoint_id, set()).add(wake)

    def unlisten(self, endpoint_id: str, wake: Callable[[], None]) -> None:
        """End listen()."""
        listeners = self._streams.get(endpoint_id, set())
        listeners.discard(wake)
        if not listeners:
            self._streams.pop(endpoint_id, None)

    def watch(self, changed: Callable[[VmiId], None]) -> None:
        """Call `changed` with each VMI whose state changed."""
        self._watchers.add(changed)

    def unwatch(self, changed: Callable[[VmiId], None]) -> None:
        """End watch()."""
        self._watchers.discard(changed)

    def wake_streams(self, endpoint_ids: Iterable[str]) -> None:
        """Wake the streams of these endpoints."""
        for endpoint_id in endpoint_ids:
            for wake in tuple(self._streams.get(endpoint_id, ())):
                wake()

    def answered(self, vmi: VmiId) -> None:
        """Notify the listeners: a publisher has answered for `vmi`."""
        self.wake_streams([entry.endpoint.id for entry in self.entries(vmi)])
        for changed in tuple(self._watchers):
            changed(vmi)

    # --- questions ---

    def counting_workers(self, vmi: VmiId) -> list[tuple[PublishWorker, PublisherState]]:
        """Return the workers that count for `vmi`, each with its state.

        A publisher whose API server prunes the field does not count while another publisher exists: as on every stock
        KubeVirt, readers use the other object. The debug API and the metrics still show the pruned one.
        """
        states = [(worker, worker.state(vmi)) for worker in self.workers]
        if len(states) == 1:
            return states
        return [(worker, state) for worker, state in states if state.state != pb.PUBLISH_STATE_PRUNED]

    def progress(self, endpoint: Endpoint) -> PublishProgress:
        """Return how far an endpoint's reports are published, by every publisher that counts."""
        watermarks, worst, message = [], pb.PUBLISH_STATE_PUBLISHED, ""
        for worker, state in self.counting_workers(endpoint.vmi):
            watermarks.append(worker.published(endpoint.vmi, endpoint.id))
            if state.state != pb.PUBLISH_STATE_PUBLISHED:
                worst, message = state.state, state.message
        known = [watermark for watermark in watermarks if watermark is not None]
        if not watermarks or len(known) < len(watermarks):
            return PublishProgress(state=worst if watermarks else pb.PUBLISH_STATE_NOT_OWNER, message=message)
        oldest = min(known, key=lambda watermark: (watermark.stream, watermark.sequence))
        return PublishProgress(oldest.stream, oldest.sequence, worst, message)

    # --- work ---

    async def run(self) -> None:
        """Expire leases until cancelled."""
        before = self.clock()
        while True:
            await asyncio.sleep(self._until_expiry())
            for endpoint in self.reports.expire(self.clock()):
                about = logs.fields(vmi=endpoint.vmi, pod=endpoint.pod_uid)
                log.warning("no report on %s within a lease; the number is unknown", endpoint.socket, extra=about)
            now = self.clock()
            self._report_missing_endpoints(before, now)
            before = now

    def _until_expiry(self) -> float:
        now = self.clock()
        times = [deadline for _, deadline in self._assigned.values() if deadline > now]
        expiry = self.reports.next_expiry()
        times += [] if expiry is None else [expiry]
        return min(self._longest_sleep, max(0.01, min(times, default=now + _MAX_SLEEP) - now))

    def _report_missing_endpoints(self, before: float, now: float) -> None:
        """Report assigned VMIs that still have no endpoint one lease after assignment."""
        for vmi, (assignment, deadline) in list(self._assigned.items()):
            if assignment.owned and before < deadline <= now and self.reports.desired_status(vmi) is None:
                self._changed(vmi)

    def _changed(self, vmi: VmiId) -> None:
        desired = self.desired_status(vmi)
        for worker in self.workers:
            worker.set_desired(vmi, desired)
        for changed in tuple(self._watchers):
            changed(vmi)
