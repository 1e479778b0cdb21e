"""Runs blocking calls, each in a daemon thread of its own.

A call into a libvirt that hangs cannot be interrupted. With the event loop's executor, the program would wait for it at
exit, and a few such calls would exhaust the executor for everything else. Here a caller may stop waiting at any time:
the thread keeps its slot until it returns, and `discard` gets what it returns late.

Invariant: at most `limit` threads exist for each instance, however long libvirt hangs.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from launcher_agent.errors import LibvirtError

T = TypeVar("T")


def _ignore(_: object) -> None:
    """Ignore a result without a caller."""


class DaemonThreads:
    """Runs at most `limit` blocking calls at a time."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)

    async def call(self, function: Callable[[], T], discard: Callable[[T], object] = _ignore) -> T:
        """Return or raise what `function` does. Cancelling leaves it running and passes its result to `discard`."""
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = function()
            except Exception as error:  # noqa: BLE001 - every error is raised in the caller
                deliver = _failing(answer, error)
            else:
                deliver = _answering(answer, result, discard)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
                loop.call_soon_threadsafe(self._slots.release)
                loop.call_soon_threadsafe(deliver)

        try:
            start(work)
        except RuntimeError as error:
            self._slots.release()
            raise LibvirtError(f"no thread for a call to libvirt: {error}") from error
        return await answer


def start(work: Callable[[], object]) -> None:
    """Run `work` in a daemon thread without waiting. RuntimeError if no thread can be created."""
    threading.Thread(target=work, daemon=True).start()


def _answering(answer: "asyncio.Future[T]", result: T, discard: Callable[[T], object]) -> Callable[[], None]:
    def deliver() -> None:
        if answer.done():
            start(lambda: discard(result))
        else:
            answer.set_result(result)

    return deliver


def _failing(answer: "asyncio.Future[T]", error: Exception) -> Callable[[], None]:
    def deliver() -> None:
        if not answer.done():
            answer.set_exception(error)

    return deliver
