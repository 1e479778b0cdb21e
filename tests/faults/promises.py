"""Checks the seven promises on the record of a run. Pure: a record in, violations out.

A promise's time limit counts only the time in which the promise could be kept. While the API server is frozen no value
can be written, and writes sent before are executed when it continues. So a limit counts only those seconds in which
every program on the path of the VM's value was running.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from testbed.promises import SHOWN_WITHIN
from tests.faults.record import FOREVER, Fault, History, Kind, Look, Record, Target
from tests.faults.timelines import Awake, Counts, overlap

#: The shown value is exact after this many seconds in which no viewer came or went and nothing failed.
QUIET = SHOWN_WITHIN
#: QEMU notices that a viewer has gone after 2.7 s at worst (measured).
LATENESS = 3.0
#: In addition to the lease: the delay of a fall (1 s), the wait for the write rate (1 s), and QEMU's delay.
STALENESS = 5.0
#: Seconds after a fault in which a program that lost its peer reconnects: an agent dials again after at most 5 s.
SETTLING = 6.0
#: In addition to the lease: the delay of a detail (0.3 s), the wait for the write rate (1 s), and a busy machine.
MARK_DELAY = 4.0
#: A value is marked after so long at most, counted while the API server serves.
OUTLIVES = 40.0
#: Writes of a VMI: one in this many seconds, one more for a first rise, and one at the beginning of the span.
INTERVAL = 1.0
FREE = 2
#: The longest delay until a write is seen, while the API server answers.
SEEN = 0.3
#: Between two samples: a value that was shown for less may be in no sample.
BLINK = 0.05
#: Without all of these, nothing is written.
MARKERS = (Target.HANDLER, Target.APISERVER, Target.ETCD)
#: Just before another event.
MOMENT = 1e-3


class Promise(Enum):
    """The names of docs/reliability.md."""

    ORDERED = "Ordered"
    NO_PHANTOM = "NoPhantom"
    CONVERGES = "Converges"
    UNKNOWN_IS_NOT_ZERO = "UnknownIsNotZero"
    NEVER_OUTLIVES = "NeverOutlives"
    PUBLISHED_MEANS_PUBLISHED = "PublishedMeansPublished"
    BOUNDED_WRITES = "BoundedWrites"


@dataclass(frozen=True)
class Violation:
    promise: Promise
    machine: str
    at: float
    what: str


def violations(record: Record) -> list[Violation]:
    """Return all violations, in the order of time."""
    found = [
        violation for history in record.histories for check in CHECKS for violation in check(_Case(record, history))
    ]
    return sorted(found, key=lambda violation: violation.at)


class _Case:
    """One VM, with the values that several checks need."""

    def __init__(self, record: Record, history: History) -> None:
        self.record, self.history = record, history
        self.faults = [fault for fault in record.faults if fault.machine in ("", history.name)]
        self.synced = self.without(*Target, settling=SETTLING)
        self.connected = Counts(history.sessions)
        self.known_to_qemu = Counts(history.sessions, self.without(Target.QEMU, Target.LIBVIRTD), LATENESS)

    def without(self, *targets: Target, settling: float = 0.0) -> Awake:
        return Awake((fault.begin, fault.end + settling) for fault in self.faults if fault.target in targets)

    def violation(self, promise: Promise, at: float, what: str) -> Violation:
        return Violation(promise, self.history.name, at, what)


# --- Ordered ----------------------------------------------------------------------------------------------------------


def _ordered(case: _Case) -> Iterator[Violation]:
    """Each number shown was true shortly before, and the times at which it was true never go back.

    An agent that cannot know reports that, and counts too many rather than too few: a wrong 1 is better than a wrong 0.
    So a number that is shown as not observed proves nothing.
    """
    doubts = [(look.asked - SEEN, look.last + SEEN) for look in case.history.companion if not look.observed]
    for place, looks in case.history.places.items():
        since = -FOREVER
        for look in looks:
            if overlap((look.asked, look.first), doubts):
                continue
            since = max(since, case.synced.back(look.asked, case.record.lease + STALENESS))
            at = case.known_to_qemu.first(look.sessions, since, look.first)
            if at is not None:
                since = at
            else:
                what = f"{place} shows {look.sessions}, which was not true since the state shown before"
                yield case.violation(Promise.ORDERED, look.first, what)


# --- NoPhantom, Converges ---------------------------------------------------------------------------------------------


def _exact_when_quiet(case: _Case) -> Iterator[Violation]:
    for begin, end in _quiet(case):
        for place, looks in case.history.places.items():
            value = [(look, min(look.last, end - MOMENT)) for look in _during(looks, begin, end)]
            yield from _each_once(_inexact(case, place, look, at) for look, at in value)


def _inexact(case: _Case, place: str, look: Look, at: float) -> Violation | None:
    low, high = case.connected.at(at)
    if look.sessions > high:
        what = f"{place} shows {look.sessions} after {QUIET:g} s of quiet, and {high} are connected"
        return case.violation(Promise.NO_PHANTOM, at, what)
    if look.sessions < low or not look.observed or (look.idle == "True" and low) or (look.idle == "False" and not high):
        what = f"{place} shows {look} after {QUIET:g} s of quiet, and {low} are connected"
        return case.violation(Promise.CONVERGES, at, what)
    return None


def _quiet(case: _Case) -> Iterator[tuple[float, float]]:
    """Return the spans that begin after that much quiet, and last until the next disturbance."""
    record = case.record
    moments = [record.began, record.ended]
    for session in case.history.sessions:
        moments += [time for time in (session.may_begin, session.must_begin, session.end) if time != FOREVER]
    spans = Awake([*((time, time) for time in moments), *((fault.begin, fault.end) for fault in case.faults)]).away
    for (_, before), (after, _) in itertools.pairwise(spans):
        if after - before > QUIET:
            yield before + QUIET, after


# --- UnknownIsNotZero -------------------------------------------------------------------------------------------------


def _never_a_wrong_zero(case: _Case) -> Iterator[Violation]:
    staleness = case.record.lease + STALENESS
    for place, looks in case.history.places.items():
        for before, look in itertools.pairwise(looks):
            if look.sessions >= before.sessions:
                continue
            least = case.connected.lowest(case.synced.back(before.last, staleness), look.first)
            if least > look.sessions:
                what = f"{place} was lowered to {look.sessions} while {least} were connected all the time"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, look.first, what)
    for begin, end in case.connected.occupied():
        for look in case.history.companion:
            until = min(end, look.last)
            if look.idle == "True" and until >= look.first and case.synced.back(until, staleness) > begin:
                what = "vmiss shows Idle, and a viewer was connected all the time"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, until, what)


def _unknown_never_lowers(case: _Case) -> Iterator[Violation]:
    """If no sample was taken in between, an earlier write whose response was lost may have lowered it."""
    looks = case.history.companion
    for before, look in itertools.pairwise(looks):
        if not look.observed and look.sessions < before.sessions and not _blind([before, look]):
            what = f"vmiss was lowered from {before.sessions} to {look.sessions} although it is not known"
            yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, look.first, what)


def _unknown_is_marked(case: _Case) -> Iterator[Violation]:
    """If an agent is down for longer than a lease, the shown value must be marked as not observed."""
    for fault in case.faults:
        if fault.target is not Target.AGENT:
            continue
        marked_by = _marked_by(case, fault)
        for look in _during(case.history.companion, marked_by, fault.end):
            if look.observed and marked_by < fault.end:
                what = f"vmiss shows {look}, and its agent is down since {marked_by - fault.begin:.1f} s"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, max(marked_by, look.first), what)
                break


def _marked_by(case: _Case, fault: Fault) -> float:
    """A handler that starts gives each agent another lease; and without the API server nothing is written."""
    grace = case.record.lease + MARK_DELAY
    marked_by = fault.begin + grace
    for other in sorted(case.faults, key=lambda other: other.begin):
        if other.target in MARKERS and other.end > fault.begin and other.begin < marked_by:
            marked_by = max(marked_by, other.end + grace)
    return marked_by


# --- NeverOutlives ----------------------------------------------------------------------------------------------------


def _never_outlives(case: _Case) -> Iterator[Violation]:
    """The controller marks what a handler leaves behind, and is never away itself."""
    served = case.without(Target.APISERVER, Target.ETCD, settling=SETTLING)
    for fault in case.faults:
        marked_by = served.forward(fault.begin, OUTLIVES) + SEEN
        if fault.target is not Target.HANDLER or marked_by >= fault.end:
            continue
        for look in _during(case.history.companion, marked_by, fault.end):
            if look.observed:
                what = f"vmiss shows {look}, and its handler is down since {marked_by - fault.begin:.1f} s"
                yield case.violation(Promise.NEVER_OUTLIVES, max(marked_by, look.first), what)
                break


# --- PublishedMeansPublished ------------------------------------------------------------------------------------------


def _published_is_held(case: _Case) -> Iterator[Violation]:
    for ack in case.history.acks:
        # A later value supersedes it: a place that shows a later one has nothing left to publish.
        newer = {ack.sessions} | case.connected.entered(ack.said, ack.at)
        for place, looks in case.history.places.items():
            held = _held(looks, ack.said, ack.at)
            if not any(look.sessions in newer for look in held) and not _blind(held):
                what = f"{ack.sessions} was acknowledged as published, and {place} never showed it"
                yield case.violation(Promise.PUBLISHED_MEANS_PUBLISHED, ack.at, what)


def _held(looks: list[Look], begin: float, end: float) -> list[Look]:
    """Return what a place may have shown at some time of a span; between two samples it is not known."""
    first = bisect_left(looks, begin, key=lambda look: look.last)
    last = bisect_right(looks, end, key=lambda look: look.last)
    return looks[max(0, first - 1) : last + 1]


def _blind(looks: list[Look]) -> bool:
    """Return whether a value may have been shown at a moment without a sample."""
    return any(look.first - before.last > BLINK for before, look in itertools.pairwise(looks))


# --- BoundedWrites ----------------------------------------------------------------------------------------------------


def _writes_are_bounded(case: _Case) -> Iterator[Violation]:
    """In any span: one a second, and two. A handler that starts does not know the former one's writes; requests
    sent to a frozen API server are executed when it continues."""
    free = sorted(
        fault.end if fault.kind is Kind.FREEZE else fault.begin for fault in case.faults if fault.target in MARKERS
    )
    for place, looks in case.history.places.items():
        times = [look.first for look in looks[1:]]
        yield from _each_once(_too_many(case, place, times, free, index) for index in range(len(times)))


def _too_many(case: _Case, place: str, times: list[float], free: list[float], last: int) -> Violation | None:
    """Return the write with this number, and the hundred before it."""
    for first in range(max(0, last - 100), last):
        seconds = times[last] - times[first] + SEEN
        more = bisect_right(free, times[last]) - bisect_left(free, times[first] - QUIET)
        writes = last - first + 1
        if writes > FREE * (1 + more) + seconds / INTERVAL:
            what = f"{place} was written {writes} times within {seconds:.1f} s"
            return case.violation(Promise.BOUNDED_WRITES, times[last], what)
    return None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _during(looks: list[Look], begin: float, end: float) -> list[Look]:
    """Return what was certainly shown at some time of a span."""
    return [look for look in looks if look.first < end and look.last > begin]


def _each_once(found: Iterable[Violation | None]) -> Iterator[Violation]:
    """Return the first of a series of violations: the others report the same."""
    yield from list(filter(None, found))[:1]


CHECKS: list[Callable[[_Case], Iterator[Violation]]] = [
    _ordered,
    _exact_when_quiet,
    _never_a_wrong_zero,
    _unknown_never_lowers,
    _unknown_is_marked,
    _never_outlives,
    _published_is_held,
    _writes_are_bounded,
]
