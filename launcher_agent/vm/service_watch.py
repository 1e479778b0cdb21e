"""Watches the services other than VNC on one connection to libvirt: SPICE by events, the others by polling.

Both parts are loaded only where there is something to watch, since memory is paid for each VM: no VM of KubeVirt has a
SPICE server, and most are not polled. They never change what is known of VNC.
"""

import asyncio
from typing import TYPE_CHECKING, NoReturn

from launcher_agent.events import DevicesChanged, GraphicsEvent, SpiceMark
from launcher_agent.sessions.view import Accuracy
from launcher_agent.state import State
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.domain_xml import Graphics
from launcher_agent.vm.query_policy import QueryPolicy, Start, start
from servicestatus.clock import Sleep
from servicestatus.reasons import Reason
from servicestatus.services import POLLED
from servicestatus.v1.sessions_pb2 import SERVICE_SPICE, Service

if TYPE_CHECKING:
    from launcher_agent.vm.poller import Poller
    from launcher_agent.vm.spice_watch import SpiceWatch

_FORBIDDEN = "--query=never forbids to ask QEMU"


class ServiceWatch:
    """Keeps the state of these services true for as long as the connection lives."""

    def __init__(
        self, connection: Connection, state: State, sleep: Sleep, *, policy: QueryPolicy, on_host: bool
    ) -> None:
        """`on_host`: the domain is not a launcher pod's."""
        self._connection = connection
        self._state = state
        self._sleep = sleep
        self._policy = policy
        self._on_host = on_host
        self._spice: SpiceWatch | None = None
        self._poller: Poller | None = None
        self._domain = ""  # while it runs
        self._tasks: asyncio.TaskGroup | None = None
        self.doubt()  # events were missed until now

    async def run(self) -> NoReturn:
        """Begin to poll when the handler asks for it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            if self._spice is not None:
                tasks.create_task(self._spice.run())
            self._state.polling_changed.set()
            while True:
                await self._state.polling_changed.wait()
                self._state.polling_changed.clear()
                self._poll(tasks)

    def doubt(self) -> None:
        """Record that clients may be connected: nothing is observed before `begin`, or `end`."""
        if self._policy is not QueryPolicy.NEVER:
            for service in POLLED & self._state.polling.keys():
                self._observe(service, Reason.RECONCILING)
        self._observe(SERVICE_SPICE, Reason.RECONCILING)

    def begin(self, domain: str, number: int, graphics: Graphics, *, seen: bool) -> None:
        """Watch a run of the domain. `seen`: every event since the end of the run before it was received."""
        self._domain = domain
        spice = graphics.spice
        decision = start(self._policy, spice, seen=seen, on_host=self._on_host)
        if graphics.has_spice:
            self._spice_of(graphics).begin(domain, number, decision, spice.unobservable)
        elif decision is Start.UNOBSERVABLE:
            self._state.services[SERVICE_SPICE].count(0, 0, self._state.clock(), Accuracy.LOWER_BOUND)
            self._observe(SERVICE_SPICE, Reason.UNOBSERVABLE_LISTENER, spice.unobservable)
        else:
            self._state.services[SERVICE_SPICE].count(0, 0, self._state.clock())
            self._observe(SERVICE_SPICE, Reason.WATCHING)
        if self._poller is not None:
            self._poller.begin(domain)

    def end(self) -> None:
        """Record that the domain does not run: no client is connected."""
        self._domain = ""
        if self._spice is not None:
            self._spice.end()
        if self._poller is not None:
            self._poller.end()
        for service in self._state.services.values():
            service.count(0, 0, self._state.clock())
        self._observe(SERVICE_SPICE, Reason.WATCHING)

    def leave(self) -> None:
        """Stop to ask: which domain is the VM's is not known any more."""
        self._domain = ""
        if self._spice is not None:
            self._spice.end()
        if self._poller is not None:
            self._poller.leave()

    def on_graphics(self, event: GraphicsEvent, graphics: Graphics) -> None:
        """Apply an event of a SPICE client."""
        self._spice_of(graphics).on_graphics(event)

    def handle(self, event: SpiceMark | DevicesChanged) -> None:
        """Apply a mark of a question for SPICE clients, or a change of a domain's devices."""
        if isinstance(event, SpiceMark):
            if self._spice is not None:
                self._spice.on_mark(event.mark)
        elif self._poller is not None and event.domain == self._domain:
            self._poller.refresh()

    def _spice_of(self, graphics: Graphics) -> "SpiceWatch":
        if self._spice is None:
            from launcher_agent.vm.spice_watch import SpiceWatch  # noqa: PLC0415 - few domains have a SPICE server

            self._spice = SpiceWatch(self._connection, self._state, self._sleep)
            if self._tasks is not None:
                self._tasks.create_task(self._spice.run())
        if graphics.spice.several_clients:
            self._spice.allow_several_clients()
        return self._spice

    def _poll(self, tasks: asyncio.TaskGroup) -> None:
        if self._policy is QueryPolicy.NEVER:
            for service in POLLED:
                self._observe(service, Reason.NOT_WATCHED, _FORBIDDEN)
            return
        if self._poller is None:
            if not self._state.polling:
                return
            from launcher_agent.vm.poller import Poller  # noqa: PLC0415 - most agents never poll

            self._poller = Poller(self._connection, self._state, self._sleep)
            if self._domain:
                self._poller.begin(self._domain)
            else:
                self._poller.end()
            tasks.create_task(self._poller.run())
        self._poller.ask()

    def _observe(self, service: Service, reason: Reason, message: str = "") -> None:
        self._state.services[service].observe(reason, message, self._state.clock())
        self._state.touch()
