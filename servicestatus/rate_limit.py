"""Limits how often something may happen. Pure: the time is a parameter, in seconds of a clock that never goes back."""

from typing import Final

#: Seconds by which a token may be taken early: a caller that slept until ready_at() must get it despite rounding.
TOLERANCE: Final = 1e-6


class TokenBucket:
    """Admits `burst` actions at once, and then one in each `interval` seconds.

    Invariant: in any span of t seconds at most burst + t / interval tokens are taken.
    """

    def __init__(self, burst: int, interval: float) -> None:
        """Start with `burst` tokens, at least 1. One is added each `interval` seconds, more than 0."""
        if burst < 1 or interval <= 0:
            raise ValueError(f"a token bucket needs burst >= 1 and interval > 0, not {burst} and {interval}")
        #: Seconds between two tokens.
        self.interval: Final = interval
        self._span = burst * interval
        self._next_full = float("-inf")  # when the bucket is full again, if nothing is taken until then

    def ready_at(self, now: float) -> float:
        """Return when the next token can be taken: `now` if there is one."""
        return max(now, self._next_full - self._span + self.interval)

    def take(self, now: float) -> bool:
        """Take a token; returns False if there is none."""
        if self.ready_at(now) > now + TOLERANCE:
            return False
        self._next_full = max(self._next_full, now) + self.interval
        return True
