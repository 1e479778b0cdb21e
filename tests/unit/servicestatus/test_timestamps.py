"""Seconds become protobuf's times, and the other way round."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from servicestatus import timestamps
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1 import sessions_pb2 as types


def test_a_time_is_exact_to_the_microsecond_whatever_a_float_holds() -> None:
    stamp = timestamps.timestamp(1_795_511_552.281029)
    assert (stamp.seconds, stamp.nanos) == (1_795_511_552, 281_029_000)


def test_no_time_leaves_a_field_unset() -> None:
    assert timestamps.timestamp(None) is None
    assert not types.Observation(since=timestamps.timestamp(None)).HasField("since")
    assert types.Observation(since=timestamps.timestamp(0.0)).HasField("since")


@pytest.mark.parametrize(
    ("whole", "nanos", "seconds"),
    [
        (0, 0, 0.0),
        (1_767_268_800, 250_000_000, 1_767_268_800.25),
        (-1, 0, None),
        (1, -1, None),
        (1, 1_000_000_000, None),
        (2**62, 0, None),
        (253_402_300_799, 999_999_999, None),
        (253_402_300_798, 999_999_999, 253_402_300_799.0),
    ],
)
def test_a_time_outside_of_the_calendar_is_no_time(whole: int, nanos: int, seconds: float | None) -> None:
    stamp = Timestamp(seconds=whole, nanos=nanos)
    assert timestamps.time_of(types.Observation(since=stamp), "since") == seconds
    if seconds is not None:
        timestamps.timestamp(seconds).ToDatetime()


def test_an_unset_time_is_no_time() -> None:
    assert timestamps.time_of(types.Observation(), "since") is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.25, Duration(nanos=250_000_000)),
        (15.0, Duration(seconds=15)),
        (0.1 + 0.2, Duration(nanos=300_000_000)),
        (-1.5, Duration(seconds=-1, nanos=-500_000_000)),
    ],
)
def test_a_duration_is_exact_to_the_microsecond(seconds: float, expected: Duration) -> None:
    assert timestamps.duration(seconds) == expected


def test_a_duration_of_a_message_is_seconds() -> None:
    welcome = pb.Welcome(lease=Duration(seconds=7, nanos=500_000_000))
    assert timestamps.seconds_of(welcome, "lease") == 7.5
    assert timestamps.seconds_of(welcome, "heartbeat_interval") is None
