"""The questions to QEMU, and the marks that they leave among the events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from launcher_agent.errors import LibvirtError, UnobservableError
from launcher_agent.events import Event, QueryAnswered, QueryRefused, QueryStarted, QueryWindowClosed
from launcher_agent.state import Stats
from launcher_agent.vm.query_loop import QueryLoop
from tests.unit.agent.fakes import UNIX, FakeConnection, VirtualTime, settle


class Scene:
    def __init__(self) -> None:
        self.libvirt = FakeConnection()
        self.time = VirtualTime()
        self.stats = Stats()
        self.query_loop = QueryLoop(self.libvirt, self.stats, self.time.sleep)

    async def marks(self) -> list[Event]:
        found = []
        while self.libvirt.queue._events:
            found.append(await self.libvirt.queue.get())
        return found


@asynccontextmanager
async def running() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.query_loop.run())
    await settle()
    yield scene
    task.cancel()
    await asyncio.wait([task])


async def test_it_asks_nothing_before_it_is_told_to() -> None:
    async with running() as scene:
        await scene.time.advance(100)
        assert scene.libvirt.questions == []


async def test_a_question_leaves_its_marks_before_after_and_a_quiet_while_later() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        assert await scene.marks() == [QueryStarted(7)]
        await scene.libvirt.answer(UNIX)
        assert await scene.marks() == [QueryAnswered(7, (UNIX,))]
        await scene.time.advance(0.19)
        assert await scene.marks() == []
        await scene.time.advance(0.01)
        assert await scene.marks() == [QueryWindowClosed(7)]


async def test_it_asks_once_unless_it_is_told_to_ask_again() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        await scene.libvirt.answer()
        await scene.time.advance(100)
        assert scene.libvirt.questions == ["vm"]
        scene.query_loop.again(refused=False)
        await settle()
        assert scene.libvirt.questions == ["vm", "vm"]
        assert scene.stats.queries == 2


async def test_a_refusal_is_told_with_its_reason() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        await scene.libvirt.refuse(LibvirtError("access denied"))
        assert await scene.marks() == [QueryStarted(7), QueryRefused(7, "access denied")]


async def test_an_answer_that_no_later_one_can_better_is_final() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        await scene.libvirt.refuse(UnobservableError("a server without a listener"))
        assert await scene.marks() == [QueryStarted(7), QueryRefused(7, "a server without a listener", final=True)]


async def test_an_end_during_a_pause_asks_no_more() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        await scene.libvirt.refuse(LibvirtError("access denied"))
        scene.query_loop.again(refused=True)
        await settle()
        scene.query_loop.end()
        await scene.time.advance(100)
        assert scene.libvirt.questions == ["vm"]


async def test_another_run_begins_its_pauses_anew() -> None:
    async with running() as scene:
        scene.query_loop.begin("vm", 7)
        await settle()
        await scene.libvirt.refuse(LibvirtError("access denied"))
        scene.query_loop.end()
        scene.query_loop.begin("vm", 8)
        await settle()
        assert scene.libvirt.questions == ["vm", "vm"]
