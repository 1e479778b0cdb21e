"""Computes the pauses of a loop that tries again: exponential backoff with full jitter and a floor.

Every pause has full jitter, the first one too: when a server restarts, all its clients lose it in the same millisecond.
The strategy is one of tenacity's, called by plain loops: each of them goes on until it is cancelled, and an attempt may
work for hours before it fails, which tenacity's own loop does not distinguish from one that never worked.
"""

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, wait_exponential
from tenacity.wait import wait_base

from servicestatus.clock import Uniform


@dataclass(frozen=True, slots=True)
class Policy:
    """How to wait: evenly drawn between `floor` and a ceiling, which doubles from `first` to `cap`. Seconds."""

    first: float
    cap: float
    floor: float = 0.0
    why: str = ""


class FullJitter(wait_base):
    """Waits between a policy's floor and its growing ceiling, evenly drawn."""

    def __init__(self, policy: Policy, uniform: Uniform) -> None:
        self._floor = policy.floor
        self._ceiling = wait_exponential(multiplier=policy.first, max=policy.cap)
        self._uniform = uniform

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait before the next attempt."""
        return self._uniform(self._floor, max(self._floor, self._ceiling(retry_state)))


class Backoff:
    """The pauses of one loop. They grow with each attempt that fails, until one works."""

    def __init__(self, uniform: Uniform) -> None:
        """`uniform` is the source of randomness."""
        self._uniform = uniform
        self._attempt = _first_attempt()

    def pause(self, policy: Policy) -> float:
        """Return the seconds to wait after an attempt that failed. `policy` may differ from attempt to attempt."""
        seconds = FullJitter(policy, self._uniform)(self._attempt)
        self._attempt.prepare_for_next_attempt()
        return seconds

    def reset(self) -> None:
        """Start again with the shortest pause: an attempt worked."""
        self._attempt = _first_attempt()


def _first_attempt() -> RetryCallState:
    return RetryCallState(Retrying(), None, (), {})
