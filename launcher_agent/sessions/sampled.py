"""Turns samples of what is in use into a number that does not blink. Pure.

A client that takes over the place of another leaves it empty for less than a millisecond, and a sample may see just
that. A rise counts at once. What was in use and is not counts until two samples in a row have not seen it.
"""

from collections.abc import Set


class SampledUse:
    """The places of one service that are in use: slots, or consoles."""

    def __init__(self) -> None:
        self._used: frozenset[str] = frozenset()
        self._missing: frozenset[str] = frozenset()  # used, and not in the last sample

    @property
    def sessions(self) -> int:
        """Return the number of places in use."""
        return len(self._used)

    def sample(self, used: Set[str], places: Set[str]) -> bool:
        """Apply a sample; return whether another one is needed soon, which confirms that a place is free.

        `places`: those that exist. One that was removed from the VM is not in use, without a second sample.
        """
        kept = (self._used & places) - used - self._missing
        self._used = kept.union(used)
        self._missing = kept
        return bool(kept)
