"""What a Welcome may dictate."""

from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.reporting import settings
from servicestatus.contract import StreamSettings
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import (
    SERVICE_SERIAL_CONSOLE,
    SERVICE_USB_REDIRECTION,
    SERVICE_VNC,
    Polling,
    VmiReference,
)

DURATIONS = st.builds(Duration, seconds=st.integers(-(2**62), 2**62), nanos=st.integers(-(2**31), 2**31 - 1))
NUMBERS = st.integers(0, 2**32 - 1)


def test_what_is_not_said_keeps_its_default() -> None:
    assert settings.settings(pb.Welcome()) == StreamSettings(
        heartbeat_interval=5.0, lease=15.0, window=8, delta_burst=8, delta_interval=0.5
    )


def test_what_is_said_holds() -> None:
    welcome = pb.Welcome(
        heartbeat_interval=Duration(seconds=1),
        lease=Duration(seconds=4),
        window=2,
        delta_burst=3,
        delta_interval=Duration(nanos=100_000_000),
    )
    assert settings.settings(welcome) == StreamSettings(
        heartbeat_interval=1.0, lease=4.0, window=2, delta_burst=3, delta_interval=0.1
    )


def test_a_lease_is_at_least_two_heartbeats() -> None:
    welcome = pb.Welcome(heartbeat_interval=Duration(seconds=10), lease=Duration(seconds=5))
    assert settings.settings(welcome).lease == 20.0


@given(DURATIONS, DURATIONS, DURATIONS, NUMBERS, NUMBERS)
def test_no_welcome_makes_the_agent_spin_or_fall_silent(
    heartbeat: Duration, lease: Duration, interval: Duration, window: int, burst: int
) -> None:
    welcome = pb.Welcome(
        heartbeat_interval=heartbeat, lease=lease, delta_interval=interval, window=window, delta_burst=burst
    )
    made = settings.settings(welcome)
    assert 0.1 <= made.heartbeat_interval <= 60
    assert 0.2 <= made.lease <= 600
    assert 0.01 <= made.delta_interval <= 10
    assert 1 <= made.window <= 1024
    assert 1 <= made.delta_burst <= 1024


def test_a_feature_is_in_force_when_both_sides_listed_it() -> None:
    welcome = pb.Welcome(features=["identified-sessions", "of-the-future"])
    assert settings.features(welcome) == {"identified-sessions"}
    assert settings.features(pb.Welcome()) == frozenset()


def test_a_service_is_polled_where_welcome_asks_for_it() -> None:
    """A missing interval has the default, one out of range the nearest bound; a service of events is ignored."""
    asked = [
        Polling(service=SERVICE_USB_REDIRECTION),
        Polling(service=SERVICE_SERIAL_CONSOLE, interval=Duration(nanos=1)),
        Polling(service=SERVICE_VNC, interval=Duration(seconds=5)),
        Polling(service=99),  # type: ignore[arg-type]
    ]
    both = ["service-observations"]
    assert settings.polling(pb.Welcome(features=both, polling=asked)) == {2: 5.0, 3: 1.0}
    late = Polling(service=SERVICE_USB_REDIRECTION, interval=Duration(seconds=3600))
    assert settings.polling(pb.Welcome(features=both, polling=[late])) == {2: 60.0}
    assert settings.polling(pb.Welcome(features=both)) == {}
    assert settings.polling(pb.Welcome(polling=asked)) == {}


def test_a_reference_costs_no_more_than_the_contract_allows() -> None:
    welcome = pb.Welcome(vmi=VmiReference(namespace="n" * 1000, name="m" * 1000, uid="u" * 1000))
    vmi = settings.vmi(welcome)
    assert (len(vmi.namespace), len(vmi.name), len(vmi.uid)) == (63, 253, 64)
