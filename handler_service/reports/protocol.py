"""The handler's side of one ReportSessions stream, without any I/O.

Takes requests, changes the report store and returns responses. The eleven rules are those of
`session_report_service.proto`; each is a test. Invariants:
- Nothing reaches the report store before Hello was accepted, or after a newer stream has opened.
- `accepted` never exceeds the sequence in the report store, and `published` never exceeds `accepted`.
"""

from collections.abc import Callable
from typing import Final

from handler_service.model import Endpoint, PublishProgress
from handler_service.reports import decode as messages
from handler_service.reports.store import ReportStore
from servicestatus import contract
from servicestatus.rate_limit import TokenBucket
from servicestatus.text import truncate
from servicestatus.timestamps import duration
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types

#: Messages that a socket may send at once, and then one each interval: over ten times what an agent that keeps to the
#: default terms can send, so that only a flood meets it. Hello counts, so this bounds new streams too.
MESSAGE_BURST: Final = 100
MESSAGE_INTERVAL: Final = 0.025


def message_bucket() -> TokenBucket:
    """Return the rate limit of one socket, for all its streams together."""
    return TokenBucket(MESSAGE_BURST, MESSAGE_INTERVAL)


class RejectedError(Exception):
    """The stream ends with `status`, a name of grpc.StatusCode."""

    def __init__(self, status: str, detail: str) -> None:
        """`detail` goes to the peer."""
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class SessionProtocol:
    """One stream."""

    def __init__(
        self,
        reports: ReportStore,
        endpoint: Endpoint,
        settings: contract.StreamSettings,
        handler_version: str,
        progress: Callable[[], PublishProgress],
        *,
        bucket: TokenBucket,
        features: frozenset[str] = contract.FEATURES,
    ) -> None:
        """`progress` returns the endpoint's publish progress; `bucket` limits the messages of its socket."""
        self._reports = reports
        self._endpoint = endpoint
        self._settings = settings
        self._version = handler_version
        self._progress = progress
        self._features = features
        self._in_force: frozenset[str] = frozenset()
        self._bucket = bucket
        self._stream = 0
        self._resyncing = False
        self._acked = pb.Ack()
        self.over = False

    @property
    def stream(self) -> int:
        """The stream's number in the report store; 0 before Hello."""
        return self._stream

    @property
    def unacked(self) -> int:
        """The number of accepted sequences that no ack has confirmed."""
        return self._accepted - self._acked.accepted if self._stream else 0

    @property
    def published(self) -> bool:
        """Whether the accepted sequence is published, so that no later ack can confirm more."""
        progress = self._progress()
        of_this = bool(self._stream) and progress.stream == self._stream
        return of_this and progress.sequence >= self._accepted

    @property
    def _accepted(self) -> int:
        """The newest sequence in the report store."""
        return self._reports.entry(self._endpoint.id).accepted

    def receive(self, request: pb.ReportSessionsRequest, now: float) -> list[pb.ReportSessionsResponse]:
        """Take one message. Returns the immediate responses; raises RejectedError when the stream must end."""
        if not self._bucket.take(now):
            raise RejectedError("RESOURCE_EXHAUSTED", "too many messages")
        arm = request.WhichOneof("message")
        self._reports.count_message(arm or "unknown")
        if not self._stream:
            if arm != "hello":
                raise RejectedError("INVALID_ARGUMENT", "the first message must be hello")
            return [self._hello(request.hello, now)]
        if not self._reports.is_current(self._endpoint.id, self._stream):
            raise RejectedError("ABORTED", "superseded by a newer stream on this socket")
        try:
            return self._dispatch(arm, request, now)
        except messages.OutOfBoundsError as error:
            raise RejectedError("INVALID_ARGUMENT", str(error)) from error

    def ack(self) -> pb.Ack | None:
        """Return an Ack, or None if it would repeat the last one."""
        if not self._stream or not self._reports.is_current(self._endpoint.id, self._stream):
            return None
        progress = self._progress()
        accepted = self._accepted
        published = progress.sequence if progress.stream == self._stream else 0
        ack = pb.Ack(
            accepted=accepted,
            # Cumulative: a sequence that was published once stays published.
            published=max(self._acked.published, min(accepted, published)),
            state=progress.state,
            message=truncate(progress.message, contract.MAX_TEXT_BYTES),
        )
        if ack == self._acked or not accepted:
            return None
        self._acked = ack
        return ack

    def _dispatch(
        self, arm: str | None, request: pb.ReportSessionsRequest, now: float
    ) -> list[pb.ReportSessionsResponse]:
        if arm == "delta":
            return self._delta(request.delta, now)
        if arm == "heartbeat":
            return self._heartbeat(request.heartbeat, now)
        if arm == "snapshot":
            return self._snapshot(request.snapshot, now)
        if arm == "goodbye":
            return self._goodbye(request.goodbye, now)
        if arm == "hello":
            raise RejectedError("INVALID_ARGUMENT", "a second hello")
        self._unknown(1)
        self._keep_lease(now)
        return []

    def _hello(self, hello: pb.Hello, now: float) -> pb.ReportSessionsResponse:
        try:
            messages.hello_fields(hello)
        except messages.OutOfBoundsError as error:
            raise RejectedError("INVALID_ARGUMENT", str(error)) from error
        self._check_claim(hello.vmi)
        self._in_force = self._features.intersection(hello.features)
        self._stream = self._reports.opened(self._endpoint.id, hello.instance, hello.agent_version, now)
        return pb.ReportSessionsResponse(
            welcome=pb.Welcome(
                handler_version=self._version,
                features=sorted(self._features),
                vmi=types.VmiReference(**self._endpoint.vmi._asdict()),
                heartbeat_interval=duration(self._settings.heartbeat_interval),
                lease=duration(self._settings.lease),
                window=self._settings.window,
                delta_burst=self._settings.delta_burst,
                delta_interval=duration(self._settings.delta_interval),
                polling=self._polling(),
            )
        )

    def _polling(self) -> list[types.Polling]:
        asked = self._reports.polling if contract.SERVICE_OBSERVATIONS in self._in_force else {}
        return [
            types.Polling(service=types.Service.Name(service), interval=duration(seconds))
            for service, seconds in sorted(asked.items())
        ]

    def _check_claim(self, claim: types.VmiReference) -> None:
        proved = self._endpoint.vmi
        for field, value in proved._asdict().items():
            claimed = getattr(claim, field)
            # If the socket proves no UID, the claim cannot be checked.
            if claimed and value and claimed != value:
                raise RejectedError("PERMISSION_DENIED", f"this socket is not of a VMI with {field} {claimed}")

    def _snapshot(self, snapshot: pb.Snapshot, now: float) -> list[pb.ReportSessionsResponse]:
        if snapshot.sequence <= self._reports.entry(self._endpoint.id).accepted:
            raise RejectedError("INVALID_ARGUMENT", "a snapshot's sequence is at least 1, and grows")
        self._anonymize(snapshot)
        services = messages.snapshot_services(snapshot.services)
        self._unknown(messages.unknown_items(snapshot))
        self._count(snapshot)
        self._resyncing = False
        observed = messages.observation(snapshot.observation)
        self._reports.replace(self._endpoint.id, snapshot.sequence, observed, services, now)
        return []

    def _delta(self, delta: pb.Delta, now: float) -> list[pb.ReportSessionsResponse]:
        entry = self._reports.entry(self._endpoint.id)
        if self._resyncing or 0 < delta.sequence <= entry.accepted:
            self._keep_lease(now)
            return []
        if not entry.accepted:
            return self._resync(pb.RESYNC_REASON_NO_SNAPSHOT, now)
        if delta.sequence != entry.accepted + 1:
            return self._resync(pb.RESYNC_REASON_SEQUENCE_GAP, now)
        self._anonymize(delta)
        try:
            services = messages.delta_services(delta.services, entry.services)
        except messages.MismatchError:
            return self._resync(pb.RESYNC_REASON_COUNT_MISMATCH, now)
        self._unknown(messages.unknown_items(delta))
        self._count(delta)
        observed = messages.observation(delta.observation) if delta.HasField("observation") else None
        self._reports.update(self._endpoint.id, delta.sequence, observed, services, now)
        return []

    def _heartbeat(self, heartbeat: pb.Heartbeat, now: float) -> list[pb.ReportSessionsResponse]:
        self._count(heartbeat)
        accepted = self._reports.entry(self._endpoint.id).accepted
        if heartbeat.sequence > accepted and not self._resyncing:
            return self._resync(pb.RESYNC_REASON_SEQUENCE_GAP if accepted else pb.RESYNC_REASON_NO_SNAPSHOT, now)
        self._keep_lease(now)
        return []

    def _keep_lease(self, now: float) -> None:
        """Renew the lease, except while a Snapshot is pending: the stored report is known to be outdated then."""
        if not self._resyncing:
            self._reports.renew_lease(self._endpoint.id, now)

    def _goodbye(self, goodbye: pb.Goodbye, now: float) -> list[pb.ReportSessionsResponse]:
        self._unknown(goodbye.reason not in pb.GoodbyeReason.values())
        self._reports.goodbye(self._endpoint.id, goodbye.domain_ended, now)
        self.over = True
        return []

    def _resync(self, reason: "pb.ResyncReason", now: float) -> list[pb.ReportSessionsResponse]:
        self._resyncing = True
        self._reports.renew_lease(self._endpoint.id, now)
        self._reports.resyncing(self._endpoint.id, reason)
        accepted = self._reports.entry(self._endpoint.id).accepted
        return [pb.ReportSessionsResponse(resync_request=pb.ResyncRequest(accepted=accepted, reason=reason))]

    def _anonymize(self, message: pb.Snapshot | pb.Delta) -> None:
        if contract.IDENTIFIED_SESSIONS not in self._in_force:
            messages.anonymize(message)

    def _count(self, message: pb.Snapshot | pb.Delta | pb.Heartbeat) -> None:
        if message.HasField("counters"):
            self._reports.set_counters(self._endpoint.id, messages.counters(message.counters))

    def _unknown(self, number: int) -> None:
        self._reports.unknown(self._endpoint.id, number)
