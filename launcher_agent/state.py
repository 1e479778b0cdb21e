"""The newest truth, which the edges share: the watcher writes it, the stream and the admin door read it.

Invariant: a change costs the writer next to nothing, whoever reads. Readers are woken, then take what is newest; what
changed in between they never see. All of it lives in the event loop's thread.
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
    """What was seen of the domain's running."""

    UNSEEN = auto()
    RUNNING = auto()
    #: It ran and does no more, and none has started since.
    ENDED = auto()


class StreamState(Enum):
    """Where the stream to the handler stands."""

    BACKING_OFF = auto()
    CONNECTING = auto()
    REPORTING = auto()
    DRAINING = auto()


@dataclass(slots=True)
class HandlerStatus:
    """The stream to the handler, for whoever debugs."""

    state: StreamState = StreamState.CONNECTING
    last_status: str = ""
    last_error: str = ""
    streams: int = 0


@dataclass(slots=True)
class Stats:
    """The counters while they grow; see Counters."""

    libvirt_connects: int = 0
    events_received: int = 0
    events_ignored: int = 0
    queries: int = 0


class State:
    """What is true now."""

    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.table = SessionTable()
        self.stats = Stats()
        self.handler = HandlerStatus()
        self.observation = Observation(Reason.LIBVIRT_UNREACHABLE, "not connected yet", clock())
        self.domain = ""
        self.life = Life.UNSEEN
        self._readers: set[asyncio.Event] = set()

    def observe(self, reason: Reason, message: str = "") -> None:
        """The sessions are, or are not, observed, because of this."""
        since = self.observation.since if reason is self.observation.reason else self.clock()
        self.observation = Observation(reason, message, since)
        self.touch()

    def report(self) -> Report:
        """All that a handler may know."""
        counters = Counters(
            libvirt_connects=self.stats.libvirt_connects,
            events_received=self.stats.events_received,
            events_ignored=self.stats.events_ignored,
            queries=self.stats.queries,
            table_overflows=self.table.overflows,
        )
        return Report(self.observation, self.table.view(), counters)

    def touch(self) -> None:
        """Something has changed: wake the readers."""
        for reader in self._readers:
            reader.set()

    @contextlib.contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change, and now. The reader clears it before it reads."""
        reader = asyncio.Event()
        reader.set()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
