"""Blocking calls that may hang."""

import asyncio
import threading

import pytest

from launcher_agent.vm.blocking_calls import DaemonThreads


class Gate:
    """A blocking call that returns when the test says so."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._leave = threading.Event()

    def call(self) -> str:
        self.entered.set()
        assert self._leave.wait(60)
        return "late"

    def open(self) -> None:
        self._leave.set()


async def entered(gate: Gate) -> None:
    await asyncio.to_thread(gate.entered.wait, 60)


async def test_a_call_returns_what_the_function_returns_and_runs_in_a_daemon_thread() -> None:
    assert await DaemonThreads(1).call(lambda: threading.current_thread().daemon)


async def test_a_call_raises_what_the_function_raises() -> None:
    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await DaemonThreads(1).call(fail)


async def test_a_caller_may_stop_waiting_and_what_comes_late_is_discarded() -> None:
    gate, discarded = Gate(), threading.Event()
    call = asyncio.create_task(DaemonThreads(1).call(gate.call, discard=lambda _: discarded.set()))
    await entered(gate)
    call.cancel()
    await asyncio.wait([call])
    gate.open()
    assert await asyncio.to_thread(discarded.wait, 60)


async def test_what_is_raised_late_is_nobodys() -> None:
    gate, threads = Gate(), DaemonThreads(1)

    def fail() -> None:
        gate.call()
        raise OSError("late")

    call = asyncio.create_task(threads.call(fail))
    await entered(gate)
    call.cancel()
    await asyncio.wait([call])
    gate.open()
    assert await threads.call(lambda: "next") == "next"


async def test_a_call_that_hangs_keeps_its_slot_so_that_hanging_calls_never_pile_up() -> None:
    gate, threads = Gate(), DaemonThreads(1)
    hanging = asyncio.create_task(threads.call(gate.call))
    await entered(gate)
    hanging.cancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await threads.call(lambda: "never")
    gate.open()
    async with asyncio.timeout(60):
        assert await threads.call(lambda: "at last") == "at last"
