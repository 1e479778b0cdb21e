"""Checks the six promises on the record of a run. Pure: a record in, violations out.

A promise speaks of time in which somebody could keep it: while the API server stands still nobody can write, and what
was sent to it before is done when it moves again. So a bound in seconds counts only those in which everything that the
VM's value passes through was awake.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from tests.faults.record import FOREVER, Fault, History, Kind, Look, Record, Target
from tests.faults.timelines import Awake, Counts, overlap

#: What is shown is exact after so many seconds in which no viewer came or went and nothing failed.
QUIET = 10.0
#: QEMU notices that a viewer has gone after 2.7 s at worst (measured).
LATENESS = 3.0
#: Besides the lease: the fall that waits (1 s), the write that waits its turn (1 s), and QEMU's lateness.
STALENESS = 5.0
#: Seconds after a fault in which whoever lost its peer is on its way back: an agent dials again after at most 5 s.
SETTLING = 6.0
#: Besides the lease: a detail that waits (0.3 s), the write that waits its turn (1 s), and a busy machine.
TELLING = 4.0
#: Writes of a VMI: one in so many seconds, with one more for a first rise, and one that begins the span.
INTERVAL = 1.0
FREE = 2
#: A write is seen so much later than it was done, at worst; while the API server answers.
SEEN = 0.3
#: Between two looks: what was held for less, nobody needs to have seen.
BLINK = 0.05
#: Without one of these nothing is written.
TELLERS = (Target.HANDLER, Target.APISERVER, Target.ETCD)
#: Just before something happens.
MOMENT = 1e-3


class Promise(Enum):
    """Their names in docs/reliability.md."""

    ORDERED = "Ordered"
    NO_PHANTOM = "NoPhantom"
    CONVERGES = "Converges"
    UNKNOWN_IS_NOT_ZERO = "UnknownIsNotZero"
    PUBLISHED_MEANS_PUBLISHED = "PublishedMeansPublished"
    BOUNDED_WRITES = "BoundedWrites"


@dataclass(frozen=True)
class Violation:
    promise: Promise
    machine: str
    at: float
    what: str


def violations(record: Record) -> list[Violation]:
    """All of them, in the order of time."""
    found = [
        violation for history in record.histories for check in CHECKS for violation in check(_Case(record, history))
    ]
    return sorted(found, key=lambda violation: violation.at)


class _Case:
    """One VM, with what its checks have in common."""

    def __init__(self, record: Record, history: History) -> None:
        self.record, self.history = record, history
        self.faults = [fault for fault in record.faults if fault.machine in ("", history.name)]
        self.synced = self._without(*Target, settling=SETTLING)
        self.connected = Counts(history.sessions)
        self.known_to_qemu = Counts(history.sessions, self._without(Target.QEMU, Target.LIBVIRTD), LATENESS)

    def _without(self, *targets: Target, settling: float = 0.0) -> Awake:
        return Awake((fault.begin, fault.end + settling) for fault in self.faults if fault.target in targets)

    def violation(self, promise: Promise, at: float, what: str) -> Violation:
        return Violation(promise, self.history.name, at, what)


# --- Ordered ----------------------------------------------------------------------------------------------------------


def _ordered(case: _Case) -> Iterator[Violation]:
    """Each number shown was true not long ago, and the times at which it was never go back.

    While the agent cannot know, and says so, it counts rather too many: a wrong 1 is better than a wrong 0. So a number
    that is told as unknown proves nothing.
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
                what = f"{place} shows {look.sessions}, which it never was since the state shown before"
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
        what = f"{place} shows {look.sessions} after {QUIET:g} s of quiet, and {high} are there"
        return case.violation(Promise.NO_PHANTOM, at, what)
    if look.sessions < low or not look.observed or (look.idle == "True" and low) or (look.idle == "False" and not high):
        what = f"{place} shows {look} after {QUIET:g} s of quiet, and {low} are there"
        return case.violation(Promise.CONVERGES, at, what)
    return None


def _quiet(case: _Case) -> Iterator[tuple[float, float]]:
    """The spans that begin after so much quiet, and last until the next disturbance."""
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
                what = f"{place} was lowered to {look.sessions} while {least} were there all the time"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, look.first, what)
    for begin, end in case.connected.occupied():
        for look in case.history.companion:
            until = min(end, look.last)
            if look.idle == "True" and until >= look.first and case.synced.back(until, staleness) > begin:
                what = "vmiss says that nobody is there, and somebody was all the time"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, until, what)


def _unknown_never_lowers(case: _Case) -> Iterator[Violation]:
    """Where nobody could look in between, a write of before may have lowered it, whose answer was lost."""
    looks = case.history.companion
    for before, look in itertools.pairwise(looks):
        if not look.observed and look.sessions < before.sessions and not _blind([before, look]):
            what = f"vmiss was lowered from {before.sessions} to {look.sessions} although it is not known"
            yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, look.first, what)


def _unknown_is_told(case: _Case) -> Iterator[Violation]:
    """An agent that is away for longer than a lease knows nothing, and what is shown is told as that."""
    for fault in case.faults:
        if fault.target is not Target.AGENT:
            continue
        told_by = _told_by(case, fault)
        for look in _during(case.history.companion, told_by, fault.end):
            if look.observed and told_by < fault.end:
                what = f"vmiss says {look}, and its agent is away since {told_by - fault.begin:.1f} s"
                yield case.violation(Promise.UNKNOWN_IS_NOT_ZERO, max(told_by, look.first), what)
                break


def _told_by(case: _Case, fault: Fault) -> float:
    """A handler that starts gives each agent another lease; and without the API server nothing is told."""
    patience = case.record.lease + TELLING
    told_by = fault.begin + patience
    for other in sorted(case.faults, key=lambda other: other.begin):
        if other.target in TELLERS and other.end > fault.begin and other.begin < told_by:
            told_by = max(told_by, other.end + patience)
    return told_by


# --- PublishedMeansPublished ------------------------------------------------------------------------------------------


def _published_is_held(case: _Case) -> Iterator[Violation]:
    for ack in case.history.acks:
        # What came later contains it: a place that holds that has nothing left to publish.
        newer = {ack.sessions} | case.connected.entered(ack.said, ack.at)
        for place, looks in case.history.places.items():
            held = _held(looks, ack.said, ack.at)
            if not any(look.sessions in newer for look in held) and not _blind(held):
                what = f"{ack.sessions} was acknowledged as published, and {place} never showed it"
                yield case.violation(Promise.PUBLISHED_MEANS_PUBLISHED, ack.at, what)


def _held(looks: list[Look], begin: float, end: float) -> list[Look]:
    """What a place may have held at some time of a span: it is known from one look to the next only."""
    first = bisect_left(looks, begin, key=lambda look: look.last)
    last = bisect_right(looks, end, key=lambda look: look.last)
    return looks[max(0, first - 1) : last + 1]


def _blind(looks: list[Look]) -> bool:
    """Something may have been there in a moment at which nobody looked."""
    return any(look.first - before.last > BLINK for before, look in itertools.pairwise(looks))


# --- BoundedWrites ----------------------------------------------------------------------------------------------------


def _writes_are_bounded(case: _Case) -> Iterator[Violation]:
    """In any span: one a second, and two. A handler that starts knows nothing of its predecessor's writes; and what was
    sent to an API server that stands still is done when it moves again."""
    free = sorted(
        fault.end if fault.kind is Kind.FREEZE else fault.begin for fault in case.faults if fault.target in TELLERS
    )
    for place, looks in case.history.places.items():
        times = [look.first for look in looks[1:]]
        yield from _each_once(_too_many(case, place, times, free, index) for index in range(len(times)))


def _too_many(case: _Case, place: str, times: list[float], free: list[float], last: int) -> Violation | None:
    """The write with this number, and the hundred before it."""
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
    """What was shown at some time of a span, for sure."""
    return [look for look in looks if look.first < end and look.last > begin]


def _each_once(found: Iterable[Violation | None]) -> Iterator[Violation]:
    """The first of a row of violations: each of the others says the same."""
    yield from list(filter(None, found))[:1]


CHECKS: list[Callable[[_Case], Iterator[Violation]]] = [
    _ordered,
    _exact_when_quiet,
    _never_a_wrong_zero,
    _unknown_never_lowers,
    _unknown_is_told,
    _published_is_held,
    _writes_are_bounded,
]
