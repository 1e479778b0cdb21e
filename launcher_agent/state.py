"""The agent's present state, which its parts share: the watch writes it, the stream and the debug API read it.

Invariant: a change costs the writer next to nothing, however many read. Readers are woken and then read the newest
state; changes in between are merged. Everything here is used in the event loop's thread only.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from launcher_agent.sessions.report import Counters, Observation, Report
from launcher_agent.sessions.service import ServiceState
from launcher_agent.sessions.table import SessionTable
from servicestatus.clock import WallClock
from servicestatus.reasons import Reason
from servicestatus.v1 import sessions_pb2 as pb

NOT_ASKED: Final = "the handler does not ask the agent to poll it"


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
    polls: int = 0
    poll_failures: int = 0


class State:
    """The present state."""

    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.table = SessionTable()
        self.stats = Stats()
        self.handler = HandlerStatus()
        self.observation = Observation(Reason.LIBVIRT_UNREACHABLE, "not connected yet", clock())
        #: The services other than VNC.
        self.services = {
            pb.SERVICE_USB_REDIRECTION: ServiceState(
                pb.SERVICE_USB_REDIRECTION, Reason.NOT_WATCHED, NOT_ASKED, clock()
            ),
            pb.SERVICE_SERIAL_CONSOLE: ServiceState(pb.SERVICE_SERIAL_CONSOLE, Reason.NOT_WATCHED, NOT_ASKED, clock()),
            pb.SERVICE_SPICE: ServiceState(pb.SERVICE_SPICE, Reason.RECONCILING, "", clock()),
        }
        #: The services that the handler asks the agent to poll, with the seconds between two polls.
        self.polling: Mapping[pb.Service, float] = {}
        self.polling_changed = asyncio.Event()
        self.domain = ""
        self.life = Life.UNSEEN
        #: Whether the domain may run again without this agent: true of a named one, not of a launcher pod's.
        self.may_run_again = False
        self._readers: set[asyncio.Event] = set()

    @property
    def has_ended_for_good(self) -> bool:
        """Whether the domain was seen to end and cannot run again, so that no client can be connected any more."""
        return self.life is Life.ENDED and not self.may_run_again

    def forget_life(self) -> None:
        """Record that a named domain was undefined, or that events were missed: it may run under another name."""
        if self.may_run_again:
            self.life = Life.UNSEEN

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
            polls=self.stats.polls,
            poll_failures=self.stats.poll_failures,
        )
        services = tuple(service.report(self.observation) for service in self.services.values())
        return Report(self.observation, self.table.view(), counters, services)

    def poll(self, services: Mapping[pb.Service, float]) -> None:
        """Record which services the handler asks the agent to poll."""
        if services != self.polling:
            self.polling = services
            self.polling_changed.set()

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
