"""Tests the wakeup: what ends a sleep, and what does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from servicestatus.wakeup import Wakeup


class Sleeper:
    """Sleeps once by a clock of its own; the event loop's time is the real one, and far from being over."""

    def __init__(self, until: float | None, wakeup: Wakeup | None) -> None:
        """Use the wakeup that is passed, or a new one."""
        self.now = 0.0
        self.wakeup = wakeup or Wakeup(lambda: self.now)
        self.task = asyncio.create_task(self.wakeup.sleep(until))

    async def sleeps(self) -> bool:
        """Return whether it still sleeps after all ready callbacks have run."""
        for _ in range(5):
            await asyncio.sleep(0)
        return not self.task.done()


@asynccontextmanager
async def sleeping(until: float | None, wakeup: Wakeup | None = None) -> AsyncIterator[Sleeper]:
    sleeper = Sleeper(until, wakeup)
    assert await sleeper.sleeps()
    yield sleeper
    sleeper.task.cancel()
    await asyncio.gather(sleeper.task, return_exceptions=True)


@pytest.mark.parametrize(("until", "due"), [(100.0, 99.0), (100.0, 0.0), (None, 1e9)])
async def test_what_is_due_earlier_ends_a_sleep(until: float | None, due: float) -> None:
    """A sleep without an end is ended by whatever is due."""
    async with sleeping(until) as sleeper:
        sleeper.wakeup.set_for(due)
        assert not await sleeper.sleeps()


@pytest.mark.parametrize(("until", "due"), [(100.0, 100.0), (100.0, 101.0), (100.0, None), (None, None)])
async def test_what_is_due_later_lets_it_sleep(until: float | None, due: float | None) -> None:
    """It will look by then anyway."""
    async with sleeping(until) as sleeper:
        sleeper.wakeup.set_for(due)
        assert await sleeper.sleeps()


async def test_a_sleep_that_should_be_over_is_ended_by_whatever_is_due() -> None:
    """Its timer is late."""
    async with sleeping(100.0) as sleeper:
        sleeper.now = 100.0
        sleeper.wakeup.set_for(200.0)
        assert not await sleeper.sleeps()


async def test_a_ring_between_two_sleeps_ends_the_next_one_alone() -> None:
    """Nothing that happened while its owner was at work is lost, and nothing rings twice."""
    wakeup = Wakeup(lambda: 0.0)
    wakeup.set()
    await wakeup.sleep(None)
    async with sleeping(None, wakeup) as second:
        assert await second.sleeps()


async def test_who_is_awake_is_not_rung_for() -> None:
    """He looks for himself what is due."""
    wakeup = Wakeup(lambda: 0.0)
    wakeup.set_for(0.0)
    async with sleeping(None, wakeup) as sleeper:
        assert await sleeper.sleeps()


async def test_a_sleep_ends_when_its_time_has_come() -> None:
    """Also where that has passed already."""
    wakeup = Wakeup(asyncio.get_running_loop().time)
    await wakeup.sleep(asyncio.get_running_loop().time() + 0.01)
    await wakeup.sleep(0.0)
