"""An agent and a model of a handler, with whatever may happen between them: the handler ends up knowing the truth.

The model follows the contract's rules to the letter and nothing else, so what passes here every handler can follow.
"""

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from launcher_agent.events import Phase, SocketAddress
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.sessions.report import Counters, Observation, Report
from launcher_agent.sessions.table import SessionTable
from servicestatus import contract
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import Observation as ObservationMessage
from servicestatus.v1.sessions_pb2 import ServiceSessions, VmiReference
from tests.unit.agent.fakes import UNIX, tcp

WELCOME = pb.Welcome(
    features=[contract.IDENTIFIED_SESSIONS],
    heartbeat_interval={"seconds": 5},
    window=3,
    delta_burst=4,
    delta_interval={"nanos": 250_000_000},
)
BURST, INTERVAL, WINDOW, HEARTBEAT = 4, 0.25, 3, 5.0


class Handler:
    """What the contract says a handler knows of one stream."""

    def __init__(self) -> None:
        self.sequence = 0
        self.vnc = ServiceSessions()
        self.observation = ObservationMessage()
        self.trusts = False  # a Snapshot is in, and no gap since

    def take(self, request: pb.ReportSessionsRequest) -> pb.ReportSessionsResponse | None:
        arm = request.WhichOneof("message")
        if arm == "snapshot":
            (self.vnc,) = request.snapshot.services
            self.observation = request.snapshot.observation
            self.sequence, self.trusts = request.snapshot.sequence, True
        elif arm == "delta" and self.trusts:
            self.apply(request.delta)
        elif arm == "heartbeat":
            assert request.heartbeat.sequence == self.sequence or not self.trusts
        return pb.ReportSessionsResponse(ack=pb.Ack(accepted=self.sequence))

    def apply(self, delta: pb.Delta) -> None:
        assert delta.sequence == self.sequence + 1
        self.sequence = delta.sequence
        if delta.HasField("observation"):
            self.observation = delta.observation
        for change in delta.services:
            assert self.vnc.sessions + change.started - change.ended == change.sessions
            closed = set(change.closed)
            known = {one.id for one in self.vnc.identified}
            assert closed <= known
            assert not known.intersection(one.id for one in change.opened)
            identified = [one for one in self.vnc.identified if one.id not in closed] + list(change.opened)
            self.vnc = ServiceSessions(
                service=change.service,
                sessions=change.sessions,
                pending=change.pending,
                accuracy=change.accuracy,
                since=change.since if change.HasField("since") else None,
                identified=identified,
            )
            assert len(identified) <= change.sessions


class Machine(RuleBasedStateMachine):
    """Time passes in steps; whenever the protocol wants to be asked, it is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = SessionTable()
        self.table.clear(self.now)
        self.reason = Reason.WATCHING
        self.events = 0
        self.connected: list[SocketAddress] = []
        self.finished: set[SocketAddress] = set()
        self.protocol = ReportProtocol("i", "v", VmiReference(), self.report())
        self.last_sequence = 0
        self.open()

    def report(self) -> Report:
        return Report(Observation(self.reason), self.table.view(), Counters(events_received=self.events))

    def open(self) -> None:
        self.handler = Handler()
        self.wire: deque[pb.ReportSessionsRequest] = deque()
        self.deltas: list[float] = []
        self.last_message = self.now
        assert self.protocol.hello().hello.instance == "i"
        self.protocol.receive(pb.ReportSessionsResponse(welcome=WELCOME), self.now)
        self.ask_protocol()

    def ask_protocol(self) -> None:
        self.protocol.update(self.report(), self.now)
        for _ in range(100):
            request = self.protocol.poll(self.now)
            if request is None:
                return
            self.on_sent(request)
        raise AssertionError("the protocol never comes to rest")

    def on_sent(self, request: pb.ReportSessionsRequest) -> None:
        arm = request.WhichOneof("message")
        self.wire.append(request)
        self.last_message = self.now
        if arm in ("snapshot", "delta"):
            sequence = getattr(request, arm).sequence
            assert sequence == self.last_sequence + 1
            self.last_sequence = sequence
        if arm == "delta":
            self.deltas.append(self.now)

    def deliver(self) -> None:
        answer = self.handler.take(self.wire.popleft())
        assert answer is not None
        self.protocol.receive(answer, self.now)
        self.ask_protocol()

    def quiesce(self) -> None:
        for _ in range(4):
            self.advance(HEARTBEAT)
            while self.wire:
                self.deliver()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.protocol.wake_at(self.now)) is not None and due <= end:
            self.now = max(self.now, due)
            self.ask_protocol()
        self.now = end
        self.ask_protocol()

    @initialize()
    def begin(self) -> None:
        assert self.wire[0].WhichOneof("message") == "snapshot"

    # --- The VM -----------------------------------------------------------------------------------------------------

    @rule(unix=st.booleans())
    def connect(self, unix: bool) -> None:
        self.events += 1
        peer = UNIX if unix else tcp(30000 + self.events)
        self.connected.append(peer)
        self.change(Phase.CONNECT, peer)

    @precondition(lambda self: self.connected)
    @rule(data=st.data())
    def finish_or_leave(self, data: st.DataObject) -> None:
        self.events += 1
        peer = data.draw(st.sampled_from(self.connected))
        if peer in self.finished or data.draw(st.booleans()):
            self.connected.remove(peer)
            self.finished.discard(peer)
            self.change(Phase.DISCONNECT, peer)
        else:
            if peer is not UNIX:
                self.finished.add(peer)
            self.change(Phase.INITIALIZE, peer)

    def change(self, phase: Phase, peer: SocketAddress) -> None:
        self.table.apply(phase, peer, self.now)
        self.ask_protocol()

    @rule()
    def stop_domain(self) -> None:
        self.connected.clear()
        self.finished.clear()
        self.table.clear(self.now)
        self.ask_protocol()

    @rule(reason=st.sampled_from(Reason))
    def observe(self, reason: Reason) -> None:
        self.reason = reason
        self.ask_protocol()

    # --- The wire ---------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.25, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.advance(seconds)

    @precondition(lambda self: self.wire)
    @rule()
    def deliver_one(self) -> None:
        self.deliver()

    @rule()
    def ask_for_a_resync(self) -> None:
        """Whatever the handler's reason; it ignores deltas until the Snapshot, which is on its way when this comes."""
        self.handler.trusts = False
        self.wire = deque(one for one in self.wire if one.WhichOneof("message") != "snapshot")
        self.protocol.receive(pb.ReportSessionsResponse(resync_request=pb.ResyncRequest()), self.now)
        self.ask_protocol()

    @rule()
    def reconnect(self) -> None:
        self.open()

    @rule()
    def nonsense(self) -> None:
        self.protocol.receive(pb.ReportSessionsResponse(), self.now)

    @rule()
    def the_handler_ends_up_knowing_the_truth(self) -> None:
        self.quiesce()
        view = self.table.view()
        assert self.handler.trusts
        assert (self.handler.vnc.sessions, self.handler.vnc.pending) == (view.sessions, view.pending)
        assert sorted(one.id for one in self.handler.vnc.identified) == [one.id for one in view.identified]
        assert self.handler.observation.observed == self.reason.observed

    @invariant()
    def deltas_are_paced(self) -> None:
        for count, start in enumerate(self.deltas):
            within = [sent for sent in self.deltas[count:] if sent - start <= 10]
            assert len(within) <= BURST + (within[-1] - start) / INTERVAL + 1e-3

    @invariant()
    def the_window_is_kept(self) -> None:
        assert sum(one.WhichOneof("message") == "delta" for one in self.wire) <= WINDOW

    @invariant()
    def silence_is_never_longer_than_a_heartbeat(self) -> None:
        assert self.now - self.last_message <= HEARTBEAT


TestReportMachine = Machine.TestCase
