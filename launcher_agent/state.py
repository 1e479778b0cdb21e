"""The agent's present state, which its parts share: the watch writes it, the stream and the debug API read it.

Invariant: a change costs the writer next to nothing, however many read. Readers are woken and then read the newest
state; changes in between are merged. Everything here is used in the event loop's thread only.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from launcher_agent.sessions.report import Counters, Observation, Report
from launcher_agent.sessions.table import SessionTable
from servicestatus.clock import WallClock
from servicestatus.reasons import Reason


class Life(Enum):
    """Whether the domain was seen to run."""

    UNSEEN = auto()
    RUNNING = auto()
    #: It ran and has stopped, and none has started since.
    ENDED = auto()


class StreamState(Enum):
    """The state of the stream to the handler."""

    BACKING_OFF = auto()
    CONNECTING = auto()
    REPORTING = auto()
    DRAINING = auto()


@dataclass(slots=True)
class HandlerStatus:
    """The stream to the handler, for the debug API."""

    state: StreamState = StreamState.CONNECTING
    last_status: str = ""
    last_error: str = ""
    #: Wall time at which that status ended a stream, and since when the stream is in its state.
    last_status_at: float | None = None
    since: float | None = None
    streams: int = 0


@dataclass(slots=True)
class Stats:
    """The counters while they grow; see Counters."""

    libvirt_connects: int = 0
    events_received: int = 0
    events_ignored: int = 0
    queries: int = 0


class State:
    """The present state."""

    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.table = SessionTable()
        self.stats = Stats()
        self.handler = HandlerStatus()
        self.observation = Observation(Reason.LIBVIRT_UNREACHABLE, "not connected yet", clock())
        self.domain = ""
        self.life = Life.UNSEEN
        #: Whether the domain may run again without this agent: true of a named one, not of a launcher pod's.
        self.may_run_again = False
        self._readers: set[asyncio.Event] = set()

    @property
    def has_ended_for_good(self) -> bool:
        """Whether the domain was seen to end and cannot run again, so that no client can be connected any more."""
        return self.life is Life.ENDED and not self.may_run_again

    def observe(self, reason: Reason, message: str = "") -> None:
        """Record whether the sessions are observed, and why."""
        since = self.observation.since if reason is self.observation.reason else self.clock()
        self.observation = Observation(reason, message, since)
        self.touch()

    def report(self) -> Report:
        """Return everything that the agent reports to a handler."""
        counters = Counters(
            libvirt_connects=self.stats.libvirt_connects,
            events_received=self.stats.events_received,
            events_ignored=self.stats.events_ignored,
            queries=self.stats.queries,
            table_overflows=self.table.overflows,
        )
        return Report(self.observation, self.table.view(), counters)

    def touch(self) -> None:
        """Wake the readers: the state has changed."""
        for reader in self._readers:
            reader.set()

    @contextlib.contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """Return an event that is set at each change, and now. The reader clears it before it reads."""
        reader = asyncio.Event()
        reader.set()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
