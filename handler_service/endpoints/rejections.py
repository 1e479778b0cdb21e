"""Logs the rejections of one socket: each kind once, and then every ten minutes, since a peer may retry forever."""

from collections.abc import Callable
from typing import Final

from servicestatus.clock import Clock

#: Seconds until the same kind is logged again.
AGAIN: Final = 600.0


class RejectionLog:
    """Limits the log lines of one socket.

    Invariant: one socket causes at most one line for each kind in AGAIN seconds, and the kinds are few.
    """

    def __init__(self, write: Callable[[str], None], clock: Clock) -> None:
        """`write` logs a line; `clock` returns monotonic seconds."""
        self._write = write
        self._clock = clock
        self._silent_until: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def note(self, kind: str, text: str) -> None:
        """Log a rejection of this kind, or count it."""
        now = self._clock()
        if now < self._silent_until.get(kind, now):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._silent_until[kind] = now + AGAIN
        before = self._suppressed.pop(kind, 0)
        self._write(f"{text} (and {before} times since this was last logged)" if before else text)
