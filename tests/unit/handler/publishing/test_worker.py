"""Tests a publisher with its write scheduler: what is logged, retried, awaited. Real time, short waits."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from handler_service.model import Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from handler_service.publishing.worker import MAX_JOBS, PublishWorker
from servicestatus.logs import TextFormatter
from servicestatus.rate_limit import TokenBucket
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import OTHER_VMI, VMI, desired
from tests.unit.handler.peer import MemoryPlace

QUICK = WritePolicy(first_rise=0.0, rise=0.0, fall=0.0, interval=0.001, retry_base=0.01, retry_cap=0.01)
REFUSED = Outcome(OutcomeKind.FORBIDDEN, message="no permission")


class Stage:
    """A running publication and its place."""

    def __init__(self, policy: WritePolicy) -> None:
        self.place = MemoryPlace()
        self.answers: list[VmiId] = []
        scheduler = WriteScheduler(policy, TokenBucket(10_000, 0.001), lambda cap: cap)
        self.worker = PublishWorker(self.place, scheduler, asyncio.get_running_loop().time, self.answers.append)

    async def up_to_date(self, vmi: VmiId = VMI) -> None:
        """Wait until the place holds what is wanted."""
        await wait_until_async(
            lambda: self.worker.scheduler.view(vmi),
            lambda view: view is not None and view.up_to_date,
            what="the place holds it",
        )


@asynccontextmanager
async def running(policy: WritePolicy = QUICK) -> AsyncIterator[Stage]:
    stage = Stage(policy)
    task = asyncio.create_task(stage.worker.run())
    yield stage
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and line of what the publication has logged."""
    records = [record for record in caplog.records if record.name == "handler_service.publishing.worker"]
    return [(record.levelname, TextFormatter().format(record).partition(f"{record.name}: ")[2]) for record in records]


async def test_what_is_wanted_is_written_and_answered() -> None:
    """Who waits for the answer is woken by it."""
    async with running() as stage:
        stage.worker.set_desired(VMI, desired(2, sequence=7))
        await stage.up_to_date()
        assert stage.place.actual == {VMI: 2}
        assert stage.worker.scheduler.published(VMI, "a") == Watermark("a", 1, 7)
        assert set(stage.answers) == {VMI}
        assert stage.worker.outcomes[OutcomeKind.WRITTEN] == 1


async def test_a_due_time_wakes_it() -> None:
    """Nothing else has to happen."""
    async with running(WritePolicy(first_rise=0.05)) as stage:
        stage.worker.set_desired(VMI, desired(1))
        await stage.up_to_date()
        assert stage.place.actual == {VMI: 1}


async def test_what_a_watch_sees_is_answered() -> None:
    """A foreign erasure is written over."""
    async with running() as stage:
        stage.worker.set_desired(VMI, desired(1))
        await stage.up_to_date()
        stage.place.actual[VMI] = 0
        stage.worker.seen(VMI, PublishedValue(0))
        await wait_until_async(lambda: stage.place.actual[VMI], lambda actual: actual == 1, what="it is written again")


async def test_new_trouble_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    """Ten tries that fail alike are one line; the reads between them are no end of it."""
    caplog.set_level(logging.INFO)
    async with running() as stage:
        stage.place.failures = [REFUSED] * 10
        stage.worker.set_desired(VMI, desired(1))
        await stage.up_to_date()
        assert stage.worker.outcomes[OutcomeKind.FORBIDDEN] == 10
        assert told(caplog) == [
            ("WARNING", "memory: forbidden: no permission vmi=default/vm"),
            ("INFO", "memory: published again vmi=default/vm"),
        ]


@pytest.mark.parametrize("kind", [OutcomeKind.CONFLICT, OutcomeKind.GONE])
async def test_a_race_with_another_writer_is_no_warning(caplog: pytest.LogCaptureFixture, kind: OutcomeKind) -> None:
    """KubeVirt writes and deletes VMIs all day: the next job resolves it."""
    caplog.set_level(logging.INFO)
    async with running() as stage:
        stage.place.failures = [Outcome(kind, message="409")]
        stage.worker.set_desired(VMI, desired(1))
        await stage.up_to_date()
        assert told(caplog) == [
            ("INFO", f"memory: {kind.value}: 409 vmi=default/vm"),
            ("INFO", "memory: published again vmi=default/vm"),
        ]


async def test_trouble_that_ends_without_a_write_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """The viewer left before the server was back: the place holds what is wanted."""
    caplog.set_level(logging.INFO)
    async with running() as stage:
        stage.place.failures = [REFUSED] * 10_000
        stage.worker.set_desired(VMI, desired(1))
        await wait_until_async(lambda: told(caplog), what="the failure is logged")
        stage.worker.set_desired(VMI, desired(0))
        await stage.up_to_date()
        await wait_until_async(lambda: len(told(caplog)), lambda lines: lines == 2, what="its end is logged")
        assert told(caplog)[-1] == ("INFO", "memory: published again vmi=default/vm")


async def test_a_pruned_field_is_logged_once_for_all_vmis(caplog: pytest.LogCaptureFixture) -> None:
    """Every VMI of a stock KubeVirt drops it: that is normal, so it is no warning."""
    caplog.set_level(logging.INFO)
    pruned = Outcome(OutcomeKind.PRUNED, PublishedValue(0), "no such field")
    async with running(replace(QUICK, pruned_retry=0.01)) as stage:
        stage.place.failures = [pruned] * 10
        for vmi in (VMI, OTHER_VMI):
            stage.worker.set_desired(vmi, desired(1))
        for vmi in (VMI, OTHER_VMI):
            await stage.up_to_date(vmi)
        assert told(caplog) == [
            ("INFO", "memory: pruned: no such field; this publisher shows no values"),
            ("INFO", "memory: the API server keeps the field now"),
        ]


async def test_a_publisher_s_mistake_costs_its_own_vmi_a_retry(caplog: pytest.LogCaptureFixture) -> None:
    """And nothing else."""
    async with running() as stage:
        stage.place.failures = [RuntimeError("a bug")]
        stage.worker.set_desired(VMI, desired(1))
        stage.worker.set_desired(OTHER_VMI, desired(1))
        await stage.up_to_date(VMI)
        await stage.up_to_date(OTHER_VMI)
        assert stage.place.actual == {VMI: 1, OTHER_VMI: 1}
        assert any("RuntimeError: a bug" in message for _, message in told(caplog))


async def test_nobody_is_told_of_a_vmi_that_was_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Its last write fails because it is gone: that is as it should be, and leaves nothing behind."""
    async with running() as stage:
        stage.place.open.clear()
        stage.place.failures = [Outcome(OutcomeKind.GONE, message="it is gone")]
        stage.worker.set_desired(VMI, desired(1))
        await wait_until_async(
            lambda: stage.worker.scheduler.view(VMI),
            lambda view: view is not None and view.actual is not None and not view.up_to_date,
            what="the place was read",
        )
        await wait_until_async(lambda: len(stage.worker._jobs), lambda jobs: jobs == 1, what="the write began")
        stage.worker.set_desired(VMI, None)
        stage.place.open.set()
        await stage.worker.finish_jobs(30.0)
        await wait_until_async(lambda: not stage.worker._jobs, what="the job has ended")
        assert told(caplog) == []
        assert stage.worker._reported == {}
        assert stage.worker.scheduler._items == {}


async def test_jobs_under_way_are_bounded() -> None:
    """The rest waits for one to end, without spinning."""
    async with running() as stage:
        stage.place.open.clear()
        vmis = [VmiId("default", f"vm-{number}", "") for number in range(3 * MAX_JOBS)]
        for vmi in vmis:
            stage.worker.set_desired(vmi, desired(1))
        await wait_until_async(
            lambda: len(stage.worker._jobs), lambda jobs: jobs == MAX_JOBS, what="all jobs are under way"
        )
        await asyncio.sleep(0.05)
        assert len(stage.worker._jobs) == MAX_JOBS
        stage.place.open.set()
        for vmi in vmis:
            await stage.up_to_date(vmi)


async def test_settle_waits_for_what_is_under_way_and_no_longer_than_told() -> None:
    """A handler that stops lets its writes end."""
    async with running() as stage:
        await stage.worker.finish_jobs(30.0)
        stage.place.open.clear()
        stage.worker.set_desired(VMI, desired(1))
        await wait_until_async(lambda: any(job.get_name() for job in stage.worker._jobs), what="a job is under way")
        await stage.worker.finish_jobs(0.02)
        assert stage.place.actual == {}
        stage.place.open.set()
        await stage.up_to_date()


async def test_cancelling_ends_its_jobs_too() -> None:
    """No orphan is left."""
    stage = Stage(QUICK)
    task = asyncio.create_task(stage.worker.run())
    stage.place.open.clear()
    stage.worker.set_desired(VMI, desired(1))
    await wait_until_async(lambda: stage.worker._jobs, what="a job is under way")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.worker._jobs == set()
    assert {other for other in asyncio.all_tasks() if other.get_name().startswith("publish ")} == set()
