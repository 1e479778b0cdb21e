"""Asks QEMU who is connected, when events alone cannot know, until the answer can be trusted.

The answer and the events come by two ways, so an event near the answer may or may not be part of it. The reconciler
puts marks among the events in the inbox: QueryStarted before it asks, QueryAnswered when it has the answer, and
QuerySettled a while later. An answer that nothing happened near is the truth; whoever reads the inbox decides that, and
otherwise asks again.
"""

import asyncio
from typing import Final

from launcher_agent.errors import AgentError
from launcher_agent.events import QueryAnswered, QueryRefused, QueryStarted, QueryWindowClosed
from launcher_agent.state import Stats
from launcher_agent.vm.connection import Connection
from servicestatus.clock import Sleep

#: Events reach the inbox within a few milliseconds of QEMU's answer; on a node that is out of breath, within this.
_QUIET: Final = 0.2
#: A viewer coming or going upsets one answer. If five in a row are upset, they come and go all the time: then one
#: question a second is enough, and what is known so far is told as an upper bound.
_HASTY_TRIES: Final = 5
_PAUSE: Final = 1.0
#: No answer at all: libvirt refuses, or QEMU hangs. Seldom for long; asking must cost nothing if it is for ever.
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
        #: The run that an answer is wanted for.
        self.wanted: int | None = None

    def begin(self, domain: str, run: int) -> None:
        """Ask about this run of the domain."""
        self._domain, self.wanted = domain, run
        self._upset = self._refused = 0
        self._due.set()

    def again(self, *, refused: bool) -> None:
        """The answer is no good: events came near it, or it was `refused`. Ask again, in a while."""
        self._upset += not refused
        self._refused += refused
        self._due.set()

    def end(self) -> None:
        """Ask no more. A question that is under way still brings its marks."""
        self.wanted = None
        self._due.clear()

    async def run(self) -> None:
        """Ask, for ever, whenever a question is due."""
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
        queue = self._connection.queue
        self._stats.queries += 1
        queue.put(QueryStarted(run))
        try:
            clients = await self._connection.query_vnc(domain)
        except AgentError as error:
            queue.put(QueryRefused(run, str(error)))
        else:
            queue.put(QueryAnswered(run, clients))
            await self._sleep(_QUIET)
            queue.put(QueryWindowClosed(run))
