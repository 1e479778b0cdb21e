"""Compares what honest agents reported with what the companions showed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from testbed.promises import SHOWN_WITHIN


@dataclass(frozen=True)
class Said:
    """A report of an honest agent."""

    at: float
    sessions: int
    observed: bool


@dataclass(frozen=True)
class Shown:
    """A version of a companion. `idle`: it says that no viewer is connected."""

    at: float
    sessions: int
    observed: bool
    idle: bool

    def follows(self, said: Said) -> bool:
        """Return whether this is what follows from a report. An unknown number never lowers the number shown."""
        if said.observed:
            return self.observed and self.sessions == said.sessions and self.idle == (not said.sessions)
        return not self.observed and self.sessions >= said.sessions


def delays(said: Sequence[Said], shown: Sequence[Shown], end: float) -> list[float]:
    """Return for each report the seconds until the companion showed it, or what followed from a later one.

    A report that was not shown by `end` counts with the seconds until then. Both sequences are in the order of time.
    """
    return [_shown_at(said[index:], shown, end) - one.at for index, one in enumerate(said)]


def _shown_at(said: Sequence[Said], shown: Sequence[Shown], end: float) -> float:
    start = said[0].at
    before = [one for one in shown if one.at <= start][-1:]
    for version in [*before, *(one for one in shown if one.at > start)]:
        at = max(version.at, start)
        if any(version.follows(one) for one in said if one.at <= at):
            return at
    return end


def false_idles(said: Sequence[Said], shown: Sequence[Shown]) -> list[Shown]:
    """Return the versions that say that no viewer is connected, without a zero reported in the last SHOWN_WITHIN."""
    return [version for version in shown if version.idle and not _may_be_idle(said, version.at)]


def _may_be_idle(said: Sequence[Said], at: float) -> bool:
    past = [one for one in said if one.at <= at]
    recent = [one for one in past if one.at > at - SHOWN_WITHIN]
    in_force = [one for one in past if one.at <= at - SHOWN_WITHIN][-1:]
    return any(one.observed and not one.sessions for one in [*in_force, *recent])
