"""The session table at one moment, as it is reported: the number, its accuracy, and the identified sessions."""

from dataclasses import dataclass
from enum import Enum, auto

from launcher_agent.events import SocketAddress


class Accuracy(Enum):
    """Whether `TableView.sessions` is exact, or which bound it is."""

    EXACT = auto()
    UPPER_BOUND = auto()
    LOWER_BOUND = auto()


@dataclass(frozen=True, slots=True)
class Session:
    """A session whose peer has an address. `id` is never reused."""

    id: int
    peer: SocketAddress
    started_at: float


@dataclass(frozen=True, slots=True)
class TableView:
    """The table at one moment. `since`: the last change between no and some sessions; None if it is not known."""

    sessions: int = 0
    pending: int = 0
    accuracy: Accuracy = Accuracy.EXACT
    since: float | None = None
    started_total: int = 0
    ended_total: int = 0
    identified: tuple[Session, ...] = ()
