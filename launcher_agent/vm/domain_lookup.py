"""Looks up the VM's domain and its graphics servers at libvirt, with a time limit for each call."""

import asyncio
import contextlib
import logging
from typing import Final, NoReturn

from launcher_agent.errors import DomainXMLError, LibvirtError
from launcher_agent.vm import domain_xml
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.domain_xml import Graphics
from launcher_agent.vm.domains import Ambiguous, Domain, choose
from launcher_agent.vm.liveness import Liveness
from launcher_agent.vm.run import Run
from launcher_agent.vm.verdict import Verdict
from servicestatus.reasons import Reason

log = logging.getLogger(__name__)

#: Assumed of a domain whose description cannot be read: every client is a viewer, and may have connected early.
_UNREADABLE: Final = Graphics()


class DomainLookup:
    """Calls of one connection."""

    def __init__(self, connection: Connection, liveness: Liveness, wanted: str | None) -> None:
        """`wanted`: the domain's name, or None for the only one."""
        self._connection = connection
        self._liveness = liveness
        self._wanted = wanted
        self._missing = asyncio.Event()  # the configured domain

    async def find(self) -> Domain | Ambiguous | None:
        """Return the configured domain, or the only one; None if there is none. LibvirtError."""
        if self._wanted is not None:  # a listing would wait for the lock of each domain of the host
            return await self._liveness.limited(self._connection.domain(self._wanted))
        return choose(await self._liveness.limited(self._connection.domains()))

    async def graphics(self, domain: str) -> Graphics:
        """Return the domain's graphics servers, or what to assume if they cannot be read."""
        try:
            return domain_xml.parse(await self._liveness.limited(self._connection.xml(domain)))
        except (LibvirtError, DomainXMLError) as error:
            log.info("the description of domain %s cannot be read: %s; every client counts as a viewer", domain, error)
            return _UNREADABLE

    async def known_graphics(self, run: Run, domain: str) -> Graphics:
        """Return the graphics servers of a run of the domain. They are read once."""
        if run.graphics is None:
            run.graphics = await self.graphics(domain)
        return run.graphics

    def report_missing(self, verdict: Verdict) -> None:
        """Conclude that the configured domain is not defined; `explain_missing` explains it."""
        if verdict.reason is not Reason.DOMAIN_NOT_DEFINED:
            verdict.set(Reason.DOMAIN_NOT_DEFINED, f"libvirt has no domain {self._wanted}")
            self._missing.set()

    async def explain_missing(self, verdict: Verdict) -> NoReturn:
        """Warn of a name that is not defined, with the names that are. A task, since listing waits for every domain."""
        while True:
            await self._missing.wait()
            self._missing.clear()
            with contextlib.suppress(LibvirtError):
                names = ", ".join(sorted(domain.name for domain in await self._connection.domains()))
                message = f"libvirt has no domain {self._wanted}; it has {names or 'none'}"
                if verdict.reason is Reason.DOMAIN_NOT_DEFINED:
                    log.warning("--domain: %s; the agent waits until it is defined", message)
                    verdict.set(Reason.DOMAIN_NOT_DEFINED, message)
