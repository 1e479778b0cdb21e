"""Asks QEMU which character devices have a client, and which USB slots have a device. Commands and answers; pure.

A client that is connected to a slot has not attached a device yet, or never does: a guest that is paused attaches
nothing, and a client that sends nonsense stays connected.
"""

import json
from collections.abc import Iterable
from typing import Final

from launcher_agent.errors import QueryError
from launcher_agent.vm.qmp import member, returned

CHARDEVS: Final = '{"execute":"query-chardev"}'
#: No VM has more: PCI, the largest bus, has room for some hundred serial ports.
_MAX_CHARDEVS: Final = 4096
_DISCONNECTED: Final = "disconnected:"


def connected(answer: str, aliases: Iterable[str]) -> frozenset[str]:
    """Return those of the devices that have a client. QueryError if the answer lacks one of them.

    One that was unplugged a moment ago may be missing: the event of its removal is on the way, and ends that.
    """
    chardevs = returned(answer, list)
    if len(chardevs) > _MAX_CHARDEVS:
        raise QueryError(f"the answer has {len(chardevs)} character devices")
    files = {member(one, "label", str): member(one, "filename", str) for one in chardevs}
    wanted = {alias: member(files, f"char{alias}", str) for alias in aliases}
    return frozenset(alias for alias, file in wanted.items() if not file.startswith(_DISCONNECTED))


def is_attached(alias: str) -> str:
    """Return the command that asks whether a slot's device is on the guest's bus."""
    arguments = {"path": f"/machine/peripheral/{alias}", "property": "attached"}
    return json.dumps({"execute": "qom-get", "arguments": arguments}, separators=(",", ":"))


def attached(answer: str) -> bool:
    """Return whether it is. QueryError, also if QEMU knows no such slot: that proves no zero."""
    return returned(answer, bool)
