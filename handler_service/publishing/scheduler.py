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

from handler_service.model import Mark, Outcome, OutcomeKind, Shown, Standing, VmiId
from handler_service.publishing.item import Item, Job, View
from handler_service.publishing.policy import Change, Spacing, change_of
from handler_service.stats import Histogram
from servicestatus.rate_limit import TokenBucket

#: Seconds until a job that found no room is looked at again.
_AGAIN: Final = 0.01
#: Entries of the heap that may be out of date before it is built anew.
_SLACK: Final = 1024
#: Seconds, for the histogram of delays: the rules' own (0.02, 0.3, 1, and what follows a write that was just made) each
#: stand a little below a bound, so that keeping a rule and breaking it are told apart.
_DELAYS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)


class Clockwork:
    """The schedule of all VMIs of one place of publication."""

    def __init__(
        self,
        spacing: Spacing,
        bucket: TokenBucket,
        jitter: Callable[[float], float],
        detail: Callable[[Standing], Hashable] = lambda _: None,
    ) -> None:
        """`jitter(t)` is a random time up to t. `detail` is what the place shows besides the number."""
        self._spacing = spacing
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

    def want(self, vmi: VmiId, standing: Standing, now: float) -> None:
        """The newest standing of a VMI."""
        item = self._items.setdefault(vmi, Item())
        item.wanted = standing
        item.detail = self._detail(standing)
        if item.awaited is None:
            item.awaited = now
        self._settle(vmi, item, now)

    def hold(self, vmi: VmiId, shown: Shown, now: float) -> None:
        """What the place was seen to hold: somebody else may have written it."""
        item = self._item(vmi)
        if item is None:
            return
        if item.job is not None:
            # Which came first, this or the job's answer, cannot be known. A write's own trace needs no second look.
            item.doubted = item.doubted or shown != item.job.shown
        elif item.held is not None:  # else it is about to be read
            self._compare(item, item.held, shown, now)
            item.held = shown
            self._settle(vmi, item, now)

    def retry(self, now: float) -> None:
        """The place has changed: what failed is worth another try."""
        for vmi, item in self._items.items():
            item.backoff, item.not_before = 0, float("-inf")
            self._settle(vmi, item, now)

    def forget(self, vmi: VmiId) -> None:
        """This handler does not publish that VMI any more."""
        item = self._items.get(vmi)
        if item is None:
            return
        if item.job is None:
            self._drop(vmi)
        else:
            item.wanted = None  # one job at a time, even if the VMI is back before this one has ended

    # --- what to do ---

    def take_due(self, now: float, room: int) -> list[Job]:
        """At most `room` jobs that are due, the most urgent first; each must be answered by finished()."""
        jobs: list[Job] = []
        for due, vmi in self._ready(now):
            item = self._items[vmi]
            if len(jobs) < room and (item.held is None or self._bucket.take(now)):
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
        """The job of `vmi` has ended: a write, or a read whose `held` is what the place holds."""
        item = self._items[vmi]
        job, item.job = item.job, None
        if item.wanted is None:
            self._drop(vmi)
            return
        if not outcome.ok:
            self._failing.add(vmi)
            self._failed(item, outcome, now)
        elif job is not None and job.shown is not None:
            self._failing.discard(vmi)
            self._written(item, outcome, now)
            self._wake(now)
        else:
            self._read(item, outcome, now)
        item.held = None if item.doubted else outcome.held
        item.doubted = False
        self._settle(vmi, item, now)

    # --- questions ---

    def published(self, vmi: VmiId, endpoint_id: str) -> Mark | None:
        """How far an endpoint's reports are contained in what the place was seen to hold."""
        item = self._item(vmi)
        return None if item is None else item.published.get(endpoint_id)

    def view(self, vmi: VmiId) -> View | None:
        """How a VMI stands, for people."""
        item = self._item(vmi)
        if item is None:
            return None
        settled = item.wanted is not None and item.wanted.settled
        return View(
            held=item.held,
            satisfied=settled and item.due is None and item.job is None,
            last=item.last,
            writes=item.writes,
            failures=item.failures,
            last_write=item.last_write,
        )

    def waiting(self, now: float) -> tuple[int, float]:
        """How many VMIs wait to be shown as they are, and for how many seconds the first of them has.

        Not those whose last write failed: they wait for something else than their turn.
        """
        waits = [
            now - item.awaited
            for item in self._items.values()
            if item.wanted is not None and item.awaited is not None and (item.last is None or item.last.ok)
        ]
        return len(waits), max(waits, default=0.0)

    def vmis(self) -> list[VmiId]:
        """The VMIs that are scheduled."""
        return [vmi for vmi, item in self._items.items() if item.wanted is not None]

    # --- when: inside ---

    def _drop(self, vmi: VmiId) -> None:
        del self._items[vmi]
        self._failing.discard(vmi)

    def _item(self, vmi: VmiId) -> Item | None:
        item = self._items.get(vmi)
        return None if item is None or item.wanted is None else item

    def _target(self, item: Item) -> Shown | None:
        """What shall be written, given what is held; None: leave it."""
        wanted, held = item.wanted, item.held
        if wanted is None or held is None:
            return None
        if not wanted.settled and wanted.sessions <= held.sessions:
            return None
        sessions = wanted.sessions if wanted.observed else max(wanted.sessions, held.sessions)
        return Shown(sessions, item.detail)

    def _settle(self, vmi: VmiId, item: Item, now: float) -> None:
        """Work out when the item is due; where the place holds what is wanted, it is published."""
        if item.job is not None:
            return
        if item.held is None:
            item.change = None
            self._push(vmi, item, max(now, item.not_before))
            return
        target = self._target(item)
        if target is None or target == item.held:
            item.change, item.zero_since, item.due, item.awaited = None, None, None, None
            if target is not None and item.last is not None and not item.last.ok:
                item.backoff, item.woken, item.last = 0, False, Outcome(OutcomeKind.UNCHANGED, item.held)
                self._failing.discard(vmi)
            if item.wanted is not None and item.wanted.settled:
                self._publish(item, item.wanted.marks)
            return
        if item.awaited is None:
            item.awaited = now
        self._push(vmi, item, self._due(item, target, item.held, now))

    def _due(self, item: Item, target: Shown, held: Shown, now: float) -> float:
        change = change_of(target, held)
        if item.change is not change:
            item.change, item.since = change, now
        if target.sessions:
            item.zero_since = None
        elif item.zero_since is None:
            item.zero_since = now
        return max(self._spaced(item, change), item.not_before)

    def _spaced(self, item: Item, change: Change) -> float:
        spacing = self._spacing
        if change is Change.FIRST_RISE:
            # The exception: it may come up to one interval early, and what follows it waits the longer.
            return max(item.since + spacing.first_rise, item.next_write - spacing.interval)
        if change is Change.FALL:
            # A fall to zero waits its whole time from zero on, whatever fell before.
            since = item.since if item.zero_since is None else item.zero_since
            return max(since + spacing.fall, item.next_write)
        # A detail waits as long as a rise: a lease that was missed by a moment need not be told.
        return max(item.since + spacing.rise, item.next_write)

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
        if job.shown is not None and item.wanted is not None:
            item.writing = item.wanted.marks
            item.writing_awaited, item.awaited = item.awaited, None
            item.next_write = max(item.next_write, now) + self._spacing.interval
        return job

    # --- how it ended: inside ---

    def _written(self, item: Item, outcome: Outcome, now: float) -> None:
        item.last = outcome
        item.backoff, item.woken, item.not_before = 0, False, float("-inf")
        self._publish(item, item.writing)
        if outcome.kind is OutcomeKind.WRITTEN:
            item.writes += 1
            item.last_write = now
            self._delayed(item, now)
            if item.disturbed:
                self._rewrites(item).take(now)
        item.disturbed, item.writing_awaited = False, None

    def _read(self, item: Item, outcome: Outcome, now: float) -> None:
        item.not_before = float("-inf")  # but the backoff goes on: only a write shows that writing works again
        if item.last is not None and item.last.held is not None and outcome.held is not None:
            self._compare(item, item.last.held, outcome.held, now)

    def _delayed(self, item: Item, now: float) -> None:
        if item.writing_change is not None and item.writing_awaited is not None:
            self.delays[item.writing_change].add(now - item.writing_awaited)

    def _failed(self, item: Item, outcome: Outcome, now: float) -> None:
        item.last = outcome
        if item.writing_awaited is not None:
            item.awaited, item.writing_awaited = item.writing_awaited, None  # it goes on waiting
        item.failures += 1
        # A pause counts from the beginning of what failed: who had no answer for five seconds has waited already.
        since = item.began if outcome.retry_after is None else now
        item.not_before = since + self._delay(item, outcome)

    def _delay(self, item: Item, outcome: Outcome) -> float:
        if outcome.retry_after is not None:
            return outcome.retry_after + self._jitter(self._spacing.retry_base)
        if outcome.kind is OutcomeKind.PRUNED:
            return self._spacing.pruned_retry
        spacing = self._spacing
        longest = min(spacing.retry_cap, max(spacing.retry_soon, spacing.retry_share * len(self._failing)))
        cap = min(longest, spacing.retry_base * 2.0 ** min(item.backoff, 16))
        item.backoff += 1
        return self._jitter(cap)

    def _wake(self, now: float) -> None:
        """The place works: what failed need not sit out its pause. Once for each, whose trouble may be its own."""
        for vmi in tuple(self._failing):
            item = self._items[vmi]
            asked = item.last is not None and (
                item.last.kind is OutcomeKind.PRUNED or item.last.retry_after is not None
            )
            if item.job is None and not (asked or item.woken or item.disturbed):
                item.woken, item.not_before = True, float("-inf")
                self._settle(vmi, item, now)

    def _publish(self, item: Item, marks: tuple[Mark, ...]) -> None:
        before = item.published
        item.published = {
            mark.endpoint_id: mark if mark.sequence else before.get(mark.endpoint_id, mark) for mark in marks
        }

    def _compare(self, item: Item, before: Shown, shown: Shown, now: float) -> None:
        """The place holds `shown`. Where it held something else after a write, somebody else was at it."""
        if shown != before and item.last is not None and item.last.ok:
            # It counts once it was answered by a write that was needed: what was seen may have been out of date.
            item.disturbed = True
            item.not_before = max(item.not_before, self._rewrites(item).ready_at(now))

    def _rewrites(self, item: Item) -> TokenBucket:
        if item.rewrites is None:
            item.rewrites = TokenBucket(self._spacing.rewrite_burst, self._spacing.rewrite_interval)
        return item.rewrites
