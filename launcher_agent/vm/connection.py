"""What the watching modules need of libvirt. `libvirt_source` has the real one, the tests one of their own."""

from typing import Protocol

from launcher_agent.events import SocketAddress
from launcher_agent.vm.domains import Domain
from launcher_agent.vm.event_queue import EventQueue


class Connection(Protocol):
    """A connection that was subscribed to all graphics and lifecycle events before anything else was asked of it."""

    @property
    def queue(self) -> EventQueue:
        """The events, in order. The last one is ConnectionClosed."""

    async def domains(self) -> tuple[Domain, ...]:
        """All domains, running or not. LibvirtError."""

    async def xml(self, domain: str) -> str:
        """The domain's description. LibvirtError."""

    async def query_vnc(self, domain: str) -> tuple[SocketAddress, ...]:
        """The clients that QEMU has; every event from before the answer is in the inbox, or about to be.

        QueryError, LibvirtError.
        """

    def close(self) -> None:
        """Close it, without waiting."""


class Libvirt(Protocol):
    """Makes connections."""

    async def connect(self) -> Connection:
        """A subscribed connection. LibvirtError."""
