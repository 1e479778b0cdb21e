"""What each endpoint last said, and what follows for its VMI.

Pure: no clock, no I/O; `now` is monotonic seconds. Invariants:
- An endpoint is known before its agent speaks, so that "nobody spoke yet" differs from "nobody is connected".
- A value outlives its stream, its lease and its agent; what ends is only that it counts as observed.
- Only messages of the newest stream of an endpoint change anything.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from handler_service.model import DesiredStatus, Endpoint, Reason, VmiId, Watermark
from handler_service.stats import StreamStats
from servicestatus.v1 import sessions_pb2 as types


class EntryState(Enum):
    """Where an endpoint stands."""

    WAITING = "waiting"
    REPORTING = "reporting"
    DISCONNECTED = "disconnected"
    SILENT = "silent"
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class Identified:
    """A session whose peer is known."""

    transport: int
    address: str
    port: int
    started_at: float | None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What an agent said of one service."""

    sessions: int = 0
    pending: int = 0
    accuracy: int = 0
    since: float | None = None
    identified: Mapping[int, Identified] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Observed:
    """What an agent said of its own sight."""

    observed: bool
    reason: Reason
    message: str = ""
    since: float | None = None


_STARTING: Final = Observed(False, Reason.AGENT_STARTING)
_NOBODY: Final = Observed(True, Reason.NO_DOMAIN)
_GOODBYE: Final = Observed(False, Reason.AGENT_STOPPED, "the agent said goodbye")
_SILENT: Final = Observed(False, Reason.AGENT_SILENT, "the agent was not heard for a lease")
_NO_AGENT: Final = Observed(False, Reason.NO_AGENT, "no agent has spoken on this socket")
_LOWER_BOUND: Final = Observed(False, Reason.LOWER_BOUND)


@dataclass(slots=True)
class Entry:
    """One endpoint."""

    endpoint: Endpoint
    lease_until: float
    state: EntryState = EntryState.WAITING
    instance: str = ""
    agent_version: str = ""
    #: The number of the newest stream; 0 before the first.
    stream: int = 0
    #: How many streams there were.
    streams: int = 0
    #: The last sequence accepted on the newest stream; 0 before its snapshot.
    accepted: int = 0
    #: Whether a snapshot was ever accepted, on whatever stream.
    has_reported: bool = False
    last_seen: float | None = None
    observation: Observed = _STARTING
    services: dict[int, ServiceState] = field(default_factory=dict)
    domain_ended: bool = False
    resyncs: int = 0
    unknown_items: int = 0
    counters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class ReportStore:
    """All endpoints of this handler."""

    def __init__(self, service: int, lease: float, changed: Callable[[VmiId], None]) -> None:
        """Publish `service`; call `changed` after each change that may show in a VMI's standing."""
        self._service = service
        self._lease = lease
        self._changed = changed
        #: Of all endpoints, those included that are gone.
        self.stats = StreamStats()
        self._entries: dict[str, Entry] = {}
        # Never used twice, so that a mark of an endpoint that was removed and is back cannot be taken for a new one.
        self._stream_numbers = itertools.count(1)
        self._by_vmi: dict[VmiId, dict[str, Entry]] = {}

    # --- endpoints ---

    def add(self, endpoint: Endpoint, now: float) -> None:
        """A socket is being served; its agent has a lease to speak."""
        entry = Entry(endpoint, lease_until=now + self._lease)
        self._entries[endpoint.id] = entry
        self._by_vmi.setdefault(endpoint.vmi, {})[endpoint.id] = entry
        self._changed(endpoint.vmi)

    def remove(self, endpoint_id: str) -> None:
        """The socket is gone (its pod is), and what it said with it."""
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
        """A stream said Hello. Returns its number; older streams of this endpoint are no longer listened to."""
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
        """A snapshot: everything that was known is forgotten."""
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
        """A delta that was found to apply: these services changed."""
        entry = self._entries[endpoint_id]
        entry.services.update(services)
        self._accept(entry, sequence, observation or entry.observation, now)

    def renew_lease(self, endpoint_id: str, now: float) -> None:
        """A message without news came: the lease is kept, and a value that was silent counts again.

        Not where this stream has had no snapshot: its agent may be another one, which has not said what it sees.
        """
        entry = self._entries[endpoint_id]
        self._renew(entry, now)
        if entry.state is EntryState.SILENT and entry.accepted:
            entry.state = EntryState.REPORTING
            self._changed(entry.endpoint.vmi)

    def resyncing(self, endpoint_id: str, reason: int) -> None:
        """A stream was asked for a snapshot, since what it said did not follow from what is known."""
        self._entries[endpoint_id].resyncs += 1
        self.stats.resyncs[reason] += 1

    def unknown(self, endpoint_id: str, number: int) -> None:
        """So many items of a later version came."""
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
        """A stream ended without goodbye: what it said holds until the lease ends."""
        if not self.is_current(endpoint_id, stream):
            return
        entry = self._entries[endpoint_id]
        if entry.state is EntryState.REPORTING:
            entry.state = EntryState.DISCONNECTED
            self._changed(entry.endpoint.vmi)

    def goodbye(self, endpoint_id: str, domain_ended: bool, now: float) -> None:
        """The agent stops on purpose: unknown from now on, or a proven zero where its domain has ended."""
        entry = self._entries[endpoint_id]
        self._renew(entry, now)
        entry.state = EntryState.GOODBYE
        entry.domain_ended = domain_ended
        if domain_ended:
            # Nobody is connected since the agent said so; where it had not yet, the time is not known.
            idle = {service: state.since for service, state in entry.services.items() if not state.sessions}
            entry.services = {service: ServiceState(since=since) for service, since in idle.items()}
        self._changed(entry.endpoint.vmi)

    # --- time ---

    def expire(self, now: float) -> list[Endpoint]:
        """End the leases that are over; returns their endpoints."""
        over = [entry for entry in self._entries.values() if _leased(entry) and entry.lease_until <= now]
        self.stats.lease_expiries += len(over)
        for entry in over:
            entry.state = EntryState.SILENT
            self._changed(entry.endpoint.vmi)
        return [entry.endpoint for entry in over]

    def next_expiry(self) -> float | None:
        """When the next lease ends, if no message comes."""
        return min((entry.lease_until for entry in self._entries.values() if _leased(entry)), default=None)

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
        """What follows for `vmi`; None when it has no endpoint."""
        entries = list(self.entries(vmi))
        if not entries:
            return None
        states = [entry.services.get(self._service, ServiceState()) for entry in entries]
        sessions = sum(state.sessions for state in states)
        sights = [_sight(entry, state) for entry, state in zip(entries, states, strict=True)]
        told = _telling(sights)
        return DesiredStatus(
            sessions=sessions,
            observed=all(sight.observed for sight in sights),
            reason=told.reason,
            message=told.message,
            since=_since(states, sessions),
            synced=all(entry.state is not EntryState.WAITING for entry in entries),
            watermarks=tuple(Watermark(entry.endpoint.id, entry.stream, _followed(entry)) for entry in entries),
        )

    # --- inside ---

    def _renew(self, entry: Entry, now: float) -> None:
        entry.last_seen = now
        entry.lease_until = now + self._lease

    def _accept(self, entry: Entry, sequence: int, observation: Observed, now: float) -> None:
        self._renew(entry, now)
        entry.accepted, entry.has_reported = sequence, True
        entry.observation = observation
        entry.state = EntryState.REPORTING
        entry.domain_ended = False
        self._changed(entry.endpoint.vmi)


def _leased(entry: Entry) -> bool:
    return entry.state in (EntryState.WAITING, EntryState.REPORTING, EntryState.DISCONNECTED)


def _sight(entry: Entry, state: ServiceState) -> Observed:
    """How far the number of one endpoint can be trusted now, and why."""
    if entry.state is EntryState.GOODBYE:
        return _NOBODY if entry.domain_ended else _GOODBYE
    if entry.state is EntryState.SILENT:
        return _SILENT if entry.has_reported else _NO_AGENT
    if entry.observation.observed and state.accuracy == types.ACCURACY_LOWER_BOUND:
        return _LOWER_BOUND
    return entry.observation


def _followed(entry: Entry) -> int:
    """Up to which sequence the standing is what follows from the reports of one endpoint.

    Where an agent that saw the truth has fallen silent or gone, nothing follows from its word any more: a place that
    keeps a higher number does not hold what it last said.
    """
    over = entry.state is EntryState.SILENT or (entry.state is EntryState.GOODBYE and not entry.domain_ended)
    return 0 if over and entry.observation.observed else entry.accepted


def _telling(sights: list[Observed]) -> Observed:
    """The first endpoint that is not observed explains the VMI; where all are, one that has a domain does."""
    for sight in sights:
        if not sight.observed:
            return sight
    return next((sight for sight in sights if sight.reason is not Reason.NO_DOMAIN), sights[0])


def _since(states: list[ServiceState], sessions: int) -> float | None:
    """Somebody is connected since the first who still is; nobody is since the last one left."""
    if sessions:
        return min((state.since for state in states if state.sessions and state.since is not None), default=None)
    if any(state.since is None for state in states):
        return None
    return max((state.since for state in states if state.since is not None), default=None)
