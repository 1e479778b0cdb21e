"""Turns samples of what is in use into a number that does not blink, and whose zero is proved. Pure.

A client that takes over the place of another leaves it empty for less than a millisecond, and a sample may see just
that. A rise counts at once. A place is free when enough samples in a row have found it free: until then one that was in
use counts, and of one that was not, nothing is known.
"""

from collections.abc import Set


class SampledUse:
    """The places of one service that are in use: slots, or consoles."""

    def __init__(self, needed: int) -> None:
        """`needed`: how many samples in a row prove that a place is free."""
        self._needed = needed
        self._used: frozenset[str] = frozenset()
        self._free: dict[str, int] = {}  # by place, the samples in a row that found it free
        self._seen: frozenset[str] = frozenset()  # those in use that a sample since the last doubt has found so
        self._known = False

    @property
    def sessions(self) -> int:
        """Return the number of places in use."""
        return len(self._used)

    @property
    def known(self) -> bool:
        """Return whether each place is known to be in use or free, so that the number can be observed."""
        return self._known

    def sample(self, used: Set[str], places: Set[str]) -> bool:
        """Apply a sample; return whether another one is needed soon, which confirms that a place is free.

        `places`: those that exist. One that was removed from the VM is not in use, without a second sample.
        """
        self._free = {place: min(self._free.get(place, 0) + 1, self._needed) for place in places - used}
        unconfirmed = {place for place, samples in self._free.items() if samples < self._needed}
        self._used = (self._used & unconfirmed) | used
        self._seen = (self._seen & unconfirmed) | used
        self._known = unconfirmed <= self._seen
        return bool(unconfirmed)

    def interrupt(self) -> None:
        """Begin unfinished confirmations again: the next sample may follow the last one at once."""
        self._free = {place: samples for place, samples in self._free.items() if samples == self._needed}

    def doubt(self) -> None:
        """Record that samples are missing: each place may have changed, and no single sample proves one free."""
        self._free = {}
        self._seen = frozenset()
        self._known = False
