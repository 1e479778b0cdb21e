"""One run: faults by a seed while viewers come and go. Everything is recorded, and the promises are checked on it."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tests.faults import recorder, schedule
from tests.faults.injection import Injector
from tests.faults.promises import QUIET, Violation, violations
from tests.faults.record import History, Kind, Record, Target
from tests.faults.recorder import Recorder
from tests.faults.schedule import Planned
from tests.faults.stand import LEASE, Machine, Stand
from tests.faults.visitors import Visitors
from tests.faults.witness import Witness

#: Three real VMs: enough for faults in two of them at once, while the third is undisturbed.
MACHINES = 3
#: Quiet after each round: the time that the promises allow, and some time to check the result.
REST = QUIET + 1.5


@dataclass
class Run:
    """What happened in a run, and the violations found in its record."""

    seed: int
    schedule: list[list[Planned]] = field(default_factory=list)
    record: Record = field(default_factory=lambda: Record(0.0, 0.0, LEASE))
    violations: list[Violation] = field(default_factory=list)
    viewers: int = 0
    streams: int = 0

    @property
    def faults(self) -> Counter[tuple[Target, Kind]]:
        return Counter((fault.target, fault.kind) for fault in self.record.faults)

    @property
    def planned(self) -> set[tuple[Target, Kind]]:
        return {(fault.target, fault.kind) for round_ in self.schedule for fault in round_}

    @property
    def absences(self) -> int:
        """How often the handler was away for longer than a value may outlive it."""
        return sum(fault.end - fault.begin >= schedule.ABSENCE for fault in self.record.faults)

    @property
    def writes(self) -> int:
        places = [looks for history in self.record.histories for looks in history.places.values()]
        return sum(len(looks) - 1 for looks in places)

    @property
    def acks(self) -> int:
        return sum(len(history.acks) for history in self.record.histories)


def run(stand: Stand, seed: int, more: Callable[[Run], bool], progress: Callable[[str], None] = lambda _: None) -> Run:
    """Run rounds while `more()` is true. `progress` gets progress messages."""
    done = Run(seed)
    rounds = schedule.with_absences(schedule.rounds(seed, [machine.name for machine in stand.machines]))
    with contextlib.ExitStack() as stack:
        actors = _Actors(stand, seed, stack)
        done.record.began = time.monotonic()
        while more(done):
            planned = next(rounds)
            done.schedule.append(planned)
            progress(
                f"round {len(done.schedule)}: " + ", ".join(f"{one.kind.value} {one.target.value}" for one in planned)
            )
            actors.injector.run(planned)
            stand.check_running()
            with actors.quiet():
                time.sleep(REST)
        done.record.ended = time.monotonic()
    actors.account(done)
    done.violations = violations(done.record)
    return done


class _Actors:
    """The threads that act and those that observe in a run."""

    def __init__(self, stand: Stand, seed: int, stack: contextlib.ExitStack) -> None:
        enter = stack.enter_context
        client, vmi = stand.client, stand.witness
        self._field = enter(Recorder(client, vmi.path.rpartition("/")[0], recorder.of_vmi))
        self._companion = enter(Recorder(client, vmi.companion_path.rpartition("/")[0], recorder.of_companion))
        self._visitors = {one.name: enter(self._visitors_of(one, seed)) for one in stand.machines}
        self._witness = enter(Witness(vmi.socket, f"witness {seed}"))
        self._stand = stand
        self._vmi = vmi
        self.injector = Injector(stand, self._visitors)

    @staticmethod
    def _visitors_of(machine: Machine, seed: int) -> Visitors:
        return Visitors(machine.vm.address, f"viewers of {machine.name} {seed}")

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        actors: list[Visitors | Witness] = [*self._visitors.values(), self._witness]
        for actor in actors:
            actor.quiet()
        try:
            yield
        finally:
            for actor in actors:
                actor.go_on()

    def account(self, done: Run) -> None:
        record = done.record
        record.faults = sorted(self.injector.faults, key=lambda fault: fault.begin)
        record.samples = self._field.samples + self._companion.samples
        record.logs = {name: _timed(log) for name, log in self._stand.logs.items()}
        record.histories = [self._history(name, visitors) for name, visitors in self._visitors.items()]
        record.histories.append(self._history(self._vmi.name, self._witness))
        record.histories[-1].acks = self._witness.acks
        done.viewers = sum(visitors.connects for visitors in self._visitors.values())
        done.streams = self._witness.streams

    def _history(self, name: str, actor: Visitors | Witness) -> History:
        return History(name, list(actor.sessions), self._field.looks[name], self._companion.looks[name])


def _timed(log: str) -> list[tuple[float, str]]:
    """Return the lines that begin with a time, with the times of this process's clock."""
    offset = time.time() - time.monotonic()
    found: list[tuple[float, str]] = []
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        with contextlib.suppress(ValueError):
            found.append((datetime.fromisoformat(stamp).timestamp() - offset, text))
    return found
