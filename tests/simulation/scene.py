"""The two nodes of a history, their one VMI at a time, the programs, and the records that the oracles read."""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from handler_service.kube import companion, vmi
from handler_service.model import VmiId
from servicestatus.v1 import session_report_service_pb2 as pb
from servicestatus.v1.sessions_pb2 import SERVICE_VNC
from tests.simulation.apiserver import CONTROLLER, LEASES, ApiServer, Object, Request, services_of, sessions_of
from tests.simulation.displays import DISPLAYS
from tests.simulation.history import Setting, Step
from tests.simulation.kubernetes import ApiClient
from tests.simulation.ports import SERVICES
from tests.simulation.processes import Agent, Controller, Handler, Pod, dialler
from tests.simulation.qemu import Libvirt
from tests.simulation.transport import Wire
from tests.simulation.truth import Held, Truth

NODES: Final = ("a", "b")
DOMAIN: Final = "ns_vm"
#: How the names of the other VMIs begin: neighbours.py.
NEIGHBOUR: Final = "neighbour-"
#: Seconds after which gRPC's keepalive closes a connection to a frozen peer.
KEEPALIVE: Final = 8.0
#: Seconds that the world rests before it is checked.
REST: Final = 10.0
#: Seconds after which an agent's death must be shown: a lease, and the time of a write.
DARK: Final = 15.0 + 4.0
NEVER: Final = float("inf")
#: Seconds without a viewer after which a working agent knows everything: it has found libvirt (it looks every two
#: seconds), has asked QEMU, and no client connected near the query.
_CLEAR: Final = 3.0
#: Seconds after which the slowest response has arrived.
_ANSWERED: Final = 2.5
#: Seconds for which a client that has moved may disturb a query.
_SETTLED: Final = 0.5
#: Seconds after which every handler knows of a change of the schema, whatever has failed.
_LEARNT: Final = 80.0


class Ack:
    """An Ack that was sent, with the truth of that moment."""

    __slots__ = ("at", "places", "pod", "published", "said")

    def __init__(
        self,
        at: float,
        pod: Pod,
        published: int,
        said: dict[int, tuple[float, int, bool]],
        places: list[str],
    ) -> None:
        self.at, self.pod, self.published, self.said, self.places = at, pod, published, said, places


class Scene:
    """The whole world, and the records that the oracles read."""

    def __init__(self, setting: Setting, rng: Random) -> None:
        self.setting = setting
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self.truths: dict[str, Truth] = defaultdict(Truth)
        self.actual: dict[tuple[str, str], Held] = defaultdict(Held)
        #: Of the other services, by service and VMI, and by service, place and VMI.
        self.port_truths: dict[tuple[str, str], Truth] = defaultdict(Truth)
        self.port_actual: dict[tuple[str, str, str], Held] = defaultdict(Held)
        #: Per handler, place and VMI: when a write was begun at the earliest, and when it was sent.
        self.writes: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
        #: Violations that are found as they happen: promise and message.
        self.wrong: list[tuple[str, str]] = []
        self.acks: list[Ack] = []
        self.published: Callable[[Ack], None] = self.acks.append
        self._numbers = itertools.count(1)
        self.api = ApiServer(rng, knows_field=setting.knows_field, noted=self._noted)
        self.pods: dict[str, Pod] = {}
        self.handlers: dict[str, Handler] = {}
        self.controller: Controller | None = None
        self.vmi: VmiId | None = None
        self.pod: Pod | None = None
        self.migrating: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.up_plan: deque[str] = deque()
        self.down_plan: deque[str] = deque()
        self._over = False
        self._zombie: Pod | None = None
        self._handlers_away = False
        self._field_missed = float("-inf")
        self._companion_began: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        #: When the VMI's node changed.
        self.flips: list[float] = []

    # --- beginning and end ---

    def begin(self) -> None:
        """Create one VMI, its pod, and the handlers."""
        for node in NODES:
            self.start_handler(node)
        # One of the two: each checks once a second, which is a fifth of a history's CPU.
        self.controller = Controller(ApiClient(self.api, CONTROLLER, lambda _: None), self.crashed)
        self._create(self.setting.agent_after, self.setting.boot_after)

    async def end(self) -> None:
        """Nothing runs on."""
        self._over = True
        for pod in self.pods.values():
            if pod.agent is not None:
                pod.agent.kill()
        self.kill_handlers()
        if self.controller is not None:
            self.controller.kill()
        for task in (*self._tasks, *((self.migrating,) if self.migrating else ())):
            task.cancel()
        await asyncio.sleep(1.0)

    def do(self, step: Step) -> None:
        """Execute a step."""
        getattr(self, step.name)(**dict(step.arguments))

    async def heal(self) -> None:
        """All faults end, and everything in transit arrives."""
        if self.migrating is not None:
            await asyncio.wait([self.migrating])
        if self._tasks:  # programs that are stopping
            await asyncio.wait(self._tasks)
        self._heal_pods()
        self.api.fates.clear()
        self.api.refuses, self.api.slow, self.api.reverts, self.api.watch_lag = None, False, False, 0.0
        self.api.up = True
        self._handlers_away = False
        for node in NODES:
            self.start_handler(node)

    def _heal_pods(self) -> None:
        self._zombie = None
        self.up_plan.clear()
        self.down_plan.clear()
        for pod in self.pods.values():
            for wire in pod.wires:
                wire.up.stall(False)
                wire.down.stall(False)
            libvirt = pod.libvirt
            libvirt.accept()
            libvirt.slow = False
            libvirt.resume()
            self._start_libvirt(pod)
            for viewer in tuple(libvirt.qemu.viewers if libvirt.qemu else ()):
                if not viewer.finished:
                    libvirt.leave(viewer, 0.05)
            self._start_agent(pod)

    def kill_handlers(self) -> None:
        """All of them, until `heal`: a restart that an earlier step has planned does not happen in the meantime."""
        self._handlers_away = True
        for handler in self.handlers.values():
            handler.kill()

    def stop_agents(self) -> None:
        """For good."""
        self._over = True
        for pod in self.pods.values():
            self._kill_agent(pod, half_open=False)

    def settled_since(self) -> float:
        """Since when no viewer has come or gone."""
        return self.truths[self.vmi.uid].now.at if self.vmi else 0.0

    def says_observed(self) -> bool:
        """Whether the companion shows any of its numbers as observed."""
        return any(kind.endswith("Observed") and status == "True" for kind, status in self.conditions().items())

    def conditions(self) -> dict[str, str]:
        """Return the status of each of the companion's conditions; empty before it is written."""
        stored = self.api.get(f"/apis/{companion.API_VERSION}/namespaces/ns/{companion.PLURAL}/vm")
        conditions = (stored or {}).get("status", {}).get("conditions", [])
        return {one["type"]: one["status"] for one in conditions}

    def crashed(self, program: str, error: BaseException) -> None:
        """A program has ended by an error of its own."""
        self.wrong.append(("Crash", f"{program}: {type(error).__name__}: {error}"))

    # --- the VMI ---

    def _create(self, agent_after: float, boot_after: float) -> None:
        self.vmi = VmiId("ns", "vm", f"vmi-{next(self._numbers)}")
        self.pod = self._add_pod(self.vmi, "a")
        metadata = {"namespace": "ns", "name": "vm", "uid": self.vmi.uid, "labels": {vmi.NODE_LABEL: "a"}}
        status = {"nodeName": "a", "phase": "Running", "activePods": {self.pod.uid: "a"}}
        self.truths[self.vmi.uid].note(self._loop.time(), 0, 0, 0)
        for service in SERVICES:
            self.port_truths[service, self.vmi.uid].note(self._loop.time(), 0, 0, 0)
        self.api.commit("POST", vmi.path(self.vmi), {"metadata": metadata, "status": status})
        pod = self.pod
        self._later(agent_after, lambda: self._start_agent(pod))
        self._later(boot_after, lambda: self._boot(pod))

    def _add_pod(self, owner: VmiId, node: str) -> Pod:
        pod: Pod
        pod = Pod(f"pod-{next(self._numbers)}", owner, node, Libvirt(self._rng, lambda: self._observe(pod)))
        for other in self.pods.values():
            if (other.vmi, other.node) == (owner, node):
                pod.shared = other.shared = True
        pod.libvirt.display = DISPLAYS[self.setting.display or ("address" if self.setting.tcp else "socket")]
        pod.libvirt.neighbour_locked = self.setting.neighbour_locked
        pod.libvirt.has_ports = self.setting.ports
        self.pods[pod.uid] = pod
        return pod

    def _boot(self, pod: Pod) -> None:
        if pod.uid in self.pods and pod.libvirt.qemu is None:
            pod.unknowable = not pod.libvirt.display.reported or (
                not self.setting.may_query and (self.setting.tcp or self.setting.on_host or not self._watched(pod, 4.0))
            )
            pod.libvirt.define(DOMAIN)
            pod.libvirt.boot()
            if self.setting.on_host:  # QEMU is asked, and its answer does not say who has finished a handshake
                self._doubt(pod)
            self._later(self._rng.uniform(0.01, 0.3), pod.libvirt.announce)

    def _remove_pod(self, pod: Pod) -> None:
        self.pods.pop(pod.uid, None)
        self._kill_agent(pod, half_open=False)
        pod.libvirt.kill()
        pod.libvirt.end()

    def _observe(self, pod: Pod) -> None:
        """Work out what is true now."""
        now = self._loop.time()
        if pod.clear_since is not None and now >= pod.clear_since + _CLEAR:
            pod.doubtful = False
        alone = pod.libvirt.qemu is None or not pod.libvirt.qemu.viewers
        if not alone or not self._watched(pod, 0.0):
            pod.clear_since = None
        elif pod.clear_since is None:
            pod.clear_since = now
        low = high = floor = 0
        for one in (pod, *self.pods.values()) if pod.uid not in self.pods else self.pods.values():
            if one.vmi != pod.vmi:
                continue
            qemu = one.libvirt.qemu
            if qemu is None:
                high += one.libvirt.unheard
                continue
            low += qemu.really
            floor += 0 if one.unknowable else qemu.really
            high += len(qemu.viewers) + one.changed if one.doubtful else qemu.at_most
        self.truths[pod.vmi.uid].note(now, low, max(low, high), floor)
        if self.setting.ports:
            self._observe_ports(pod)

    def _observe_ports(self, pod: Pod) -> None:
        """Work out what is true of the other services; QEMU's ends that no event reported may still be shown."""
        pods = [one for one in {pod.uid: pod, **self.pods}.values() if one.vmi == pod.vmi and one.uid in self.pods]
        for service in SERVICES:
            low = sum(one.libvirt.qemu.ports.really[service] for one in pods if one.libvirt.qemu is not None)
            high = low + sum(one.libvirt.unheard_ports.get(service, 0) for one in pods if one.libvirt.qemu is None)
            self.port_truths[service, pod.vmi.uid].note(self._loop.time(), low, high, low)

    def _watched(self, pod: Pod, seconds: float) -> bool:
        """Whether an agent and its libvirt have worked for so long."""
        since = self._loop.time() - seconds
        libvirt = pod.libvirt
        well = libvirt.up and not libvirt.silent and libvirt.refuses_since is None and libvirt.up_since <= since
        return well and pod.agent is not None and pod.agent.started <= since

    def _doubt(self, pod: Pod) -> None:
        """Events are missed from here on, or will have been."""
        pod.doubtful, pod.clear_since = True, None
        pod.unknowable = pod.unknowable or not self.setting.may_query
        self._observe(pod)

    def _stir(self, pod: Pod) -> None:
        """An anonymous client moves. Near a query it may be counted in addition to the response that lists it.

        Its events may be held back, and a query with them, for as long as libvirt is silent.
        """
        pod.changed += 1

        def settle() -> None:
            if pod.libvirt.silent:
                self._later(_SETTLED, settle)
                return
            pod.changed -= 1
            self._observe(pod)

        self._later(_SETTLED, settle)

    def _patch_vmi(self, change: Callable[[Object], None]) -> None:
        stored = self.api.get(vmi.path(self.vmi)) if self.vmi else None
        if self.vmi is None or stored is None:
            return
        after = deep(stored)
        change(after)
        self.api.commit("PUT", vmi.path(self.vmi), after)

    # --- the programs ---

    def start_handler(self, node: str) -> None:
        """Start one on a node without a handler."""
        if not (self._over or self._handlers_away) and (node not in self.handlers or not self.handlers[node].alive):
            name = f"{node}{next(self._numbers)}"
            client = ApiClient(self.api, name, self._asked)
            self.handlers[node] = Handler(
                name,
                node,
                client,
                self.setting.publisher,
                lambda uid: self._is_on(uid, node),
                self.crashed,
                poll=self.setting.poll,
            )

    def _is_on(self, uid: str, node: str) -> bool:
        return uid in self.pods and self.pods[uid].node == node

    def _start_agent(self, pod: Pod) -> None:
        if self._over or pod.agent is not None or pod.uid not in self.pods:
            return
        self._doubt(pod)
        dial = dialler(pod, lambda: self.handlers.get(pod.node), lambda handler: self._wire(pod, handler))
        instance = f"agent-{next(self._numbers)}"
        pod.agent = Agent(
            instance,
            pod,
            self._rng,
            domain=DOMAIN if self.setting.on_host or self.setting.neighbour_locked else None,
            may_query=self.setting.may_query,
            dial=dial,
            crashed=self.crashed,
        )

    def _start_libvirt(self, pod: Pod) -> None:
        if not pod.libvirt.up and not pod.libvirt.ended:
            self._doubt(pod)
            pod.libvirt.start()

    def _kill_agent(self, pod: Pod, *, half_open: bool) -> None:
        if pod.agent is None:
            return
        for wire in tuple(pod.wires):
            wire.half_open = half_open
            wire.cut_agent()
            if half_open:
                self._loop.call_later(KEEPALIVE, wire.cut_handler)
        pod.agent.kill()
        pod.agent = None
        self._doubt(pod)

    def _wire(self, pod: Pod, handler: Handler | None) -> Wire:
        wire = Wire(self._rng, self.up_plan, self.down_plan)
        if self._zombie is pod:
            self._zombie = None
            wire.up.stalls_after = 1  # Hello arrives, and later messages are late
        wire.sent = lambda request: self._said(wire, request)
        wire.answered = lambda response: self._acked(pod, wire, handler, response)
        return wire

    # --- records ---

    def _noted(self, request: Request, object_: Object | None) -> None:
        path = request.path
        if _is_neighbours(request):
            return
        published = sessions_of(path, object_ if object_ is not None else request.body)
        if published is None or "customresource" in path:
            return
        place, uid, sessions = published
        if object_ is None and place == "vmi-status":
            return
        self.actual[place, uid].note(self._loop.time(), sessions if object_ is not None else 0, request.by)
        if self.setting.ports:
            for service, number in services_of(path, object_).items():
                self.port_actual[service, place, uid].note(self._loop.time(), number, request.by)

    def _asked(self, request: Request) -> None:
        now = self._loop.time()
        if f"/{LEASES}" in request.path or _is_neighbours(request):
            return  # a Lease renews values, and is none; what neighbours show is not checked
        if request.method == "PATCH" and isinstance(request.body, list):
            self.writes[request.by, "vmi-status", request.body[0]["value"]].append((now, now))
        elif request.method == "PATCH" and request.path.endswith("/status"):
            began = self._companion_began.pop(request.by, self._begun(request.by, now))
            self.writes[request.by, "companion", request.body["status"]["vmiUID"]].append((began, now))
        elif request.method in ("POST", "PATCH"):  # the companion is created, or taken over, first
            self._companion_began.setdefault(request.by, self._begun(request.by, now))
        elif self.vmi is not None and request.path == vmi.path(self.vmi):
            self._looked[request.by] = now

    def _begun(self, by: str, now: float) -> float:
        """While watches fail a handler reads the VMI first, and has the response within two seconds."""
        looked = self._looked.get(by, now)
        return looked if now - looked <= _ANSWERED else now

    def _said(self, wire: Wire, request: pb.ReportSessionsRequest) -> None:
        message: pb.Snapshot | pb.Delta
        if request.WhichOneof("message") == "snapshot":
            message = request.snapshot
        elif request.WhichOneof("message") == "delta":
            message = request.delta
        else:
            return
        _, sessions, observed = wire.said.get(message.sequence - 1, (0.0, 0, False))
        for one in message.services:
            if one.service == SERVICE_VNC:
                sessions = one.sessions
        if message.HasField("observation"):
            observed = message.observation.observed
        wire.said[message.sequence] = (self._loop.time(), sessions, observed)

    def _acked(self, pod: Pod, wire: Wire, handler: Handler | None, response: pb.ReportSessionsResponse) -> None:
        if response.WhichOneof("message") == "ack" and response.ack.published:
            now = self._loop.time()
            self.published(Ack(now, pod, response.ack.published, wire.said, self._places(now)))

    def _places(self, now: float) -> list[str]:
        """Return where a value must be to be published, as far as a handler may know."""
        if not self.api.knows_field:
            self._field_missed = now
        if self.setting.publisher != "auto":
            return [self.setting.publisher]
        return ["companion"] if now < self._field_missed + _LEARNT else ["companion", "vmi-status"]

    # --- inside ---

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        self._loop.call_later(max(0.0, seconds), what)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.crashed("the simulation itself", task.exception())  # type: ignore[arg-type]


def _is_neighbours(request: Request) -> bool:
    """Whether it is about one of the other VMIs, or about its companion."""
    created = request.body["metadata"] if request.method == "POST" and request.body else {}
    return f"/{NEIGHBOUR}" in request.path or created.get("name", "").startswith(NEIGHBOUR)


def deep(object_: Object) -> Object:
    return {key: deep(value) if isinstance(value, dict) else value for key, value in object_.items()}
