"""When which VMI is written, for one place of publication.

Pure: no clock, no I/O; `now` is monotonic seconds. The rules, and what each protects:
- The first viewer is written at once: somebody may be about to type a secret. Events of one moment are merged.
- A rise from one or more waits a little: a takeover shows both viewers for a moment.
- A fall waits longer: a viewer that is thrown out, or whose VM migrates, is often back within the second.
- Unknown never lowers what the place holds.
- A VMI is written once a second at most, a first rise excepted once, and a token bucket bounds the node.
- What is written is the newest state at the moment of writing.
"""

import heapq
from collections.abc import Callable, Hashable
from typing import Final

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing.item import Item, Job, View
from handler_service.publishing.policy import Change, WritePolicy, change_of
from handler_service.stats import Histogram
from servicestatus.rate_limit import TokenBucket

#: Seconds until a job that found no room is looked at again.
_AGAIN: Final = 0.01
#: Entries of the heap that may be out of date before it is built anew.
_SLACK: Final = 1024
#: Seconds, for the histogram of delays: the rules' own (0.02, 0.3, 1, and what follows a write that was just made) each
#: stand a little below a bound, so that keeping a rule and breaking it are told apart.
_DELAYS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)


class WriteScheduler:
    """The schedule of all VMIs of one place of publication."""

    def __init__(
        self,
        policy: WritePolicy,
        bucket: TokenBucket,
        jitter: Callable[[float], float],
        detail: Callable[[DesiredStatus], Hashable] = lambda _: None,
    ) -> None:
        """`jitter(t)` is a random time up to t. `detail` is what the place shows besides the number."""
        self._policy = policy
        self._bucket = bucket
        self._jitter = jitter
        self._detail = detail
        self._items: dict[VmiId, Item] = {}
        #: Those whose last job has failed.
        self._failing: set[VmiId] = set()
        self._heap: list[tuple[float, VmiId]] = []
        #: Seconds from the moment that a value became known to the answer that showed it in place, by its change.
        self.delays = {change: Histogram(_DELAYS) for change in Change}

    # --- what shall be, and what is ---

    def set_desired(self, vmi: VmiId, desired: DesiredStatus, now: float) -> None:
        """The newest standing of a VMI."""
        item = self._items.setdefault(vmi, Item())
        item.desired = desired
        item.detail = self._detail(desired)
        if item.changed_at is None:
            item.changed_at = now
        self._reschedule(vmi, item, now)

    def set_actual(self, vmi: VmiId, value: PublishedValue, now: float) -> None:
        """What the place was seen to hold: somebody else may have written it."""
        item = self._item(vmi)
        if item is None:
            return
        if item.job is not None:
            # Which came first, this or the job's answer, cannot be known. A write's own trace needs no second look.
            item.reread = item.reread or value != item.job.value
        elif item.actual is not None:  # else it is about to be read
            self._compare(item, item.actual, value, now)
            item.actual = value
            self._reschedule(vmi, item, now)

    def retry(self, now: float) -> None:
        """The place has changed: what failed is worth another try."""
        for vmi, item in self._items.items():
            item.backoff, item.not_before = 0, float("-inf")
            if _pruned(item):
                item.last = None  # by the former schema
            self._reschedule(vmi, item, now)

    def forget(self, vmi: VmiId) -> None:
        """This handler does not publish that VMI any more."""
        item = self._items.get(vmi)
        if item is None:
            return
        if item.job is None:
            self._drop(vmi)
        else:
            item.desired = None  # one job at a time, even if the VMI is back before this one has ended

    # --- what to do ---

    def take_due(self, now: float, room: int) -> list[Job]:
        """At most `room` jobs that are due, the most urgent first; each must be answered by finished()."""
        jobs: list[Job] = []
        for due, vmi in self._ready(now):
            item = self._items[vmi]
            if len(jobs) < room and (item.actual is None or self._bucket.take(now)):
                jobs.append(self._start(vmi, item, now))
            else:
                self._push(vmi, item, max(due, self._bucket.ready_at(now), now + _AGAIN))
        return jobs

    def wake_at(self) -> float | None:
        """When take_due() has something to do next; None when nothing is due."""
        while self._heap:
            due, vmi = self._heap[0]
            if self._valid(due, vmi):
                return due
            heapq.heappop(self._heap)
        return None

    def finished(self, vmi: VmiId, outcome: Outcome, now: float) -> None:
        """The job of `vmi` has ended: a write, or a read whose `actual` is what the place holds."""
        item = self._items[vmi]
        job, item.job = item.job, None
        if item.desired is None:
            self._drop(vmi)
            return
        if not outcome.ok:
            self._failing.add(vmi)
            self._failed(item, outcome, now)
        elif job is not None and job.value is not None:
            self._failing.discard(vmi)
            self._written(item, outcome, now)
            self._retry_failed(now)
        else:
            self._read(item, outcome, now)
        item.actual = None if item.reread else outcome.actual
        item.reread = False
        self._reschedule(vmi, item, now)

    # --- questions ---

    def published(self, vmi: VmiId, endpoint_id: str) -> Watermark | None:
        """How far an endpoint's reports are contained in what the place was seen to hold."""
        item = self._item(vmi)
        return None if item is None else item.published.get(endpoint_id)

    def view(self, vmi: VmiId) -> View | None:
        """How a VMI stands, for people."""
        item = self._item(vmi)
        if item is None:
            return None
        synced = item.desired is not None and item.desired.synced
        return View(
            actual=item.actual,
            up_to_date=synced and item.due is None and item.job is None,
            last=item.last,
            writes=item.writes,
            failures=item.failures,
            last_write=item.last_write,
        )

    def waiting(self, now: float) -> tuple[int, float]:
        """Return how many VMIs wait for a write, and the seconds that the first of them has waited.

        A VMI does not wait for its turn, and is left out, if its last write failed or if its next one is held back: by
        the pause after a failure, or by the rate limit of answers to another writer.
        """
        waits = [
            now - item.changed_at
            for item in self._items.values()
            if item.desired is not None
            and item.changed_at is not None
            and (item.last is None or item.last.ok)
            and item.not_before <= now
        ]
        return len(waits), max(waits, default=0.0)

    def vmis(self) -> list[VmiId]:
        """The VMIs that are scheduled."""
        return [vmi for vmi, item in self._items.items() if item.desired is not None]

    # --- when: inside ---

    def _drop(self, vmi: VmiId) -> None:
        del self._items[vmi]
        self._failing.discard(vmi)

    def _item(self, vmi: VmiId) -> Item | None:
        item = self._items.get(vmi)
        return None if item is None or item.desired is None else item

    def _target(self, item: Item) -> PublishedValue | None:
        """What shall be written, given what is held; None: leave it."""
        desired, actual = item.desired, item.actual
        if desired is None or actual is None:
            return None
        if not desired.synced and desired.sessions <= actual.sessions:
            return None
        sessions = desired.sessions if desired.observed else max(desired.sessions, actual.sessions)
        return PublishedValue(sessions, item.detail)

    def _reschedule(self, vmi: VmiId, item: Item, now: float) -> None:
        """Work out when the item is due; where the place holds what is wanted, it is published."""
        if item.job is not None:
            return
        if item.actual is None:
            item.change = None
            self._push(vmi, item, max(now, item.not_before))
            return
        target = self._target(item)
        if target is None or target == item.actual:
            item.change, item.zero_since, item.due, item.changed_at = None, None, None, None
            # A schema that drops the field drops the next value too, until retry() or a write proves the contrary.
            if target is not None and item.last is not None and not item.last.ok and not _pruned(item):
                item.backoff, item.retried_early, item.last = 0, False, Outcome(OutcomeKind.UNCHANGED, item.actual)
                self._failing.discard(vmi)
            if item.desired is not None and item.desired.synced:
                self._publish(item, item.desired.watermarks)
            return
        if item.changed_at is None:
            item.changed_at = now
        self._push(vmi, item, self._due(item, target, item.actual, now))

    def _due(self, item: Item, target: PublishedValue, actual: PublishedValue, now: float) -> float:
        change = change_of(target, actual)
        if item.change is not change:
            item.change, item.since = change, now
        if target.sessions:
            item.zero_since = None
        elif item.zero_since is None:
            item.zero_since = now
        return max(self._earliest(item, change), item.not_before)

    def _earliest(self, item: Item, change: Change) -> float:
        policy = self._policy
        if change is Change.FIRST_RISE:
            # The exception: it may come up to one interval early, and what follows it waits the longer.
            return max(item.since + policy.first_rise, item.next_write - policy.interval)
        if change is Change.FALL:
            # A fall to zero waits its whole time from zero on, whatever fell before.
            since = item.since if item.zero_since is None else item.zero_since
            return max(since + policy.fall, item.next_write)
        # A detail waits as long as a rise: a lease that was missed by a moment need not be told.
        return max(item.since + policy.rise, item.next_write)

    def _valid(self, due: float, vmi: VmiId) -> bool:
        item = self._items.get(vmi)
        return item is not None and item.due == due

    def _ready(self, now: float) -> list[tuple[float, VmiId]]:
        """What is due, the most urgent first. A read comes before all: nothing can be decided without it."""
        found: dict[VmiId, tuple[int, float]] = {}
        while self._heap and self._heap[0][0] <= now:
            due, vmi = heapq.heappop(self._heap)
            if self._valid(due, vmi):
                change = self._items[vmi].change
                found[vmi] = (-1 if change is None else change, due)
        ordered = sorted(found.items(), key=lambda pair: pair[1])
        return [(due, vmi) for vmi, (_, due) in ordered]

    def _push(self, vmi: VmiId, item: Item, due: float) -> None:
        if item.due == due:
            return  # it is in the heap already
        if len(self._heap) > 2 * len(self._items) + _SLACK:
            self._heap = [(other.due, key) for key, other in self._items.items() if other.due is not None]
            heapq.heapify(self._heap)
        item.due = due
        heapq.heappush(self._heap, (due, vmi))

    def _start(self, vmi: VmiId, item: Item, now: float) -> Job:
        job = item.job = Job(vmi, self._target(item))
        item.began = now
        item.writing_change = item.change
        item.due, item.change, item.zero_since = None, None, None
        if job.value is not None and item.desired is not None:
            item.writing = item.desired.watermarks
            item.writing_changed_at, item.changed_at = item.changed_at, None
            item.next_write = max(item.next_write, now) + self._policy.interval
        return job

    # --- how it ended: inside ---

    def _written(self, item: Item, outcome: Outcome, now: float) -> None:
        item.last = outcome
        item.backoff, item.retried_early, item.not_before = 0, False, float("-inf")
        self._publish(item, item.writing)
        if outcome.kind is OutcomeKind.WRITTEN:
            item.writes += 1
            item.last_write = now
            self._delayed(item, now)
            if item.foreign_write:
                self._rewrites(item).take(now)
        item.foreign_write, item.writing_changed_at = False, None

    def _read(self, item: Item, outcome: Outcome, now: float) -> None:
        item.not_before = float("-inf")  # but the backoff goes on: only a write shows that writing works again
        if item.last is not None and item.last.actual is not None and outcome.actual is not None:
            self._compare(item, item.last.actual, outcome.actual, now)

    def _delayed(self, item: Item, now: float) -> None:
        if item.writing_change is not None and item.writing_changed_at is not None:
            self.delays[item.writing_change].add(now - item.writing_changed_at)

    def _failed(self, item: Item, outcome: Outcome, now: float) -> None:
        item.last = outcome
        if item.writing_changed_at is not None:
            item.changed_at, item.writing_changed_at = item.writing_changed_at, None  # it goes on waiting
        item.failures += 1
        # A pause counts from the beginning of what failed: who had no answer for five seconds has waited already.
        since = item.began if outcome.retry_after is None else now
        item.not_before = since + self._delay(item, outcome)

    def _delay(self, item: Item, outcome: Outcome) -> float:
        if outcome.retry_after is not None:
            return outcome.retry_after + self._jitter(self._policy.retry_base)
        if outcome.kind is OutcomeKind.PRUNED:
            return self._policy.pruned_retry
        policy = self._policy
        longest = min(policy.retry_cap, max(policy.retry_soon, policy.retry_share * len(self._failing)))
        cap = min(longest, policy.retry_base * 2.0 ** min(item.backoff, 16))
        item.backoff += 1
        return self._jitter(cap)

    def _retry_failed(self, now: float) -> None:
        """The place works: what failed need not sit out its pause. Once for each, whose trouble may be its own."""
        for vmi in tuple(self._failing):
            item = self._items[vmi]
            asked = _pruned(item) or (item.last is not None and item.last.retry_after is not None)
            if item.job is None and not (asked or item.retried_early or item.foreign_write):
                item.retried_early, item.not_before = True, float("-inf")
                self._reschedule(vmi, item, now)

    def _publish(self, item: Item, watermarks: tuple[Watermark, ...]) -> None:
        before = item.published
        item.published = {
            watermark.endpoint_id: watermark if watermark.sequence else before.get(watermark.endpoint_id, watermark)
            for watermark in watermarks
        }

    def _compare(self, item: Item, before: PublishedValue, value: PublishedValue, now: float) -> None:
        """The place holds `value`. Where it held something else after a write, somebody else was at it."""
        if value != before and item.last is not None and item.last.ok:
            # It counts once it was answered by a write that was needed: what was seen may have been out of date.
            item.foreign_write = True
            item.not_before = max(item.not_before, self._rewrites(item).ready_at(now))

    def _rewrites(self, item: Item) -> TokenBucket:
        if item.rewrites is None:
            item.rewrites = TokenBucket(self._policy.rewrite_burst, self._policy.rewrite_interval)
        return item.rewrites


def _pruned(item: Item) -> bool:
    return item.last is not None and item.last.kind is OutcomeKind.PRUNED
