"""Tests the event recorder: which changes it receives, and which outcomes count as a refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from handler_service.events.policy import Kind, VmiEvent
from handler_service.events.recorder import EventRecorder
from handler_service.model import Outcome, OutcomeKind, PublishedValue
from testbed.waiting import wait_until_async
from tests.unit.handler.builders import VMI
from tests.unit.handler.test_status_manager import Scene, read


class Stage(Scene):
    """A status manager in virtual time, and an event recorder that watches it."""

    def __init__(self, places: int = 1) -> None:
        super().__init__(places)
        self.written: list[VmiEvent] = []
        self.recorder = EventRecorder(self.manager, self._write)

    async def _write(self, event: VmiEvent) -> None:
        self.written.append(event)

    async def writes(self, *kinds: Kind) -> None:
        """Wait until these, and no others, were written."""
        await wait_until_async(
            lambda: [one.kind for one in self.written], lambda seen: seen == list(kinds), what=f"{kinds} are written"
        )


@asynccontextmanager
async def listening(places: int = 1) -> AsyncIterator[Stage]:
    stage = Stage(places)
    task = asyncio.create_task(stage.recorder.run())
    await asyncio.sleep(0)  # it begins to listen
    yield stage
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_session_that_starts_is_told_at_once() -> None:
    """From the report to the event without anybody's poll."""
    async with listening() as stage:
        stage.report("a", 1, 0)
        stage.report("a", 2, 1)
        await stage.writes(Kind.STARTED)


async def test_it_listens_no_more_when_it_has_ended() -> None:
    """The status manager keeps no watcher that has ended."""
    async with listening() as stage:
        stage.report("a", 1, 0)
    stage.report("a", 2, 1)
    assert stage.written == []


@pytest.mark.parametrize("kind", [OutcomeKind.FORBIDDEN, OutcomeKind.REVERTED, OutcomeKind.PRUNED])
async def test_what_a_place_does_not_take_is_a_refusal(kind: OutcomeKind) -> None:
    """The event is written after its debounce, with the publisher's name and the server's message."""
    async with listening() as stage:
        stage.report("a", 1, 1)
        stage.work(0, read(0))
        stage.work(0, Outcome(kind, PublishedValue(0), "so it says"))
        stage.manager.answered(VMI)
        stage.now += 10.0
        stage.manager.answered(VMI)
        await stage.writes(Kind.REFUSED)
        assert stage.written[0].detail == f"memory: {kind.value}: so it says"


async def test_pruned_is_none_where_there_is_another_place() -> None:
    """As on every stock KubeVirt."""
    async with listening(places=2) as stage:
        stage.report("a", 1, 1)
        for place, outcome in ((0, read(1)), (1, read(0)), (1, Outcome(OutcomeKind.PRUNED, PublishedValue(0)))):
            stage.work(place, outcome)
            stage.manager.answered(VMI)
        stage.now += 100.0
        stage.manager.answered(VMI)
        stage.report("a", 2, 0)
        stage.now += 1.0
        stage.manager.answered(VMI)
        await stage.writes(Kind.ENDED)


async def test_a_server_that_fails_is_no_refusal() -> None:
    """It would not take the event either."""
    async with listening() as stage:
        stage.report("a", 1, 1)
        stage.work(0, read(0))
        stage.work(0, Outcome(OutcomeKind.ERROR, message="no answer"))
        stage.now += 100.0
        stage.manager.answered(VMI)
        stage.report("a", 2, 0)
        stage.now += 1.0
        stage.manager.answered(VMI)
        await stage.writes(Kind.ENDED)
