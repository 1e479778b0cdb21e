"""Connects the watches, the pods' sockets and the publishers of a handler in a cluster."""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

from handler_service.cluster.companion_sink import CompanionSink
from handler_service.cluster.node_lease import NodeLease
from handler_service.cluster.node_vmis import NodeVmis
from handler_service.cluster.vmi_schema import VmiSchema
from handler_service.cluster.vouching import Vouching
from handler_service.config import ClusterConfig
from handler_service.endpoints.pod_endpoints import PodEndpoints
from handler_service.endpoints.pod_sockets import OpenerConnection, PodSockets
from handler_service.endpoints.private_sockets import PrivateSockets
from handler_service.events.recorder import EventRecorder
from handler_service.events.writer import EventWriter
from handler_service.kube import companion as companions
from handler_service.kube.client import KubeClient
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector
from handler_service.kube.vmi import Vmi
from handler_service.model import VmiId
from handler_service.publishers.companion import CompanionPublisher
from handler_service.publishers.vmi_status import VmiStatusPublisher
from handler_service.publishing.worker import PublishWorker, publish_worker
from handler_service.stats import ApiStats
from handler_service.status_manager import StatusManager
from servicestatus import contract

#: Seconds in which API servers may still use an old schema of the VMI. A watch that is open during the change returns
#: VMIs of the old schema until the server ends it, which took 2 s when measured.
_SCHEMA_LAG: Final = 5.0


def cluster(
    config: ClusterConfig,
    manager: StatusManager,
    settings: contract.StreamSettings,
    version: str,
    sockets: PrivateSockets,
) -> "Cluster":
    """Return the cluster part of a handler with this configuration."""
    client = KubeClient(config.kubeconfig, config.api_timeout, f"vmi-service-status-handler/{version}")
    opener = PodSockets(OpenerConnection(config.opener))
    pods = PodEndpoints(opener, manager, settings, version, sockets)
    return Cluster(config, manager, client, pods)


class Cluster:
    """Runs all parts of a node's handler that need the API server."""

    def __init__(self, config: ClusterConfig, manager: StatusManager, client: KubeClient, pods: PodEndpoints) -> None:
        """Open nothing before the context is entered; its end closes `client` and `pods`."""
        self._config = config
        self._manager = manager
        self._client = client
        self._pods = pods
        self._vmis = NodeVmis(
            self._client,
            config.node,
            config.watch_timeout,
            manager,
            changed=self._vmi_changed,
            recovered=self._recovered,
        )
        self._pods_of: dict[VmiId, frozenset[str]] = {}
        self._schema = VmiSchema(self._client, config.watch_timeout, self._schema_changed)
        self._schema_news = asyncio.Event()
        self._vmi_status: PublishWorker | None = None
        self._companion: PublishWorker | None = None
        self._companions: Reflector | None = None
        self._vouching = Vouching(manager.desired_status, manager.clock)
        manager.watch(self._vouching.changed)
        self._status_publisher = VmiStatusPublisher(
            self._client, config.node, self._vmis.get, self._schema.knows, lambda: self._schema.services
        )
        self._companion_publisher = CompanionPublisher(
            self._client, config.node, lambda: not self._vmis.stale, written=self._vouching.shown
        )
        self._choose_publishers()
        self._lease = self._node_lease(config)
        self._events = EventWriter(self._client, config.node)
        self._recorder = EventRecorder(manager, self._events.write) if config.events else None

    async def __aenter__(self) -> Self:
        """Load the credentials; raises ConfigurationError."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pods.close()
        await self._client.__aexit__(kind, error, trace)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._vmis.run())
            group.create_task(self._pods.run())
            if self._recorder is not None:
                group.create_task(self._recorder.run())
            if self._vmi_status is not None:
                group.create_task(self._schema.run())
                group.create_task(self._renew())
            if self._companions is not None:
                group.create_task(self._companions.run())
            if self._lease is not None:
                group.create_task(self._lease.run())

    def ready(self) -> bool:
        """Return whether this node's VMIs were listed, and new launcher pods can be served."""
        return self._vmis.synced and self._manager.opener_answers is True

    def api(self) -> ApiStats:
        """Return the statistics of requests to the API server."""
        followed = [*self._vmis.watches]
        followed += [self._schema.watch] if self._vmi_status is not None else []
        followed += [self._companions] if self._companions is not None else []
        return ApiStats(self._client.stats, followed, self._events.stats)

    def drain(self, grace: float) -> None:
        """Send DrainNotice to all agents."""
        self._pods.drain(grace)

    def _choose_publishers(self) -> None:
        # The companion first: if the VMI drops the field, only the companion has the value.
        if self._config.publisher in ("auto", "companion"):
            self._companion = publish_worker(self._companion_publisher, self._manager.clock, self._manager.answered)
            self._companions = self._follow_companions(self._companion)
            self._manager.add_worker(self._companion)
        if self._config.publisher in ("auto", "vmi-status"):
            self._vmi_status = publish_worker(self._status_publisher, self._manager.clock, self._manager.answered)
            self._manager.add_worker(self._vmi_status)

    def _follow_companions(self, companion: PublishWorker) -> Reflector:
        selection = Selection(
            companions.PATH,
            {"labelSelector": f"{companions.NODE_LABEL}={self._config.node}"},
            missing=f"the CRD of {companions.KIND} is not installed",
        )
        leased = self._config.lease_namespace is not None
        sink = CompanionSink(self._companion_publisher, companion, self._vouching, leased=leased)
        return Reflector(self._client, selection, sink, self._config.watch_timeout)

    def _node_lease(self, config: ClusterConfig) -> NodeLease | None:
        if config.lease_namespace is None:
            return None
        return NodeLease(
            self._client,
            config.lease_namespace,
            config.node,
            holder=socket.gethostname(),
            publishes=[worker.publisher.name for worker in self._manager.workers],
            vouches=self._follows,
            replaced=self._read_again,
        )

    def _follows(self) -> bool:
        """Return whether everything that decides about a value is seen as it is, and no companion claims otherwise."""
        companions_followed = self._companions is None or (self._companions.lists > 0 and not self._companions.stale)
        vmis_followed = self._vmis.synced and not self._vmis.stale
        return vmis_followed and companions_followed and self._vouching.vouches()

    def _read_again(self) -> None:
        """List everything again: what was seen and written may be gone from the API server's data."""
        self._status_publisher.distrust()
        self._companion_publisher.distrust()
        self._vmis.renew()
        for watch in (self._companions, self._schema.watch):
            if watch is not None:
                watch.renew()

    def _vmi_changed(self, id_: VmiId, vmi: Vmi | None) -> None:
        self._look_for_pods(id_, vmi)
        if vmi is None:
            self._status_publisher.forget(id_)
            self._companion_publisher.forget(id_)
        elif self._vmi_status is not None and not self._status_publisher.stale(vmi):
            self._vmi_status.seen(id_, vmi.published)

    def _look_for_pods(self, id_: VmiId, vmi: Vmi | None) -> None:
        """Poll the pods if those of a VMI changed: most changes, such as the handler's own, leave them unchanged."""
        pods: frozenset[str] = frozenset() if vmi is None or vmi.final else vmi.pods
        if pods != self._pods_of.get(id_, frozenset()):
            self._pods.set_pods(self._vmis.pods)
        if pods:
            self._pods_of[id_] = pods
        else:
            self._pods_of.pop(id_, None)

    def _recovered(self) -> None:
        """Retry failed writes at once, because the API server answers again."""
        for one in (self._companion, self._vmi_status):
            if one is not None:
                one.retry()

    def _schema_changed(self) -> None:
        self._schema_news.set()
        if self._vmi_status is not None:
            for vmi in self._vmi_status.vmis():  # the publisher may show other services now
                self._vmi_status.set_desired(vmi, self._manager.desired_status(vmi))
            self._vmi_status.retry()

    async def _renew(self) -> None:
        """List the VMIs again after each change of the schema.

        Around the change, a watch may return VMIs without the field, and it never corrects that. A handler that relied
        on such an event would leave a number in a VMI after its last viewer has disconnected. A list is correct.
        """
        while True:
            await self._schema_news.wait()
            self._schema_news.clear()
            await asyncio.sleep(_SCHEMA_LAG)
            self._status_publisher.distrust()
            self._vmis.renew()
