"""A sleep until a moment, which an earlier moment ends.

In a storm most changes concern what is due later than the sleep ends anyway: they need not wake anybody.
"""

import asyncio

from servicestatus.clock import Clock


class Wakeup:
    """Of one sleeper. Invariant: a ring between two sleeps is not lost, it ends the next one at once."""

    def __init__(self, clock: Clock) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._set = asyncio.Event()
        # Of a sleep under way: who is awake looks for himself what is due.
        self._until: float | None = None

    def set(self) -> None:
        """End the sleep."""
        self._set.set()

    def set_for(self, due: float | None) -> None:
        """Something is due then, or nothing is: end a sleep that goes on for longer, or should be over."""
        if due is not None and self._until is not None and (due < self._until or self._until <= self._clock()):
            self._set.set()

    async def sleep(self, until: float | None) -> None:
        """Until then, or without an end; or until it rings."""
        self._until = float("inf") if until is None else until
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - self._clock())):
                await self._set.wait()
        except TimeoutError:
            return
        finally:
            self._until = None
        self._set.clear()
