"""The token bucket, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicestatus.rate_limit import TokenBucket


def taken(bucket: TokenBucket, now: float) -> int:
    """How many tokens can be taken at `now`."""
    number = 0
    while bucket.take(now):
        number += 1
    return number


def test_a_new_bucket_is_full() -> None:
    """A burst may come at once, and not one more."""
    assert taken(TokenBucket(8, 0.25), 100.0) == 8


def test_after_a_burst_one_token_comes_each_interval() -> None:
    """What is taken comes back one by one."""
    bucket = TokenBucket(2, 0.25)
    assert taken(bucket, 10.0) == 2
    assert not bucket.take(10.2)
    assert bucket.take(10.25)
    assert not bucket.take(10.3)
    assert bucket.take(10.5)


def test_a_rest_fills_it_to_the_burst_and_no_further() -> None:
    """A long calm does not save up more than a burst."""
    bucket = TokenBucket(3, 1.0)
    taken(bucket, 0.0)
    assert taken(bucket, 1_000.0) == 3


def test_ready_at_is_now_while_there_are_tokens() -> None:
    """An available token needs no wait."""
    bucket = TokenBucket(2, 1.0)
    assert bucket.ready_at(5.0) == 5.0
    bucket.take(5.0)
    assert bucket.ready_at(5.0) == 5.0
    bucket.take(5.0)
    assert bucket.ready_at(5.0) == 6.0


def test_a_refused_take_costs_nothing() -> None:
    """Asking too early does not push the next token away."""
    bucket = TokenBucket(1, 1.0)
    bucket.take(0.0)
    for tenth in range(10):
        assert not bucket.take(tenth / 10)
    assert bucket.take(1.0)


@pytest.mark.parametrize(("burst", "interval"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -0.5)])
def test_a_bucket_that_lets_nothing_or_everything_pass_is_refused(burst: int, interval: float) -> None:
    """Such a bucket is a mistake of its maker."""
    with pytest.raises(ValueError, match="burst >= 1 and interval > 0"):
        TokenBucket(burst, interval)


@given(
    burst=st.integers(1, 20),
    interval=st.floats(0.001, 100.0),
    steps=st.lists(st.floats(0.0, 50.0), max_size=60),
)
def test_no_span_of_time_holds_more_than_its_share(burst: int, interval: float, steps: list[float]) -> None:
    """In t seconds at most burst + t / interval tokens are taken, wherever the span begins."""
    bucket, now = TokenBucket(burst, interval), 0.0
    times: list[float] = []
    for step in steps:
        now += step
        times += [now] * taken(bucket, now)
    for first in range(len(times)):
        for last in range(first, len(times)):
            span = times[last] - times[first]
            assert last - first + 1 <= burst + span / interval + 1e-3


@given(burst=st.integers(1, 5), interval=st.floats(0.001, 10.0), start=st.floats(0.0, 1e7))
def test_who_sleeps_until_ready_finds_a_token(burst: int, interval: float, start: float) -> None:
    """Rounding never makes a sleeper come a moment too early, and come again, and again."""
    bucket, now = TokenBucket(burst, interval), start
    for _ in range(burst + 5):
        now = bucket.ready_at(now)
        assert bucket.take(now)
