"""The agent's side of the report protocol, as a state machine without I/O.

The caller passes in the handler's messages and the current report, and asks which message to send and when. One object
serves all streams of a run of the agent, because the instance and its sequence continue from one stream to the next.

Invariants:
- Only Hello is sent before Welcome. The first message after Welcome is a Snapshot.
- A Delta is the difference between the state that was sent last and the current one. Waiting events are merged that
  way; there is no queue.
- A change of the number of unfinished clients alone is debounced. A viewer that finishes its handshake a millisecond
  after it connected is then one message, and a port scanner uses no token that a session needs.
- A sequence is used once. At most `window` Deltas are unacknowledged, and a token bucket limits their rate. A change
  that a full window has held back for a heartbeat interval is sent as a Snapshot, so a lost Ack cannot stop a stream.
- No message of a handler raises an error. An unknown message is counted and ignored, a value out of range is clamped.

Times are seconds of a monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from launcher_agent.reporting import deltas
from launcher_agent.reporting import encoding as messages
from launcher_agent.reporting import settings as stream_settings
from launcher_agent.sessions.report import Counters, Report
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.text import truncate
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import AgentCounters, Service, VmiReference


@dataclass(slots=True)
class Stream:
    """The state of one stream: what was received and what was sent."""

    settings: contract.StreamSettings | None = None  # None until Welcome
    features: frozenset[str] = frozenset()
    polling: Mapping[Service, float] = field(default_factory=dict)
    handler_version: str = ""
    vmi: VmiReference = field(default_factory=VmiReference)
    draining: bool = False
    last_ack: pb.Ack = field(default_factory=pb.Ack)

    base: Report | None = None  # the state that was sent last
    debounce_until: float = float("-inf")  # until then a change is not sent
    first: int = 0  # the sequence of the first Snapshot
    snapshot_due: float | None = None
    next_snapshot: float = float("-inf")  # earliest time of the next Snapshot
    last_sent: float = float("-inf")
    counters: tuple[Counters, int] | None = None  # as last sent
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(1, 1.0))


class _Message(Enum):
    SNAPSHOT = auto()
    DELTA = auto()
    HEARTBEAT = auto()


class _Due(NamedTuple):
    """The next message, and when to send it."""

    at: float
    message: _Message


class ReportProtocol:
    """Decides which message the agent sends next, and when."""

    def __init__(self, instance: str, version: str, vmi: VmiReference, report: Report) -> None:
        """`instance` identifies this run of the agent; `vmi` is a claim and may be empty."""
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
        """Begin a stream and return its first message."""
        self.stream = Stream()
        return self._hello

    def goodbye(self, *, domain_ended: bool) -> pb.ReportSessionsRequest:
        """Return the last message of a stream that the agent ends."""
        goodbye = pb.Goodbye(reason=pb.GOODBYE_REASON_SHUTDOWN, domain_ended=domain_ended)
        return pb.ReportSessionsRequest(goodbye=goodbye)

    # --- Received -----------------------------------------------------------------------------------------------------

    def update(self, report: Report, now: float) -> None:
        """Set the current report; a change that can wait is debounced."""
        stream, waited = self.stream, self._changed()
        self._report = report
        if stream.base is None or stream.settings is None or deltas.matters(stream.base, report, stream.features):
            stream.debounce_until = now
        elif not waited:
            stream.debounce_until = now + stream.settings.delta_interval

    def receive(self, response: pb.ReportSessionsResponse, now: float) -> None:
        """Process a message of the handler."""
        arm = response.WhichOneof("message")
        expected = ("ack", "resync_request", "drain_notice") if self.stream.settings else ("welcome", "drain_notice")
        if arm not in expected:  # unknown to this version, or not expected now
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
        stream.polling = stream_settings.polling(welcome)
        stream.handler_version = truncate(welcome.handler_version, contract.MAX_NAME_BYTES)
        stream.vmi = stream_settings.vmi(welcome)
        stream.bucket = TokenBucket(settings.delta_burst, settings.delta_interval)
        stream.snapshot_due = now

    def _ack(self, ack: pb.Ack) -> None:
        # Acks are cumulative. A sequence that was not sent cannot have been accepted.
        accepted = max(self.stream.last_ack.accepted, min(ack.accepted, self.sequence))
        self.stream.last_ack = pb.Ack(
            accepted=accepted,
            published=min(ack.published, accepted),
            state=ack.state,
            message=truncate(ack.message, contract.MAX_TEXT_BYTES),
        )

    # --- Sent ---------------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> pb.ReportSessionsRequest | None:
        """Return the message to send now; None when nothing is due before `wake_at`."""
        due = self._next(now)
        if due is None or now < due.at:
            return None
        stream = self.stream
        if due.message is _Message.SNAPSHOT:
            request = self._snapshot(now, stream)
        elif due.message is _Message.DELTA:
            stream.bucket.take(now)
            request = self._delta(stream) or self._snapshot(now, stream)
        else:
            request = self._heartbeat(stream)
        stream.last_sent = now
        return request

    def wake_at(self, now: float) -> float | None:
        """Return when a message is due if nothing else happens; None before Welcome. The time may be in the past."""
        due = self._next(now)
        return None if due is None else due.at

    def _next(self, now: float) -> _Due | None:
        """Decide which message comes next and when; None before Welcome."""
        stream, settings = self.stream, self.stream.settings
        if settings is None:
            return None
        heartbeat = stream.last_sent + settings.heartbeat_interval
        if stream.snapshot_due is not None:
            # Nothing but a Snapshot may be the first message after Welcome.
            if stream.base is None or stream.snapshot_due <= max(heartbeat, now):
                return _Due(stream.snapshot_due, _Message.SNAPSHOT)
            return _Due(heartbeat, _Message.HEARTBEAT)
        if not self._changed():
            return _Due(heartbeat, _Message.HEARTBEAT)
        if self._in_flight(stream) >= settings.window:
            # A full window has held the change back for a heartbeat's time. A Snapshot needs no Ack to be complete.
            return _Due(heartbeat, _Message.SNAPSHOT)
        token = stream.bucket.ready_at(now)
        at = min(heartbeat, max(stream.debounce_until, token))
        return _Due(at, _Message.DELTA if token <= max(at, now) else _Message.HEARTBEAT)

    def _changed(self) -> bool:
        """Return whether the sessions or an observation changed since the last message; counters do not count."""
        base, report = self.stream.base, self._report
        return base is not None and deltas.changed(base, report, self.stream.features)

    def _in_flight(self, stream: Stream) -> int:
        """Count the messages after the first Snapshot that the handler has not accepted."""
        return self.sequence - max(stream.last_ack.accepted, stream.first)

    def _snapshot(self, now: float, stream: Stream) -> pb.ReportSessionsRequest:
        self.sequence += 1
        interval = stream.settings.delta_interval if stream.settings else 0.0
        if stream.base is None:
            stream.first = self.sequence
        stream.base, stream.counters = self._report, None
        stream.snapshot_due, stream.next_snapshot = None, now + interval
        snapshot = pb.Snapshot(
            sequence=self.sequence,
            observation=messages.observation(self._report.observation),
            services=messages.services(self._report, stream.features),
            counters=self._new_counters(stream),
        )
        return pb.ReportSessionsRequest(snapshot=snapshot)

    def _delta(self, stream: Stream) -> pb.ReportSessionsRequest | None:
        """Return the change since the last message; None if it exceeds the limits of a Delta."""
        base, report = stream.base, self._report
        if base is None:
            return None
        services = deltas.services(base, report, stream.features)
        if services is None:
            return None
        delta = pb.Delta(sequence=self.sequence + 1, services=services)
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
        """Return the counters if they changed since this stream carried them last."""
        counters = (self._report.counters, self.unknown_messages)
        if counters == stream.counters:
            return None
        stream.counters = counters
        return messages.counters(*counters)
