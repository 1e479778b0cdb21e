"""Subscribes to devices that are plugged into a running domain, or unplugged. Loaded only if a service is polled."""

from collections.abc import Callable
from typing import Any, Final

import libvirt

from launcher_agent.events import DevicesChanged
from launcher_agent.vm.event_queue import EventQueue
from launcher_agent.vm.libvirt_calls import quietly

_EVENTS: Final = (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)


def subscribe(connection: "libvirt.virConnect", queue: EventQueue) -> Callable[[], None]:
    """Subscribe, and return what ends it: each subscription holds a reference to the connection. libvirtError."""
    ids = [connection.domainEventRegisterAny(None, event, _on_device, queue) for event in _EVENTS]

    def end() -> None:
        for one in ids:
            quietly(lambda one=one: connection.domainEventDeregisterAny(one))  # type: ignore[misc]

    return end


def _on_device(_: Any, domain: "libvirt.virDomain", _alias: str, queue: EventQueue) -> None:
    queue.put_from_thread(DevicesChanged(domain.name()))
