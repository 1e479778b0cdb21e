"""Serves the VMs of `--endpoints-dir`, as their agents come and go, on a host without a cluster."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from handler_service.endpoints.pod_endpoints import PodEndpoints
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.endpoints.vm_directories import NAMESPACE, VmDirectories
from handler_service.model import Assignment, VmiId
from handler_service.status_manager import StatusManager
from servicestatus import contract


class HostEndpoints:
    """Keeps an endpoint for each directory.

    A VM whose directory is gone stays assigned, so that its document says that no agent reports.
    """

    def __init__(
        self,
        directories: VmDirectories,
        manager: StatusManager,
        settings: contract.StreamSettings,
        version: str,
        sockets: PrivateSockets,
    ) -> None:
        """Serve nothing before run()."""
        self._directories = directories
        self._manager = manager
        self._endpoints = PodEndpoints(directories, manager, settings, version, sockets)
        self._looked = False

    async def __aenter__(self) -> Self:
        """Bind nothing yet."""
        self._endpoints.set_pods(self._vms)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving. The published values stay."""
        await self._endpoints.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._endpoints.run()

    def ready(self) -> bool:
        """Return whether the directories were read."""
        return self._looked

    def api(self) -> None:
        """Return None: there is no API server."""

    def drain(self, grace: float) -> None:
        """Send DrainNotice to all agents."""
        self._endpoints.drain(grace)

    def _vms(self) -> Mapping[str, VmiId]:
        vms = {name: VmiId(NAMESPACE, name, "") for name in self._directories.names()}
        for vmi in vms.values():
            self._manager.assign(vmi, Assignment(owned=True))
        self._looked = True
        return vms
