"""Which graphics servers a running domain has, read from its description.

libvirt's graphics events do not say whether a client speaks VNC or SPICE. A domain may have one of each, and then only
the address that was dialled tells them apart. An event counts as VNC unless it is certainly another's: a wrong 1 is
better than a wrong 0.
"""

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from launcher_agent.errors import DomainXMLError
from launcher_agent.events import SocketAddress, Transport

#: Far above any real description (a VM with hundreds of devices stays below 1 MiB).
_MAX_CHARACTERS: Final = 16 * 1024 * 1024
_GRAPHICS: Final = ["domain", "devices", "graphics"]


@dataclass(frozen=True, slots=True)
class Graphics:
    """A domain's graphics servers. The default is what to assume of a domain that cannot be read."""

    has_vnc: bool = True
    has_other: bool = False
    other_ports: frozenset[int] = field(default=frozenset())

    def is_vnc(self, local: SocketAddress) -> bool:
        """Whether a client that dialled `local` is, or may be, one of VNC."""
        if not self.has_vnc or not self.has_other:
            return self.has_vnc
        if local.transport is Transport.TCP:
            return local.port not in self.other_ports
        return bool(local.host)  # SPICE states no path, VNC always does


def parse(xml: str) -> Graphics:
    """The graphics servers of the domain that `xml` describes."""
    if len(xml) > _MAX_CHARACTERS:
        raise DomainXMLError(f"the domain's XML has {len(xml)} characters")
    found: list[dict[str, str]] = []
    path: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        if path == _GRAPHICS:
            found.append(attributes)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise DomainXMLError(f"the domain's XML cannot be read: {error}") from error
    return _graphics(found)


def _graphics(found: list[dict[str, str]]) -> Graphics:
    others = [one for one in found if one.get("type") != "vnc"]
    ports = (one.get(name, "") for one in others for name in ("port", "tlsPort"))
    return Graphics(
        has_vnc=len(others) < len(found),
        has_other=bool(others),
        other_ports=frozenset(int(port) for port in ports if port.isascii() and port.isdigit()),
    )
