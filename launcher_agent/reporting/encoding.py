"""Converts the agent's types to messages of the contract, for the stream and the debug API."""

from collections.abc import Mapping
from typing import Final

from launcher_agent.events import Transport
from launcher_agent.sessions.report import Counters, Observation
from launcher_agent.sessions.view import Accuracy, Session, TableView
from servicestatus import contract
from servicestatus.text import truncate
from servicestatus.timestamps import timestamp
from servicestatus.v1 import sessions_pb2 as pb

_ACCURACIES: Final[Mapping[Accuracy, pb.Accuracy]] = {
    Accuracy.EXACT: pb.ACCURACY_EXACT,
    Accuracy.UPPER_BOUND: pb.ACCURACY_UPPER_BOUND,
    Accuracy.LOWER_BOUND: pb.ACCURACY_LOWER_BOUND,
}
_TRANSPORTS: Final[Mapping[Transport, pb.Transport]] = {
    Transport.UNIX: pb.TRANSPORT_UNIX,
    Transport.TCP: pb.TRANSPORT_TCP,
}


def observation(seen: Observation) -> pb.Observation:
    """Convert the observation: whether the count is observed, and the reason."""
    return pb.Observation(
        observed=seen.reason.observed,
        reason=seen.reason.wire,
        message=truncate(seen.message, contract.MAX_TEXT_BYTES),
        since=timestamp(seen.since),
    )


def accuracy(value: Accuracy) -> pb.Accuracy:
    """Convert the accuracy of a count."""
    return _ACCURACIES[value]


def transport(value: Transport) -> pb.Transport:
    """Convert the transport of a session."""
    return _TRANSPORTS[value]


def identified(session: Session) -> pb.IdentifiedSession:
    """Convert a session whose peer address is known."""
    return pb.IdentifiedSession(
        id=session.id,
        transport=transport(session.peer.transport),
        peer_address=truncate(session.peer.host, contract.MAX_NAME_BYTES),
        peer_port=session.peer.port,
        started_at=timestamp(session.started_at),
    )


def vnc_sessions(view: TableView, *, with_peers: bool) -> pb.ServiceSessions:
    """Convert the state of the service VNC; `with_peers` adds the addresses of its clients."""
    return pb.ServiceSessions(
        service=pb.SERVICE_VNC,
        sessions=view.sessions,
        pending=view.pending,
        accuracy=accuracy(view.accuracy),
        since=timestamp(view.since),
        identified=[identified(session) for session in view.identified] if with_peers else [],
    )


def counters(lived: Counters, unknown_messages: int) -> pb.AgentCounters:
    """Convert the counters of this run of the agent."""
    return pb.AgentCounters(
        libvirt_connects=lived.libvirt_connects,
        events_received=lived.events_received,
        events_ignored=lived.events_ignored,
        queries=lived.queries,
        table_overflows=lived.table_overflows,
        unknown_messages=unknown_messages,
    )
