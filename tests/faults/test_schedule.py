"""The schedule follows from its seed alone, and contains every kind of fault."""

import itertools
from collections import Counter

from tests.faults.record import Kind, Target
from tests.faults.schedule import ABSENCE, APART, ROUND, rounds, with_absences

MACHINES = ["vm-0", "vm-1", "vm-2"]


def test_a_seed_makes_the_same_schedule_again() -> None:
    """And another seed makes another one."""
    first, same, other = (list(itertools.islice(rounds(seed, MACHINES), 5)) for seed in (7, 7, 8))
    assert first == same
    assert first != other


def test_three_rounds_hold_every_kind_of_fault() -> None:
    """For any seed, and each once, except those without a free time in their round."""
    for seed in range(100):
        planned = [fault for round_ in itertools.islice(rounds(seed, MACHINES), 4) for fault in round_]
        assert {(fault.target, fault.kind) for fault in planned} == set(itertools.product(Target, Kind))


def test_in_a_long_run_no_kind_is_neglected() -> None:
    """Sixty rounds: twenty of each kind."""
    planned = [fault for round_ in itertools.islice(rounds(1, MACHINES), 60) for fault in round_]
    assert set(Counter((fault.target, fault.kind) for fault in planned).values()) <= {19, 20, 21}


def test_each_tenth_round_is_a_long_absence_of_the_handler() -> None:
    planned = list(itertools.islice(with_absences(rounds(3, MACHINES)), 30))
    absences = [number for number, round_ in enumerate(planned, 1) if [one.away for one in round_] == [ABSENCE]]
    assert absences == [10, 20, 30]
    assert [round_ for round_ in planned if len(round_) > 1] == list(itertools.islice(rounds(3, MACHINES), 27))


def test_nothing_is_hit_twice_at_once() -> None:
    """And all faults end before their round ends."""
    for round_ in itertools.islice(rounds(2, MACHINES), 200):
        assert all(fault.at >= 0 and fault.end <= ROUND for fault in round_)
        for one, other in itertools.combinations(round_, 2):
            if (one.target, one.machine) == (other.target, other.machine):
                assert other.at >= one.end + APART
