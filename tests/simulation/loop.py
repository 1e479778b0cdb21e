"""An event loop in virtual time: when nobody has anything to do, the clock leaps to the next appointment.

Two runs of the same program make the same steps, and a minute of waiting takes no longer than what is done in it.
"""

import asyncio
from typing import Any, Final

#: Seconds at which each run begins: not 0, so that nobody takes "never" for "just now".
BEGINNING: Final = 1000.0


class StuckError(Exception):
    """Nobody will ever do anything again: a run waits for something that cannot happen."""


class _Leap:
    """In the place of a selector: instead of waiting for files, the time is moved."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise StuckError
        self._loop.leap(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without files, threads or real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = BEGINNING
        self._selector = _Leap(self)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def leap(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._now += seconds

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed's type variables cannot be named in 3.11 and 3.13 alike
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""
