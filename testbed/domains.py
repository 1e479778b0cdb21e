"""Builds the XML of the smallest real VM with real servers for its clients: no disk, no network, 32 MiB.

`type='qemu'` selects emulation in software. It needs no /dev/kvm and starts as fast, because the VM boots nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
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


@dataclass(frozen=True)
class SpiceGraphics:
    """SPICE without a password, on a unix socket or, without one, on a loopback port.

    `port`: of the loopback address; None: libvirt picks one. `shared`: several viewers at a time, which its library
    has behind a variable of the environment only.
    """

    socket: Path | None = None
    shared: bool = False
    port: int | None = None


Graphics = UnixGraphics | TcpGraphics | FdGraphics | SpiceGraphics | None


@dataclass(frozen=True)
class Ports:
    """Character devices that clients connect to, on unix sockets: USB redirections and the first serial console."""

    usb: tuple[Path, ...] = ()
    console: Path | None = None

    @classmethod
    def of_kubevirt(cls, directory: Path, *, usb: bool = True) -> Self:
        """Return those of a VM in KubeVirt: a console, and with `usb` (`clientPassthrough`) four redirections."""
        slots = tuple(directory / f"virt-usbredir-{number}" for number in range(4))
        return cls(slots if usb else (), directory / "virt-serial0")


NO_PORTS: Final = Ports()

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def domain_xml(name: str, uuid: str, graphics: Graphics, arguments: Sequence[str] = (), ports: Ports = NO_PORTS) -> str:
    """Return the domain's XML. `arguments` are appended to QEMU's command line."""
    domain = Element("domain", type="qemu")
    SubElement(domain, "name").text = name
    SubElement(domain, "uuid").text = uuid
    SubElement(domain, "memory", unit="MiB").text = MEMORY_MIB
    SubElement(domain, "vcpu").text = "1"
    SubElement(SubElement(domain, "os"), "type", arch="x86_64", machine="pc").text = "hvm"
    devices = SubElement(domain, "devices")
    # Leave out QEMU's default devices that no test uses.
    if ports.usb:  # with free ones for slots that are added later
        SubElement(devices, "controller", type="usb", model="qemu-xhci", ports="8")
    else:
        SubElement(devices, "controller", type="usb", model="none")
    SubElement(devices, "memballoon", model="none")
    if graphics is not None:
        _add(devices, graphics)
    _add_ports(devices, ports)
    if graphics is not None or arguments:
        SubElement(SubElement(devices, "video"), "model", type="vga")
    shared = isinstance(graphics, SpiceGraphics) and graphics.shared
    if arguments or shared:
        command_line = SubElement(domain, f"{{{_QEMU}}}commandline")
        for argument in arguments:
            SubElement(command_line, f"{{{_QEMU}}}arg", value=argument)
        if shared:
            SubElement(command_line, f"{{{_QEMU}}}env", name="SPICE_DEBUG_ALLOW_MC", value="1")
    return tostring(domain, encoding="unicode")


def redirection(path: Path) -> Element:
    """Return a slot for a USB device, as KubeVirt describes it."""
    slot = Element("redirdev", bus="usb", type="unix")
    SubElement(slot, "source", mode="bind", path=str(path))
    return slot


def _add_ports(devices: Element, ports: Ports) -> None:
    devices.extend(redirection(path) for path in ports.usb)
    if ports.console is not None:
        serial = SubElement(devices, "serial", type="unix")
        SubElement(serial, "source", mode="bind", path=str(ports.console))
        SubElement(serial, "target", port="0")


def _add(devices: Element, graphics: UnixGraphics | TcpGraphics | FdGraphics | SpiceGraphics) -> None:
    if isinstance(graphics, SpiceGraphics):
        _add_spice(devices, graphics)
        return
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


def _add_spice(devices: Element, graphics: SpiceGraphics) -> None:
    display = SubElement(devices, "graphics", type="spice")
    if graphics.socket is not None:
        SubElement(display, "listen", type="socket", socket=str(graphics.socket))
        return
    if graphics.port is None:
        display.set("autoport", "yes")
    else:
        display.set("autoport", "no")
        display.set("port", str(graphics.port))
    SubElement(display, "listen", type="address", address="127.0.0.1")
