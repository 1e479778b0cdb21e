"""Connects to libvirt: a read-only connection for events and calls. Questions to QEMU have connections of their own.

Invariants:
- No call into libvirt is made in the event loop's thread: each may block for as long as libvirtd hangs. That includes
  dropping the last reference to a connection, which closes it.
- A callback only translates an event and queues it. libvirt swallows what a callback raises, so it raises nothing.
- The agent subscribes first and lists afterwards: an event in between is seen twice rather than never.
- A libvirtd that hangs is noticed after six seconds (`KEEPALIVE`); one that ends, at once; one that answers nothing
  about the domain, by `liveness`.
- The agent never starts a libvirt: a session daemon would start by itself for a socket that no libvirtd serves.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import libvirt

from launcher_agent.errors import LibvirtError
from launcher_agent.events import Change, ConnectionClosed, LifecycleEvent, SocketAddress
from launcher_agent.vm import vnc_query
from launcher_agent.vm.blocking_calls import DaemonThreads, start
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue
from launcher_agent.vm.graphics_events import GraphicsSubscription
from launcher_agent.vm.libvirt_calls import close, mapped, quietly
from launcher_agent.vm.monitor import KEEPALIVE, Monitor

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Opening, looking up, reading XML, probing: rarely more than two at a time.
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
    """Opens connections to one URI. One instance for the program: libvirt's event loop is a thread that never ends."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._threads = DaemonThreads(_MAX_THREADS)
        self._monitor = Monitor(uri)
        os.environ["LIBVIRT_AUTOSTART"] = "0"
        libvirt.registerErrorHandler(_log_error, None)  # instead of lines on standard error
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()

    async def connect(self) -> "Connection":
        """Return a connection that is subscribed to all events. Waits for as long as libvirt hangs. LibvirtError."""
        queue = EventQueue()
        opened = await self._threads.call(lambda: mapped(lambda: _Opened(self._uri, queue)), discard=_Opened.close)
        return Connection(opened, queue, self._threads, self._monitor)


class _Opened:
    """An open connection and its subscriptions. Every method may block."""

    def __init__(self, uri: str, queue: EventQueue) -> None:
        """Open and subscribe: graphics first, so that no viewer of a domain whose start is seen was missed."""
        self.connection = libvirt.openReadOnly(uri)
        with contextlib.ExitStack() as undo:
            undo.callback(close, self.connection)
            self.connection.setKeepAlive(*KEEPALIVE)
            self.connection.registerCloseCallback(_on_close, queue)
            undo.callback(quietly, self.connection.unregisterCloseCallback)
            undo.callback(GraphicsSubscription(self.connection, queue).end)
            lifecycle = self.connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _on_lifecycle, queue
            )
            undo.callback(quietly, lambda: self.connection.domainEventDeregisterAny(lifecycle))
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Remove the callbacks, each of which holds a reference to the connection, and close it."""
        self._undo.close()

    def watch_devices(self, queue: EventQueue) -> None:
        """Subscribe to devices that are plugged and unplugged."""
        from launcher_agent.vm import device_events  # noqa: PLC0415 - most agents never poll

        self._undo.callback(device_events.subscribe(self.connection, queue))


class Connection:
    """A subscribed connection: its events are in `queue`, and the last one is ConnectionClosed."""

    def __init__(self, opened: _Opened, queue: EventQueue, threads: DaemonThreads, monitor: Monitor) -> None:
        self.queue = queue
        self._opened = opened
        self._threads = threads
        self._monitor = monitor

    async def domains(self) -> tuple[Domain, ...]:
        """Return all domains, running or not. Waits for the lock of each of them."""
        return await self._call(lambda connection: tuple(_domain(one) for one in connection.listAllDomains()))

    async def domain(self, name: str) -> Domain | None:
        """Return the domain `name`; None if it is not defined and does not run."""
        return await self._call(lambda connection: _look_up(connection, name))

    async def xml(self, domain: str) -> str:
        """Return the domain's description, that of the running domain if it runs."""
        return await self._call(lambda connection: str(connection.lookupByName(domain).XMLDesc()))

    async def probe(self, domain: str | None) -> None:
        """Return when libvirt has answered a call that needs the domain's lock, and has QEMU's monitor."""
        await self._call(lambda connection: _probe(connection, domain))

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        """Return QEMU's VNC clients. All events from before the answer are in the queue, or about to be.

        libvirtd queues an event before it forwards an answer that QEMU gave later, and sends queued events before it
        answers the next call of the same connection: so the second call flushes the events.
        """
        answer = await self._monitor.ask(domain, vnc_query.COMMAND)
        clients = vnc_query.parse(answer)
        await self.probe(domain)
        return clients

    async def ask(self, domain: str, command: str) -> str:
        """Return QEMU's answer to a QMP command, over a read-write connection that is kept."""
        return await self._monitor.poll(domain, command)

    def end_asking(self) -> None:
        """Close the connection of `ask` in the background."""
        self._monitor.end_polling()

    async def watch_devices(self) -> None:
        """Subscribe to devices that are plugged and unplugged."""
        opened, queue = self._opened, self.queue
        await self._threads.call(lambda: mapped(lambda: opened.watch_devices(queue)))

    def close(self) -> None:
        """Close it in the background: a libvirt that hangs does not answer this either."""
        self.end_asking()
        start(self._opened.close)

    async def _call(self, function: Callable[["libvirt.virConnect"], T]) -> T:
        connection = self._opened.connection
        return await self._threads.call(lambda: mapped(lambda: function(connection)))


def _look_up(connection: "libvirt.virConnect", name: str) -> Domain | None:
    try:
        return _domain(connection.lookupByName(name))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _probe(connection: "libvirt.virConnect", name: str | None) -> None:
    """Look the domain up, which needs its lock, and check that libvirt still has its QEMU's monitor: two short calls.

    That there is no such domain, or that it stops meanwhile, is an answer too.
    """
    if name is None:
        connection.getLibVersion()
        return
    try:
        domain = connection.lookupByName(name)
        lost = domain.ID() != -1 and domain.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_ERROR
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            return
        raise
    if lost:
        raise LibvirtError("libvirt has lost the monitor of the domain's QEMU")


def _domain(domain: "libvirt.virDomain") -> Domain:
    run = domain.ID()
    return Domain(domain.name(), None if run == -1 else run)


def _run_events() -> NoReturn:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.error("libvirt's event loop: %s", error)
            time.sleep(1)  # it never failed in practice; if it fails, it must not spin


def _log_error(_: object, error: tuple[Any, ...]) -> None:
    log.debug("libvirt: %s", error[2])


def _on_close(_: "libvirt.virConnect", reason: int, queue: EventQueue) -> None:
    gone = reason == libvirt.VIR_CONNECT_CLOSE_REASON_EOF
    queue.put_from_thread(ConnectionClosed(_CLOSED.get(reason, "the connection was closed"), gone))


def _on_lifecycle(
    _: "libvirt.virConnect", domain: "libvirt.virDomain", event: int, _detail: int, queue: EventQueue
) -> None:
    change = _CHANGES.get(event)
    if change is not None:
        queue.put_from_thread(LifecycleEvent(domain.name(), change, domain.ID()))
