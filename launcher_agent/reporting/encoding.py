"""Converts the agent's types to messages of the contract, for the stream and the debug API."""

from collections.abc import Mapping, Set
from typing import Final

from launcher_agent.events import Transport
from launcher_agent.sessions.report import Counters, Observation, Report, ServiceReport
from launcher_agent.sessions.view import Accuracy, Session, TableView
from servicestatus import contract
from servicestatus.text import truncate
from servicestatus.timestamps import duration, timestamp
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


def services(report: Report, features: Set[str]) -> list[pb.ServiceSessions]:
    """Convert all services that are reported to a handler with these features."""
    vnc = vnc_sessions(report.vnc, with_peers=contract.IDENTIFIED_SESSIONS in features)
    return [vnc, *map(service_sessions, others(report, features))]


def others(report: Report, features: Set[str]) -> tuple[ServiceReport, ...]:
    """Return the services other than VNC, if the handler knows that each has its own observation."""
    return report.services if contract.SERVICE_OBSERVATIONS in features else ()


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


def service_sessions(report: ServiceReport) -> pb.ServiceSessions:
    """Convert the state of a service other than VNC, with its own observation."""
    every = report.sampled_every
    return pb.ServiceSessions(
        service=report.service,
        sessions=report.view.sessions,
        pending=report.view.pending,
        accuracy=accuracy(report.view.accuracy),
        since=timestamp(report.view.since),
        observation=observation(report.observation),
        sampled_every=None if every is None else duration(every),
    )


def polling(asked: Mapping[pb.Service, float]) -> list[pb.Polling]:
    """Convert the services that a handler asks the agent to poll."""
    return [pb.Polling(service=one, interval=duration(asked[one])) for one in sorted(asked)]


def counters(lived: Counters, unknown_messages: int) -> pb.AgentCounters:
    """Convert the counters of this run of the agent."""
    return pb.AgentCounters(
        libvirt_connects=lived.libvirt_connects,
        events_received=lived.events_received,
        events_ignored=lived.events_ignored,
        queries=lived.queries,
        table_overflows=lived.table_overflows,
        unknown_messages=unknown_messages,
        polls=lived.polls,
        poll_failures=lived.poll_failures,
    )
