"""Follows the VMIs of this node, and assigns them to the handler.

There are two list-watches, because a label selector cannot express "or": one for VMIs that run here, and one for VMIs
that migrate to this node. A VMI that is in neither is not assigned. `status.nodeName` decides which handler publishes.
It names one node at any time, so two handlers own the same VMI only while a watch is late, and the preconditions of the
publishers cover that time.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from handler_service.kube import vmi as vmis
from handler_service.kube.client import KubeClient, Object
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector
from handler_service.kube.vmi import Vmi
from handler_service.model import Assignment, Reason, Unserved, VmiId
from handler_service.status_manager import StatusManager

#: The key of all pods of a VMI that are not served because there are too many. It is not a valid UID.
_PODS_LEFT_OUT: Final = ""


class _Selected:
    """Keeps the newest copies of one selection's VMIs, as the sink of its list-watch."""

    def __init__(self, node: str, changed: Callable[[VmiId], None]) -> None:
        self._node = node
        self.vmis: dict[VmiId, Vmi] = {}
        self.synced = False
        self._changed = changed

    def listed(self, objects: list[Object]) -> None:
        self.synced = True
        before, self.vmis = self.vmis, {vmi.id: vmi for vmi in map(self._parse, objects) if vmi is not None}
        for vmi in before.keys() | self.vmis.keys():
            if before.get(vmi) != self.vmis.get(vmi):
                self._changed(vmi)

    def changed(self, object_: Object) -> None:
        vmi = self._parse(object_)
        if vmi is not None:
            self.vmis[vmi.id] = vmi
            self._changed(vmi.id)

    def deleted(self, object_: Object) -> None:
        vmi = self._parse(object_)
        if vmi is not None and self.vmis.pop(vmi.id, None) is not None:
            self._changed(vmi.id)

    def _parse(self, object_: Object) -> Vmi | None:
        return vmis.parse(object_, self._node)


class NodeVmis:
    """Follows the VMIs of one node."""

    def __init__(
        self,
        client: KubeClient,
        node: str,
        watch_seconds: float,
        manager: StatusManager,
        *,
        changed: Callable[[VmiId, Vmi | None], None],
        recovered: Callable[[], None],
    ) -> None:
        """`changed` is called with the newest copy, or None for a VMI that is no longer assigned.

        The status manager is updated before that. `recovered` is called when the API server answers again after errors.
        """
        self._node = node
        self._manager = manager
        self._notify = changed
        self._running = _Selected(node, self._changed)
        self._arriving = _Selected(node, self._changed)
        self.watches = [
            Reflector(
                client,
                Selection(
                    vmis.PATH,
                    {"labelSelector": f"{label}={node}"},
                    missing="KubeVirt is not installed",
                    keep=lambda object_: vmis.reduced(object_, node),
                ),
                sink,
                watch_seconds,
                recovered=recovered,
            )
            for label, sink in (
                (vmis.NODE_LABEL, self._running),
                (vmis.MIGRATION_TARGET_LABEL, self._arriving),
            )
        ]

    @property
    def synced(self) -> bool:
        """Whether both lists have arrived; before that the VMIs are unknown."""
        return self._running.synced and self._arriving.synced

    @property
    def stale(self) -> bool:
        """Whether the known VMIs may be stale."""
        return any(watch.stale for watch in self.watches)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self.watches:
                group.create_task(watch.run())

    def renew(self) -> None:
        """List again now, because recent events of the watches may be wrong."""
        for watch in self.watches:
            watch.renew()

    def get(self, vmi: VmiId) -> Vmi | None:
        """Return the newest copy of a VMI, or None if it is not assigned."""
        copies = [found for found in (self._running.vmis.get(vmi), self._arriving.vmis.get(vmi)) if found is not None]
        return max(copies, key=lambda copy: copy.version, default=None)

    def pods(self) -> Mapping[str, VmiId]:
        """Return the launcher pods, by UID, that are or may be on this node."""
        return {uid: vmi.id for vmi in self._all() for uid in vmi.pods}

    def _all(self) -> Iterator[Vmi]:
        for id_ in self._running.vmis.keys() | self._arriving.vmis.keys():
            vmi = self.get(id_)
            if vmi is not None and not vmi.final:
                yield vmi

    def _changed(self, id_: VmiId) -> None:
        vmi = self.get(id_)
        if vmi is None:
            self._manager.set_unserved(id_, _PODS_LEFT_OUT, None)
            self._manager.unassign(id_)
        else:
            left_out = Unserved(Reason.TOO_MANY_PODS) if vmi.too_many_pods else None
            self._manager.set_unserved(id_, _PODS_LEFT_OUT, left_out)
            self._manager.assign(id_, Assignment(owned=vmi.node == self._node, final=vmi.final))
        self._notify(id_, vmi)
