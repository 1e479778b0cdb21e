"""Events of a VM's display and of its domain, as this program's own types.

The edge translates libvirt's callbacks into these types, so that only the edge depends on libvirt. All are immutable
and small: thousands may be queued at once during a storm of connections.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto


class Transport(Enum):
    """The transport of a client's connection. A websocket is TCP: libvirt does not distinguish the two."""

    UNIX = auto()
    TCP = auto()


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """One end of a connection. A unix socket has a path as `host`, or an empty one, and port 0.

    `server` of a client is the port of the VNC server that it is connected to, since one address and port of a client
    may be connected to several servers. 0 for a server's own address, and where it is not known.
    """

    transport: Transport
    host: str = ""
    port: int = 0
    server: int = 0

    @property
    def anonymous(self) -> bool:
        """Whether any other client may have the same address: true of every unix client, in every phase."""
        return self.transport is Transport.UNIX or not self.host or not self.port

    def at(self, server: "SocketAddress") -> "SocketAddress":
        """Return this client's address as a client of `server`; an anonymous client stays as it is."""
        return self if self.anonymous else replace(self, server=server.port)


class Phase(Enum):
    """The three phases of a graphics client that libvirt reports."""

    #: The connection was accepted; not a byte has been read.
    CONNECT = auto()
    #: The handshake is complete: the client is a session from here on.
    INITIALIZE = auto()
    #: The client is gone. Whether it had completed its handshake is not reported.
    DISCONNECT = auto()


@dataclass(frozen=True, slots=True)
class GraphicsEvent:
    """A client of the domain's display, VNC or SPICE. `local` is the server's address, `remote` the client's."""

    domain: str
    phase: Phase
    local: SocketAddress
    remote: SocketAddress


class Change(Enum):
    """The lifecycle events that can change the sessions. Pause, reset and resume keep every viewer connected."""

    DEFINED = auto()
    UNDEFINED = auto()
    STARTED = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A change of a domain. `run` is libvirt's id of the running domain, new at each start."""

    domain: str
    change: Change
    run: int


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """A callback of libvirt whose arguments could not be decoded."""


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection is closed: no event follows this one. `gone`: by libvirt itself, whose process has ended."""

    reason: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class QueryStarted:
    """A query was sent: its answer may or may not include events from here on."""

    run: int


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """The clients that QEMU listed. All earlier events precede this one."""

    run: int
    clients: tuple[SocketAddress, ...]


@dataclass(frozen=True, slots=True)
class QueryWindowClosed:
    """Some time has passed since the answer, so that every event near the answer precedes this one."""

    run: int


@dataclass(frozen=True, slots=True)
class QueryRefused:
    """There was no answer, or an invalid one. `final`: no later one can help."""

    run: int
    problem: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class SpiceChannel:
    """A connection of a SPICE client that has finished its handshake. All of one client have the same `connection`."""

    peer: SocketAddress
    connection: int


@dataclass(frozen=True, slots=True)
class SpiceAnswered:
    """The SPICE connections that QEMU listed. All earlier events precede this one."""

    run: int
    channels: tuple[SpiceChannel, ...]


@dataclass(frozen=True, slots=True)
class SpiceMark:
    """A mark of a question for the SPICE clients; the marks above are of one for the VNC clients."""

    mark: "Event | SpiceAnswered"


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """A device was plugged into a domain, or removed from it, while it runs."""

    domain: str


Event = (
    GraphicsEvent
    | LifecycleEvent
    | UnreadableEvent
    | ConnectionClosed
    | QueryStarted
    | QueryAnswered
    | QueryWindowClosed
    | QueryRefused
    | SpiceMark
    | DevicesChanged
)
