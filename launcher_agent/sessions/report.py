"""What the agent can say at one moment: whether it sees the truth, what it sees, what it has lived through."""

from dataclasses import dataclass

from launcher_agent.sessions.table import TableView
from servicestatus.reasons import Reason


@dataclass(frozen=True, slots=True)
class Observation:
    """Whether the agent sees the truth. `since`: seconds since the epoch at which `reason` last changed."""

    reason: Reason
    message: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What the agent has lived through. Each only ever grows."""

    libvirt_connects: int = 0
    events_received: int = 0
    events_ignored: int = 0
    queries: int = 0
    table_overflows: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All that a handler may know."""

    observation: Observation
    vnc: TableView
    counters: Counters = Counters()
