"""Computes the difference between two views of a service's sessions as a Delta of the contract.

Both views have totals that only grow. The difference is therefore exact for any number of events
between them, and a storm of events becomes one message.
"""

from collections.abc import Set
from dataclasses import replace
from typing import Final

from launcher_agent.reporting import encoding as messages
from launcher_agent.sessions.report import Report, ServiceReport
from launcher_agent.sessions.view import TableView
from servicestatus import contract
from servicestatus.timestamps import duration, timestamp
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import SERVICE_VNC, Service

#: The largest uint32. A difference exceeds it only if a handler accepts nothing during days of a storm.
_MAX_NUMBER: Final = 2**32 - 1


def changed(before: Report, after: Report, features: Set[str]) -> bool:
    """Return whether the sessions or an observation changed; counters do not count."""
    return _sent(before, features) != _sent(after, features)


def matters(before: Report, after: Report, features: Set[str]) -> bool:
    """Return whether anything but the numbers of unfinished clients changed."""
    return _sent(before, features, pending=False) != _sent(after, features, pending=False)


def _sent(report: Report, features: Set[str], *, pending: bool = True) -> tuple[object, ...]:
    """Return what of a report is sent, without the unfinished clients if `pending` is false."""
    others = messages.others(report, features)
    if pending:
        return report.observation, report.vnc, others
    finished = (replace(one, view=replace(one.view, pending=0)) for one in others)
    return report.observation, replace(report.vnc, pending=0), *finished


def services(before: Report, after: Report, features: Set[str]) -> list[pb.ServiceDelta] | None:
    """Return the changed services; None if a change exceeds the limits of a Delta and needs a Snapshot."""
    found: list[pb.ServiceDelta | None] = []
    if before.vnc != after.vnc:
        found.append(vnc_delta(before.vnc, after.vnc, with_peers=contract.IDENTIFIED_SESSIONS in features))
    pairs = zip(messages.others(before, features), messages.others(after, features), strict=True)
    found.extend(service_delta(old, new) for old, new in pairs if old != new)
    changes = [one for one in found if one is not None]
    return changes if len(changes) == len(found) else None


def vnc_delta(before: TableView, after: TableView, *, with_peers: bool) -> pb.ServiceDelta | None:
    """Return the change from `before` to `after`; None if it exceeds the limits of a Delta."""
    delta = _delta(SERVICE_VNC, before, after)
    if delta is None or not with_peers:
        return delta
    opened = frozenset(after.identified).difference(before.identified)
    closed = frozenset(before.identified).difference(after.identified)
    if max(len(opened), len(closed)) > contract.MAX_IDENTIFIED:
        return None
    delta.opened.extend(messages.identified(session) for session in sorted(opened, key=lambda session: session.id))
    delta.closed.extend(sorted(session.id for session in closed))
    return delta


def service_delta(before: ServiceReport, after: ServiceReport) -> pb.ServiceDelta | None:
    """Return the change of another service, with its observation now; None as above."""
    delta = _delta(after.service, before.view, after.view)
    if delta is not None:
        delta.observation.CopyFrom(messages.observation(after.observation))
        if after.sampled_every is not None:
            delta.sampled_every.CopyFrom(duration(after.sampled_every))
    return delta


def _delta(service: Service, before: TableView, after: TableView) -> pb.ServiceDelta | None:
    started = after.started_total - before.started_total
    ended = after.ended_total - before.ended_total
    if max(started, ended) > _MAX_NUMBER:
        return None
    return pb.ServiceDelta(
        service=service,
        started=started,
        ended=ended,
        sessions=after.sessions,
        pending=after.pending,
        accuracy=messages.accuracy(after.accuracy),
        since=timestamp(after.since),
    )
