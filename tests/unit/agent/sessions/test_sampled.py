"""Samples become a number that rises at once, and falls when enough samples in a row agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher_agent.sessions.sampled import SampledUse

PLACES = frozenset("abcd")
SAMPLES = st.lists(st.frozensets(st.sampled_from(sorted(PLACES))), max_size=30)


@pytest.fixture
def use() -> SampledUse:
    return SampledUse(needed=3)


def test_a_rise_counts_at_once_and_a_fall_when_it_is_confirmed(use: SampledUse) -> None:
    use.sample({"a", "b"}, PLACES)
    assert use.sessions == 2
    assert use.sample({"a"}, {"a", "b"})
    assert use.sample({"a"}, {"a", "b"})
    assert use.sessions == 2
    assert not use.sample({"a"}, {"a", "b"})
    assert use.sessions == 1


def test_a_takeover_between_samples_does_not_show(use: SampledUse) -> None:
    use.sample({"a"}, {"a"})
    assert use.sample(set(), {"a"})
    assert use.sample(set(), {"a"})
    assert not use.sample({"a"}, {"a"})
    assert use.sample(set(), {"a"})  # the next gap needs confirmations of its own
    assert use.sample(set(), {"a"})
    assert use.sessions == 1


def test_a_place_that_was_removed_needs_no_confirmation(use: SampledUse) -> None:
    use.sample({"a", "b"}, {"a", "b"})
    assert not use.sample({"a"}, {"a"})
    assert use.sessions == 1


def test_a_fall_of_one_place_does_not_confirm_that_of_another(use: SampledUse) -> None:
    """One is free in two samples, then the other: neither was free three times."""
    use.sample({"a", "b"}, PLACES)
    for used in ({"b"}, {"b"}, {"a"}, {"a"}):
        assert use.sample(used, PLACES)
    assert use.sessions == 2


def test_nothing_is_known_until_each_place_was_in_use_or_is_confirmed_to_be_free(use: SampledUse) -> None:
    assert not use.known
    use.sample({"a"}, {"a", "b"})
    assert (use.sessions, use.known) == (1, False)
    use.sample(set(), {"a", "b"})
    assert (use.sessions, use.known) == (1, False)
    use.sample(set(), {"a", "b"})
    assert (use.sessions, use.known) == (1, True)


def test_a_vm_without_a_place_needs_no_confirmation(use: SampledUse) -> None:
    assert not use.sample(set(), set())
    assert use.known


def test_an_interrupted_confirmation_begins_again_and_what_is_confirmed_stays(use: SampledUse) -> None:
    for _ in range(3):
        use.sample({"a"}, {"a", "b"})
    use.sample(set(), {"a", "b"})
    use.sample(set(), {"a", "b"})
    use.interrupt()
    assert use.known
    assert use.sample(set(), {"a", "b"})
    assert (use.sessions, use.known) == (1, True)


def test_after_a_doubt_a_place_that_was_in_use_is_not_known_to_be_so(use: SampledUse) -> None:
    use.sample({"a"}, {"a"})
    use.doubt()
    for _ in range(2):
        use.sample(set(), {"a"})
        assert (use.sessions, use.known) == (1, False)
    use.sample(set(), {"a"})
    assert (use.sessions, use.known) == (0, True)


def test_after_a_doubt_nothing_is_known_and_what_was_in_use_counts(use: SampledUse) -> None:
    for _ in range(3):
        use.sample({"a"}, {"a", "b"})
    use.doubt()
    assert not use.known
    for _ in range(2):
        assert use.sample(set(), {"a", "b"})
        assert (use.sessions, use.known) == (1, False)
    assert not use.sample(set(), {"a", "b"})
    assert (use.sessions, use.known) == (0, True)


@given(SAMPLES)
def test_a_place_is_in_use_unless_the_last_samples_lack_it(samples: list[frozenset[str]]) -> None:
    use = SampledUse(needed=3)
    for number, sample in enumerate(samples, start=1):
        unconfirmed = use.sample(sample, PLACES)
        last = frozenset[str]().union(*samples[max(0, number - 3) : number])
        confirmed = PLACES - last if number >= 3 else frozenset()
        # What was ever in use counts until three samples in a row lack it.
        assert use.sessions == len(last)
        assert unconfirmed == bool(PLACES - sample - confirmed)
        assert use.known == (confirmed | last == PLACES)
