"""Records libvirt's events of a domain, so that tests can compare the agent's answers with them.

The connection is read-only, as the agent's is. libvirt-python has one event loop for the process. Here it runs in a
thread until the process ends, and it must be registered before the connection opens.
"""

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

import libvirt

from testbed.waiting import TIMEOUT, wait_until


class Phase(IntEnum):
    CONNECT = libvirt.VIR_DOMAIN_EVENT_GRAPHICS_CONNECT
    INITIALIZE = libvirt.VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE
    DISCONNECT = libvirt.VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT


CONNECT, INITIALIZE, DISCONNECT = Phase


@dataclass(frozen=True)
class Endpoint:
    """`family` is 0 for IPv4, 1 for IPv6, 2 for a unix socket."""

    family: int
    node: str
    service: str


@dataclass(frozen=True)
class GraphicsEvent:
    domain: str
    phase: Phase
    local: Endpoint
    remote: Endpoint
    auth_scheme: str
    at: float


@dataclass(frozen=True)
class LifecycleEvent:
    domain: str
    event: int
    detail: int
    at: float


@functools.cache
def run_event_loop() -> None:
    """Once for the process; later calls do nothing."""
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_for_ever, name="libvirt events", daemon=True).start()


def _run_for_ever() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class EventLog:
    """Records between enter and exit, for one domain or for all of them."""

    def __init__(self, uri: str, domain: str | None = None) -> None:
        self._uri = uri
        self._domain = domain
        self._callbacks: list[int] = []
        self.graphics: list[GraphicsEvent] = []
        self.lifecycle: list[LifecycleEvent] = []
        # The moments of resets, by libvirt or by the guest that reboots.
        self.reboots: list[float] = []

    def __enter__(self) -> Self:
        run_event_loop()
        self._connection = libvirt.openReadOnly(self._uri)
        self._subscribe(libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS, self._on_graphics)
        self._subscribe(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle)
        self._subscribe(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection.isAlive():
            for callback in self._callbacks:
                self._connection.domainEventDeregisterAny(callback)
        self._connection.close()

    @property
    def phases(self) -> list[Phase]:
        return [event.phase for event in self.graphics]

    def count(self, phase: Phase) -> int:
        return self.phases.count(phase)

    @property
    def connected(self) -> int:
        """Clients that QEMU has now, if it had none at enter."""
        return self.count(CONNECT) - self.count(DISCONNECT)

    def wait_for(self, *phases: Phase, timeout: float = TIMEOUT) -> list[GraphicsEvent]:
        """Until exactly these phases, in this order, are all that has been seen since enter or `clear()`."""
        wait_until(lambda: self.phases, lambda seen: seen == list(phases), what=f"events {phases}", timeout=timeout)
        return list(self.graphics)

    def wait_for_lifecycle(self, event: int, timeout: float = TIMEOUT) -> LifecycleEvent:
        """The first event of this kind (as libvirt.VIR_DOMAIN_EVENT_STOPPED) since enter or `clear()`."""
        what = f"lifecycle event {event}"
        return wait_until(lambda: [e for e in self.lifecycle if e.event == event], what=what, timeout=timeout)[0]

    def clear(self) -> None:
        self.graphics.clear()
        self.lifecycle.clear()
        self.reboots.clear()

    def _subscribe(self, kind: int, callback: Any) -> None:
        self._callbacks.append(self._connection.domainEventRegisterAny(None, kind, callback, None))

    def _on_graphics(
        self,
        connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        phase: int,
        local: Mapping[str, Any],
        remote: Mapping[str, Any],
        auth_scheme: str,
        subject: Sequence[Any],
        opaque: object,
    ) -> None:
        if self._wanted(domain):
            ends = Endpoint(**local), Endpoint(**remote)
            self.graphics.append(GraphicsEvent(domain.name(), Phase(phase), *ends, auth_scheme, time.monotonic()))

    def _on_lifecycle(
        self, connection: libvirt.virConnect, domain: libvirt.virDomain, event: int, detail: int, opaque: object
    ) -> None:
        if self._wanted(domain):
            self.lifecycle.append(LifecycleEvent(domain.name(), event, detail, time.monotonic()))

    def _on_reboot(self, connection: libvirt.virConnect, domain: libvirt.virDomain, opaque: object) -> None:
        if self._wanted(domain):
            self.reboots.append(time.monotonic())

    def _wanted(self, domain: libvirt.virDomain) -> bool:
        return self._domain is None or domain.name() == self._domain
