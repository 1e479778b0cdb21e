"""Builds the AgentStatus message of the debug API from the shared state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from launcher_agent.reporting import encoding as messages
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State, StreamState
from servicestatus import contract
from servicestatus.text import truncate
from servicestatus.timestamps import duration, timestamp
from servicestatus.v1 import agent_status_service_pb2 as pb

_STATES: Final[Mapping[StreamState, pb.StreamState]] = {
    StreamState.BACKING_OFF: pb.STREAM_STATE_BACKING_OFF,
    StreamState.CONNECTING: pb.STREAM_STATE_CONNECTING,
    StreamState.REPORTING: pb.STREAM_STATE_REPORTING,
    StreamState.DRAINING: pb.STREAM_STATE_DRAINING,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Identifies this run of the agent; `handler_socket` is the path that it dials."""

    instance: str
    version: str
    started_at: float
    handler_socket: str


def agent_status(identity: Identity, state: State, protocol: ReportProtocol) -> pb.AgentStatus:
    """Return the domain, sessions and counters that the agent knows, and the state of its stream."""
    report = state.report()
    return pb.AgentStatus(
        instance=identity.instance,
        agent_version=identity.version,
        started_at=timestamp(identity.started_at),
        observation=messages.observation(report.observation),
        domain=truncate(state.domain, contract.MAX_TEXT_BYTES),
        services=messages.services(report, contract.FEATURES),
        counters=messages.counters(report.counters, protocol.unknown_messages),
        handler=_handler(identity.handler_socket, state, protocol),
    )


def _handler(socket: str, state: State, protocol: ReportProtocol) -> pb.HandlerConnection:
    handler, stream = state.handler, protocol.stream
    connection = pb.HandlerConnection(
        socket=socket,
        state=_STATES[handler.state],
        last_status=handler.last_status,
        last_error=handler.last_error,
        streams=handler.streams,
        handler_version=stream.handler_version,
        features=sorted(stream.features),
        vmi=stream.vmi,
        sent=protocol.sequence,
        last_ack=stream.last_ack,
        polling=messages.polling(stream.polling),
    )
    if handler.last_status_at is not None:
        connection.last_status_at.CopyFrom(timestamp(handler.last_status_at))
    if handler.since is not None:
        connection.since.CopyFrom(timestamp(handler.since))
    if stream.settings is not None:
        connection.heartbeat_interval.CopyFrom(duration(stream.settings.heartbeat_interval))
        connection.lease.CopyFrom(duration(stream.settings.lease))
    return connection
