"""The pauses of a loop that tries again."""

import random

import pytest
import tenacity

from servicestatus.backoff import Backoff, FullJitter, Policy

SOON = Policy(first=0.1, cap=3.0)
CONTESTED = Policy(first=5.0, cap=30.0, floor=1.0)


def highest(low: float, high: float) -> float:
    return max(low, high)


def lowest(low: float, high: float) -> float:
    return min(low, high)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(highest)
    assert [backoff.pause(SOON) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0]


def test_a_pause_is_drawn_from_the_floor_on() -> None:
    backoff = Backoff(lowest)
    assert [backoff.pause(CONTESTED) for _ in range(3)] == [1.0, 1.0, 1.0]
    assert [backoff.pause(SOON) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_ceiling_below_the_floor_is_the_floor() -> None:
    assert Backoff(highest).pause(Policy(first=0.1, cap=0.2, floor=30.0)) == 30.0


def test_an_attempt_that_worked_starts_the_pauses_again() -> None:
    backoff = Backoff(highest)
    assert [backoff.pause(SOON), backoff.pause(SOON)] == [0.1, 0.2]
    backoff.reset()
    assert [backoff.pause(SOON), backoff.pause(SOON)] == [0.1, 0.2]


def test_failures_are_counted_across_policies() -> None:
    backoff = Backoff(highest)
    assert [backoff.pause(policy) for policy in (SOON, CONTESTED, SOON)] == [0.1, 10.0, 0.4]


def test_a_thousand_loops_that_fail_together_spread_evenly() -> None:
    uniform = random.Random(1).uniform  # noqa: S311  # a fixed seed
    pauses = sorted(Backoff(uniform).pause(SOON) for _ in range(1000))
    assert pauses[0] < 0.01
    assert 0.04 < pauses[500] < 0.06
    assert 0.09 < pauses[-1] <= 0.1


@pytest.mark.parametrize("attempts", [2_000, 1_000_000])
def test_a_very_long_outage_does_not_overflow_the_pause(attempts: int) -> None:
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempts
    assert FullJitter(SOON, highest)(state) == 3.0
