"""Connects to libvirt, watches the domain, and connects again with backoff when the connection is lost.

While libvirt is away the session table stays as it was and is reported as not observed, with one exception. In a
launcher pod, libvirt ends after its domain. If the domain was seen to end and libvirt then ended too, no QEMU runs: no
session is observed. A libvirt that comes back is asked again.
"""

import logging
from typing import Final, NoReturn

from launcher_agent.errors import LibvirtError, LibvirtGoneError
from launcher_agent.state import State
from launcher_agent.vm.connection import Connection, Libvirt
from launcher_agent.vm.domain_watch import DomainWatch
from launcher_agent.vm.liveness import TIME_LIMIT, limited
from launcher_agent.vm.query_policy import QueryPolicy
from servicestatus.backoff import Backoff, Policy
from servicestatus.clock import Sleep, Uniform
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)

#: virt-launcher starts its libvirt again after a second. An attempt on a missing socket costs a tenth of a
#: millisecond, and a viewer may be missed in each second without libvirt; so not slower than this.
_PAUSE: Final = Policy(first=0.2, cap=2.0, floor=0.1)
_ENDED: Final = "the domain has ended, and libvirt after it"


class Supervisor:
    """Keeps the state true, or reports that it is not observed."""

    def __init__(
        self, libvirt: Libvirt, state: State, wanted: str | None, *, policy: QueryPolicy, sleep: Sleep, uniform: Uniform
    ) -> None:
        """`wanted`: the domain's name, or None for the only one."""
        self._libvirt = libvirt
        self._state = state
        self._wanted = wanted
        state.may_run_again = wanted is not None
        self._policy = policy
        self._sleep = sleep
        self._backoff = Backoff(uniform)
        self._ended = False  # libvirt ended after its domain, and has not been reached since

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        while True:
            connection = await self._connect()
            self._state.stats.libvirt_connects += 1
            watch = DomainWatch(connection, self._state, self._wanted, self._sleep, policy=self._policy)
            lost = await self._run(watch, connection)
            if watch.has_looked_up:  # a libvirt that refuses every look-up must be neither load nor a flood of lines
                self._backoff.reset()
            self._ended = self._has_ended(lost)
            self._state.forget_life()
            if watch.has_looked_up or str(lost) != self._state.observation.message:
                # Each VM that stops ends this way, so it is no reason for a warning.
                level = logging.INFO if self._ended else logging.WARNING
                log.log(level, "the connection to libvirt is lost: %s; connecting again", lost)
            self._state.observe(Reason.LIBVIRT_UNREACHABLE, str(lost))
            await self._sleep(self._backoff.pause(_PAUSE))

    async def _connect(self) -> Connection:
        while True:
            try:
                return await limited(self._libvirt.connect(), self._sleep, self._overdue)
            except LibvirtError as error:
                self._failed(error)
            await self._sleep(self._backoff.pause(_PAUSE))

    async def _run(self, watch: DomainWatch, connection: Connection) -> LibvirtError:
        try:
            await watch.run()
        except LibvirtError as error:
            return error
        finally:
            connection.close()
        raise AssertionError("a watch ends by an error")  # pragma: no cover

    def _has_ended(self, lost: LibvirtError) -> bool:
        """Return whether no QEMU can run without libvirt: in a launcher pod, where no name is configured."""
        return self._state.has_ended_for_good and isinstance(lost, LibvirtGoneError)

    def _failed(self, error: LibvirtError) -> None:
        if self._ended and isinstance(error, LibvirtGoneError):
            self._state.observe(Reason.NO_DOMAIN, _ENDED)
            return
        self._ended = False
        if str(error) != self._state.observation.message:
            log.info("waiting for libvirt: %s", error)
        self._state.observe(Reason.LIBVIRT_UNREACHABLE, str(error))

    def _overdue(self) -> None:
        self._ended = False
        self._state.observe(Reason.LIBVIRT_UNREACHABLE, f"libvirt has not accepted the connection for {TIME_LIMIT:g} s")
