"""Writes and reads what an object shows of the services other than VNC: a number and a condition for each. Pure.

The companion object and the VMI document show the same facts, so both are written by this module. A number is absent at
zero, and a condition that is not True says that zero is not known. A condition that is missing means the same as
`Unknown` with the reason NotWatched: an object of a former release is up to date as long as nothing is watched.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from handler_service.kube import conditions
from handler_service.kube.conditions import Condition, ServiceDetail
from handler_service.kube.vmi import count
from handler_service.model import DesiredStatus, PublishedValue, Reason, ServiceStatus, ServiceValue
from handler_service.services import BY_NUMBER, OTHERS

#: What each reason means for a service other than VNC, where that differs from what it means for VNC.
_MESSAGES: Final[Mapping[Reason, str]] = {
    Reason.WATCHING: "The agent sees every client connect and disconnect.",
    Reason.NO_DOMAIN: "libvirt runs no VM here, so no client can be connected.",
    Reason.RECONCILING: "The agent is counting the clients; the number shown is the last one known.",
    Reason.LOWER_BOUND: "Clients that connected before the agent started may be missing: --query=never forbids to ask "
    "QEMU.",
    Reason.UNOBSERVABLE_LISTENER: "A server of the VM has clients that QEMU does not report: some may be missing.",
    Reason.NOT_WATCHED: "Not watched: the handler does not ask for it (--poll), or the VM's agent does not report it.",
    Reason.FINISHED: "The VM has ended, so no client can be connected.",
}


def details(desired: DesiredStatus) -> dict[int, Hashable]:
    """Return what to show beside the number of each service; None for one that is not watched."""
    shown: dict[int, Hashable] = dict.fromkeys(BY_NUMBER)
    for status in desired.services:
        shown[status.service] = _detail(status)
    return shown


def explanation(reason: Reason) -> str:
    """Return the meaning of a reason, for people."""
    return _MESSAGES.get(reason) or conditions.explanation(reason.value)


def numbers(value: PublishedValue) -> dict[str, int | None]:
    """Return each service's field with its number; None at zero, where the field is absent."""
    shown = {one.service: one.sessions for one in value.services}
    return {service.field: shown.get(service.number) or None for service in OTHERS}


def written(value: PublishedValue, before: Iterable[Any], now: float) -> list[Condition]:
    """Return the condition of each service. A transition time in `before` is kept while the status is the same.

    `now` is wall time.
    """
    shown = {one.service: one.detail for one in value.services}
    known = [condition for condition in before if isinstance(condition, Mapping)]
    return [
        conditions.with_transition_time({"type": service.condition} | _condition(shown.get(service.number)), known, now)
        for service in OTHERS
    ]


def read(status: Mapping[str, Any]) -> tuple[ServiceValue, ...]:
    """Return the services that a status shows as watched, or with a number.

    Raises AttributeError, TypeError for a status of another form.
    """
    found = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    values = (
        ServiceValue(service.number, count(status.get(service.field)), _shown(found.get(service.condition)))
        for service in OTHERS
    )
    return tuple(value for value in values if value.sessions or value.detail is not None)


def _detail(status: ServiceStatus) -> ServiceDetail | None:
    if status.reason is Reason.NOT_WATCHED and not status.message:
        return None
    message = explanation(status.reason)
    if status.sampled_every is not None and status.reason is Reason.WATCHING:
        message = f"The agent asks QEMU every {status.sampled_every:g} s; a shorter session may be missing."
    return ServiceDetail(status.observed, status.reason.value, conditions.with_cause(message, status.message))


def _condition(detail: Hashable) -> dict[str, str]:
    if not isinstance(detail, ServiceDetail):
        detail = ServiceDetail(False, Reason.NOT_WATCHED.value, explanation(Reason.NOT_WATCHED))
    unknown = "False" if detail.watched else "Unknown"
    return {"status": "True" if detail.observed else unknown, "reason": detail.reason, "message": detail.message}


def _shown(condition: Mapping[str, Any] | None) -> ServiceDetail | None:
    if condition is None or {**condition, **_condition(None)} == condition:
        return None
    return ServiceDetail(condition.get("status") == "True", condition.get("reason", ""), condition.get("message", ""))
