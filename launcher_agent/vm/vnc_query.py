"""QEMU's own list of VNC clients, in the words of QMP's `query-vnc`. Pure.

The answer is QEMU's, and a QEMU may be in the hands of its guest: nothing is believed of its shape.
"""

import json
from typing import Final, TypeVar

from launcher_agent.errors import QueryError
from launcher_agent.events import SocketAddress, Transport
from servicestatus import contract

T = TypeVar("T")

COMMAND: Final = '{"execute":"query-vnc"}'

#: A client is told in about 120 characters, so this has room for more clients than can be counted.
_MAX_CHARACTERS: Final = 16 * 1024 * 1024
_TRANSPORTS: Final = {"ipv4": Transport.TCP, "ipv6": Transport.TCP, "unix": Transport.UNIX}


def parse(answer: str) -> tuple[SocketAddress, ...]:
    """The clients that are connected, unfinished ones too: the answer does not tell them apart."""
    if len(answer) > _MAX_CHARACTERS:
        raise QueryError(f"the answer has {len(answer)} characters")
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"the answer is not JSON: {error}") from error
    info = _member(reply, "return", dict)
    if info.get("enabled") is False:
        return ()
    clients = _member(info, "clients", list)
    if len(clients) > contract.MAX_SESSIONS:
        raise QueryError(f"the answer has {len(clients)} clients")
    return tuple(_client(client) for client in clients)


def _client(client: object) -> SocketAddress:
    family, host, service = (_member(client, name, str) for name in ("family", "host", "service"))
    transport = _TRANSPORTS.get(family)
    if transport is None:
        raise QueryError("a client is of an unknown address family")
    if transport is Transport.UNIX:
        return SocketAddress(transport)
    return tcp_address(host, service)


def tcp_address(host: str, service: str) -> SocketAddress:
    """A TCP peer as libvirt and QEMU state it; without a usable one it is anonymous."""
    port = int(service) if service.isascii() and service.isdigit() and len(service) <= len("65535") else 0
    usable = 0 < len(host.encode("utf-8", "replace")) <= contract.MAX_NAME_BYTES and 0 < port <= 65_535
    return SocketAddress(Transport.TCP, host, port) if usable else SocketAddress(Transport.TCP)


def _member(value: object, name: str, kind: type[T]) -> T:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise QueryError(f"the answer has no {name!r}")
    return found
