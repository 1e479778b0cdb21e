"""The agent's report at one moment: whether the sessions are observed, the sessions, and counters."""

from dataclasses import dataclass

from launcher_agent.sessions.view import TableView
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import Service


@dataclass(frozen=True, slots=True)
class Observation:
    """Whether the sessions are observed, and why. `since`: seconds since the epoch at which `reason` last changed."""

    reason: Reason
    message: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since the agent's start. Each only grows."""

    libvirt_connects: int = 0
    events_received: int = 0
    events_ignored: int = 0
    queries: int = 0
    table_overflows: int = 0
    polls: int = 0
    poll_failures: int = 0


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """A service other than VNC. `service`: its number in the contract. `sampled_every`: seconds; None: by events."""

    service: Service
    view: TableView
    observation: Observation
    sampled_every: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the agent reports to a handler."""

    observation: Observation
    vnc: TableView
    counters: Counters = Counters()
    #: The other services, always the same ones in the same order.
    services: tuple[ServiceReport, ...] = ()
