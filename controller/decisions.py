"""What is to be done about each companion: leave it, mark it, or remove it. Pure; `now` is monotonic seconds.

A companion is right as long as a handler vouches for it, and that handler is the one of the VMI's node. The times:
- A Lease expires 30 s after its last renewal; then the node's companions are marked at once.
- A VMI that has moved belongs to the handler of its new node, which takes the companion over within a second. After
  20 s the controller marks it, whatever the former node's handler does.
- A companion without its VMI, or one that a handler without companions has left behind, is removed after 30 s: the
  garbage collector, or a handler that is being replaced, comes first. If a finalizer keeps it, it is marked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from controller.leases import Handler, HandlerLeases
from handler_service.kube.companion import Companion, is_marked
from handler_service.kube.leases import DURATION, HandlerLease

#: Seconds that a VMI's new handler has to take its companion over.
MOVED: Final = 20.0
#: Seconds until a companion that no handler maintains is removed.
UNMAINTAINED: Final = 30.0


class Key(NamedTuple):
    """Which companion, and which VMI: they have the same name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class VmiPlace(NamedTuple):
    """A VMI, as far as it matters here."""

    uid: str
    node: str


class Verb(Enum):
    """What is done about a companion."""

    MARK = "mark"
    REMOVE = "remove"


class Cause(Enum):
    """Why something is done."""

    HANDLER_AWAY = "handler_away"
    VM_MOVED = "vm_moved"
    NO_VMI = "no_vmi"
    NOT_PUBLISHED = "not_published"


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do now."""

    verb: Verb
    cause: Cause
    companion: Companion
    #: For people.
    message: str


class Decisions:
    """The companions, VMIs and Leases of a cluster, and what follows from them."""

    def __init__(self) -> None:
        """Nothing is known, and nothing is decided before `companions_synced`."""
        self.leases = HandlerLeases()
        self.leases_synced = False
        self.companions_synced = False
        #: Until then nothing follows from a VMI that is not there.
        self.vmis_synced = False
        self._companions: dict[Key, Companion] = {}
        self._by_node: dict[str, set[Key]] = {}
        self._vmis: dict[Key, VmiPlace] = {}
        #: Companions that do not fit their VMI, or whose node's handler writes none, and since when.
        self._misfits: dict[Key, tuple[Cause, float]] = {}
        #: The nodes whose handler was there and wrote no companions when last asked.
        self._writes_none: set[str] = set()

    # --- what is seen ---

    def companion(self, companion: Companion, now: float) -> None:
        """A companion as the API server has it."""
        key = Key(companion.vmi.namespace, companion.vmi.name)
        self._unindex(key)
        self._companions[key] = companion
        self._by_node.setdefault(companion.label, set()).add(key)
        self._fit(key, now)

    def companion_gone(self, key: Key) -> None:
        """There is none of that name any more."""
        self._unindex(key)
        self._companions.pop(key, None)
        self._misfits.pop(key, None)

    def vmi(self, key: Key, place: VmiPlace | None, now: float) -> None:
        """A VMI as the API server has it; None when it is gone."""
        if place is None:
            self._vmis.pop(key, None)
        else:
            self._vmis[key] = place
        self._fit(key, now)

    def lease(self, lease: HandlerLease, now: float) -> bool:
        """A Lease as the API server has it; returns whether it was renewed since it was seen last."""
        return self.leases.seen(lease, now)

    def refit(self, now: float) -> None:
        """The VMIs were listed: what was not decided without them is decided now."""
        for key in self._companions:
            self._fit(key, now)

    # --- what follows ---

    def due(self, now: float) -> Iterator[Action]:
        """What is to be done now."""
        if not (self.leases_synced and self.companions_synced):
            return
        for node in list(self._by_node):
            yield from self._of_node(node, now)
        for key, (cause, since) in list(self._misfits.items()):
            action = self._of_misfit(self._companions[key], cause, since, now)
            if action is not None:
                yield action

    def action(self, key: Key, now: float) -> Action | None:
        """What is to be done about one companion: asked once more before it is done."""
        companion = self._companions.get(key)
        if companion is None:
            return None
        if self.leases.of(companion.label, now) is Handler.AWAY and not is_marked(companion):
            return _mark(companion, Cause.HANDLER_AWAY)
        if key not in self._misfits:
            return None
        return self._of_misfit(companion, *self._misfits[key], now)

    # --- questions ---

    def nodes(self) -> set[str]:
        """The nodes that companions or VMIs are on."""
        return set(self._by_node) | {place.node for place in self._vmis.values()}

    def away(self, now: float) -> list[str]:
        """The nodes that have companions and no handler that vouches for them."""
        return [node for node in list(self._by_node) if self.leases.of(node, now) is Handler.AWAY]

    def marked(self) -> int:
        """How many companions are marked."""
        return sum(map(is_marked, self._companions.values()))

    def companions(self) -> list[Key]:
        """All there are."""
        return list(self._companions)

    def has(self, key: Key) -> bool:
        """Whether there is a companion of that name."""
        return key in self._companions

    def vmis(self) -> list[Key]:
        """All there are."""
        return list(self._vmis)

    # --- inside ---

    def _of_node(self, node: str, now: float) -> Iterator[Action]:
        state = self.leases.of(node, now)
        if state is Handler.AWAY:
            for key in self._by_node[node]:
                if not is_marked(self._companions[key]):
                    yield _mark(self._companions[key], Cause.HANDLER_AWAY)
        elif (state is Handler.WRITES_NONE) != (node in self._writes_none):
            self._writes_none ^= {node}
            for key in self._by_node[node]:
                self._fit(key, now)

    def _of_misfit(self, companion: Companion, cause: Cause, since: float, now: float) -> Action | None:
        if cause is Cause.VM_MOVED:
            return _mark(companion, cause) if now >= since + MOVED and not is_marked(companion) else None
        if now < since + UNMAINTAINED or (companion.deleting and is_marked(companion)):
            return None
        return _mark(companion, cause) if companion.deleting else _remove(companion, cause)

    def _fit(self, key: Key, now: float) -> None:
        """Work out whether the companion fits its VMI and its node, and since when it does not."""
        companion = self._companions.get(key)
        if companion is None:
            return
        cause = self._misfit(companion, key, now)
        if cause is None:
            self._misfits.pop(key, None)
        elif key not in self._misfits or self._misfits[key][0] is not cause:
            self._misfits[key] = cause, now

    def _misfit(self, companion: Companion, key: Key, now: float) -> Cause | None:
        if self.vmis_synced:
            place = self._vmis.get(key)
            if place is None or place.uid != companion.vmi.uid:
                return Cause.NO_VMI
            if place.node != companion.label:
                return Cause.VM_MOVED
        if self.leases.of(companion.label, now) is Handler.WRITES_NONE:
            return Cause.NOT_PUBLISHED
        return None

    def _unindex(self, key: Key) -> None:
        known = self._companions.get(key)
        if known is None:
            return
        keys = self._by_node[known.label]
        keys.discard(key)
        if not keys:
            del self._by_node[known.label]


def _mark(companion: Companion, cause: Cause) -> Action:
    return Action(Verb.MARK, cause, companion, _message(companion, cause))


def _remove(companion: Companion, cause: Cause) -> Action:
    return Action(Verb.REMOVE, cause, companion, _message(companion, cause))


def _message(companion: Companion, cause: Cause) -> str:
    match cause:
        case Cause.HANDLER_AWAY:
            return f"node {companion.label}: its handler has not renewed its Lease for {DURATION} s"
        case Cause.VM_MOVED:
            return f"the VM has left node {companion.label}, and no handler of its new node has written since"
        case Cause.NO_VMI:
            return "its VMI does not exist"
        case Cause.NOT_PUBLISHED:
            return f"the handler of node {companion.label} publishes no companions"
