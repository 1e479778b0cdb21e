"""The way from libvirt's thread to the loop: in order, bounded, and never for long in libvirt's way."""

import asyncio
import threading
import time

from launcher_agent.events import Change, ConnectionClosed, LifecycleEvent
from launcher_agent.vm.event_queue import EventQueue


def event(number: int) -> LifecycleEvent:
    return LifecycleEvent("vm", Change.DEFINED, number)


async def test_events_of_a_thread_come_in_order() -> None:
    queue = EventQueue()

    def write() -> None:
        for number in range(1000):
            queue.put_from_thread(event(number))

    thread = threading.Thread(target=write)
    thread.start()
    assert [await queue.get() for _ in range(1000)] == [event(number) for number in range(1000)]
    thread.join()


async def test_a_reader_is_woken_by_what_the_loop_itself_puts_in() -> None:
    queue = EventQueue()
    reader = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(event(1))
    assert await reader == event(1)


async def test_a_full_inbox_makes_its_writer_wait_until_the_reader_comes() -> None:
    queue = EventQueue(capacity=2, put_timeout=1000.0)

    def write() -> None:
        for number in range(5):
            queue.put_from_thread(event(number))

    writer = threading.Thread(target=write)
    writer.start()
    assert [await queue.get() for _ in range(5)] == [event(number) for number in range(5)]
    writer.join()


async def test_a_reader_that_never_comes_loses_the_connection_and_costs_no_more_memory() -> None:
    queue = EventQueue(capacity=2, put_timeout=0.01)
    for number in range(1000):
        queue.put_from_thread(event(number))
    got = [await queue.get() for _ in range(3)]
    assert got == [event(0), event(1), ConnectionClosed("events came faster than they could be read")]
    assert not queue._events


async def test_once_lost_a_writer_waits_no_more() -> None:
    queue = EventQueue(capacity=1, put_timeout=0.5)
    queue.put_from_thread(event(0))
    queue.put_from_thread(event(1))
    begin = time.monotonic()
    for number in range(100):
        queue.put_from_thread(event(number))
    assert time.monotonic() - begin < 25  # a wait for each would be 50 s


async def test_a_storm_leaves_the_other_tasks_their_turns() -> None:
    queue = EventQueue()
    for number in range(1000):
        queue.put(event(number))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(1000):
        await queue.get()
    task.cancel()
    assert turns >= 10


async def test_in_a_storm_events_gather_instead_of_waking_the_loop_one_by_one() -> None:
    queue = EventQueue(gather=0.2)
    read: list[LifecycleEvent] = []

    async def reader() -> None:
        while len(read) < 40:
            got = await queue.get()
            assert isinstance(got, LifecycleEvent)
            read.append(got)

    task = asyncio.create_task(reader())
    for number in range(9):  # each wakes the reader, which was waiting
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queue.put_from_thread(event(number))
        await asyncio.sleep(0.001)
    before = len(read)
    for number in range(9, 40):
        queue.put_from_thread(event(number))
        await asyncio.sleep(0)
    assert before <= len(read) < 40
    await task
    assert read == [event(number) for number in range(40)]


async def test_an_event_after_the_end_of_the_loop_goes_nowhere() -> None:
    def late() -> EventQueue:
        async def make() -> EventQueue:
            return EventQueue()

        return asyncio.run(make())

    queue = await asyncio.to_thread(late)
    queue.put_from_thread(event(1))
