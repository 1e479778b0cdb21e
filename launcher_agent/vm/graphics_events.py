"""Subscribes to libvirt's graphics events by its C library, without libvirt-python.

libvirt-python (up to 12.8 at least) allocates two dictionaries and a list for each of these events and never frees
them: a kilobyte for each event, taken from the VM's memory limit. A monitoring check that connects to the VNC port
every ten seconds costs 16 MB a day that way. This module needs one function, one callback and one structure of
libvirt's stable ABI, in the same process and on the same connection. Goes with
docs/upstream/libvirt-python-graphics-events.md.
"""

import ctypes
import itertools
from typing import Final

import libvirt

from launcher_agent.events import Event, GraphicsEvent, Phase, SocketAddress, Transport, UnreadableEvent
from launcher_agent.vm.event_queue import EventQueue
from launcher_agent.vm.vnc_query import tcp_address


class _Address(ctypes.Structure):
    """virDomainEventGraphicsAddress."""

    _fields_ = (("family", ctypes.c_int), ("node", ctypes.c_char_p), ("service", ctypes.c_char_p))


#: virConnectDomainEventGraphicsCallback: connection, domain, phase, local, remote, scheme, subject, opaque.
_Callback = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(_Address),
    ctypes.POINTER(_Address),
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
)

_PHASES: Final = {
    libvirt.VIR_DOMAIN_EVENT_GRAPHICS_CONNECT: Phase.CONNECT,
    libvirt.VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE: Phase.INITIALIZE,
    libvirt.VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT: Phase.DISCONNECT,
}

_library: Final = ctypes.CDLL("libvirt.so.0")  # the one that libvirt-python has loaded
_library.virDomainGetName.argtypes = [ctypes.c_void_p]
_library.virDomainGetName.restype = ctypes.c_char_p
_library.virConnectDomainEventRegisterAny.argtypes = [
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    _Callback,
    ctypes.c_void_p,
    ctypes.c_void_p,
]

_library.virConnectDomainEventDeregisterAny.argtypes = [ctypes.c_void_p, ctypes.c_int]

#: The queue of each subscription, by the number that libvirt passes with its events. An event that arrives after the
#: end of its subscription finds no queue here, rather than memory that was freed.
_queues: Final[dict[int, EventQueue]] = {}
_numbers: Final = itertools.count(1)


class GraphicsSubscription:
    """All graphics events of one connection. Its methods may block."""

    def __init__(self, connection: "libvirt.virConnect", queue: EventQueue) -> None:
        """Subscribe. libvirtError."""
        self._connection = connection
        self._number = next(_numbers)
        _queues[self._number] = queue
        self._id = _library.virConnectDomainEventRegisterAny(
            connection.c_pointer(), None, libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS, _callback, self._number, None
        )
        if self._id == -1:
            del _queues[self._number]
            raise libvirt.libvirtError("virConnectDomainEventRegisterAny() failed")

    def end(self) -> None:
        """Unsubscribe, before the connection is closed. The connection may be lost already."""
        _queues.pop(self._number, None)
        _library.virConnectDomainEventDeregisterAny(self._connection.c_pointer(), self._id)


def _on_graphics(
    _connection: int,
    domain: int,
    phase: int,
    local: "ctypes._Pointer[_Address]",
    remote: "ctypes._Pointer[_Address]",
    _scheme: bytes,
    _subject: int,
    number: int,
) -> None:
    queue = _queues.get(number)
    if queue is not None:
        queue.put_from_thread(_event(domain, phase, local, remote))


#: Never freed: libvirt holds its address.
_callback: Final = _Callback(_on_graphics)


def _event(domain: int, phase: int, local: "ctypes._Pointer[_Address]", remote: "ctypes._Pointer[_Address]") -> Event:
    try:
        name = _text(_library.virDomainGetName(domain))
        return GraphicsEvent(name, _PHASES[phase], _address(local.contents), _address(remote.contents))
    except (KeyError, ValueError):  # a phase of the future, a null pointer
        return UnreadableEvent()


def _address(stated: _Address) -> SocketAddress:
    node, service = _text(stated.node), _text(stated.service)
    if stated.family == libvirt.VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_UNIX:
        return SocketAddress(Transport.UNIX, service)  # the path, at the server's end
    return tcp_address(node, service)


def _text(stated: bytes | None) -> str:
    return (stated or b"").decode("utf-8", "replace")
