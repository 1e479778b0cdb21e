"""The programs as they run, wired from the same parts as in their own main(); everything that they touch is a model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
import grpc.aio

from controller import main as controller_main
from controller.decisions import Decisions
from controller.marker import Marker
from controller.watches import Watches
from handler_service import main as handler_main
from handler_service.cluster.wiring import Cluster
from handler_service.config import ClusterConfig
from handler_service.endpoints.pod_endpoints import PodEndpoints
from handler_service.endpoints.servicer import ReportService
from handler_service.model import Endpoint, VmiId
from handler_service.status_manager import StatusManager
from launcher_agent.reporting.protocol import ReportProtocol
from launcher_agent.reporting.stream import ReportStream
from launcher_agent.state import Life, State
from launcher_agent.vm.query_policy import QueryPolicy
from launcher_agent.vm.supervisor import Supervisor
from servicestatus import contract
from servicestatus.services import POLLED
from servicestatus.v1.sessions_pb2 import VmiReference
from tests.simulation.kubernetes import ApiClient
from tests.simulation.qemu import Libvirt
from tests.simulation.transport import AgentCall, HandlerContext, Wire

#: Wall time has no effect, but must have a value.
_EPOCH: Final = 1_700_000_000.0
_SOCKET: Final = Path("/handler.sock")
#: Of the Leases.
NAMESPACE: Final = "vss"

Crashed = Callable[[str, BaseException], None]
Served = tuple[Endpoint, ReportService]


@dataclass(eq=False)
class Pod:
    """A launcher pod."""

    uid: str
    vmi: VmiId
    node: str
    libvirt: Libvirt
    #: Another pod of the same VMI is, or was, on the same node: its reports count too, so no report counts alone.
    shared: bool = False
    agent: "Agent | None" = None
    wires: set[Wire] = field(default_factory=set)
    #: Events were missed, so unfinished clients cannot be distinguished from viewers, until none is connected.
    doubtful: bool = True
    #: Since when no viewer was connected and every observer worked; None while that is not so.
    clear_since: float | None = None
    #: Anonymous clients that moved near a query to QEMU: they may be part of the response, or not.
    changed: int = 0
    #: The same if QEMU must not be asked: for as long as this QEMU runs.
    unknowable: bool = False


class Agent:
    """A run of `launcher_agent`."""

    def __init__(
        self,
        instance: str,
        pod: Pod,
        rng: Random,
        *,
        domain: str | None,
        may_query: bool,
        dial: Any,
        crashed: Crashed,
    ) -> None:
        """`domain`: the one that is configured, if any."""
        self._loop = asyncio.get_running_loop()
        self._crashed = crashed
        self.pod = pod
        self.started = self._loop.time()
        self.state = State(self._wall)
        vmi = VmiReference(namespace=pod.vmi.namespace, name=pod.vmi.name)
        protocol = ReportProtocol(instance, "1.0.0", vmi, self.state.report())
        policy = QueryPolicy.AUTO if may_query else QueryPolicy.NEVER
        watcher = Supervisor(pod.libvirt, self.state, domain, policy=policy, sleep=asyncio.sleep, uniform=rng.uniform)
        self.stream = ReportStream(
            _SOCKET,
            protocol,
            self.state,
            clock=self._loop.time,
            sleep=asyncio.sleep,
            uniform=rng.uniform,
            dial=dial,
        )
        self._tasks = [self._loop.create_task(watcher.run()), self._loop.create_task(self.stream.run())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def kill(self) -> None:
        """SIGKILL."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """SIGTERM."""
        try:
            async with asyncio.timeout(1.0):
                await self.stream.goodbye()
        except TimeoutError:
            pass
        self.kill()

    @property
    def domain_ended(self) -> bool:
        """Whether it saw the VM end."""
        return self.state.life is Life.ENDED

    def _wall(self) -> float:
        return _EPOCH + self._loop.time()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._crashed("agent", task.exception())  # type: ignore[arg-type]


class Pods(PodEndpoints):
    """The sockets of a node's launcher pods. It scans as often as the real one."""

    def __init__(
        self, manager: StatusManager, exists: Callable[[str], bool], settings: contract.StreamSettings
    ) -> None:
        self._manager = manager
        self._exists = exists
        self._settings = settings
        self._wanted: dict[str, VmiId] = {}
        self._models: dict[str, Served] = {}
        self._wake = asyncio.Event()

    def set_pods(self, pods: Callable[[], Mapping[str, VmiId]]) -> None:
        """Serve those of these pods that are on this node."""
        self._wanted = dict(pods())
        self._wake.set()

    def service(self, uid: str) -> ReportService | None:
        """Return what serves a pod's socket."""
        return self._models[uid][1] if uid in self._models else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            for uid, (endpoint, _) in list(self._models.items()):
                if self._wanted.get(uid) != endpoint.vmi or not self._exists(uid):
                    self._remove(uid)
            for uid, vmi in self._wanted.items():
                if uid not in self._models and self._exists(uid):
                    self._add(uid, vmi)
            missing = self._wanted.keys() - self._models.keys()
            try:
                async with asyncio.timeout(0.25 if missing else 1.0):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def drain(self, grace: float) -> None:
        """The handler stops."""
        for _, service in self._models.values():
            service.drain(grace)

    async def close(self) -> None:
        """Serve no more."""
        for uid in list(self._models):
            self._remove(uid)

    def _add(self, uid: str, vmi: VmiId) -> None:
        endpoint = Endpoint(uid, vmi, f"/pods/{uid}/handler.sock", uid)
        self._models[uid] = (
            endpoint,
            ReportService(endpoint, self._manager, self._settings, "1.0.0", contract.HELLO_TIMEOUT),
        )
        self._manager.add(endpoint)

    def _remove(self, uid: str) -> None:
        _, service = self._models.pop(uid)
        service.end("UNAVAILABLE", "this socket is no longer served")
        self._manager.remove(uid)


class Controller:
    """A run of `controller`, until it is killed."""

    def __init__(self, client: ApiClient, crashed: Crashed) -> None:
        loop = asyncio.get_running_loop()
        decisions = Decisions()
        self._crashed = crashed
        self._watches = Watches(client, NAMESPACE, 60.0, decisions, loop.time)
        self._marker = Marker(
            client,
            NAMESPACE,
            decisions,
            loop.time,
            lambda: _EPOCH + loop.time(),
            list_again=self._watches.list_again,
        )
        self._task = loop.create_task(controller_main._work(self._watches, self._marker))
        self._task.add_done_callback(self._ended)

    def kill(self) -> None:
        """SIGKILL."""
        self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._crashed("controller", task.exception())  # type: ignore[arg-type]


class Handler:
    """A run of `handler_service` on a node."""

    def __init__(
        self,
        name: str,
        node: str,
        client: ApiClient,
        publisher: str,
        exists: Callable[[str], bool],
        crashed: Crashed,
        *,
        poll: float,
    ) -> None:
        """`poll`: seconds between two polls of what no event reports; 0: it is not polled."""
        self._loop = asyncio.get_running_loop()
        self._crashed = crashed
        self.name = name
        self.node = node
        self.wires: set[Wire] = set()
        polling = {int(service): poll for service in POLLED} if poll else {}
        self.manager = StatusManager(contract.DEFAULT_SETTINGS.lease, self._loop.time, polling)
        self.pods = Pods(self.manager, exists, contract.DEFAULT_SETTINGS)
        config = ClusterConfig(
            publisher=publisher,
            node=node,
            opener=Path("/opener.sock"),
            kubeconfig=None,
            api_timeout=10.0,
            watch_timeout=60.0,
            lease_namespace=NAMESPACE,
            events=False,  # they are about published values; no promise covers them
        )
        self._cluster = Cluster(config, self.manager, client, self.pods)
        self.alive = True
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def serve(self, wire: Wire, service: ReportService) -> None:
        """Accept a stream."""
        self.wires.add(wire)
        wire.task = self._loop.create_task(self._serve(wire, service))

    def kill(self) -> None:
        """SIGKILL."""
        self.alive = False
        for wire in tuple(self.wires):
            wire.cut()
        self._task.cancel()

    async def stop(self) -> None:
        """SIGTERM."""
        await handler_main._drain(self.manager, self._cluster)
        self.kill()

    async def _run(self) -> None:
        async with self._cluster:
            await handler_main._work(self.manager, self._cluster)

    async def _serve(self, wire: Wire, service: ReportService) -> None:
        context: Any = HandlerContext(wire)
        try:
            await service.ReportSessions(context, context)
            wire.end((grpc.StatusCode.OK, ""))
        except grpc.aio.AbortError:
            pass
        except asyncio.CancelledError:
            wire.end((grpc.StatusCode.CANCELLED, ""))
            raise
        except Exception as error:  # noqa: BLE001  # gRPC would answer UNKNOWN; here it is a finding
            self._crashed("handler", error)
        finally:
            self.wires.discard(wire)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._crashed("handler", task.exception())  # type: ignore[arg-type]


def dialler(pod: Pod, handler: Callable[[], Handler | None], wire_to: Callable[[Handler | None], Wire]) -> Any:
    """Return what an agent in `pod` dials with."""

    @asynccontextmanager
    async def dial(_: Path) -> AsyncIterator[AgentCall]:
        await asyncio.sleep(0.001)
        served_by = handler()
        service = served_by.pods.service(pod.uid) if served_by is not None and served_by.alive else None
        wire = wire_to(served_by)
        if served_by is None or service is None:
            wire.cut_agent((grpc.StatusCode.UNAVAILABLE, "no server listens"))
        else:
            served_by.serve(wire, service)
        pod.wires.add(wire)
        try:
            yield AgentCall(wire)
        finally:
            pod.wires.discard(wire)
            if not wire.half_open:
                wire.cut_handler()

    return dial
