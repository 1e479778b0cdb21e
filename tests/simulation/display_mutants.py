"""Bugs about VNC servers of every kind, and about other domains of the same libvirt; see `displays.py`."""

from typing import Final

from tests.simulation.planting import Edit, Mutant

_DOMAIN_XML: Final = "launcher_agent.vm.domain_xml"
_TABLE: Final = "launcher_agent.sessions.table"

#: QEMU's answer that a server has no listener, which shows what the description does not.
_ANSWER_IGNORED: Final = Edit(
    "launcher_agent.vm.domain_watch",
    "DomainWatch._on_refusal",
    "Reason.UNOBSERVABLE_LISTENER if event.final else Reason.RECONCILING",
    "Reason.WATCHING if event.final else Reason.RECONCILING",
)

DISPLAY_MUTANTS: Final = (
    Mutant(
        "another-domains-lock-waited-for",
        (
            Edit(
                "launcher_agent.vm.domain_lookup",
                "DomainLookup.find",
                "return await self._liveness.limited(self._connection.domain(self._wanted))",
                "domains = await self._liveness.limited(self._connection.domains())\n"
                "return next((one for one in domains if one.name == self._wanted), None)",
            ),
        ),
    ),
    Mutant(
        "vnc-beside-the-description-ignored",
        (
            Edit(_DOMAIN_XML, "_graphics", "bool(spice)", "not vnc"),
            Edit(_DOMAIN_XML, "Graphics.is_vnc", "local.port not in self.spice_ports", "False"),
        ),
    ),
    Mutant(
        "only-the-first-server-asked-about",
        (
            Edit(
                "launcher_agent.vm.vnc_query",
                "parse",
                "tuple(client for server in servers for client in _clients(server))",
                "tuple(client for server in servers[:1] for client in _clients(server))",
            ),
        ),
    ),
    Mutant(
        "server-without-listener-observed",
        (Edit(_DOMAIN_XML, "_unobservable", "listen.get('type') == 'none'", "False"), _ANSWER_IGNORED),
    ),
    Mutant(
        "reverse-connection-observed",
        (
            Edit(_DOMAIN_XML, "_unobservable", "_is_reverse(option)", "False"),
            _ANSWER_IGNORED,
        ),
    ),
    Mutant(
        "servers-of-an-address-not-distinguished",
        (
            Edit("launcher_agent.events", "SocketAddress.at", "replace(self, server=server.port)", "self"),
            Edit(_TABLE, "SessionTable.apply", "phase is Phase.CONNECT and self._is_known(peer)", "False"),
        ),
    ),
    Mutant(
        "second-client-of-an-address-not-counted",
        (Edit(_TABLE, "SessionTable.apply", "phase is Phase.CONNECT and self._is_known(peer)", "False"),),
    ),
    Mutant(
        "websockets-port-taken-for-the-servers",
        (Edit("launcher_agent.vm.vnc_query", "_clients", "(vnc or listeners)[-1]", "listeners[-1]"),),
    ),
    Mutant(
        "two-listed-clients-taken-for-one",
        (
            Edit(
                _TABLE,
                "SessionTable.reconcile",
                "Counter(one for one in clients if not one.anonymous)",
                "Counter({one for one in clients if not one.anonymous})",
            ),
        ),
    ),
)
