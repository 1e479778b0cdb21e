"""What the controller follows: the handlers' Leases, the companions, and the metadata of the VMIs."""

import asyncio
from typing import Final

from controller.decisions import Decisions, Key
from controller.marker import place_of
from handler_service.kube import companion as companions
from handler_service.kube import leases
from handler_service.kube import vmi as vmis
from handler_service.kube.client import KubeClient, Object
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector
from servicestatus.clock import Clock

#: Objects in one page of a list: a Lease, a companion or a VMI's metadata has a few kilobytes as a rule, and there are
#: many. Pages of larger ones are smaller: listing.MAX_PAGE.
_SMALL_OBJECTS: Final = 500


class Watches:
    """Three list-watches that keep the decisions' facts up to date."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        watch_seconds: float,
        decisions: Decisions,
        clock: Clock,
    ) -> None:
        """`namespace` is that of the Leases."""
        selected_leases = Selection(
            leases.collection(namespace),
            {"labelSelector": companions.NODE_LABEL},
            page=_SMALL_OBJECTS,
            keep=_without_managers,
        )
        followed_leases = Reflector(
            client,
            selected_leases,
            _Leases(decisions, clock),
            watch_seconds,
            recovered=lambda: decisions.leases.outage_ended(clock(), followed_leases.outage),
        )
        selected_companions = Selection(companions.PATH, page=_SMALL_OBJECTS, keep=_without_managers)
        selected_vmis = Selection(vmis.PATH, metadata_only=True, page=_SMALL_OBJECTS, keep=_place_only)
        self.followed = [
            followed_leases,
            Reflector(client, selected_companions, _Companions(decisions, clock), watch_seconds),
            Reflector(client, selected_vmis, _Vmis(decisions, clock), watch_seconds),
        ]

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self.followed:
                group.create_task(one.run())

    def list_again(self) -> None:
        """List everything again."""
        for one in self.followed:
            one.renew()


class _Leases:
    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock

    def listed(self, objects: list[Object]) -> None:
        for object_ in objects:
            self.changed(object_)
        self._decisions.leases_synced = True

    def changed(self, object_: Object) -> None:
        lease = leases.parse(object_)
        if lease is not None:
            self._decisions.lease(lease, self._clock())

    def deleted(self, object_: Object) -> None:
        """A Lease that was deleted runs until it expires: its handler makes it again with its next renewal."""


class _Companions:
    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock

    def listed(self, objects: list[Object]) -> None:
        for key in set(self._decisions.companions()) - set(map(_key, objects)):
            self._decisions.companion_gone(key)
        for object_ in objects:
            self.changed(object_)
        self._decisions.companions_synced = True

    def changed(self, object_: Object) -> None:
        companion = companions.parse(object_)
        if companion is not None:
            self._decisions.companion(companion, self._clock())

    def deleted(self, object_: Object) -> None:
        self._decisions.companion_gone(_key(object_))


class _Vmis:
    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock

    def listed(self, objects: list[Object]) -> None:
        for key in set(self._decisions.vmis()) - set(map(_key, objects)):
            self._decisions.vmi(key, None, self._clock())
        for object_ in objects:
            self.changed(object_)
        self._decisions.vmis_synced = True
        self._decisions.refit(self._clock())

    def changed(self, object_: Object) -> None:
        self._decisions.vmi(_key(object_), place_of(object_), self._clock())

    def deleted(self, object_: Object) -> None:
        self._decisions.vmi(_key(object_), None, self._clock())


def _without_managers(object_: Object) -> Object:
    """Return the object without the record of its field managers, which is larger than all else in it."""
    return {**object_, "metadata": {key: value for key, value in object_["metadata"].items() if key != "managedFields"}}


def _place_only(object_: Object) -> Object:
    """Return of a VMI what `_key` and `place_of` read: its annotations alone may have 256 KiB."""
    metadata = object_["metadata"]
    kept = {key: metadata[key] for key in ("namespace", "name", "uid") if key in metadata}
    labels = metadata.get("labels") or {}
    return {"metadata": {**kept, "labels": {key: labels[key] for key in (vmis.NODE_LABEL,) if key in labels}}}


def _key(object_: Object) -> Key:
    metadata = object_["metadata"]
    return Key(metadata["namespace"], metadata["name"])
