"""Orders the writes that wait for the node's token bucket. Pure.

A round is the time in which the bucket lets each VMI of the publisher be written once: 10 s for 250 VMIs. The share of
a VMI is one write in each round. The order:
1. a withdrawal: the publisher shows an observed zero, and the zero is no longer observed;
2. a first rise;
3. all other changes, and those of a VMI that was written within the last round and so has used its share, by age.

Invariant: from the moment that a write is due until it starts, every other VMI is written at most once. So the write
starts within one round, whatever the agents of other VMIs report. Proof: a second write of another VMI became due after
its first one, so it is younger; and it has no precedence, because less than a round has passed since the first one.
A failed write counts like any other.
"""

from handler_service.publishing.item import Item
from handler_service.publishing.policy import Change

#: The position of a read. Nothing can be decided before it, and it takes no token.
_READ = -1


def turn(item: Item, due: float, round_began: float) -> tuple[int, float]:
    """Return the position of a job that became due at `due`; the lowest position is first.

    `round_began` is the time one round ago.
    """
    change = item.change
    if change is None:
        return _READ, due
    since = due if item.waits_since is None else item.waits_since
    has_precedence = item.last_start <= round_began and change.is_urgent
    return (change if has_precedence else len(Change)), since
