"""Computes the difference between two views of the session table as a Delta of the contract.

Both views come from one table whose totals only grow. The difference is therefore exact for any number of events
between them, and a storm of events becomes one message.
"""

from typing import Final

from launcher_agent.reporting import encoding as messages
from launcher_agent.sessions.view import TableView
from servicestatus import contract
from servicestatus.timestamps import timestamp
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import SERVICE_VNC

#: The largest uint32. A difference exceeds it only if a handler accepts nothing during days of a storm.
_MAX_NUMBER: Final = 2**32 - 1


def vnc_delta(before: TableView, after: TableView, *, with_peers: bool) -> pb.ServiceDelta | None:
    """Return the change from `before` to `after`; None if it exceeds the limits of a Delta and needs a Snapshot."""
    started = after.started_total - before.started_total
    ended = after.ended_total - before.ended_total
    opened = frozenset(after.identified).difference(before.identified) if with_peers else frozenset()
    closed = frozenset(before.identified).difference(after.identified) if with_peers else frozenset()
    if max(started, ended) > _MAX_NUMBER or max(len(opened), len(closed)) > contract.MAX_IDENTIFIED:
        return None
    return pb.ServiceDelta(
        service=SERVICE_VNC,
        started=started,
        ended=ended,
        sessions=after.sessions,
        pending=after.pending,
        accuracy=messages.accuracy(after.accuracy),
        since=timestamp(after.since),
        opened=[messages.identified(session) for session in sorted(opened, key=lambda session: session.id)],
        closed=sorted(session.id for session in closed),
    )
