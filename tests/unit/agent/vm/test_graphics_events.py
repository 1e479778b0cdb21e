"""What libvirt's C library hands over, made of the same C structures."""

import ctypes
from typing import Any

import pytest

from launcher_agent.events import GraphicsEvent, Phase, SocketAddress, Transport, UnreadableEvent
from launcher_agent.vm import graphics_events
from launcher_agent.vm.event_queue import EventQueue

IPV4, IPV6, UNIX = 0, 1, 2


def address(family: int, node: bytes | None, service: bytes | None) -> Any:
    return ctypes.pointer(graphics_events._Address(family, node, service))


@pytest.mark.parametrize(
    ("family", "node", "service", "expected"),
    [
        (IPV4, b"127.0.0.1", b"40001", SocketAddress(Transport.TCP, "127.0.0.1", 40001)),
        (IPV6, b"::1", b"40002", SocketAddress(Transport.TCP, "::1", 40002)),
        (UNIX, b"", b"/run/virt-vnc", SocketAddress(Transport.UNIX, "/run/virt-vnc", 0)),
        (UNIX, None, None, SocketAddress(Transport.UNIX)),
        (IPV4, None, None, SocketAddress(Transport.TCP)),
        (IPV4, b"\xff\xfe", b"1", SocketAddress(Transport.TCP, "\ufffd\ufffd", 1)),
    ],
)
def test_an_address_is_read_whatever_it_holds(
    family: int, node: bytes | None, service: bytes | None, expected: SocketAddress
) -> None:
    assert graphics_events._address(address(family, node, service).contents) == expected


async def test_an_event_goes_to_the_inbox_of_its_subscription_and_to_no_other() -> None:
    queue = EventQueue()
    graphics_events._queues[-1] = queue
    try:
        here, there = address(UNIX, b"", b"/run/vnc"), address(UNIX, b"", b"")
        graphics_events._on_graphics(0, 0, 99, here, there, b"none", 0, -2)  # ended, or never begun
        graphics_events._on_graphics(0, 0, 99, here, there, b"none", 0, -1)  # a phase of the future
        assert await queue.get() == UnreadableEvent()
    finally:
        del graphics_events._queues[-1]


def test_the_phases_are_those_of_libvirt() -> None:
    assert graphics_events._PHASES == {0: Phase.CONNECT, 1: Phase.INITIALIZE, 2: Phase.DISCONNECT}


def test_null_pointers_are_an_event_that_cannot_be_read() -> None:
    null: Any = ctypes.POINTER(graphics_events._Address)()
    assert graphics_events._event(0, 0, null, null) == UnreadableEvent()


def test_an_event_of_a_domain_without_a_name_is_read_all_the_same() -> None:
    """libvirt refuses a null domain with null for a name; a real one has a name in tests/libvirt."""
    event = graphics_events._event(0, 0, address(UNIX, b"", b"/run/vnc"), address(UNIX, b"", b""))
    assert event == GraphicsEvent(
        "", Phase.CONNECT, SocketAddress(Transport.UNIX, "/run/vnc"), SocketAddress(Transport.UNIX)
    )
