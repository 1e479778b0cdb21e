"""The agent's report at one moment: whether the sessions are observed, the sessions, and counters."""

from dataclasses import dataclass

from launcher_agent.sessions.view import TableView
from servicestatus.reasons import Reason


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


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the agent reports to a handler."""

    observation: Observation
    vnc: TableView
    counters: Counters = Counters()
