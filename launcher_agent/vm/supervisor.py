"""Keeps a watch on libvirt for ever: connect, watch, and connect again when it is lost.

While libvirt is away the table stays as it was, and is told as what it is: the last thing known, not observed.
"""

import logging
from typing import Final, NoReturn

from launcher_agent.errors import LibvirtError
from launcher_agent.state import State
from launcher_agent.vm.connection import Connection, Libvirt
from launcher_agent.vm.domain_watch import DomainWatch
from servicestatus.backoff import Backoff, Policy
from servicestatus.clock import Sleep, Uniform
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)

#: virt-launcher starts its libvirt again after a second. An attempt on a missing socket costs a tenth of a
#: millisecond, and each second of blindness may hide a viewer; so not slower than this.
_PAUSE: Final = Policy(first=0.2, cap=2.0, floor=0.1)


class Supervisor:
    """Keeps the state true, or says that it is not."""

    def __init__(
        self, libvirt: Libvirt, state: State, wanted: str | None, *, may_query: bool, sleep: Sleep, uniform: Uniform
    ) -> None:
        """`wanted`: the domain's name, or None for the only one."""
        self._libvirt = libvirt
        self._state = state
        self._wanted = wanted
        self._may_query = may_query
        self._sleep = sleep
        self._backoff = Backoff(uniform)

    async def run(self) -> NoReturn:
        """Watch for ever."""
        while True:
            connection = await self._connect()
            self._backoff.reset()
            log.info("connected to libvirt")
            self._state.stats.libvirt_connects += 1
            lost = await self._watch(connection)
            log.warning("libvirt is lost: %s", lost)
            self._state.observe(Reason.LIBVIRT_UNREACHABLE, str(lost))
            await self._sleep(self._backoff.pause(_PAUSE))

    async def _connect(self) -> Connection:
        while True:
            try:
                return await self._libvirt.connect()
            except LibvirtError as error:
                self._failed(error)
            await self._sleep(self._backoff.pause(_PAUSE))

    async def _watch(self, connection: Connection) -> LibvirtError:
        watch = DomainWatch(connection, self._state, self._wanted, self._sleep, may_query=self._may_query)
        try:
            await watch.run()
        except LibvirtError as error:
            return error
        finally:
            connection.close()
        raise AssertionError("a watch ends by an error")  # pragma: no cover

    def _failed(self, error: LibvirtError) -> None:
        if str(error) != self._state.observation.message:
            log.info("waiting for libvirt: %s", error)
        self._state.observe(Reason.LIBVIRT_UNREACHABLE, str(error))
