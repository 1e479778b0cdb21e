"""Carries out what controller/decisions.py decides: marks companions, and removes those that nothing maintains.

Two replicas do the same at the same time, without a leader: a mark is a write with a resourceVersion, so the second of
two is refused, and says what the first has said. So nothing has to be handed over when a replica dies.

Before something is done, the API server is asked once more about the Lease or the VMI that it follows from: a watch may
be late, and what it shows then must not mark a whole node, nor mark what a handler that is back has corrected.

Where the answer shows what the watch has not shown, all is listed again. Such a watch may never catch up: after the API
server's data was restored from a backup, it begins at a version that the server has still to reach.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from controller.decisions import Action, Cause, Decisions, Key, Verb, VmiPlace
from controller.leases import Handler
from handler_service.kube import companion as companions
from handler_service.kube import leases
from handler_service.kube import vmi as vmis
from handler_service.kube.client import MERGE_PATCH, KubeClient, Object
from handler_service.kube.errors import ConflictError, KubeError, NotFoundError
from handler_service.kube.reflector import METADATA_WATCH
from servicestatus.clock import Clock, WallClock

log = logging.getLogger(__name__)

#: Seconds between two looks: a Lease's expiry is seen so late at most.
_TICK: Final = 1.0
#: Seconds until what has failed is tried again.
_RETRY: Final = 3.0
#: Seconds until a companion that was marked may be marked again.
_AGAIN: Final = 10.0
#: Seconds between two lists of everything, at least.
_LIST_AGAIN: Final = 30.0
#: Requests under way at once: more are not quicker, since a Python process is busy with 16.
_MAX_JOBS: Final = 16
#: Seconds that an expired Lease of a node without companions is kept: a node that is repaired comes back before.
_KEEP_LEASE: Final = 3600.0


class Marker:
    """Marks and removes."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        decisions: Decisions,
        clock: Clock,
        wall: WallClock,
        *,
        list_again: Callable[[], None],
    ) -> None:
        """`namespace` is that of the Leases; `clock` is that of the decisions.

        `list_again` is called when the watches show something else than the API server answers.
        """
        self._client = client
        self._namespace = namespace
        self._decisions = decisions
        self._clock = clock
        self._wall = wall
        self._list_again = list_again
        self._listed_at = float("-inf")
        self._not_before: dict[Key, float] = {}
        #: By companion, its version at the last attempt that another writer had superseded.
        self._superseded: dict[Key, str] = {}
        #: Companions and nodes whose trouble was logged, and nodes whose handler was logged to be away.
        self._failing: set[Key | str] = set()
        self._away: set[str] = set()
        #: Nodes whose Lease could not be read when it had expired: nothing is done about them in this round.
        self._unanswered: set[str] = set()
        #: Finished actions by verb, cause and outcome ("done", "superseded", "failed"), for metrics.
        self.actions: Counter[tuple[Verb, Cause, str]] = Counter()

    async def run(self) -> None:
        """Look, and act, until cancelled."""
        while True:
            await self.act()
            await asyncio.sleep(_TICK)

    async def act(self) -> None:
        """Do what is due, all of it."""
        now = self._clock()
        due = {_key(action): action for action in self._decisions.due(now)}
        self._not_before = {key: moment for key, moment in self._not_before.items() if moment > now}
        todo = [action for key, action in due.items() if key not in self._not_before]
        # Each replica in an order of its own, so that they meet at few companions.
        random.shuffle(todo)
        await self._confirm_leases(todo)
        await self._in_parallel([lambda one=action: self._carry_out(_key(one)) for action in todo])  # type: ignore[misc]
        await self._forget_unused()
        self._forget_logged()

    async def _in_parallel(self, jobs: list[Callable[[], Any]]) -> None:
        queue = iter(jobs)

        async def work() -> None:
            for job in queue:
                await job()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_MAX_JOBS, len(jobs))):
                group.create_task(work())

    # --- asking once more ---

    async def _confirm_leases(self, todo: list[Action]) -> None:
        self._unanswered.clear()
        nodes = {action.companion.label for action in todo if action.cause is Cause.HANDLER_AWAY}
        await self._in_parallel([lambda one=node: self._confirm_lease(one) for node in nodes])  # type: ignore[misc]

    async def _confirm_lease(self, node: str) -> None:
        try:
            found = leases.parse(await self._client.get(leases.path(self._namespace, node)))
        except NotFoundError:
            found = None
        except KubeError as error:
            self._unanswered.add(node)
            self._failed(node, error)
            return
        if found is not None and self._decisions.lease(found, self._clock()):
            self._doubt_watches()
        if self._decisions.leases.of(node, self._clock()) is Handler.AWAY and node not in self._away:
            self._away.add(node)
            log.warning("node %s: no handler renews its Lease; its companions are marked as not observed", node)

    async def _confirm_vmi(self, key: Key) -> None:
        """Raises KubeError."""
        path = f"/apis/kubevirt.io/v1/namespaces/{key.namespace}/virtualmachineinstances/{key.name}"
        try:
            place = place_of(await self._client.get(path, accept=METADATA_WATCH))
        except NotFoundError:
            place = None
        self._decisions.vmi(key, place, self._clock())

    # --- acting ---

    async def _carry_out(self, key: Key) -> None:
        action = self._decisions.action(key, self._clock())
        if action is None or (action.cause is Cause.HANDLER_AWAY and action.companion.label in self._unanswered):
            return
        try:
            if action.cause in (Cause.VM_MOVED, Cause.NO_VMI):
                await self._confirm_vmi(key)
                if action != self._decisions.action(key, self._clock()):
                    return
            await (self._mark(action) if action.verb is Verb.MARK else self._remove(action))
        except (ConflictError, NotFoundError):
            outcome = "superseded"  # by another writer: the watch shows what there is now
            if self._superseded.get(key) == action.companion.resource_version:
                self._doubt_watches()
            self._superseded[key] = action.companion.resource_version
        except KubeError as error:
            outcome = "failed"
            self._failed(key, error)
        else:
            outcome = "done"
            self._failing.discard(key)
        # Also where it was done: a handler without a Lease and the controller do not answer each other in a hot loop.
        self._not_before[key] = self._clock() + (_AGAIN if outcome == "done" else _RETRY)
        self.actions[action.verb, action.cause, outcome] += 1

    async def _mark(self, action: Action) -> None:
        body = companions.marked(action.companion, action.message, self._wall())
        answer = companions.parse(await self._client.patch(f"{_path(action)}/status", body, MERGE_PATCH))
        if answer is not None:
            self._decisions.companion(answer, self._clock())
        log.info("companion %s is marked as not observed: %s", _key(action), action.message)

    async def _remove(self, action: Action) -> None:
        await self._client.delete(_path(action), {"preconditions": {"uid": action.companion.uid}})
        self._decisions.companion_gone(_key(action))
        log.info("companion %s is removed: %s", _key(action), action.message)

    async def _forget_unused(self) -> None:
        for node in self._decisions.leases.forget_unused(self._decisions.nodes(), self._clock(), _KEEP_LEASE):
            try:
                await self._client.delete(leases.path(self._namespace, node), {})
            except KubeError as error:
                self._failed(node, error)

    def _failed(self, what: Key | str, error: KubeError) -> None:
        """Each new trouble, of a companion or of a node's Lease, once."""
        level = logging.DEBUG if what in self._failing else logging.WARNING
        self._failing.add(what)
        named = f"companion {what}" if isinstance(what, Key) else f"the Lease of node {what}"
        log.log(level, "%s: %s; trying again in %g s", named, error, _RETRY)

    def _doubt_watches(self) -> None:
        now = self._clock()
        if now >= self._listed_at + _LIST_AGAIN:
            self._listed_at = now
            log.info("the watches do not show what the API server answers; everything is listed again")
            self._list_again()

    def _forget_logged(self) -> None:
        """Forget the trouble of what does not exist any more, and a handler that is back."""
        self._superseded = {key: version for key, version in self._superseded.items() if self._decisions.has(key)}
        if not (self._failing or self._away):
            return
        away = set(self._decisions.away(self._clock()))
        self._away &= away
        self._failing = {
            one for one in self._failing if (self._decisions.has(one) if isinstance(one, Key) else one in away)
        }


def place_of(object_: Object) -> VmiPlace | None:
    """A VMI's place by its metadata; None when it has no UID."""
    metadata = object_.get("metadata") or {}
    uid = metadata.get("uid")
    node = (metadata.get("labels") or {}).get(vmis.NODE_LABEL, "")
    return VmiPlace(uid, node) if isinstance(uid, str) and isinstance(node, str) else None


def _key(action: Action) -> Key:
    return Key(action.companion.vmi.namespace, action.companion.vmi.name)


def _path(action: Action) -> str:
    vmi = action.companion.vmi
    return f"/apis/{companions.API_VERSION}/namespaces/{vmi.namespace}/{companions.PLURAL}/{vmi.name}"
