"""Serves ServiceStatusService: read-only, from the status manager's memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from handler_service.admin import status_messages
from handler_service.model import VmiId
from handler_service.status_manager import StatusManager
from servicestatus.addresses import Address
from servicestatus.admin_server import AdminServer
from servicestatus.v1 import service_status_service_pb2 as pb
from servicestatus.v1 import service_status_service_pb2_grpc as pb_grpc

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ServiceStatusService"].full_name

#: Each watcher costs a copy of every change; a person and a few tools need no more than 16.
MAX_WATCHERS: Final = 16
#: Seconds in which a watch sends a VMI at most once. A VMI with 256 identified sessions takes 0.5 ms to send, and its
#: agent may change it 40 times a second; sixty such agents would take a whole core for one watcher.
WATCH_INTERVAL: Final = 1.0
#: What to call next, at the end of an error.
_LIST_ALL: Final = "ListServiceStatuses shows the VMIs of this handler"


class StatusService(pb_grpc.ServiceStatusServiceServicer):
    """Answers the calls of the handler's debug API."""

    def __init__(self, manager: StatusManager, wall: status_messages.Wall) -> None:
        """`wall` converts the status manager's monotonic time to wall time."""
        self._manager = manager
        self._wall = wall
        self._watchers: set[asyncio.Event] = set()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End all watches because the handler stops."""
        self._stopped.set()
        for wake in self._watchers:
            wake.set()

    async def GetServiceStatus(  # noqa: N802  # gRPC's name
        self, request: pb.GetServiceStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetServiceStatusResponse:
        """Return one VMI. If its name is served under two UIDs, return the one whose agent reported last."""
        if not (request.namespace and request.name):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"namespace and name must be given; {_LIST_ALL}")
        found = [v for v in self._vmis(request.namespace) if v.name == request.name]
        if not found:
            name = f"{request.namespace}/{request.name}"
            await context.abort(grpc.StatusCode.NOT_FOUND, f"this handler has no endpoint of {name}; {_LIST_ALL}")
        return pb.GetServiceStatusResponse(status=self._status(max(found, key=self._last_seen)))

    async def ListServiceStatuses(  # noqa: N802  # as above
        self, request: pb.ListServiceStatusesRequest, _context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListServiceStatusesResponse:
        """Return all VMIs."""
        return pb.ListServiceStatusesResponse(statuses=[self._status(vmi) for vmi in self._vmis(request.namespace)])

    async def WatchServiceStatuses(  # noqa: N802  # as above
        self, request: pb.WatchServiceStatusesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.WatchServiceStatusesResponse]:
        """Stream all VMIs, then each VMI that changes. Changes that wait for the next interval are merged."""
        if len(self._watchers) >= MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {MAX_WATCHERS} watchers; {_LIST_ALL}")
        waiting: dict[VmiId, None] = dict.fromkeys(self._vmis(request.namespace))
        wake = asyncio.Event()

        def changed(vmi: VmiId) -> None:
            if request.namespace in ("", vmi.namespace):
                waiting[vmi] = None
                wake.set()

        self._watchers.add(wake)
        self._manager.watch(changed)
        try:
            while not self._stopped.is_set():
                wake.clear()
                for vmi in list(waiting):
                    del waiting[vmi]
                    yield self._watched(vmi)
                with suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_INTERVAL):
                        await self._stopped.wait()
                await wake.wait()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the handler stops")
        finally:
            self._watchers.discard(wake)
            self._manager.unwatch(changed)

    def _watched(self, vmi: VmiId) -> pb.WatchServiceStatusesResponse:
        if vmi not in self._manager.vmis():
            reference = pb.VmiServiceStatus(vmi=status_messages.reference(vmi))
            return pb.WatchServiceStatusesResponse(status=reference, removed=True)
        return pb.WatchServiceStatusesResponse(status=self._status(vmi))

    def _last_seen(self, vmi: VmiId) -> float:
        return max((entry.last_seen or 0.0 for entry in self._manager.entries(vmi)), default=0.0)

    def _vmis(self, namespace: str) -> list[VmiId]:
        return [vmi for vmi in self._manager.vmis() if namespace in ("", vmi.namespace)]

    def _status(self, vmi: VmiId) -> pb.VmiServiceStatus:
        return status_messages.vmi_status(self._manager, vmi, self._wall)


def admin_server(socket: Path, service: StatusService, address: Address | None = None) -> AdminServer:
    """Return the server of the handler's debug API."""

    def add(server: Any) -> None:
        pb_grpc.add_ServiceStatusServiceServicer_to_server(service, server)

    return AdminServer(socket, SERVICE, add, address, end_watches=service.stop)
