"""Tells of what one socket was refused: each kind once, and then seldom, since a peer may try for ever."""

from collections.abc import Callable
from typing import Final

from servicestatus.clock import Clock

#: Seconds until the same is told again.
AGAIN: Final = 600.0


class RejectionLog:
    """Invariant: the kinds are few, so at most that many lines come from one socket in AGAIN seconds."""

    def __init__(self, tell: Callable[[str], None], clock: Clock) -> None:
        """`tell` takes a line for people; `clock` gives monotonic seconds."""
        self._tell = tell
        self._clock = clock
        self._silent_until: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def note(self, kind: str, text: str) -> None:
        """Something of this kind was refused."""
        now = self._clock()
        if now < self._silent_until.get(kind, now):
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        self._silent_until[kind] = now + AGAIN
        before = self._untold.pop(kind, 0)
        self._tell(f"{text} (and {before} times since this was told)" if before else text)
