"""The interface to libvirt that the watching modules use. `client` implements it, and the tests have their own."""

from typing import Protocol

from launcher_agent.events import SocketAddress
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue


class Connection(Protocol):
    """A connection that was subscribed to all graphics and lifecycle events before its first call."""

    @property
    def queue(self) -> EventQueue:
        """The events, in order. The last one is ConnectionClosed."""

    async def domains(self) -> tuple[Domain, ...]:
        """Return all domains, running or not. It waits for the lock of each of them. LibvirtError."""

    async def domain(self, name: str) -> Domain | None:
        """Return the domain `name`; None if it is not defined and does not run. LibvirtError."""

    async def xml(self, domain: str) -> str:
        """Return the domain's description. LibvirtError."""

    async def probe(self, domain: str | None) -> None:
        """Return when libvirt has answered a call that needs the domain's lock. LibvirtError."""

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        """Return QEMU's clients; every event from before the answer is in the queue, or about to be.

        QueryError, UnobservableError, LibvirtError.
        """

    async def ask(self, domain: str, command: str) -> str:
        """Return QEMU's answer to a QMP command, over a read-write connection that is kept. QueryError."""

    def end_asking(self) -> None:
        """Close the connection of `ask`, without waiting. The next `ask` opens another one."""

    async def watch_devices(self) -> None:
        """Subscribe to devices that are plugged and unplugged. LibvirtError."""

    def close(self) -> None:
        """Close it, without waiting."""


class Libvirt(Protocol):
    """Makes connections."""

    async def connect(self) -> Connection:
        """Return a subscribed connection. LibvirtError."""
