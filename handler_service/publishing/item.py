"""What the clockwork keeps of one VMI, and what it says of it. Pure data."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from handler_service.model import DesiredStatus, Outcome, PublishedValue, VmiId, Watermark
from handler_service.publishing.policy import Change
from servicestatus.rate_limit import TokenBucket


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do now: write `value`, or read what the place holds where `value` is None."""

    vmi: VmiId
    value: PublishedValue | None


@dataclass(slots=True)
class Item:
    """Where one VMI stands with one place of publication."""

    #: None: forgotten, and kept for the job that is under way.
    desired: DesiredStatus | None = None
    detail: Hashable = None
    actual: PublishedValue | None = None
    #: In which way the wanted value differs from the held one, and since when without a break.
    change: Change | None = None
    since: float = 0.0
    zero_since: float | None = None
    #: The job that is under way, and the marks that the value which it writes follows from.
    job: Job | None = None
    #: When it was begun.
    began: float = float("-inf")
    writing: tuple[Watermark, ...] = ()
    #: Meanwhile the place was seen to hold something else, before or after the job: read it again.
    reread: bool = False
    due: float | None = None
    #: Since when the place has been known to show something else than what is wanted: the wanted value's arrival.
    changed_at: float | None = None
    #: The same of the job that is under way, and the kind of its change.
    writing_changed_at: float | None = None
    writing_change: Change | None = None
    next_write: float = float("-inf")
    not_before: float = float("-inf")
    #: Failures without a success between; and whether another VMI's success has cut a wait short since the first.
    backoff: int = 0
    retried_early: bool = False
    #: Somebody else changed what was written; and how often that may be answered.
    foreign_write: bool = False
    rewrites: TokenBucket | None = None
    last: Outcome | None = None
    published: dict[str, Watermark] = field(default_factory=dict)
    writes: int = 0
    failures: int = 0
    last_write: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """How a VMI stands with a place of publication."""

    actual: PublishedValue | None
    #: The place holds what is wanted, and all that is wanted is known.
    up_to_date: bool
    last: Outcome | None
    writes: int
    failures: int
    last_write: float | None
