"""The only module that knows libvirt: a read-only connection that sends events, and a short read-write one to ask QEMU.

Invariants:
- No call into libvirt is made in the event loop's thread: each may block for as long as libvirtd hangs. That includes
  dropping the last reference to a connection, which closes it.
- A callback only translates and hands over. libvirt swallows what a callback raises, so it raises nothing.
- Subscribed first, listed afterwards: what happens in between is seen twice rather than never.
- A libvirtd that hangs is noticed after six seconds (`_KEEPALIVE`); one that dies, at once.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeVar

import libvirt

from launcher_agent.errors import LibvirtError, QueryError
from launcher_agent.events import Change, ConnectionClosed, LifecycleEvent, SocketAddress
from launcher_agent.vm import vnc_query
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue
from launcher_agent.vm.graphics_events import GraphicsSubscription
from launcher_agent.vm.threads import DaemonThreads, start

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two signs of life, and how many may fail: libvirt gives up after interval * (count + 1).
_KEEPALIVE: Final = (2, 2)
#: A healthy QEMU answers in 3 ms. One that hangs holds the domain's job in libvirtd, so it is not asked twice at once.
_QUERY_TIMEOUT: Final = 10.0
#: Opening, listing, reading XML, closing: seldom more than one at a time.
_MAX_THREADS: Final = 4

_CHANGES: Final = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: Change.DEFINED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: Change.UNDEFINED,
    libvirt.VIR_DOMAIN_EVENT_STARTED: Change.STARTED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: Change.STOPPED,
}
_CLOSED: Final = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "an error on the connection",
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirt closed the connection",
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirt does not answer",
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: "the agent closed the connection",
}


class Libvirt:
    """Where libvirt is. One instance for the program: libvirt's event loop is a thread that never ends."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._threads = DaemonThreads(_MAX_THREADS)
        self._query_thread = DaemonThreads(1)
        libvirt.registerErrorHandler(_log_error, None)  # instead of lines on standard error
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()

    async def connect(self) -> "Connection":
        """A connection that is subscribed to everything. Waits for as long as libvirt hangs."""
        queue = EventQueue()
        opened = await self._threads.call(lambda: _mapped(lambda: _Opened(self._uri, queue)), discard=_Opened.close)
        return Connection(opened, queue, self._threads, self._ask)

    async def _ask(self, domain: str) -> tuple[SocketAddress, ...]:
        try:
            async with asyncio.timeout(_QUERY_TIMEOUT):
                answer = await self._query_thread.call(lambda: _mapped(lambda: self._query(domain)))
        except TimeoutError as error:
            raise QueryError(f"QEMU has not answered within {_QUERY_TIMEOUT:g} s") from error
        except LibvirtError as error:
            raise QueryError(f"QEMU could not be asked: {error}") from error
        return vnc_query.parse(answer)

    def _query(self, domain: str) -> str:
        import libvirt_qemu  # noqa: PLC0415 - most agents never ask, and memory is paid for each VM

        connection = libvirt.open(self._uri)
        try:
            connection.setKeepAlive(*_KEEPALIVE)
            return str(libvirt_qemu.qemuMonitorCommand(connection.lookupByName(domain), vnc_query.COMMAND, 0))
        finally:
            _close(connection)


class _Opened:
    """A connection and its subscriptions. Every method may block."""

    def __init__(self, uri: str, queue: EventQueue) -> None:
        """Open and subscribe: graphics first, so that a domain whose start is seen has hidden no viewer."""
        self.connection = libvirt.openReadOnly(uri)
        with contextlib.ExitStack() as undo:
            undo.callback(_close, self.connection)
            self.connection.setKeepAlive(*_KEEPALIVE)
            self.connection.registerCloseCallback(_on_close, queue)
            undo.callback(_quietly, self.connection.unregisterCloseCallback)
            undo.callback(GraphicsSubscription(self.connection, queue).end)
            lifecycle = self.connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _on_lifecycle, queue
            )
            undo.callback(_quietly, lambda: self.connection.domainEventDeregisterAny(lifecycle))
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Close it, and give up its callbacks first: each holds a reference to it, so that it would never be freed."""
        self._undo.close()


class Connection:
    """A subscribed connection: its events are in `queue`, and the last of them is ConnectionClosed."""

    def __init__(
        self,
        opened: _Opened,
        queue: EventQueue,
        threads: DaemonThreads,
        ask: Callable[[str], Awaitable[tuple[SocketAddress, ...]]],
    ) -> None:
        self.queue = queue
        self._opened = opened
        self._threads = threads
        self._ask = ask

    async def domains(self) -> tuple[Domain, ...]:
        """All domains, running or not."""
        return await self._call(lambda connection: tuple(_domain(one) for one in connection.listAllDomains()))

    async def xml(self, domain: str) -> str:
        """The domain's description, of the running domain if it runs."""
        return await self._call(lambda connection: str(connection.lookupByName(domain).XMLDesc()))

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        """The VNC clients that QEMU has. All events from before its answer are in the inbox, or about to be.

        libvirtd queues an event before it passes on an answer that QEMU gave later, and sends what is queued before
        it answers the next call of the same connection: so the second call flushes the events.
        """
        clients = await self._ask(domain)
        await self._call(lambda connection: connection.numOfDomains())
        return clients

    def close(self) -> None:
        """Close it in the background: a libvirt that hangs does not answer to that either."""
        start(self._opened.close)

    async def _call(self, function: Callable[["libvirt.virConnect"], T]) -> T:
        connection = self._opened.connection
        return await self._threads.call(lambda: _mapped(lambda: function(connection)))


def _mapped(function: Callable[[], T]) -> T:
    try:
        return function()
    except libvirt.libvirtError as error:
        raise LibvirtError(error.get_error_message() or "libvirt gave no reason") from error


def _close(connection: "libvirt.virConnect") -> None:
    _quietly(connection.close)


def _quietly(end: Callable[[], object]) -> None:
    """Call what may fail because the connection is lost, which was known."""
    with contextlib.suppress(libvirt.libvirtError):
        end()


def _domain(domain: "libvirt.virDomain") -> Domain:
    run = domain.ID()
    return Domain(domain.name(), None if run == -1 else run)


def _run_events() -> NoReturn:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.error("libvirt's event loop: %s", error)
            time.sleep(1)  # it never failed in practice; if it does, it must not spin


def _log_error(_: object, error: tuple[Any, ...]) -> None:
    log.debug("libvirt: %s", error[2])


def _on_close(_: "libvirt.virConnect", reason: int, queue: EventQueue) -> None:
    queue.put_from_thread(ConnectionClosed(_CLOSED.get(reason, "the connection was closed")))


def _on_lifecycle(
    _: "libvirt.virConnect", domain: "libvirt.virDomain", event: int, _detail: int, queue: EventQueue
) -> None:
    change = _CHANGES.get(event)
    if change is not None:
        queue.put_from_thread(LifecycleEvent(domain.name(), change, domain.ID()))
