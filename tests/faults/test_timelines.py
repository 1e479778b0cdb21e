"""The arithmetic of spans."""

import pytest

from tests.faults.record import FOREVER, Session
from tests.faults.timelines import Awake, Counts


def test_a_session_counts_between_may_and_must() -> None:
    """At least, and at most, at each time."""
    counts = Counts([Session(1.0, 2.0, 5.0), Session(3.0, FOREVER, 4.0)])
    assert [counts.at(time) for time in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5)] == [
        (0, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (1, 1),
        (0, 0),
    ]


def test_what_was_there_before_a_span_was_not_entered_in_it() -> None:
    """Of a handshake either number may have been true."""
    counts = Counts([Session(1.0, 1.0, 4.0), Session(2.0, 3.0, 5.0)])
    assert counts.entered(1.5, 1.9) == set()
    assert counts.entered(1.5, 2.5) == {1, 2}
    assert counts.entered(2.5, 6.0) == {0, 1, 2}


def test_the_first_time_of_a_number_is_found_from_a_time_on() -> None:
    """Not before, and not after the end."""
    counts = Counts([Session(1.0, 1.0, 5.0), Session(2.0, 2.0, 3.0)])
    assert counts.first(1, 0.0, 9.0) == 1.0
    assert counts.first(1, 2.5, 9.0) == 3.0
    assert counts.first(1, 4.0, 9.0) == 4.0
    assert counts.first(2, 3.0, 9.0) is None
    assert counts.first(0, 1.5, 4.9) is None


def test_occupied_is_one_span_through_a_change_of_viewers() -> None:
    """As long as one is there for sure."""
    counts = Counts([Session(1.0, 1.0, 3.0), Session(2.0, 2.5, 6.0), Session(8.0, 8.0, 9.0)])
    assert counts.occupied() == [(1.0, 6.0), (8.0, 9.0)]


def test_a_session_may_count_for_a_while_after_its_end() -> None:
    """For longer, if the program that would report it was frozen."""
    counts = Counts([Session(1.0, 1.0, 5.0)], late=Awake([(6.0, 10.0)]), lateness=3.0)
    assert [counts.at(time) for time in (4.0, 5.5, 11.9, 12.1)] == [(1, 1), (0, 1), (0, 1), (0, 0)]


@pytest.mark.parametrize(
    ("time", "budget", "expected"),
    [(10.0, 2.0, 8.0), (10.0, 4.0, 4.0), (6.5, 1.0, 4.0), (3.0, 1.0, 2.0), (20.0, 14.0, 4.0)],
)
def test_back_counts_only_the_time_outside(time: float, budget: float, expected: float) -> None:
    """Away from 5 to 7."""
    assert Awake([(5.0, 6.0), (5.5, 7.0)]).back(time, budget) == expected


@pytest.mark.parametrize(("time", "budget", "expected"), [(1.0, 2.0, 3.0), (4.0, 2.0, 8.0), (6.0, 1.0, 8.0)])
def test_forward_counts_only_the_time_outside(time: float, budget: float, expected: float) -> None:
    """Away from 5 to 7."""
    assert Awake([(5.0, 7.0)]).forward(time, budget) == expected
