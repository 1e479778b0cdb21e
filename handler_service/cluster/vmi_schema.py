"""Finds out whether the VMI's schema has `status.serviceStatus.vncSessions`, and which fields of other services.

The publisher `auto` uses the answer, and it explains why the API server prunes the field. The CRD is large (KubeVirt's
has almost 1 MB), so only its metadata is watched, and the CRD is read after each change.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from handler_service.kube.client import KubeClient, Object
from handler_service.kube.errors import KubeError
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector
from handler_service.services import OTHERS

log = logging.getLogger(__name__)

CRD: Final = "virtualmachineinstances.kubevirt.io"
_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#: Seconds between tries to read the CRD.
_RETRY: Final = 5.0
#: The longest wait of the first writes for the first answer, in seconds. An answer takes a few milliseconds.
_FIRST_LOOK: Final = 5.0


class VmiSchema:
    """Follows the VMI's CRD."""

    def __init__(self, client: KubeClient, watch_seconds: float, changed: Callable[[], None]) -> None:
        """`changed` is called when the answer has changed."""
        self.knows_service_status: bool | None = None
        #: The other services that have a field.
        self.services: frozenset[int] = frozenset()
        self._client = client
        self._changed = changed
        self._outdated = asyncio.Event()
        self._first = asyncio.Event()
        selection = Selection(_PATH, {"fieldSelector": f"metadata.name={CRD}"}, metadata_only=True)
        self.watch = Reflector(client, selection, self, watch_seconds)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run())
            group.create_task(self._read_again())

    async def knows(self) -> bool | None:
        """Return whether the field is kept; None: this is not known. Waits for the first answer, at most 5 s."""
        await self.first_look()
        return self.knows_service_status

    async def first_look(self) -> None:
        """Wait for the first answer, at most 5 s: the handler can work without it."""
        try:
            async with asyncio.timeout(_FIRST_LOOK):
                await self._first.wait()
        except TimeoutError:
            self._first.set()  # one wait is enough: the server's answers to writes show a dropped field too

    def listed(self, objects: list[Object]) -> None:
        """Read the CRD, or note that it is not installed."""
        if objects:
            self._outdated.set()
        else:
            self._found(None)

    def changed(self, _object: Object) -> None:
        """Read the CRD again."""
        self._outdated.set()

    def deleted(self, _object: Object) -> None:
        """Note that the CRD is not installed."""
        self._found(None)

    async def _read_again(self) -> None:
        while True:
            await self._outdated.wait()
            self._outdated.clear()
            try:
                crd = await self._client.get(f"{_PATH}/{CRD}")
                self._found(has_service_status(crd), services_of(crd))
            except KubeError as error:
                log.warning("%s cannot be read: %s; trying again in %g s", CRD, error, _RETRY)
                await asyncio.sleep(_RETRY)
                self._outdated.set()

    def _found(self, knows: bool | None, services: frozenset[int] = frozenset()) -> None:
        self._first.set()
        if (knows, services) == (self.knows_service_status, self.services):
            return
        self.knows_service_status, self.services = knows, services
        words = {None: "is not installed", True: "has status.serviceStatus", False: "drops status.serviceStatus"}
        log.info("the VMI's schema %s", words[knows])
        self._changed()


def services_of(crd: Any) -> frozenset[int]:
    """Return the other services than VNC for which version `v1` of a CRD keeps the field."""
    return frozenset(one.number for one in OTHERS if has_service_status(crd, one.field))


def has_service_status(crd: Any, field: str = "vncSessions") -> bool:
    """Return whether version `v1` of a CRD keeps a field of `status.serviceStatus`."""
    versions = [version for version in _list(_get(crd, "spec", "versions")) if _get(version, "name") == "v1"]
    node = _get(versions[0], "schema", "openAPIV3Schema", "properties", "status") if versions else None
    for name in ("serviceStatus", field):
        if _get(node, "x-kubernetes-preserve-unknown-fields"):
            return True
        node = _get(node, "properties", name)
    return isinstance(node, dict)


def _get(object_: Any, *keys: str) -> Any:
    for key in keys:
        object_ = object_.get(key) if isinstance(object_, dict) else None
    return object_


def _list(object_: Any) -> list[Any]:
    return object_ if isinstance(object_, list) else []
