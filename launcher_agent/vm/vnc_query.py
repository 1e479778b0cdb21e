"""Decodes QEMU's list of VNC clients: the answer to QMP's `query-vnc-servers`. Pure.

`query-vnc-servers` lists the clients of every VNC server, `query-vnc` those of the first one only. The answer is
checked as untrusted input: the guest may have taken over QEMU.
"""

from typing import Final

from launcher_agent.errors import QueryError, UnobservableError
from launcher_agent.events import SocketAddress, Transport
from launcher_agent.vm.qmp import member, returned
from servicestatus import contract

COMMAND: Final = '{"execute":"query-vnc-servers"}'

#: QEMU serves 32 clients for each server, and no real VM has hundreds of servers.
_MAX_SERVERS: Final = 256
#: A description need not show such a server: a hook or a wrapper may start QEMU with other arguments.
_UNOBSERVABLE: Final = "QEMU has a VNC server without a listener, and libvirt reports no client of such a server"
_TRANSPORTS: Final = {"ipv4": Transport.TCP, "ipv6": Transport.TCP, "unix": Transport.UNIX}


def parse(answer: str) -> tuple[SocketAddress, ...]:
    """Return the connected clients of all servers, including those in the handshake, which the answer does not mark.

    A client is listed once for each of its connections: the same address may be connected to a display's VNC port and
    to its websocket port. QueryError; UnobservableError if a server has no listener, or connects to its viewer.
    """
    servers = returned(answer, list)
    if len(servers) > _MAX_SERVERS:
        raise QueryError(f"the answer has {len(servers)} servers")
    clients = tuple(client for server in servers for client in _clients(server))
    if len(clients) > contract.MAX_SESSIONS:
        raise QueryError(f"the answer has {len(clients)} clients")
    return clients


def _clients(server: object) -> list[SocketAddress]:
    """Return the clients of one server as its events identify them: all by the address of its first listener.

    QEMU lists its listeners from the last to the first, and the websocket listeners after the others. The events of a
    websocket's clients name the first listener too.
    """
    listeners, clients = member(server, "server", list), member(server, "clients", list)
    if not listeners:
        raise UnobservableError(_UNOBSERVABLE)
    vnc = [one for one in listeners if not (isinstance(one, dict) and one.get("websocket"))]
    local = _address((vnc or listeners)[-1], "listener")
    return [_address(client, "client").at(local) for client in clients]


def _address(end: object, name: str) -> SocketAddress:
    family, host, service = (member(end, key, str) for key in ("family", "host", "service"))
    transport = _TRANSPORTS.get(family)
    if transport is None:
        raise QueryError(f"a {name} has an unknown address family")
    if transport is Transport.UNIX:
        return SocketAddress(transport)
    return tcp_address(host, service)


def tcp_address(host: str, service: str) -> SocketAddress:
    """Return a TCP address as libvirt and QEMU state it; one that is not usable becomes anonymous."""
    port = int(service) if service.isascii() and service.isdigit() and len(service) <= len("65535") else 0
    usable = 0 < len(host.encode("utf-8", "replace")) <= contract.MAX_NAME_BYTES and 0 < port <= 65_535
    return SocketAddress(Transport.TCP, host, port) if usable else SocketAddress(Transport.TCP)
