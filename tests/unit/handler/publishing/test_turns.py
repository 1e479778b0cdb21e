"""Which VMI is written next when the token bucket of the node is empty, and how long a VMI waits at most."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler_service.model import DesiredStatus, PublishedValue, VmiId
from servicestatus.rate_limit import TokenBucket
from tests.unit.handler.builders import desired
from tests.unit.handler.simulation import Simulation, Write

HOSTILE, HONEST = 60, 20
#: Seconds between two tokens of the node, and the round of 80 VMIs.
INTERVAL, ROUND = 0.04, 3.2
#: Seconds after which the burst of the bucket is used up.
EXHAUSTED = 30.0


def node(number: int, sessions: int = 0, interval: float = INTERVAL) -> tuple[Simulation, list[VmiId]]:
    """Return a node whose VMIs are observed and show `sessions`, with a bucket of one token."""
    vmis = [VmiId("default", f"vm-{index:03}", "") for index in range(number)]
    sim = Simulation(
        bucket=TokenBucket(1, interval),
        place=dict.fromkeys(vmis, sessions),
        details=dict.fromkeys(vmis, True),
        detail=lambda desired: desired.observed,
        shows_idle=lambda value: value == PublishedValue(0, True),
    )
    for vmi in vmis:
        sim.set_desired(desired(sessions), vmi)
    sim.run(1.0)
    assert sim.writes == []
    return sim, vmis


def written(sim: Simulation, vmi: VmiId) -> list[Write]:
    """Return the writes of one VMI."""
    return [write for write in sim.writes if write.vmi == vmi]


# --- the order ---


def test_a_withdrawn_zero_comes_before_first_rises_and_these_before_the_oldest_other_change() -> None:
    """The first two end a zero that a user may rely on."""
    sim, (rise, fall, unknown, first, withdrawn, empty) = node(6, interval=5.0)
    for vmi, sessions in ((rise, 1), (fall, 2), (unknown, 1)):
        sim.place[vmi] = sessions
        sim.scheduler.set_actual(vmi, PublishedValue(sessions, True), sim.now, foreign=False)
        sim.set_desired(desired(sessions), vmi)
    sim.run(10.0)
    sim.set_desired(desired(1), empty)
    sim.run(10.1)
    sim.set_desired(desired(1, observed=False), unknown)
    sim.run(10.2)
    sim.set_desired(desired(1), fall)
    sim.set_desired(desired(2), rise)
    sim.run(14.0)
    sim.set_desired(desired(1), first)
    sim.run(14.5)
    sim.set_desired(desired(0, observed=False), withdrawn)
    sim.run(60.0)
    # Due at 14.8, 14.02, 10.4, 10.5 and 11.2 s.
    assert [write.vmi for write in sim.writes] == [empty, withdrawn, first, unknown, rise, fall]


def test_a_vmi_that_was_written_in_this_round_has_no_precedence() -> None:
    """Else an agent that withdraws its zero again and again would be written before all others."""
    sim, (flapping, other, *_) = node(4, interval=5.0)
    sim.run(10.0)
    sim.set_desired(desired(0, observed=False), flapping)
    sim.run(12.0)
    sim.set_desired(desired(0), flapping)  # written at 15.3 s
    sim.run(16.0)
    sim.set_desired(desired(2), other)
    sim.run(20.5)  # it was written at 20.3 s
    sim.set_desired(desired(1), other)
    sim.run(21.5)
    sim.set_desired(desired(0, observed=False), flapping)
    sim.run(60.0)
    assert [write.vmi for write in sim.writes] == [flapping, flapping, other, other, flapping]


def test_a_change_of_another_kind_keeps_the_place_in_the_queue() -> None:
    """A VMI whose number rises and falls while it waits is not overtaken for that."""
    sim, (changing, younger, *_) = node(5, sessions=2, interval=5.0)
    for index, vmi in enumerate(list(sim.place)[2:]):
        sim.set_desired(desired(3 + index), vmi)
    sim.run(3.0)
    sim.set_desired(desired(3), changing)
    sim.run(4.0)
    sim.set_desired(desired(3), younger)
    sim.run(5.0)
    sim.set_desired(desired(1), changing)
    sim.run(60.0)
    assert [write.vmi for write in sim.writes[-2:]] == [changing, younger]


# --- the bound ---


def rising(sim: Simulation, vmis: list[VmiId], until: float) -> None:
    """Raise each number by one every 0.8 s, each VMI at a moment of its own."""
    start = sim.now
    steps = sorted(
        (start + 0.8 * turn + 0.8 * index / len(vmis), index, turn)
        for index in range(len(vmis))
        for turn in range(int((until - start) / 0.8))
    )
    for at, index, turn in steps:
        sim.run(max(sim.now, at))
        sim.set_desired(desired(2 + turn + int(start)), vmis[index])
    sim.run(until)


@pytest.mark.parametrize(
    ("before", "after", "wait"),
    [
        pytest.param(desired(1), desired(0), 1.0 + ROUND, id="a fall"),
        pytest.param(desired(1), desired(2), 0.3 + ROUND, id="a rise"),
        pytest.param(desired(1), desired(1, observed=False), 0.3 + ROUND, id="a number that is not observed any more"),
        # Nothing else has precedence: each waits for one token.
        pytest.param(desired(0), desired(1), 0.02 + INTERVAL, id="a first rise"),
        pytest.param(desired(0), desired(0, observed=False), 0.3 + INTERVAL, id="a withdrawal"),
    ],
)
def test_sixty_numbers_that_only_rise_delay_an_honest_value_by_one_round(
    before: DesiredStatus, after: DesiredStatus, wait: float
) -> None:
    """Each of them would take a write a second, which is more than twice what the node has."""
    sim, vmis = node(HOSTILE + HONEST)
    hostile, honest = vmis[:HOSTILE], vmis[HOSTILE]
    sim.set_desired(before, honest)
    rising(sim, hostile, EXHAUSTED)
    sim.writes.clear()
    sim.set_desired(after, honest)
    rising(sim, hostile, EXHAUSTED + 30.0)
    (write,) = written(sim, honest)
    assert (write.sessions, write.detail) == (after.sessions, after.observed)
    assert write.at - EXHAUSTED <= wait + 0.001
    assert len(sim.writes) >= 0.95 * 30 / INTERVAL, "the bucket was not empty"


def flapping(sim: Simulation, vmis: list[VmiId], until: float) -> None:
    """Withdraw each zero, connect a viewer, and prove the zero again, as soon as the change before was written."""
    following = {(0, True): (0, False), (0, False): (1, True), (1, True): (0, True)}
    while sim.now < until:
        for vmi in vmis:
            sessions, observed = following[sim.place[vmi], bool(sim.details[vmi])]
            sim.set_desired(desired(sessions, observed=observed), vmi)
        sim.run_for(0.05)


def test_sixty_zeros_withdrawn_again_and_again_delay_an_honest_fall_by_one_round() -> None:
    """Two of three of their writes would have precedence, if they had not used their share."""
    sim, vmis = node(HOSTILE + HONEST)
    hostile, honest = vmis[:HOSTILE], vmis[HOSTILE]
    sim.set_desired(desired(1), honest)
    flapping(sim, hostile, EXHAUSTED)
    sim.writes.clear()
    start = sim.now
    sim.set_desired(desired(0), honest)
    flapping(sim, hostile, start + 10.0)
    (write,) = written(sim, honest)
    assert write.at - start <= 1.0 + ROUND + 0.001


def test_each_vmi_that_wants_more_than_its_share_gets_the_same() -> None:
    """None gets all that it asks for, and they differ by one write at most."""
    sim, vmis = node(50)
    rising(sim, vmis, 61.0)
    numbers = [len(written(sim, vmi)) for vmi in vmis]
    assert max(numbers) - min(numbers) <= 1
    assert sum(numbers) >= 60 / INTERVAL - 20


def test_vmis_whose_writes_fail_get_no_more_than_their_share() -> None:
    """A failed write costs a token; the retry has no precedence over what has waited longer."""
    sim, vmis = node(HOSTILE + HONEST)
    hostile, honest = vmis[:HOSTILE], vmis[HOSTILE]
    sim.jitter = 0.0  # the shortest pauses between retries
    sim.refused = set(hostile)
    sim.set_desired(desired(1), honest)
    rising(sim, hostile, EXHAUSTED)
    sim.writes.clear()
    sim.set_desired(desired(0), honest)
    rising(sim, hostile, EXHAUSTED + 10.0)
    (write,) = written(sim, honest)
    assert write.at - EXHAUSTED <= 1.0 + ROUND + 0.001


def test_a_thousand_values_proved_again_do_not_delay_a_viewer() -> None:
    """After a restart of the handler, each companion that the controller marked is written again."""
    sim, vmis = node(1000)
    for vmi in vmis:
        sim.details[vmi] = False
        sim.scheduler.set_actual(vmi, PublishedValue(0, False), sim.now, foreign=False)
    sim.run(5.0)
    sim.set_desired(desired(1), vmis[999])
    sim.run(60.0)
    (write,) = written(sim, vmis[999])
    assert (write.sessions, write.detail) == (1, True)
    assert 5.02 <= write.at <= 5.02 + INTERVAL
    assert {write.vmi for write in sim.writes} == set(vmis)


CHANGES = st.tuples(st.sampled_from([0, 0, 1, 2, 3]), st.booleans())


@settings(max_examples=40)
@given(
    chance=st.randoms(use_true_random=True),
    pace=st.sampled_from([0.05, 0.3, 1.1]),
    number=st.integers(2, 12),
    before=CHANGES,
    after=CHANGES,
    failing=st.booleans(),
)
def test_whatever_other_agents_report_a_due_write_starts_within_one_round(
    chance: random.Random, pace: float, number: int, before: tuple[int, bool], after: tuple[int, bool], failing: bool
) -> None:
    """The invariant of turns.py."""
    sim, (honest, *others) = node(number, interval=1.0)
    sim.refused = set(chance.sample(others, len(others) // 2)) if failing else set()
    sim.set_desired(desired(before[0], observed=before[1]), honest)

    def others_report_until(end: float) -> None:
        while sim.now < end:
            for vmi in others:
                sessions = sim.place[vmi] + chance.choice([-2, -1, 0, 1])
                sim.set_desired(desired(max(0, sessions), observed=chance.random() < 0.7), vmi)
            sim.run_for(chance.uniform(0, pace))

    others_report_until(3.0 * number)
    sim.writes.clear()
    start = sim.now
    target = desired(max(after[0], sim.place[honest]) if not after[1] else after[0], observed=after[1])
    sim.set_desired(target, honest)
    others_report_until(start + 2.2 + number)
    assert sim.place[honest] == target.sessions
    assert sim.details[honest] == target.observed
    assert all(write.at <= start + 2.0 + number + 0.001 for write in written(sim, honest))
