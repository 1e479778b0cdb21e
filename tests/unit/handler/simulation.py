"""Simulates a write scheduler and its publisher in virtual time.

The place does what the test scripts: it takes a write, refuses it, or takes it and answers with an error. A job reaches
the place half its latency after it has begun.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId
from handler_service.publishing.item import Job
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.builders import VMI


class Fate(Enum):
    """What becomes of a job at the place."""

    DONE = auto()
    #: Refused: another client was quicker. Nothing is written.
    CONFLICT = auto()
    #: It never arrives.
    LOST = auto()
    #: It is written, and the answer is lost.
    DONE_AND_LOST = auto()
    #: The field is dropped.
    PRUNED = auto()
    #: Taken, and answered with the value of before.
    REVERTED = auto()
    #: The server asks for 30 s of peace.
    OVERLOADED = auto()


#: What is answered whatever was asked.
_ANSWERS = {
    Fate.CONFLICT: Outcome(OutcomeKind.CONFLICT, message="another client was quicker"),
    Fate.OVERLOADED: Outcome(OutcomeKind.ERROR, message="overloaded", retry_after=30.0),
    Fate.LOST: Outcome(OutcomeKind.ERROR, message="no answer"),
    Fate.DONE_AND_LOST: Outcome(OutcomeKind.ERROR, message="no answer"),
}
#: Writes that are answered with the value of before. A read is done as ever.
_UNDONE = {Fate.PRUNED: OutcomeKind.PRUNED, Fate.REVERTED: OutcomeKind.REVERTED}


@dataclass(frozen=True)
class Write:
    """A write that has begun."""

    at: float
    sessions: int
    vmi: VmiId = VMI
    detail: Hashable = None


@dataclass
class Simulation:
    """A write scheduler, its publisher, and the time."""

    policy: WritePolicy = field(default_factory=WritePolicy)
    bucket: TokenBucket = field(default_factory=lambda: TokenBucket(256, 0.04))
    #: Seconds from the start of a job to its answer.
    latency: float = 0.0
    #: How much of the longest wait a retry waits.
    jitter: float = 1.0
    room: int = 16
    now: float = 0.0
    #: What the place holds; at first, nothing.
    place: dict[VmiId, int] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    #: What it shows beside the numbers that were written.
    details: dict[VmiId, Hashable] = field(default_factory=dict)
    #: The fates of the jobs to come; afterwards all are done.
    fates: deque[Fate] = field(default_factory=deque)
    #: The VMIs whose writes are all refused.
    refused: set[VmiId] = field(default_factory=set)
    #: The publisher's.
    detail: Callable[[DesiredStatus], Hashable] = lambda _: None
    shows_idle: Callable[[PublishedValue], bool] = lambda value: not value.sessions
    #: Called with each job that begins, each change of the place, and after each answer: the tests' spies.
    began: Callable[[Job], None] = lambda _: None
    placed: Callable[[VmiId], None] = lambda _: None
    answered: Callable[[VmiId], None] = lambda _: None

    def __post_init__(self) -> None:
        self.scheduler = WriteScheduler(
            self.policy, self.bucket, lambda cap: cap * self.jitter, self.detail, self.shows_idle
        )
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # --- what happens outside ---

    def set_desired(self, desired: DesiredStatus, vmi: VmiId = VMI) -> None:
        """The newest standing."""
        self.scheduler.set_desired(vmi, desired, self.now)

    def foreign(self, sessions: int, vmi: VmiId = VMI) -> None:
        """Write as another client; a watch reports it at once."""
        self.place[vmi] = sessions
        self.placed(vmi)
        self.scheduler.set_actual(vmi, PublishedValue(sessions), self.now)

    # --- time ---

    def run(self, until: float) -> None:
        """Let the time pass."""
        while True:
            self._start()
            due = min(self._next(), until)
            if due >= until:
                break
            self.now = max(self.now, due)
            self._happen()
        self.now = until
        self._happen()
        self._start()

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        self.run(self.now + seconds)

    def _next(self) -> float:
        times = [at for at, _, _ in self._events[:1]]
        wake = self.scheduler.wake_at()
        return min([*times, float("inf") if wake is None else wake])

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    # --- jobs ---

    def _start(self) -> None:
        for job in self.scheduler.take_due(self.now, self.room):
            self.began(job)
            if job.value is None:
                self.reads.append(self.now)
            else:
                self.writes.append(Write(round(self.now, 6), job.value.sessions, job.vmi, job.value.detail))
            refused = job.value is not None and job.vmi in self.refused
            fate = Fate.CONFLICT if refused else self.fates.popleft() if self.fates else Fate.DONE
            self._at(self.now + self.latency / 2, lambda job=job, fate=fate: self._arrive(job, fate))  # type: ignore[misc]
        if self.latency == 0:
            self._happen()

    def _arrive(self, job: Job, fate: Fate) -> None:
        before = self.place.get(job.vmi, 0)
        if job.value is not None and fate in (Fate.DONE, Fate.DONE_AND_LOST):
            self.place[job.vmi], self.details[job.vmi] = job.value.sessions, job.value.detail
            self.placed(job.vmi)
        outcome = self._outcome(job, fate, before)
        self._at(self.now + self.latency / 2, lambda: self._answer(job.vmi, outcome))

    def _answer(self, vmi: VmiId, outcome: Outcome) -> None:
        self.scheduler.finished(vmi, outcome, self.now)
        self.answered(vmi)

    def _outcome(self, job: Job, fate: Fate, before: int) -> Outcome:
        if fate in _ANSWERS:
            return _ANSWERS[fate]
        if job.value is None:
            return Outcome(OutcomeKind.UNCHANGED, PublishedValue(before, self.details.get(job.vmi)))
        if fate in _UNDONE:
            return Outcome(_UNDONE[fate], PublishedValue(before), "not done")
        kind = OutcomeKind.UNCHANGED if before == job.value.sessions else OutcomeKind.WRITTEN
        return Outcome(kind, job.value)
