"""Bounds what the traffic of one socket may cost the handler: a debt is paid off at a constant rate. Pure."""

from typing import Final

from servicestatus.clock import Clock

#: What a socket may spend in one burst, and in each second, in bytes and in the charges of http2_limits.py. A busy
#: agent spends 2 KiB/s. gRPC and Python hold the data of one burst at once, in several times its size of memory.
BURST: Final = 32 * 1024
RATE: Final = 64 * 1024
#: The charge for a connection before it is accepted, and before it is read. It costs gRPC and Python about 0.3 ms, as a
#: call does, and more memory. These charges permit 4 connections per second, or 16 that are closed at once.
ACCEPT_COST: Final = 4096
CONNECTION_COST: Final = 12_288
#: The charge for a read, in addition to its data: a wakeup and two system calls cost as much as a frame. A hostile peer
#: can send single bytes; 20,000 reads per second took a fifth of a core (measured).
READ_COST: Final = 256
#: The highest charge for one read: one second, which pays for seven calls. A read has room for 50.
MOST_AT_ONCE: Final = RATE


class Allowance:
    """Keeps the account of one socket. Nothing is forgiven: in t seconds at most BURST + RATE * t is paid for."""

    __slots__ = ("_clock", "_paid_until")

    def __init__(self, clock: Clock) -> None:
        """`clock` returns monotonic seconds. The account starts with a full burst."""
        self._clock = clock
        self._paid_until = float("-inf")

    def spend(self, cost: int) -> float:
        """Spend `cost`; return the seconds until it, and all that was spent before, is paid for."""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - BURST / RATE) + cost / RATE
        return max(0.0, self._paid_until - now)
