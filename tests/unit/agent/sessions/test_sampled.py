"""Samples become a number that rises at once, and falls when two samples in a row agree."""

from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.sessions.sampled import SampledUse

PLACES = frozenset("abcd")
SAMPLES = st.lists(st.frozensets(st.sampled_from(sorted(PLACES))), max_size=30)


def test_a_rise_counts_at_once_and_a_fall_when_it_is_confirmed() -> None:
    use = SampledUse()
    assert not use.sample({"a", "b"}, PLACES)
    assert use.sessions == 2
    assert use.sample({"a"}, PLACES)
    assert use.sessions == 2
    assert not use.sample({"a"}, PLACES)
    assert use.sessions == 1


def test_a_takeover_between_two_samples_does_not_show() -> None:
    use = SampledUse()
    use.sample({"a"}, PLACES)
    assert use.sample(set(), PLACES)
    assert not use.sample({"a"}, PLACES)
    assert use.sample(set(), PLACES)  # the next gap needs a confirmation of its own
    assert use.sessions == 1


def test_a_place_that_was_removed_needs_no_confirmation() -> None:
    use = SampledUse()
    use.sample({"a", "b"}, PLACES)
    assert not use.sample({"a"}, {"a"})
    assert use.sessions == 1


def test_a_fall_of_one_place_does_not_confirm_that_of_another() -> None:
    """One is free in the first sample, the other in the second: neither was free twice."""
    use = SampledUse()
    use.sample({"a", "b"}, PLACES)
    assert use.sample({"b"}, PLACES)
    assert use.sample({"a"}, PLACES)
    assert use.sessions == 2


@given(SAMPLES)
def test_a_place_is_in_use_unless_the_last_two_samples_lack_it(samples: list[frozenset[str]]) -> None:
    use = SampledUse()
    before: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()
    for sample in samples:
        unconfirmed = use.sample(sample, PLACES)
        # What was counted and is in one of the last two samples still counts; what is in this one does in any case.
        counted = sample | (counted & before)
        assert use.sessions == len(counted)
        assert unconfirmed == bool(counted - sample)
        before = sample
