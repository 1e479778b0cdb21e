"""Reads from a running domain's description which of its devices QEMU must be polled for. Pure.

QEMU names a character device after its alias in the description of the running domain: `char` and the alias.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from launcher_agent.vm.domain_xml import walk

_DEVICES: Final = ["domain", "devices"]
#: Serial consoles that have no client: QEMU writes into a file, or nowhere.
_UNATTENDED: Final = frozenset({"file", "null"})
#: Those whose client QEMU reports, if it accepts the connections itself.
_REPORTED: Final = frozenset({"unix", "tcp"})


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
    #: Why the console's clients cannot be counted, in words; empty if they can.
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

    def element(self, path: Sequence[str], attributes: dict[str, str]) -> None:
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
    unreported = [one for one in consoles.values() if not _is_reported(one)]
    problem = f"QEMU does not report the clients of a serial console of type {unreported[0].type}" if unreported else ""
    return Polled(
        slots=tuple(Slot(one.alias, one.type in _REPORTED) for one in slots),
        consoles=() if problem else tuple(consoles),
        console_problem=problem,
    )


def _is_reported(console: _Device) -> bool:
    return console.type in _REPORTED and console.mode == "bind" and bool(console.alias)
