"""How often something may happen. Pure: the time is a parameter, in seconds of any clock that only grows."""


class TokenBucket:
    """Lets `burst` things happen at once, and after that one each `interval` seconds.

    Invariant: in any span of t seconds at most burst + t / interval tokens are taken.
    """

    def __init__(self, burst: int, interval: float) -> None:
        """Start full: `burst` tokens, at least 1; one more each `interval` seconds, more than 0."""
        if burst < 1 or interval <= 0:
            raise ValueError(f"a token bucket needs burst >= 1 and interval > 0, not {burst} and {interval}")
        self._interval = interval
        self._span = burst * interval
        self._next_full = float("-inf")  # when the bucket is full again, if nothing is taken until then

    def ready_at(self, now: float) -> float:
        """When the next token may be taken: `now` if at once."""
        return max(now, self._next_full - self._span + self._interval)

    def take(self, now: float) -> bool:
        """Take a token; False, and nothing taken, when there is none."""
        # A microsecond of grace: a caller that slept until ready_at() must find its token in spite of rounding.
        if self.ready_at(now) > now + 1e-6:
            return False
        self._next_full = max(self._next_full, now) + self._interval
        return True
