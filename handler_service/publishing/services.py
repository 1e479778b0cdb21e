"""Splits a VMI's value by service, since each service rises, falls and waits by itself. Pure.

A write is due as soon as one service's change is. It carries the services whose wait is over and leaves the others as
they are: an attached USB device must not publish a fall of VNC sessions that a takeover reverses a moment later.
"""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Final

from handler_service.model import DesiredStatus, PublishedValue, ServiceStatus, ServiceValue
from handler_service.publishing.policy import WritePolicy, change_of
from handler_service.publishing.timing import Difference, difference, earliest
from servicestatus.rate_limit import TOLERANCE
from servicestatus.v1 import sessions_pb2 as types

#: The service of a value's own number and detail.
_MAIN: Final = int(types.SERVICE_VNC)
_NOTHING: Final = PublishedValue(0)

#: By service, how the desired value differs from the actual one.
Differences = Mapping[int, Difference]


def target(
    desired: DesiredStatus, detail: Hashable, services: Mapping[int, Hashable], actual: PublishedValue
) -> PublishedValue | None:
    """Return the value to write; None to leave the actual one.

    `detail` is VNC's, and `services` has that of each other service that the publisher shows. The rules hold for each
    service: unknown never lowers a number, and nothing but a rise is written until the desired status is synced.
    """
    main = _shown(desired, desired, detail, actual)
    if not (desired.services or actual.services):  # nearly every VMI
        return main if desired.synced or main != actual else None
    parts = _parts(actual)
    for number, of_service in services.items():
        held = parts.get(number, _NOTHING)
        parts[number] = _shown(desired, desired.service(number), of_service, held)
    parts[_MAIN] = main
    value = _joined(parts)
    return None if value == actual and not desired.synced else value


def _shown(
    desired: DesiredStatus, status: DesiredStatus | ServiceStatus, detail: Hashable, held: PublishedValue
) -> PublishedValue:
    """Return what to show of one service in place of `held`."""
    if not desired.synced and status.sessions <= held.sessions:
        return PublishedValue(held.sessions, held.detail) if held.services else held
    return PublishedValue(status.sessions if status.observed else max(status.sessions, held.sessions), detail)


def differences(
    before: Differences,
    wanted: PublishedValue,
    actual: PublishedValue,
    shows_idle: Callable[[PublishedValue], bool],
    now: float,
) -> Differences:
    """Return how `wanted` differs from `actual`; `before` are the differences until now."""
    ours, theirs = _parts(wanted), _parts(actual)
    found: dict[int, Difference] = {}
    for number in ours if len(ours) == len(theirs) == 1 else ours | theirs:
        one, other = ours.get(number, _NOTHING), theirs.get(number, _NOTHING)
        if one != other:
            found[number] = difference(before.get(number), change_of(one, other, shows_idle), one, now)
    return found


def ripe(policy: WritePolicy, found: Differences, now: float) -> frozenset[int]:
    """Return the services whose change has waited for as long as its kind has to.

    The interval between two writes of the VMI is not part of that wait: a write that is made anyway carries the change.
    """
    waited = (number for number, one in found.items() if earliest(policy, one, float("-inf")) <= now + TOLERANCE)
    return frozenset(waited) or frozenset(found)


def selected(wanted: PublishedValue, actual: PublishedValue, numbers: Collection[int]) -> PublishedValue:
    """Return `actual` with the services `numbers` as they are in `wanted`.

    An object without VNC's detail shows nothing yet, and none is written without it. It gets that too, which lowers no
    number.
    """
    ours, parts = _parts(wanted), _parts(actual)
    if actual.detail is None and _MAIN not in numbers:
        parts[_MAIN] = PublishedValue(max(wanted.sessions, actual.sessions), wanted.detail)
    return _joined(parts | {number: ours.get(number, _NOTHING) for number in numbers})


def _parts(value: PublishedValue) -> dict[int, PublishedValue]:
    parts = {_MAIN: PublishedValue(value.sessions, value.detail) if value.services else value}
    for number, sessions, detail in value.services:
        parts[number] = PublishedValue(sessions, detail)
    return parts


def _joined(parts: Mapping[int, PublishedValue]) -> PublishedValue:
    main = parts[_MAIN]
    others = (
        ServiceValue(number, part.sessions, part.detail)
        for number, part in sorted(parts.items())
        if number != _MAIN and part != _NOTHING
    )
    return PublishedValue(main.sessions, main.detail, tuple(others))
