"""The signals that end a program."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from servicestatus import signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the process's own handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_that_ends_a_program_sets_the_event(number: signal.Signals) -> None:
    stop = signals.stop_event()
    assert not stop.is_set()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(60):
        await stop.wait()
    for other in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(other)
