"""Computes when a difference between the desired and the actual value is due, and how long a failure waits. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from handler_service.model import Outcome, OutcomeKind, PublishedValue
from handler_service.publishing.policy import Change, WritePolicy

#: Seconds, for the histogram of delays. Each wait of the policy (0.02, 0.3, 1, and the interval after a write) is a
#: little below a bound, so that a rule that is kept and one that is broken fall into different buckets.
DELAY_BOUNDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Difference:
    """How the desired value differs from the actual one."""

    change: Change
    #: Since when it has been this change, without a break.
    since: float
    #: Since when it has been this change or another one, except a fall.
    pending_since: float
    #: Since when the desired number has been zero, if it is.
    zero_since: float | None


def difference(before: Difference | None, change: Change, target: PublishedValue, now: float) -> Difference:
    """Return the difference by `change` to `target`; `before` is the difference until now."""
    since = before.since if before is not None and before.change is change else now
    fall = Change.FALL in (change, change if before is None else before.change)
    pending_since = now if before is None or fall else before.pending_since
    if target.sessions:
        return Difference(change, since, pending_since, None)
    known_zero = before is not None and before.zero_since is not None
    return Difference(change, since, pending_since, before.zero_since if before is not None and known_zero else now)


def earliest(policy: WritePolicy, found: Difference, next_write: float) -> float:
    """Return when `found` may be written. `next_write` is one interval after the last write."""
    # An agent whose reports alternate between two kinds of change starts the wait again with each report.
    latest = found.pending_since + policy.longest
    if found.change is Change.FIRST_RISE:
        # The exception: it may come up to one interval early, and the write after it waits that much longer.
        return max(min(found.since + policy.first_rise, latest), next_write - policy.interval)
    if found.change is Change.FALL:
        # A fall to zero waits its whole time from zero on, even if the number fell before.
        since = found.since if found.zero_since is None else found.zero_since
        return max(since + policy.fall, next_write)
    # A detail or a withdrawal waits as long as a rise: a lease that was missed by a moment need not be shown.
    return max(min(found.since + policy.rise, latest), next_write)


def retry_delay(
    policy: WritePolicy, outcome: Outcome, backoff: int, failing: int, jitter: Callable[[float], float]
) -> float:
    """Return the seconds to wait after a failure.

    `backoff` counts the failures before this one, `failing` the VMIs whose last job failed.
    """
    if outcome.retry_after is not None:
        return outcome.retry_after + jitter(policy.retry_base)
    if outcome.kind is OutcomeKind.PRUNED:
        return policy.pruned_retry
    longest = min(policy.retry_cap, max(policy.retry_soon, policy.retry_share * failing))
    return jitter(min(longest, policy.retry_base * 2.0 ** min(backoff, 16)))
