"""Decides which changes of a VMI become Kubernetes events, and when.

Pure: no clock, no I/O; `now` is monotonic seconds. The rules:
- Events are read by people, so they report changes: the first viewer connected, the last one left, the number is no
  longer known, the number cannot be published. The state in which this handler first saw the VMI is not an event.
- A change that is undone within the debounce of its kind is not an event.
- Each visit is reported, with its own time. A VMI has ten events at once and then one a minute; a token bucket bounds
  the node. Changes that wait are merged by kind into a count, a first time and a last time.
- A number above zero means that a viewer is connected, whether it is observed or not. Zero means that none is connected
  only where it is observed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from handler_service.model import DesiredStatus, VmiId
from servicestatus.rate_limit import TokenBucket

#: Events of one VMI at once, and seconds between two events after that. Five visits in a row are reported one by one; a
#: program that connects and disconnects for an hour makes about 130 events rather than thousands.
VMI_BURST: Final = 10
VMI_INTERVAL: Final = 60.0
#: Events of a node at once, and seconds between two events after that. A failed upgrade of the agent affects 250 VMs at
#: the same moment, and the API server keeps each event for an hour.
NODE_BURST: Final = 50
NODE_INTERVAL: Final = 1.0


class Kind(Enum):
    """The reason of an event."""

    STARTED = "VNCSessionStarted"
    ENDED = "VNCSessionsEnded"
    UNKNOWN = "VNCSessionsUnknown"
    REFUSED = "ServiceStatusRefused"


#: Seconds for which a state must last to be an event. A viewer that is replaced, or whose VM migrates, is back within
#: the 1 s debounce of a lower number (publishing/policy.py). An agent or libvirt that restarts is back within 10 s.
_DEBOUNCE: Final[Mapping[Kind, float]] = {Kind.STARTED: 0.0, Kind.ENDED: 1.0, Kind.UNKNOWN: 10.0, Kind.REFUSED: 10.0}


@dataclass(frozen=True, slots=True)
class VmiEvent:
    """An event that is due."""

    vmi: VmiId
    kind: Kind
    #: Completes the note of the kind; empty if the kind needs no detail.
    detail: str
    #: Occurrences since the last event of this kind; the first and the last occurrence in monotonic seconds.
    times: int
    first: float
    last: float


@dataclass(slots=True)
class _Pending:
    """Occurrences of one kind that are not reported yet."""

    times: int
    first: float
    last: float
    detail: str
    #: The value of `last` before the newest occurrence, which may still be undone.
    previous: float

    def add(self, now: float, detail: str) -> None:
        self.times, self.previous, self.last, self.detail = self.times + 1, self.last, now, detail

    def undo(self) -> None:
        self.times, self.last = self.times - 1, self.previous


@dataclass(slots=True)
class _Track:
    """Tracks one aspect of a VMI, which has one state at a time. None is a state that is not an event."""

    state: Kind | None
    since: float
    before: tuple[Kind | None, float] = (None, 0.0)
    pending: dict[Kind, _Pending] = field(default_factory=dict)

    def enter(self, state: Kind | None, detail: str, now: float) -> None:
        if state is self.state:
            if detail and state in self.pending:
                self.pending[state].detail = detail
            return
        if self.state is not None and now - self.since < _DEBOUNCE[self.state]:
            self._undo(self.state)
            if state is self.before[0]:
                self.state, self.since = self.before
                return
        self.before = self.state, self.since
        self.state, self.since = state, now
        if state is None:
            return
        if state in self.pending:
            self.pending[state].add(now, detail)
        else:
            self.pending[state] = _Pending(1, now, now, detail, now)

    def due(self) -> tuple[float, Kind] | None:
        """Return when the next kind may be reported, and the kind: the one whose last occurrence is the oldest."""
        times = [(one.last + _DEBOUNCE[kind], kind) for kind, one in self.pending.items()]
        return min(times, key=lambda pair: pair[0], default=None)

    def take(self, kind: Kind) -> _Pending:
        return self.pending.pop(kind)

    def _undo(self, kind: Kind) -> None:
        pending = self.pending.get(kind)
        if pending is not None:  # None: the state in which the VMI was first seen
            pending.undo()
            if not pending.times:
                del self.pending[kind]


@dataclass(slots=True)
class _Item:
    presence: _Track
    visibility: _Track
    publishing: _Track
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(VMI_BURST, VMI_INTERVAL))

    def next(self) -> tuple[float, Kind, _Track] | None:
        """Return when this VMI's limits permit its next event, with the event's kind and track."""
        tracks = (self.presence, self.visibility, self.publishing)
        found = [(*following, track) for track in tracks if (following := track.due()) is not None]
        if not found:
            return None
        due, kind, track = min(found, key=lambda one: one[0])
        return self.bucket.ready_at(due), kind, track


class EventPolicy:
    """Decides on the events of all VMIs of one node."""

    def __init__(self, bucket: TokenBucket) -> None:
        """`bucket` bounds the events of the node."""
        self._bucket = bucket
        self._items: dict[VmiId, _Item] = {}

    def observe(self, vmi: VmiId, desired: DesiredStatus | None, now: float) -> None:
        """Take the newest desired status of a VMI; None: this handler no longer publishes it."""
        if desired is None:
            self._items.pop(vmi, None)
            return
        if not desired.synced:
            return
        item = self._items.get(vmi)
        presence = _presence(desired, Kind.ENDED if item is None else item.presence.state)
        visibility = None if desired.observed else Kind.UNKNOWN
        if item is None:
            self._items[vmi] = _Item(_Track(presence, now), _Track(visibility, now), _Track(None, now))
            return
        item.presence.enter(presence, "", now)
        item.visibility.enter(visibility, desired.reason.value if visibility is not None else "", now)

    def refused(self, vmi: VmiId, problem: str, now: float) -> None:
        """Take the problem that prevents the publication of a VMI's value; empty if there is none."""
        item = self._items.get(vmi)
        if item is not None:
            item.publishing.enter(Kind.REFUSED if problem else None, problem, now)

    def take_due(self, now: float) -> Iterator[VmiEvent]:
        """Yield the events that are due, the longest due first.

        The caller may wait between two events. VMIs may be removed or change during that time.
        """
        while (following := min(self._waiting(), key=lambda one: one[1], default=None)) is not None:
            vmi, due, kind, track = following
            if due > now or not self._bucket.take(now):
                return
            self._items[vmi].bucket.take(now)
            pending = track.take(kind)
            yield VmiEvent(vmi, kind, pending.detail, pending.times, pending.first, pending.last)

    def due(self, vmi: VmiId, now: float) -> float | None:
        """Return when take_due() yields an event of this VMI; None if no event is pending."""
        item = self._items.get(vmi)
        following = None if item is None else item.next()
        return None if following is None else max(following[0], self._bucket.ready_at(now))

    def wake_at(self, now: float) -> float | None:
        """Return when take_due() yields the next event; None if no event is pending."""
        due = min((due for _, due, _, _ in self._waiting()), default=None)
        return None if due is None else max(due, self._bucket.ready_at(now))

    def _waiting(self) -> Iterator[tuple[VmiId, float, Kind, _Track]]:
        for vmi, item in self._items.items():
            following = item.next()
            if following is not None:
                yield vmi, *following


def _presence(desired: DesiredStatus, before: Kind | None) -> Kind | None:
    if desired.sessions:
        return Kind.STARTED
    return Kind.ENDED if desired.observed else before
