"""Tests the write scheduler with a publisher that fails in every way and a value that changes at random; virtual time.

What holds at every moment, whatever happens, is an invariant here; what holds once all is quiet is in `teardown`.
"""

from collections import defaultdict
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from handler_service.model import DesiredStatus, VmiId, Watermark
from handler_service.publishing.item import Job
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.builders import OTHER_VMI, VMI, desired
from tests.unit.handler.simulation import Fate, Simulation

NODE_BURST, NODE_INTERVAL = 3, 0.4
PAUSES = [0.001, 0.01, 0.019, 0.02, 0.08, 0.3, 0.5, 1.0, 1.5, 4.0, 70.0, 700.0]

vmis = st.sampled_from([VMI, OTHER_VMI])


class Truth:
    """One VMI's standings, and what its place has held, in order of time."""

    def __init__(self) -> None:
        self.status: list[tuple[int, DesiredStatus]] = []  # with the moment from which on it was wanted
        self.actual: list[tuple[int, int]] = [(0, 0)]  # with the moment from which on it was held
        self.published = 0

    def held_since(self, moment: int) -> set[int]:
        """All values that the place has held at `moment` or later."""
        before = [value for at, value in self.actual if at <= moment]
        return {before[-1], *(value for at, value in self.actual if at > moment)}


def follows(value: int, standing_: DesiredStatus) -> bool:
    """Whether a place that holds `value` holds what follows from `standing_`."""
    return value == standing_.sessions if standing_.observed else value >= standing_.sessions


class ClockworkMachine(RuleBasedStateMachine):
    """Two VMIs, one place, one small bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation(bucket=TokenBucket(NODE_BURST, NODE_INTERVAL), jitter=0.5, room=2, latency=0.2)
        self.sim.began, self.sim.placed, self.sim.answered = self._began, self._placed, self._answered
        self.truths: dict[VmiId, Truth] = defaultdict(Truth)
        self.moment = 0

    # --- what may happen ---

    @rule(
        vmi=vmis,
        sessions=st.integers(0, 3),
        observed=st.sampled_from([True, True, True, False]),
        synced=st.sampled_from([True, True, True, False]),
    )
    def the_truth_changes(self, vmi: VmiId, sessions: int, observed: bool, synced: bool) -> None:
        self._want(vmi, sessions, observed and synced, synced)

    @rule(pause=st.sampled_from(PAUSES))
    def time_passes(self, pause: float) -> None:
        self.sim.run_for(pause)

    @rule(fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=4))
    def the_place_will_do(self, fates: list[Fate]) -> None:
        self.sim.fates.extend(fates)

    @rule(latency=st.sampled_from([0.0, 0.005, 0.2, 3.0]))
    def the_place_takes_its_time(self, latency: float) -> None:
        self.sim.latency = latency

    @rule(vmi=vmis)
    def somebody_erases_the_field(self, vmi: VmiId) -> None:
        self.sim.foreign(0, vmi)
        self._check_published(vmi)

    @rule(vmi=vmis, times=st.integers(2, 5), pause=st.sampled_from([0.03, 0.12, 0.4]))
    def somebody_erases_it_again_and_again(self, vmi: VmiId, times: int, pause: float) -> None:
        for _ in range(times):
            self._want(vmi, 1, observed=True, synced=True)
            self.sim.run_for(pause)
            self.somebody_erases_the_field(vmi)

    @rule(vmi=vmis, sessions=st.lists(st.integers(0, 3), min_size=2, max_size=8), pause=st.sampled_from([0.03, 0.35]))
    def viewers_come_and_go(self, vmi: VmiId, sessions: list[int], pause: float) -> None:
        for number in sessions:
            self._want(vmi, number, observed=True, synced=True)
            self.sim.run_for(pause)

    @rule()
    def the_schema_changes(self) -> None:
        self.sim.scheduler.retry(self.sim.now)
        self.sim.run_for(0.0)

    # --- what always holds ---

    def _began(self, job: Job) -> None:
        """Unknown, and what is not yet known, never lowers what the place holds."""
        status = self.truths[job.vmi].status[-1][1]
        if job.value is not None and not (status.observed and status.synced):
            assert job.value.sessions >= self.sim.place.get(job.vmi, 0)

    def _placed(self, vmi: VmiId) -> None:
        self.moment += 1
        self.truths[vmi].actual.append((self.moment, self.sim.place[vmi]))

    def _answered(self, vmi: VmiId) -> None:
        self._check_published(vmi)

    def _check_published(self, vmi: VmiId) -> None:
        """A mark is published only if the place has held what follows from it, and never goes back."""
        watermark = self.sim.scheduler.published(vmi, "a")
        truth = self.truths[vmi]
        if watermark is None or watermark.sequence == truth.published:
            return
        assert watermark.sequence > truth.published
        truth.published = watermark.sequence
        since, status = truth.status[watermark.sequence - 1]
        assert any(follows(value, status) for value in truth.held_since(since))

    @invariant()
    def writes_of_a_vmi_are_spaced(self) -> None:
        """One a second, one of them a second early."""
        for vmi in self.truths:
            times = [write.at for write in self.sim.writes if write.vmi == vmi]
            for first, third in zip(times, times[2:], strict=False):
                assert third - first >= 0.999
            if times:
                assert len(times) <= 2 + (times[-1] - times[0]) + 1e-3

    @invariant()
    def writes_of_the_node_are_bounded(self) -> None:
        times = [write.at for write in self.sim.writes]
        for index in range(len(times) - NODE_BURST):
            assert times[index + NODE_BURST] - times[index] >= NODE_INTERVAL - 1e-3

    @invariant()
    def the_heap_is_bounded(self) -> None:
        assert len(self.sim.scheduler._queue) <= 2 * len(self.truths) + 1025

    # --- what holds in the end ---

    def teardown(self) -> None:
        """Once the truth is known and rests, and the place works, the place holds it, and all is published."""
        self.sim.fates.clear()
        for vmi, truth in self.truths.items():
            last = truth.status[-1][1] if truth.status else desired(0)
            self._want(vmi, last.sessions, observed=True, synced=True)
        self.sim.run_for(2_000.0)
        for vmi, truth in self.truths.items():
            final = truth.status[-1][1]
            assert self.sim.place.get(vmi, 0) == final.sessions
            assert self.sim.scheduler.published(vmi, "a") == Watermark("a", 1, len(truth.status))
            view = self.sim.scheduler.view(vmi)
            assert view is not None
            assert view.up_to_date
        assert self.sim.scheduler.wake_at() is None
        self.writes_of_a_vmi_are_spaced()
        self.writes_of_the_node_are_bounded()
        assert all(earlier.at <= later.at for earlier, later in pairwise(self.sim.writes))

    def _want(self, vmi: VmiId, sessions: int, observed: bool, synced: bool) -> None:
        truth = self.truths[vmi]
        status = desired(sessions, observed=observed, synced=synced, sequence=len(truth.status) + 1)
        truth.status.append((self.moment, status))
        self.sim.set_desired(status, vmi)
        self._check_published(vmi)


TestClockworkMachine = ClockworkMachine.TestCase
TestClockworkMachine.settings = settings(max_examples=150, stateful_step_count=60)
