"""Holds what is known of one endpoint: its lease, its stream, and the agent's last report. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from handler_service.model import Endpoint, Reason


class EntryState(Enum):
    """The state of an endpoint."""

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
class Observed:
    """Whether an agent observes its VM, or one service of it, and why not."""

    observed: bool
    reason: Reason
    message: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What an agent reported of one service."""

    sessions: int = 0
    pending: int = 0
    accuracy: int = 0
    since: float | None = None
    identified: Mapping[int, Identified] = field(default_factory=lambda: MappingProxyType({}))
    #: None: that of the whole report holds.
    observation: Observed | None = None
    #: Seconds between two polls; None if events report each session.
    sampled_every: float | None = None


_STARTING: Final = Observed(False, Reason.AGENT_STARTING)


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
    #: Whether a snapshot was ever accepted, on any stream.
    has_reported: bool = False
    last_seen: float | None = None
    observation: Observed = _STARTING
    services: dict[int, ServiceState] = field(default_factory=dict)
    domain_ended: bool = False
    resyncs: int = 0
    unknown_items: int = 0
    counters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def leased(self) -> bool:
        """Whether a lease runs, so that it may expire."""
        return self.state in (EntryState.WAITING, EntryState.REPORTING, EntryState.DISCONNECTED)
