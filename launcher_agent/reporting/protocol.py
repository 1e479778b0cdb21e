"""The agent's side of the report streams, as a state machine without I/O.

The edge tells it what the handler said and what is true, and asks what to send and when to ask again. It outlives a
stream, since an instance and its sequence do.

Invariants:
- Nothing but Hello is sent before Welcome, and a Snapshot is the first thing after it.
- A Delta is the difference between what was last sent and what is true now: events that wait are merged for free, and
  nothing is ever queued.
- Unfinished clients are for debugging alone: their number waits for company, so that a viewer who connects and has
  finished a millisecond later is one message, and a port scanner uses up nothing that a session needs.
- A sequence is never used twice. At most `window` Deltas are on their way, paced by a token bucket; what they keep
  waiting for a heartbeat's time goes as a Snapshot, so that no lost Ack can silence a stream.
- No answer of a handler raises: what is not understood is counted and ignored, what is out of bounds is clamped.

Times are seconds of any clock that only grows.
"""

from dataclasses import dataclass, field, replace

from launcher_agent.reporting import encoding as messages
from launcher_agent.reporting import settings as stream_settings
from launcher_agent.reporting.deltas import vnc_delta
from launcher_agent.sessions.report import Counters, Report
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.text import truncate
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import AgentCounters, VmiReference


@dataclass(slots=True)
class Stream:
    """One stream: what the handler said, and what was sent."""

    settings: contract.StreamSettings | None = None  # None until Welcome
    features: frozenset[str] = frozenset()
    handler_version: str = ""
    vmi: VmiReference = field(default_factory=VmiReference)
    draining: bool = False
    last_ack: pb.Ack = field(default_factory=pb.Ack)

    base: Report | None = None  # what the handler knows once all that was sent has arrived
    debounce_until: float = float("-inf")  # until then, what has changed can wait
    first: int = 0  # the sequence of the first Snapshot
    snapshot_due: float | None = None
    next_snapshot: float = float("-inf")  # not before then
    last_sent: float = float("-inf")
    counters: tuple[Counters, int] | None = None  # as last sent
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(1, 1.0))


class ReportProtocol:
    """Who reports, what is true, and the stream of the moment."""

    def __init__(self, instance: str, version: str, vmi: VmiReference, report: Report) -> None:
        """`instance` names this run of the agent; `vmi` is a claim and may be empty."""
        hello = pb.Hello(
            instance=instance,
            agent_version=truncate(version, contract.MAX_NAME_BYTES),
            features=sorted(contract.FEATURES),
            vmi=vmi,
        )
        self._hello = pb.ReportSessionsRequest(hello=hello)
        self._report = report
        self.stream = Stream()
        self.sequence = 0
        self.unknown_messages = 0

    def hello(self) -> pb.ReportSessionsRequest:
        """Begin another stream: its first message."""
        self.stream = Stream()
        return self._hello

    def goodbye(self, *, domain_ended: bool) -> pb.ReportSessionsRequest:
        """End it on purpose: its last message."""
        goodbye = pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN, domain_ended=domain_ended)
        return pb.ReportSessionsRequest(goodbye=goodbye)

    # --- What comes in ----------------------------------------------------------------------------------------------

    def update(self, report: Report, now: float) -> None:
        """Know what is true now."""
        stream, waited = self.stream, self._changed()
        self._report = report
        if stream.base is None or stream.settings is None or _matters(stream.base, report):
            stream.debounce_until = now
        elif not waited:
            stream.debounce_until = now + stream.settings.delta_interval

    def receive(self, response: pb.ReportSessionsResponse, now: float) -> None:
        """The handler said this."""
        arm = response.WhichOneof("message")
        expected = ("ack", "resync_request", "drain_notice") if self.stream.settings else ("welcome", "drain_notice")
        if arm not in expected:  # of a newer version, or out of turn
            self.unknown_messages += 1
        elif arm == "welcome":
            self._welcome(response.welcome, now)
        elif arm == "ack":
            self._ack(response.ack)
        elif arm == "resync_request":
            self.stream.snapshot_due = max(now, self.stream.next_snapshot)
        else:
            self.stream.draining = True

    def _welcome(self, welcome: pb.Welcome, now: float) -> None:
        stream, settings = self.stream, stream_settings.settings(welcome)
        stream.settings = settings
        stream.features = stream_settings.features(welcome)
        stream.handler_version = truncate(welcome.handler_version, contract.MAX_NAME_BYTES)
        stream.vmi = stream_settings.vmi(welcome)
        stream.bucket = TokenBucket(settings.delta_burst, settings.delta_interval)
        stream.snapshot_due = now

    def _ack(self, ack: pb.Ack) -> None:
        # Cumulative, and nobody can have accepted what was not sent.
        accepted = max(self.stream.last_ack.accepted, min(ack.accepted, self.sequence))
        self.stream.last_ack = pb.Ack(
            accepted=accepted,
            published=min(ack.published, accepted),
            state=ack.state,
            message=truncate(ack.message, contract.MAX_TEXT_BYTES),
        )

    # --- What goes out ----------------------------------------------------------------------------------------------

    def poll(self, now: float) -> pb.ReportSessionsRequest | None:
        """What to send now; None when there is nothing before `wake_at`."""
        due = self.wake_at(now)
        if due is None or now < due:
            return None
        request = self._due(now, self.stream)
        self.stream.last_sent = now
        return request

    def wake_at(self, now: float) -> float | None:
        """When there is something to send if nothing else happens; None before Welcome. It may lie in the past."""
        stream = self.stream
        if stream.settings is None:
            return None
        heartbeat = stream.last_sent + stream.settings.heartbeat_interval
        if stream.snapshot_due is not None:
            return min(heartbeat, stream.snapshot_due) if stream.base else stream.snapshot_due
        if self._may_send_delta(stream, stream.settings):
            return min(heartbeat, max(stream.debounce_until, stream.bucket.ready_at(now)))
        return heartbeat

    def _due(self, now: float, stream: Stream) -> pb.ReportSessionsRequest:
        if stream.snapshot_due is not None:
            return self._snapshot(now, stream) if now >= stream.snapshot_due else self._heartbeat(stream)
        if stream.settings and self._may_send_delta(stream, stream.settings) and stream.bucket.take(now):
            return self._delta(stream) or self._snapshot(now, stream)
        # News that the window has kept for a whole interval: whatever became of the acks, a Snapshot says it all.
        overdue = stream.settings and self._changed() and self._on_their_way(stream) >= stream.settings.window
        return self._snapshot(now, stream) if overdue else self._heartbeat(stream)

    def _changed(self) -> bool:
        """Whether something is worth a message; counters alone are not."""
        base, report = self.stream.base, self._report
        return base is not None and (base.vnc != report.vnc or base.observation != report.observation)

    def _may_send_delta(self, stream: Stream, settings: contract.StreamSettings) -> bool:
        return self._changed() and self._on_their_way(stream) < settings.window

    def _on_their_way(self, stream: Stream) -> int:
        return self.sequence - max(stream.last_ack.accepted, stream.first)

    def _snapshot(self, now: float, stream: Stream) -> pb.ReportSessionsRequest:
        self.sequence += 1
        interval = stream.settings.delta_interval if stream.settings else 0.0
        if stream.base is None:
            stream.first = self.sequence
        stream.base, stream.counters = self._report, None
        stream.snapshot_due, stream.next_snapshot = None, now + interval
        with_peers = contract.IDENTIFIED_SESSIONS in stream.features
        snapshot = pb.Snapshot(
            sequence=self.sequence,
            observation=messages.observation(self._report.observation),
            services=[messages.vnc_sessions(self._report.vnc, with_peers=with_peers)],
            counters=self._new_counters(stream),
        )
        return pb.ReportSessionsRequest(snapshot=snapshot)

    def _delta(self, stream: Stream) -> pb.ReportSessionsRequest | None:
        """What has changed; None if a Delta has no room for it."""
        base, report = stream.base, self._report
        if base is None:
            return None
        delta = pb.Delta(sequence=self.sequence + 1)
        if base.vnc != report.vnc:
            with_peers = contract.IDENTIFIED_SESSIONS in stream.features
            service = vnc_delta(base.vnc, report.vnc, with_peers=with_peers)
            if service is None:
                return None
            delta.services.append(service)
        if base.observation != report.observation:
            delta.observation.CopyFrom(messages.observation(report.observation))
        counters = self._new_counters(stream)
        if counters is not None:
            delta.counters.CopyFrom(counters)
        self.sequence += 1
        stream.base = report
        return pb.ReportSessionsRequest(delta=delta)

    def _heartbeat(self, stream: Stream) -> pb.ReportSessionsRequest:
        heartbeat = pb.Heartbeat(sequence=self.sequence, counters=self._new_counters(stream))
        return pb.ReportSessionsRequest(heartbeat=heartbeat)

    def _new_counters(self, stream: Stream) -> AgentCounters | None:
        """The counters, if this stream has not carried them as they are."""
        counters = (self._report.counters, self.unknown_messages)
        if counters == stream.counters:
            return None
        stream.counters = counters
        return messages.counters(*counters)


def _matters(base: Report, report: Report) -> bool:
    """Whether more has changed than the number of unfinished clients."""
    return base.observation != report.observation or replace(base.vnc, pending=report.vnc.pending) != report.vnc
