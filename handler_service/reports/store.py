"""Stores what each agent reported, by endpoint.

Pure: no clock, no I/O; `now` is monotonic seconds. Invariants:
- An endpoint is known before its agent reports, so "no report yet" differs from "no viewer".
- A value outlives its stream, its lease and its agent; it then no longer counts as observed.
- Only messages of the newest stream of an endpoint change anything.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from handler_service.model import DesiredStatus, Endpoint, VmiId
from handler_service.reports import summary
from handler_service.reports.entry import Entry, EntryState, Observed, ServiceState
from handler_service.stats import StreamStats

_NONE: Final[Mapping[int, float]] = MappingProxyType({})


class ReportStore:
    """All endpoints of this handler."""

    def __init__(self, lease: float, changed: Callable[[VmiId], None], polling: Mapping[int, float] = _NONE) -> None:
        """Call `changed` after each change that may affect a VMI's desired status.

        `polling` has the services that the agents are asked to poll, and the seconds between two polls.
        """
        #: The services that the agents are asked to poll, and the seconds between two polls.
        self.polling = dict(polling)
        self._lease = lease
        self._changed = changed
        #: Of all endpoints, including removed ones.
        self.stats = StreamStats()
        self._entries: dict[str, Entry] = {}
        # Never reused, so that a watermark of a removed endpoint is not mistaken for one of its successor.
        self._stream_numbers = itertools.count(1)
        self._by_vmi: dict[VmiId, dict[str, Entry]] = {}

    # --- endpoints ---

    def add(self, endpoint: Endpoint, now: float) -> None:
        """Add an endpoint that is served from now on; its agent has one lease to report."""
        entry = Entry(endpoint, lease_until=now + self._lease)
        self._entries[endpoint.id] = entry
        self._by_vmi.setdefault(endpoint.vmi, {})[endpoint.id] = entry
        self._changed(endpoint.vmi)

    def remove(self, endpoint_id: str) -> None:
        """Remove an endpoint, whose pod is gone, with its report."""
        entry = self._entries.pop(endpoint_id, None)
        if entry is None:
            return
        entries = self._by_vmi[entry.endpoint.vmi]
        del entries[endpoint_id]
        if not entries:
            del self._by_vmi[entry.endpoint.vmi]
        self._changed(entry.endpoint.vmi)

    # --- streams ---

    def opened(self, endpoint_id: str, instance: str, agent_version: str, now: float) -> int:
        """Open a stream, after its Hello. Returns its number; older streams of this endpoint are superseded."""
        entry = self._entries[endpoint_id]
        entry.stream = next(self._stream_numbers)
        entry.streams += 1
        self.stats.streams += 1
        entry.accepted = 0
        entry.instance, entry.agent_version = instance, agent_version
        self._renew(entry, now)
        return entry.stream

    def is_current(self, endpoint_id: str, stream: int) -> bool:
        """Whether this stream is the newest one of its endpoint."""
        entry = self._entries.get(endpoint_id)
        return entry is not None and entry.stream == stream

    def replace(
        self,
        endpoint_id: str,
        sequence: int,
        observation: Observed,
        services: Mapping[int, ServiceState],
        now: float,
    ) -> None:
        """Replace all services of an endpoint by a snapshot."""
        entry = self._entries[endpoint_id]
        entry.services = dict(services)
        self._accept(entry, sequence, observation, now)

    def update(
        self,
        endpoint_id: str,
        sequence: int,
        observation: Observed | None,
        services: Mapping[int, ServiceState],
        now: float,
    ) -> None:
        """Apply a valid delta to the services of an endpoint."""
        entry = self._entries[endpoint_id]
        entry.services.update(services)
        self._accept(entry, sequence, observation or entry.observation, now)

    def renew_lease(self, endpoint_id: str, now: float) -> None:
        """Renew the lease. The report of a silent endpoint counts again.

        It does not if this stream has had no snapshot: its agent may be another one, which has not reported yet.
        """
        entry = self._entries[endpoint_id]
        self._renew(entry, now)
        if entry.state is EntryState.SILENT and entry.accepted:
            entry.state = EntryState.REPORTING
            self._changed(entry.endpoint.vmi)

    def resyncing(self, endpoint_id: str, reason: int) -> None:
        """Count a request for a snapshot: a message did not follow from the stored report."""
        self._entries[endpoint_id].resyncs += 1
        self.stats.resyncs[reason] += 1

    def unknown(self, endpoint_id: str, number: int) -> None:
        """Count items of a later version."""
        self._entries[endpoint_id].unknown_items += number
        self.stats.unknown_items += number

    def count_message(self, kind: str) -> None:
        """Count one message of a stream."""
        self.stats.messages[kind] += 1

    def rejected(self, status: str) -> None:
        """Count a stream that ended with a status other than OK."""
        self.stats.rejections[status] += 1

    def set_counters(self, endpoint_id: str, counters: Mapping[str, int]) -> None:
        """Store the agent's own counters."""
        self._entries[endpoint_id].counters = counters

    def closed(self, endpoint_id: str, stream: int) -> None:
        """End a stream without Goodbye: its report counts until the lease expires."""
        if not self.is_current(endpoint_id, stream):
            return
        entry = self._entries[endpoint_id]
        if entry.state is EntryState.REPORTING:
            entry.state = EntryState.DISCONNECTED
            self._changed(entry.endpoint.vmi)

    def goodbye(self, endpoint_id: str, domain_ended: bool, now: float) -> None:
        """Record that the agent stopped: the number is unknown from now on, or zero if its domain has ended."""
        entry = self._entries[endpoint_id]
        self._renew(entry, now)
        entry.state = EntryState.GOODBYE
        entry.domain_ended = domain_ended
        if domain_ended:
            # Zero since the agent reported zero; if it did not report zero, the time is not known.
            since = {service: None if state.sessions else state.since for service, state in entry.services.items()}
            entry.services = {service: ServiceState(since=idle) for service, idle in since.items()}
        self._changed(entry.endpoint.vmi)

    # --- time ---

    def expire(self, now: float) -> list[Endpoint]:
        """Expire leases; returns their endpoints."""
        over = [entry for entry in self._entries.values() if entry.leased and entry.lease_until <= now]
        self.stats.lease_expiries += len(over)
        for entry in over:
            entry.state = EntryState.SILENT
            self._changed(entry.endpoint.vmi)
        return [entry.endpoint for entry in over]

    def next_expiry(self) -> float | None:
        """Return when the next lease expires, if no message arrives."""
        return min((entry.lease_until for entry in self._entries.values() if entry.leased), default=None)

    # --- questions ---

    def entry(self, endpoint_id: str) -> Entry:
        """One endpoint; KeyError when it is not known."""
        return self._entries[endpoint_id]

    def entries(self, vmi: VmiId) -> Iterator[Entry]:
        """The endpoints of one VMI; none when it is not known."""
        yield from self._by_vmi.get(vmi, {}).values()

    def all_entries(self) -> Iterator[Entry]:
        """Every endpoint."""
        yield from self._entries.values()

    def vmis(self) -> list[VmiId]:
        """All VMIs that have an endpoint, ordered."""
        return sorted(self._by_vmi)

    def desired_status(self, vmi: VmiId) -> DesiredStatus | None:
        """Return what follows from the reports about `vmi`; None when it has no endpoint."""
        entries = list(self.entries(vmi))
        return summary.desired_status(entries, self.polling) if entries else None

    # --- inside ---

    def _renew(self, entry: Entry, now: float) -> None:
        entry.last_seen = now
        if entry.state is not EntryState.WAITING:  # before the first report there is one lease, whatever else arrives
            entry.lease_until = now + self._lease

    def _accept(self, entry: Entry, sequence: int, observation: Observed, now: float) -> None:
        entry.state = EntryState.REPORTING
        self._renew(entry, now)
        entry.accepted, entry.has_reported = sequence, True
        entry.observation = observation
        entry.domain_ended = False
        self._changed(entry.endpoint.vmi)
