"""Bounds what the traffic of one socket may cost the handler: a debt is paid off at a constant rate. Pure."""

from typing import Final

from servicestatus.clock import Clock

#: What a socket may spend in one burst, and in each second, in bytes and in the charges of http2_limits.py. A busy
#: agent spends 2 KiB/s. gRPC and Python hold the data of one burst at once, in several times its size of memory.
BURST: Final = 32 * 1024
RATE: Final = 64 * 1024
#: The longest debt in seconds. After it, the agent is read again although another process in its pod sent a flood.
LONGEST_DEBT: Final = 5.0


class Allowance:
    """Keeps the account of one socket."""

    __slots__ = ("_clock", "_paid_until")

    def __init__(self, clock: Clock) -> None:
        """`clock` returns monotonic seconds. The account starts with a full burst."""
        self._clock = clock
        self._paid_until = float("-inf")

    def spend(self, cost: int) -> float:
        """Spend `cost`; return the seconds until it is paid for."""
        now = self._clock()
        paid_until = max(self._paid_until, now - BURST / RATE) + cost / RATE
        self._paid_until = min(paid_until, now + LONGEST_DEBT)
        return max(0.0, self._paid_until - now)
