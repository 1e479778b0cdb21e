"""The promises of the services that are polled, checked against the records of a run.

A poll sees one moment, and what is shorter than the interval between two polls may be missing. So a number is compared
with what was true within the time that a report may be old.
"""

from typing import Final

from servicestatus import contract
from tests.simulation.oracles import PLACES, Violation, places
from tests.simulation.ports import CONDITIONS, SERVICES
from tests.simulation.scene import Scene
from tests.simulation.truth import Held, Truth

#: As for VNC: a report may be this old when a write that follows from it is committed.
_STALE: Final = contract.DEFAULT_SETTINGS.lease + 4.0
#: If nothing fails: the longest time of a poll with its confirmations, of a report, and of a write that waits its turn.
_CALM: Final = 4.0


def at_rest(world: Scene) -> list[Violation]:
    """NoPhantom, Converges and ObservedIsEarned: all has been quiet for ten seconds."""
    if world.vmi is None or not world.setting.ports:
        return []
    polled = world.setting.poll > 0 and world.setting.may_query
    found = []
    for service in SERVICES:
        truth = world.port_truths[service, world.vmi.uid].now
        low, high = (truth.low, truth.high) if polled else (0, 0)
        for place in places(world):
            number = world.port_actual[service, place, world.vmi.uid].now
            if number > high:
                found.append(
                    Violation("NoPhantom", f"{place} shows {number} of {service} at rest, and there are {high}")
                )
            elif number < low:
                found.append(
                    Violation("Converges", f"{place} shows {number} of {service} at rest, and there are {low}")
                )
        found += _observed(world, service, polled=polled)
    return found


def _observed(world: Scene, service: str, *, polled: bool) -> list[Violation]:
    """The companion says that a number is known if, and only if, the service is polled."""
    if "companion" not in PLACES[world.setting.publisher] or world.pod is None:
        return []
    status = world.conditions().get(CONDITIONS[service], "Unknown")
    if (status == "True") == polled:
        return []
    promise = "Converges" if polled else "ObservedIsEarned"
    return [Violation(promise, f"{service} is {'' if polled else 'not '}polled, and its condition is {status}")]


def in_hindsight(world: Scene) -> list[Violation]:
    """Return the violations in the records of a whole run."""
    oldest = (_CALM if world.setting.calm else _STALE) + world.setting.poll
    found = []
    for (service, place, uid), held in world.port_actual.items():
        truth = world.port_truths[service, uid]
        found += _true_lately(f"{place} of {service}", held, truth, oldest)
    return found


def _true_lately(place: str, held: Held, truth: Truth, oldest: float) -> list[Violation]:
    """UnknownIsNotZero and Ordered: a number falls only to one that was true lately, and rises only to one that was."""
    before = 0
    for at, value, by in held.values:
        if by and value < before:
            lately = [state for state in truth.since(at - oldest) if state.at <= at]
            if min(state.low for state in lately) > value:
                words = f"{place} fell to {value} at {at:.3f}, and there were more for {oldest:g} s"
                return [Violation("UnknownIsNotZero", words)]
        elif by and value > before and value > max(state.high for state in truth.states if state.at <= at):
            return [Violation("Ordered", f"{place} rose to {value} at {at:.3f}, which was never so")]
        before = value
    return []
