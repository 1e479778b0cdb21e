"""An event loop in virtual time: when no task is ready, the clock jumps to the next timer.

Two runs of the same program make the same steps, and a minute of waiting takes no real time.
"""

import asyncio
from typing import Any, Final

#: Seconds at which each run begins: not 0, so that no program confuses "never" with "just now".
BEGINNING: Final = 1000.0


class StuckError(Exception):
    """No task will ever be ready again: a run waits for an event that cannot happen."""


class _Leap:
    """Replaces a selector: instead of waiting for files, it moves the time."""

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
        """Let this much time pass at once."""
        self._now += seconds

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed's type variables cannot be named in 3.11 and 3.13 alike
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """There is only one thread."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""
