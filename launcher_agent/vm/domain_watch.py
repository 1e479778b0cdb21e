"""Watches one domain on one connection to libvirt: is it running, and which clients are connected.

The table has every client only if every event since a moment without clients was seen (`Run.complete`). That holds for
a run whose start was seen, where no client can connect before libvirt is ready; and after an undisturbed answer of QEMU
(see query_policy). Otherwise QEMU is asked, or, where that is forbidden, the count is a lower bound.

Invariants:
- Events are handled strictly in order; a call that must be awaited in between holds them back in the queue.
- A listing may be ahead of the events. So a run begins and ends by its events alone; a listing decides about a run only
  where events were missed.
- QEMU accepts viewers before libvirt reports STARTED: that event changes nothing in the table. STOPPED empties it.
- While libvirt does not answer (see liveness), nothing is observed, whatever else is known.
"""

import asyncio
import logging

from launcher_agent.errors import LibvirtError, LibvirtGoneError
from launcher_agent.events import (
    Change,
    ConnectionClosed,
    DevicesChanged,
    Event,
    GraphicsEvent,
    LifecycleEvent,
    QueryAnswered,
    QueryRefused,
    QueryStarted,
    QueryWindowClosed,
    SpiceMark,
)
from launcher_agent.state import Life, State
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.domain_lookup import DomainLookup
from launcher_agent.vm.domains import Ambiguous, Domain
from launcher_agent.vm.liveness import Liveness
from launcher_agent.vm.query_loop import QueryLoop
from launcher_agent.vm.query_policy import QueryPolicy, Start, is_doubtful, start
from launcher_agent.vm.run import Run
from launcher_agent.vm.service_watch import ServiceWatch
from launcher_agent.vm.verdict import Verdict
from servicestatus.clock import Sleep
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)


class DomainWatch:
    """Keeps the state true for as long as the connection lives."""

    def __init__(
        self, connection: Connection, state: State, wanted: str | None, sleep: Sleep, *, policy: QueryPolicy
    ) -> None:
        """`wanted`: the domain's name, or None for the only one."""
        self._connection = connection
        self._state = state
        self._wanted = wanted
        self._policy = policy
        self._query_loop = QueryLoop(connection, state.stats, sleep)
        self._verdict = Verdict(state)
        self._liveness = Liveness(connection, sleep, self._verdict.on_liveness)
        self._lookup = DomainLookup(connection, self._liveness, wanted)
        self._services = ServiceWatch(connection, state, sleep, policy=policy, on_host=wanted is not None)
        self._domain: str | None = None
        self._run = Run()
        self.has_looked_up = False  # which domains libvirt has

    async def run(self) -> None:
        """Watch until the connection is lost: LibvirtError, which says why."""
        self._state.table.resubscribe()
        lost: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._query_loop.run())
                tasks.create_task(self._liveness.run())
                tasks.create_task(self._lookup.explain_missing(self._verdict))
                tasks.create_task(self._services.run())
                await self._follow()
        except* LibvirtError as group:
            # Raised below: what is raised in here, Python before 3.11.4 wraps into a group.
            lost = group.exceptions[0]
        if lost is not None:
            raise lost

    async def _follow(self) -> None:
        await self._review()
        self.has_looked_up = True
        log.info("connected to libvirt")
        while True:
            event = await self._connection.queue.get()
            if isinstance(event, ConnectionClosed):
                raise LibvirtGoneError(event.reason) if event.gone else LibvirtError(event.reason)
            await self._handle(event)

    async def _handle(self, event: Event) -> None:
        match event:
            case GraphicsEvent():
                await self._on_graphics(event)
            case LifecycleEvent():
                await self._on_lifecycle(event)
            case SpiceMark() | DevicesChanged():
                self._services.handle(event)
            case QueryStarted() | QueryAnswered() | QueryWindowClosed() | QueryRefused():
                self._on_mark(event)
            case _:
                self._state.stats.events_received += 1
                self._state.stats.events_ignored += 1

    def _on_mark(self, mark: QueryStarted | QueryAnswered | QueryWindowClosed | QueryRefused) -> None:
        if mark.run != self._query_loop.wanted:
            return  # of a run that is over
        match mark:
            case QueryStarted():
                self._state.table.open_query_window()
            case QueryAnswered():
                self._state.table.reconcile(mark.clients, self._state.clock())
                self._state.touch()
            case QueryWindowClosed():
                self._on_window_closed()
            case QueryRefused():
                self._on_refusal(mark)

    async def _on_graphics(self, event: GraphicsEvent) -> None:
        self._state.stats.events_received += 1
        if self._domain is None and self._verdict.reason is Reason.NO_DOMAIN:
            await self._review()  # a viewer of a domain whose start libvirt has not reported yet
        graphics = await self._lookup.known_graphics(self._run, event.domain) if event.domain == self._domain else None
        if graphics is not None and graphics.is_vnc(event.local):
            self._state.table.apply(event.phase, event.remote.at(event.local), self._state.clock())
            self._state.touch()
            return
        self._state.stats.events_ignored += 1
        if graphics is not None:
            self._services.on_graphics(event, graphics)

    def _on_window_closed(self) -> None:
        if self._state.table.close_query_window():
            self._run.complete = True
            self._query_loop.end()
            self._verdict.set(Reason.WATCHING)
        else:  # the count is an upper bound
            self._query_loop.again(refused=False)

    def _on_refusal(self, event: QueryRefused) -> None:
        reason = Reason.UNOBSERVABLE_LISTENER if event.final else Reason.RECONCILING
        self._verdict.warn("the viewers cannot be counted", reason, event.problem)
        if event.final:
            self._query_loop.end()
            self._state.table.doubt(self._state.clock(), keep=False)
        else:
            self._query_loop.again(refused=True)

    # --- Lifecycle --------------------------------------------------------------------------------------------------

    async def _on_lifecycle(self, event: LifecycleEvent) -> None:
        if self._wanted not in (None, event.domain):
            return
        if event.change is Change.UNDEFINED:
            self._state.forget_life()
        if event.change is Change.STOPPED and event.domain == self._domain:
            log.info("domain %s has stopped", event.domain)
            self._end_run()
        started = event.change is Change.STARTED and event.run != self._run.number
        if started and event.domain == self._domain and self._run.number is not None:
            self._miss_events()  # such as the end of the run before
        await self._review()
        if started and event.domain == self._domain:
            log.info("domain %s has started", event.domain)
            if event.run != self._run.number:
                await self._adopt(event.domain, event.run)

    async def _review(self) -> None:
        """Choose the domain again, among those that libvirt has now."""
        choice = await self._lookup.find()
        if choice is None:
            self._without_domain()
        elif isinstance(choice, Ambiguous):
            self._undecided(choice)
        else:
            await self._chosen(choice)

    def _without_domain(self) -> None:
        self._end_run()
        # A domain that is configured is watched before it is there: QEMU may accept viewers before libvirt lists it.
        self._domain, self._liveness.domain, self._state.domain = self._wanted, self._wanted, ""
        if self._wanted is None or self._state.life is Life.ENDED:
            self._verdict.set(Reason.NO_DOMAIN)
            return
        self._lookup.report_missing(self._verdict)

    def _undecided(self, choice: Ambiguous) -> None:
        self._query_loop.end()
        self._domain, self._liveness.domain, self._state.domain = None, None, ""
        self._run = Run()
        self._services.leave()
        message = f"--domain must name one of {', '.join(choice.names)}"
        self._verdict.warn("libvirt has several domains", Reason.AMBIGUOUS_DOMAIN, message)

    async def _chosen(self, domain: Domain) -> None:
        if self._domain not in (None, domain.name):  # it takes the place of another one
            self._miss_events()
        self._domain = self._state.domain = self._liveness.domain = domain.name
        if domain.run is not None:
            self._state.life = Life.RUNNING
        if self._run.number is not None:
            return
        if domain.run is not None and not self._run.complete:
            await self._adopt(domain.name, domain.run)
            return
        if not self._run.complete:
            self._end_run()
        self._verdict.set(Reason.WATCHING)  # it does not run, or the event of its start is on the way

    async def _adopt(self, domain: str, number: int) -> None:
        """Watch a run of the domain; ask QEMU where the events do not prove which clients are connected."""
        run = self._run
        run.number = number
        self._state.life = Life.RUNNING
        if is_doubtful(self._policy, seen=run.complete, on_host=self._wanted is not None):
            self._verdict.set(Reason.RECONCILING)  # also while the description is read
            self._services.doubt()
        run.graphics = await self._lookup.graphics(domain)
        self._services.begin(domain, number, run.graphics, seen=run.complete)
        decision = start(self._policy, run.graphics, seen=run.complete, on_host=self._wanted is not None)
        self._verdict.conclude(decision, run.graphics.unobservable)
        if decision is Start.KNOWN:
            return
        if decision is Start.ASK:
            self._query_loop.begin(domain, number)
        else:
            self._state.table.doubt(self._state.clock(), keep=run.complete)
        run.complete = False

    def _miss_events(self) -> None:
        """Forget the run. Clients of another one may be connected that no event reported."""
        self._end_run()
        self._run.complete = False
        self._verdict.set(Reason.RECONCILING)
        self._services.doubt()

    def _end_run(self) -> None:
        """The domain does not run: the one moment at which no client can be connected, without asking."""
        self._query_loop.end()
        self._run = Run(complete=True)
        if self._state.life is Life.RUNNING:
            self._state.life = Life.ENDED
        self._state.table.clear(self._state.clock())
        self._services.end()
        self._state.touch()
