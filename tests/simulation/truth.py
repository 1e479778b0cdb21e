"""What was true, moment by moment: how many viewers QEMU had, as far as a program could know."""

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """From `at` on, at least `low` viewers were connected, and no program could have known of more than `high`.

    `low` counts the finished viewers that are really connected. `high` counts what QEMU takes for a viewer: one that
    has left remains in it until QEMU notices. If clients cannot be distinguished, every client that may have finished
    counts.
    """

    at: float
    low: int
    high: int
    #: What may be shown: `low`, or zero if only a lower bound can be known.
    floor: int


@dataclass(slots=True)
class Truth:
    """The viewers of one VMI."""

    states: list[State] = field(default_factory=list)

    def note(self, at: float, low: int, high: int, floor: int) -> None:
        """It is true from now on."""
        before = self.states[-1] if self.states else None
        if before is None or (before.low, before.high, before.floor) != (low, high, floor):
            self.states.append(State(at, low, high, floor))

    @property
    def now(self) -> State:
        """The newest."""
        return self.states[-1]

    def since(self, moment: float) -> list[State]:
        """Return what was true at `moment` or later."""
        return self.states[max(0, bisect_right(self.states, moment, key=lambda state: state.at) - 1) :]


@dataclass(slots=True)
class Held:
    """What one place has shown of one VMI, in the order of a watch."""

    #: Moment, number, and writer: a handler's name, or "" for any other client.
    values: list[tuple[float, int, str]] = field(default_factory=list)

    def note(self, at: float, sessions: int, by: str) -> None:
        """It was written."""
        if (self.values[-1][1] if self.values else 0) != sessions:
            self.values.append((at, sessions, by))

    @property
    def now(self) -> int:
        """The newest; a place that was never written shows nothing."""
        return self.values[-1][1] if self.values else 0

    def between(self, begin: float, end: float, news: float) -> set[int]:
        """All that it showed from `begin` to `end`, or was believed to show: others' writes are seen after `news`."""
        found = set()
        held = 0
        for at, value, by in [*self.values, (float("inf"), 0, "")]:
            until = at if by else at + news
            if until >= begin:
                found.add(held)
            if at > end:
                break
            held = value
        return found
