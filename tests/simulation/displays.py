"""The VNC servers that a domain may have, as its description, QEMU's events and QEMU's answer show each of them.

- The description names only the servers that libvirt itself has configured. QEMU's arguments may add others.
- Two servers may have clients of the same address and port. A display's VNC and websocket listeners too, and then the
  events are the same for both.
- No event reports the clients of a server without a listener, or of one that connects to its viewer.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from launcher_agent.events import SocketAddress, Transport

_UNIX: Final = SocketAddress(Transport.UNIX, "/run/vnc")
_FIRST: Final = SocketAddress(Transport.TCP, "127.0.0.1", 5900)
_SECOND: Final = SocketAddress(Transport.TCP, "127.0.0.1", 5978)

#: A client: the address of its server, and its own.
Client = tuple[SocketAddress, SocketAddress]


@dataclass(frozen=True, slots=True)
class Display:
    """The VNC servers of one domain."""

    xml: str
    #: By the address that events name. One that is named twice has a VNC and a websocket listener.
    servers: tuple[SocketAddress, ...]
    #: Whether events report the clients.
    reported: bool = True

    @property
    def clients_share(self) -> bool:
        """Whether two clients may have the same address and port."""
        return self.reported and len(self.servers) > 1

    def answer(self, clients: Iterable[Client]) -> str:
        """QEMU's answer to `query-vnc-servers`."""
        listed = list(clients)
        return json.dumps({"return": [self._server(server, listed) for server in dict.fromkeys(self.servers)]})

    def _server(self, server: SocketAddress, clients: list[Client]) -> dict[str, object]:
        listeners: list[dict[str, object]] = [_end(server)] if self.reported else []
        if self.servers.count(server) > 1:
            listeners.append({"host": server.host, "service": "5700", "family": "ipv4", "websocket": True})
        return {"id": "default", "server": listeners, "clients": [_end(peer) for at, peer in clients if at == server]}


def _end(address: SocketAddress) -> dict[str, object]:
    if address.transport is Transport.UNIX:
        return {"host": "", "service": address.host, "family": "unix", "websocket": False}
    return {"host": address.host, "service": str(address.port), "family": "ipv4", "websocket": False}


def _xml(graphics: str, vnc: str = "") -> str:
    """A description with these graphics and, in QEMU's arguments, another VNC server."""
    if not vnc:
        return f"<domain><devices>{graphics}</devices></domain>"
    return (
        "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        f"<devices>{graphics}</devices>"
        f"<qemu:commandline><qemu:arg value='-vnc'/><qemu:arg value='{vnc}'/></qemu:commandline></domain>"
    )


_BY_ADDRESS: Final = "<graphics type='vnc' port='5900'><listen type='address' address='127.0.0.1'/></graphics>"

DISPLAYS: Final = {
    "socket": Display(_xml("<graphics type='vnc'><listen type='socket'/></graphics>"), (_UNIX,)),
    "address": Display(_xml(_BY_ADDRESS), (_FIRST,)),
    "websocket": Display(_xml(_BY_ADDRESS.replace("'5900'", "'5900' websocket='5700'")), (_FIRST, _FIRST)),
    "second": Display(_xml(_BY_ADDRESS, "127.0.0.1:78,id=two"), (_FIRST, _SECOND)),
    "arguments": Display(_xml("", "127.0.0.1:78"), (_SECOND,)),
    "no-listener": Display(_xml("<graphics type='vnc'><listen type='none'/></graphics>"), (_FIRST,), reported=False),
    "reverse": Display(_xml("", "10.0.0.9:5500,reverse=on"), (_FIRST,), reported=False),
}
