"""Bounds what the traffic of one socket may cost the handler: a debt is paid off at a constant rate. Pure."""

from typing import Final

from servicestatus.clock import Clock

#: What a socket may spend (bytes, and see http2_limits.py): at once, and in a second. A busy agent spends 2 KiB in a
#: second. What was spent at once is in gRPC's and Python's hands at once, where it takes several times the room.
BURST: Final = 32 * 1024
RATE: Final = 64 * 1024
#: Seconds that a debt lasts at most: when an enemy has left the pod, its agent is heard again.
LONGEST_DEBT: Final = 5.0


class Allowance:
    """What one socket may still spend."""

    __slots__ = ("_clock", "_paid_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paid_until = float("-inf")

    def spend(self, cost: int) -> float:
        """Spend it; seconds to wait until that is paid for."""
        now = self._clock()
        paid_until = max(self._paid_until, now - BURST / RATE) + cost / RATE
        self._paid_until = min(paid_until, now + LONGEST_DEBT)
        return max(0.0, self._paid_until - now)
