"""Lays out what the debug API returns as a table: one line for each VM and each service that is watched. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from handler_service.model import Reason
from servicestatus.text import escape
from servicestatus.timestamps import time_of
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2 as report_pb
from servicestatus.v1 import sessions_pb2 as types

_HEADER: Final = ("VM", "SERVICE", "SESSIONS", "OBSERVED", "IDLE", "SINCE", "REASON")
#: A cell without a value: a number that is not known is never shown as 0.
_NONE: Final = "-"
#: Largest number of seconds, and the unit in which a time of at most that is shown.
_UNITS: Final = ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h"))


def table(statuses: Iterable[pb.VmiServiceStatus], now: float) -> str:
    """Return the lines of the table, each with its line end. `now` is wall time."""
    watched = ((status, summary) for status in statuses for summary in status.services if _is_watched(summary))
    rows = [_HEADER, *(_row(status, summary, now) for status, summary in watched)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(_line(row, widths) for row in rows)


def problems(statuses: Iterable[pb.VmiServiceStatus]) -> list[str]:
    """Return one line for each VM whose newest value a publisher could not write."""
    return [
        f"{_name(status)} is not published ({one.publisher}): {escape(one.message)}"
        for status in statuses
        for one in status.publications
        if one.message and one.state != report_pb.PUBLISH_STATE_PUBLISHED
    ]


def _is_watched(summary: pb.ServiceSummary) -> bool:
    """Return whether a number is to be expected: most hosts do not poll the services that QEMU reports by no event."""
    return summary.service == types.SERVICE_VNC or _word(summary) != Reason.NOT_WATCHED.value


def _row(status: pb.VmiServiceStatus, summary: pb.ServiceSummary, now: float) -> tuple[str, ...]:
    since = time_of(summary, "since")
    return (
        _name(status),
        _service(summary.service),
        _sessions(status, summary),
        str(summary.observed),
        str(not summary.sessions) if summary.observed else "Unknown",
        _NONE if since is None else _span(now - since),
        _reason(status, summary),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _name(status: pb.VmiServiceStatus) -> str:
    return f"{status.vmi.namespace}/{status.vmi.name}"


def _service(number: int) -> str:
    """Return `VNC` of SERVICE_VNC; the number of a service that this version does not know."""
    return types.Service.Name(number).removeprefix("SERVICE_") if number in types.Service.values() else str(number)


def _sessions(status: pb.VmiServiceStatus, summary: pb.ServiceSummary) -> str:
    """Return the number; while it is not known, the last one that was published, as readers of the document see it."""
    if summary.observed:
        return str(summary.sessions)
    published = [
        one.sessions for place in status.publications for one in place.observed if one.service == summary.service
    ]
    return str(max([summary.sessions, *published])) if any([summary.sessions, *published]) else _NONE


def _reason(status: pb.VmiServiceStatus, summary: pb.ServiceSummary) -> str:
    """Return the word that the service's condition shows."""
    if not summary.observed:
        return escape(_word(summary)) or _NONE
    services = (one for endpoint in status.endpoints for one in endpoint.services if one.service == summary.service)
    own = [one.observation.reason for one in services if one.HasField("observation")]
    reasons = own or [one.observation.reason for one in status.endpoints if one.HasField("observation")]
    return Reason.of_wire(reasons[0]).value if reasons else _NONE


def _word(summary: pb.ServiceSummary) -> str:
    """Return the reason of a service that is not observed, without its explanation."""
    return summary.message.partition(":")[0]


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for limit, unit, letter in _UNITS:
        if whole < limit:
            return f"{whole // unit}{letter}"
    return f"{whole // 86400}d"
