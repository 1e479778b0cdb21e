"""Which fault hits which target, and when, all from a seed. Pure.

Rounds of faults, each followed by quiet, in which every value must become exact. Every kind of fault occurs once before
any occurs twice, so that the shortest run contains all of them.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.record import Kind, Target

#: Seconds of a round in which faults begin and end, and how many there are.
ROUND = 15.0
FAULTS = 6
#: Seconds for which a target is frozen or down: from a moment to longer than a lease, and longer than gRPC (8 s) and
#: libvirt (6 s) wait for a frozen peer.
AWAY = (0.2, 1.0, 2.5, 5.0, 9.5)
#: In each tenth round the handler is down for so long: longer than any value may outlive it (40 s).
ABSENCE = 55.0
ABSENT_EVERY = 10
#: Between two faults of one target, and before a fault of a target that takes part in its recovery.
APART = 0.5
#: Programs that run once for each VM.
OF_A_VM = (Target.AGENT, Target.QEMU)


@dataclass(frozen=True)
class Planned:
    """A planned fault: `at` seconds after the beginning of its round, for `away` seconds."""

    at: float
    away: float
    target: Target
    kind: Kind
    machine: str = ""

    @property
    def end(self) -> float:
        return self.at + self.away

    def __str__(self) -> str:
        whose = f" of {self.machine}" if self.machine else ""
        return f"{self.at:5.1f} s  {self.kind.value:7} {self.target.value}{whose}, away for {self.away:.1f} s"


def rounds(seed: int, machines: list[str]) -> Iterator[list[Planned]]:
    """Yield the rounds of a seed without end."""
    chance = random.Random(f"faults {seed}")  # noqa: S311  # repeatable, not secret
    turns = _turns(chance)
    waiting: list[tuple[Target, Kind]] = []
    while True:
        planned: list[Planned] = []
        for turn in [*waiting, *itertools.islice(turns, FAULTS - len(waiting))]:
            fitting = _fit(chance, planned, turn, machines)
            waiting = [other for other in waiting if other != turn]
            if fitting is None:
                waiting.append(turn)
            else:
                planned.append(fitting)
        yield sorted(planned, key=lambda fault: fault.at)


def with_absences(rounds: Iterator[list[Planned]]) -> Iterator[list[Planned]]:
    """Put a round in which only the handler is away, for long, after each nine."""
    while True:
        yield from itertools.islice(rounds, ABSENT_EVERY - 1)
        yield [Planned(0.0, ABSENCE, Target.HANDLER, Kind.KILL)]


def _turns(chance: random.Random) -> Iterator[tuple[Target, Kind]]:
    everything = list(itertools.product(Target, Kind))
    while True:
        yield from chance.sample(everything, len(everything))


def _fit(
    chance: random.Random, planned: list[Planned], turn: tuple[Target, Kind], machines: list[str]
) -> Planned | None:
    """Return a time in the round without another fault of the target; None if there is none."""
    target, kind = turn
    for _ in range(50):
        away = chance.choice(AWAY)
        machine = chance.choice(machines) if target in OF_A_VM else ""
        fault = Planned(chance.uniform(0, ROUND - away), away, target, kind, machine)
        if not any(_collide(fault, other) for other in planned):
            return fault
    return None


def _collide(one: Planned, other: Planned) -> bool:
    together = one.at < other.end + APART and other.at < one.end + APART
    # libvirtd starts QEMU.
    same = one.target is other.target or {one.target, other.target} == {Target.QEMU, Target.LIBVIRTD}
    return together and same and (not one.machine or not other.machine or one.machine == other.machine)
