"""Counts the clients of a SPICE server from the events of their connections, and from QEMU's answers.

A SPICE client has several connections (channels), each with events of its own, and the events do not say which ones
belong together. A server serves one client at a time, unless a variable of QEMU's environment allows several. So there
is one session while a channel has finished its handshake, and otherwise none. On TCP each channel has an address, and
the number is exact. On a unix socket the channels are counted as an interval (see count_interval), cut to one.

With several clients only QEMU's answer says how many there are, by the connection ids of its channels. Each handshake
after it may be another client, so the number is an upper bound until the next answer.

Invariants:
- `sessions` is never lower than the number of clients that have finished a handshake, unless `may_miss`.
- QEMU's answer lists finished channels only. So of a unix socket there may be unfinished ones that no event reported,
  and the end of one of these must not count as the end of a finished one.
- At most `capacity` addresses are held. Channels beyond that are counted like those of a unix socket.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from launcher_agent.events import Phase, SocketAddress, SpiceChannel
from launcher_agent.sessions.count_interval import CountInterval
from launcher_agent.sessions.view import Accuracy
from servicestatus import contract

_NONE: Final = CountInterval()
#: Unfinished channels of a unix socket that QEMU's answer may lack. A client has a dozen channels.
_UNLISTED: Final = 64


class SpiceTable:
    """The channels of one run of a domain."""

    def __init__(self, capacity: int = contract.MAX_IDENTIFIED) -> None:
        self._capacity = capacity
        self._several = False  # clients at a time
        self._finished: set[SocketAddress] = set()
        self._pending: set[SocketAddress] = set()
        self._anonymous = _NONE
        self._unlisted = 0
        self._clients = 0  # with several clients: at most so many
        self._counted = True  # and exactly so many
        #: Whether clients may be connected that no event reported and that may not be asked for.
        self.may_miss = False
        self._window: set[SocketAddress] | None = None  # addresses with an event since the question
        self._listed: set[SocketAddress] = set()  # of these, channels that QEMU's answer had first
        self._risen = 0  # handshakes since the question that the answer may lack
        self._inconclusive = False

    def allow_several_clients(self) -> None:
        """Record that the server serves several clients at a time."""
        if not self._several:
            self._several = True
            channels = len(self._finished) + self._anonymous.most
            self._clients, self._counted = channels, channels <= 1

    def apply(self, phase: Phase, peer: SocketAddress) -> None:
        """Apply one event."""
        if self._window is not None:
            self._record(phase, peer, self._window)
        if phase is Phase.CONNECT and peer in self._listed:  # overtaken by the answer, or another channel's
            self._inconclusive = True
            return
        if phase is Phase.CONNECT and self._is_known(peer):  # at the plain and at the TLS port
            self._make_anonymous(peer)
        if self._is_counted(phase, peer):
            self._anonymous = self._anonymous.apply(phase)
        elif phase is Phase.CONNECT:
            self._pending.add(peer)
        else:
            self._pending.discard(peer)
            self._finished.discard(peer)
            if phase is Phase.INITIALIZE:
                self._finished.add(peer)
        if self._several and phase is not Phase.CONNECT:
            self._bound_clients(phase)

    def open_window(self) -> None:
        """Record that QEMU is being asked: its answer may or may not include events from here on."""
        self._window, self._listed, self._risen, self._inconclusive = set(), set(), 0, False

    def reconcile(self, channels: Sequence[SpiceChannel]) -> None:
        """Apply QEMU's answer. It is right about every channel without an event since the question."""
        changed = self._window or set()
        counts = Counter(one.peer for one in channels if not one.peer.anonymous)
        shared = {peer for peer, count in counts.items() if count > 1}  # at the plain and at the TLS port
        self._inconclusive |= not changed.isdisjoint(shared)
        self._pending -= shared
        listed = counts.keys() - shared
        beyond = set(sorted(listed - self._finished, key=str)[max(0, self._capacity - len(self._finished)) :])
        self._listed = listed - changed - beyond - self._finished
        self._finished = (self._finished & changed - shared) | (listed - changed - beyond)
        self._pending -= self._finished
        anonymous = sum(one.peer.anonymous or one.peer in shared for one in channels) + len(beyond)
        # A channel with an event meanwhile may be listed or not, so both bounds are kept until the next answer.
        least, most = (0, anonymous + self._risen) if self._inconclusive else (anonymous, anonymous)
        self._anonymous = CountInterval(most + _UNLISTED, least, most)
        self._unlisted = _UNLISTED
        clients = len({one.connection for one in channels})
        self._several |= clients > 1  # a server that was started in another way
        self._clients, self._counted = clients + self._risen, not self._inconclusive
        self.may_miss = False

    def close_window(self) -> bool:
        """Return whether the answer is the truth: no event near it can have been missed, or counted twice."""
        closed, self._window, self._listed = self._window is not None, None, set()
        return closed and not self._inconclusive

    @property
    def sessions(self) -> int:
        """Return the number of clients: the lower bound where clients may be missing, otherwise the upper one."""
        least, most = self._bounds()
        return least if self.may_miss else most

    @property
    def pending(self) -> int:
        """Return the number of connections that have not finished their handshake, as far as events reported them."""
        unfinished = self._anonymous.connected - self._unlisted - self._anonymous.most
        return len(self._pending) + max(0, unfinished)

    @property
    def accuracy(self) -> Accuracy:
        """Return how far `sessions` can be trusted."""
        if self.may_miss:
            return Accuracy.LOWER_BOUND
        least, most = self._bounds()
        return Accuracy.EXACT if least == most else Accuracy.UPPER_BOUND

    def _bounds(self) -> tuple[int, int]:
        least = len(self._finished) + self._anonymous.least
        most = len(self._finished) + self._anonymous.most
        if not self._several:
            return min(1, least), min(1, most)
        most = min(most, self._clients)
        return (most if self._counted else min(1, least)), most

    def _record(self, phase: Phase, peer: SocketAddress, window: set[SocketAddress]) -> None:
        """Record an event while QEMU is asked."""
        if len(window) < self._capacity:
            window.add(peer)
        if peer.anonymous or self._several or peer not in window:
            self._risen += phase is Phase.INITIALIZE
            self._inconclusive = True

    def _is_known(self, peer: SocketAddress) -> bool:
        return peer in self._finished or peer in self._pending

    def _make_anonymous(self, peer: SocketAddress) -> None:
        """Count a channel like those of a unix socket: a second one has its address."""
        finished = int(peer in self._finished)
        self._finished.discard(peer)
        self._pending.discard(peer)
        before = self._anonymous
        self._anonymous = CountInterval(before.connected + 1, before.least + finished, before.most + finished)

    def _is_counted(self, phase: Phase, peer: SocketAddress) -> bool:
        """Return whether the channel of an event has no place of its own in the table."""
        if peer.anonymous:
            return True
        if self._is_known(peer):
            return False
        if phase is Phase.DISCONNECT:
            return self._anonymous.connected > self._unlisted
        return len(self._finished) + len(self._pending) >= self._capacity

    def _bound_clients(self, phase: Phase) -> None:
        channels = len(self._finished) + self._anonymous.most
        if phase is Phase.INITIALIZE:
            self._clients += 1
        self._clients = min(self._clients, channels)
        self._counted = self._clients <= 1 and (self._clients == channels or self._counted)
