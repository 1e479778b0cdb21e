"""Converts between seconds and protobuf's Timestamp and Duration.

Both directions work with microseconds: a float of seconds since the epoch holds no more.
"""

from typing import Final, overload

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_MICROSECONDS: Final = 1_000_000
#: The last second of the year 9999 is the last that a Timestamp may hold, and every formatter of dates fails beyond it.
#: That second itself is excluded, because a float of that size rounds up to the next one.
_LAST_SECOND: Final = 253_402_300_799


@overload
def timestamp(seconds: float) -> Timestamp: ...
@overload
def timestamp(seconds: None) -> None: ...
@overload
def timestamp(seconds: float | None) -> Timestamp | None: ...
def timestamp(seconds: float | None) -> Timestamp | None:
    """Return seconds since the epoch as a Timestamp. None stays None, which leaves a message's field unset."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * _MICROSECONDS), _MICROSECONDS)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def time_of(message: Message, field: str) -> float | None:
    """Return the seconds since the epoch of a Timestamp field; None if it is unset, or not between 1970 and 9999."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    if not (0 <= stamp.seconds < _LAST_SECOND and 0 <= stamp.nanos < 1_000_000_000):
        return None
    return stamp.seconds + stamp.nanos / 1e9


def duration(seconds: float) -> Duration:
    """Return seconds as a Duration."""
    converted = Duration()
    converted.FromMicroseconds(round(seconds * _MICROSECONDS))
    return converted


def seconds_of(message: Message, field: str) -> float | None:
    """Return the seconds of a Duration field; None if it is unset."""
    if not message.HasField(field):
        return None
    span: Duration = getattr(message, field)
    return span.seconds + span.nanos / 1e9
