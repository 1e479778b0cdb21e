"""Runs one publisher by its clockwork: reads, writes, and tells who waits for the answer.

Invariants: one job for a VMI at a time; a publisher's mistake costs its own VMI a retry and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from handler_service.model import Outcome, OutcomeKind, Shown, Standing, VmiId
from handler_service.publishers import Publisher
from handler_service.publishing.item import Job
from handler_service.publishing.scheduler import Clockwork
from handler_service.wakeup import Alarm

log = logging.getLogger(__name__)

#: Writes under way at once: enough to hide the latency of an API server, few enough not to be a burden to it.
MAX_JOBS: Final = 16


class Publication:
    """One place of publication, running."""

    def __init__(
        self,
        publisher: Publisher,
        clockwork: Clockwork,
        clock: Callable[[], float],
        answered: Callable[[VmiId], None],
    ) -> None:
        """`answered` is called when something may have become published, or has failed."""
        self.publisher = publisher
        self.clockwork = clockwork
        #: Finished writes by outcome, for metrics.
        self.outcomes: dict[OutcomeKind, int] = dict.fromkeys(OutcomeKind, 0)
        self._clock = clock
        self._answered = answered
        self._alarm = Alarm(clock)
        self._jobs: set[asyncio.Task[None]] = set()
        self._told: dict[VmiId, tuple[OutcomeKind, str]] = {}

    def want(self, vmi: VmiId, standing: Standing | None) -> None:
        """The newest standing of a VMI; None: it is not ours any more, and what is published stays as it is."""
        if standing is None:
            self.clockwork.forget(vmi)
            self._told.pop(vmi, None)
        else:
            self.clockwork.want(vmi, standing, self._clock())
            self._ring()

    def seen(self, vmi: VmiId, shown: Shown) -> None:
        """The place was seen to hold `shown`, by a watch."""
        self.clockwork.hold(vmi, shown, self._clock())
        self._ring()

    def retry(self) -> None:
        """The place has changed: try again what failed."""
        self.clockwork.retry(self._clock())
        self._ring()

    async def run(self) -> None:
        """Work until cancelled. settle() before that lets what is under way end."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._start_due(group)
                await self._sleep()

    async def settle(self, seconds: float) -> None:
        """Wait until no job is under way, at most `seconds`."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=seconds)

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        room = MAX_JOBS - len(self._jobs)
        if room <= 0:
            return  # the next job that ends wakes the loop
        for job in self.clockwork.take_due(self._clock(), room):
            task = group.create_task(self._work(job), name=f"publish {job.vmi}")
            self._jobs.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        self._alarm.ring()

    async def _sleep(self) -> None:
        await self._alarm.sleep(None if self._full() else self.clockwork.wake_at())

    def _full(self) -> bool:
        """Whether nothing can be begun before a job ends, which rings."""
        return len(self._jobs) >= MAX_JOBS

    def _ring(self) -> None:
        if not self._full():
            self._alarm.ring_for(self.clockwork.wake_at())

    async def _work(self, job: Job) -> None:
        outcome = await self._ask(job)
        if job.shown is not None:
            self.outcomes[outcome.kind] += 1
        self.clockwork.finished(job.vmi, outcome, self._clock())
        self._tell(job, outcome)
        self._answered(job.vmi)

    async def _ask(self, job: Job) -> Outcome:
        try:
            if job.shown is None:
                return await self.publisher.read(job.vmi)
            return await self.publisher.write(job.vmi, job.shown)
        except Exception as error:  # one VMI's bad luck must not end the publication of all others
            log.exception("%s: %s: unexpected failure", self.publisher.name, job.vmi)
            return Outcome(OutcomeKind.ERROR, message=f"{type(error).__name__}: {error}")

    def _tell(self, job: Job, outcome: Outcome) -> None:
        """Each new trouble once, and its end once."""
        view = self.clockwork.view(job.vmi)
        if view is None:
            return  # it was forgotten meanwhile, so nobody waits for it
        if not outcome.ok:
            self._trouble(job.vmi, (outcome.kind, outcome.message))
        elif (job.shown is not None or view.satisfied) and self._told.pop(job.vmi, None) is not None:
            log.info("%s: %s: published again", self.publisher.name, job.vmi)

    def _trouble(self, vmi: VmiId, trouble: tuple[OutcomeKind, str]) -> None:
        if trouble != self._told.get(vmi):
            self._told[vmi] = trouble
            log.warning("%s: %s: %s: %s", self.publisher.name, vmi, trouble[0].value, trouble[1])
