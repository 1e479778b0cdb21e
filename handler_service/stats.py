"""Counters and histograms of the handler, as plain numbers. Pure.

Counters only grow while the handler runs: a VMI or a socket that is removed stays counted. Labels come from the
contract or from this code, never from a peer, so their number is bounded.
"""

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol


class Histogram:
    """Counts values by bucket, and adds them up."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the buckets' upper ends, inclusive and in order; a last bucket without an end follows."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value


#: Seconds, for the histogram of requests: a patch normally takes 3 to 10 ms, and the default timeout is 10 s.
_LATENCIES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestStats:
    """Requests to the API server."""

    def __init__(self) -> None:
        """None so far."""
        #: By verb and HTTP status of the response; "none" if there was no response.
        self.answers: Counter[tuple[str, str]] = Counter()
        #: Seconds until a response began, by verb; requests without a response are not included.
        self.latencies: dict[str, Histogram] = {}

    def answered(self, verb: str, status: int, seconds: float) -> None:
        """Count a response of the server."""
        self.answers[verb, str(status)] += 1
        self.latencies.setdefault(verb, Histogram(_LATENCIES)).add(seconds)

    def failed(self, verb: str) -> None:
        """It has not."""
        self.answers[verb, "none"] += 1


class Followed(Protocol):
    """A set of objects that is followed by lists and watches."""

    #: The kind's plural.
    resource: str
    lists: int
    watches: int

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""


@dataclass(frozen=True, slots=True)
class ApiStats:
    """Everything that a handler requests from its API server."""

    requests: RequestStats
    followed: Sequence[Followed]
    #: Kubernetes events, by reason and by whether they were written.
    events: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class StreamStats:
    """Counters of streams and their messages."""

    #: Streams that sent Hello.
    streams: int = 0
    #: Streams that ended with a status other than OK, by the status.
    rejections: Counter[str] = field(default_factory=Counter)
    #: Messages, by their kind; "unknown" for one of a later version.
    messages: Counter[str] = field(default_factory=Counter)
    #: ResyncRequests, by the reason's number.
    resyncs: Counter[int] = field(default_factory=Counter)
    lease_expiries: int = 0
    #: Messages, services and enum values of a later version.
    unknown_items: int = 0
