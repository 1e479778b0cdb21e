"""Sleeps until a due time, and wakes earlier if an earlier due time is set.

In a storm of events most changes are due after the sleep ends anyway, and do not end it.
"""

import asyncio

from servicestatus.clock import Clock


class Wakeup:
    """The sleep of one task. Invariant: a set() between two sleeps ends the next one at once."""

    def __init__(self, clock: Clock) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._set = asyncio.Event()
        # None: the task is awake, and checks the due time before its next sleep.
        self._until: float | None = None

    def set(self) -> None:
        """End the sleep."""
        self._set.set()

    def set_for(self, due: float | None) -> None:
        """Set the next due time. It ends a sleep that would end later, or that is overdue."""
        if due is not None and self._until is not None and (due < self._until or self._until <= self._clock()):
            self._set.set()

    async def sleep(self, until: float | None) -> None:
        """Sleep until `until`, or without a limit, or until set() is called."""
        self._until = float("inf") if until is None else until
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - self._clock())):
                await self._set.wait()
        except TimeoutError:
            return
        finally:
            self._until = None
        self._set.clear()
