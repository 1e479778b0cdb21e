"""Records the events since a question to QEMU, so that its answer can be combined with them.

The answer is a list as of some moment after the question. It is right about every client without an event since the
question; for a client with an event, the event decides. Clients that cannot be distinguished make it inconclusive:
anonymous ones that had an event, and those of a listed address that came or went. The answer may have been made before
or after that event, and another client may have the same address.
"""

from collections.abc import Callable, Iterable
from typing import Final

from launcher_agent.events import Phase, SocketAddress

#: Clients by address that may come and go in the 3 ms that a question takes. With more, it is asked again.
_MAX_CHANGED: Final = 1024


class QueryWindow:
    """The events since one question."""

    def __init__(self) -> None:
        #: Clients by address that had an event, and its phase (the last one's).
        self.changed: dict[SocketAddress, Phase] = {}
        #: The clients by address in QEMU's answer, once it has come.
        self.listed: frozenset[SocketAddress] = frozenset()
        self._moved: set[SocketAddress] = set()  # those of `changed` that came or went
        self._balance = 0  # anonymous clients that came, less those that went
        self._lowest = 0
        #: Whether there was an event that the answer may have missed or counted twice.
        self.inconclusive = False

    def record(self, phase: Phase, peer: SocketAddress) -> None:
        """Record an event."""
        if peer.anonymous:
            self._balance += (phase is Phase.CONNECT) - (phase is Phase.DISCONNECT)
            self._lowest = min(self._lowest, self._balance)
            self.inconclusive = True
        elif peer in self.changed or len(self.changed) < _MAX_CHANGED:
            self.changed[peer] = phase
            if phase is not Phase.INITIALIZE:
                self._moved.add(peer)
                self.inconclusive |= peer in self.listed
        else:
            self.inconclusive = True

    def answered(self, listed: Iterable[SocketAddress]) -> None:
        """Record the clients by address in QEMU's answer."""
        self.listed = frozenset(listed)
        self.inconclusive |= not self._moved.isdisjoint(self.listed)

    @property
    def risen(self) -> int:
        """How many more anonymous clients may be connected now than the answer lists, whenever QEMU made it."""
        return self._balance - self._lowest

    def overflowed(self, is_known: Callable[[SocketAddress], bool]) -> int:
        """Return how many of the new clients found the table full."""
        return sum(phase is not Phase.DISCONNECT and not is_known(peer) for peer, phase in self.changed.items())
