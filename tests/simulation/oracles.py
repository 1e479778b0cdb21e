"""The eight promises, checked against the records of a run."""

from dataclasses import dataclass
from typing import Final

from servicestatus import contract
from tests.simulation.ports import SERVICES
from tests.simulation.scene import Ack, Scene
from tests.simulation.truth import Held, State, Truth

#: A report may be this old when a write that follows from it is committed: a lease, and the longest time of a request
#: in transit.
_STALE: Final = contract.DEFAULT_SETTINGS.lease + 4.0
#: A handler may not have received what is as new as this: messages wait for each other when there are many.
_NEWS: Final = contract.DEFAULT_SETTINGS.delta_interval + 0.25
#: The longest that viewers of a migrated VM were seen to stay connected after its node had changed.
_SWITCH: Final = 0.3
#: A watch that was cut and is resumed reports others' writes after this time at the latest.
_HEARD: Final = 12.0
#: Rounding.
_SLACK: Final = 0.002


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept."""

    promise: str
    words: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.words}"


PLACES: Final = {
    "auto": ("companion", "vmi-status"),
    "companion": ("companion",),
    "vmi-status": ("vmi-status",),
}


def at_rest(world: Scene, doubts: bool) -> list[Violation]:
    """NoPhantom, Converges and ObservedIsEarned: all has been quiet for ten seconds.

    `doubts`: only a lower bound can be known.
    """
    if world.vmi is None:
        return []
    found = _observed_is_earned(world)
    if doubts:
        return found
    truth = world.truths[world.vmi.uid].now
    for place in places(world):
        published = world.actual[place, world.vmi.uid].now
        if published > truth.high:
            found.append(Violation("NoPhantom", f"{place} shows {published} at rest, and {truth.high} are connected"))
        elif published < truth.low:
            found.append(Violation("Converges", f"{place} shows {published} at rest, and {truth.low} are connected"))
    return found


def _observed_is_earned(world: Scene) -> list[Violation]:
    """ObservedIsEarned: a viewer that no event reports makes the value not observed."""
    pod = world.pod
    if pod is None or pod.agent is None or pod.libvirt.qemu is None or pod.libvirt.display.reported:
        return []
    if not pod.agent.state.observation.reason.observed:
        return []
    return [Violation("ObservedIsEarned", f"{pod.uid} is observed, and no event reports its viewers")]


def published(world: Scene) -> dict[str, int]:
    """Return what each place shows, of each service."""
    if world.vmi is None:
        return {}
    uid = world.vmi.uid
    shown = {place: world.actual[place, uid].now for place in places(world)}
    for service in SERVICES if world.setting.ports else ():
        shown |= {f"{place} of {service}": world.port_actual[service, place, uid].now for place in places(world)}
    return shown


def in_the_dark(world: Scene, before: dict[str, int]) -> list[Violation]:
    """UnknownIsNotZero: the agent has been dead for longer than a lease; `before` is what was shown until then."""
    if world.vmi is None or world.pod is None:
        return []  # it has ended, so all is known
    found = []
    for place, value in published(world).items():
        if value != before[place]:
            found.append(Violation("UnknownIsNotZero", f"{place} went from {before[place]} to {value} in the dark"))
        if place == "companion" and world.says_observed():
            found.append(Violation("UnknownIsNotZero", f"{place} says that it is observed, and there is no agent"))
    return found


def unvouched(world: Scene, before: dict[str, int]) -> list[Violation]:
    """NeverOutlives: no handler has vouched for 40 s; `before` is what was shown until then."""
    found = [
        Violation("NeverOutlives", f"{place} went from {before[place]} to {value}, and no handler vouched for it")
        for place, value in published(world).items()
        if value != before.get(place)
    ]
    if world.vmi is not None and world.says_observed():
        found.append(
            Violation("NeverOutlives", "the companion says that it is observed, and no handler vouches for it")
        )
    return found


def places(world: Scene) -> list[str]:
    """Return the places where the value must be."""
    return [place for place in PLACES[world.setting.publisher] if place == "companion" or world.api.knows_field]


def in_hindsight(world: Scene) -> list[Violation]:
    """Return the violations in the records of a whole run."""
    found = [Violation(*wrong) for wrong in world.wrong]
    for (place, uid), held in world.actual.items():
        truth = world.truths[uid]
        found += _ordered(place, held, truth)
        found += _unknown_is_not_zero(place, held, truth)
        if world.setting.calm:
            found += _spaced(place, held, truth, world.flips)
    for (handler, place, uid), times in world.writes.items():
        found += _bounded(f"{handler} writes {place} of {uid}", times)
    for ack in world.acks:
        found += _published(world, ack)
    return found


def _ordered(place: str, held: Held, truth: Truth) -> list[Violation]:
    """Each value was true at some moment, and the moments are in order."""
    index = 0
    for at, value, by in held.values:
        if not by:
            continue
        while index < len(truth.states) and not truth.states[index].floor <= value <= truth.states[index].high:
            index += 1
        if index == len(truth.states) or truth.states[index].at > at:
            return [Violation("Ordered", f"{place} shows {value} at {at:.3f}, which was not so, or was long ago")]
    return []


def _unknown_is_not_zero(place: str, held: Held, truth: Truth) -> list[Violation]:
    """A handler lowers a value only to one that was true while its reports were valid."""
    before = 0
    for at, value, by in held.values:
        if by and value < before:
            states = [state for state in truth.since(at - _STALE) if state.at <= at]
            if min(state.low for state in states) > value:
                words = f"{place} fell to {value} at {at:.3f}, and there were more for {_STALE:g} s"
                return [Violation("UnknownIsNotZero", words)]
        before = value
    return []


def _spaced(place: str, held: Held, truth: Truth, flips: list[float]) -> list[Violation]:
    """If nothing fails, a fall is published only when it is a second old."""
    before = 0
    for at, value, by in held.values:
        if by and value < before:
            fallen = _fallen_since(truth.states, before if value else 1, at)
            # The target's handler has only its own agents: for it, the viewers are gone with the switch.
            fallen = min([fallen, *(flip for flip in flips if fallen - _SWITCH < flip)])
            if at - fallen < 1.0 - _SLACK:
                return [Violation("BoundedWrites", f"{place} fell to {value} at {at:.3f}, too early")]
        before = value
    return []


def _fallen_since(states: list[State], held: int, at: float) -> float:
    """Return since when there have been fewer viewers than `held`, except in the last moments.

    A viewer that came and went between two messages was never reported.
    """
    since = end = at
    for state in reversed([state for state in states if state.at <= at]):
        if state.low < held:
            since = end = state.at
        elif state.at < at - _NEWS and end - state.at > _NEWS:
            break
    return since


def _bounded(words: str, times: list[tuple[float, float]]) -> list[Violation]:
    """One a second, and one of them may be a second early."""
    for (first, _), (_, third) in zip(times, times[2:], strict=False):
        if third - first < 1.0 - _SLACK:
            return [Violation("BoundedWrites", f"{words} three times from {first:.3f} to {third:.3f}")]
    return []


def _published(world: Scene, ack: Ack) -> list[Violation]:
    """Between the report and the ack, each place has shown what follows from it, or from a newer one."""
    if ack.pod.shared or ack.published not in ack.said:
        return []
    reports = [(sequence, *said) for sequence, said in ack.said.items() if sequence >= ack.published]
    exact = False
    words = f"{ack.published} of {ack.pod.uid} was said to be published at {ack.at:.3f}"
    for place in PLACES[world.setting.publisher]:
        held = world.actual[place, ack.pod.vmi.uid]
        seen = [
            sequence
            for sequence, said_at, sessions, observed in reports
            if said_at <= ack.at
            and any(
                value == sessions if observed else value >= sessions for value in held.between(said_at, ack.at, _HEARD)
            )
        ]
        if not seen and place in ack.places:
            return [Violation("PublishedMeansPublished", f"{words}; {place} never held it, or what came later")]
        exact = exact or ack.published in seen
    return [] if exact else [Violation("PublishedMeansPublished", f"{words}; no place ever held it")]
