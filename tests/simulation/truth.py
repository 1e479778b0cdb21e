"""What was so, moment by moment: how many viewers QEMU had, as far as anybody could know."""

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """From `at` on, at least `low` people were watching, and nobody could have said more than `high`.

    `low` counts the finished viewers that are really there. `high` counts what QEMU takes for a viewer: one that has
    left lives on in it until QEMU notices, and where clients cannot be told apart, whoever may have finished counts.
    """

    at: float
    low: int
    high: int
    #: What may be told: `low`, or nobody where only a lower bound can be known.
    floor: int


@dataclass(slots=True)
class Truth:
    """The viewers of one VMI."""

    states: list[State] = field(default_factory=list)

    def note(self, at: float, low: int, high: int, floor: int) -> None:
        """It is so from now on."""
        before = self.states[-1] if self.states else None
        if before is None or (before.low, before.high, before.floor) != (low, high, floor):
            self.states.append(State(at, low, high, floor))

    @property
    def now(self) -> State:
        """The newest."""
        return self.states[-1]

    def since(self, moment: float) -> list[State]:
        """What was so at `moment` or later."""
        return self.states[max(0, bisect_right(self.states, moment, key=lambda state: state.at) - 1) :]


@dataclass(slots=True)
class Held:
    """What one place has held of one VMI, in the order that a watcher of the API sees."""

    #: Moment, number, and who wrote it: a handler's name, or "" for somebody else.
    values: list[tuple[float, int, str]] = field(default_factory=list)

    def note(self, at: float, sessions: int, by: str) -> None:
        """It was written."""
        if (self.values[-1][1] if self.values else 0) != sessions:
            self.values.append((at, sessions, by))

    @property
    def now(self) -> int:
        """The newest; a place that nobody has written holds nothing."""
        return self.values[-1][1] if self.values else 0

    def between(self, begin: float, end: float, news: float) -> set[int]:
        """All that it held from `begin` to `end`, or was believed to hold: word of others' writes takes `news`."""
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
