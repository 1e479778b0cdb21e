"""Asks QEMU for its VNC clients until an answer can be trusted.

The answer and the events arrive on two connections, so an event near the answer may or may not be part of it. The loop
puts marks among the events in the queue: QueryStarted before it asks, QueryAnswered when it has the answer, and
QueryWindowClosed 0.2 s later. An answer without an event near it is the truth. The reader of the queue decides that,
and otherwise has the loop ask again.
"""

import asyncio
from typing import Final

from launcher_agent.errors import AgentError, UnobservableError
from launcher_agent.events import Event, QueryAnswered, QueryRefused, QueryStarted, QueryWindowClosed
from launcher_agent.state import Stats
from launcher_agent.vm.connection import Connection
from servicestatus.clock import Sleep

#: Seconds. Events reach the queue within a few milliseconds of QEMU's answer; on an overloaded node, within this.
_QUIET: Final = 0.2
#: A viewer that connects or leaves makes one answer inconclusive. If five in a row are, viewers come and go all the
#: time: then one question a second is enough, and the number known so far is reported as an upper bound.
_HASTY_TRIES: Final = 5
_PAUSE: Final = 1.0
#: Seconds. Without an answer, libvirt refuses or QEMU hangs. If that does not end, asking must cost next to nothing.
_MAX_PAUSE: Final = 5.0


class QueryLoop:
    """Asks about one run of one domain at a time, on one connection."""

    def __init__(self, connection: Connection, stats: Stats, sleep: Sleep) -> None:
        self._connection = connection
        self._stats = stats
        self._sleep = sleep
        self._due = asyncio.Event()
        self._domain = ""
        self._upset = 0
        self._refused = 0
        #: The run whose clients are to be listed.
        self.wanted: int | None = None

    def begin(self, domain: str, run: int) -> None:
        """Ask about this run of the domain."""
        self._domain, self.wanted = domain, run
        self._upset = self._refused = 0
        self._due.set()

    def again(self, *, refused: bool) -> None:
        """Ask again after a pause: events were near the answer, or it was `refused`."""
        self._upset += not refused
        self._refused += refused
        self._due.set()

    def end(self) -> None:
        """Stop asking. A question that is in flight still puts its marks into the queue."""
        self.wanted = None
        self._due.clear()

    async def run(self) -> None:
        """Ask whenever a question is due, until cancelled."""
        while True:
            await self._due.wait()
            await self._sleep(self._pause())
            if self.wanted is not None:
                self._due.clear()
                await self._ask(self._domain, self.wanted)

    def _pause(self) -> float:
        upset = _PAUSE if self._upset >= _HASTY_TRIES else 0.0
        return max(upset, min(self._refused * _PAUSE, _MAX_PAUSE))

    async def _ask(self, domain: str, run: int) -> None:
        self._stats.queries += 1
        self._put(QueryStarted(run))
        try:
            answered = await self._answer(domain, run)
        except AgentError as error:
            self._put(QueryRefused(run, str(error), final=isinstance(error, UnobservableError)))
        else:
            self._put(answered)
            await self._sleep(_QUIET)
            self._put(QueryWindowClosed(run))

    async def _answer(self, domain: str, run: int) -> Event:
        """Return the mark with QEMU's answer. AgentError."""
        return QueryAnswered(run, await self._connection.query_vnc(domain))

    def _put(self, mark: Event) -> None:
        """Put a mark among the events."""
        self._connection.queue.put(mark)
