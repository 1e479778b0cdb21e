"""What the agent sends of services other than VNC, and when it polls: transcripts in virtual time."""

from dataclasses import replace

from google.protobuf.duration_pb2 import Duration

from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.state import State
from servicestatus.reasons import Reason
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types
from servicestatus.v1.sessions_pb2 import (
    SERVICE_SERIAL_CONSOLE,
    SERVICE_SPICE,
    SERVICE_USB_REDIRECTION,
    SERVICE_VNC,
    Polling,
)

FEATURE = "service-observations"


class Dialogue:
    """An agent's state and protocol, and a handler with or without the feature."""

    def __init__(self, *, feature: bool = True) -> None:
        self.now = 100.0
        self.state = State(lambda: 1000.0)
        self.state.table.clear(1000.0)
        self.state.observe(Reason.WATCHING)
        self.protocol = ReportProtocol("i1", "1.2.3", types.VmiReference(), self.state.report())
        self.protocol.hello()
        welcome = pb.Welcome(features=[FEATURE] if feature else [])
        self.protocol.receive(pb.ReportSessionsResponse(welcome=welcome), self.now)
        self.snapshot = self.due().snapshot

    def due(self) -> pb.ReportSessionsRequest:
        self.protocol.update(self.state.report(), self.now)
        return self.protocol.poll(self.now) or pb.ReportSessionsRequest()

    def use(self, sessions: int, pending: int = 0) -> None:
        self.state.services[SERVICE_USB_REDIRECTION].count(sessions, pending, 1001.0)


def test_each_service_is_listed_with_its_observation() -> None:
    listed = Dialogue().snapshot.services
    assert [one.service for one in listed] == [
        SERVICE_VNC,
        SERVICE_USB_REDIRECTION,
        SERVICE_SERIAL_CONSOLE,
        SERVICE_SPICE,
    ]
    assert not listed[0].HasField("observation")
    assert listed[1].observation == types.Observation(
        observed=False,
        reason=types.OBSERVATION_REASON_NOT_WATCHED,
        message="the handler does not ask the agent to poll it",
        since={"seconds": 1000},
    )


def test_a_handler_without_the_feature_is_sent_vnc_alone_and_no_news_of_others() -> None:
    dialogue = Dialogue(feature=False)
    assert [one.service for one in dialogue.snapshot.services] == [SERVICE_VNC]
    dialogue.use(2)
    assert dialogue.due().WhichOneof("message") is None


def test_a_change_is_a_delta_of_its_service_alone() -> None:
    dialogue = Dialogue()
    dialogue.use(1, 1)
    usb = dialogue.state.services[SERVICE_USB_REDIRECTION]
    usb.observe(Reason.WATCHING, "", 1001.0)
    usb.sampled_every = 2.5
    (change,) = dialogue.due().delta.services
    assert change == pb.ServiceDelta(
        service=SERVICE_USB_REDIRECTION,
        started=1,
        sessions=1,
        pending=1,
        accuracy=types.ACCURACY_EXACT,
        since={"seconds": 1001},
        observation=types.Observation(observed=True, reason=types.OBSERVATION_REASON_WATCHING, since={"seconds": 1001}),
        sampled_every=Duration(seconds=2, nanos=500_000_000),
    )


def test_an_observation_that_changes_is_news() -> None:
    dialogue = Dialogue()
    dialogue.state.services[SERVICE_SPICE].observe(Reason.WATCHING, "", 1001.0)
    dialogue.due()
    dialogue.state.observe(Reason.LIBVIRT_UNREACHABLE, "gone")
    delta = dialogue.due().delta
    assert delta.observation.message == "gone"
    assert [(one.service, one.observation.message) for one in delta.services] == [(SERVICE_SPICE, "gone")]


def test_an_unfinished_client_alone_is_debounced() -> None:
    dialogue = Dialogue()
    dialogue.use(0, 1)
    assert dialogue.due().delta.services[0].pending == 1, "the first number sets its time, which is news"
    dialogue.use(0, 2)
    assert dialogue.due().WhichOneof("message") is None
    dialogue.now += 0.5
    assert [one.pending for one in dialogue.due().delta.services] == [2]


def test_a_change_beyond_a_delta_is_sent_as_a_snapshot() -> None:
    """Totals grow without limit while a handler accepts nothing, and a Delta has 32 bits for their change."""
    dialogue = Dialogue()
    spice = dialogue.state.services[SERVICE_SPICE]
    spice.view = replace(spice.view, sessions=1, started_total=2**32 + 1, ended_total=2**32)
    assert dialogue.due().snapshot.services[3].sessions == 1


def test_welcome_asks_for_polling_until_the_next_welcome() -> None:
    protocol = Dialogue().protocol
    polling = [Polling(service=SERVICE_SERIAL_CONSOLE, interval=Duration(seconds=7))]
    protocol.hello()
    protocol.receive(pb.ReportSessionsResponse(welcome=pb.Welcome(features=[FEATURE], polling=polling)), 200.0)
    assert protocol.stream.polling == {SERVICE_SERIAL_CONSOLE: 7.0}
    protocol.hello()
    assert protocol.stream.polling == {}
