"""What happens while QEMU is being asked who is connected, so that its answer can be read with care.

The answer is a list as of some moment after the question. It is right about every client that did nothing since then;
about those that did, the events are. Anonymous clients cannot be told apart, so one of them that moves makes the whole
number of them doubtful.
"""

from collections.abc import Callable
from typing import Final

from launcher_agent.events import Phase, SocketAddress

#: Clients by address that may come and go in the 3 ms that a question takes. With more, it is asked again.
_MAX_CHANGED: Final = 1024


class QueryWindow:
    """Everything since one question."""

    def __init__(self) -> None:
        #: Clients by address that moved, and what they did last.
        self.changed: dict[SocketAddress, Phase] = {}
        self._balance = 0  # anonymous clients that came, less those that went
        self._lowest = 0
        #: Whether something happened that the answer may have missed, or counted twice.
        self.inconclusive = False

    def record(self, phase: Phase, peer: SocketAddress) -> None:
        """Take note of an event."""
        if peer.anonymous:
            self._balance += (phase is Phase.CONNECT) - (phase is Phase.DISCONNECT)
            self._lowest = min(self._lowest, self._balance)
            self.inconclusive = True
        elif peer in self.changed or len(self.changed) < _MAX_CHANGED:
            self.changed[peer] = phase
        else:
            self.inconclusive = True

    @property
    def risen(self) -> int:
        """How many more anonymous clients there may be now than the answer lists, at whatever moment it was made."""
        return self._balance - self._lowest

    def overflowed(self, is_known: Callable[[SocketAddress], bool]) -> int:
        """How many of those that came found the table full."""
        return sum(phase is not Phase.DISCONNECT and not is_known(peer) for peer, phase in self.changed.items())
