"""Counts how many of several indistinguishable clients have completed their handshake.

Two clients of a unix socket cannot be distinguished. The number of connected clients is known, since every CONNECT has
its DISCONNECT. How many of those have completed their handshake is not known once a complete and an incomplete client
were connected and one of them left.

`CountInterval` is the exact set of possible numbers, always an interval. Each event maps the possible worlds
before it to those after it, and drops the worlds in which it could not have happened. With C, I and D events since the
last moment without clients, the interval lies within [max(0, I - D), min(I, C - D)], and is narrower where the order of
the events says more than their numbers.

Invariant: 0 <= least <= most <= connected.
"""

from dataclasses import dataclass

from launcher_agent.events import Phase


@dataclass(frozen=True, slots=True)
class CountInterval:
    """`connected` clients, of which at least `least` and at most `most` have completed their handshake."""

    connected: int = 0
    least: int = 0
    most: int = 0

    @property
    def exact(self) -> bool:
        """Whether there is only one possible number."""
        return self.least == self.most

    def apply(self, phase: Phase) -> "CountInterval":
        """Return the interval after an event of one of the clients."""
        if phase is Phase.CONNECT:
            return self.connect()
        return self.initialize() if phase is Phase.INITIALIZE else self.disconnect()

    def connect(self) -> "CountInterval":
        """Add a client that has not completed its handshake."""
        return CountInterval(self.connected + 1, self.least, self.most)

    def initialize(self) -> "CountInterval":
        """Complete one handshake, and drop the worlds in which every client had completed its own.

        If that drops all worlds, the CONNECT was missed (it came before the subscription) and is added: a client that
        completes its handshake is connected.
        """
        before = self if self.least < self.connected else self.connect()
        return CountInterval(before.connected, before.least + 1, min(before.most, before.connected - 1) + 1)

    def disconnect(self) -> "CountInterval":
        """Remove one client. Without any, it was a client from before the subscription: no change."""
        left = max(0, self.connected - 1)
        return CountInterval(left, max(0, self.least - 1), min(self.most, left))


def unknown_interval(connected: int) -> CountInterval:
    """Return `connected` clients whose handshakes are not known."""
    return CountInterval(connected, 0, connected)
