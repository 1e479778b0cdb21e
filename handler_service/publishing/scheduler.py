"""Schedules status writes for one publisher: which VMI to write next, and when.

Pure: no clock, no I/O; `now` is monotonic seconds. The rules, and what each protects:
- The first viewer is written at once: a user may be about to type a secret. Events of one moment are merged.
- A rise from one or more waits a little: a takeover shows both viewers for a moment.
- A fall waits longer: a viewer that is disconnected, or whose VM migrates, is often back within the second.
- Changes that alternate are written after a while: an agent must not keep a wrong value in place by its reports.
- Unknown never lowers the actual value.
- A VMI is written at most once a second, except that a first rise may come early; a token bucket bounds the node.
- A write carries the newest state at the moment of writing. turns.py orders the writes that wait for a token.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from handler_service.model import DesiredStatus, Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing import services
from handler_service.publishing.due_queue import DueQueue
from handler_service.publishing.item import Attempt, Item, Job, Retry, View
from handler_service.publishing.policy import Change, WritePolicy
from handler_service.publishing.timing import DELAY_BOUNDS, retry_delay
from handler_service.publishing.turns import turn
from handler_service.stats import Histogram
from servicestatus.rate_limit import TokenBucket

#: Seconds until a job that found no worker is tried again.
_AGAIN: Final = 0.01


class WriteScheduler:
    """The write schedule of all VMIs of one publisher."""

    def __init__(
        self,
        policy: WritePolicy,
        bucket: TokenBucket,
        jitter: Callable[[float], float],
        detail: Callable[[DesiredStatus], Hashable] = lambda _: None,
        shows_idle: Callable[[PublishedValue], bool] = lambda value: not value.sessions,
        *,
        services_shown: Callable[[DesiredStatus], Mapping[int, Hashable]] = lambda _: {},
    ) -> None:
        """`jitter(t)` is a random time up to t. `detail`, `shows_idle` and `services_shown` are the publisher's."""
        self._policy, self._bucket, self._jitter = policy, bucket, jitter
        self._detail, self._shows_idle, self._services_shown = detail, shows_idle, services_shown
        self._items: dict[VmiId, Item] = {}
        #: Those whose last job failed.
        self._failing: set[VmiId] = set()
        self._queue = DueQueue()
        #: Seconds from the moment that a value became known to the answer that showed it in place, by its change.
        self.delays = {change: Histogram(DELAY_BOUNDS) for change in Change}

    # --- desired and actual ---

    def set_desired(self, vmi: VmiId, desired: DesiredStatus, now: float) -> None:
        """Replace the desired status of a VMI."""
        item = self._items.setdefault(vmi, Item())
        item.desired = desired
        item.detail, item.services = self._detail(desired), self._services_shown(desired)
        if item.changed_at is None:
            item.changed_at = now
        self._reschedule(vmi, item, now)

    def set_actual(self, vmi: VmiId, value: PublishedValue, now: float, *, foreign: bool = True) -> None:
        """Replace the actual value: a watch showed it, and another writer may have written it.

        `foreign` False: the other writer waits to be corrected, so the correction is not rate limited.
        """
        item = self._item(vmi)
        if item is None:
            return
        if item.in_flight is not None:
            # Which came first, this or the job's answer, cannot be known. The job's own write needs no second look.
            item.in_flight.reread = item.in_flight.reread or value != item.in_flight.job.value
        elif item.actual is not None:  # else it is about to be read
            if foreign:
                self._compare(item, item.actual, value, now)
            item.actual = value
            self._reschedule(vmi, item, now)

    def retry(self, now: float) -> None:
        """Try failed writes again: something at the publisher has changed."""
        for vmi, item in self._items.items():
            item.retry.backoff, item.retry.not_before = 0, float("-inf")
            if item.retry.pruned:
                item.retry.last = None  # by the former schema
            self._reschedule(vmi, item, now)

    def forget(self, vmi: VmiId) -> None:
        """Stop publishing a VMI."""
        item = self._items.get(vmi)
        if item is None:
            return
        if item.in_flight is None:
            self._drop(vmi)
        else:
            item.desired = None  # one job at a time, even if the VMI is back before this one has ended

    # --- jobs ---

    def take_due(self, now: float, room: int) -> list[Job]:
        """Return at most `room` jobs that are due, in the order of turns.py; each must be answered by finished()."""
        jobs: list[Job] = []
        round_began = now - len(self._items) * self._bucket.interval
        for due, vmi in sorted(self._queue.take(now), key=lambda one: turn(self._items[one[1]], one[0], round_began)):
            item = self._items[vmi]
            if len(jobs) < room and (item.actual is None or self._bucket.take(now)):
                jobs.append(self._start(vmi, item, now))
            else:
                item.waits_since = due if item.waits_since is None else item.waits_since
                self._queue.set(vmi, max(self._bucket.ready_at(now), now + (_AGAIN if len(jobs) >= room else 0.0)))
        return jobs

    def wake_at(self) -> float | None:
        """Return when take_due() has something to do next; None when nothing is due."""
        return self._queue.earliest()

    def finished(self, vmi: VmiId, outcome: Outcome, now: float) -> None:
        """End the job of `vmi`: a write, or a read whose `actual` is what the publisher holds."""
        item = self._items[vmi]
        attempt, item.in_flight = item.in_flight, None
        if attempt is None:
            raise ValueError(f"no job of {vmi} is under way")
        if item.desired is None:
            self._drop(vmi)
            return
        if not outcome.ok:
            self._failing.add(vmi)
            self._failed(item, attempt, outcome, now)
        elif attempt.job.value is not None:
            self._failing.discard(vmi)
            self._written(item, attempt, outcome, now)
            self._retry_failed(now)
        else:
            self._read(item, outcome, now)
        item.actual = None if attempt.reread else outcome.actual
        self._reschedule(vmi, item, now)

    def published(self, vmi: VmiId, endpoint_id: str) -> Watermark | None:
        """Return how far an endpoint's reports are contained in what the publisher was seen to hold."""
        item = self._item(vmi)
        return None if item is None else item.published.get(endpoint_id)

    def view(self, vmi: VmiId) -> View | None:
        """Return the state of a VMI; None when it is not scheduled."""
        item = self._item(vmi)
        return None if item is None else item.view(is_due=vmi in self._queue)

    def waiting(self, now: float) -> tuple[int, float]:
        """Return how many VMIs wait for a write, and the seconds that the first of them has waited."""
        waits = [waited for item in self._items.values() if (waited := item.waited(now)) is not None]
        return len(waits), max(waits, default=0.0)

    def vmis(self) -> list[VmiId]:
        """Return the VMIs that are scheduled."""
        return [vmi for vmi, item in self._items.items() if item.desired is not None]

    # --- when: inside ---

    def _drop(self, vmi: VmiId) -> None:
        del self._items[vmi]
        self._failing.discard(vmi)
        self._queue.discard(vmi)

    def _item(self, vmi: VmiId) -> Item | None:
        item = self._items.get(vmi)
        return None if item is None or item.desired is None else item

    def _reschedule(self, vmi: VmiId, item: Item, now: float) -> None:
        """Compute when the item is due. If the actual value is the desired one, it is published."""
        if item.in_flight is not None:
            return
        if item.actual is None:
            item.differences = {}
            self._queue.set(vmi, max(now, item.retry.not_before))
            return
        target = item.target()
        if target is None or target == item.actual:
            self._rest(vmi, item, target)
            return
        if item.changed_at is None:
            item.changed_at = now
        item.differences = services.differences(item.differences, target, item.actual, self._shows_idle, now)
        self._queue.set(vmi, max(item.due(self._policy), item.retry.not_before))

    def _rest(self, vmi: VmiId, item: Item, target: PublishedValue | None) -> None:
        """Nothing is to be written: there is no target, or it is the actual value."""
        item.differences, item.changed_at, item.waits_since = {}, None, None
        self._queue.discard(vmi)
        # A schema that drops the field drops the next value too, until retry() or a write proves the contrary.
        if target is not None and item.retry.failed and not item.retry.pruned:
            unchanged = Outcome(OutcomeKind.UNCHANGED, item.actual)
            item.retry = Retry(not_before=item.retry.not_before, last=unchanged)
            self._failing.discard(vmi)
        if item.desired is not None and item.desired.synced:
            item.publish(item.desired.watermarks)

    def _start(self, vmi: VmiId, item: Item, now: float) -> Job:
        attempt = item.in_flight = item.start(vmi, self._policy, now)
        item.waits_since = None
        if attempt.job.value is not None:
            item.last_start = now
            attempt.changed_at, item.changed_at = item.changed_at, None
            item.next_write = max(item.next_write, now) + self._policy.interval
        return attempt.job

    def _written(self, item: Item, attempt: Attempt, outcome: Outcome, now: float) -> None:
        item.retry = Retry(last=outcome)
        item.publish(attempt.watermarks)
        if outcome.kind is OutcomeKind.WRITTEN:
            item.counters.writes += 1
            item.counters.last_write = now
            if attempt.change is not None and attempt.changed_at is not None:
                self.delays[attempt.change].add(now - attempt.changed_at)
            if item.foreign_write:
                item.rewrite_bucket(self._policy).take(now)
        item.foreign_write = False

    def _read(self, item: Item, outcome: Outcome, now: float) -> None:
        item.retry.not_before = float("-inf")  # the backoff goes on: only a write proves that writing works again
        last = item.retry.last
        if last is not None and last.actual is not None and outcome.actual is not None:
            self._compare(item, last.actual, outcome.actual, now)

    def _failed(self, item: Item, attempt: Attempt, outcome: Outcome, now: float) -> None:
        item.retry.last = outcome
        if attempt.changed_at is not None:
            item.changed_at = attempt.changed_at  # it goes on waiting
        item.counters.failures += 1
        delay = retry_delay(self._policy, outcome, item.retry.backoff, len(self._failing), self._jitter)
        if outcome.retry_after is None and outcome.kind is not OutcomeKind.PRUNED:
            item.retry.backoff += 1
        # The pause counts from the start of the failed job: a job that timed out after 5 s has waited already.
        item.retry.not_before = (attempt.started if outcome.retry_after is None else now) + delay

    def _retry_failed(self, now: float) -> None:
        """A write succeeded, so retry failed ones early: once for each, since its failure may be its own."""
        for vmi in tuple(self._failing):
            item, retry = self._items[vmi], self._items[vmi].retry
            asked = retry.pruned or (retry.last is not None and retry.last.retry_after is not None)
            if item.in_flight is None and not (asked or retry.retried_early or item.foreign_write):
                retry.retried_early, retry.not_before = True, float("-inf")
                self._reschedule(vmi, item, now)

    def _compare(self, item: Item, before: PublishedValue, value: PublishedValue, now: float) -> None:
        """The publisher holds `value`. If it held another one after a write, another writer has changed it."""
        if value != before and item.retry.last is not None and item.retry.last.ok:
            # It counts once a necessary write has answered it: the value seen may have been outdated.
            item.foreign_write = True
            item.retry.not_before = max(item.retry.not_before, item.rewrite_bucket(self._policy).ready_at(now))
