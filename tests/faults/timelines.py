"""How many viewers there were when, and how much time passed in which a program could have known. Pure."""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tests.faults.record import FOREVER, Session

Span = tuple[float, float]


class Counts:
    """How many sessions there were at each time: at least, and at most."""

    def __init__(self, sessions: Iterable[Session], late: "Awake | None" = None, lateness: float = 0.0) -> None:
        """With `late`, a session may count until `lateness` seconds after its end, counted while those were running."""
        changes: list[tuple[float, int, int]] = []
        for session in sessions:
            gone = session.end if late is None else late.forward(session.end, lateness)
            changes += [(session.may_begin, 0, 1), (gone, 0, -1)]
            if session.must_begin < session.end:
                changes += [(session.must_begin, 1, 0), (session.end, -1, 0)]
        changes.sort(key=lambda change: change[0])
        self._times, self._low, self._high = [-FOREVER], [0], [0]
        for time, same in itertools.groupby(changes, key=lambda change: change[0]):
            moved = list(same)
            self._times.append(time)
            self._low.append(self._low[-1] + sum(low for _, low, _ in moved))
            self._high.append(self._high[-1] + sum(high for _, _, high in moved))

    def at(self, time: float) -> tuple[int, int]:
        index = self._index(time)
        return self._low[index], self._high[index]

    def lowest(self, begin: float, end: float) -> int:
        """Return the fewest sessions that there certainly were at once at some time of a span."""
        return min(self._low[self._index(begin) : self._index(end) + 1])

    def first(self, number: int, begin: float, end: float) -> float | None:
        """Return the first time of a span at which there may have been so many."""
        for index in range(self._index(begin), self._index(end) + 1):
            if self._low[index] <= number <= self._high[index]:
                return max(begin, self._times[index])
        return None

    def entered(self, begin: float, end: float) -> set[int]:
        """Return the numbers that there may have been after a change within a span."""
        changes = range(self._index(begin) + 1, self._index(end) + 1)
        return {number for index in changes for number in range(self._low[index], self._high[index] + 1)}

    def occupied(self) -> list[Span]:
        """Return the spans in which a viewer was certainly connected."""
        found: list[Span] = []
        ends = [*self._times[1:], FOREVER]
        for begin, end, low in zip(self._times, ends, self._low, strict=True):
            if low and found and found[-1][1] == begin:
                found[-1] = found[-1][0], end
            elif low:
                found.append((begin, end))
        return found

    def _index(self, time: float) -> int:
        return bisect_right(self._times, time) - 1


class Awake:
    """The time outside of some spans."""

    def __init__(self, away: Iterable[Span]) -> None:
        self.away = merged(away)

    def back(self, time: float, budget: float) -> float:
        """Return the time before `time` from which on `budget` seconds were outside."""
        for begin, end in reversed(self.away):
            if begin >= time:
                continue
            if time - end >= budget:
                break
            budget -= max(0.0, time - end)
            time = begin
        return time - budget

    def forward(self, time: float, budget: float) -> float:
        """Return the time after `time` until which `budget` seconds were outside."""
        for begin, end in self.away:
            if end <= time:
                continue
            if begin - time >= budget:
                break
            budget -= max(0.0, begin - time)
            time = end
        return time + budget


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same time, without overlaps and in order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def overlap(span: Span, spans: Sequence[Span]) -> bool:
    return any(begin <= span[1] and end >= span[0] for begin, end in spans)
