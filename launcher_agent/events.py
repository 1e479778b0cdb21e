"""What happens at a VM's screen, in this program's own words.

The edge translates libvirt's callbacks into these, so that nothing behind it knows libvirt. All are immutable and
small: thousands may wait at once when viewers come and go in a storm.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Transport(Enum):
    """How a viewer reaches QEMU. A websocket is TCP: libvirt does not tell them apart."""

    UNIX = auto()
    TCP = auto()


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """One end of a connection. A unix socket has a path as `host`, or nothing at all, and port 0."""

    transport: Transport
    host: str = ""
    port: int = 0

    @property
    def anonymous(self) -> bool:
        """Whether another client could have the same address: true of every unix client, in every phase."""
        return self.transport is Transport.UNIX or not self.host or not self.port


class Phase(Enum):
    """The three things that libvirt says of a graphics client."""

    #: The connection was accepted; not a byte has been read.
    CONNECT = auto()
    #: The handshake is over: from here on it is a session.
    INITIALIZE = auto()
    #: The client is gone. Says not whether it had finished its handshake.
    DISCONNECT = auto()


@dataclass(frozen=True, slots=True)
class GraphicsEvent:
    """A client of the domain's screen, VNC or other."""

    domain: str
    phase: Phase
    local: SocketAddress
    remote: SocketAddress


class Change(Enum):
    """Those of libvirt's lifecycle events that matter here. Pausing, resetting and resuming keep every viewer."""

    DEFINED = auto()
    UNDEFINED = auto()
    STARTED = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A domain came, went, started or stopped. `run` is libvirt's id of the running domain, fresh at each start."""

    domain: str
    change: Change
    run: int


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """A callback of libvirt whose arguments made no sense."""


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The connection is over: nothing comes after this."""

    reason: str


@dataclass(frozen=True, slots=True)
class QueryStarted:
    """From here on the answer to a query may or may not include what happens."""

    run: int


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """The clients that QEMU had. All events from before are in front of this."""

    run: int
    clients: tuple[SocketAddress, ...]


@dataclass(frozen=True, slots=True)
class QueryWindowClosed:
    """A while has passed since the answer, so that whatever came near it is in front of this."""

    run: int


@dataclass(frozen=True, slots=True)
class QueryRefused:
    """There was no answer, or none that makes sense."""

    run: int
    problem: str


Event = (
    GraphicsEvent
    | LifecycleEvent
    | UnreadableEvent
    | ConnectionClosed
    | QueryStarted
    | QueryAnswered
    | QueryWindowClosed
    | QueryRefused
)
