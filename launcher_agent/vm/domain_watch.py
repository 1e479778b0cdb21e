"""One connection to libvirt, from its first listing to its last event: which domain, is it running, who is connected.

What can be known rests on one thing, `_complete`: that every event since a moment at which nobody was connected has
been seen. That holds for a domain which starts under our eyes, and after an undisturbed answer of QEMU. Otherwise QEMU
is asked, or, where that is forbidden, the count is a lower bound.

Invariants:
- Events are handled strictly in order; what must be awaited in between holds them back in the inbox.
- A listing may be ahead of the events. So a run begins and ends by its events alone; a listing is believed about a run
  only where events were missed.
- QEMU accepts viewers before libvirt says STARTED: that event changes nothing in the table. STOPPED empties it.
"""

import asyncio
import logging
from typing import Final

from launcher_agent.errors import DomainXMLError, LibvirtError
from launcher_agent.events import (
    Change,
    ConnectionClosed,
    Event,
    GraphicsEvent,
    LifecycleEvent,
    QueryAnswered,
    QueryRefused,
    QueryStarted,
    QueryWindowClosed,
)
from launcher_agent.state import Life, State
from launcher_agent.vm import domain_xml
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.domain_xml import Graphics
from launcher_agent.vm.domains import Ambiguous, Domain, choose
from launcher_agent.vm.query_loop import QueryLoop
from servicestatus.clock import Sleep
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)

#: What is assumed of a domain whose description cannot be read: every client is a viewer.
_UNREADABLE: Final = Graphics()


class DomainWatch:
    """Keeps the state true for as long as the connection lives."""

    def __init__(
        self, connection: Connection, state: State, wanted: str | None, sleep: Sleep, *, may_query: bool
    ) -> None:
        """`wanted`: the domain's name, or None for the only one."""
        self._connection = connection
        self._state = state
        self._wanted = wanted
        self._may_query = may_query
        self._query_loop = QueryLoop(connection, state.stats, sleep)
        self._domain: str | None = None
        self._run: int | None = None
        self._graphics: Graphics | None = None  # of the run at hand; None: not read yet
        self._complete = False

    async def run(self) -> None:
        """Watch until the connection is lost: LibvirtError, which says why."""
        self._state.table.resubscribe()
        lost: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._query_loop.run())
                await self._follow()
        except* LibvirtError as group:
            # Raised below: what is raised in here, Python before 3.11.4 wraps into a group.
            lost = group.exceptions[0]
        if lost is not None:
            raise lost

    async def _follow(self) -> None:
        await self._review()
        while True:
            event = await self._connection.queue.get()
            if isinstance(event, ConnectionClosed):
                raise LibvirtError(event.reason)
            await self._handle(event)

    async def _handle(self, event: Event) -> None:
        match event:
            case GraphicsEvent():
                await self._on_graphics(event)
            case LifecycleEvent():
                await self._on_lifecycle(event)
            case QueryStarted() | QueryAnswered() | QueryWindowClosed() | QueryRefused() if (
                event.run != self._query_loop.wanted
            ):
                pass  # of a run that is over
            case QueryStarted():
                self._state.table.open_query_window()
            case QueryAnswered():
                self._state.table.reconcile(event.clients, self._state.clock())
                self._state.touch()
            case QueryWindowClosed():
                self._on_window_closed()
            case QueryRefused():
                self._on_refusal(event)
            case _:
                self._state.stats.events_received += 1
                self._state.stats.events_ignored += 1

    # --- Graphics events --------------------------------------------------------------------------------------------

    async def _on_graphics(self, event: GraphicsEvent) -> None:
        self._state.stats.events_received += 1
        if self._domain is None and self._state.observation.reason is Reason.NO_DOMAIN:
            await self._review()  # a viewer of a domain that libvirt has not announced yet
        if event.domain != self._domain or not (await self._known_graphics()).is_vnc(event.local):
            self._state.stats.events_ignored += 1
            return
        self._state.table.apply(event.phase, event.remote, self._state.clock())
        self._state.touch()

    async def _known_graphics(self) -> Graphics:
        if self._graphics is None:
            self._graphics = await self._read_graphics(self._domain or "")
        return self._graphics

    async def _read_graphics(self, domain: str) -> Graphics:
        try:
            return domain_xml.parse(await self._connection.xml(domain))
        except (LibvirtError, DomainXMLError) as error:
            log.info("taking every client of the domain's screen for a VNC viewer: %s", error)
            return _UNREADABLE

    # --- Answers of QEMU --------------------------------------------------------------------------------------------

    def _on_window_closed(self) -> None:
        if self._state.table.close_query_window():
            self._complete = True
            self._query_loop.end()
            self._state.observe(Reason.WATCHING)
        else:  # the count is an upper bound
            self._query_loop.again(refused=False)

    def _on_refusal(self, event: QueryRefused) -> None:
        if event.problem != self._state.observation.message:
            log.warning("the viewers that were there before cannot be counted yet: %s", event.problem)
        self._state.observe(Reason.RECONCILING, event.problem)
        self._query_loop.again(refused=True)

    # --- Lifecycle --------------------------------------------------------------------------------------------------

    async def _on_lifecycle(self, event: LifecycleEvent) -> None:
        if self._wanted not in (None, event.domain):
            return
        if event.change is Change.STOPPED and event.domain == self._domain:
            log.info("domain %s has stopped", event.domain)
            self._nobody()
        await self._review()
        if event.change is Change.STARTED and event.domain == self._domain and event.run != self._run:
            log.info("domain %s has started", event.domain)
            if self._run is not None:  # the end of another run was missed
                self._nobody()
                self._complete = False
            await self._adopt(event.domain, event.run)

    async def _review(self) -> None:
        """Choose the domain anew, among those that there are now."""
        choice = choose(await self._connection.domains(), self._wanted)
        if choice is None:
            self._without_domain()
        elif isinstance(choice, Ambiguous):
            self._undecided(choice)
        else:
            await self._chosen(choice)

    def _without_domain(self) -> None:
        self._nobody()
        # A domain that is named is ours before it is there: QEMU may accept viewers before libvirt lists it.
        self._domain, self._state.domain = self._wanted, ""
        self._state.observe(Reason.NO_DOMAIN)

    def _undecided(self, choice: Ambiguous) -> None:
        self._query_loop.end()
        self._domain, self._state.domain = None, ""
        self._run, self._graphics, self._complete = None, None, False
        self._state.observe(Reason.AMBIGUOUS_DOMAIN, f"--domain must name one of {', '.join(choice.names)}")

    async def _chosen(self, domain: Domain) -> None:
        if self._domain not in (None, domain.name):  # it takes the place of another one
            self._nobody()
            self._complete = False
        self._domain = self._state.domain = domain.name
        if self._run is not None:
            return
        if domain.run is not None and not self._complete:
            await self._adopt(domain.name, domain.run)
            return
        if not self._complete:
            self._nobody()
        self._state.observe(Reason.WATCHING)  # it does not run, or the event of its start is on the way

    # --- Runs -------------------------------------------------------------------------------------------------------

    async def _adopt(self, domain: str, run: int) -> None:
        """The domain runs. Unless all was seen since nobody was connected, find out who is."""
        self._run = run
        self._state.life = Life.RUNNING
        self._graphics = await self._read_graphics(domain)
        if not self._graphics.has_vnc:
            self._state.table.clear(self._state.clock())
            self._complete = True
        if self._complete:
            self._state.observe(Reason.WATCHING)
        elif self._may_query:
            self._state.observe(Reason.RECONCILING)
            self._query_loop.begin(domain, run)
        else:
            self._state.table.forget(self._state.clock())
            self._state.observe(Reason.LOWER_BOUND, "viewers from before may be missing, and --no-query forbids to ask")

    def _nobody(self) -> None:
        """The domain does not run: the one moment at which all is known without asking."""
        self._query_loop.end()
        self._run, self._graphics, self._complete = None, None, True
        if self._state.life is Life.RUNNING:
            self._state.life = Life.ENDED
        self._state.table.clear(self._state.clock())
        self._state.touch()
