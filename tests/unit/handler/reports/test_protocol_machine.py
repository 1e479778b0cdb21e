"""Tests report store and protocol with an agent that restarts, repeats, skips, miscounts and stops; virtual time.

The model knows what the handler may believe: the numbers of the last report that counted, and whether they count now.
"""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from handler_service.model import PublishProgress
from handler_service.reports.entry import EntryState
from handler_service.reports.protocol import RejectedError, SessionProtocol
from handler_service.reports.store import ReportStore
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.unit.handler.builders import (
    VMI,
    delta,
    endpoint,
    goodbye,
    heartbeat,
    hello,
    snapshot,
    unknown_arm,
    unreachable,
    watching,
)

LEASE = 15.0


@dataclass
class Believed:
    """What the handler may believe of the endpoint."""

    sessions: int = 0
    #: What the agent says of its sight.
    sees: bool = False
    state: EntryState = EntryState.WAITING
    domain_ended: bool = False
    heard: float = 0.0

    @property
    def observed(self) -> bool:
        if self.state is EntryState.GOODBYE:
            return self.domain_ended
        return self.state in (EntryState.REPORTING, EntryState.DISCONNECTED) and self.sees


class ReportMachine(RuleBasedStateMachine):
    """One endpoint, and every stream that ever was on it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.reports = ReportStore(LEASE, lambda _: None)
        self.reports.add(endpoint(), 0.0)
        self.believed = Believed()
        self.stream: SessionProtocol | None = None
        self.superseded: list[SessionProtocol] = []
        self.sequence = 0  # of the agent, over all its streams
        self.accepted = 0  # on the stream of now
        self.resyncing = False
        self.acked = 0

    # --- streams ---

    @rule(restarted=st.booleans())
    def the_agent_dials(self, restarted: bool) -> None:
        if self.stream is not None:
            self.superseded.append(self.stream)
        if restarted:
            self.sequence = 0
        self.stream = SessionProtocol(
            self.reports,
            endpoint(),
            contract.StreamSettings(),
            "",
            lambda: PublishProgress(self._current.stream, self.accepted),
            bucket=TokenBucket(10**9, 1.0),
        )
        (welcome,) = self.stream.receive(hello(), self.now)
        assert welcome.HasField("welcome")
        self.accepted, self.acked, self.resyncing = 0, 0, False
        self._renew()

    @precondition(lambda self: self.stream is not None)
    @rule()
    def the_stream_breaks(self) -> None:
        self.reports.closed("a", self._current.stream)
        if self.believed.state is EntryState.REPORTING:
            self.believed.state = EntryState.DISCONNECTED
        self.stream = None

    @precondition(lambda self: self.superseded)
    @rule(data=st.data(), sessions=st.integers(0, 3))
    def an_older_stream_speaks(self, data: st.DataObject, sessions: int) -> None:
        old = data.draw(st.sampled_from(self.superseded))
        request = data.draw(st.sampled_from([snapshot(99, sessions), heartbeat(0), goodbye(domain_ended=True)]))
        with pytest.raises(RejectedError, match="ABORTED"):
            old.receive(request, self.now)
        self.reports.closed("a", old.stream)
        assert old.ack() is None

    # --- reports ---

    @precondition(lambda self: self.stream is not None)
    @rule(sessions=st.integers(0, 5), sees=st.booleans(), skipped=st.integers(1, 3))
    def a_snapshot(self, sessions: int, sees: bool, skipped: int) -> None:
        self.sequence += skipped
        observation = watching() if sees else unreachable()
        assert self._say(snapshot(self.sequence, sessions, observation)) == []
        self.resyncing = False
        self._count(sessions, sees)

    @precondition(lambda self: self.stream is not None)
    @rule(started=st.integers(0, 3), ended=st.integers(0, 3))
    def a_delta(self, started: int, ended: int) -> None:
        now = self.believed.sessions + started - ended
        if now < 0:
            return
        self.sequence += 1
        responses = self._say(delta(self.sequence, started, ended, now))
        if self._expect_resync(responses, applies=self.sequence == self.accepted + 1):
            return
        self._count(now, self.believed.sees)

    @precondition(lambda self: self.stream is not None)
    @rule(wrong=st.sampled_from([-1, 1, 7]))
    def a_delta_that_does_not_add_up(self, wrong: int) -> None:
        self.sequence += 1
        responses = self._say(delta(self.sequence, 9, 0, self.believed.sessions + 9 + wrong))
        assert self._expect_resync(responses, applies=False)

    @precondition(lambda self: self.stream is not None)
    @rule(gap=st.integers(2, 5))
    def a_delta_after_a_gap(self, gap: int) -> None:
        self.sequence = max(self.sequence, self.accepted) + gap
        responses = self._say(delta(self.sequence, 0, 0, self.believed.sessions))
        assert self._expect_resync(responses, applies=False)

    @precondition(lambda self: self.accepted > 0)
    @rule(data=st.data())
    def a_delta_again(self, data: st.DataObject) -> None:
        if self.stream is None:
            return
        seen = data.draw(st.integers(1, self.accepted))
        assert self._say(delta(seen, 3, 0, 60_000)) == []
        self._sign_of_life()

    # --- signs of life ---

    @precondition(lambda self: self.stream is not None)
    @rule()
    def a_heartbeat(self) -> None:
        responses = self._say(heartbeat(self.sequence))
        if self.sequence > self.accepted:
            self._expect_resync(responses, applies=False)
        else:
            assert responses == []
            self._sign_of_life()

    @precondition(lambda self: self.stream is not None)
    @rule()
    def a_message_of_a_later_version(self) -> None:
        assert self._say(unknown_arm()) == []
        self._sign_of_life()

    @precondition(lambda self: self.stream is not None)
    @rule(domain_ended=st.booleans())
    def goodbye(self, domain_ended: bool) -> None:
        assert self._say(goodbye(domain_ended=domain_ended)) == []
        assert self._current.over
        self.believed.state, self.believed.domain_ended = EntryState.GOODBYE, domain_ended
        if domain_ended:
            self.believed.sessions = 0
        self.reports.closed("a", self._current.stream)
        self.stream = None

    @rule(seconds=st.sampled_from([0.1, 5.0, 14.9, 15.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        leased = self.believed.state in (EntryState.WAITING, EntryState.REPORTING, EntryState.DISCONNECTED)
        over = leased and self.now >= self.believed.heard + LEASE
        assert [found.id for found in self.reports.expire(self.now)] == (["a"] if over else [])
        if over:
            self.believed.state = EntryState.SILENT

    # --- what always holds ---

    @invariant()
    def the_handler_believes_what_it_may(self) -> None:
        desired = self.reports.desired_status(VMI)
        assert desired is not None
        entry = self.reports.entry("a")
        assert entry.state is self.believed.state
        assert desired.sessions == self.believed.sessions
        assert desired.observed is self.believed.observed
        assert desired.synced is (self.believed.state is not EntryState.WAITING)

    @invariant()
    def acks_say_what_was_accepted_and_never_go_back(self) -> None:
        if self.stream is None:
            return
        assert self.reports.entry("a").accepted == self.accepted
        ack = self.stream.ack()
        if ack is not None:
            assert self.acked < ack.accepted == self.accepted
            assert ack.published == self.accepted
            self.acked = ack.accepted

    # --- helpers ---

    @property
    def _current(self) -> SessionProtocol:
        assert self.stream is not None
        return self.stream

    def _say(self, request: pb.ReportSessionsRequest) -> list[pb.ReportSessionsResponse]:
        return self._current.receive(request, self.now)

    def _count(self, sessions: int, sees: bool) -> None:
        """A report counts."""
        self.accepted = self.sequence
        self.believed = Believed(sessions, sees, EntryState.REPORTING, False, self.now)

    def _renew(self) -> None:
        if self.believed.state is not EntryState.WAITING:
            self.believed.heard = self.now

    def _sign_of_life(self) -> None:
        if self.resyncing:
            return  # a snapshot is pending: the stored value is known to be old
        self._renew()
        if self.believed.state is EntryState.SILENT and self.accepted:
            self.believed.state = EntryState.REPORTING

    def _expect_resync(self, responses: list[pb.ReportSessionsResponse], *, applies: bool) -> bool:
        """Whether the message did not count. Then a snapshot is asked for, once."""
        if applies and self.accepted and not self.resyncing:
            assert responses == []
            return False
        asked = [response.WhichOneof("message") for response in responses]
        assert asked == ([] if self.resyncing else ["resync_request"])
        assert all(response.resync_request.accepted == self.accepted for response in responses)
        self._sign_of_life()
        self.resyncing = True
        return True


TestReportMachine = ReportMachine.TestCase
TestReportMachine.settings = settings(max_examples=150, stateful_step_count=50)
