"""Decodes QEMU's list of SPICE connections, the answer to QMP's `query-spice`. Pure.

The answer is checked as untrusted input: the guest may have taken over QEMU.
"""

from typing import Final

from launcher_agent.errors import QueryError
from launcher_agent.events import SocketAddress, SpiceChannel, Transport
from launcher_agent.vm.qmp import member, returned
from launcher_agent.vm.vnc_query import tcp_address
from servicestatus import contract

COMMAND: Final = '{"execute":"query-spice"}'


def parse(answer: str) -> tuple[SpiceChannel, ...]:
    """Return the connections that have finished their handshake. QueryError."""
    status = returned(answer, dict)
    if not member(status, "enabled", bool):
        return ()
    # QEMU leaves the list out where there is none.
    channels = member(status, "channels", list) if "channels" in status else []
    if len(channels) > contract.MAX_SESSIONS:
        raise QueryError(f"the answer has {len(channels)} channels")
    return tuple(_channel(one) for one in channels)


def _channel(stated: object) -> SpiceChannel:
    family = member(stated, "family", str)
    if family in {"ipv4", "ipv6"}:
        peer = tcp_address(member(stated, "host", str), member(stated, "port", str))
    else:  # "unix", or "unknown" in some versions
        peer = SocketAddress(Transport.UNIX)
    return SpiceChannel(peer, member(stated, "connection-id", int))
