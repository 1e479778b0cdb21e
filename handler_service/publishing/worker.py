"""Runs one publisher by its write scheduler: starts reads and writes, and calls back when one has ended.

Invariants: one job for a VMI at a time; a bug in a publisher costs the VMI a retry and nothing else.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishers import Publisher
from handler_service.publishing.item import Job, PublisherState, View
from handler_service.publishing.policy import NODE_BURST, NODE_INTERVAL, Change, WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.stats import Histogram
from servicestatus import logs
from servicestatus.clock import Clock
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.wakeup import Wakeup

log = logging.getLogger(__name__)

#: Jobs under way at once: enough to hide the latency of an API server, few enough not to overload it.
MAX_JOBS: Final = 16

#: A VMI was deleted or changed while it was written. The next job reads it again. If that does not help, a metric and
#: an alert show it.
_RACES: Final = frozenset({OutcomeKind.CONFLICT, OutcomeKind.GONE})


class PublishWorker:
    """Publishes the desired status of all VMIs by one publisher."""

    def __init__(
        self,
        publisher: Publisher,
        scheduler: WriteScheduler,
        clock: Clock,
        answered: Callable[[VmiId], None],
    ) -> None:
        """`answered` is called when something may have become published, or has failed."""
        self.publisher = publisher
        self.scheduler = scheduler
        #: Finished writes by outcome, for metrics.
        self.outcomes: dict[OutcomeKind, int] = dict.fromkeys(OutcomeKind, 0)
        self._clock = clock
        self._answered = answered
        self._wakeup = Wakeup(clock)
        self._jobs: set[asyncio.Task[None]] = set()
        self._reported: dict[VmiId, tuple[OutcomeKind, str]] = {}
        self._pruned = False

    def set_desired(self, vmi: VmiId, desired: DesiredStatus | None) -> None:
        """Replace the desired status of a VMI. None: this handler no longer owns it, and the published value stays."""
        if desired is None:
            self.scheduler.forget(vmi)
            self._reported.pop(vmi, None)
        else:
            self.scheduler.set_desired(vmi, desired, self._clock())
            self._wake_worker()

    def seen(self, vmi: VmiId, value: PublishedValue, *, foreign: bool = True) -> None:
        """The place was seen to hold `value`, by a watch. `foreign` as in `WriteScheduler.set_actual`."""
        self.scheduler.set_actual(vmi, value, self._clock(), foreign=foreign)
        self._wake_worker()

    def retry(self) -> None:
        """Try failed writes again: something at the publisher has changed."""
        self.scheduler.retry(self._clock())
        self._wake_worker()

    @property
    def name(self) -> str:
        """The publisher's name."""
        return self.publisher.name

    def vmis(self) -> list[VmiId]:
        """Return the VMIs that this worker publishes."""
        return self.scheduler.vmis()

    def view(self, vmi: VmiId) -> View | None:
        """Return what is written of `vmi`; None when this worker does not publish it."""
        return self.scheduler.view(vmi)

    def state(self, vmi: VmiId) -> PublisherState:
        """Return whether the newest value of `vmi` is published."""
        view = self.scheduler.view(vmi)
        if view is None:
            return PublisherState(pb.PUBLISH_STATE_NOT_OWNER, message="this handler does not publish this VMI")
        return view.publisher_state()

    def published(self, vmi: VmiId, endpoint_id: str) -> Watermark | None:
        """Return how far the reports of an endpoint are contained in the published value."""
        return self.scheduler.published(vmi, endpoint_id)

    def waiting(self) -> tuple[int, float]:
        """Return how many VMIs wait for a write, and the seconds that the first of them has waited."""
        return self.scheduler.waiting(self._clock())

    def delay(self, change: Change) -> Histogram:
        """Return the seconds from a new value to its publication, for one kind of change."""
        return self.scheduler.delays[change]

    async def run(self) -> None:
        """Work until cancelled. finish_jobs() before that waits for the jobs under way."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._start_due(group)
                await self._sleep()

    async def finish_jobs(self, seconds: float) -> None:
        """Wait until no job is under way, at most `seconds`."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=seconds)

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        room = MAX_JOBS - len(self._jobs)
        if room <= 0:
            return  # the next job that ends wakes the loop
        for job in self.scheduler.take_due(self._clock(), room):
            task = group.create_task(self._work(job), name=f"publish {job.vmi}")
            self._jobs.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        self._wakeup.set()

    async def _sleep(self) -> None:
        await self._wakeup.sleep(None if self._full() else self.scheduler.wake_at())

    def _full(self) -> bool:
        """Return whether no job can start before another one ends, which wakes the loop."""
        return len(self._jobs) >= MAX_JOBS

    def _wake_worker(self) -> None:
        if not self._full():
            self._wakeup.set_for(self.scheduler.wake_at())

    async def _work(self, job: Job) -> None:
        outcome = await self._ask(job)
        if job.value is not None:
            self.outcomes[outcome.kind] += 1
        self.scheduler.finished(job.vmi, outcome, self._clock())
        self._report(job, outcome)
        self._answered(job.vmi)

    async def _ask(self, job: Job) -> Outcome:
        try:
            if job.value is None:
                return await self.publisher.read(job.vmi)
            return await self.publisher.write(job.vmi, job.value)
        except Exception as error:  # a bug that one VMI triggers must not end the publication of all others
            log.exception("%s: unexpected failure", self.publisher.name, extra=logs.fields(vmi=job.vmi))
            return Outcome(OutcomeKind.ERROR, message=f"{type(error).__name__}: {error}")

    def _report(self, job: Job, outcome: Outcome) -> None:
        """Log each new failure once, and its end once."""
        view = self.scheduler.view(job.vmi)
        if view is None:
            return  # this worker no longer publishes the VMI
        if outcome.kind is OutcomeKind.PRUNED:
            self._report_pruned(outcome.message)
        elif not outcome.ok:
            self._report_failure(job.vmi, (outcome.kind, outcome.message))
        elif job.value is not None or view.up_to_date:
            if self._reported.pop(job.vmi, None) is not None:
                log.info("%s: published again", self.publisher.name, extra=logs.fields(vmi=job.vmi))
            if self._pruned and job.value is not None and job.value.sessions:
                self._pruned = False
                log.info("%s: the API server keeps the field now", self.publisher.name)

    def _report_failure(self, vmi: VmiId, failure: tuple[OutcomeKind, str]) -> None:
        if failure != self._reported.get(vmi):
            self._reported[vmi] = failure
            level = logging.INFO if failure[0] in _RACES else logging.WARNING
            kind, message = failure[0].value, failure[1]
            log.log(level, "%s: %s: %s", self.publisher.name, kind, message, extra=logs.fields(vmi=vmi))

    def _report_pruned(self, message: str) -> None:
        """Log the normal state of a stock KubeVirt once: it concerns every VMI, and needs no action."""
        if not self._pruned:
            self._pruned = True
            log.info("%s: pruned: %s; this publisher shows no values", self.publisher.name, message)


def publish_worker(
    publisher: Publisher, clock: Callable[[], float], answered: Callable[[VmiId], None]
) -> PublishWorker:
    """Return a worker for `publisher` with the write policy and the token bucket that every publisher has."""
    bucket = TokenBucket(NODE_BURST, NODE_INTERVAL)
    scheduler = WriteScheduler(
        WritePolicy(), bucket, _jitter, publisher.detail, publisher.shows_idle, services_shown=publisher.services
    )
    return PublishWorker(publisher, scheduler, clock, answered)


def _jitter(cap: float) -> float:
    return random.uniform(0, cap)  # noqa: S311  # spreads load, guards nothing
