"""Looks up the VM's domain and its graphics servers at libvirt, with a time limit for each call."""

import logging
from typing import Final

from launcher_agent.errors import DomainXMLError, LibvirtError
from launcher_agent.vm import domain_xml
from launcher_agent.vm.connection import Connection
from launcher_agent.vm.domain_xml import Graphics
from launcher_agent.vm.domains import Ambiguous, Domain, choose
from launcher_agent.vm.liveness import Liveness

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

    async def missing(self) -> str:
        """Return that the configured domain is not defined, and which domains are. It waits for each of them.

        LibvirtError.
        """
        names = ", ".join(sorted(domain.name for domain in await self._connection.domains()))
        return f"libvirt has no domain {self._wanted}; it has {names or 'none'}"
