"""Reads from a running domain's description which of its devices QEMU must be polled for. Pure.

QEMU names a character device after its alias in the description of the running domain: `char` and the alias. Devices
that QEMU's own arguments add have no alias. They are not polled, and the number of their service is not watched.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from launcher_agent.vm.domain_xml import ARGUMENT, walk

_DEVICES: Final = ["domain", "devices"]
#: Serial consoles that have no client: QEMU writes into a file, or nowhere.
_UNATTENDED: Final = frozenset({"file", "null"})
#: Those whose client QEMU reports, if it accepts the connections itself.
_REPORTED: Final = frozenset({"unix", "tcp"})
_USB: Final = "usb"
_CONSOLE: Final = "console"
#: What the names of QEMU's drivers for serial consoles contain: isa-serial, pci-serial-4x, virtconsole, spapr-vty, ...
_CONSOLE_DRIVERS: Final = ("serial", "console", "vty")
#: Drivers whose ports are no consoles.
_PORT_DRIVERS: Final = ("virtio-serial", "virtserialport")


@dataclass(frozen=True, slots=True)
class Slot:
    """A USB redirection slot. `stated`: QEMU reports whether a client is connected, and not only what it attached."""

    alias: str
    stated: bool


@dataclass(frozen=True, slots=True)
class Polled:
    """What a domain has for the polled services."""

    slots: tuple[Slot, ...] = ()
    #: Aliases of the serial consoles.
    consoles: tuple[str, ...] = ()
    #: Why the clients of a service cannot be counted, in words; empty if they can.
    usb_problem: str = ""
    console_problem: str = ""


@dataclass(slots=True)
class _Device:
    kind: str
    type: str
    alias: str = ""
    mode: str = "bind"


@dataclass(slots=True)
class _Found:
    devices: list[_Device] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    def element(self, path: Sequence[str], attributes: dict[str, str]) -> None:
        if path == ARGUMENT:
            self.arguments.append(attributes.get("value", ""))
        if path[:2] != _DEVICES or len(path) < 3 or path[2] not in {"redirdev", "serial", "console"}:
            return
        if len(path) == 3:
            self.devices.append(_Device(path[2], attributes.get("type", "")))
        elif path[3:] == ["alias"]:
            self.devices[-1].alias = attributes.get("name", "")
        elif path[3:] == ["source"]:
            self.devices[-1].mode = attributes.get("mode", self.devices[-1].mode)


def parse(xml: str) -> Polled:
    """Return the devices of the domain that `xml` describes. DomainXMLError."""
    found = _Found()
    walk(xml, found.element)
    slots = [one for one in found.devices if one.kind == "redirdev" and one.alias]
    # <console> repeats the first <serial>: the same alias, and one device of QEMU.
    consoles = {one.alias: one for one in found.devices if one.kind != "redirdev" and one.type not in _UNATTENDED}
    added = [_added_by(name.lstrip("-"), value) for name, value in pairwise(found.arguments)]
    usb_problem = "QEMU's own arguments add a slot for a USB device" if _USB in added else ""
    unreported = [one for one in consoles.values() if not _is_reported(one)]
    console_problem = "QEMU's own arguments add a serial console" if _CONSOLE in added else ""
    if unreported:
        console_problem = f"QEMU does not report the clients of a serial console of type {unreported[0].type}"
    return Polled(
        slots=() if usb_problem else tuple(Slot(one.alias, one.type in _REPORTED) for one in slots),
        consoles=() if console_problem else tuple(consoles),
        usb_problem=usb_problem,
        console_problem=console_problem,
    )


def _added_by(option: str, value: str) -> str:
    """Return the kind of device that an option of QEMU's command line adds; empty for any other."""
    if option == "serial":
        return "" if value.partition(":")[0] in {*_UNATTENDED, "none"} else _CONSOLE
    driver = _driver(value) if option == "device" else ""
    if driver == "usb-redir":
        return _USB
    is_console = any(word in driver for word in _CONSOLE_DRIVERS) and not driver.startswith(_PORT_DRIVERS)
    return _CONSOLE if is_console else ""


def _driver(device: str) -> str:
    """Return the driver of a device, which QEMU accepts as `DRIVER,option=value`, as an option, and in JSON."""
    if not device.startswith("{"):
        options = device.split(",")
        return next((one.removeprefix("driver=") for one in options if one.startswith("driver=")), options[0])
    try:
        return str(json.loads(device).get("driver"))
    except (ValueError, RecursionError):
        return device  # QEMU refuses it


def _is_reported(console: _Device) -> bool:
    return console.type in _REPORTED and console.mode == "bind" and bool(console.alias)
