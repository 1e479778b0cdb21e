"""When which value is written: each rule with literal times."""

from itertools import pairwise

import pytest

from handler_service.model import Outcome, OutcomeKind, PublishedValue, VmiId, Watermark
from handler_service.publishing.policy import WritePolicy
from handler_service.publishing.scheduler import WriteScheduler
from servicestatus.rate_limit import TokenBucket
from servicestatus.v1 import session_report_service_pb2 as pb
from tests.unit.handler.builders import OTHER_VMI, VMI, desired
from tests.unit.handler.simulation import Fate, Simulation, Write


def holding(sessions: int, **options: object) -> Simulation:
    """Return a publisher with `sessions`, and a write scheduler that has read it at 0 and has nothing to write."""
    sim = Simulation(place={VMI: sessions}, **options)  # type: ignore[arg-type]
    sim.set_desired(desired(sessions))
    sim.run(0.0)
    assert sim.reads == [0.0]
    return sim


def steps(sim: Simulation, *changes: tuple[float, int], until: float) -> list[Write]:
    """Want each number from its time on; returns what is written by `until`."""
    for at, sessions in changes:
        sim.run(at)
        sim.set_desired(desired(sessions))
    sim.run(until)
    return sim.writes


# --- reading ---


def test_the_place_is_read_before_anything_is_written() -> None:
    """Nothing can be decided without knowing what is there."""
    sim = Simulation(place={VMI: 1})
    sim.set_desired(desired(2))
    assert sim.writes == []
    sim.run(10.0)
    assert sim.reads == [0.0]
    assert sim.writes == [Write(0.3, 2)]


def test_what_the_place_holds_already_is_published_without_a_write() -> None:
    """After a restart of the handler, most often."""
    sim = holding(1)
    sim.run(10.0)
    assert sim.writes == []
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)


# --- spacing ---


def test_the_first_viewer_is_written_after_20_ms() -> None:
    """A user may be about to type a secret."""
    assert steps(holding(0), (10.0, 1), until=20.0) == [Write(10.02, 1)]


def test_events_of_one_moment_are_merged() -> None:
    """The newest state at the moment of writing is written."""
    assert steps(holding(0), (10.0, 1), (10.01, 2), (10.019, 3), until=20.0) == [Write(10.02, 3)]


def test_a_viewer_of_less_than_20_ms_is_not_written() -> None:
    """The session was too short for anything to be seen."""
    assert steps(holding(0), (10.0, 1), (10.019, 0), until=20.0) == []


def test_a_rise_from_one_waits_300_ms() -> None:
    """And not from the last event on, but from the first."""
    assert steps(holding(1), (10.0, 2), (10.2, 3), until=20.0) == [Write(10.3, 3)]


def test_a_takeover_is_not_seen() -> None:
    """1 -> 2 -> 1 within 80 ms."""
    assert steps(holding(1), (10.0, 2), (10.08, 1), until=20.0) == []


def test_a_fall_waits_a_second() -> None:
    """A viewer whose VM migrates is back within the second."""
    assert steps(holding(2), (10.0, 1), until=20.0) == [Write(11.0, 1)]


def test_a_viewer_that_is_back_within_a_second_was_never_gone() -> None:
    """An absent field would be wrong for every reader."""
    assert steps(holding(1), (10.0, 0), (10.999, 1), until=20.0) == []


def test_zero_waits_a_whole_second_from_zero_on() -> None:
    """Whatever fell before."""
    assert steps(holding(3), (10.0, 2), (10.5, 1), (10.9, 0), until=20.0) == [Write(11.9, 0)]


def test_a_fall_that_stays_above_zero_waits_from_its_first_step_on() -> None:
    """A slow trickle of leavers does not keep the old number up."""
    assert steps(holding(4), (10.0, 3), (10.5, 2), (10.9, 1), until=20.0) == [Write(11.0, 1)]


def test_a_fall_begins_anew_after_a_rise() -> None:
    """A second without a break is meant."""
    assert steps(holding(1), (10.0, 0), (10.5, 1), (10.6, 0), until=20.0) == [Write(11.6, 0)]


def test_one_write_a_second_for_a_vmi() -> None:
    """Each one wakes KubeVirt's controllers."""
    changes = [(10.0 + tenth / 10, 2 + tenth % 7) for tenth in range(50)]
    writes = steps(holding(1), *changes, until=30.0)
    gaps = [later.at - earlier.at for earlier, later in pairwise(writes)]
    assert min(gaps) >= 0.999
    assert writes[-1].sessions == 2 + 49 % 7


def test_a_first_rise_need_not_wait_for_the_second_and_what_follows_waits_longer() -> None:
    """The exception is borrowed, not given."""
    writes = steps(holding(1), (10.0, 0), (11.1, 1), (11.5, 2), (11.9, 3), until=20.0)
    assert writes == [Write(11.0, 0), Write(11.12, 1), Write(13.0, 3)]


def test_the_exception_holds_once() -> None:
    """A viewer that comes and goes writes once a second in the long run."""
    sim = holding(0)
    sim.run(10.0)
    while sim.now < 110.0:
        sim.set_desired(desired(1))
        sim.run_for(0.03)
        sim.set_desired(desired(0))
        sim.run_for(1.03)
    assert len(sim.writes) <= 102
    for first, third in zip(sim.writes, sim.writes[2:], strict=False):
        assert third.at - first.at >= 0.999


def test_spacing_can_be_set() -> None:
    """The numbers are parameters."""
    sim = holding(0, policy=WritePolicy(first_rise=0.5, rise=2.0, fall=3.0, interval=4.0))
    writes = steps(sim, (10.0, 1), (11.0, 2), (20.0, 1), until=30.0)
    assert writes == [Write(10.5, 1), Write(14.5, 2), Write(23.0, 1)]


def test_a_detail_waits_as_long_as_a_rise() -> None:
    """A lease that was missed by a moment need not be published."""
    scheduler = WriteScheduler(WritePolicy(), TokenBucket(9, 1.0), lambda _: 0.0, lambda desired: desired.observed)
    scheduler.set_desired(VMI, desired(1), 0.0)
    scheduler.take_due(0.0, 1)
    scheduler.finished(VMI, Outcome(OutcomeKind.UNCHANGED, PublishedValue(1, True)), 0.0)
    scheduler.set_desired(VMI, desired(1, observed=False), 10.0)
    assert scheduler.wake_at() == 10.3
    scheduler.set_desired(VMI, desired(1), 10.2)
    assert scheduler.wake_at() is None


@pytest.mark.parametrize(
    ("held", "pause"),
    [
        pytest.param(2, 0.1, id="a rise, or the number is not known"),
        pytest.param(0, 0.01, id="a first rise, or the zero is not known"),
    ],
)
def test_changes_that_alternate_are_written_after_3_s(held: int, pause: float) -> None:
    """Each of the two starts the wait of the other again."""
    sim = holding(
        held,
        detail=lambda desired: desired.observed,
        shows_idle=lambda value: value == PublishedValue(0, True),
    )
    sim.run(10.0)
    del sim.writes[:]
    while not sim.writes and sim.now < 20.0:
        sim.set_desired(desired(held + 1))
        sim.run_for(pause)
        sim.set_desired(desired(held, observed=False))
        sim.run_for(pause)
    assert sim.writes[0].at == pytest.approx(13.0, abs=0.001)


# --- unknown ---


@pytest.mark.parametrize("sessions", [0, 1, 2])
def test_unknown_never_lowers(sessions: int) -> None:
    """Whatever is thought, 2 stays."""
    sim = holding(2)
    sim.run(10.0)
    sim.set_desired(desired(sessions, observed=False, sequence=2))
    sim.run(1_000.0)
    assert sim.writes == []
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 2)


def test_unknown_raises() -> None:
    """A lower bound above what is held is certain."""
    sim = holding(2)
    sim.run(10.0)
    sim.set_desired(desired(3, observed=False))
    sim.run(20.0)
    assert sim.writes == [Write(10.3, 3)]


def test_a_fall_under_way_is_called_off_when_its_source_is_unknown() -> None:
    """What is written follows from what is known at the moment of writing."""
    sim = holding(2)
    sim.run(10.0)
    sim.set_desired(desired(0))
    sim.run(10.9)
    sim.set_desired(desired(0, observed=False))
    sim.run(20.0)
    assert sim.writes == []


def test_a_fall_is_written_as_soon_as_it_is_known() -> None:
    """It has waited for a reason; now it waits its second."""
    sim = holding(2)
    sim.set_desired(desired(0, observed=False))
    sim.run(10.0)
    sim.set_desired(desired(0))
    sim.run(20.0)
    assert sim.writes == [Write(11.0, 0)]


def test_unsettled_lowers_nothing_and_publishes_nothing() -> None:
    """A handler that has just started has no report of some agents."""
    sim = Simulation(place={VMI: 2})
    sim.set_desired(desired(0, observed=False, synced=False))
    sim.run(14.0)
    assert sim.writes == []
    assert sim.scheduler.published(VMI, "a") is None
    view = sim.scheduler.view(VMI)
    assert view is not None
    assert not view.up_to_date


def test_unsettled_raises() -> None:
    """One agent of two has more viewers than are published: they are there."""
    sim = Simulation(place={VMI: 1})
    sim.set_desired(desired(3, observed=False, synced=False))
    sim.run(10.0)
    assert sim.writes == [Write(0.3, 3)]


# --- the node ---


def vmis(number: int) -> list[VmiId]:
    """So many VMIs."""
    return [VmiId("default", f"vm-{index:03}", "") for index in range(number)]


def node(number: int, burst: int, interval: float, actual: int = 0) -> Simulation:
    """A node whose VMIs have been read."""
    sim = Simulation(bucket=TokenBucket(burst, interval), place=dict.fromkeys(vmis(number), actual), room=number)
    for vmi in vmis(number):
        sim.set_desired(desired(actual), vmi)
    sim.run(0.0)
    return sim


def test_the_node_has_a_bucket() -> None:
    """A burst at once, then one each interval."""
    sim = node(10, burst=4, interval=0.5)
    sim.run(10.0)
    for vmi in vmis(10):
        sim.set_desired(desired(1), vmi)
    sim.run(20.0)
    assert [write.at for write in sim.writes] == [10.02] * 4 + [10.52, 11.02, 11.52, 12.02, 12.52, 13.02]


def test_an_empty_bucket_serves_a_first_rise_first_and_then_the_oldest_change() -> None:
    """The other kinds are equal: a number that only rises must not delay another VMI's fall without a limit."""
    fall, rise, first, empty = vmis(4)
    sim = Simulation(bucket=TokenBucket(1, 5.0), place={fall: 2, rise: 1, first: 0, empty: 0})
    for vmi, actual in list(sim.place.items()):
        sim.set_desired(desired(actual), vmi)
    sim.run(10.0)
    sim.set_desired(desired(1), empty)
    sim.run(10.1)
    sim.set_desired(desired(1), fall)
    sim.set_desired(desired(2), rise)
    sim.run(14.0)
    sim.set_desired(desired(1), first)
    sim.run(60.0)
    assert [write.vmi for write in sim.writes] == [empty, first, rise, fall]


def test_reads_cost_no_token() -> None:
    """A handler that starts on a full node reads all of it."""
    sim = Simulation(bucket=TokenBucket(1, 100.0))
    for vmi in vmis(50):
        sim.set_desired(desired(0), vmi)
    sim.run(1.0)
    assert len(sim.reads) == 50


def test_no_more_jobs_than_there_is_room_for() -> None:
    """The rest comes a moment later."""
    scheduler = WriteScheduler(WritePolicy(), TokenBucket(256, 0.04), lambda _: 0.0)
    for vmi in vmis(20):
        scheduler.set_desired(vmi, desired(0), 0.0)
    assert len(scheduler.take_due(0.0, 16)) == 16
    assert scheduler.wake_at() == 0.01
    assert len(scheduler.take_due(0.01, 16)) == 4
    assert scheduler.wake_at() is None


def test_one_job_at_a_time_for_a_vmi() -> None:
    """What comes meanwhile is written afterwards."""
    sim = holding(0, latency=5.0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(11.0)
    sim.set_desired(desired(2))
    sim.run(15.0)
    assert sim.writes == [Write(10.02, 1)]
    sim.run(30.0)
    assert sim.writes == [Write(10.02, 1), Write(15.32, 2)]


# --- failures ---


def test_after_a_conflict_the_place_is_read_again() -> None:
    """Another client has written there: its value must be read first."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.CONFLICT)
    sim.set_desired(desired(1))
    sim.run(10.5)
    sim.place[VMI] = 7
    sim.run(20.0)
    assert sim.reads == [0.0, 11.02]
    assert sim.writes == [Write(10.02, 1), Write(12.02, 1)]


def test_after_a_lost_answer_the_place_is_read_and_not_written_again_where_it_was_done() -> None:
    """A timeout says nothing about what happened."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.DONE_AND_LOST)
    sim.set_desired(desired(1, sequence=9))
    sim.run(10.5)
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)
    sim.run(20.0)
    assert sim.writes == [Write(10.02, 1)]
    assert sim.reads == [0.0, 11.02]
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 9)


def test_failures_back_off_up_to_six_seconds() -> None:
    """1, 2, 4, 6 s, of which a random part is waited: within ten seconds of the place's recovery the value is right."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.extend([Fate.LOST] * 6)
    sim.set_desired(desired(1))
    sim.run(1_000.0)
    tries = [round(sim.writes[0].at, 2), *(round(at, 2) for at in sim.reads[1:])]
    waits = [round(later - earlier, 2) for earlier, later in pairwise(tries)]
    assert waits == [1.0, 2.0, 4.0, 6.0, 6.0, 6.0]
    assert sim.place[VMI] == 1


def test_who_had_no_answer_has_waited_already() -> None:
    """A pause counts from the beginning of what failed: five seconds without an answer do not come on top of it."""
    sim = holding(0, latency=5.0)
    sim.run(10.0)
    sim.fates.extend([Fate.LOST] * 6)
    sim.set_desired(desired(1))
    sim.run(1_000.0)
    tries = [round(sim.writes[0].at, 2), *(round(at, 2) for at in sim.reads[1:])]
    assert [round(later - earlier, 2) for earlier, later in pairwise(tries)] == [5.0, 5.0, 5.0, 6.0, 6.0, 6.0]
    assert sim.place[VMI] == 1


def test_the_more_fail_the_longer_each_waits_up_to_a_minute() -> None:
    """A place that fails must not be pressed by a whole node: four tries a second at most."""
    sim = Simulation(bucket=TokenBucket(1000, 0.001), room=1000)
    for vmi in vmis(200):
        sim.set_desired(desired(0), vmi)
    sim.run(10.0)
    sim.fates.extend([Fate.LOST] * 4000)
    for vmi in vmis(200):
        sim.set_desired(desired(1), vmi)
    sim.run(400.0)
    tries = [at for at in (*sim.reads, *(write.at for write in sim.writes)) if at >= 200.0]
    assert 600 <= len(tries) <= 800


def test_the_first_success_wakes_what_has_failed_meanwhile() -> None:
    """The publisher works again, so no other VMI waits for the end of its backoff."""
    sim = holding(0)
    sim.set_desired(desired(0), OTHER_VMI)
    sim.run(10.0)
    sim.fates.extend([Fate.LOST] * 8)
    sim.set_desired(desired(1))
    sim.run(11.0)
    sim.set_desired(desired(1), OTHER_VMI)
    sim.run(60.0)
    last = {write.vmi: write.at for write in sim.writes}
    assert sim.place == {VMI: 1, OTHER_VMI: 1}
    assert abs(last[VMI] - last[OTHER_VMI]) < 0.1  # each has waited for six seconds by then


def test_what_fails_alone_is_woken_once() -> None:
    """Else a VMI that cannot be written would be tried with every write of its neighbours."""
    sim = holding(0)
    sim.set_desired(desired(0), OTHER_VMI)
    sim.run(10.0)
    sim.fates.extend([Fate.CONFLICT, Fate.DONE, Fate.DONE, Fate.CONFLICT])
    sim.set_desired(desired(1))
    sim.run(10.5)
    sim.set_desired(desired(1), OTHER_VMI)  # its success wakes the other, which is read, written, and fails again
    sim.run(11.2)
    sim.set_desired(desired(2), OTHER_VMI)
    sim.run(12.5)
    assert sim.place[OTHER_VMI] == 2
    assert [write.at for write in sim.writes if write.vmi == VMI] == [10.02, 10.54]


def test_a_place_that_can_be_read_and_not_written_is_backed_off_from_all_the_same() -> None:
    """A read that works says nothing about the next write; else a role that is missing would cost a write a second."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.extend([Fate.CONFLICT, Fate.DONE] * 5)
    sim.set_desired(desired(1))
    sim.run(1_000.0)
    failed = [write.at for write in sim.writes[:-1]]
    waits = [round(read - write) for write, read in zip(failed, sim.reads[1:], strict=True)]
    assert waits == [1, 2, 4, 6, 6]
    assert sim.place[VMI] == 1


def test_a_trouble_that_turns_out_to_be_over_is_not_told_any_more() -> None:
    """The answer was lost, the value is there: the last outcome says so."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.DONE_AND_LOST)
    sim.set_desired(desired(1))
    sim.run(20.0)
    view = sim.scheduler.view(VMI)
    assert view is not None
    assert view.last is not None
    assert (view.up_to_date, view.last.kind) == (True, OutcomeKind.UNCHANGED)


def test_a_success_ends_the_backing_off() -> None:
    """The next failure waits a second again."""
    sim = holding(0)
    sim.fates.extend([Fate.LOST] * 5)
    sim.set_desired(desired(1))
    sim.run(100.0)
    assert sim.place[VMI] == 1
    sim.fates.append(Fate.LOST)
    sim.set_desired(desired(2))
    sim.run(101.5)
    assert [round(at, 2) for at in sim.reads[-1:]] == [101.3]


def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    """And a little more, so that not all come at once."""
    sim = holding(0, jitter=0.5)
    sim.run(10.0)
    sim.fates.append(Fate.OVERLOADED)
    sim.set_desired(desired(1))
    sim.run(60.0)
    assert [round(at, 2) for at in sim.reads] == [0.0, 40.52]


def test_what_is_wanted_while_backing_off_waits_too() -> None:
    """A storm of events does not become a storm of tries."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.extend([Fate.LOST] * 4)
    sim.set_desired(desired(1))
    for _ in range(500):
        sim.run_for(0.01)
        sim.set_desired(desired(1 + len(sim.writes) % 2))
    assert len(sim.writes) + len(sim.reads) <= 5


def test_a_pruned_field_is_tried_again_after_ten_minutes() -> None:
    """Its schema may have been extended; more often would be a waste."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.PRUNED)
    sim.set_desired(desired(1))
    sim.run(20.0)
    sim.set_desired(desired(3))
    sim.run(1_000.0)
    assert sim.writes == [Write(10.02, 1), Write(610.02, 3)]


def test_a_pruned_field_is_tried_at_once_when_the_place_has_changed() -> None:
    """retry() is for that."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.PRUNED)
    sim.set_desired(desired(1))
    sim.run(50.0)
    sim.scheduler.retry(50.0)
    sim.run(60.0)
    assert sim.writes == [Write(10.02, 1), Write(50.0, 1)]


def test_a_value_that_would_be_pruned_does_not_wait_in_the_queue() -> None:
    """Viewers come and go on a stock KubeVirt: no write is due for ten minutes, and none is late."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.PRUNED)
    sim.set_desired(desired(1))
    sim.run(20.0)
    sim.set_desired(desired(0))
    sim.run(30.0)
    sim.set_desired(desired(1))
    sim.run(300.0)
    assert sim.scheduler.waiting(300.0) == (0, 0.0)
    view = sim.scheduler.view(VMI)
    assert view is not None
    assert view.publisher_state().state == pb.PUBLISH_STATE_PRUNED
    sim.run(1_000.0)
    assert sim.writes == [Write(10.02, 1), Write(610.02, 1)]
    assert view.publisher_state().failure is OutcomeKind.PRUNED


def test_a_correction_that_is_rate_limited_does_not_wait_in_the_queue() -> None:
    """Another writer erases the value again and again: the answer to it is held back on purpose."""
    sim = holding(1)
    sim.run(10.0)
    for _ in range(8):
        sim.foreign(0)
        sim.run_for(2.0)
    assert sim.place == {VMI: 0}
    assert sim.scheduler.waiting(sim.now) == (0, 0.0)


def test_a_reverted_write_is_not_taken_for_a_success() -> None:
    """It is tried again, and nothing is called published."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.REVERTED)
    sim.set_desired(desired(1, sequence=2))
    sim.run(10.5)
    view = sim.scheduler.view(VMI)
    assert view is not None
    assert view.last is not None
    assert (view.up_to_date, view.last.kind, view.failures, view.writes) == (False, OutcomeKind.REVERTED, 1, 0)
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)
    sim.run(20.0)
    assert sim.writes == [Write(10.02, 1), Write(11.02, 1)]
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 2)


# --- another client writes ---


def test_a_foreign_erasure_is_written_again() -> None:
    """As a first rise: it is wrong now."""
    sim = holding(0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(20.0)
    sim.foreign(0)
    sim.run(30.0)
    assert sim.writes == [Write(10.02, 1), Write(20.02, 1)]


def test_foreign_erasures_are_answered_five_times_and_then_once_a_minute() -> None:
    """Two controllers that fight must not fight at full speed."""
    sim = holding(0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(100.0)
    while sim.now < 400.0:
        if sim.place[VMI]:
            sim.foreign(0)
        sim.run_for(0.1)
    rewrites = [write.at for write in sim.writes[1:]]
    assert [round(at) for at in rewrites] == [100, 100, 101, 102, 103, 160, 220, 280, 340]


def test_foreign_writes_that_need_no_answer_do_not_count() -> None:
    """A watch that is late shows what was there before our own write: that is no enemy."""
    sim = holding(0)
    sim.set_desired(desired(1))
    sim.run(10.0)
    for _ in range(50):
        sim.scheduler.set_actual(VMI, PublishedValue(0), sim.now)
        sim.run_for(2.0)
    assert {write.sessions for write in sim.writes} == {1}
    sim.foreign(0)
    at = sim.now
    sim.run_for(2.0)
    assert sim.writes[-1] == Write(round(at + 0.02, 6), 1)


def test_a_foreign_erasure_while_a_write_is_under_way_is_not_missed() -> None:
    """Which of the two came first is not known, so the place is read again."""
    sim = holding(0, latency=1.0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(10.6)
    assert sim.place[VMI] == 1
    sim.foreign(0)
    sim.run(30.0)
    assert sim.place[VMI] == 1
    assert len(sim.writes) == 2


def test_the_trace_of_an_own_write_costs_no_read() -> None:
    """A watch shows it before or after the answer, most of the time."""
    sim = holding(0, latency=1.0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(10.6)
    sim.scheduler.set_actual(VMI, PublishedValue(1), sim.now)
    sim.run(20.0)
    assert sim.reads == [0.0]


def test_what_is_seen_of_an_unknown_vmi_is_nothing() -> None:
    """A watch sees more than this handler publishes."""
    sim = Simulation()
    sim.scheduler.set_actual(VMI, PublishedValue(1), 0.0)
    assert sim.scheduler.vmis() == []


# --- coming and going ---


def test_a_vmi_that_is_forgotten_is_written_no_more() -> None:
    """What is published stays."""
    sim = holding(2)
    sim.set_desired(desired(0))
    sim.scheduler.forget(VMI)
    sim.run(100.0)
    assert sim.writes == []
    assert sim.place[VMI] == 2
    assert (sim.scheduler.view(VMI), sim.scheduler.published(VMI, "a")) == (None, None)
    sim.scheduler.forget(VMI)


def test_the_answer_to_a_forgotten_job_is_no_answer() -> None:
    """It ends, and with it the last trace of the VMI."""
    sim = holding(0, latency=2.0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(11.0)
    sim.scheduler.forget(VMI)
    assert sim.scheduler.vmis() == []
    sim.run(20.0)
    assert sim.scheduler._items == {}


def test_a_vmi_that_is_back_before_its_job_has_ended_waits_for_it() -> None:
    """One job at a time: an older write must not overtake a newer one."""
    sim = holding(0, latency=4.0)
    sim.run(10.0)
    sim.set_desired(desired(1))
    sim.run(11.0)
    sim.scheduler.forget(VMI)
    sim.set_desired(desired(2))
    sim.run(14.0)
    assert len(sim.reads) + len(sim.writes) == 2
    sim.run(30.0)
    assert sim.place[VMI] == 2


def test_other_vmis_do_not_wait_for_a_failing_one() -> None:
    """One VMI's bad luck is its own."""
    sim = holding(0)
    sim.set_desired(desired(0), OTHER_VMI)
    sim.run(10.0)
    sim.fates.append(Fate.PRUNED)
    sim.set_desired(desired(1))
    sim.run(10.5)
    sim.set_desired(desired(1), OTHER_VMI)
    sim.run(11.0)
    assert sim.place[OTHER_VMI] == 1


# --- bounds ---


def test_the_heap_stays_small_in_a_storm() -> None:
    """Each change is due another moment later, behind one that is not due yet."""
    sim = holding(1)
    sim.place[OTHER_VMI] = 1
    sim.set_desired(desired(1), OTHER_VMI)
    sim.run(10.0)
    sim.set_desired(desired(0), OTHER_VMI)
    largest = 0
    for moment in range(20_000):
        sim.set_desired(desired(moment % 2))
        sim.run_for(0.000_02)
        largest = max(largest, len(sim.scheduler._queue))
    assert 1_000 < largest <= 1_100
    sim.set_desired(desired(0))
    sim.run_for(5.0)
    assert sim.place[VMI] == 0


# --- what is called published ---


def test_published_says_what_the_place_was_seen_to_hold() -> None:
    """What is wanted, and under way, is not published."""
    sim = holding(0, latency=0.5)
    sim.run(10.0)
    sim.set_desired(desired(1, sequence=2))
    sim.run(10.4)
    sim.set_desired(desired(2, sequence=3))
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)
    sim.run(10.55)
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 2)
    sim.run(20.0)
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 3)


def test_what_was_published_stays_so_when_nothing_more_is_said() -> None:
    """A mark of 0 says nothing: the agent is silent, and its last report may not be what the place holds."""
    sim = holding(1)
    sim.set_desired(desired(0, sequence=7))
    sim.set_desired(desired(0, observed=False, sequence=0))
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)


def test_a_report_that_changes_nothing_is_published_at_once() -> None:
    """The place holds what follows from it."""
    sim = holding(1)
    sim.set_desired(desired(1, sequence=50))
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 50)


def test_a_report_that_was_superseded_unseen_is_published_with_what_came_after() -> None:
    """Acks are cumulative: 2 never was in the place, and does not have to be."""
    sim = holding(1)
    sim.run(10.0)
    sim.set_desired(desired(2, sequence=2))
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 1)
    sim.set_desired(desired(1, sequence=3))
    assert sim.scheduler.published(VMI, "a") == Watermark("a", 1, 3)


def test_a_view_tells_how_it_stands() -> None:
    """For the status service: real writes and failed tries are counted apart."""
    sim = holding(0)
    sim.run(10.0)
    sim.fates.append(Fate.LOST)
    sim.set_desired(desired(1))
    sim.run(20.0)
    view = sim.scheduler.view(VMI)
    assert view is not None
    assert (view.actual, view.up_to_date) == (PublishedValue(1), True)
    assert (view.writes, view.failures) == (1, 1)
    assert view.last_write == pytest.approx(11.04)
