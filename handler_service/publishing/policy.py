"""How a wanted value may differ from what a place holds, and how long each difference waits. Pure data."""

from dataclasses import dataclass
from enum import IntEnum

from handler_service.model import PublishedValue


class Change(IntEnum):
    """How a wanted value differs from the held one; the order is that of urgency when the node's bucket is empty."""

    FIRST_RISE = 0
    RISE = 1
    FALL = 2
    DETAIL = 3


def change_of(target: PublishedValue, actual: PublishedValue) -> Change:
    """In which way `target` differs from `actual`, which it does."""
    if target.sessions > actual.sessions:
        return Change.RISE if actual.sessions else Change.FIRST_RISE
    return Change.FALL if target.sessions < actual.sessions else Change.DETAIL


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """Seconds that each rule of the clockwork waits."""

    #: One moment: below what a person sees, above what libvirt needs to deliver a handshake's two events.
    first_rise: float = 0.02
    #: A takeover shows two viewers for up to 80 ms, as measured behind KubeVirt's proxy; four times that.
    rise: float = 0.3
    #: A viewer of a migrated VM dials again 0.2 to 0.5 s after the cut; twice that.
    fall: float = 1.0
    #: Between two writes of one VMI: each one wakes KubeVirt's controllers.
    interval: float = 1.0
    #: First wait, and longest wait, after a failed write. Full jitter between.
    retry_base: float = 1.0
    retry_cap: float = 60.0
    #: The longest wait while few VMIs fail: a value is right within ten seconds of the place's recovery. The try that
    #: comes then may be one that reads; a fall waits its second after it, a write its turn, and a second is left for
    #: the way. The more fail, the longer, up to the cap: a node then makes at most four failing writes a second. The
    #: first that succeeds wakes the others.
    retry_soon: float = 6.0
    retry_share: float = 0.5
    #: A place that drops the field is tried again this seldom: its schema may have been extended.
    pruned_retry: float = 600.0
    #: Writes that answer a foreign writer's erasure: so many at once, then one each so many seconds.
    rewrite_burst: int = 5
    rewrite_interval: float = 60.0
