"""What is worth a Kubernetes event on a VMI, and when it is told.

Pure: no clock, no I/O; `now` is monotonic seconds. The rules:
- A person reads events, so they tell changes: somebody came, everybody left, it is not known any more, it cannot be
  published. What was there when this handler first knew of the VMI is no news.
- What passes by is not told: each kind has a patience, and a change that is taken back within it has not happened.
- A VMI is told of once a minute at most, and a token bucket bounds the node. What waits is merged: told is how it is by
  then, with how often it happened.
- Somebody is connected where a number says so, sure or not; nobody is only where that is observed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from handler_service.model import DesiredStatus, VmiId
from servicestatus.rate_limit import TokenBucket

#: Seconds between two events of one VMI.
INTERVAL: Final = 60.0
#: Events that a node may tell at once, and then one each so many seconds: an agent's upgrade that goes wrong concerns
#: 250 VMs in one moment, and the API server keeps each event for an hour.
NODE_BURST: Final = 50
NODE_INTERVAL: Final = 1.0


class Kind(Enum):
    """An event's reason."""

    STARTED = "VNCSessionStarted"
    ENDED = "VNCSessionsEnded"
    UNKNOWN = "VNCSessionsUnknown"
    REFUSED = "ServiceStatusRefused"


#: Seconds for which something must have been so. A viewer who is thrown out, or whose VM migrates, is back within the
#: second that a fall waits (spacing.py); an agent or libvirt that is restarted is back within ten.
_DEBOUNCE: Final[Mapping[Kind, float]] = {Kind.STARTED: 0.0, Kind.ENDED: 1.0, Kind.UNKNOWN: 10.0, Kind.REFUSED: 10.0}


@dataclass(frozen=True, slots=True)
class VmiEvent:
    """One event, to be written now."""

    vmi: VmiId
    kind: Kind
    #: What is to be said beside the kind's own words; empty when those say it all.
    detail: str
    #: How often it has happened since it was told last.
    times: int


@dataclass(slots=True)
class _Track:
    """Something that is in one state at a time; None: a state that is not worth a word."""

    state: Kind | None
    since: float
    detail: str = ""
    before: tuple[Kind | None, float] = (None, 0.0)
    #: What happened and was not told.
    untold: Counter[Kind] = field(default_factory=Counter)

    def enter(self, state: Kind | None, detail: str, now: float) -> None:
        if state is self.state:
            self.detail = detail or self.detail
            return
        passing = self.state is not None and now - self.since < _DEBOUNCE[self.state]
        if passing and self.state is not None:
            self.untold[self.state] = max(0, self.untold[self.state] - 1)
        if passing and state is self.before[0]:
            self.state, self.since = self.before
            return
        self.before = self.state, self.since
        self.state, self.since, self.detail = state, now, detail
        if state is not None:
            self.untold[state] += 1

    def due(self) -> float | None:
        if self.state is None or self.untold[self.state] <= 0:
            return None
        return self.since + _DEBOUNCE[self.state]

    def tell(self) -> tuple[Kind, str, int]:
        assert self.state is not None  # it was due
        times = self.untold[self.state]
        self.untold.clear()
        return self.state, self.detail, times


@dataclass(slots=True)
class _Item:
    presence: _Track
    sight: _Track
    publishing: _Track
    not_before: float = float("-inf")

    def next(self) -> tuple[float, _Track] | None:
        """The track that is to be told next, and when."""
        tracks = (self.presence, self.sight, self.publishing)
        found = [(due, track) for track in tracks if (due := track.due()) is not None]
        if not found:
            return None
        due, track = min(found, key=lambda pair: pair[0])
        return max(due, self.not_before), track


class EventPolicy:
    """All VMIs of one node."""

    def __init__(self, bucket: TokenBucket) -> None:
        """`bucket` is what the node may tell."""
        self._bucket = bucket
        self._items: dict[VmiId, _Item] = {}

    def observe(self, vmi: VmiId, desired: DesiredStatus | None, now: float) -> None:
        """The newest standing of a VMI; None: it is not this handler's any more."""
        if desired is None:
            self._items.pop(vmi, None)
            return
        if not desired.synced:
            return
        item = self._items.get(vmi)
        presence = _presence(desired, Kind.ENDED if item is None else item.presence.state)
        sight = None if desired.observed else Kind.UNKNOWN
        if item is None:
            self._items[vmi] = _Item(_Track(presence, now), _Track(sight, now), _Track(None, now))
            return
        item.presence.enter(presence, "", now)
        item.sight.enter(sight, desired.reason.value if sight is not None else "", now)

    def refused(self, vmi: VmiId, problem: str, now: float) -> None:
        """What keeps a VMI's value from being published; empty: nothing does."""
        item = self._items.get(vmi)
        if item is not None:
            item.publishing.enter(Kind.REFUSED if problem else None, problem, now)

    def take_due(self, now: float) -> Iterator[VmiEvent]:
        """What is to be told now, the longest due first.

        Whoever takes one may wait before he takes the next: meanwhile VMIs may go, or have other news.
        """
        while (following := min(self._waiting(), key=lambda pair: pair[1][0], default=None)) is not None:
            vmi, (due, track) = following
            if due > now or not self._bucket.take(now):
                return
            kind, detail, times = track.tell()
            self._items[vmi].not_before = now + INTERVAL
            yield VmiEvent(vmi, kind, detail, times)

    def due(self, vmi: VmiId, now: float) -> float | None:
        """When take_due() has something to tell of this VMI; None while nothing waits."""
        item = self._items.get(vmi)
        following = None if item is None else item.next()
        return None if following is None else max(following[0], self._bucket.ready_at(now))

    def wake_at(self, now: float) -> float | None:
        """When take_due() has something to tell next; None while nothing waits."""
        due = min((due for _, (due, _) in self._waiting()), default=None)
        return None if due is None else max(due, self._bucket.ready_at(now))

    def _waiting(self) -> Iterator[tuple[VmiId, tuple[float, _Track]]]:
        for vmi, item in self._items.items():
            following = item.next()
            if following is not None:
                yield vmi, following


def _presence(desired: DesiredStatus, before: Kind | None) -> Kind | None:
    if desired.sessions:
        return Kind.STARTED
    return Kind.ENDED if desired.observed else before
