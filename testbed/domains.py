"""Builds the XML of the smallest real VM with a real VNC server: no disk, no network, 32 MiB.

`type='qemu'` selects emulation in software. It needs no /dev/kvm and starts as fast, because the VM boots nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

MEMORY_MIB = "32"


@dataclass(frozen=True)
class UnixGraphics:
    """VNC on a unix socket, as KubeVirt configures it."""

    socket: Path


@dataclass(frozen=True)
class TcpGraphics:
    """VNC on a loopback port that libvirt picks; optional: a password (up to 8 characters) and a websocket port."""

    password: str | None = None
    websocket: bool = False


@dataclass(frozen=True)
class FdGraphics:
    """VNC without a listener: libvirt passes a client to QEMU as a file descriptor."""


Graphics = UnixGraphics | TcpGraphics | FdGraphics | None

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def domain_xml(name: str, uuid: str, graphics: Graphics, arguments: Sequence[str] = ()) -> str:
    """Return the domain's XML. `arguments` are appended to QEMU's command line."""
    domain = Element("domain", type="qemu")
    SubElement(domain, "name").text = name
    SubElement(domain, "uuid").text = uuid
    SubElement(domain, "memory", unit="MiB").text = MEMORY_MIB
    SubElement(domain, "vcpu").text = "1"
    SubElement(SubElement(domain, "os"), "type", arch="x86_64", machine="pc").text = "hvm"
    devices = SubElement(domain, "devices")
    # Leave out QEMU's default devices that no test uses.
    SubElement(devices, "controller", type="usb", model="none")
    SubElement(devices, "memballoon", model="none")
    if graphics is not None:
        _add(devices, graphics)
    if graphics is not None or arguments:
        SubElement(SubElement(devices, "video"), "model", type="vga")
    if arguments:
        command_line = SubElement(domain, f"{{{_QEMU}}}commandline")
        for argument in arguments:
            SubElement(command_line, f"{{{_QEMU}}}arg", value=argument)
    return tostring(domain, encoding="unicode")


def _add(devices: Element, graphics: UnixGraphics | TcpGraphics | FdGraphics) -> None:
    display = SubElement(devices, "graphics", type="vnc")
    if isinstance(graphics, FdGraphics):
        SubElement(display, "listen", type="none")
        return
    if isinstance(graphics, UnixGraphics):
        SubElement(display, "listen", type="socket", socket=str(graphics.socket))
        return
    SubElement(display, "listen", type="address", address="127.0.0.1")
    display.set("autoport", "yes")
    if graphics.websocket:
        display.set("websocket", "-1")
    if graphics.password is not None:
        display.set("passwd", graphics.password)
