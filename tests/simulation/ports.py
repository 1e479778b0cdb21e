"""The ports of one QEMU that clients use beside its display: four slots for USB devices, and a serial console.

- No event reports a client. QEMU answers `query-chardev` and, for a slot, `qom-get`.
- A port serves one client. KubeVirt's takeover of the console closes the old connection before it dials again, so for a
  moment QEMU has no client; a person has one all the time.
- A client that brings no device leaves its slot connected and unattached.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

SLOTS: Final = 4
#: The most takeovers of the console in half a second. The agent reports a fall after four answers in a row, which is
#: wrong only if each of them falls into another takeover: docs/services.md.
MOST_TAKEOVERS: Final = 3
_WITHIN: Final = 0.5
USB: Final = "usb-redirection"
CONSOLE: Final = "serial-console"
SERVICES: Final = (USB, CONSOLE)
#: Where each is shown.
FIELDS: Final = {USB: "usbRedirections", CONSOLE: "consoleSessions"}
#: The conditions that say whether it is known.
CONDITIONS: Final = {USB: "UsbRedirectionsObserved", CONSOLE: "ConsoleSessionsObserved"}

#: The part of the domain's description.
XML: Final = (
    "".join(
        f"<redirdev bus='usb' type='unix'><source mode='bind' path='/run/virt-usbredir-{number}'/>"
        f"<alias name='redir{number}'/></redirdev>"
        for number in range(SLOTS)
    )
    + "<serial type='unix'><source mode='bind' path='/run/virt-serial0'/><target port='0'/>"
    "<alias name='serial0'/></serial>"
    "<console type='unix'><source mode='bind' path='/run/virt-serial0'/><target type='serial' port='0'/>"
    "<alias name='serial0'/></console>"
)


@dataclass(slots=True)
class Port:
    """One character device."""

    alias: str
    connected: bool = False
    attached: bool = False


def _slots() -> list[Port]:
    return [Port(f"redir{number}") for number in range(SLOTS)]


@dataclass(slots=True)
class Ports:
    """Those of one run of QEMU."""

    slots: list[Port] = field(default_factory=_slots)
    console: Port = field(default_factory=lambda: Port("serial0"))
    #: A takeover of the console is under way: a person has it, and QEMU may serve no client.
    handing_over: int = 0
    takeovers: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TAKEOVERS))

    @property
    def really(self) -> dict[str, int]:
        """How many sessions there are, by service."""
        return {
            USB: sum(slot.attached for slot in self.slots),
            CONSOLE: int(self.console.connected or self.handing_over > 0),
        }

    def take_over(self, now: float) -> bool:
        """Begin a takeover of the console; return whether there was a client, and there were not too many takeovers."""
        many = len(self.takeovers) == MOST_TAKEOVERS and self.takeovers[0] > now - _WITHIN
        if many or not self.console.connected:
            return False
        self.takeovers.append(now)
        self.console.connected = False
        self.handing_over += 1
        return True

    def answer(self, command: str) -> str | None:
        """Return QEMU's answer to a command of QMP; None if it has no such command."""
        request: dict[str, Any] = json.loads(command)
        match request["execute"]:
            case "query-chardev":
                return json.dumps({"return": [_listed(port) for port in (*self.slots, self.console)]})
            case "qom-get":
                path, name = request["arguments"]["path"], request["arguments"]["property"]
                found = [slot for slot in self.slots if path == f"/machine/peripheral/{slot.alias}"]
                return json.dumps({"return": found[0].attached}) if found and name == "attached" else None
        return None


def _listed(port: Port) -> dict[str, object]:
    state = "" if port.connected else "disconnected:"
    return {"label": f"char{port.alias}", "filename": f"{state}unix:/run/{port.alias},server=on", "frontend-open": True}
