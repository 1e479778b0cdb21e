"""A model of one QEMU and its libvirt, with their measured behaviour.

- CONNECT at accept, INITIALIZE after the handshake, DISCONNECT late: QEMU notices that a viewer left when it checks.
- A QEMU that ends sends no DISCONNECT at all; one that migrates away sends none for the viewers that are cut off.
- Only subscribers receive events: those of a gap are lost. A libvirt that hangs delays them. So does one that holds the
  domain's lock, whose keepalive continues.
- A client that is connected before libvirt is ready causes no event.
- `query-vnc-servers` also lists the connected, unfinished clients, and its response may overtake events.
- A list of all domains waits for the lock of each of them; a lookup by name only for that domain's.
- No event reports the clients of its ports (see `ports.py`); they are asked for over a connection of their own.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from launcher_agent.errors import LibvirtError, QueryError
from launcher_agent.events import (
    Change,
    ConnectionClosed,
    Event,
    GraphicsEvent,
    LifecycleEvent,
    Phase,
    SocketAddress,
    Transport,
)
from launcher_agent.vm import vnc_query
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue
from tests.simulation import ports
from tests.simulation.displays import DISPLAYS, Display
from tests.simulation.ports import Ports

_ANONYMOUS: Final = SocketAddress(Transport.UNIX)
#: Seconds after which libvirt's keepalive closes a connection to a daemon that hangs.
KEEPALIVE: Final = 6.0

_ports = itertools.count(1)


@dataclass(eq=False, slots=True)
class Viewer:
    """A client of QEMU's VNC server."""

    #: The address of the server that it is connected to.
    local: SocketAddress
    peer: SocketAddress
    finished: bool = False
    #: It has left, and QEMU has not noticed yet.
    gone: bool = False


@dataclass(slots=True)
class Alike:
    """Clients that events do not distinguish: how many connected, finished and left since there was none."""

    connected: int = 0
    initialized: int = 0
    left: int = 0

    @property
    def at_most(self) -> int:
        """How many may be viewers, for an observer of every event."""
        return min(self.initialized, self.connected - self.left)


@dataclass(slots=True)
class Qemu:
    """One run of the domain."""

    run: int
    began: float
    viewers: list[Viewer] = field(default_factory=list)
    #: By what events say about them: nothing for an anonymous client.
    alike: dict[SocketAddress, Alike] = field(default_factory=lambda: defaultdict(Alike))
    ports: Ports = field(default_factory=Ports)

    @property
    def really(self) -> int:
        """The viewers that are really connected."""
        return sum(viewer.finished and not viewer.gone for viewer in self.viewers)

    @property
    def at_most(self) -> int:
        """How many clients may be viewers, for an observer of every event."""
        return sum(alike.at_most for alike in self.alike.values())

    def group(self, viewer: Viewer) -> Alike:
        """The clients that are like this one."""
        return self.alike[viewer.peer.at(viewer.local)]


class Subscription:
    """One of the agent's connections; it is `launcher_agent.vm.connection.Connection`."""

    def __init__(self, libvirt: "Libvirt", rng: Random) -> None:
        self.queue = EventQueue()
        self.held: list[Event] = []
        self.lost = False
        self._libvirt = libvirt
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._last = 0.0

    def push(self, event: Event) -> None:
        """Send an event; it arrives in its turn."""
        if self.lost:
            return
        if self._libvirt.silent:
            self.held.append(event)
            return
        self._last = max(self._last + 1e-6, self._loop.time() + self._libvirt.lag())
        self._loop.call_at(self._last, self._arrive, event)

    def lose(self, reason: str) -> None:
        """End the connection; events in transit are lost."""
        if not self.lost:
            self.lost = True
            self.queue.put_from_thread(ConnectionClosed(reason))

    async def domains(self) -> tuple[Domain, ...]:
        """Return all domains. It waits for another one's lock, if that is held."""
        while self._libvirt.neighbour_locked and not self.lost:
            await self._libvirt.changed()
        return await self._own()

    async def domain(self, name: str) -> Domain | None:
        """One of them."""
        return next((domain for domain in await self._own() if domain.name == name), None)

    async def probe(self, domain: str | None) -> None:
        """A call that needs the domain's lock."""
        await self._round_trip()

    async def xml(self, domain: str) -> str:
        """The description."""
        await self._round_trip()
        if domain != self._libvirt.domain:
            raise LibvirtError("no such domain")
        xml = self._libvirt.display.xml
        return xml.replace("</devices>", f"{ports.XML}</devices>") if self._libvirt.has_ports else xml

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        """Return QEMU's clients at one moment between the request and the response."""
        viewers = (await self._asked()).viewers
        answer = self._libvirt.display.answer((viewer.local, viewer.peer) for viewer in viewers)
        await asyncio.sleep(self._rng.uniform(0.0005, 0.003))
        await self._round_trip()
        return vnc_query.parse(answer)

    async def ask(self, domain: str, command: str) -> str:
        """Return QEMU's answer to a command about its ports."""
        qemu = await self._asked()
        answer = qemu.ports.answer(command)
        await asyncio.sleep(self._rng.uniform(0.0005, 0.003))
        await self._round_trip()
        if answer is None:
            raise QueryError("QEMU has no such command")
        return answer

    def end_asking(self) -> None:
        """The connection is closed; the next question opens another one."""

    async def watch_devices(self) -> None:
        """Subscribe to devices that are plugged, of which there are none here."""
        await self._round_trip()

    async def _asked(self) -> Qemu:
        """Return QEMU when it has received a question."""
        await asyncio.sleep(self._rng.uniform(0.0005, 0.003))
        while self._libvirt.locked:
            await self._libvirt.changed()
        if self._libvirt.refuses_since is not None or not self._libvirt.up or self._libvirt.qemu is None:
            raise QueryError("refused")
        return self._libvirt.qemu

    def close(self) -> None:
        """Nothing arrives any more."""
        self.lost = True
        self._libvirt.subscriptions.discard(self)

    async def _own(self) -> tuple[Domain, ...]:
        await self._round_trip()
        qemu = self._libvirt.qemu
        if self._libvirt.domain is None:
            return ()
        return (Domain(self._libvirt.domain, qemu.run if qemu else None),)

    async def _round_trip(self) -> None:
        # Queued events are sent before the response.
        arrival = max(self._last, self._loop.time() + 0.0005)
        while self._libvirt.silent and not self.lost:
            await self._libvirt.changed()
        await asyncio.sleep(arrival - self._loop.time())
        if self.lost or not self._libvirt.up:
            raise LibvirtError("the connection is lost")

    def _arrive(self, event: Event) -> None:
        if not self.lost:
            self.queue.put_from_thread(event)


class Libvirt:
    """The libvirt of one pod; it is `launcher_agent.vm.connection.Libvirt`."""

    def __init__(self, rng: Random, changed: Callable[[], None]) -> None:
        """`changed` is called when the truth may have changed."""
        self._rng = rng
        self._tell = changed
        self._loop = asyncio.get_running_loop()
        self._runs = itertools.count(1)
        self._awaited = asyncio.Event()
        self.up = True
        self.ended = False
        #: Viewers of a QEMU whose end no event reported: for the agent they may be there as long as its pod is.
        self.unheard = 0
        self.hangs = False
        self.locked = False
        #: Since when it answers no call about the domain and reports no event of it; None while it does.
        self.silent_since: float | None = None
        #: When it last began to answer.
        self.answers_since = self._loop.time()
        #: Whether the lock of another domain of the same libvirt is held.
        self.neighbour_locked = False
        #: The same of the sessions at its ports, by service.
        self.unheard_ports: dict[str, int] = {}
        self.display: Display = DISPLAYS["socket"]
        #: Whether the domain has slots for USB devices, and a serial console.
        self.has_ports = False
        #: Since when QEMU cannot be asked; None while it can.
        self.refuses_since: float | None = None
        self.slow = False
        self.up_since = self._loop.time()
        self.domain: str | None = None
        self.qemu: Qemu | None = None
        self.subscriptions: set[Subscription] = set()

    @property
    def silent(self) -> bool:
        """Whether it answers no call about the domain and reports no event of it."""
        return self.silent_since is not None

    # --- the agent's calls ---

    async def connect(self) -> Subscription:
        """A connection."""
        await asyncio.sleep(0.001)
        while self.hangs:
            await self.changed()
        if not self.up:
            raise LibvirtError("libvirt is not there")
        subscription = Subscription(self, self._rng)
        self.subscriptions.add(subscription)
        return subscription

    def lag(self) -> float:
        """Seconds that an event is in transit."""
        return self._rng.uniform(0.0005, 0.1 if self.slow else 0.002)

    async def changed(self) -> None:
        """Wait until libvirt's behaviour changes."""
        await self._awaited.wait()

    # --- faults ---

    def stop(self) -> None:
        """The daemon ends; QEMU lives on."""
        self.up = False
        self._end_silence()
        self._lose("libvirt closed the connection")

    def end(self) -> None:
        """The daemon ends for good, as virt-launcher does."""
        self.ended = True
        self.stop()

    def start(self) -> None:
        """It is there (again)."""
        self.up, self.unheard, self.unheard_ports = True, 0, {}
        self.up_since = self.answers_since = self._loop.time()
        self._notify()

    def hang(self) -> None:
        """It stops responding. Keepalive notices."""
        if self.up and not self.hangs:
            self.hangs = True
            self._begin_silence()
            for subscription in self.subscriptions:
                self._loop.call_later(KEEPALIVE, self._give_up, subscription, self.silent_since)

    def lock(self) -> None:
        """It holds the domain's lock; keepalive notices nothing."""
        if self.up and self.qemu is not None:
            self.locked = True
            self._begin_silence()

    def resume(self) -> None:
        """It goes on, and sends the delayed events."""
        if self.silent:
            self.unheard, self.unheard_ports = 0, {}
            self._end_silence()
        for subscription in self.subscriptions:
            held, subscription.held = subscription.held, []
            for event in held:
                subscription.push(event)
        self._notify()

    def refuse(self) -> None:
        """QEMU cannot be asked."""
        if self.refuses_since is None:
            self.refuses_since = self._loop.time()

    def accept(self) -> None:
        """It can be asked again."""
        self.refuses_since = None

    def _begin_silence(self) -> None:
        if self.silent_since is None:
            self.silent_since = self._loop.time()

    def _end_silence(self) -> None:
        self.hangs, self.locked, self.silent_since = False, False, None
        self.answers_since = self._loop.time()

    def _give_up(self, subscription: Subscription, since: float | None) -> None:
        if self.hangs and self.silent_since == since:  # not a later hang
            subscription.lose("libvirt does not answer")
            self._notify()

    def _lose(self, reason: str) -> None:
        for subscription in tuple(self.subscriptions):
            subscription.lose(reason)
        self._notify()

    def _notify(self) -> None:
        self._awaited.set()
        self._awaited = asyncio.Event()
        self._tell()

    def _emit(self, event: Event) -> None:
        if self.up:
            for subscription in self.subscriptions:
                subscription.push(event)

    # --- the domain ---

    def define(self, domain: str) -> None:
        """The domain is there."""
        self.domain = domain
        self._emit(LifecycleEvent(domain, Change.DEFINED, -1))

    def undefine(self) -> None:
        """The domain is gone."""
        if self.domain is not None:
            domain, self.domain = self.domain, None
            self._emit(LifecycleEvent(domain, Change.UNDEFINED, -1))

    def boot(self) -> None:
        """QEMU runs; it accepts viewers from now on."""
        self.qemu = Qemu(next(self._runs), self._loop.time())
        self._tell()

    def announce(self) -> None:
        """libvirt reports that QEMU runs."""
        if self.qemu is not None and self.domain is not None:
            self._emit(LifecycleEvent(self.domain, Change.STARTED, self.qemu.run))

    def kill(self) -> None:
        """QEMU is gone, and its viewers with it: no DISCONNECT."""
        if self.qemu is not None and self.domain is not None:
            self.unheard = len(self.qemu.viewers) if self.silent else 0
            self.unheard_ports = self.qemu.ports.really if self.silent else {}
            run, self.qemu = self.qemu.run, None
            self._emit(LifecycleEvent(self.domain, Change.STOPPED, run))
            self._tell()

    def changed_ports(self) -> None:
        """A client of a port has come or gone."""
        self._tell()

    # --- viewers ---

    def connect_viewer(self, *, tcp: bool) -> Viewer | None:
        """A client dials."""
        if self.qemu is None:
            return None
        peer = _new_address() if tcp else _ANONYMOUS
        servers = self.display.servers
        return self._connected(servers[0] if len(servers) == 1 else self._rng.choice(servers), peer)

    def connect_twin(self, viewer: Viewer) -> Viewer | None:
        """A client dials from the address and port of another one, which is connected to another listener."""
        used = [one.local for one in self.qemu.viewers if one.peer == viewer.peer] if self.qemu else []
        free = [server for server in self.display.servers if used.count(server) < self.display.servers.count(server)]
        return self._connected(free[-1], viewer.peer) if used and len(used) < len(self.display.servers) else None

    def _connected(self, server: SocketAddress, peer: SocketAddress) -> Viewer | None:
        if self.qemu is None:
            return None
        viewer = Viewer(server, peer)
        self.qemu.viewers.append(viewer)
        self.qemu.group(viewer).connected += 1
        self._graphics(Phase.CONNECT, viewer)
        return viewer

    def connect_early(self, *, tcp: bool) -> None:
        """A client is connected and has finished its handshake before libvirt is ready: there is no event."""
        if self.qemu is not None:
            viewer = Viewer(self.display.servers[0], _new_address() if tcp else _ANONYMOUS, finished=True)
            self.qemu.viewers.append(viewer)
            self.qemu.alike[viewer.peer.at(viewer.local)] = Alike(connected=1, initialized=1)
            self._tell()

    def finish(self, viewer: Viewer) -> None:
        """It has finished its handshake, if it is still there."""
        if self._has(viewer) and not viewer.finished and not viewer.gone:
            viewer.finished = True
            if self.qemu is not None:
                self.qemu.group(viewer).initialized += 1
            self._graphics(Phase.INITIALIZE, viewer)

    def leave(self, viewer: Viewer, notice: float) -> None:
        """It leaves; QEMU notices after `notice` seconds, or never if that is infinite."""
        if self._has(viewer) and not viewer.gone:
            viewer.gone = True
            self._tell()
            if notice != float("inf"):
                self._loop.call_later(notice, self._notice, viewer)

    def cut(self, viewers: list[Viewer]) -> None:
        """A migration cuts them off, which this QEMU never notices."""
        for viewer in viewers:
            self.leave(viewer, float("inf"))

    def _notice(self, viewer: Viewer) -> None:
        if self.qemu is not None and self._has(viewer):
            self.qemu.viewers.remove(viewer)
            group = self.qemu.group(viewer)
            group.left += 1
            if group.connected == group.left:
                del self.qemu.alike[viewer.peer.at(viewer.local)]
            self._graphics(Phase.DISCONNECT, viewer)

    def _has(self, viewer: Viewer) -> bool:
        return self.qemu is not None and viewer in self.qemu.viewers

    def _graphics(self, phase: Phase, viewer: Viewer) -> None:
        if self.domain is not None and self.display.reported:
            self._emit(GraphicsEvent(self.domain, phase, viewer.local, viewer.peer))
        self._tell()


def _new_address() -> SocketAddress:
    return SocketAddress(Transport.TCP, "10.0.0.1", next(_ports) % 50_000 + 1)
