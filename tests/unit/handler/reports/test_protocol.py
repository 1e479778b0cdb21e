"""One stream without any I/O; virtual time. The rules as an agent meets them are in test_stream_rules.py."""

from dataclasses import dataclass, field

import pytest

from handler_service.model import Endpoint, PublishProgress, Reason, ServiceStatus, VmiId
from handler_service.reports.entry import EntryState
from handler_service.reports.protocol import RejectedError, SessionProtocol, message_bucket
from handler_service.reports.store import ReportStore
from servicestatus import contract
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import (
    VMI,
    VNC,
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
PEER = types.IdentifiedSession(id=1, transport=types.TRANSPORT_TCP, peer_address="10.0.0.1", peer_port=1)


@dataclass
class Socket:
    """One endpoint, its report store and its streams."""

    endpoint: Endpoint = field(default_factory=endpoint)
    progress: PublishProgress = field(default_factory=PublishProgress)
    features: frozenset[str] = contract.FEATURES
    now: float = 0.0
    polling: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reports = ReportStore(LEASE, lambda _: None, self.polling)
        self.reports.add(self.endpoint, 0.0)
        self.bucket = message_bucket()

    def dial(self) -> SessionProtocol:
        """A new stream."""
        return SessionProtocol(
            self.reports,
            self.endpoint,
            contract.StreamSettings(),
            "9.9",
            lambda: self.progress,
            bucket=self.bucket,
            features=self.features,
        )

    def open(self, *requests: pb.ReportSessionsRequest) -> SessionProtocol:
        """A new stream that has said hello, and `requests`."""
        stream = self.dial()
        self.say(stream, hello(features=sorted(contract.FEATURES)), *requests)
        return stream

    def say(self, stream: SessionProtocol, *requests: pb.ReportSessionsRequest) -> list[pb.ReportSessionsResponse]:
        """Send, and collect the answers."""
        return [response for request in requests for response in stream.receive(request, self.now)]

    def rejection(self, stream: SessionProtocol, request: pb.ReportSessionsRequest) -> RejectedError:
        """Send what ends the stream."""
        with pytest.raises(RejectedError) as refused:
            stream.receive(request, self.now)
        return refused.value

    @property
    def usb(self) -> ServiceStatus:
        desired = self.reports.desired_status(self.endpoint.vmi)
        assert desired is not None
        return desired.service(types.SERVICE_USB_REDIRECTION)

    @property
    def sessions(self) -> int:
        desired = self.reports.desired_status(self.endpoint.vmi)
        assert desired is not None
        return desired.sessions


@pytest.fixture
def socket() -> Socket:
    return Socket()


def resync(accepted: int, reason: "pb.ResyncReason") -> list[pb.ReportSessionsResponse]:
    """The request for a snapshot."""
    return [pb.ReportSessionsResponse(resync_request=pb.ResyncRequest(accepted=accepted, reason=reason))]


# --- hello ---


def test_welcome_dictates_the_terms(socket: Socket) -> None:
    """All of them are set, the defaults too."""
    (response,) = socket.say(socket.dial(), hello())
    welcome = response.welcome
    assert welcome.handler_version == "9.9"
    assert list(welcome.features) == ["identified-sessions", "service-observations"]
    assert welcome.vmi == types.VmiReference(namespace="default", name="vm")
    assert welcome.heartbeat_interval.ToTimedelta().total_seconds() == 5.0
    assert welcome.lease.ToTimedelta().total_seconds() == 15.0
    assert (welcome.window, welcome.delta_burst) == (8, 8)
    assert welcome.delta_interval.ToTimedelta().total_seconds() == 0.5
    assert not welcome.polling


def test_welcome_asks_for_polls_where_both_sides_know_them() -> None:
    """An agent of the first release would count them as unknown, and an agent that knows them starts at once."""
    socket = Socket(polling={types.SERVICE_SERIAL_CONSOLE: 1.5, types.SERVICE_USB_REDIRECTION: 60.0})
    (response,) = socket.say(socket.dial(), hello(features=["service-observations"]))
    asked = [(one.service, one.interval.ToTimedelta().total_seconds()) for one in response.welcome.polling]
    assert asked == [(types.SERVICE_USB_REDIRECTION, 60.0), (types.SERVICE_SERIAL_CONSOLE, 1.5)]
    (response,) = socket.say(socket.dial(), hello())
    assert not response.welcome.polling


def test_another_service_is_reported_changed_and_ended() -> None:
    """By a snapshot, a delta that adds up, and the end of the domain."""
    usb = types.SERVICE_USB_REDIRECTION
    socket = Socket(polling={usb: 5.0})
    stream = socket.open()
    state = types.ServiceSessions(service=usb, sessions=1, accuracy=types.ACCURACY_EXACT, observation=watching())
    state.sampled_every.FromSeconds(5)
    full = pb.Snapshot(sequence=1, observation=watching(), services=[state])
    assert socket.say(stream, pb.ReportSessionsRequest(snapshot=full)) == []
    assert socket.usb == ServiceStatus(usb, 1, observed=True, reason=Reason.WATCHING, sampled_every=5.0)
    failed = types.Observation(observed=False, reason=types.OBSERVATION_REASON_QUERY_FAILED)
    change = pb.ServiceDelta(service=usb, started=1, sessions=2, accuracy=types.ACCURACY_EXACT, observation=failed)
    assert socket.say(stream, pb.ReportSessionsRequest(delta=pb.Delta(sequence=2, services=[change]))) == []
    assert socket.usb == ServiceStatus(usb, 2, observed=False, reason=Reason.QUERY_FAILED)
    wrong = pb.ServiceDelta(service=usb, started=1, sessions=2)
    assert socket.say(stream, pb.ReportSessionsRequest(delta=pb.Delta(sequence=3, services=[wrong]))) == resync(
        2, pb.RESYNC_REASON_COUNT_MISMATCH
    )


@pytest.mark.parametrize(
    "request_", [snapshot(1), delta(1, 0, 0, 0), heartbeat(0), goodbye(), unknown_arm(), pb.ReportSessionsRequest()]
)
def test_anything_but_hello_first_is_refused(socket: Socket, request_: pb.ReportSessionsRequest) -> None:
    """And leaves no trace."""
    assert socket.rejection(socket.dial(), request_).status == "INVALID_ARGUMENT"
    assert socket.reports.entry("a").state is EntryState.WAITING
    assert socket.reports.entry("a").last_seen is None


@pytest.mark.parametrize(
    ("claim", "status"),
    [
        (types.VmiReference(), None),
        (types.VmiReference(namespace="default", name="vm"), None),
        (types.VmiReference(name="vm"), None),
        (types.VmiReference(name="other"), "PERMISSION_DENIED"),
        (types.VmiReference(namespace="other", name="vm"), "PERMISSION_DENIED"),
        (types.VmiReference(namespace="default", name="vm", uid="another"), "PERMISSION_DENIED"),
        (types.VmiReference(uid="u-1"), None),
        (types.VmiReference(name="m" * 254), "INVALID_ARGUMENT"),
    ],
)
def test_a_claim_is_held_against_the_proof(claim: types.VmiReference, status: str | None) -> None:
    """Every field that is set must agree."""
    socket = Socket(endpoint("a", VmiId("default", "vm", "u-1")))
    if status is None:
        socket.say(socket.dial(), hello(vmi=claim))
        assert socket.reports.entry("a").streams == 1
    else:
        assert socket.rejection(socket.dial(), hello(vmi=claim)).status == status
        assert socket.reports.entry("a").streams == 0


def test_a_uid_is_no_lie_where_none_is_proved(socket: Socket) -> None:
    """Outside a cluster there is nothing to hold it against."""
    socket.say(socket.dial(), hello(vmi=types.VmiReference(uid="anything")))
    assert socket.reports.entry("a").streams == 1


def test_a_refused_hello_does_not_supersede(socket: Socket) -> None:
    """A rejected stream cannot end a valid one."""
    good = socket.open(snapshot(1, 1))
    socket.rejection(socket.dial(), hello(instance=""))
    socket.rejection(socket.dial(), hello(vmi=types.VmiReference(name="other")))
    assert socket.say(good, delta(2, 1, 0, 2)) == []
    assert socket.sessions == 2


# --- sequences ---


def test_deltas_apply_one_after_another(socket: Socket) -> None:
    """The last sequence + 1."""
    stream = socket.open(snapshot(5, 1))
    assert socket.say(stream, delta(6, 1, 0, 2), delta(7, 0, 2, 0), delta(8, 3, 0, 3)) == []
    assert (socket.sessions, socket.reports.entry("a").accepted) == (3, 8)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (delta(7, 1, 0, 2), pb.RESYNC_REASON_SEQUENCE_GAP),
        (delta(6, 1, 0, 1), pb.RESYNC_REASON_COUNT_MISMATCH),
        (heartbeat(6), pb.RESYNC_REASON_SEQUENCE_GAP),
    ],
)
def test_what_does_not_apply_asks_for_a_snapshot_once(
    socket: Socket, request_: pb.ReportSessionsRequest, reason: "pb.ResyncReason"
) -> None:
    """What comes until then is ignored, even if it would apply."""
    stream = socket.open(snapshot(5, 1))
    assert socket.say(stream, request_) == resync(5, reason)
    assert socket.say(stream, request_, delta(6, 1, 0, 2), heartbeat(9)) == []
    assert (socket.sessions, socket.reports.entry("a").resyncs) == (1, 1)
    assert socket.say(stream, snapshot(9, 2), delta(10, 1, 0, 3)) == []
    assert socket.sessions == 3


@pytest.mark.parametrize("request_", [delta(6, 1, 0, 2), heartbeat(6), unknown_arm()])
def test_nothing_but_the_snapshot_keeps_the_lease_while_it_is_owed(
    socket: Socket, request_: pb.ReportSessionsRequest
) -> None:
    """What is held is known to be old, so an agent that never sends it must not keep it valid without a limit."""
    stream = socket.open(snapshot(5, 1), delta(7, 1, 0, 2))
    socket.now = 14.0
    socket.say(stream, request_)
    socket.reports.expire(15.0)
    desired = socket.reports.desired_status(socket.endpoint.vmi)
    assert desired is not None
    assert not desired.observed
    socket.say(stream, request_)
    assert socket.reports.entry("a").state is EntryState.SILENT
    socket.say(stream, snapshot(8, 2))
    assert socket.reports.entry("a").state is EntryState.REPORTING


@pytest.mark.parametrize("request_", [delta(1, 1, 0, 1), delta(0, 0, 0, 0), heartbeat(1)])
def test_before_the_snapshot_everything_asks_for_one(socket: Socket, request_: pb.ReportSessionsRequest) -> None:
    """A sequence of 0 is no exception."""
    stream = socket.open()
    assert socket.say(stream, request_) == resync(0, pb.RESYNC_REASON_NO_SNAPSHOT)


def test_a_heartbeat_that_names_no_sequence_asks_for_nothing(socket: Socket) -> None:
    """Nothing was sent, nothing is missing."""
    assert socket.say(socket.open(), heartbeat(0)) == []


def test_a_sequence_that_was_seen_is_dropped(socket: Socket) -> None:
    """Its numbers are not even looked at."""
    stream = socket.open(snapshot(5, 1), delta(6, 1, 0, 2))
    assert socket.say(stream, delta(6, 1, 0, 2), delta(3, 60_000, 0, 60_000), heartbeat(2)) == []
    assert (socket.sessions, socket.reports.entry("a").accepted) == (2, 6)


@pytest.mark.parametrize("sequence", [0, 4, 5])
def test_a_snapshot_s_sequence_grows(socket: Socket, sequence: int) -> None:
    """Otherwise an earlier ack would confirm a later report."""
    stream = socket.open(snapshot(5, 1))
    assert socket.rejection(stream, snapshot(sequence, 2)).status == "INVALID_ARGUMENT"
    assert socket.sessions == 1


def test_out_of_bounds_ends_the_stream_and_changes_nothing(socket: Socket) -> None:
    """The text names the bound."""
    stream = socket.open(snapshot(5, 1))
    rejection = socket.rejection(stream, snapshot(6, 65_536))
    assert (rejection.status, rejection.detail) == ("INVALID_ARGUMENT", "more than 65535 sessions")
    assert (socket.sessions, socket.reports.entry("a").accepted) == (1, 5)


def test_a_delta_may_change_the_observation_alone(socket: Socket) -> None:
    """libvirt was lost: the numbers stay."""
    stream = socket.open(snapshot(5, 1))
    socket.say(stream, pb.ReportSessionsRequest(delta=pb.Delta(sequence=6, observation=unreachable())))
    desired = socket.reports.desired_status(VMI)
    assert desired is not None
    assert (desired.sessions, desired.observed, desired.reason) == (1, False, Reason.LIBVIRT_UNREACHABLE)


# --- what is not known ---


def test_an_unknown_arm_is_counted_and_keeps_the_lease(socket: Socket) -> None:
    """It is a sign of life."""
    stream = socket.open(snapshot(1, 1))
    socket.now = 10.0
    assert socket.say(stream, unknown_arm(), pb.ReportSessionsRequest()) == []
    assert socket.reports.entry("a").unknown_items == 2
    assert socket.reports.next_expiry() == 25.0


def test_unknown_services_and_words_are_counted(socket: Socket) -> None:
    """A service and a goodbye's reason of a later version."""
    later = types.ServiceSessions(service=9, sessions=5)  # type: ignore[arg-type]
    stream = socket.open(pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=1, services=[later])))
    assert (socket.reports.entry("a").unknown_items, socket.sessions) == (1, 0)
    socket.say(stream, pb.ReportSessionsRequest(goodbye=pb.Goodbye(reason=42)))  # type: ignore[arg-type]
    assert socket.reports.entry("a").unknown_items == 2


@pytest.mark.parametrize(("ours", "theirs", "kept"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_peers_are_known_only_where_both_sides_listed_the_feature(ours: bool, theirs: bool, kept: int) -> None:
    """A handler that must not know peers leaves it out, and does not know them whatever is sent."""
    socket = Socket(features=contract.FEATURES if ours else frozenset())
    stream = socket.dial()
    socket.say(stream, hello(features=["identified-sessions", "later"] if theirs else ["later"]))
    service = types.ServiceSessions(service=VNC, sessions=1, identified=[PEER])
    socket.say(stream, pb.ReportSessionsRequest(snapshot=pb.Snapshot(sequence=1, services=[service])))
    assert len(socket.reports.entry("a").services[VNC].identified) == kept
    change = pb.ServiceDelta(service=VNC, started=0, ended=1, sessions=0, closed=[1])
    assert socket.say(stream, pb.ReportSessionsRequest(delta=pb.Delta(sequence=2, services=[change]))) == []
    assert socket.sessions == 0


# --- acks ---


def test_acks_say_two_numbers_and_only_news(socket: Socket) -> None:
    """Accepted, and published; the state and a text when something is wrong."""
    stream = socket.open()
    assert stream.ack() is None
    socket.say(stream, snapshot(3, 1))
    assert stream.ack() == pb.Ack(accepted=3, published=0, state=pb.PUBLISH_STATE_PENDING)
    assert stream.ack() is None
    socket.progress = PublishProgress(stream.stream, 3, pb.PUBLISH_STATE_PUBLISHED)
    assert stream.ack() == pb.Ack(accepted=3, published=3, state=pb.PUBLISH_STATE_PUBLISHED)
    socket.progress = PublishProgress(stream.stream, 3, pb.PUBLISH_STATE_FAILING, "ä" * 200)
    assert stream.ack() == pb.Ack(accepted=3, published=3, state=pb.PUBLISH_STATE_FAILING, message="ä" * 128)
    assert stream.ack() is None


def test_published_is_of_this_stream(socket: Socket) -> None:
    """Sequences of another one mean nothing here."""
    first = socket.open(snapshot(3, 1))
    socket.progress = PublishProgress(first.stream, 3, pb.PUBLISH_STATE_PUBLISHED)
    second = socket.open(snapshot(1, 1))
    assert second.ack() == pb.Ack(accepted=1, published=0, state=pb.PUBLISH_STATE_PUBLISHED)


def test_published_never_exceeds_accepted_and_never_goes_back(socket: Socket) -> None:
    """Acks are cumulative."""
    stream = socket.open(snapshot(3, 1))
    socket.progress = PublishProgress(stream.stream, 99)
    assert stream.ack() == pb.Ack(accepted=3, published=3, state=pb.PUBLISH_STATE_PENDING)
    socket.progress = PublishProgress(stream.stream, 2, pb.PUBLISH_STATE_FAILING)
    assert stream.ack() == pb.Ack(accepted=3, published=3, state=pb.PUBLISH_STATE_FAILING)


def test_all_is_published_where_the_place_holds_what_was_accepted_on_this_stream(socket: Socket) -> None:
    """Not before a stream has said anything, nor for an older sequence or another stream."""
    assert not socket.dial().published
    stream = socket.open(snapshot(3, 1))
    assert not stream.published
    socket.progress = PublishProgress(stream.stream, 2)
    assert not stream.published
    socket.progress = PublishProgress(stream.stream - 1, 3)
    assert not stream.published
    socket.progress = PublishProgress(stream.stream, 3)
    assert stream.published


# --- the end ---


def test_a_superseded_stream_changes_nothing(socket: Socket) -> None:
    """Whatever it says, it is aborted."""
    old = socket.open(snapshot(1, 1))
    socket.open(snapshot(1, 5))
    for request in (delta(2, 1, 0, 2), snapshot(2, 0), heartbeat(1), goodbye(domain_ended=True), unknown_arm()):
        assert socket.rejection(old, request).status == "ABORTED"
    assert old.ack() is None
    assert socket.sessions == 5


def test_goodbye_ends_it(socket: Socket) -> None:
    """With or without a domain left."""
    stream = socket.open(snapshot(1, 1), goodbye())
    assert stream.over
    assert (socket.reports.entry("a").state, socket.sessions) == (EntryState.GOODBYE, 1)
    assert socket.open(goodbye(domain_ended=True)).over
    assert socket.sessions == 0


def test_a_second_hello_is_refused(socket: Socket) -> None:
    """Even one that says the same."""
    stream = socket.open()
    rejection = socket.rejection(stream, hello())
    assert (rejection.status, rejection.detail) == ("INVALID_ARGUMENT", "a second hello")


# --- bounds ---


def test_a_socket_may_send_so_much(socket: Socket) -> None:
    """A burst, then 40 a second."""
    stream = socket.open(*[heartbeat(0)] * 99)
    assert socket.rejection(stream, heartbeat(0)).status == "RESOURCE_EXHAUSTED"
    socket.now = 1.0
    assert socket.say(stream, *[heartbeat(0)] * 40) == []
    assert socket.rejection(stream, heartbeat(0)).status == "RESOURCE_EXHAUSTED"


def test_a_new_stream_is_no_new_allowance(socket: Socket) -> None:
    """The bound is the socket's: who dials again and again gains nothing."""
    for _ in range(10):
        socket.open(*[heartbeat(0)] * 9)
    assert socket.rejection(socket.dial(), hello()).status == "RESOURCE_EXHAUSTED"


def test_an_agent_that_keeps_to_the_terms_never_meets_the_bound(socket: Socket) -> None:
    """An hour of the greatest storm that an agent passes on."""
    stream, number, sequence = socket.open(snapshot(1)), 0, 1
    while socket.now < 3_600.0:
        socket.now += 0.25
        sequence += 1
        number = 1 - number
        assert socket.say(stream, delta(sequence, number, 1 - number, number)) == []
    assert socket.reports.entry("a").accepted == 14_401


def test_what_no_ack_has_said_is_counted(socket: Socket) -> None:
    """So that an ack comes before the agent's window is used up."""
    stream = socket.dial()
    assert stream.unacked == 0
    socket.say(stream, hello(), snapshot(1), delta(2, started=1, ended=0, sessions=1))
    assert stream.unacked == 2
    assert stream.ack() is not None
    assert stream.unacked == 0
