"""The scheduler's data about one VMI, and the views of it that others read. Pure data."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing import services
from handler_service.publishing.policy import Change, WritePolicy
from handler_service.publishing.services import Differences
from handler_service.publishing.timing import earliest
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Job:
    """A write of `value`, or a read of the actual value where `value` is None."""

    vmi: VmiId
    value: PublishedValue | None


@dataclass(slots=True)
class Attempt:
    """A job under way."""

    job: Job
    started: float
    #: What is contained in the value that is written, for each endpoint; None if a service's newest number is not.
    watermarks: tuple[Watermark, ...] | None = None
    #: The kind of change that is written, and since when the desired value has waited for it.
    change: Change | None = None
    changed_at: float | None = None
    #: A watch showed another value meanwhile, from before or after the job: read again.
    reread: bool = False


@dataclass(slots=True)
class Retry:
    """What the last job left for the next one."""

    #: Failures since the last success; and whether another VMI's success has cut a wait short since the first of them.
    backoff: int = 0
    retried_early: bool = False
    not_before: float = float("-inf")
    last: Outcome | None = None

    @property
    def failed(self) -> bool:
        """Whether the last job failed."""
        return self.last is not None and not self.last.ok

    @property
    def pruned(self) -> bool:
        """Whether the API server dropped the field from the last write."""
        return self.last is not None and self.last.kind is OutcomeKind.PRUNED


@dataclass(slots=True)
class WriteCounters:
    """Counters for the debug API."""

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


@dataclass(slots=True)
class Item:
    """The state of one VMI at one publisher."""

    #: None: forgotten, and kept for the job that is under way.
    desired: DesiredStatus | None = None
    detail: Hashable = None
    #: The other services that the publisher shows, each with its detail.
    services: Mapping[int, Hashable] = field(default_factory=dict)
    #: None: not known, and to be read.
    actual: PublishedValue | None = None
    #: Empty: the values are equal, or the actual one is not known.
    differences: Differences = field(default_factory=dict)
    #: Since when the publisher has been known to show another value than the desired one.
    changed_at: float | None = None
    in_flight: Attempt | None = None
    retry: Retry = field(default_factory=Retry)
    #: One interval after the last write.
    next_write: float = float("-inf")
    #: When the last write started, even if it failed.
    last_start: float = float("-inf")
    #: Since when a write has been due without a token or a free worker. A change of another kind does not reset it.
    waits_since: float | None = None
    #: Another writer changed the value; and the rate limit of answers to that.
    foreign_write: bool = False
    rewrites: TokenBucket | None = None
    #: How far the reports of each endpoint are contained in what the publisher was seen to hold.
    published: dict[str, Watermark] = field(default_factory=dict)
    counters: WriteCounters = field(default_factory=WriteCounters)

    @property
    def change(self) -> Change | None:
        """The most urgent kind of change that waits; None: no value waits, and the actual one is to be read."""
        return min((one.change for one in self.differences.values()), default=None)

    def due(self, policy: WritePolicy) -> float:
        """Return when the first of the changes that wait may be written."""
        return min(earliest(policy, one, self.next_write) for one in self.differences.values())

    def target(self) -> PublishedValue | None:
        """Return the value to write; None to leave the actual one."""
        if self.desired is None or self.actual is None:
            return None
        return services.target(self.desired, self.detail, self.services, self.actual)

    def start(self, vmi: VmiId, policy: WritePolicy, now: float) -> Attempt:
        """Return a job, which writes the services whose change has waited long enough; the others go on waiting."""
        wanted = self.target()
        ripe = services.ripe(policy, self.differences, now)
        change = min((self.differences[number].change for number in ripe), default=None)
        self.differences = {number: one for number, one in self.differences.items() if number not in ripe}
        if self.desired is None or self.actual is None or wanted is None:
            return Attempt(Job(vmi, wanted), now, change=change)
        if not self.differences:
            return Attempt(Job(vmi, wanted), now, self.desired.watermarks, change)
        return Attempt(Job(vmi, services.selected(wanted, self.actual, ripe)), now, None, change)

    def waited(self, now: float) -> float | None:
        """Return the seconds that a value has waited for its turn.

        None when none waits, or when it is held back: by the pause after a failure, or by the rate limit of answers to
        another writer.
        """
        if self.desired is None or self.changed_at is None or self.retry.failed or self.retry.not_before > now:
            return None
        return now - self.changed_at

    def view(self, *, is_due: bool) -> View:
        """Return what others may know of this VMI."""
        return View(
            actual=self.actual,
            up_to_date=self.desired is not None and self.desired.synced and not is_due and self.in_flight is None,
            last=self.retry.last,
            writes=self.counters.writes,
            failures=self.counters.failures,
            last_write=self.counters.last_write,
        )

    def rewrite_bucket(self, policy: WritePolicy) -> TokenBucket:
        """Return the rate limit of answers to another writer."""
        if self.rewrites is None:
            self.rewrites = TokenBucket(policy.rewrite_burst, policy.rewrite_interval)
        return self.rewrites

    def publish(self, watermarks: tuple[Watermark, ...] | None) -> None:
        """Record that the publisher holds a value which contains `watermarks`; None: it contains no newer one."""
        if watermarks is None:
            return
        before = self.published
        self.published = {
            watermark.endpoint_id: watermark if watermark.sequence else before.get(watermark.endpoint_id, watermark)
            for watermark in watermarks
        }
