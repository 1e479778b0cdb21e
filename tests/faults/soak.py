"""A node for an hour: two hundred agents, viewers that come and go, agents that restart, VMs that are replaced.

Without pauses it shows a leak per event; in real time it shows a leak per second.
"""

import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.faults.crowd import Crowd, Member
from tests.faults.probes import Reading

AGENTS = 200
#: An hour of one VM: its viewers change once a minute, its agent is restarted twice, it is replaced once.
HOUR = 3600.0
MIB = 1 << 20
#: Each thread handles some of the VMs, one act at a time.
LANES = 8
MOST = 4
#: Seconds between two readings.
EVERY = 1.0


Measure = Callable[[Reading], float]
#: What is measured, in which unit, and how much it may grow: from the first half of the readings in `synced` to the
#: second half, or from one rest to the next.
MEASURES: list[tuple[str, Measure, int, float]] = [
    ("resident, MiB", lambda one: one.resident, MIB, 8 * MIB),
    ("anonymous, MiB", lambda one: one.anonymous, MIB, 8 * MIB),
    ("descriptors", lambda one: one.files, 1, 8),
    ("threads", lambda one: one.threads, 1, 4),
    ("tasks", lambda one: one.tasks, 1, 8),
]


class Act(Enum):
    """What happens to a VM."""

    VIEWERS = auto()
    RECONNECT = auto()
    REPLACE = auto()


PER_HOUR = {Act.VIEWERS: 60, Act.RECONNECT: 2, Act.REPLACE: 1}


@dataclass
class Soak:
    """What was done, and the readings taken in the meantime."""

    acts: dict[Act, int] = field(default_factory=lambda: dict.fromkeys(Act, 0))
    readings: list[Reading] = field(default_factory=list)
    #: Streams that ended by themselves.
    lost: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, act: Act, *, lost: bool) -> None:
        """Count an act, from any lane. `lost`: its stream had ended by itself."""
        with self._lock:
            self.acts[act] += 1
            self.lost += lost

    @property
    def seconds(self) -> float:
        return self.readings[-1].at - self.readings[0].at

    @property
    def synced(self) -> list[Reading]:
        """The readings without the first third, in which pools fill."""
        return self.readings[len(self.readings) // 3 :]

    def slope(self, of: Measure) -> float:
        """How much it grows in a second: the slope of a straight line through the readings."""
        times = [reading.at for reading in self.synced]
        return statistics.linear_regression(times, [of(reading) for reading in self.synced]).slope

    def growth(self, of: Measure) -> float:
        """The growth from the first half of the synced readings to the second half, each by its median."""
        half = len(self.synced) // 2
        before, after = self.synced[:half], self.synced[half:]
        return statistics.median(map(of, after)) - statistics.median(map(of, before))


def acts(seed: int, members: int, hours: float) -> list[tuple[int, Act]]:
    """Return all acts of so many hours in a random order, with members by number."""
    chance = random.Random(f"soak {seed}")  # noqa: S311  # repeatable, not secret
    found: list[tuple[int, Act]] = []
    for act, per_hour in PER_HOUR.items():
        number = round(per_hour * hours * members)
        found += [(member, act) for member in itertools.islice(itertools.cycle(range(members)), number)]
    chance.shuffle(found)
    return found


def accelerated(crowd: Crowd, hours: float, seed: int = 1) -> Soak:
    """Run the churn of so many hours without pauses."""
    return _soak(crowd, acts(seed, len(crowd.members), hours), pause=0.0)


def in_real_time(crowd: Crowd, seconds: float, seed: int = 1) -> Soak:
    """Run normal churn for this long."""
    planned = acts(seed, len(crowd.members), seconds / HOUR)
    return _soak(crowd, planned, pause=seconds / max(1, len(planned)))


def _soak(crowd: Crowd, planned: Sequence[tuple[int, Act]], pause: float) -> Soak:
    """`pause` is in seconds between two acts."""
    soak = Soak()
    began = time.monotonic()
    ended = threading.Event()
    with ThreadPoolExecutor(LANES + 1) as pool:
        reader = pool.submit(_read, crowd, soak, began, ended)
        lanes = [pool.submit(_act, crowd, soak, lane, began) for lane in _lanes(planned, pause)]
        try:
            for lane in lanes:
                lane.result()
            for member in crowd.members:
                if member.peer.ended is not None:
                    soak.lost += 1
                    member.reconnect()
        finally:
            ended.set()
        reader.result()
    return soak


Timed = tuple[float, int, Act]


def _lanes(planned: Sequence[tuple[int, Act]], pause: float) -> Iterator[list[Timed]]:
    for lane in range(LANES):
        yield [(number * pause, member, act) for number, (member, act) in enumerate(planned) if member % LANES == lane]


def _act(crowd: Crowd, soak: Soak, timed: list[Timed], began: float) -> None:
    chance = random.Random(timed[0][1]) if timed else random.Random(0)  # noqa: S311  # repeatable, not secret
    for at, number, act in timed:
        time.sleep(max(0.0, began + at - time.monotonic()))
        soak.note(act, lost=not _do(crowd, crowd.members[number], act, chance))


def _do(crowd: Crowd, member: Member, act: Act, chance: random.Random) -> bool:
    """Return False if the stream had ended by itself."""
    match act:
        case Act.VIEWERS:
            return member.report(chance.randrange(MOST + 1))
        case Act.RECONNECT:
            member.reconnect()
        case Act.REPLACE:
            member.replace(crowd.node)
    return True


def _read(crowd: Crowd, soak: Soak, began: float, ended: threading.Event) -> None:
    soak.readings.append(crowd.reading(0.0))
    while not ended.wait(EVERY):
        soak.readings.append(crowd.reading(time.monotonic() - began))


def leaks(soak: Soak) -> list[str]:
    """Describe what grew in the meantime; empty if nothing did. A trend needs minutes of readings."""
    return _too_much(soak.growth)


def left(before: Reading, after: Reading) -> list[str]:
    """Describe what churn has left behind: both were read at rest, so two readings suffice."""
    return _too_much(lambda of: of(after) - of(before))


def _too_much(growth: Callable[[Measure], float]) -> list[str]:
    return [
        f"{name} grew by {grown / unit:.1f}, and {most / unit:g} is allowed"
        for name, of, unit, most in MEASURES
        if (grown := growth(of)) > most
    ]


def table(soak: Soak) -> str:
    """Figures for people."""
    first, last = soak.synced[0], soak.readings[-1]
    done = ", ".join(f"{number} {act.name.lower()}" for act, number in soak.acts.items())
    done += f"; {soak.lost} streams ended by themselves"
    return "\n".join([
        f"{soak.seconds:.0f} s: {done}",
        "",
        f"{'handler':16}{'start':>9}{'1/3':>9}{'end':>9}{'per hour':>10}",
        *(
            f"{name:16}{of(soak.readings[0]) / unit:9.1f}{of(first) / unit:9.1f}{of(last) / unit:9.1f}"
            f"{soak.slope(of) / unit * HOUR:10.1f}"
            for name, of, unit, _ in MEASURES
        ),
    ])  # fmt: skip
