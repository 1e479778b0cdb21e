"""Which nodes' handlers vouch for their values, by their Leases. Pure; `now` is monotonic seconds.

A Lease counts from the moment at which the controller saw it change, by the controller's own clock. Clocks of two
machines are never compared, so a node whose clock is wrong is neither marked early nor kept for long.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from handler_service.kube.leases import DURATION, HandlerLease

_COMPANION: Final = "companion"
#: Seconds that every Lease is given after an outage of the API server: a handler follows again within 5 s, its next
#: renewal 2 s later, and as much again is left for a server that has much to do then.
AFTER_OUTAGE: Final = 15.0
#: Seconds of an outage from which on a live handler may have missed a renewal.
SHORTEST_OUTAGE: Final = 5.0


class Handler(Enum):
    """What is known of a node's handler."""

    #: It vouches for its companions.
    PRESENT = "present"
    #: It is there, and writes no companions.
    WRITES_NONE = "writes none"
    #: Its Lease has expired, or it never had one.
    AWAY = "away"


@dataclass(slots=True)
class _Seen:
    """A Lease, or its absence, and since when it has been so."""

    lease: HandlerLease | None
    since: float


class HandlerLeases:
    """The Leases of all nodes."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._seen: dict[str, _Seen] = {}
        self._not_before = float("-inf")

    def seen(self, lease: HandlerLease, now: float) -> bool:
        """The Lease as the API server has it; returns whether it is a renewal. Only that lets it begin again."""
        known = self._seen.get(lease.node)
        if known is None or known.lease is None or known.lease.renewed != lease.renewed:
            self._seen[lease.node] = _Seen(lease, now)
            return True
        known.lease = lease
        return False

    def outage_ended(self, now: float, seconds: float) -> None:
        """The API server answers again after `seconds`. Handlers that could not renew are given time to do it now.

        A short outage cannot make a Lease expire that is renewed every 10 s, so it postpones nothing: a watch that is
        cut again and again must not keep the values of a dead handler.
        """
        if seconds >= SHORTEST_OUTAGE:
            self._not_before = now + AFTER_OUTAGE

    def of(self, node: str, now: float) -> Handler:
        """What is known of the handler of `node`. A node without a Lease is given the time of one to show it."""
        known = self._seen.get(node)
        if known is None:
            known = self._seen[node] = _Seen(None, now)
        if now >= max(known.since + (DURATION if known.lease is None else known.lease.duration), self._not_before):
            return Handler.AWAY
        if known.lease is not None and _COMPANION not in known.lease.publishes:
            return Handler.WRITES_NONE
        return Handler.PRESENT

    def forget_unused(self, used: Iterable[str], now: float, keep: float) -> list[str]:
        """Forget the Leases of nodes without a companion that expired `keep` seconds ago; returns the nodes."""
        used = set(used)
        old = [node for node, seen in self._seen.items() if node not in used and now >= seen.since + DURATION + keep]
        return [node for node in old if self._seen.pop(node).lease is not None]
