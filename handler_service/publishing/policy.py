"""The kinds of change between the desired and the actual value, and how long each waits. Pure data."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from handler_service.model import PublishedValue


class Change(IntEnum):
    """How the desired value differs from the actual one. The first two take back a zero: a user may rely on it."""

    #: The actual value shows an observed zero, and the desired zero is not observed.
    WITHDRAWAL = 0
    FIRST_RISE = 1
    RISE = 2
    FALL = 3
    DETAIL = 4

    @property
    def is_urgent(self) -> bool:
        """Whether the actual value lets a user believe that no viewer is connected, and may be wrong."""
        return self in (Change.WITHDRAWAL, Change.FIRST_RISE)


def change_of(target: PublishedValue, actual: PublishedValue, shows_idle: Callable[[PublishedValue], bool]) -> Change:
    """Return how `target` differs from `actual`; they are not equal.

    `shows_idle` returns whether a value means that no viewer is connected, rather than that the number is not known.
    """
    if target.sessions > actual.sessions:
        return Change.RISE if actual.sessions else Change.FIRST_RISE
    if target.sessions < actual.sessions:
        return Change.FALL
    return Change.WITHDRAWAL if shows_idle(actual) and not shows_idle(target) else Change.DETAIL


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """The waits of the write scheduler, in seconds."""

    #: One moment: below what a person sees, above what libvirt needs to deliver a handshake's two events.
    first_rise: float = 0.02
    #: A takeover shows two viewers for up to 80 ms, as measured behind KubeVirt's proxy; four times that.
    rise: float = 0.3
    #: A viewer of a migrated VM dials again 0.2 to 0.5 s after the cut; twice that.
    fall: float = 1.0
    #: The longest wait of changes of different kinds that follow each other, falls excepted. Ten times that of a rise:
    #: until then the last one may be a takeover.
    longest: float = 3.0
    #: Between two writes of one VMI: each one wakes KubeVirt's controllers.
    interval: float = 1.0
    #: First wait, and longest wait, after a failed write. Full jitter between.
    retry_base: float = 1.0
    retry_cap: float = 60.0
    #: The longest wait while few VMIs fail: a value is right within ten seconds of the publisher's recovery. The retry
    #: may be a read, a fall then waits its second, a write its turn, and a second is left for the request. The more
    #: VMIs fail, the longer the wait, up to the cap: a node then makes at most four failing writes a second. The first
    #: success makes the others retry early.
    retry_soon: float = 6.0
    retry_share: float = 0.5
    #: The wait after a schema dropped the field: the schema may be extended later.
    pruned_retry: float = 600.0
    #: The rate limit of writes that answer another writer: a burst, then one per interval.
    rewrite_burst: int = 5
    rewrite_interval: float = 60.0


#: Writes that a node may make at once, and then one each interval. A node holds about 250 VMs: all of them may lose
#: their viewers in one moment and be right a second later; a node that never rests makes 25 writes a second.
NODE_BURST: Final = 256
NODE_INTERVAL: Final = 0.04
