"""The scheduler's data about one VMI, and the views of it that others read. Pure data."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing.policy import Change
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb


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


class PublisherState(NamedTuple):
    """Whether a publisher has published the newest value of one VMI, and the last failure if it has not."""

    state: "pb.PublishState"
    failure: OutcomeKind | None = None
    #: For people, when something is wrong.
    message: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a publisher has written of one VMI, and how the last job ended."""

    actual: PublishedValue | None
    #: The actual value is the desired one, and the desired status is synced.
    up_to_date: bool
    last: Outcome | None
    writes: int
    failures: int
    last_write: float | None

    def publisher_state(self) -> PublisherState:
        """Return the state to report for this VMI."""
        if self.up_to_date and self.actual is not None:
            return PublisherState(pb.PUBLISH_STATE_PUBLISHED)
        if self.last is None or self.last.ok:
            return PublisherState(pb.PUBLISH_STATE_PENDING)
        pruned = self.last.kind is OutcomeKind.PRUNED
        state = pb.PUBLISH_STATE_PRUNED if pruned else pb.PUBLISH_STATE_FAILING
        return PublisherState(state, self.last.kind, self.last.message)
