"""Reads from a domain's description which graphics servers the domain has, as far as the description shows them.

libvirt's graphics events do not name the protocol of a client. A domain may have a VNC and a SPICE server, and then
only the server's address distinguishes their clients. A description is no proof that there is no VNC server: QEMU's
command line can be extended in the description, by a hook or by a wrapper. So an event counts as VNC unless it is
certainly SPICE's, and a description without VNC proves nothing. A wrong 1 is better than a wrong 0.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from xml.parsers import expat

from launcher_agent.errors import DomainXMLError
from launcher_agent.events import SocketAddress, Transport

#: Far above any real description (a VM with hundreds of devices stays below 1 MiB).
_MAX_CHARACTERS: Final = 16 * 1024 * 1024
#: The namespace of <qemu:commandline>, as expat prefixes it to a name.
_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0 "
_GRAPHICS: Final = ["domain", "devices", "graphics"]
_LISTEN: Final = [*_GRAPHICS, "listen"]
ARGUMENT: Final = ["domain", f"{_QEMU}commandline", f"{_QEMU}arg"]
_ENVIRONMENT: Final = ["domain", f"{_QEMU}commandline", f"{_QEMU}env"]
#: With this variable a SPICE server serves several clients at a time; without it, a new client ends the one before it.
_SEVERAL_CLIENTS: Final = "SPICE_DEBUG_ALLOW_MC"
_IPV4: Final = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
_ANY: Final = "0.0.0.0"  # noqa: S104 - it is compared, not bound


@dataclass(frozen=True, slots=True)
class Spice:
    """A domain's SPICE server, if it has one. `reachable_early` and `unobservable` as in Graphics."""

    reachable_early: bool = False
    unobservable: str = ""
    several_clients: bool = False


_UNREADABLE: Final = Spice(unobservable="the domain's description cannot be read, so it may have a SPICE server")


@dataclass(frozen=True, slots=True)
class Graphics:
    """A domain's graphics servers. The default is what to assume of a description that cannot be read."""

    has_spice: bool = False
    spice_ports: frozenset[int] = field(default=frozenset())
    #: The address of the SPICE server, if QEMU's own arguments may add a VNC server with the same port at another one.
    spice_host: str = ""
    #: Whether, in a launcher pod, a VNC server may be reachable by others than KubeVirt's proxy before libvirt reports
    #: the domain's start.
    reachable_early: bool = True
    #: A VNC server whose clients cause no event, in words; empty if there is none.
    unobservable: str = ""
    spice: Spice = _UNREADABLE

    def is_vnc(self, local: SocketAddress) -> bool:
        """Whether a client that is connected to `local` is, or may be, a VNC client."""
        if not self.has_spice:
            return True
        if local.transport is Transport.TCP:
            return local.port not in self.spice_ports or (local.host != self.spice_host != "")
        return bool(local.host)  # SPICE reports no path, VNC always does


@dataclass(slots=True)
class _Found:
    """What the parser has collected: each <graphics>, its <listen> elements, and QEMU's arguments."""

    graphics: list[dict[str, str]] = field(default_factory=list)
    listens: list[list[dict[str, str]]] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)

    def start(self, path: Sequence[str], attributes: dict[str, str]) -> None:
        if path == _GRAPHICS:
            self.graphics.append(attributes)
            self.listens.append([])
        elif path == _LISTEN:
            self.listens[-1].append(attributes)
        elif path == ARGUMENT:
            self.arguments.append(attributes.get("value", ""))
        elif path == _ENVIRONMENT:
            self.environment.append(attributes.get("name", ""))

    def listeners(self, protocol: str) -> list[dict[str, str]]:
        """Return the listeners of the graphics servers of one protocol."""
        return [
            listen
            for one, listens in zip(self.graphics, self.listens, strict=True)
            if one.get("type") == protocol
            for listen in listens or [{"type": "socket" if one.get("socket") else "address"}]
        ]


def parse(xml: str) -> Graphics:
    """Return the graphics servers of the domain that `xml` describes. DomainXMLError."""
    found = _Found()
    walk(xml, found.start)
    return _graphics(found)


def walk(xml: str, element: Callable[[Sequence[str], dict[str, str]], None]) -> None:
    """Call `element` with the path and the attributes of each element, in the order of the text. DomainXMLError."""
    if len(xml) > _MAX_CHARACTERS:
        raise DomainXMLError(f"the domain's XML has {len(xml)} characters")
    path: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        element(path, attributes)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise DomainXMLError(f"the domain's XML cannot be read: {error}") from error


def _graphics(found: _Found) -> Graphics:
    spice = [one for one in found.graphics if one.get("type") == "spice"]
    ports = (one.get(name, "") for one in spice for name in ("port", "tlsPort"))
    vnc = found.listeners("vnc")
    return Graphics(
        has_spice=bool(spice),
        spice_ports=frozenset(int(port) for port in ports if port.isascii() and port.isdigit()),
        spice_host=_spice_host(found),
        reachable_early=bool(found.arguments) or _on_network(vnc),
        unobservable=_unobservable(vnc, _servers(found.arguments)),
        spice=_spice(found),
    )


def _on_network(listens: Sequence[dict[str, str]]) -> bool:
    return any(listen.get("type") not in {"socket", "none"} for listen in listens)


def _spice_host(found: _Found) -> str:
    """Return the SPICE server's address if it is needed, and one that events state in the same form: of IPv4."""
    hosts = [listen.get("address", "") for listen in found.listeners("spice")]
    if not _servers(found.arguments) or len(hosts) != 1 or hosts[0] == _ANY:
        return ""
    return hosts[0] if _IPV4.fullmatch(hosts[0]) else ""


def _spice(found: _Found) -> Spice:
    listens = found.listeners("spice")
    unobservable = ""
    if any(argument.lstrip("-") == "spice" for argument in found.arguments):
        unobservable = "QEMU's own arguments add a SPICE server, whose clients count as VNC"
    elif any(listen.get("type") == "none" for listen in listens):
        unobservable = "the SPICE server has no listener (<listen type='none'/>), and libvirt reports no client of it"
    return Spice(_on_network(listens), unobservable, _SEVERAL_CLIENTS in found.environment)


def _servers(arguments: Sequence[str]) -> list[list[str]]:
    """Return the options of each VNC server that QEMU's own arguments add: `-vnc VALUE` and `-display vnc=VALUE`."""
    pairs = pairwise(arguments)
    values = [value for name, value in pairs if name.lstrip("-") == "vnc" or value.startswith("vnc=")]
    return [[option.removeprefix("vnc=") for option in value.split(",")] for value in values]


def _unobservable(listens: Sequence[dict[str, str]], servers: Sequence[Sequence[str]]) -> str:
    if any(listen.get("type") == "none" for listen in listens) or any("none" in one for one in servers):
        return "a VNC server has no listener (<listen type='none'/>), and libvirt reports no client of such a server"
    if any(_is_reverse(option) for server in servers for option in server):
        return "a VNC server connects to its viewer (reverse=on), and libvirt reports no such connection"
    return ""


def _is_reverse(option: str) -> bool:
    """Return whether an option of a VNC server may turn on reverse connections; QEMU has several words for no."""
    name, _, value = option.partition("=")
    return name == "reverse" and value not in {"off", "no", "false", "n"}
