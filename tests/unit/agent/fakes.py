"""What the agent's edges are tested against: a libvirt whose answers a test gives, and time that a test moves."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from launcher_agent.errors import LibvirtError
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
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue

UNIX = SocketAddress(Transport.UNIX)
SERVER = SocketAddress(Transport.UNIX, "/run/vnc")
VNC_XML = "<domain><devices><graphics type='vnc'><listen type='socket'/></graphics></devices></domain>"
TCP_XML = "<domain><devices><graphics type='vnc' port='5900'><listen type='address'/></graphics></devices></domain>"
PLAIN_XML = "<domain><devices/></domain>"


def tcp(port: int) -> SocketAddress:
    return SocketAddress(Transport.TCP, "127.0.0.1", port)


async def settle() -> None:
    """Let every task run until it waits for something that only the test can give."""
    for _ in range(50):
        await asyncio.sleep(0)


class VirtualTime:
    """A clock that stands still until a test moves it, and a sleep that follows it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), waiter))
        if seconds <= 0:
            self._wake()
        await waiter

    async def advance(self, seconds: float) -> None:
        """Advance the clock and stop at each time at which a task wakes up."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now = max(self.now, self._sleepers[0][0])
            self._wake()
            await settle()
        self.now = end
        await settle()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.now:
            waiter = heapq.heappop(self._sleepers)[2]
            if not waiter.done():
                waiter.set_result(None)


class FakeConnection:
    """A connection to a libvirt that has `listed` domains; a question to QEMU waits until the test answers it."""

    def __init__(self, *listed: Domain, xml: str = VNC_XML) -> None:
        self.queue = EventQueue(gather=0.0)  # time stands still here, which looks like a storm
        self.listed = listed
        self.description: str | LibvirtError = xml
        self.questions: list[str] = []
        self.listings = 0
        self.listing_error: LibvirtError | None = None
        self.closed = False
        self.probes: list[str | None] = []
        self.lock = asyncio.Event()  # of the domains: while it is not set, calls do not return
        self.lock.set()
        self.probe_error: LibvirtError | None = None
        self._answers: asyncio.Queue[tuple[SocketAddress, ...] | Exception] = asyncio.Queue()
        #: What QEMU answers to a command: a text, an error, or what a function returns.
        self.qemu: Callable[[str], str] = lambda command: '{"return":[]}'
        self.asked: list[str] = []
        self.ended_asking = 0
        self.watches_devices = False
        self.reading = asyncio.Event()  # while it is not set, a description that was read is on its way
        self.reading.set()
        self.monitor = asyncio.Event()  # while it is not set, QEMU does not answer
        self.monitor.set()

    async def domains(self) -> tuple[Domain, ...]:
        await self.lock.wait()
        self.listings += 1
        if self.listing_error is not None:
            raise self.listing_error
        return self.listed

    async def domain(self, name: str) -> Domain | None:
        await self.lock.wait()
        return next((domain for domain in self.listed if domain.name == name), None)

    async def probe(self, domain: str | None) -> None:
        self.probes.append(domain)
        await self.lock.wait()
        if self.probe_error is not None:
            raise self.probe_error

    async def xml(self, domain: str) -> str:
        description = self.description
        await self.reading.wait()
        if isinstance(description, LibvirtError):
            raise description
        return description

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        self.questions.append(domain)
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask(self, domain: str, command: str) -> str:
        self.asked.append(command)
        await self.monitor.wait()
        return self.qemu(command)

    def end_asking(self) -> None:
        self.ended_asking += 1

    async def watch_devices(self) -> None:
        self.watches_devices = True

    def close(self) -> None:
        self.closed = True

    # --- What the test does -----------------------------------------------------------------------------------------

    async def answer(self, *clients: SocketAddress) -> None:
        self._answers.put_nowait(clients)
        await settle()

    async def refuse(self, error: Exception) -> None:
        self._answers.put_nowait(error)
        await settle()

    async def send(self, *events: Event) -> None:
        for event in events:
            self.queue.put(event)
        await settle()

    async def graphics(self, phase: Phase, peer: SocketAddress = UNIX, domain: str = "vm") -> None:
        await self.send(GraphicsEvent(domain, phase, SERVER, peer))

    async def viewer(self, peer: SocketAddress = UNIX, domain: str = "vm") -> None:
        await self.graphics(Phase.CONNECT, peer, domain)
        await self.graphics(Phase.INITIALIZE, peer, domain)

    async def lifecycle(self, change: Change, run: int = -1, domain: str = "vm") -> None:
        await self.send(LifecycleEvent(domain, change, run))

    async def lose(self, reason: str = "libvirt closed the connection", *, gone: bool = False) -> None:
        await self.send(ConnectionClosed(reason, gone))


class FakeLibvirt:
    """Hands out the connections, or failures, that a test has put in."""

    def __init__(self) -> None:
        self.attempts = 0
        self._offers: asyncio.Queue[FakeConnection | LibvirtError] = asyncio.Queue()

    async def offer(self, offer: FakeConnection | LibvirtError) -> None:
        self._offers.put_nowait(offer)
        await settle()

    async def connect(self) -> FakeConnection:
        self.attempts += 1
        offer = await self._offers.get()
        if isinstance(offer, LibvirtError):
            raise offer
        return offer


def highest(low: float, high: float) -> float:
    """A `uniform` that always draws the most."""
    return max(low, high)
