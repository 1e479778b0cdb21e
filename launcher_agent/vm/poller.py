"""Polls QEMU for the services that it reports by no event: USB redirections and serial consoles.

Loaded only if the handler asks for it. QEMU is asked while the domain runs and has a device of a polled service, over
one connection that is kept and closed when nothing is polled: opening one costs more than a question. A question taints
the domain (`custom-monitor`, once per start), so a domain without such a device is not asked.

Invariants:
- One question is in flight at a time, and the poller waits for it no longer than a time limit. Nothing else waits.
- An answer is dropped if since its question the run has ended, or its devices or what the handler asks for has changed.
- Without an answer the numbers stay as they were, and are not observed.
- No single answer proves a zero: neither when a number falls, nor when nothing was observed before.
"""

import asyncio
import logging
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from launcher_agent.errors import AgentError
from launcher_agent.sessions.sampled import SampledUse
from launcher_agent.state import NOT_ASKED, State
from launcher_agent.vm import device_xml, poll_query
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.device_xml import Polled
from servicestatus.clock import Sleep
from servicestatus.reasons import Reason
from servicestatus.services import POLLED
from servicestatus.v1.sessions_pb2 import SERVICE_SERIAL_CONSOLE, SERVICE_USB_REDIRECTION, Service

log = logging.getLogger(__name__)

#: Seconds between the answers that prove a place free. A takeover leaves it free for 0.5 ms (measured), and for longer
#: where KubeVirt's proxy is short of CPU time. All four answers must miss the client: in one gap of 0.2 s, or in four
#: takeovers, where QEMU answers within milliseconds. The pauses differ, so that clients that take over from each other
#: at a steady pace are not missed four times. Together they are shorter than a handler's wait before it writes that a
#: number is not observed (0.3 s).
_CONFIRM: Final = (0.061, 0.071, 0.083)
#: Seconds until the next poll after one without an answer, if the interval is not shorter.
_RETRY: Final = 5.0


@dataclass(slots=True)
class _Run:
    """What is known of one run of the domain. A change of what is polled makes another one, with the same numbers."""

    domain: str
    devices: Polled | None = None  # None until the description was read, and after a change of the devices
    use: Mapping[Service, SampledUse] = field(
        default_factory=lambda: {service: SampledUse(len(_CONFIRM) + 1) for service in POLLED}
    )

    def again(self, devices: Polled | None) -> "_Run":
        """Return the same run, for a poll that does not wait."""
        for use in self.use.values():
            use.interrupt()
        return replace(self, devices=devices)


class Poller:
    """Polls one domain at a time, on one connection to libvirt."""

    def __init__(self, connection: Connection, state: State, sleep: Sleep) -> None:
        self._connection = connection
        self._state = state
        self._sleep = sleep
        self._changed = asyncio.Event()
        self._run: _Run | None = None
        self._subscribed = False

    def begin(self, domain: str) -> None:
        """Poll a run of the domain. Until the first answer, nothing is observed."""
        self._run = _Run(domain)
        self._observe_all(Reason.RECONCILING)
        self._changed.set()

    def end(self) -> None:
        """Record that the domain does not run: that nothing is in use is known without asking."""
        self._run = None
        self._observe_all(Reason.WATCHING)
        self._changed.set()

    def leave(self) -> None:
        """Stop to poll: which domain is the VM's is not known any more."""
        self._run = None
        self._changed.set()

    def refresh(self) -> None:
        """Read the domain's devices again, and poll at once: a device was plugged or unplugged."""
        if self._run is not None:
            self._run = self._run.again(None)
            self._changed.set()

    def ask(self) -> None:
        """Begin to poll the services that the handler asks for now, and stop to poll the others."""
        for service in POLLED - self._asked().keys():
            self._state.services[service].sampled_every = None
            self._observe(service, Reason.NOT_WATCHED, NOT_ASKED)
            self._doubt(service)
        for service, every in self._asked().items():
            state = self._state.services[service]
            state.sampled_every = state.sampled_every or every
            if state.observation.message == NOT_ASKED:
                self._observe(service, Reason.RECONCILING if self._run else Reason.WATCHING)
        self._run = self._run and self._run.again(self._run.devices)
        self._changed.set()

    async def run(self) -> NoReturn:
        """Poll until cancelled."""
        while True:
            self._changed.clear()
            run, pause = self._run, None
            if run is not None and self._asked():
                try:
                    pause = await self._poll(run)
                except AgentError as error:
                    pause = min([_RETRY, *self._asked().values()])
                    if run is self._run:
                        self._fail(str(error))
            if pause is None:
                self._connection.end_asking()
            await self._pause(pause)

    # --- One poll ---------------------------------------------------------------------------------------------------

    async def _poll(self, run: _Run) -> float | None:
        """Poll what is asked for; return the seconds until the next poll, None if there is nothing to poll."""
        if run.devices is None:
            run.devices = await self._devices(run.domain)
        devices = run.devices
        asked = self._with_devices(devices)
        if not asked:
            self._apply(run, devices, frozenset(), frozenset(), 0)
            return None
        interval = min(asked.values())
        for pause in (0.0, *_CONFIRM):
            if pause:
                await self._pause(pause)
            if run is not self._run or not await self._sample(run, devices, asked):
                break
        return interval

    async def _devices(self, domain: str) -> Polled:
        if not self._subscribed:
            await self._connection.watch_devices()  # first, so that no change is missed
            self._subscribed = True
        return device_xml.parse(await self._connection.xml(domain))

    def _with_devices(self, devices: Polled) -> Mapping[Service, float]:
        """Return the services that are asked for and for which QEMU must be asked."""
        has = {SERVICE_USB_REDIRECTION: devices.slots, SERVICE_SERIAL_CONSOLE: devices.consoles}
        return {service: every for service, every in self._asked().items() if has[service]}

    async def _sample(self, run: _Run, devices: Polled, asked: Mapping[Service, float]) -> bool:
        """Ask QEMU once, and apply its answer; return whether it must be confirmed."""
        slots = devices.slots if SERVICE_USB_REDIRECTION in asked else ()
        consoles = devices.consoles if SERVICE_SERIAL_CONSOLE in asked else ()
        self._state.stats.polls += 1
        answer = await self._connection.ask(run.domain, poll_query.CHARDEVS)
        connected = poll_query.connected(answer, [*(slot.alias for slot in slots), *consoles])
        attached = set()
        for slot in slots:
            if slot.alias in connected or not slot.stated:
                answer = await self._connection.ask(run.domain, poll_query.is_attached(slot.alias))
                if poll_query.attached(answer):
                    attached.add(slot.alias)
        pending = sum(slot.stated and slot.alias in connected - attached for slot in slots)
        return self._apply(run, devices, attached, connected.intersection(consoles), pending)

    def _apply(self, run: _Run, devices: Polled, attached: Set[str], consoles: Set[str], pending: int) -> bool:
        """Apply a sample; return whether it must be confirmed."""
        if run is not self._run:
            return False  # it is about what was
        interval = min(self._with_devices(devices).values(), default=None)
        slots = {slot.alias for slot in devices.slots}
        unconfirmed = False
        if SERVICE_USB_REDIRECTION in self._asked():
            use = run.use[SERVICE_USB_REDIRECTION]
            unconfirmed |= use.sample(attached, slots)
            self._report(SERVICE_USB_REDIRECTION, use, pending, interval, devices.usb_problem)
        if SERVICE_SERIAL_CONSOLE in self._asked():
            use = run.use[SERVICE_SERIAL_CONSOLE]
            unconfirmed |= use.sample(consoles, set(devices.consoles))
            self._report(SERVICE_SERIAL_CONSOLE, use, 0, interval, devices.console_problem)
        return unconfirmed

    # --- What is reported -------------------------------------------------------------------------------------------

    def _asked(self) -> Mapping[Service, float]:
        return self._state.polling

    def _report(self, service: Service, use: SampledUse, pending: int, every: float | None, problem: str) -> None:
        state = self._state.services[service]
        state.sampled_every = every or self._asked()[service]
        # What is not known lowers no number: that of the connection before may be right.
        sessions = use.sessions if use.known else max(use.sessions, state.view.sessions)
        state.count(sessions, pending, self._state.clock())
        own = state.observation
        if use.known:
            self._observe(service, Reason.NOT_WATCHED if problem else Reason.WATCHING, problem)
        elif own.reason.observed:
            self._observe(service, Reason.RECONCILING)
        else:
            self._observe(service, own.reason, own.message)  # without a time, which is not known either

    def _doubt(self, service: Service) -> None:
        if self._run is not None:
            self._run.use[service].doubt()

    def _fail(self, problem: str) -> None:
        self._state.stats.poll_failures += 1
        if not any(self._state.services[one].observation.message == problem for one in self._asked()):
            log.warning("QEMU cannot be polled: %s; USB redirections and consoles are not observed", problem)
        for service in self._asked():
            self._doubt(service)
        self._observe_all(Reason.QUERY_FAILED, problem)

    def _observe_all(self, reason: Reason, message: str = "") -> None:
        for service in self._asked():
            self._observe(service, reason, message)

    def _observe(self, service: Service, reason: Reason, message: str = "") -> None:
        self._state.services[service].observe(reason, message, self._state.clock())
        self._state.touch()

    async def _pause(self, seconds: float | None) -> None:
        """Wait so long, or without a limit, and no longer than until something has changed."""
        waiters: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if seconds is not None:
            waiters.append(asyncio.ensure_future(self._sleep(seconds)))
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
