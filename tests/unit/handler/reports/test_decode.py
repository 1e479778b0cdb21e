"""Every bound of what an agent may send, and what becomes of what this handler does not know."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from handler_service.model import Reason
from handler_service.reports import decode as messages
from handler_service.reports.decode import MismatchError, OutOfBoundsError
from handler_service.reports.entry import Identified, Observed, ServiceState
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from tests.unit.handler.builders import VNC

LATER_SERVICE = 7  # of a later version


def identified(id_: int = 1, address: str = "10.0.0.1", port: int = 5900) -> types.IdentifiedSession:
    """A session whose peer is known."""
    return types.IdentifiedSession(id=id_, transport=types.TRANSPORT_TCP, peer_address=address, peer_port=port)


def sessions(number: int = 0, **fields: object) -> types.ServiceSessions:
    """A snapshot's word on VNC."""
    return types.ServiceSessions(service=VNC, sessions=number, **fields)  # type: ignore[arg-type]


def delta(before: int, started: int, ended: int, now: int, **fields: object) -> ServiceState:
    """What a delta makes of `before` anonymous sessions."""
    change = pb.ServiceDelta(service=VNC, started=started, ended=ended, sessions=now, **fields)  # type: ignore[arg-type]
    return messages.delta_services([change], {VNC: ServiceState(sessions=before)})[VNC]


# --- other services than VNC ---


def test_a_service_has_an_observation_and_an_interval_of_its_own() -> None:
    """Where the agent does not set them, it has none."""
    observation = types.Observation(observed=False, reason=types.OBSERVATION_REASON_QUERY_FAILED, message="x" * 300)
    usb = types.ServiceSessions(service=types.SERVICE_USB_REDIRECTION, sessions=2, observation=observation)
    usb.sampled_every.FromMilliseconds(2_500)
    found = messages.snapshot_services([usb, sessions(1)])
    state = found[types.SERVICE_USB_REDIRECTION]
    assert (state.sessions, state.sampled_every) == (2, 2.5)
    assert state.observation == Observed(False, Reason.QUERY_FAILED, "x" * 256)
    assert (found[VNC].observation, found[VNC].sampled_every) == (None, None)


@pytest.mark.parametrize(("milliseconds", "seconds"), [(-5_000, 1.0), (0, 1.0), (10**12, 60.0)])
def test_an_interval_out_of_bounds_is_the_nearest_bound(milliseconds: int, seconds: float) -> None:
    """A reader is shown it."""
    usb = types.ServiceSessions(service=types.SERVICE_USB_REDIRECTION)
    usb.sampled_every.FromMilliseconds(milliseconds)
    assert messages.snapshot_services([usb])[types.SERVICE_USB_REDIRECTION].sampled_every == seconds


@pytest.mark.parametrize("service", [2, 3, 4])
def test_each_service_has_the_bounds_of_vnc(service: int) -> None:
    """A hostile agent's number cannot be larger than the companion's schema admits."""
    too_many = types.ServiceSessions(service=types.Service.Name(service), sessions=65_536)
    with pytest.raises(OutOfBoundsError, match="more than 65535 sessions"):
        messages.snapshot_services([too_many])
    with pytest.raises(OutOfBoundsError, match="there twice"):
        messages.snapshot_services([types.ServiceSessions(service=types.Service.Name(service))] * 2)


# --- hello ---


@pytest.mark.parametrize(
    "hello",
    [
        pb.Hello(instance="x"),
        pb.Hello(instance="x" * 64, agent_version="v" * 64, features=["f" * 64] * 64),
        pb.Hello(instance="a b", vmi=types.VmiReference(namespace="n" * 63, name="m" * 253, uid="u" * 64)),
        pb.Hello(instance="x", agent_version="ä" * 32),
    ],
)
def test_a_hello_within_bounds_is_taken(hello: pb.Hello) -> None:
    """The largest legal one too."""
    messages.hello_fields(hello)


@pytest.mark.parametrize(
    ("hello", "field"),
    [
        (pb.Hello(), "instance"),
        (pb.Hello(instance=" "), "instance"),
        (pb.Hello(instance="ä"), "instance"),
        (pb.Hello(instance="a\nb"), "instance"),
        (pb.Hello(instance="\x1b[2J"), "instance"),
        (pb.Hello(instance="x" * 65), "instance"),
        (pb.Hello(instance="x", agent_version="v" * 65), "agent_version"),
        (pb.Hello(instance="x", agent_version="ä" * 33), "agent_version"),
        (pb.Hello(instance="x", features=["f"] * 65), "features"),
        (pb.Hello(instance="x", features=["f" * 65]), "features"),
        (pb.Hello(instance="x", vmi=types.VmiReference(namespace="n" * 64)), "vmi.namespace"),
        (pb.Hello(instance="x", vmi=types.VmiReference(name="m" * 254)), "vmi.name"),
        (pb.Hello(instance="x", vmi=types.VmiReference(uid="u" * 65)), "vmi.uid"),
    ],
)
def test_a_hello_out_of_bounds_names_its_field(hello: pb.Hello, field: str) -> None:
    """And not its value, which may be anything."""
    with pytest.raises(OutOfBoundsError, match=field):
        messages.hello_fields(hello)


# --- observation ---


def test_an_observation_is_translated() -> None:
    """Reason by reason."""
    message = types.Observation(
        observed=True, reason=types.OBSERVATION_REASON_NO_DOMAIN, message="no domain", since=Timestamp(seconds=5)
    )
    assert messages.observation(message) == Observed(True, Reason.NO_DOMAIN, "no domain", 5.0)


@pytest.mark.parametrize("number", [n for n in types.ObservationReason.values() if n])
def test_every_reason_has_a_word(number: int) -> None:
    """A reason that is added to the contract must be added here."""
    message = types.Observation(reason=number)  # type: ignore[arg-type]
    assert messages.observation(message).reason is not Reason.UNKNOWN


@pytest.mark.parametrize("number", [0, 77, -1])
def test_an_unknown_reason_stays_a_reason(number: int) -> None:
    """What it says of being observed still counts."""
    message = types.Observation(observed=True, reason=number)  # type: ignore[arg-type]
    assert messages.observation(message) == Observed(True, Reason.UNKNOWN)


def test_an_observation_s_text_is_cut() -> None:
    """256 bytes are enough for people."""
    assert messages.observation(types.Observation(message="x" * 1_000)).message == "x" * 256


# --- services ---


def test_a_snapshot_is_translated() -> None:
    """Numbers, accuracy, since, and the peers."""
    message = sessions(
        2,
        pending=1,
        accuracy=types.ACCURACY_EXACT,
        since=Timestamp(seconds=10, nanos=500_000_000),
        identified=[identified(4, "::1", 65_535)],
    )
    assert messages.snapshot_services([message]) == {
        VNC: ServiceState(2, 1, types.ACCURACY_EXACT, 10.5, {4: Identified(types.TRANSPORT_TCP, "::1", 65_535, None)})
    }


@pytest.mark.parametrize("number", [types.ACCURACY_UNSPECIFIED, 9, -3])
def test_an_accuracy_that_is_not_understood_is_an_upper_bound(number: int) -> None:
    """The reading that never lowers a value wrongly."""
    known = messages.snapshot_services([sessions(1, accuracy=number)])
    assert known[VNC].accuracy == types.ACCURACY_UPPER_BOUND


def test_a_transport_that_is_not_understood_is_none() -> None:
    """One that this version has no name for."""
    session = types.IdentifiedSession(id=1, transport=55)  # type: ignore[arg-type]
    known = messages.snapshot_services([sessions(1, identified=[session])])
    assert known[VNC].identified[1].transport == types.TRANSPORT_UNSPECIFIED


@pytest.mark.parametrize("number", [0, LATER_SERVICE, 2**31 - 1, -1])
def test_an_unknown_service_is_ignored(number: int) -> None:
    """A newer agent may report more than this handler publishes."""
    later = types.ServiceSessions(service=number, sessions=2**32 - 1)  # type: ignore[arg-type]
    known = messages.snapshot_services([later, sessions(1)])
    assert {service: state.sessions for service, state in known.items()} == {VNC: 1}
    change = pb.ServiceDelta(service=number, started=5)  # type: ignore[arg-type]
    assert messages.delta_services([change], {}) == {}


@pytest.mark.parametrize(
    ("services", "problem"),
    [
        ([sessions()] * 17, "more than 16 services"),
        ([types.ServiceSessions(service=LATER_SERVICE)] * 17, "more than 16 services"),  # type: ignore[arg-type]
        ([sessions(1), sessions(1)], "service 1 is there twice"),
        ([sessions(65_536)], "more than 65535 sessions"),
        ([sessions(0, pending=65_536)], "more than 65535 sessions"),
        ([sessions(1, identified=[identified(1), identified(2)])], "more identified sessions"),
        ([sessions(300, identified=[identified(n + 1) for n in range(257)])], "more identified sessions"),
        ([sessions(2, identified=[identified(1), identified(1)])], "identified session 1 is 0 or there twice"),
        ([sessions(1, identified=[identified(0)])], "identified session 0 is 0 or there twice"),
        ([sessions(1, identified=[identified(1, "a" * 65)])], "peer_address is longer than 64 bytes"),
        ([sessions(1, identified=[identified(1, port=65_536)])], "peer_port 65536"),
    ],
)
def test_a_snapshot_out_of_bounds_is_refused(services: list[types.ServiceSessions], problem: str) -> None:
    """A peer may lie about its own VM only, and only so much."""
    with pytest.raises(OutOfBoundsError, match=problem):
        messages.snapshot_services(services)


def test_the_largest_legal_snapshot_is_taken() -> None:
    """Bounds include their number."""
    peers = [identified(n + 1, "a" * 64, 65_535) for n in range(256)]
    known = messages.snapshot_services([sessions(65_535, pending=65_535, identified=peers)])
    assert known[VNC].sessions == 65_535
    assert len(known[VNC].identified) == 256


# --- deltas ---


@pytest.mark.parametrize(
    ("before", "started", "ended", "now"),
    [(0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1), (0, 5, 5, 0), (3, 0, 0, 3), (0, 2**32 - 1, 2**32 - 1, 0)],
)
def test_a_delta_that_adds_up_applies(before: int, started: int, ended: int, now: int) -> None:
    """Those that came and went meanwhile are counted on both sides."""
    assert delta(before, started, ended, now).sessions == now


@pytest.mark.parametrize(
    ("before", "started", "ended", "now"), [(0, 1, 0, 2), (1, 0, 1, 1), (0, 0, 1, 0), (0, 0, 1, 2**32 - 1)]
)
def test_a_delta_that_does_not_add_up_is_a_mismatch(before: int, started: int, ended: int, now: int) -> None:
    """No arithmetic modulo 2**32 makes it come out."""
    with pytest.raises(MismatchError):
        delta(before, started, ended, now)


def test_a_service_that_was_never_told_had_no_sessions() -> None:
    """A delta may be the first to name it."""
    change = pb.ServiceDelta(service=VNC, started=2, sessions=2)
    assert messages.delta_services([change], {})[VNC].sessions == 2


def test_peers_come_and_go_with_deltas() -> None:
    """By id."""
    first = messages.snapshot_services([sessions(2, identified=[identified(1), identified(2)])])
    change = pb.ServiceDelta(service=VNC, started=1, ended=1, sessions=2, opened=[identified(3)], closed=[1])
    assert sorted(messages.delta_services([change], first)[VNC].identified) == [2, 3]


@pytest.mark.parametrize(
    "change",
    [
        pb.ServiceDelta(service=VNC, sessions=2, closed=[9]),
        pb.ServiceDelta(service=VNC, sessions=2, closed=[1, 1]),
        pb.ServiceDelta(service=VNC, sessions=2, opened=[identified(1)]),
    ],
)
def test_peers_that_do_not_add_up_are_a_mismatch(change: pb.ServiceDelta) -> None:
    """The agent is asked for everything then."""
    before = messages.snapshot_services([sessions(2, identified=[identified(1)])])
    with pytest.raises(MismatchError):
        messages.delta_services([change], before)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([pb.ServiceDelta(service=VNC)] * 17, "more than 16 services"),
        ([pb.ServiceDelta(service=VNC)] * 2, "service 1 is there twice"),
        ([pb.ServiceDelta(service=VNC, started=65_536, sessions=65_536)], "more than 65535 sessions"),
        ([pb.ServiceDelta(service=VNC, pending=65_536)], "more than 65535 sessions"),
        ([pb.ServiceDelta(service=VNC, started=1, sessions=1, opened=[identified(1, "a" * 65)])], "peer_address"),
        ([pb.ServiceDelta(service=VNC, started=1, sessions=1, opened=[identified(1), identified(2)])], "identified"),
    ],
)
def test_a_delta_out_of_bounds_is_refused(changes: list[pb.ServiceDelta], problem: str) -> None:
    """As a snapshot is."""
    with pytest.raises(OutOfBoundsError, match=problem):
        messages.delta_services(changes, {})


# --- what is not known ---


def test_what_is_not_known_is_counted() -> None:
    """Two services, a reason, an accuracy and a transport of a later version."""
    later = types.ServiceSessions(service=LATER_SERVICE, accuracy=99)  # type: ignore[arg-type]
    unnamed = types.ServiceSessions(sessions=1)
    peer = types.IdentifiedSession(id=1, transport=55)  # type: ignore[arg-type]
    known = sessions(1, accuracy=98, identified=[peer])
    snapshot = pb.Snapshot(services=[later, unnamed, known], observation=types.Observation(reason=97))  # type: ignore[arg-type]
    assert messages.unknown_items(snapshot) == 5
    change = pb.ServiceDelta(service=VNC, accuracy=98, opened=[peer])  # type: ignore[arg-type]
    assert messages.unknown_items(pb.Delta(services=[change])) == 2


def test_what_is_not_said_is_not_unknown() -> None:
    """Zero of an enum is known to mean just that."""
    assert messages.unknown_items(pb.Snapshot(services=[sessions(1)])) == 0


def test_peers_are_dropped_where_their_feature_is_not_in_force() -> None:
    """A handler that must not know them, does not."""
    snapshot = pb.Snapshot(services=[sessions(1, identified=[identified(1)])])
    messages.anonymize(snapshot)
    assert snapshot == pb.Snapshot(services=[sessions(1)])
    delta_ = pb.Delta(services=[pb.ServiceDelta(service=VNC, sessions=1, opened=[identified(1)], closed=[2])])
    messages.anonymize(delta_)
    assert delta_ == pb.Delta(services=[pb.ServiceDelta(service=VNC, sessions=1)])


def test_counters_are_taken_by_name() -> None:
    """All of them, those that are zero too."""
    assert messages.counters(types.AgentCounters(queries=3, events_received=2**64 - 1)) == {
        "libvirt_connects": 0,
        "events_received": 2**64 - 1,
        "events_ignored": 0,
        "queries": 3,
        "table_overflows": 0,
        "unknown_messages": 0,
        "polls": 0,
        "poll_failures": 0,
    }


# --- times ---


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        (Timestamp(seconds=1_767_268_800, nanos=250_000_000), 1_767_268_800.25),
        (Timestamp(seconds=253_402_300_799, nanos=999_999_999), None),
        (Timestamp(seconds=253_402_300_798, nanos=999_999_999), 253_402_300_799.0),
    ],
)
def test_a_time_that_no_calendar_has_is_no_time(stamp: Timestamp, seconds: float | None) -> None:
    """Every formatter of dates must be able to show what is stored."""
    known = messages.snapshot_services([sessions(1, since=stamp)])
    assert known[VNC].since == seconds
    if seconds is not None:
        Timestamp().FromMicroseconds(round(seconds * 1e6))


def test_a_time_that_is_not_set_is_no_time() -> None:
    """It cannot be said."""
    assert messages.snapshot_services([sessions(1)])[VNC].since is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J\nIdle\u202e", r"\x1b[2J\nIdle\u202e"),
        ("größer 漢字", "größer 漢字"),
        ("\0" * 200, (r"\x00" * 200)[:256]),
    ],
)
def test_a_text_for_people_is_made_printable(text: str, expected: str) -> None:
    """It goes into a condition and into events, and from there to terminals."""
    assert messages.observation(types.Observation(message=text)).message == expected


def test_a_time_that_is_yet_to_come_is_dropped() -> None:
    """Of a snapshot and of a delta, wherever it stands; others stay."""
    past, future = Timestamp(seconds=99), Timestamp(seconds=101)
    session = types.IdentifiedSession(id=1, started_at=future)
    service = types.ServiceSessions(service=VNC, since=past, identified=[session])
    request = pb.ReportSessionsRequest(
        snapshot=pb.Snapshot(observation=types.Observation(since=future), services=[service])
    )
    messages.drop_times_after(request, 100.0)
    assert not request.snapshot.observation.HasField("since")
    assert request.snapshot.services[0].since == past
    assert not request.snapshot.services[0].identified[0].HasField("started_at")
    request = pb.ReportSessionsRequest(
        delta=pb.Delta(services=[pb.ServiceDelta(service=VNC, since=future, opened=[session])])
    )
    messages.drop_times_after(request, 100.0)
    assert request.delta == pb.Delta(services=[pb.ServiceDelta(service=VNC, opened=[types.IdentifiedSession(id=1)])])


def test_a_message_without_times_is_left_as_it_is() -> None:
    request = pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=7))
    messages.drop_times_after(request, 0.0)
    assert request == pb.ReportSessionsRequest(heartbeat=pb.Heartbeat(sequence=7))
