"""Conditions as handlers write them, and a write of a whole status."""

from collections.abc import Mapping
from typing import Any

from tests.apiserver.identities import Answer, User
from tests.cluster.objects import Object


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    times = {"lastTransitionTime": "2026-08-22T10:00:00Z"}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


WATCHING = condition("Observed", "True", "Watching")
SILENT = condition("Observed", "False", "AgentSilent", "no message for 30 s")
IDLE_NOW = condition("Idle", "True", "NobodyConnected")
WATCHED = condition("Idle", "False", "ViewersConnected", "2 VNC sessions")
UNKNOWN = condition("Idle", "Unknown", "NotObserved")
USB_WATCHED = condition("UsbRedirectionsObserved", "True", "Watching")
CONSOLE_UNWATCHED = condition("ConsoleSessionsObserved", "Unknown", "NotWatched")


def write(user: User, companion: Object, status: Mapping[str, Any]) -> Answer:
    """Write a status, whatever the companion held before."""
    return user.write_status(user.get(companion), status)
