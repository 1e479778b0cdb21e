"""Tests the status that the agent's debug API shows."""

from launcher_agent.admin.status import Identity, agent_status
from launcher_agent.events import Phase
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State, StreamState
from servicestatus.reasons import Reason
from servicestatus.v1 import agent_status_service_pb2 as pb
from servicestatus.v1 import session_report_service_pb2 as reports
from servicestatus.v1.sessions_pb2 import (
    OBSERVATION_REASON_RECONCILING,
    SERVICE_USB_REDIRECTION,
    Polling,
    VmiReference,
)
from tests.unit.agent.fakes import tcp

IDENTITY = Identity(instance="i1", version="1.2.3", started_at=5.0, handler_socket="/h.sock")


def made() -> tuple[State, ReportProtocol]:
    state = State(lambda: 7.0)
    return state, ReportProtocol("i1", "1.2.3", VmiReference(), state.report())


def test_before_anything_happened_it_says_so() -> None:
    status = agent_status(IDENTITY, *made())
    assert (status.instance, status.agent_version, status.started_at.seconds) == ("i1", "1.2.3", 5)
    assert (status.observation.observed, status.observation.message) == (False, "not connected yet")
    assert (status.domain, status.services[0].sessions) == ("", 0)
    assert (status.handler.socket, status.handler.state) == ("/h.sock", pb.STREAM_STATE_CONNECTING)
    assert not status.handler.HasField("heartbeat_interval")


def test_it_shows_peers_and_counters_and_where_the_stream_stands() -> None:
    state, protocol = made()
    state.observe(Reason.WATCHING)
    state.domain = "ns_vm"
    state.stats.events_received = 2
    state.handler.state = StreamState.REPORTING
    state.handler.streams = 3
    state.handler.last_status, state.handler.last_error = "UNAVAILABLE", "gone"
    state.handler.last_status_at, state.handler.since = 6.0, 7.0
    for phase in (Phase.CONNECT, Phase.INITIALIZE):
        state.table.apply(phase, tcp(40001), 8.0)
    protocol.update(state.report(), 0.0)
    protocol.hello()
    welcome = reports.Welcome(
        handler_version="h1",
        features=["identified-sessions", "service-observations"],
        vmi=VmiReference(name="vm"),
        polling=[Polling(service=SERVICE_USB_REDIRECTION)],
    )
    protocol.receive(reports.ReportSessionsResponse(welcome=welcome), 0.0)
    protocol.poll(0.0)
    protocol.receive(reports.ReportSessionsResponse(ack=reports.Ack(accepted=1)), 0.0)

    status = agent_status(IDENTITY, state, protocol)
    assert (status.domain, status.counters.events_received) == ("ns_vm", 2)
    assert status.services[0].identified[0].peer_port == 40001
    assert [one.service for one in status.services] == [1, 2, 3, 4]
    assert status.services[3].observation.reason == OBSERVATION_REASON_RECONCILING
    assert status.handler == pb.HandlerConnection(
        socket="/h.sock",
        state=pb.STREAM_STATE_REPORTING,
        last_status="UNAVAILABLE",
        last_error="gone",
        streams=3,
        handler_version="h1",
        features=["identified-sessions", "service-observations"],
        polling=[Polling(service=SERVICE_USB_REDIRECTION, interval={"seconds": 5})],
        vmi=VmiReference(name="vm"),
        sent=1,
        last_ack=reports.Ack(accepted=1),
        heartbeat_interval={"seconds": 5},
        lease={"seconds": 15},
        last_status_at={"seconds": 6},
        since={"seconds": 7},
    )
