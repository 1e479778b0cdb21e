"""The agent's side of a stream, as transcripts in virtual time. What a handler makes of it: test_report_machine."""

import pytest

from launcher_agent.events import Phase, SocketAddress
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.sessions.report import Counters, Observation, Report
from launcher_agent.sessions.table import SessionTable
from launcher_agent.sessions.view import TableView
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2
from tests.unit.agent.fakes import UNIX, tcp

WATCHING = Observation(Reason.WATCHING, since=1.0)


class Dialogue:
    """An agent's protocol, a table that it reports, and a handler that says what the test wants."""

    def __init__(self) -> None:
        self.now = 100.0
        self.table = SessionTable()
        self.table.clear(1.0)
        self.observation = WATCHING
        self.counters = Counters()
        self.protocol = ReportProtocol("i1", "1.2.3", sessions_pb2.VmiReference(), self.report())

    def report(self) -> Report:
        return Report(self.observation, self.table.view(), self.counters)

    def stream_settings(self, **settings: object) -> "Dialogue":
        """Hello, Welcome and the first Snapshot are done."""
        self.protocol.hello()
        self.receive(welcome=pb.Welcome(**settings))  # type: ignore[arg-type]
        self.snapshot()
        return self

    def receive(self, **arm: object) -> None:
        self.protocol.receive(pb.ReportSessionsResponse(**arm), self.now)  # type: ignore[arg-type]

    def viewer(self, peer: SocketAddress = UNIX) -> None:
        self.table.apply(Phase.CONNECT, peer, 2.0)
        self.table.apply(Phase.INITIALIZE, peer, 2.0)

    def poll(self) -> pb.ReportSessionsRequest | None:
        self.protocol.update(self.report(), self.now)
        return self.protocol.poll(self.now)

    def arm(self) -> str | None:
        request = self.poll()
        return None if request is None else request.WhichOneof("message")

    def snapshot(self) -> pb.Snapshot:
        request = self.poll()
        assert request is not None
        assert request.WhichOneof("message") == "snapshot"
        return request.snapshot

    def delta(self) -> pb.Delta:
        request = self.poll()
        assert request is not None
        assert request.WhichOneof("message") == "delta"
        return request.delta

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


def duration(seconds: float) -> dict[str, int]:
    return {"seconds": int(seconds), "nanos": round(seconds % 1 * 1e9)}


def test_hello_says_who_speaks_and_what_it_can_do() -> None:
    vmi = sessions_pb2.VmiReference(namespace="ns", name="vm")
    hello = ReportProtocol("i1", "1.2.3", vmi, Dialogue().report()).hello().hello
    assert hello == pb.Hello(
        instance="i1", agent_version="1.2.3", features=["identified-sessions", "service-observations"], vmi=vmi
    )


def test_nothing_but_hello_is_said_before_welcome() -> None:
    dialogue = Dialogue()
    dialogue.protocol.hello()
    dialogue.viewer()
    dialogue.pass_time(60)
    assert dialogue.poll() is None
    assert dialogue.protocol.wake_at(dialogue.now) is None


def test_after_welcome_comes_a_snapshot_of_everything() -> None:
    dialogue = Dialogue()
    dialogue.viewer(tcp(40001))
    dialogue.counters = Counters(libvirt_connects=1, events_received=2)
    dialogue.protocol.hello()
    dialogue.receive(welcome=pb.Welcome(features=["identified-sessions"]))
    snapshot = dialogue.snapshot()
    assert snapshot.sequence == 1
    assert (snapshot.observation.observed, snapshot.observation.since.seconds) == (True, 1)
    (vnc,) = snapshot.services
    assert (vnc.service, vnc.sessions, vnc.accuracy) == (sessions_pb2.SERVICE_VNC, 1, sessions_pb2.ACCURACY_EXACT)
    assert [(one.id, one.peer_address, one.peer_port) for one in vnc.identified] == [(1, "127.0.0.1", 40001)]
    assert (snapshot.counters.libvirt_connects, snapshot.counters.events_received) == (1, 2)


def test_peers_stay_at_home_unless_the_handler_listed_the_feature() -> None:
    dialogue = Dialogue().stream_settings()
    dialogue.viewer(tcp(40001))
    (vnc,) = dialogue.delta().services
    assert (vnc.sessions, len(vnc.opened)) == (1, 0)


def test_a_delta_says_what_changed_and_what_is_now() -> None:
    dialogue = Dialogue().stream_settings(features=["identified-sessions"])
    dialogue.viewer(tcp(40001))
    dialogue.delta()
    dialogue.viewer(tcp(40002))
    dialogue.table.apply(Phase.DISCONNECT, tcp(40001), 3.0)
    delta = dialogue.delta()
    (vnc,) = delta.services
    assert (delta.sequence, delta.HasField("observation")) == (3, False)
    assert (vnc.started, vnc.ended, vnc.sessions) == (1, 1, 1)
    assert ([one.id for one in vnc.opened], list(vnc.closed)) == ([2], [1])


def test_events_that_wait_are_merged_into_one_delta() -> None:
    dialogue = Dialogue().stream_settings(features=["identified-sessions"])
    for port in range(40000, 40100):
        dialogue.viewer(tcp(port))
        dialogue.table.apply(Phase.DISCONNECT, tcp(port), 3.0)
    (vnc,) = dialogue.delta().services
    assert (vnc.started, vnc.ended, vnc.sessions, len(vnc.opened), len(vnc.closed)) == (100, 100, 0, 0, 0)
    assert dialogue.poll() is None


def test_a_change_of_the_observation_alone_is_a_delta_without_services() -> None:
    dialogue = Dialogue().stream_settings()
    dialogue.observation = Observation(Reason.LIBVIRT_UNREACHABLE, "gone", since=9.0)
    delta = dialogue.delta()
    assert len(delta.services) == 0
    assert (delta.observation.observed, delta.observation.message) == (False, "gone")


def test_after_a_burst_one_delta_goes_in_each_interval() -> None:
    dialogue = Dialogue().stream_settings(delta_burst=2, delta_interval=duration(0.25), window=100)
    for _ in range(2):
        dialogue.viewer()
        assert dialogue.arm() == "delta"
    dialogue.viewer()
    assert dialogue.poll() is None
    assert dialogue.protocol.wake_at(dialogue.now) == pytest.approx(dialogue.now + 0.25)
    dialogue.pass_time(0.25)
    assert dialogue.arm() == "delta"
    dialogue.viewer()
    assert dialogue.poll() is None


def test_a_full_window_holds_deltas_back_until_some_are_accepted() -> None:
    dialogue = Dialogue().stream_settings(window=2)
    for _ in range(2):
        dialogue.viewer()
        assert dialogue.arm() == "delta"
    dialogue.viewer()
    assert dialogue.poll() is None
    dialogue.receive(ack=pb.Ack(accepted=2))
    (vnc,) = dialogue.delta().services
    assert (vnc.started, vnc.sessions) == (1, 3)


def test_news_that_a_full_window_has_kept_for_a_heartbeat_s_time_goes_as_a_snapshot() -> None:
    """Whatever became of the acks, a stream is never silent about its viewers."""
    dialogue = Dialogue().stream_settings(window=1)
    dialogue.viewer()
    dialogue.delta()
    dialogue.viewer()
    assert dialogue.poll() is None
    dialogue.pass_time(5)
    snapshot = dialogue.snapshot()
    assert (snapshot.sequence, snapshot.services[0].sessions) == (3, 2)
    dialogue.pass_time(5)
    assert dialogue.arm() == "heartbeat"


def test_unfinished_clients_alone_wait_for_company() -> None:
    dialogue = Dialogue().stream_settings()
    dialogue.table.apply(Phase.CONNECT, UNIX, 2.0)
    assert dialogue.poll() is None
    dialogue.pass_time(0.1)
    dialogue.table.apply(Phase.INITIALIZE, UNIX, 2.0)
    (vnc,) = dialogue.delta().services
    assert (vnc.sessions, vnc.pending) == (1, 0)


def test_unfinished_clients_that_stay_alone_are_told_after_an_interval() -> None:
    dialogue = Dialogue().stream_settings(delta_interval=duration(0.25))
    dialogue.table.apply(Phase.CONNECT, UNIX, 2.0)
    assert dialogue.poll() is None
    dialogue.pass_time(0.2)
    dialogue.table.apply(Phase.CONNECT, UNIX, 2.0)
    assert dialogue.poll() is None
    dialogue.pass_time(0.05)
    (vnc,) = dialogue.delta().services
    assert (vnc.sessions, vnc.pending) == (0, 2)


def test_silence_is_filled_with_heartbeats_that_name_the_last_sequence() -> None:
    dialogue = Dialogue().stream_settings(heartbeat_interval=duration(5))
    dialogue.pass_time(4.9)
    assert dialogue.poll() is None
    dialogue.pass_time(0.1)
    request = dialogue.poll()
    assert request is not None
    assert request.heartbeat == pb.Heartbeat(sequence=1)
    assert dialogue.protocol.wake_at(dialogue.now) == pytest.approx(dialogue.now + 5)


def test_counters_ride_along_and_never_cause_a_message() -> None:
    dialogue = Dialogue().stream_settings(heartbeat_interval=duration(5))
    dialogue.counters = Counters(events_received=2)
    assert dialogue.poll() is None
    dialogue.pass_time(5)
    request = dialogue.poll()
    assert request is not None
    assert request.heartbeat.counters.events_received == 2
    dialogue.pass_time(5)
    request = dialogue.poll()
    assert request is not None
    assert not request.heartbeat.HasField("counters")


def test_a_resync_is_answered_with_a_snapshot_but_not_more_often_than_deltas() -> None:
    dialogue = Dialogue().stream_settings(delta_interval=duration(0.25))
    dialogue.receive(resync_request=pb.ResyncRequest(accepted=1))
    assert dialogue.poll() is None  # the first Snapshot has just been sent
    dialogue.pass_time(0.25)
    assert dialogue.snapshot().sequence == 2
    for _ in range(3):
        dialogue.receive(resync_request=pb.ResyncRequest(accepted=2))
        assert dialogue.poll() is None
    dialogue.pass_time(0.25)
    assert dialogue.snapshot().sequence == 3
    assert dialogue.poll() is None


def test_no_delta_is_sent_while_a_snapshot_is_due_since_it_would_be_ignored() -> None:
    dialogue = Dialogue().stream_settings(delta_interval=duration(0.25))
    dialogue.receive(resync_request=pb.ResyncRequest(accepted=1))
    dialogue.viewer()
    assert dialogue.poll() is None
    dialogue.pass_time(0.25)
    assert dialogue.snapshot().services[0].sessions == 1
    assert dialogue.poll() is None


def test_the_lease_is_kept_while_a_snapshot_has_to_wait() -> None:
    dialogue = Dialogue().stream_settings(heartbeat_interval=duration(1), delta_interval=duration(3))
    dialogue.receive(resync_request=pb.ResyncRequest(accepted=1))
    dialogue.pass_time(1)
    assert dialogue.arm() == "heartbeat"
    dialogue.pass_time(1)
    assert dialogue.arm() == "heartbeat"
    dialogue.pass_time(1)
    assert dialogue.arm() == "snapshot"


def test_a_snapshot_is_sent_though_the_window_is_full_and_opens_it_once_it_is_accepted() -> None:
    dialogue = Dialogue().stream_settings(window=1)
    dialogue.viewer()
    dialogue.delta()
    dialogue.pass_time(1)
    dialogue.receive(resync_request=pb.ResyncRequest(accepted=1))
    assert dialogue.snapshot().sequence == 3
    dialogue.viewer()
    assert dialogue.poll() is None
    dialogue.receive(ack=pb.Ack(accepted=3))
    assert dialogue.arm() == "delta"


def test_a_difference_that_no_delta_can_carry_becomes_a_snapshot() -> None:
    dialogue = Dialogue().stream_settings()
    view = TableView(started_total=2**32, ended_total=2**32)
    dialogue.protocol.update(Report(WATCHING, view), dialogue.now)
    request = dialogue.protocol.poll(dialogue.now)
    assert request is not None
    assert request.WhichOneof("message") == "snapshot"
    assert dialogue.protocol.sequence == 2


def test_the_sequence_goes_on_over_reconnects_and_the_terms_do_not() -> None:
    dialogue = Dialogue().stream_settings(window=3, handler_version="h1", features=["identified-sessions"])
    dialogue.receive(drain_notice=pb.DrainNotice())
    assert dialogue.protocol.stream.draining
    dialogue.protocol.hello()
    assert not dialogue.protocol.stream.draining
    assert (dialogue.protocol.stream.handler_version, dialogue.protocol.stream.features) == ("", frozenset())
    dialogue.receive(welcome=pb.Welcome())
    assert dialogue.snapshot().sequence == 2


def test_goodbye_says_whether_the_domain_was_seen_to_end() -> None:
    dialogue = Dialogue().stream_settings()
    goodbye = dialogue.protocol.goodbye(domain_ended=True).goodbye
    assert goodbye == pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN, domain_ended=True)


def test_unknown_messages_and_those_out_of_turn_are_counted_and_ignored() -> None:
    dialogue = Dialogue()
    dialogue.protocol.hello()
    dialogue.receive(ack=pb.Ack(accepted=5))
    dialogue.receive(resync_request=pb.ResyncRequest())
    dialogue.receive()
    assert dialogue.protocol.unknown_messages == 3
    assert dialogue.poll() is None
    dialogue.receive(welcome=pb.Welcome(window=1))
    dialogue.receive(welcome=pb.Welcome(window=1000))
    assert dialogue.protocol.unknown_messages == 4
    assert dialogue.snapshot().counters.unknown_messages == 4
    assert dialogue.protocol.stream.settings is not None
    assert dialogue.protocol.stream.settings.window == 1


def test_an_arm_of_a_newer_version_is_counted() -> None:
    dialogue = Dialogue().stream_settings()
    of_the_future = pb.ReportSessionsResponse()
    of_the_future.ParseFromString(bytes([15 << 3 | 2, 2, 1, 2]))  # field 15, which v1 does not have
    dialogue.protocol.receive(of_the_future, dialogue.now)
    assert dialogue.protocol.unknown_messages == 1


def test_an_ack_counts_only_as_far_as_something_was_sent_and_never_backwards() -> None:
    dialogue = Dialogue().stream_settings()
    dialogue.receive(ack=pb.Ack(accepted=2**63, published=2**62, message="x" * 1000))
    ack = dialogue.protocol.stream.last_ack
    assert (ack.accepted, ack.published, len(ack.message)) == (1, 1, 256)
    dialogue.receive(ack=pb.Ack(accepted=0))
    assert dialogue.protocol.stream.last_ack.accepted == 1
