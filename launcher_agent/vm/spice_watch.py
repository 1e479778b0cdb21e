"""Counts the clients of a domain's SPICE server. Loaded only for a domain that has one.

The rules of asking QEMU are those of VNC (see query_policy), with a question and marks of its own. A new client ends
the one before it, and for less than 2 ms none has finished its handshake. So while an unfinished client is connected, a
fall to zero is held back for a moment.
"""

import asyncio
import logging
from typing import Final, NoReturn

from launcher_agent.events import (
    Event,
    GraphicsEvent,
    QueryRefused,
    QueryStarted,
    QueryWindowClosed,
    SpiceAnswered,
    SpiceMark,
)
from launcher_agent.sessions.spice_table import SpiceTable
from launcher_agent.sessions.view import Accuracy
from launcher_agent.state import State
from launcher_agent.vm import spice_query
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.query_loop import QueryLoop
from launcher_agent.vm.query_policy import Start
from servicestatus.clock import Sleep
from servicestatus.reasons import Reason
from servicestatus.v1.sessions_pb2 import SERVICE_SPICE

log = logging.getLogger(__name__)

#: Seconds for which a fall to zero is held back: fifty times what a takeover needs, and far below the second after
#: which a handler writes a fall.
_HOLD: Final = 0.1
_MAY_MISS: Final = "clients from before libvirt reported the VM may be missing, and --query=never forbids to ask QEMU"


class _SpiceQueryLoop(QueryLoop):
    """Asks for SPICE clients; its marks are distinguished from those of a question for VNC clients."""

    async def _answer(self, domain: str, run: int) -> Event:
        answer = await self._connection.ask(domain, spice_query.COMMAND)
        # Events from before the answer are in the queue after the next call on the connection that receives them.
        await self._connection.probe(domain)
        return SpiceMark(SpiceAnswered(run, spice_query.parse(answer)))

    def _put(self, mark: Event) -> None:
        super()._put(mark if isinstance(mark, SpiceMark) else SpiceMark(mark))


class SpiceWatch:
    """Keeps the number of SPICE sessions of one run after the other."""

    def __init__(self, connection: Connection, state: State, sleep: Sleep) -> None:
        self._connection = connection
        self._state = state
        self._service = state.services[SERVICE_SPICE]
        self._sleep = sleep
        self._table = SpiceTable()
        self._loop = _SpiceQueryLoop(connection, state.stats, sleep)
        self._run: tuple[str, int] | None = None  # that was asked about, and may be asked about again
        self._fallen = False  # to zero, which is held back
        self._held = asyncio.Event()

    async def run(self) -> NoReturn:
        """Ask QEMU when a question is due, and end the hold of a fall, until cancelled."""
        asking = asyncio.create_task(self._loop.run())
        try:
            while True:
                await self._held.wait()
                while self._held.is_set():  # if it rose and fell again meanwhile, the hold begins again
                    self._held.clear()
                    await self._sleep(_HOLD)
                self._fallen = False
                self._count()
        finally:
            asking.cancel()

    def begin(self, domain: str, number: int, decision: Start, unobservable: str) -> None:
        """Watch a run of the domain; `decision` says what the events prove of it."""
        if decision is Start.KNOWN:
            self._observe(Reason.WATCHING)
        elif decision is Start.ASK:
            self._observe(Reason.RECONCILING)
            self._run = domain, number
            self._loop.begin(domain, number)
        else:
            self._table.may_miss = True
            self._count()
            reason = Reason.UNOBSERVABLE_LISTENER if decision is Start.UNOBSERVABLE else Reason.LOWER_BOUND
            self._observe(reason, unobservable or _MAY_MISS)

    def end(self) -> None:
        """Record that the domain does not run: no client is connected."""
        self._loop.end()
        self._run = None
        self._held.clear()
        self._table = SpiceTable()
        self._fallen = False

    def allow_several_clients(self) -> None:
        """Record that this run's server serves several clients at a time."""
        self._table.allow_several_clients()

    def on_graphics(self, event: GraphicsEvent) -> None:
        """Apply an event of a channel."""
        self._table.apply(event.phase, event.remote)
        if not self._is_dip():
            self._fallen = False
            self._count()
        elif not self._fallen:
            self._fallen = True
            self._held.set()
        self._ask_again_if_ambiguous()

    def on_mark(self, mark: Event | SpiceAnswered) -> None:
        """Apply a mark of a question."""
        match mark:
            case QueryStarted() | SpiceAnswered() | QueryWindowClosed() | QueryRefused() if (
                mark.run != self._loop.wanted
            ):
                pass  # of a run that is over
            case QueryStarted():
                self._table.open_window()
            case SpiceAnswered():
                self._table.reconcile(mark.channels)
                self._count()
            case QueryWindowClosed():
                if self._table.close_window():
                    self._loop.end()
                    self._connection.end_asking()
                    self._observe(Reason.WATCHING)
                    self._ask_again_if_ambiguous()
                else:
                    self._loop.again(refused=False)
            case QueryRefused():
                self._on_refusal(mark.problem)

    def _on_refusal(self, problem: str) -> None:
        observation = self._service.observation
        if observation.reason is not Reason.WATCHING:  # if so, the number is a bound
            if problem != observation.message:
                log.info("the SPICE clients cannot be counted yet: %s", problem)
            self._observe(Reason.RECONCILING, problem)
        self._loop.again(refused=True)

    def _ask_again_if_ambiguous(self) -> None:
        """Ask again if the number is a bound: the domain is tainted already, and an answer is exact."""
        if self._run is not None and self._loop.wanted is None and self._table.accuracy is Accuracy.UPPER_BOUND:
            self._loop.begin(*self._run)

    def _is_dip(self) -> bool:
        return self._table.sessions == 0 and self._service.view.sessions > 0 and self._table.pending > 0

    def _count(self) -> None:
        table = self._table
        self._service.count(table.sessions, table.pending, self._state.clock(), table.accuracy)
        self._state.touch()

    def _observe(self, reason: Reason, message: str = "") -> None:
        self._service.observe(reason, message, self._state.clock())
        self._state.touch()
